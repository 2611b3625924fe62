//! What runs, and still may not say what it seems to: traps of SQL, read from a statement and the schema alone.
//!
//! A false alarm is worse than silence: a lint speaks only where the catalog proves that the trap is there (a key, a
//! foreign key, a column that may be null). Whether the rows at hand fall into it is not looked at. Nothing here fails:
//! what cannot be read has no lints. The checks: [`fan_out`], [`joins`], [`nulls`], [`numbers`], [`time`].

mod fan_out;
mod joins;
mod nulls;
mod numbers;
pub(super) mod scope;
mod time;
pub(super) mod tree;
pub(super) mod walk;

use serde::{Deserialize, Serialize};
use sqlparser::ast::{Query, Statement};
use sqlparser::parser::Parser;
use utoipa::ToSchema;

use super::schema::Schema;
use super::terms::dialect;
use scope::Names;
use walk::{Looked, Visit};

/// One trap, and how to get out of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lint {
    pub code: LintCode,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LintCode {
    /// A join repeats rows that are summed, averaged or counted.
    FanOut,
    /// NOT IN with a query that may give a null, and then nothing is found.
    NotInNull,
    /// Whole numbers are divided, and the engine drops the fraction.
    IntegerDivision,
    /// A day begins or ends elsewhere than it seems.
    TimeZoneEdge,
    /// Which rows are kept is left to the engine.
    LimitWithoutOrder,
    /// A comparison with NULL, which never holds.
    NullComparison,
    /// Tables side by side that nothing joins.
    CrossJoin,
    /// Rows without a value are dropped by "is not".
    NotEqualNull,
    /// Nothing was found, and a text that was looked for is none of the known values.
    UnknownValue,
}

/// Longer statements have no lints: their trees cost stack to drop.
pub(super) const MAX_SQL_BYTES: usize = 4096;
/// Queries nested deeper are not looked into.
pub(super) const MAX_NESTING: usize = 10;
/// Nobody reads more.
const MAX_LINTS: usize = 12;

/// The traps in one statement, in the order of its queries from the outside in, each once.
pub fn lints(sql: &str, schema: &Schema) -> Vec<Lint> {
    if sql.len() > MAX_SQL_BYTES {
        return Vec::new();
    }
    let parsed = Parser::parse_sql(dialect(schema.engine), sql);
    let Ok([Statement::Query(query)]) = parsed.as_deref() else { return Vec::new() };
    let mut linter = Linter { found: Vec::new() };
    walk::all(query, schema, &mut linter);
    linter.found.truncate(MAX_LINTS);
    linter.found
}

struct Linter {
    found: Vec<Lint>,
}

impl Linter {
    fn say(&mut self, code: LintCode, detail: String) {
        let lint = Lint { code, detail };
        if !self.found.contains(&lint) {
            self.found.push(lint);
        }
    }
}

impl Visit for Linter {
    fn query<'a>(&mut self, query: &'a Query, names: &Names<'a>) {
        if joins::keeps_any_rows(query, names) {
            let detail =
                "The rows are cut without an order, so which ones remain is left to the database; add ORDER BY.";
            self.say(LintCode::LimitWithoutOrder, detail.to_owned());
        }
    }

    fn select(&mut self, looked: &Looked) {
        fan_out::check(looked, self);
        joins::check(looked, self);
        nulls::check(looked, self);
        numbers::check(looked, self);
        time::check(looked, self);
    }
}

#[cfg(test)]
mod tests;
