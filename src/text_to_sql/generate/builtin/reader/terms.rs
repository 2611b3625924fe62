//! What people declared: a metric is shown, ordered by or the subject of a superlative like any aggregate; a named filter
//! is a condition, and a default one holds for every question about its table that does not speak against it.

use super::{Kind, Reader, Superlative};
use crate::text_to_sql::generate::builtin::phrases::superlative;
use crate::text_to_sql::generate::builtin::plan::{Condition, Expression, Plan};
use crate::text_to_sql::link::catalog::TableId;
use crate::text_to_sql::link::words::identifier_stems;
use crate::text_to_sql::link::{Candidate, Meaning};
use crate::text_to_sql::schema::NamedFilter;
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

    /// The default filters of the tables of a plan.
    pub fn add_default_filters(&mut self, plan: &mut Plan) {
        for table in plan.tables.clone() {
            let engine = self.catalog.engine();
            let declared = self.catalog.table(table).table;
            let filters = terms::open_filters(engine, declared).enumerate().filter(|(_, filter)| filter.default);
            let filters: Vec<(usize, NamedFilter)> = filters.map(|(at, filter)| (at, filter.clone())).collect();
            for (filter, declared) in filters {
                let name = declared.name.as_str();
                let spoken = self.spoken_filters.contains(&(table, filter));
                if spoken || self.speaks_against(table, name) || self.speaks_of(table, &declared.condition) {
                    continue;
                }
                plan.always.push(Condition::Named { table, filter });
                self.assume(1.0, format!("only {name}, by default"));
            }
        }
    }

    /// Values of the very columns that a filter is about: "cancelled orders" are not meant to be live ones.
    fn speaks_of(&self, table: TableId, condition: &str) -> bool {
        let declared = self.catalog.table(table).table;
        let columns = terms::columns(self.catalog.engine(), declared, condition);
        let of_filter = |candidate: &Candidate| match &candidate.meaning {
            Meaning::Value(column, _) => {
                let entry = self.catalog.column(*column);
                entry.table == table && columns.contains(&entry.column.name.as_str())
            }
            _ => false,
        };
        let values = self.mentions.iter().filter(|mention| mention.kind == Kind::Value && !mention.dropped);
        values.flat_map(|mention| &mention.candidates).any(of_filter)
    }

    /// "all customers", "including inactive ones"
    fn speaks_against(&self, table: TableId, name: &str) -> bool {
        let all = self.mentions.iter().any(|mention| {
            let counted = (1..=2).any(|back| matches!(self.word_before(mention.start, back), "all" | "any" | "every"));
            mention.table == Some(table) && counted
        });
        let stems = identifier_stems(name);
        let of_it = |at: usize| stems.iter().any(|stem| self.tokens[at].lower.contains(stem.as_str()));
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
