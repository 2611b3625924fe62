//! What people declared: a metric is shown, ordered by or the subject of a superlative like any aggregate; a named filter
//! is a condition, and a default one holds for every question about its table that does not speak against it.

use super::{Kind, Reader, Superlative};
use crate::text_to_sql::generate::builtin::joins::JoinTree;
use crate::text_to_sql::generate::builtin::phrases::superlative;
use crate::text_to_sql::generate::builtin::plan::{Condition, Expression, Plan};
use crate::text_to_sql::link::catalog::{ColumnId, TableId};
use crate::text_to_sql::link::words::{identifier_stems, stem};
use crate::text_to_sql::link::{Candidate, Meaning};
use crate::text_to_sql::terms;

/// How far before a metric the word of its superlative may stand.
const REACH: usize = 4;

impl Reader<'_> {
    pub(super) fn read_terms(&mut self) {
        for index in 0..self.mentions.len() {
            let mention = &self.mentions[index];
            if mention.kind != Kind::Term || mention.used {
                continue;
            }
            let start = mention.start;
            let meaning = mention.candidates.iter().map(|candidate| candidate.meaning.clone()).find(is_term);
            match meaning {
                Some(Meaning::Metric(table, metric)) => self.read_metric(start, table, metric),
                Some(Meaning::Filter(table, filter)) => {
                    self.spoken_filters.push((table, filter));
                    self.place(Condition::Named { table, filter }, start);
                }
                _ => continue,
            }
            self.mentions[index].used = true;
        }
    }

    fn read_metric(&mut self, start: usize, table: TableId, metric: usize) {
        let before = (start.saturating_sub(REACH)..start).rev().take_while(|at| !self.tokens[*at].is_mark());
        let extreme = before.clone().find_map(|at| Some((at, superlative(self.word(at))?.descending)));
        let by = before.clone().any(|at| self.word(at) == "by");
        let top = (0..start).rev().find(|at| by && matches!(self.word(*at), "top" | "bottom"));
        let found = extreme.or(top.map(|at| (at, self.word(at) == "top")));
        let Some((at, descending)) = found else {
            return self.outputs.push((Expression::Metric(table, metric), start));
        };
        self.explained[at] = true;
        self.superlative = Some(Superlative::Metric { table, metric, descending });
    }

    /// The default filters of every table that a query reads, those that only join others too.
    pub fn add_default_filters(&mut self, plan: &mut Plan, joins: &JoinTree) {
        let spoken: Vec<&Condition> = plan.conditions.iter().collect();
        let (held, dropped) = self.default_filters(joins, &spoken);
        plan.always.extend(held.iter().map(|(table, filter, _)| Condition::Named { table: *table, filter: *filter }));
        held.into_iter().for_each(|(_, _, name)| self.assume(1.0, format!("only {name}, by default")));
        dropped
            .into_iter()
            .for_each(|name| self.assume(1.0, format!("not only {name}, because the question speaks of it")));
    }

    /// The same inside of a condition, about which nothing more is said.
    pub(super) fn default_conditions(&self, joins: &JoinTree, spoken: &[Condition]) -> Vec<Condition> {
        let (held, _) = self.default_filters(joins, &spoken.iter().collect::<Vec<_>>());
        held.into_iter().map(|(table, filter, _)| Condition::Named { table, filter }).collect()
    }

    /// Those that hold, and the names of those that the question speaks against.
    fn default_filters(&self, joins: &JoinTree, spoken: &[&Condition]) -> (Vec<(TableId, usize, String)>, Vec<String>) {
        let (mut held, mut dropped) = (Vec::new(), Vec::new());
        for table in joins.tables() {
            let declared = self.catalog.table(table).table;
            let filters = terms::open_filters(self.catalog.engine(), declared).enumerate();
            for (at, filter) in filters.filter(|(_, filter)| filter.default) {
                if self.spoken_filters.contains(&(table, at)) {
                    continue;
                }
                if self.speaks_against(table, &filter.name) || self.speaks_of(table, &filter.condition, spoken) {
                    dropped.push(filter.name.clone());
                } else {
                    held.push((table, at, filter.name.clone()));
                }
            }
        }
        (held, dropped)
    }

    /// Values of the very columns that a filter is about: "cancelled orders" are not meant to be live ones. "Not shipped"
    /// may still be.
    fn speaks_of(&self, table: TableId, condition: &str, spoken: &[&Condition]) -> bool {
        let declared = self.catalog.table(table).table;
        let columns = terms::columns(self.catalog.engine(), declared, condition);
        let of_filter = |column: ColumnId| {
            let entry = self.catalog.column(column);
            entry.table == table && columns.contains(&entry.column.name.as_str())
        };
        let negated = spoken.iter().any(|condition| match condition {
            Condition::Not(inner) => inner.column().is_some_and(of_filter),
            _ => false,
        });
        let value = |candidate: &Candidate| matches!(candidate.meaning, Meaning::Value(column, _) if of_filter(column));
        let values = self.mentions.iter().filter(|mention| mention.kind == Kind::Value && !mention.dropped);
        !negated && values.flat_map(|mention| &mention.candidates).any(value)
    }

    /// "all customers", "including inactive ones"
    fn speaks_against(&self, table: TableId, name: &str) -> bool {
        let all = self.mentions.iter().any(|mention| {
            let counted = (1..=2).any(|back| matches!(self.word_before(mention.start, back), "all" | "any" | "every"));
            mention.table == Some(table) && counted
        });
        let stems = identifier_stems(name);
        // "inactive" speaks of "active", and "delivered" does not of "live".
        let of_it = |at: usize| {
            let (word, token) = (self.word(at), &self.tokens[at].stem);
            let opposites = ["in", "un", "non", "dis"].into_iter().filter_map(|prefix| word.strip_prefix(prefix));
            let opposites: Vec<String> = opposites.map(stem).collect();
            stems.iter().any(|name| name == token || opposites.contains(name))
        };
        let included = (0..self.tokens.len()).any(|at| {
            matches!(self.word(at), "including" | "include" | "even" | "also" | "regardless" | "whether" | "not")
                && (at + 1..(at + 5).min(self.tokens.len())).any(of_it)
        });
        all || included
    }
}

fn is_term(meaning: &Meaning) -> bool {
    matches!(meaning, Meaning::Metric(..) | Meaning::Filter(..))
}
