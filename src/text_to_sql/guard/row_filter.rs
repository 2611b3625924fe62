//! Row filters: a condition that every read of a table carries, whoever wrote the statement.
//!
//! A table with a filter is replaced, in the text, by a derived table `(select * from s.t where (…) …)`, and the result is
//! checked again from the start. A filtered table that stands anywhere but in exactly that text is replaced; one that
//! stands in it is filtered, whoever wrote it so. Views over the table are tables of their own.

use serde_json::Value;

use super::dialect::Dialect;
use super::lexical::{self, Canonical, Kind};
use super::violation::{Violation, ViolationCode};
use super::walk;
use super::{Policy, parse};
use crate::text_to_sql::schema::{Engine, Schema, Table};

/// Whether `filter` can stand for a condition on `table`: columns of it, allowed functions, no subquery; `:name` stands
/// for an attribute of the caller's key.
pub fn check_row_filter(schema: &Schema, table: &Table, filter: &str) -> Result<(), Vec<Violation>> {
    let condition = filled(filter, &mut |_| Ok("null".to_owned())).map_err(|violation| vec![violation])?;
    derived_table(schema.engine, table, &condition).map(drop)
}

/// The canonical text that stands for `table` when `policy`'s caller reads it.
pub(super) fn filtered(
    engine: Engine,
    table: &Table,
    filter: &str,
    policy: &Policy,
) -> Result<Canonical, Vec<Violation>> {
    let mut value = |name: &str| match policy.attributes.get(name) {
        Some(value) => literal(engine, name, value),
        None => Err(missing(format!("`{}` can only be read with a key that has the attribute `{name}`.", table.name))),
    };
    let condition = filled(filter, &mut value).map_err(|violation| vec![violation])?;
    derived_table(engine, table, &condition)
}

/// Proves the condition against the table alone, with all its columns in sight: what people may not see, the filter may.
fn derived_table(engine: Engine, table: &Table, condition: &str) -> Result<Canonical, Vec<Violation>> {
    let dialect = Dialect::of(engine);
    let name = format!("{}.{}", dialect.quoted(&table.schema), dialect.quoted(&table.name));
    let open = alone(engine, table);
    let statement =
        lexical::read(&format!("select * from {name} where ({condition})"), dialect).map_err(|v| vec![v])?;
    let nested =
        |lexeme: &lexical::Lexeme| lexeme.kind == Kind::Word && statement.slice(lexeme).eq_ignore_ascii_case("select");
    if statement.lexemes.iter().filter(|lexeme| nested(lexeme)).count() != 1 || !is_one_condition(&statement) {
        return Err(vec![Violation::new(
            ViolationCode::NotAllowed,
            "A row filter is one condition, without a subquery.",
        )]);
    }
    let findings =
        parse::with_query(&statement, dialect, |query| walk::walk(query, &statement, &open, &Policy::default()))?;
    if !findings.violations.is_empty() {
        return Err(findings.violations);
    }
    if !findings.rewrites.is_empty() {
        let detail = "A row filter is taken as it is written; write texts in single quotes.";
        return Err(vec![Violation::new(ViolationCode::NotAllowed, detail)]);
    }
    lexical::read(&fenced(engine, &statement.text), dialect).map_err(|violation| vec![violation])
}

/// The filtered rows as a derived table that no engine merges into the statement around it: else it could try a user's
/// condition first, on rows that are not the user's, and its errors would tell of them.
fn fenced(engine: Engine, statement: &str) -> String {
    match engine {
        Engine::Postgres => format!("({statement} offset 0)"),
        Engine::Mysql => format!("({statement} limit 18446744073709551615)"),
        Engine::Sqlite => format!("({statement} limit -1)"),
        // The usual way there, though nothing promises it.
        Engine::Mssql => format!("({})", statement.replacen("select *", "select top (9223372036854775807) *", 1)),
    }
}

/// Whether the parenthesis that opens after WHERE closes at the very end, and not before.
fn is_one_condition(statement: &Canonical) -> bool {
    let mut depth = 0usize;
    let mut closed_at = Vec::new();
    for (place, lexeme) in statement.lexemes.iter().enumerate().filter(|(_, lexeme)| lexeme.kind == Kind::Punctuation) {
        match statement.slice(lexeme) {
            "(" => depth += 1,
            ")" if depth <= 1 => {
                closed_at.push(place);
                depth = 0;
            }
            ")" => depth -= 1,
            _ => {}
        }
    }
    closed_at == [statement.lexemes.len() - 1]
}

fn alone(engine: Engine, table: &Table) -> Schema {
    let mut table = Table { hidden: false, row_filter: None, ..table.clone() };
    for column in &mut table.columns {
        (column.hidden, column.masked) = (false, false);
    }
    Schema { engine, search_path: vec![table.schema.clone()], server_version: String::new(), tables: vec![table] }
}

/// The filter with a literal in the place of each `:name`; texts and quoted names in it are left alone.
fn filled(filter: &str, value: &mut dyn FnMut(&str) -> Result<String, Violation>) -> Result<String, Violation> {
    let mut text = String::with_capacity(filter.len());
    let mut rest = filter;
    while let Some(at) = rest.find([':', '\'', '"', '`', '[']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match rest.as_bytes() {
            [b':', b':', ..] => 2,
            [b':', ..] => {
                let name = name_at(&rest[1..]);
                text.push_str(&if name.is_empty() { ":".to_owned() } else { value(name)? });
                rest = &rest[1 + name.len()..];
                continue;
            }
            [open, ..] => quoted_length(rest, if *open == b'[' { ']' } else { char::from(*open) }),
            [] => 0,
        };
        text.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    text.push_str(rest);
    Ok(text)
}

fn name_at(rest: &str) -> &str {
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
    if rest.starts_with(|c: char| c.is_ascii_digit()) { "" } else { &rest[..end] }
}

fn quoted_length(rest: &str, close: char) -> usize {
    rest[1..].find(close).map_or(rest.len(), |end| end + 2)
}

/// A value as a literal that no setting of a session can read in another way.
fn literal(engine: Engine, name: &str, value: &Value) -> Result<String, Violation> {
    match value {
        Value::Bool(value) if engine == Engine::Mssql => Ok(u8::from(*value).to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        // In parentheses, so that no minus before it makes a comment of two.
        Value::Number(number) if number.as_i64().is_some_and(|number| number < 0) => Ok(format!("({number})")),
        Value::Number(number) if number.is_i64() => Ok(number.to_string()),
        Value::String(text) if !text.chars().any(|c| c == '\\' || c.is_control()) => {
            let national = if engine == Engine::Mssql { "N" } else { "" };
            Ok(format!("{national}'{}'", text.replace('\'', "''")))
        }
        _ => Err(missing(format!("The attribute `{name}` of this key cannot be used in a row filter."))),
    }
}

fn missing(detail: String) -> Violation {
    Violation::new(ViolationCode::MissingAttribute, detail)
}
