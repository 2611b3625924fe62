//! Tables that nothing joins, and rows that are kept without an order.

use std::collections::BTreeSet;

use sqlparser::ast::{Expr, LimitClause, Query, SetExpr};

use super::scope::{Names, Scope};
use super::tree::{Parts, taken_apart};
use super::walk::Looked;
use super::{LintCode, Linter};

/// Whether rows are cut off at a number, and no order says which.
pub fn keeps_any_rows<'a>(query: &'a Query, names: &Names<'a>) -> bool {
    let limited = match &query.limit_clause {
        Some(LimitClause::LimitOffset { limit, .. }) => limit.is_some(),
        Some(LimitClause::OffsetCommaLimit { .. }) => true,
        None => false,
    };
    let top = matches!(&*query.body, SetExpr::Select(select) if select.top.is_some());
    (limited || top || query.fetch.is_some()) && query.order_by.is_none() && !names.gives_one_row(&query.body)
}

/// Two tables, or groups of them, between which there is no condition of any kind.
pub fn check(looked: &Looked, linter: &mut Linter) {
    let scope = looked.scope;
    if let Some((left, right)) = apart(scope) {
        let detail = format!(
            "Nothing joins {left} and {right}, so every row of the one meets every row of the other; add a join condition."
        );
        linter.say(LintCode::CrossJoin, detail);
    }
}

fn apart(scope: &Scope) -> Option<(String, String)> {
    let mut groups: Vec<BTreeSet<usize>> = (0..scope.relations.len()).map(|relation| [relation].into()).collect();
    for condition in scope.on.iter().chain(&scope.wheres) {
        // A condition that is not read in full may join anything.
        unite(&mut groups, &mentioned(scope, condition)?);
    }
    for (left, right) in &scope.merged {
        unite(&mut groups, &[left.relation, right.relation].into());
    }
    let named = |group: &BTreeSet<usize>| {
        let table = |relation: &usize| scope.relations[*relation].shape.table.map(|table| table.name.clone());
        let known = |relation: &&usize| {
            let it = &scope.relations[**relation];
            !it.opaque && !it.shape.one_row && !scope.crossed.contains(relation)
        };
        group.iter().find(known).and_then(table)
    };
    let wanted = scope.relations.iter().any(|relation| relation.opaque) || scope.crossed.contains(&0);
    let names: Vec<String> = groups.iter().filter_map(named).collect();
    match &names[..] {
        [left, right, ..] if !wanted => Some((left.clone(), right.clone())),
        _ => None,
    }
}

fn unite(groups: &mut Vec<BTreeSet<usize>>, joined: &BTreeSet<usize>) {
    let (touched, mut others): (Vec<_>, Vec<_>) = groups.drain(..).partition(|group| !group.is_disjoint(joined));
    if !touched.is_empty() {
        others.push(touched.into_iter().flatten().collect());
    }
    others.sort();
    *groups = others;
}

/// The relations that a condition is about. None: that cannot be told.
fn mentioned(scope: &Scope, condition: &Expr) -> Option<BTreeSet<usize>> {
    let Parts { exprs, queries, complete } = taken_apart([condition]);
    // A nested query may compare columns of two relations inside.
    if !complete || !queries.is_empty() && scope.relations.len() > 1 && is_correlated(scope, &queries) {
        return None;
    }
    let mut relations = BTreeSet::new();
    for column in exprs.iter().filter(|it| matches!(it, Expr::Identifier(_) | Expr::CompoundIdentifier(_))) {
        match scope.place(column) {
            Some(place) => _ = relations.insert(place.relation),
            None if scope.is_outer(column) => {}
            None => return None,
        }
    }
    Some(relations)
}

/// Whether the text of a nested query names a relation around it. An unqualified column may too, if it is one there.
fn is_correlated(scope: &Scope, queries: &[&Query]) -> bool {
    let text: String = queries.iter().map(|query| query.to_string().to_lowercase()).collect();
    let words: BTreeSet<&str> = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    scope.relations.iter().any(|relation| words.contains(relation.name.to_lowercase().as_str()))
}
