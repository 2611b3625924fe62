//! SQL in plain words, from its parse: what a statement that a model or a person wrote will show.
//!
//! It is read from the SQL alone, so it cannot flatter: where the writer meant something else, the difference shows.
//! What has no simple wording is given as SQL. Never fails: text that does not parse is described by its tables.

use sqlparser::ast::{
    BinaryOperator, Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
    LimitClause, OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator, Statement, TableFactor, UnaryOperator,
    Value,
};
use sqlparser::dialect::Dialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::schema::Engine;
use super::terms::dialect;

/// Longer statements are described by their tables: walking their trees costs stack.
const MAX_SQL_BYTES: usize = 4096;
/// Expressions nested deeper than this are given as SQL.
const MAX_DEPTH: usize = 12;

/// One or a few sentences.
pub fn restate(sql: &str, engine: Engine) -> String {
    let dialect = dialect(engine);
    let parsed = if sql.len() <= MAX_SQL_BYTES { Parser::parse_sql(dialect, sql).ok() } else { None };
    match parsed.as_deref() {
        Some([Statement::Query(query)]) => sentence(&query_words(query, 0)),
        _ => sentence(&by_tables(sql, dialect)),
    }
}

fn sentence(words: &str) -> String {
    let mut chars = words.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

/// The names that follow FROM and JOIN, for text that cannot be read as a query.
fn by_tables(sql: &str, dialect: &dyn Dialect) -> String {
    let tokens = Tokenizer::new(dialect, sql).tokenize().unwrap_or_default();
    let words: Vec<&str> = tokens
        .iter()
        .filter_map(|token| match token {
            Token::Word(word) => Some(word.value.as_str()),
            _ => None,
        })
        .collect();
    let opens = |word: &str| word.eq_ignore_ascii_case("from") || word.eq_ignore_ascii_case("join");
    let mut tables: Vec<String> = Vec::new();
    for pair in words.windows(2).filter(|pair| opens(pair[0])) {
        let name = readable(pair[1]);
        if !tables.contains(&name) {
            tables.push(name);
        }
    }
    if tables.is_empty() {
        "runs a statement that names no tables".to_owned()
    } else {
        format!("runs a query over {}", list(&tables, "and"))
    }
}

fn query_words(query: &Query, depth: usize) -> String {
    let mut words = match &query.with {
        Some(with) => {
            let names: Vec<String> = with.cte_tables.iter().map(|table| readable(&table.alias.name.value)).collect();
            format!("first works out {}; then {}", list(&names, "and"), body_words(&query.body, depth))
        }
        None => body_words(&query.body, depth),
    };
    if let Some(OrderByKind::Expressions(keys)) = query.order_by.as_ref().map(|order| &order.kind) {
        let descending =
            |sort: Option<&sqlparser::ast::OrderBySort>| matches!(sort, Some(sqlparser::ast::OrderBySort::Desc));
        let key = |key: &sqlparser::ast::OrderByExpr| {
            let direction = if descending(key.options.sort.as_ref()) { "from high to low" } else { "from low to high" };
            format!("{} {direction}", expression(&key.expr, depth))
        };
        let keys: Vec<String> = keys.iter().map(key).collect();
        words.push_str(&format!(", ordered by {}", list(&keys, "then")));
    }
    words.push_str(&limit_words(query.limit_clause.as_ref(), depth));
    words
}

fn limit_words(limit: Option<&LimitClause>, depth: usize) -> String {
    let (limit, offset) = match limit {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
        None => (None, None),
    };
    let rows = limit.map(|limit| match expression(limit, depth).as_str() {
        "1" => ", the first row only".to_owned(),
        rows => format!(", the first {rows} rows only"),
    });
    let skipped = offset.map(|offset| format!(", after leaving out {}", expression(offset, depth)));
    rows.into_iter().chain(skipped).collect()
}

fn body_words(body: &SetExpr, depth: usize) -> String {
    match body {
        _ if depth > MAX_DEPTH => "a nested query".to_owned(),
        SetExpr::Select(select) => select_words(select, depth),
        SetExpr::Query(query) => query_words(query, depth + 1),
        SetExpr::SetOperation { left, op, right, .. } => {
            let how = match op {
                SetOperator::Union => "together with what",
                SetOperator::Intersect => "but only what also",
                SetOperator::Except | SetOperator::Minus => "leaving out what",
            };
            format!("{}, {how} {}", body_words(left, depth + 1), body_words(right, depth + 1))
        }
        SetExpr::Values(_) => "shows fixed values".to_owned(),
        _ => "runs a statement that is no query".to_owned(),
    }
}

fn select_words(select: &Select, depth: usize) -> String {
    let shown: Vec<String> = select.projection.iter().map(|item| item_words(item, depth)).collect();
    let different = matches!(select.distinct, Some(Distinct::Distinct | Distinct::On(_)));
    let mut words = format!("shows {}{}", if different { "the different " } else { "" }, list(&shown, "and"));
    let tables = select
        .from
        .iter()
        .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
    let tables: Vec<String> = tables.map(|table| table_words(table, depth)).collect();
    if !tables.is_empty() {
        words.push_str(&format!(" from {}", list(&tables, "with")));
    }
    if let Some(condition) = &select.selection {
        words.push_str(&format!(", only where {}", expression(condition, depth)));
    }
    if let GroupByExpr::Expressions(groups, _) = &select.group_by {
        let groups: Vec<String> = groups.iter().map(|group| expression(group, depth)).collect();
        if !groups.is_empty() {
            words.push_str(&format!(", for each {}", list(&groups, "and")));
        }
    }
    if let Some(condition) = &select.having {
        words.push_str(&format!(", keeping those where {}", expression(condition, depth)));
    }
    words
}

fn item_words(item: &SelectItem, depth: usize) -> String {
    match item {
        SelectItem::UnnamedExpr(shown) => expression(shown, depth),
        SelectItem::ExprWithAlias { expr, alias } => {
            format!("{} (as {})", expression(expr, depth), readable(&alias.value))
        }
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => "all columns".to_owned(),
        SelectItem::ExprWithAliases { .. } => item.to_string(),
    }
}

fn table_words(table: &TableFactor, depth: usize) -> String {
    match table {
        TableFactor::Table { name, .. } => name
            .0
            .last()
            .and_then(|part| part.as_ident())
            .map_or_else(|| name.to_string(), |name| readable(&name.value)),
        TableFactor::Derived { subquery, .. } => format!("what a query {}", query_words(subquery, depth + 1)),
        other => other.to_string(),
    }
}

fn expression(shown: &Expr, depth: usize) -> String {
    if depth > MAX_DEPTH {
        return "a nested expression".to_owned();
    }
    let inner = |part: &Expr| expression(part, depth + 1);
    let not = |negated: bool| if negated { "not " } else { "" };
    match shown {
        Expr::Identifier(name) => readable(&name.value),
        Expr::CompoundIdentifier(parts) => match &parts[..] {
            [.., owner, name] if owner.value.len() > 2 => {
                format!("{} of {}", readable(&name.value), readable(&owner.value))
            }
            _ => parts.last().map(|name| readable(&name.value)).unwrap_or_default(),
        },
        Expr::Nested(part) => inner(part),
        Expr::Value(value) => value_words(&value.value),
        Expr::TypedString(text) => value_words(&text.value.value),
        Expr::BinaryOp { left, op, right } => operator_words(op, &inner(left), &inner(right)),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => format!("not ({})", inner(expr)),
        Expr::UnaryOp { op, expr } => format!("{op}{}", inner(expr)),
        Expr::IsNull(part) => format!("{} is missing", inner(part)),
        Expr::IsNotNull(part) => format!("{} is known", inner(part)),
        Expr::InList { expr, list: values, negated } => {
            let values: Vec<String> = values.iter().map(inner).collect();
            format!("{} is {}{}", inner(expr), not(*negated), list(&values, "or"))
        }
        Expr::InSubquery { expr, subquery, negated } => {
            format!("{} is {}among what a query {}", inner(expr), not(*negated), query_words(subquery, depth + 1))
        }
        Expr::Exists { subquery, negated } => {
            let found =
                if *negated { "nothing is found by a query that" } else { "something is found by a query that" };
            format!("{found} {}", query_words(subquery, depth + 1))
        }
        Expr::Between { expr, negated, low, high } => {
            format!("{} is {}from {} to {}", inner(expr), not(*negated), inner(low), inner(high))
        }
        Expr::Like { expr, pattern, negated, .. } | Expr::ILike { expr, pattern, negated, .. } => {
            format!("{} {}matches {}", inner(expr), if *negated { "in no way " } else { "" }, inner(pattern))
        }
        Expr::Cast { expr, .. } => inner(expr),
        Expr::Extract { field, expr, .. } => format!("the {} of {}", field.to_string().to_lowercase(), inner(expr)),
        Expr::Subquery(query) => format!("what a query {}", query_words(query, depth + 1)),
        Expr::Function(function) => function_words(function, depth),
        Expr::Case { .. } => "a value that depends on conditions".to_owned(),
        other => other.to_string(),
    }
}

fn operator_words(operator: &BinaryOperator, left: &str, right: &str) -> String {
    let words = match operator {
        BinaryOperator::And => "and",
        BinaryOperator::Or => "or",
        BinaryOperator::Eq => "is",
        BinaryOperator::NotEq => "is not",
        BinaryOperator::Gt => "is more than",
        BinaryOperator::GtEq => "is at least",
        BinaryOperator::Lt => "is less than",
        BinaryOperator::LtEq => "is at most",
        BinaryOperator::Plus => "plus",
        BinaryOperator::Minus => "minus",
        BinaryOperator::Multiply => "times",
        BinaryOperator::Divide => "divided by",
        other => return format!("{left} {other} {right}"),
    };
    format!("{left} {words} {right}")
}

fn function_words(function: &Function, depth: usize) -> String {
    let FunctionArguments::List(arguments) = &function.args else { return function.to_string() };
    let different = if arguments.duplicate_treatment.is_some() { "different " } else { "" };
    let argument = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(shown)) => expression(shown, depth + 1),
        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => "rows".to_owned(),
        other => other.to_string(),
    };
    let parts: Vec<String> = arguments.args.iter().map(argument).collect();
    let name = function.name.to_string().to_lowercase();
    let noun = match name.as_str() {
        "count" => "number",
        "sum" => "total",
        "avg" => "average",
        "min" => "lowest",
        "max" => "highest",
        "lower" | "upper" => return parts.join(", "),
        _ => return format!("{name}({})", parts.join(", ")),
    };
    let of = if name == "count" { "of " } else { "" };
    format!("the {noun} {of}{different}{}", parts.join(", "))
}

fn value_words(value: &Value) -> String {
    match value {
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => format!("\"{text}\""),
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    }
}

fn readable(name: &str) -> String {
    name.replace('_', " ")
}

/// "a, b and c"
pub(super) fn list(items: &[String], last: &str) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [start @ .., end] => format!("{} {last} {end}", start.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(sql: &str) -> String {
        restate(sql, Engine::Postgres)
    }

    #[test]
    fn a_grouped_query_is_said_clause_by_clause() {
        assert_eq!(
            words(
                "select r.name, count(*) from regions r join customers c on c.region_id = r.id where c.since >= date '2024-01-01' group by r.name having count(*) > 3 order by count(*) desc limit 5"
            ),
            "Shows name and the number of rows from regions with customers, only where since is at least \"2024-01-01\", for each name, keeping those where the number of rows is more than 3, ordered by the number of rows from high to low, the first 5 rows only."
        );
    }

    #[test]
    fn negated_subqueries_and_set_operations_are_said() {
        assert_eq!(
            words(
                "select name from customers where id not in (select customer_id from orders) except select name from banned"
            ),
            "Shows name from customers, only where id is not among what a query shows customer id from orders, leaving out what shows name from banned."
        );
    }

    #[test]
    fn what_does_not_parse_is_described_by_its_tables() {
        assert_eq!(words("select from from orders where join lines ((("), "Runs a query over from, orders and lines.");
        assert_eq!(words("🦀"), "Runs a statement that names no tables.");
        assert_eq!(words(&format!("select 1{} from numbers", "+1".repeat(5_000))), "Runs a query over numbers.");
    }
}
