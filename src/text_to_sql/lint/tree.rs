//! What an expression is made of, without recursion: statements may chain thousands of operators.

use sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    OrderByKind, Query, Select, SelectItem, Value, WindowType,
};

/// The expressions and queries directly inside of `expr`. False: it is of a form that is not looked into.
fn parts<'a>(expr: &'a Expr, exprs: &mut Vec<&'a Expr>, queries: &mut Vec<&'a Query>) -> bool {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) | Expr::TypedString(_) => {}
        Expr::Nested(part)
        | Expr::IsNull(part)
        | Expr::IsNotNull(part)
        | Expr::IsTrue(part)
        | Expr::IsFalse(part)
        | Expr::IsNotTrue(part)
        | Expr::IsNotFalse(part)
        | Expr::UnaryOp { expr: part, .. }
        | Expr::Cast { expr: part, .. }
        | Expr::Convert { expr: part, .. }
        | Expr::Collate { expr: part, .. }
        | Expr::Extract { expr: part, .. }
        | Expr::Floor { expr: part, .. }
        | Expr::Ceil { expr: part, .. } => exprs.push(part),
        Expr::BinaryOp { left, right, .. }
        | Expr::AnyOp { left, right, .. }
        | Expr::AllOp { left, right, .. }
        | Expr::IsDistinctFrom(left, right)
        | Expr::IsNotDistinctFrom(left, right) => exprs.extend([&**left, &**right]),
        Expr::Like { expr, pattern, .. }
        | Expr::ILike { expr, pattern, .. }
        | Expr::RLike { expr, pattern, .. }
        | Expr::SimilarTo { expr, pattern, .. } => exprs.extend([&**expr, &**pattern]),
        Expr::Between { expr, low, high, .. } => exprs.extend([&**expr, &**low, &**high]),
        Expr::InList { expr, list, .. } => exprs.extend(std::iter::once(&**expr).chain(list)),
        Expr::AtTimeZone { timestamp, time_zone } => exprs.extend([&**timestamp, &**time_zone]),
        Expr::Tuple(items) => exprs.extend(items),
        Expr::Interval(interval) => exprs.push(&interval.value),
        Expr::Trim { expr, trim_what, .. } => exprs.extend(std::iter::once(&**expr).chain(trim_what.as_deref())),
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            exprs.extend(std::iter::once(&**expr).chain(substring_from.as_deref()).chain(substring_for.as_deref()));
        }
        Expr::Case { operand, conditions, else_result, .. } => {
            let arms = conditions.iter().flat_map(|CaseWhen { condition, result }| [condition, result]);
            exprs.extend(operand.as_deref().into_iter().chain(arms).chain(else_result.as_deref()));
        }
        Expr::InSubquery { expr, subquery, .. } => {
            exprs.push(expr);
            queries.push(subquery);
        }
        Expr::Exists { subquery, .. } | Expr::Subquery(subquery) => queries.push(subquery),
        Expr::Function(function) => return function_parts(function, exprs),
        _ => return false,
    }
    true
}

fn function_parts<'a>(function: &'a Function, exprs: &mut Vec<&'a Expr>) -> bool {
    exprs.extend(function.filter.as_deref());
    exprs.extend(function.within_group.iter().map(|key| &key.expr));
    if let Some(WindowType::WindowSpec(window)) = &function.over {
        exprs.extend(window.partition_by.iter().chain(window.order_by.iter().map(|key| &key.expr)));
    }
    match &function.args {
        FunctionArguments::None => true,
        FunctionArguments::Subquery(_) => false,
        FunctionArguments::List(list) => {
            exprs.extend(arguments(list));
            list.args.iter().all(|argument| matches!(argument, FunctionArg::Unnamed(_))) && list.clauses.is_empty()
        }
    }
}

/// The arguments that are expressions.
pub fn arguments(list: &FunctionArgumentList) -> impl Iterator<Item = &Expr> {
    list.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    })
}

/// An expression taken apart.
pub struct Parts<'a> {
    /// Itself and all expressions inside, but not those of queries.
    pub exprs: Vec<&'a Expr>,
    pub queries: Vec<&'a Query>,
    /// Nothing was passed over.
    pub complete: bool,
}

pub fn taken_apart<'a>(roots: impl IntoIterator<Item = &'a Expr>) -> Parts<'a> {
    let mut waiting: Vec<&Expr> = roots.into_iter().collect();
    let mut found = Parts { exprs: Vec::new(), queries: Vec::new(), complete: true };
    while let Some(expr) = waiting.pop() {
        found.complete &= parts(expr, &mut waiting, &mut found.queries);
        found.exprs.push(expr);
    }
    found
}

/// What must all hold for `expr` to hold, in the order of the text.
pub fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    let (mut waiting, mut found) = (vec![expr], Vec::new());
    while let Some(expr) = waiting.pop() {
        match bare(expr) {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => waiting.extend([&**right, &**left]),
            other => found.push(other),
        }
    }
    found
}

/// Without parentheses around it.
pub fn bare(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// The expressions of a SELECT that stand outside of FROM and WHERE.
pub fn shown(select: &Select) -> impl Iterator<Item = &Expr> {
    select.projection.iter().filter_map(item).chain(&select.having)
}

pub fn item(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

pub fn order_keys(query: &Query) -> Vec<&Expr> {
    match query.order_by.as_ref().map(|order| &order.kind) {
        Some(OrderByKind::Expressions(keys)) => keys.iter().map(|key| &key.expr).collect(),
        _ => Vec::new(),
    }
}

pub fn text(expr: &Expr) -> Option<&str> {
    match bare(expr) {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::NationalStringLiteral(text)
            | Value::DoubleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

pub fn number(expr: &Expr) -> Option<&str> {
    match bare(expr) {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => Some(number),
            _ => None,
        },
        _ => None,
    }
}

pub fn is_null(expr: &Expr) -> bool {
    matches!(bare(expr), Expr::Value(value) if value.value == Value::Null)
}

/// A function's name, lower case, without its schema.
pub fn name(function: &Function) -> String {
    let last = function.name.0.last().and_then(|part| part.as_ident());
    last.map(|name| name.value.to_lowercase()).unwrap_or_default()
}

/// An aggregate over rows: not one over a window.
pub fn is_aggregate(function: &Function) -> bool {
    const AGGREGATES: [&str; 18] = [
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "total",
        "group_concat",
        "string_agg",
        "array_agg",
        "stddev",
        "stddev_pop",
        "stddev_samp",
        "variance",
        "var_pop",
        "var_samp",
        "count_big",
        "stdev",
        "percentile_cont",
    ];
    function.over.is_none() && AGGREGATES.contains(&name(function).as_str())
}

pub fn has_aggregate<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> bool {
    let parts = taken_apart(exprs);
    parts.exprs.iter().any(|expr| matches!(expr, Expr::Function(function) if is_aggregate(function)))
}
