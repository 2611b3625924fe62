//! Expressions in words: comparisons, conditions, arithmetic, and queries inside of them.

use sqlparser::ast::{BinaryOperator, CaseWhen, Expr, Query, UnaryOperator, Value};

use super::functions::function_words;
use super::{MAX_DEPTH, Words, list, readable};

/// More arms of a CASE are not told one by one.
const MAX_ARMS: usize = 4;

impl Words {
    pub(super) fn expression(&self, shown: &Expr, depth: usize) -> String {
        if depth > MAX_DEPTH {
            return "a nested expression".to_owned();
        }
        let inner = |part: &Expr| self.expression(part, depth + 1);
        let not = |negated: bool| if negated { "not " } else { "" };
        match shown {
            Expr::Identifier(name) => readable(&name.value),
            Expr::CompoundIdentifier(parts) => match &parts[..] {
                [.., owner, name] if owner.value.len() > 2 => {
                    format!("{} of {}", readable(&name.value), readable(&owner.value))
                }
                _ => parts.last().map(|name| readable(&name.value)).unwrap_or_default(),
            },
            Expr::Nested(part) => self.grouped(part, depth),
            Expr::Value(value) => value_words(&value.value),
            Expr::TypedString(text) => value_words(&text.value.value),
            Expr::BinaryOp { left, op, right } => self.operation(left, op, right, depth),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => format!("not {}", in_parentheses(&inner(expr))),
            Expr::UnaryOp { op, expr } => format!("{op}{}", inner(expr)),
            Expr::IsNull(part) => format!("{} is missing", inner(part)),
            Expr::IsNotNull(part) => format!("{} is known", inner(part)),
            Expr::IsTrue(part) | Expr::IsNotFalse(part) => inner(part),
            Expr::IsFalse(part) | Expr::IsNotTrue(part) => format!("not {}", in_parentheses(&inner(part))),
            Expr::IsDistinctFrom(left, right) => format!("{} is not {}", inner(left), inner(right)),
            Expr::IsNotDistinctFrom(left, right) => format!("{} is {}", inner(left), inner(right)),
            Expr::InList { expr, list: values, negated } => {
                let values: Vec<String> = values.iter().map(inner).collect();
                format!("{} is {}{}", inner(expr), not(*negated), list(&values, "or"))
            }
            Expr::InSubquery { expr, subquery, negated } => {
                format!("{} is {}among {}", inner(expr), not(*negated), self.noun(subquery, depth + 1))
            }
            Expr::Exists { subquery, negated } => self.existence(subquery, *negated, depth),
            Expr::AnyOp { left, compare_op, right, .. } => {
                joined(compare_op, &inner(left), &format!("at least one of {}", inner(right)))
            }
            Expr::AllOp { left, compare_op, right } => {
                joined(compare_op, &inner(left), &format!("each of {}", inner(right)))
            }
            Expr::Between { expr, negated, low, high } => {
                format!("{} is {}from {} to {}", inner(expr), not(*negated), inner(low), inner(high))
            }
            Expr::Like { expr, pattern, negated, .. } | Expr::ILike { expr, pattern, negated, .. } => {
                like_words(&inner(expr), &inner(pattern), *negated)
            }
            Expr::Cast { expr, .. } | Expr::Collate { expr, .. } => inner(expr),
            Expr::AtTimeZone { timestamp, time_zone } => format!("{} in {}", inner(timestamp), inner(time_zone)),
            Expr::Extract { field, expr, .. } => format!("the {} of {}", field.to_string().to_lowercase(), inner(expr)),
            Expr::Floor { expr, .. } => format!("{} rounded down", inner(expr)),
            Expr::Ceil { expr, .. } => format!("{} rounded up", inner(expr)),
            Expr::Subquery(query) => self.noun(query, depth + 1),
            Expr::Tuple(items) => list(&items.iter().map(inner).collect::<Vec<_>>(), "and"),
            Expr::Function(function) => function_words(self, function, depth),
            Expr::Case { operand, conditions, else_result, .. } => {
                self.cases(operand.as_deref(), conditions, else_result.as_deref(), depth)
            }
            other => other.to_string(),
        }
    }

    /// What stands in parentheses keeps them where the meaning hangs on them.
    fn grouped(&self, part: &Expr, depth: usize) -> String {
        let words = self.expression(part, depth + 1);
        if matches!(part, Expr::BinaryOp { .. }) { in_parentheses(&words) } else { words }
    }

    fn operation(&self, left: &Expr, operator: &BinaryOperator, right: &Expr, depth: usize) -> String {
        if let Some(words) = self.percentage(left, operator, right, depth) {
            return words;
        }
        let side = |part: &Expr| match part {
            // "or" binds less than "and": the parse knows, a reader must be told.
            Expr::BinaryOp { op: BinaryOperator::Or, .. } if *operator == BinaryOperator::And => {
                in_parentheses(&self.expression(part, depth + 1))
            }
            Expr::CompoundIdentifier(_) if are_columns(left, right) => self.owned(part, depth),
            _ => self.expression(part, depth + 1),
        };
        joined(operator, &side(left), &side(right))
    }

    /// A column with its table, for a comparison of two.
    fn owned(&self, column: &Expr, depth: usize) -> String {
        match column {
            Expr::CompoundIdentifier(parts) => match &parts[..] {
                [.., owner, name] => format!("{} of {}", readable(&name.value), self.table_called(&owner.value)),
                _ => self.expression(column, depth + 1),
            },
            _ => self.expression(column, depth + 1),
        }
    }

    /// `100 * a / b`, in whatever order it is computed.
    fn percentage(&self, left: &Expr, operator: &BinaryOperator, right: &Expr, depth: usize) -> Option<String> {
        let of = |whole: &Expr| self.expression(without_guard(whole), depth + 1);
        let (part, whole) = match (operator, bare(left), bare(right)) {
            (BinaryOperator::Divide, product, whole) => (hundredfold(product)?, whole),
            (
                BinaryOperator::Multiply,
                Expr::BinaryOp { left: part, op: BinaryOperator::Divide, right: whole },
                times,
            )
            | (
                BinaryOperator::Multiply,
                times,
                Expr::BinaryOp { left: part, op: BinaryOperator::Divide, right: whole },
            ) if is_number(times, 100.0) => (onefold(part), &**whole),
            _ => return None,
        };
        Some(format!("{} as a percentage of {}", self.expression(bare(part), depth + 1), of(whole)))
    }

    fn existence(&self, query: &Query, negated: bool, depth: usize) -> String {
        let no = if negated { "no" } else { "a" };
        match self.source(query, depth + 1) {
            Some(source) => format!("there is {no} row in {source}"),
            None => format!("there is {no} row of {}", self.noun(query, depth + 1)),
        }
    }

    fn cases(&self, operand: Option<&Expr>, arms: &[CaseWhen], otherwise: Option<&Expr>, depth: usize) -> String {
        if arms.len() > MAX_ARMS {
            return "a value that depends on conditions".to_owned();
        }
        let inner = |part: &Expr| self.expression(part, depth + 1);
        let arm = |arm: &CaseWhen| {
            let condition = match operand {
                Some(operand) => format!("{} is {}", inner(operand), inner(&arm.condition)),
                None => inner(&arm.condition),
            };
            format!("{} if {condition}", inner(&arm.result))
        };
        let mut told: Vec<String> = arms.iter().map(arm).collect();
        told.push(format!("else {}", otherwise.map_or_else(|| "nothing".to_owned(), inner)));
        in_parentheses(&told.join(", "))
    }
}

fn are_columns(left: &Expr, right: &Expr) -> bool {
    matches!((left, right), (Expr::CompoundIdentifier(_), Expr::CompoundIdentifier(_)))
}

pub(super) fn in_parentheses(words: &str) -> String {
    if words.starts_with('(') && words.ends_with(')') { words.to_owned() } else { format!("({words})") }
}

fn joined(operator: &BinaryOperator, left: &str, right: &str) -> String {
    let words = match operator {
        BinaryOperator::And => "and",
        BinaryOperator::Or => "or",
        BinaryOperator::Eq | BinaryOperator::Spaceship => "is",
        BinaryOperator::NotEq => "is not",
        BinaryOperator::Gt => "is more than",
        BinaryOperator::GtEq => "is at least",
        BinaryOperator::Lt => "is less than",
        BinaryOperator::LtEq => "is at most",
        BinaryOperator::Plus => "plus",
        BinaryOperator::Minus => "minus",
        BinaryOperator::Multiply => "times",
        BinaryOperator::Divide => "divided by",
        BinaryOperator::StringConcat => "followed by",
        other => return format!("{left} {other} {right}"),
    };
    format!("{left} {words} {right}")
}

/// The plain patterns; others are shown as they are.
fn like_words(value: &str, pattern: &str, negated: bool) -> String {
    let not = |yes: &str, no: &str| if negated { no.to_owned() } else { yes.to_owned() };
    let text = pattern.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let core =
        text.map(|text| text.trim_matches('%')).filter(|core| !core.is_empty() && !core.contains(['%', '_', '\\']));
    let open = text.map(|text| (text.starts_with('%'), text.ends_with('%')));
    match (core, open) {
        (Some(core), Some((true, true))) => format!("{value} {} \"{core}\"", not("contains", "does not contain")),
        (Some(core), Some((false, true))) => {
            format!("{value} {} \"{core}\"", not("begins with", "does not begin with"))
        }
        (Some(core), Some((true, false))) => format!("{value} {} \"{core}\"", not("ends with", "does not end with")),
        (Some(core), Some((false, false))) => format!("{value} {} \"{core}\"", not("is", "is not")),
        _ => format!("{value} {} {pattern}", not("matches", "does not match")),
    }
}

pub(super) fn bare(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) | Expr::Cast { expr: inner, .. } = expr {
        expr = inner;
    }
    expr
}

/// Without the guard against a division by zero.
fn without_guard(expr: &Expr) -> &Expr {
    super::functions::first_argument(bare(expr), "nullif").map_or(bare(expr), bare)
}

/// `a` of `100 * a`.
fn hundredfold(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::Multiply, right } if is_number(left, 100.0) => Some(right),
        Expr::BinaryOp { left, op: BinaryOperator::Multiply, right } if is_number(right, 100.0) => Some(left),
        _ => None,
    }
}

/// `a` of `1.0 * a`, which is `a` made a decimal.
fn onefold(expr: &Expr) -> &Expr {
    match bare(expr) {
        Expr::BinaryOp { left, op: BinaryOperator::Multiply, right } if is_number(left, 1.0) => right,
        Expr::BinaryOp { left, op: BinaryOperator::Multiply, right } if is_number(right, 1.0) => left,
        other => other,
    }
}

pub(super) fn is_number(expr: &Expr, wanted: f64) -> bool {
    match bare(expr) {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.parse::<f64>().is_ok_and(|number| number == wanted),
            _ => false,
        },
        _ => false,
    }
}

pub(super) fn value_words(value: &Value) -> String {
    match value {
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) | Value::NationalStringLiteral(text) => {
            format!("\"{text}\"")
        }
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    }
}
