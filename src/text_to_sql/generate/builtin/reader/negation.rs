//! What a question leaves out: "not in Spain" is a condition turned round, "customers without orders" are those that no
//! order refers to.

use super::{Kind, Placed, Reader};
use crate::text_to_sql::generate::builtin::joins;
use crate::text_to_sql::generate::builtin::plan::{Condition, Expression, Plan, Query};
use crate::text_to_sql::link::catalog::TableId;

const NEGATIONS: &[&str] = &[
    "not",
    "no",
    "never",
    "without",
    "neither",
    "nor",
    "none",
    "nobody",
    "cannot",
    "except",
    "excluding",
    "exclude",
    "lacking",
];
/// How far before what it negates the word may stand.
const REACH: usize = 5;
/// Which table the rest of a negation is about was not said by name.
const UNNAMED: f32 = 0.7;

/// Rows of `head` to which no row of `child` belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    pub head: TableId,
    pub child: TableId,
    /// The word that negates: conditions after it are about the child.
    pub at: usize,
}

impl Reader<'_> {
    /// The word that negates what begins at this token.
    pub(super) fn negation_before(&self, start: usize) -> Option<usize> {
        let near = (start.saturating_sub(REACH)..start).rev().take_while(|at| !self.tokens[*at].is_mark());
        let mut near = near.filter(|at| !self.covered_by_name(*at));
        let but = |at: usize| self.word(at) == "other" && self.word(at + 1) == "than";
        near.find(|at| (NEGATIONS.contains(&self.word(*at)) && !self.compares(*at)) || but(*at))
    }

    /// Turns a condition round where the words before it say so.
    pub(super) fn place(&mut self, condition: Condition, at: usize) {
        let Some(negation) = self.negation_before(at) else { return self.add_condition(condition, at) };
        self.explained[negation] = true;
        if self.word(negation) == "other" {
            self.explained[negation + 1] = true;
        }
        self.add_condition(condition.negated(), at);
    }

    /// "no more than", "not later than"
    fn compares(&self, at: usize) -> bool {
        let comparative = matches!(
            self.word(at + 1),
            "more" | "less" | "fewer" | "later" | "earlier" | "greater" | "lower" | "higher" | "larger" | "smaller"
        );
        matches!(self.word(at), "no" | "not") && comparative && self.word(at + 2) == "than"
    }

    fn covered_by_name(&self, at: usize) -> bool {
        self.mentions.iter().any(|mention| mention.kind != Kind::Value && mention.start <= at && at < mention.end)
    }

    /// "customers who have no orders", "products that were never sold"
    pub(super) fn read_absence(&mut self) {
        let absence = self.absence_of_named().or_else(|| self.absence_of_unnamed());
        let Some(absence) = absence.filter(|absence| absence.at < self.order_start()) else { return };
        self.explained[absence.at] = true;
        self.absence = Some(absence);
    }

    fn absence_of_named(&mut self) -> Option<Absence> {
        for index in 0..self.mentions.len() {
            let mention = &self.mentions[index];
            let Some(child) = mention.table.filter(|_| mention.kind == Kind::Table && !mention.used) else { continue };
            let Some(at) = self.negation_before(mention.start) else { continue };
            let Some(head) = self.heads_before(at).into_iter().find(|head| *head != child) else { continue };
            self.mentions[index].used = true;
            return Some(Absence { head, child, at });
        }
        None
    }

    /// The tables and the tables of columns that the question speaks of before a token.
    fn heads_before(&self, at: usize) -> Vec<TableId> {
        let before = || self.mentions.iter().filter(|mention| mention.end <= at);
        let tables = before().filter(|mention| mention.kind == Kind::Table).filter_map(|mention| mention.table);
        let columns = before().filter(|mention| mention.kind == Kind::Column).filter_map(|mention| mention.column);
        tables.chain(columns.map(|column| self.catalog.table_of(column))).collect()
    }

    /// "customers who did not order anything": of the tables that refer to the head, the one that the rest speaks of.
    fn absence_of_unnamed(&mut self) -> Option<Absence> {
        let at = (1..self.tokens.len()).find(|at| {
            let word = self.word(*at);
            NEGATIONS.contains(&word) && !matches!(word, "no" | "except") && !self.explained[*at] && !self.compares(*at)
        })?;
        let head = self.mentions.iter().filter(|mention| mention.end <= at && mention.kind == Kind::Table);
        let head = head.filter_map(|mention| mention.table).next()?;
        let refers = |edge: &&usize| self.catalog.edge(**edge).parent == head;
        let children: Vec<TableId> =
            self.catalog.edges_of(head).iter().filter(refers).map(|edge| self.catalog.edge(*edge).child).collect();
        let spoken = |child: &&TableId| {
            self.mentions.iter().filter(|mention| mention.start > at).any(|mention| {
                mention.candidates.iter().any(|candidate| self.table_meant(&candidate.meaning) == Some(**child))
            })
        };
        let child = children.iter().find(spoken).or(children.first()).copied()?;
        self.assume(UNNAMED, format!("what is left out has a row in {}", self.catalog.table(child).table.name));
        Some(Absence { head, child, at })
    }

    /// The condition that an absence means, with the conditions on the child inside it. `None` where no single key
    /// leads from the one table to the other.
    pub(in crate::text_to_sql::generate::builtin) fn absent(
        &self,
        absence: Absence,
        inner: Vec<Placed>,
    ) -> Option<(Condition, Query)> {
        let steps = joins::path(self.catalog, absence.head, absence.child)?;
        let first = steps.first()?;
        let &[(child, parent)] = &self.catalog.edge(first.edge).pairs[..] else { return None };
        let (outer, key) = if self.catalog.table_of(child) == first.table { (parent, child) } else { (child, parent) };
        let mut plan = Plan::of(Some(first.table));
        plan.outputs.push(Expression::Column(key));
        let turned = inner.into_iter().map(|placed| match placed.condition {
            Condition::Not(condition) => *condition,
            other => other,
        });
        plan.conditions.extend(turned);
        if self.catalog.column(key).column.nullable {
            plan.conditions.push(Condition::IsKnown { column: key });
        }
        plan.add_table(absence.child);
        plan.complete_tables(self.catalog);
        let joins = joins::connect(self.catalog, &plan.tables)?;
        let query = Query { plan, joins };
        Some((Condition::Absent { column: outer, query: Box::new(query.clone()) }, query))
    }
}
