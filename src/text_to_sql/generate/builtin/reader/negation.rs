//! What a question leaves out: "not in Spain" is a condition turned round, "customers without orders" are those that no
//! order refers to.

use super::{Kind, Placed, Reader};
use crate::text_to_sql::generate::builtin::joins;
use crate::text_to_sql::generate::builtin::plan::{Condition, Expression, Plan, Query};
use crate::text_to_sql::link::catalog::{ColumnId, TableId};

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
    /// Not rows are left out but the values of this column, with all their rows: "cities without a large branch".
    pub values: Option<ColumnId>,
}

impl Reader<'_> {
    /// The word that negates what begins at this token.
    pub(super) fn negation_before(&self, start: usize) -> Option<usize> {
        let near = (start.saturating_sub(REACH)..start).rev().take_while(|at| !self.tokens[*at].is_mark());
        let mut near = near.filter(|at| !self.covered_by_name(*at));
        let but = |at: usize| self.word(at) == "other" && self.word(at + 1) == "than";
        near.find(|at| (NEGATIONS.contains(&self.word(*at)) && !self.compares(*at)) || but(*at))
    }

    /// Whether some word leaves something out.
    pub(in crate::text_to_sql::generate::builtin) fn negates(&self) -> bool {
        let says = |at: usize| NEGATIONS.contains(&self.word(at)) && !self.compares(at) && !self.covered_by_name(at);
        (0..self.tokens.len()).any(says)
    }

    /// Turns a condition round where the words before it say so, or right after it: "which Acme does not make".
    pub(super) fn place(&mut self, condition: Condition, at: usize) {
        let negation = self.negation_before(at).or_else(|| self.negation_after(at));
        let Some(negation) = negation else { return self.add_condition(condition, at) };
        self.explained[negation] = true;
        if self.word(negation) == "other" {
            self.explained[negation + 1] = true;
        }
        self.add_condition(condition.negated(), at);
    }

    fn negation_after(&self, start: usize) -> Option<usize> {
        let end = self.mentions.iter().find(|mention| mention.start == start)?.end;
        let verb = matches!(self.word(end), "does" | "do" | "did" | "has" | "have" | "had" | "is" | "was" | "were");
        (verb && matches!(self.word(end + 1), "not" | "never") && !self.compares(end + 1)).then_some(end + 1)
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
            let head = self.heads_before(at).into_iter().find(|head| *head != child);
            let values = if head.is_some() { None } else { self.values_before(at, child) };
            if head.is_none() && values.is_none() {
                continue;
            }
            self.mentions[index].used = true;
            return Some(Absence { head: head.unwrap_or(child), child, at, values });
        }
        None
    }

    /// The column of a table that is asked for before a token, where its values repeat.
    fn values_before(&self, at: usize, table: TableId) -> Option<ColumnId> {
        let before = self.mentions.iter().filter(|mention| mention.end <= at && mention.kind == Kind::Column);
        let repeats = |column: &ColumnId| {
            let entry = self.catalog.column(*column);
            entry.table == table && !entry.is_unique
        };
        before.filter_map(|mention| mention.column).find(repeats)
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
        Some(Absence { head, child, at, values: None })
    }

    /// The condition that an absence means, with the conditions on the child inside it. `None` where no single key
    /// leads from the one table to the other.
    pub(in crate::text_to_sql::generate::builtin) fn absent(
        &self,
        absence: Absence,
        inner: Vec<Placed>,
    ) -> Option<(Condition, Query)> {
        let (outer, key) = match absence.values {
            Some(column) => (column, column),
            None => self.columns_to_child(absence)?,
        };
        let mut plan = Plan::of(Some(self.catalog.table_of(key)));
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
        let held = self.default_conditions(&joins, &plan.conditions);
        plan.always.extend(held);
        let query = Query { plan, joins };
        Some((Condition::Absent { column: outer, query: Box::new(query.clone()) }, query))
    }

    /// The column of the head by which the way to the child begins, and the column it equals.
    fn columns_to_child(&self, absence: Absence) -> Option<(ColumnId, ColumnId)> {
        let steps = joins::path(self.catalog, absence.head, absence.child)?;
        let first = steps.first()?;
        let &[(child, parent)] = &self.catalog.edge(first.edge).pairs[..] else { return None };
        Some(if self.catalog.table_of(child) == first.table { (parent, child) } else { (child, parent) })
    }
}
