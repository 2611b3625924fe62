//! The terms that people declare on a table, metrics and named filters: fragments of SQL that a statement can take up.
//!
//! A fragment is one expression over columns of its own table, without a subquery. Whatever is built with it goes through
//! the guard like any statement; what is checked here is that it can be taken up at all, so that a mistake is told to
//! whoever makes it and not to whoever asks.

use sqlparser::dialect::{Dialect, MsSqlDialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer, Word};

use super::schema::{Engine, Metric, NamedFilter, Table};

/// Characters of a fragment.
pub const MAX_FRAGMENT: usize = 1_000;

/// Functions of which a metric must call one, so that it is one figure for many rows.
const AGGREGATES: &[&str] = &[
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "total",
    "median",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "variance",
    "var_pop",
    "var_samp",
    "stdev",
    "stdevp",
    "var",
    "varp",
    "percentile_cont",
    "percentile_disc",
    "bool_and",
    "bool_or",
    "count_big",
];

/// What sqlparser reads the engine's text with.
pub fn dialect(engine: Engine) -> &'static dyn Dialect {
    match engine {
        Engine::Postgres => &PostgreSqlDialect {},
        Engine::Mysql => &MySqlDialect {},
        Engine::Sqlite => &SQLiteDialect {},
        Engine::Mssql => &MsSqlDialect {},
    }
}

/// What keeps a metric from being taken up by statements, in words.
pub fn metric_fault(engine: Engine, table: &Table, metric: &Metric) -> Option<String> {
    let fragment = &metric.expression;
    fragment_fault(engine, table, fragment).or_else(|| {
        (!is_aggregate(engine, table, fragment)).then(|| "a metric is an aggregate, such as sum(amount)".to_owned())
    })
}

/// The same for a named filter.
pub fn filter_fault(engine: Engine, table: &Table, filter: &NamedFilter) -> Option<String> {
    let fragment = &filter.condition;
    fragment_fault(engine, table, fragment).or_else(|| {
        let aggregates = calls(engine, fragment).iter().any(|name| AGGREGATES.contains(&name.as_str()));
        aggregates.then(|| "a filter is a condition on single rows, without aggregates".to_owned())
    })
}

fn fragment_fault(engine: Engine, table: &Table, fragment: &str) -> Option<String> {
    if fragment.trim().is_empty() || fragment.chars().count() > MAX_FRAGMENT {
        return Some(format!("it must be 1 to {MAX_FRAGMENT} characters"));
    }
    if !is_one_expression(engine, fragment) {
        return Some("it is not one SQL expression".to_owned());
    }
    let words = words(engine, fragment);
    if words.iter().any(|word| word.value.eq_ignore_ascii_case("select")) {
        return Some("it must not hold a subquery".to_owned());
    }
    let closed = closed_columns(table).find(|name| words.iter().any(|word| same(word, name)));
    if let Some(name) = closed {
        return Some(format!("{name} is hidden or masked"));
    }
    let columns = table.visible_columns().any(|column| words.iter().any(|word| same(word, &column.name)));
    let counts_rows = calls(engine, fragment).iter().any(|name| name.starts_with("count"));
    (!columns && !counts_rows).then(|| format!("it names no column of {}", table.name))
}

/// Whether a fragment is one figure for many rows: it calls an aggregate, names its columns inside of one only, and is no
/// window function.
fn is_aggregate(engine: Engine, table: &Table, fragment: &str) -> bool {
    let tokens = Tokenizer::new(dialect(engine), fragment).tokenize().unwrap_or_default();
    let tokens: Vec<&Token> = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let mut inside: Vec<bool> = Vec::new();
    let mut found = false;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::LParen => {
                let called = at.checked_sub(1).map(|before| tokens[before].to_string().to_lowercase());
                let aggregate = called.is_some_and(|name| AGGREGATES.contains(&name.as_str()));
                found |= aggregate;
                inside.push(aggregate || inside.last() == Some(&true));
            }
            Token::RParen => {
                inside.pop();
            }
            // Of two arguments, SQLite's min and max compare within a row.
            Token::Comma if inside.len() == 1 && inside[0] && engine == Engine::Sqlite => return false,
            Token::Word(word) if word.value.eq_ignore_ascii_case("over") => return false,
            Token::Word(word) => {
                let column = table.visible_columns().any(|column| same(word, &column.name));
                let called = matches!(tokens.get(at + 1), Some(Token::LParen));
                if column && !called && inside.last() != Some(&true) {
                    return false;
                }
            }
            _ => {}
        }
    }
    found
}

fn is_one_expression(engine: Engine, fragment: &str) -> bool {
    let Ok(mut parser) = Parser::new(dialect(engine)).try_with_sql(fragment) else { return false };
    parser.parse_expr().is_ok() && parser.peek_token().token == Token::EOF
}

/// The metrics of a table that nothing hidden or masked is part of.
pub fn open_metrics(engine: Engine, table: &Table) -> impl Iterator<Item = &Metric> {
    table.metrics.iter().filter(move |metric| is_open(engine, table, &metric.expression))
}

/// The named filters of a table that nothing hidden or masked is part of.
pub fn open_filters(engine: Engine, table: &Table) -> impl Iterator<Item = &NamedFilter> {
    table.filters.iter().filter(move |filter| is_open(engine, table, &filter.condition))
}

fn is_open(engine: Engine, table: &Table, fragment: &str) -> bool {
    let words = words(engine, fragment);
    closed_columns(table).all(|name| !words.iter().any(|word| same(word, name)))
}

fn closed_columns(table: &Table) -> impl Iterator<Item = &str> {
    table.columns.iter().filter(|column| column.hidden || column.masked).map(|column| column.name.as_str())
}

/// The columns of a table that a fragment names.
pub fn columns<'t>(engine: Engine, table: &'t Table, fragment: &str) -> Vec<&'t str> {
    let words = words(engine, fragment);
    let named = table.visible_columns().filter(|column| words.iter().any(|word| same(word, &column.name)));
    named.map(|column| column.name.as_str()).collect()
}

/// A fragment in which every column of its table stands behind `owner`, so that it is clear beside other tables.
pub fn qualified(engine: Engine, table: &Table, fragment: &str, owner: &str) -> String {
    let Ok(tokens) = Tokenizer::new(dialect(engine), fragment).with_unescape(false).tokenize() else {
        return fragment.to_owned();
    };
    let mut text = String::with_capacity(fragment.len() + 32);
    for (at, token) in tokens.iter().enumerate() {
        if let Token::Word(word) = token
            && is_column(table, word, &tokens[..at], &tokens[at + 1..])
        {
            text.push_str(owner);
            text.push('.');
        }
        text.push_str(&token.to_string());
    }
    text
}

/// Whether a word names a column by itself: no part of a longer name, no function, no type before a text.
fn is_column(table: &Table, word: &Word, before: &[Token], after: &[Token]) -> bool {
    let spaced = |token: &&Token| !matches!(token, Token::Whitespace(_));
    let part = matches!(before.iter().rev().find(spaced), Some(Token::Period));
    let leads = matches!(
        after.iter().find(spaced),
        Some(Token::Period | Token::LParen | Token::SingleQuotedString(_) | Token::NationalStringLiteral(_))
    );
    !part && !leads && table.visible_columns().any(|column| same(word, &column.name))
}

/// Whether a word can be meant for a column: engines fold what is not quoted, and some fold what is.
fn same(word: &Word, name: &str) -> bool {
    word.value.eq_ignore_ascii_case(name)
}

fn words(engine: Engine, fragment: &str) -> Vec<Word> {
    let tokens = Tokenizer::new(dialect(engine), fragment).tokenize().unwrap_or_default();
    let word = |token| if let Token::Word(word) = token { Some(word) } else { None };
    tokens.into_iter().filter_map(word).collect()
}

/// The names before parentheses, lower case.
fn calls(engine: Engine, fragment: &str) -> Vec<String> {
    let tokens = Tokenizer::new(dialect(engine), fragment).tokenize().unwrap_or_default();
    let tokens: Vec<&Token> = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let call = |pair: &[&Token]| match (pair[0], pair[1]) {
        (Token::Word(word), Token::LParen) => Some(word.value.to_lowercase()),
        _ => None,
    };
    tokens.windows(2).filter_map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text_to_sql::schema::{Column, ColumnKind, TableKind};

    fn orders() -> Table {
        let column = |name: &str| Column::found(name.to_owned(), "numeric".to_owned(), ColumnKind::Decimal, true);
        let mut table = Table::found("public".to_owned(), "orders".to_owned(), TableKind::Table);
        table.columns = vec![column("amount"), column("discount"), column("date"), column("margin")];
        table.columns[3].hidden = true;
        table
    }

    fn metric(expression: &str) -> Option<String> {
        let metric = Metric {
            name: "net revenue".to_owned(),
            synonyms: Vec::new(),
            description: None,
            expression: expression.to_owned(),
            unit: None,
        };
        metric_fault(Engine::Postgres, &orders(), &metric)
    }

    #[test]
    fn a_metric_is_one_aggregate_over_columns_that_may_be_seen() {
        assert_eq!(metric("sum(amount - discount)"), None);
        assert_eq!(metric("count(*)"), None);
        for (refused, why) in [
            ("amount", "aggregate"),
            ("amount + count(*)", "aggregate"),
            ("sum(amount) over ()", "aggregate"),
            ("sum(amount), sum(discount)", "one SQL expression"),
            ("sum(amount) from orders; drop table orders", "one SQL expression"),
            ("sum(amount) or (select 1)", "subquery"),
            ("sum(margin)", "hidden"),
            ("sum(\"Margin\")", "hidden"),
            ("sum(1)", "no column"),
            ("", "characters"),
        ] {
            let fault = metric(refused).unwrap_or_else(|| panic!("{refused} passed"));
            assert!(fault.contains(why), "{refused}: {fault}");
        }
    }

    #[test]
    fn columns_of_a_fragment_stand_behind_the_name_of_their_table() {
        let table = orders();
        let qualified = |fragment: &str| qualified(Engine::Postgres, &table, fragment, "o");
        assert_eq!(qualified("sum(amount - \"discount\")"), "sum(o.amount - o.\"discount\")");
        assert_eq!(qualified("date >= date '2024-01-01'"), "o.date >= date '2024-01-01'");
        assert_eq!(qualified("orders.amount > 'amount'"), "orders.amount > 'amount'");
        assert_eq!(qualified("date(amount)"), "date(o.amount)");
    }
}
