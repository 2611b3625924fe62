//! The one way to a user's database: [`check`] turns SQL text into [`ReadOnlySql`], or says what is wrong with it.
//!
//! Promises: the author of the text is taken to be hostile; what was checked is what runs, because the checked text
//! ([`ReadOnlySql::text`]) is written from the tokens that were checked, never printed from a tree; every table, column,
//! function, type and operator in it is known and visible; every word of it is either such a name or a keyword known to
//! be harmless; whatever is not understood is refused. It does no input or output and never panics.
//! The steps: [`lexical`] (bounds, tokens, canonical text), [`parse`], [`walk`] (names in their scopes, functions, types).
//! Left to the caller who runs the text: a read-only session, `standard_conforming_strings = on` and a `search_path` that
//! starts with `pg_catalog` on PostgreSQL, an authorizer on SQLite, deadlines, row and byte limits, cost.

mod closed;
mod dialect;
mod expressions;
mod fragment;
mod from;
mod functions;
mod lexical;
mod mssql;
mod mssql_grammar;
mod mysql;
mod parse;
mod pivot;
mod postgres;
mod row_filter;
mod scope;
mod sqlite;
mod sqlite_grammar;
mod types;
mod violation;
mod walk;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schema::{Engine, Schema};
use dialect::Dialect;
pub use fragment::{check_filter, check_metric};
use lexical::Canonical;
pub use row_filter::check_row_filter;
pub(super) use violation::distance;
pub use violation::{Violation, ViolationCode};
use walk::{Findings, Rewrite};

/// What the caller may do beyond the built-in allow-lists.
#[derive(Default, Clone, Debug)]
pub struct Policy {
    /// Functions an admin approved, lower case; with their schema (`sales.margin`) if statements must name it.
    pub approved_functions: Vec<String>,
    /// What the caller's key says about the caller, for row filters: `tenant` is 42. Texts, numbers and booleans.
    pub attributes: BTreeMap<String, serde_json::Value>,
}

/// A statement that reads, and reads only what its author may see. Only [`check`] makes one.
#[derive(Clone, Debug)]
pub struct ReadOnlySql {
    text: String,
    engine: Engine,
    tables: Vec<TableRef>,
    columns: Vec<ColumnRef>,
}

impl ReadOnlySql {
    /// The canonical text: the only text that is cached, audited, explained and executed.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The base tables and views that the statement reads, sorted.
    pub fn tables(&self) -> &[TableRef] {
        &self.tables
    }

    /// The columns of those tables that the statement reads, compares, groups or sorts by, sorted.
    pub fn columns(&self) -> &[ColumnRef] {
        &self.columns
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub struct TableRef {
    pub schema: String,
    pub table: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub struct ColumnRef {
    pub schema: String,
    pub table: String,
    pub column: String,
}

/// How often a text may be rewritten and checked anew; one round is enough for every rewrite there is.
const MAX_ROUNDS: usize = 2;

/// Checks one statement for the tables and columns of `schema` that are not hidden.
///
/// The violations are all that could be found, most basic first. The text that passes may differ from `sql`: comments
/// are gone, white space is single, `*` over a table with hidden columns names the visible ones, a table with a row
/// filter is a derived table, SQLite's double-quoted strings are single-quoted, tables of PostgreSQL and SQL Server carry
/// their schema, and those of MySQL and SQL Server are spelled as the catalog spells them.
pub fn check(sql: &str, schema: &Schema, policy: &Policy) -> Result<ReadOnlySql, Vec<Violation>> {
    let dialect = Dialect::of(schema.engine);
    let mut canonical = lexical::read(sql, dialect).map_err(|violation| vec![violation])?;
    for _ in 0..MAX_ROUNDS {
        let findings = parse::with_query(&canonical, dialect, |query| walk::walk(query, &canonical, schema, policy))?;
        if !findings.violations.is_empty() {
            return Err(findings.violations);
        }
        if findings.rewrites.is_empty() {
            return Ok(proven(canonical, schema, &findings));
        }
        let again = rewritten(&canonical, &findings.rewrites, dialect)?;
        if is_qualified(&canonical, &again, &findings.rewrites) {
            return Ok(proven(again, schema, &findings));
        }
        canonical = again;
    }
    Err(vec![Violation::new(ViolationCode::ParserGap, "The statement could not be brought into a stable form.")])
}

fn proven(canonical: Canonical, schema: &Schema, findings: &Findings) -> ReadOnlySql {
    let table = |index: usize| &schema.tables[index];
    let mut tables: Vec<TableRef> = findings
        .tables
        .iter()
        .map(|&index| TableRef { schema: table(index).schema.clone(), table: table(index).name.clone() })
        .collect();
    let mut columns: Vec<ColumnRef> = findings
        .columns
        .iter()
        .map(|(index, column)| ColumnRef {
            schema: table(*index).schema.clone(),
            table: table(*index).name.clone(),
            column: column.clone(),
        })
        .collect();
    tables.sort();
    columns.sort();
    ReadOnlySql { text: canonical.text, engine: schema.engine, tables, columns }
}

/// Whether `again` is the same tokens with a schema and a point before the tables that were to be qualified, and nothing
/// else: then it reads what was found before, and a second walk would find the same. That walk was half of the time.
fn is_qualified(canonical: &Canonical, again: &Canonical, rewrites: &[Rewrite]) -> bool {
    let mut places: Vec<usize> = rewrites.iter().map(|rewrite| rewrite.range.start).collect();
    places.sort_unstable();
    let mut tokens = again.lexemes.iter().map(|lexeme| again.slice(lexeme));
    rewrites.iter().all(|rewrite| rewrite.only_qualifies)
        && canonical.lexemes.iter().all(|lexeme| {
            let qualified = places.binary_search(&lexeme.range.start).is_ok();
            let schema = !qualified || tokens.next().zip(tokens.next()).is_some_and(|(_, point)| point == ".");
            schema && tokens.next() == Some(canonical.slice(lexeme))
        })
        && tokens.next().is_none()
}

/// The text with some spans replaced, read again from the start: a rewrite earns no trust.
fn rewritten(canonical: &Canonical, rewrites: &[Rewrite], dialect: &Dialect) -> Result<Canonical, Vec<Violation>> {
    let mut rewrites: Vec<&Rewrite> = rewrites.iter().collect();
    rewrites.sort_by_key(|rewrite| rewrite.range.start);
    let mut text = String::with_capacity(canonical.text.len() + 256);
    let mut at = 0;
    for Rewrite { range, with, only_qualifies: _ } in rewrites {
        if range.start < at {
            let detail = "The statement names something in a way that cannot be rewritten; leave out its schema.";
            return Err(vec![Violation::new(ViolationCode::ParserGap, detail)]);
        }
        text.push_str(&canonical.text[at..range.start]);
        text.push_str(with);
        at = range.end;
    }
    text.push_str(&canonical.text[at..]);
    lexical::read(&text, dialect).map_err(|violation| vec![violation])
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
