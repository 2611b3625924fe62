//! Every query and every SELECT of a statement, from the outside in, with what names mean there.

use std::rc::Rc;

use sqlparser::ast::{Expr, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins};

use super::MAX_NESTING;
use super::scope::{self, Names, Scope};
use super::tree::{self, Parts};
use crate::text_to_sql::schema::Schema;

/// A SELECT with what there is to look at.
pub struct Looked<'a, 's> {
    pub select: &'a Select,
    pub scope: &'s Rc<Scope<'a>>,
    pub names: &'s Names<'a>,
    /// All expressions but those of nested queries.
    pub parts: &'s Parts<'a>,
}

pub trait Visit {
    /// A query of which the rows matter, not only whether there are any.
    fn query<'a>(&mut self, _query: &'a Query, _names: &Names<'a>) {}

    fn select(&mut self, looked: &Looked);
}

/// Nothing inside of a row filter is visited: it is not the asker's, and rules are not told.
pub fn all<'a>(query: &'a Query, schema: &'a Schema, visit: &mut dyn Visit) {
    Walk { visit }.query(query, &Names::new(schema), true);
}

struct Walk<'v> {
    visit: &'v mut dyn Visit,
}

impl Walk<'_> {
    fn query<'a>(&mut self, query: &'a Query, names: &Names<'a>, rows_matter: bool) {
        if names.depth > MAX_NESTING || is_row_filter(query, names.schema) {
            return;
        }
        let names = names.with(query);
        if rows_matter {
            self.visit.query(query, &names);
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
        self.visit.select(&Looked { select, scope: &scope, names, parts: &parts });
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

/// Whether this is what stands for a table with a row filter.
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
