//! What runs, and still may not say what it seems to: traps of SQL, read from a statement and the schema alone.
//!
//! A false alarm is worse than silence: a lint speaks only where the catalog proves that the trap is there (a key, a
//! foreign key, a column that may be null). Whether the rows at hand fall into it is not looked at. Nothing here fails:
//! what cannot be read has no lints. The checks: [`fan_out`], [`joins`], [`nulls`], [`numbers`], [`time`].

mod fan_out;
mod joins;
mod nulls;
mod numbers;
mod scope;
mod time;
mod tree;

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use sqlparser::ast::{Expr, Query, Select, SelectItem, SetExpr, Statement, TableFactor, TableWithJoins};
use sqlparser::parser::Parser;
use utoipa::ToSchema;

use super::schema::Schema;
use super::terms::dialect;
use scope::{Names, Output, Scope};
use tree::Parts;

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
}

/// Longer statements have no lints: their trees cost stack to drop.
const MAX_SQL_BYTES: usize = 4096;
/// Queries nested deeper are not looked into.
const MAX_NESTING: usize = 10;
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
    linter.query(query, &Names::new(schema), true);
    linter.found.truncate(MAX_LINTS);
    linter.found
}

struct Linter {
    found: Vec<Lint>,
}

/// A SELECT with what the checks look at.
struct Looked<'a, 's> {
    select: &'a Select,
    scope: &'s Rc<Scope<'a>>,
    names: &'s Names<'a>,
    /// All expressions but those of nested queries.
    parts: &'s Parts<'a>,
}

impl Linter {
    fn say(&mut self, code: LintCode, detail: String) {
        let lint = Lint { code, detail };
        if !self.found.contains(&lint) {
            self.found.push(lint);
        }
    }

    /// `rows_matter`: not only whether there are any.
    fn query<'a>(&mut self, query: &'a Query, names: &Names<'a>, rows_matter: bool) {
        if names.depth > MAX_NESTING || is_row_filter(query, names.schema) {
            return;
        }
        let names = names.with(query);
        if rows_matter && joins::keeps_any_rows(query, &names) {
            let detail =
                "The rows are cut without an order, so which ones remain is left to the database; add ORDER BY.";
            self.say(LintCode::LimitWithoutOrder, detail.to_owned());
        }
        self.body(&query.body, tree::order_keys(query), &names);
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.query(&cte.query, &names.deeper(), true);
        }
    }

    fn body<'a>(&mut self, body: &'a SetExpr, order: Vec<&'a Expr>, names: &Names<'a>) {
        match body {
            _ if names.depth > MAX_NESTING => {}
            SetExpr::Select(select) => self.select(select, order, names),
            SetExpr::Query(query) => self.query(query, &names.deeper(), true),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, Vec::new(), &names.deeper());
                self.body(right, Vec::new(), &names.deeper());
            }
            _ => {}
        }
    }

    fn select<'a>(&mut self, select: &'a Select, order: Vec<&'a Expr>, names: &Names<'a>) {
        let scope = Rc::new(names.scope(select));
        let roots = tree::shown(select)
            .chain(scope::groups(select))
            .chain(scope.on.iter().copied())
            .chain(scope.wheres.iter().copied())
            .chain(order);
        let parts = tree::taken_apart(roots);
        let looked = Looked { select, scope: &scope, names, parts: &parts };
        fan_out::check(&looked, self);
        joins::check(&looked, self);
        nulls::check(&looked, self);
        numbers::check(&looked, self);
        time::check(&looked, self);
        let exists = |query: &Query| {
            let is = |expr: &&Expr| matches!(expr, Expr::Exists { subquery, .. } if std::ptr::eq(&**subquery, query));
            parts.exprs.iter().any(is)
        };
        for query in &parts.queries {
            self.query(query, &names.inside(&scope), !exists(query));
        }
        select.from.iter().for_each(|from| self.from(from, names, 0));
    }

    fn from<'a>(&mut self, from: &'a TableWithJoins, names: &Names<'a>, depth: usize) {
        let factors = std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation));
        for factor in factors {
            match factor {
                TableFactor::Derived { subquery, .. } => self.query(subquery, &names.deeper(), true),
                TableFactor::NestedJoin { table_with_joins, .. } if depth < MAX_NESTING => {
                    self.from(table_with_joins, names, depth + 1);
                }
                _ => {}
            }
        }
    }
}

/// Whether this is what stands for a table with a row filter. The filter is not the asker's, and rules are not told.
fn is_row_filter(query: &Query, schema: &Schema) -> bool {
    let SetExpr::Select(select) = &*query.body else { return false };
    let ([SelectItem::Wildcard(_)], [TableWithJoins { relation: TableFactor::Table { name, .. }, joins }]) =
        (&select.projection[..], &select.from[..])
    else {
        return false;
    };
    let last = name.0.last().and_then(|part| part.as_ident());
    let filtered = |name: &str| schema.tables.iter().any(|table| table.row_filter.is_some() && table.name == name);
    joins.is_empty() && last.is_some_and(|name| filtered(&name.value))
}

/// As people write it: "orders.total".
fn label(output: &Output) -> String {
    match (output.table, output.column) {
        (Some(table), Some(column)) => format!("{}.{}", table.name, column.name),
        _ => output.name.clone(),
    }
}

#[cfg(test)]
mod tests;
