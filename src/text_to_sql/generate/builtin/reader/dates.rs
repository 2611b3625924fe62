//! Which date a question means: "shipped in 2025" says so by its verb, "placed in 2025" by what it says of the table,
//! "in 2025" hardly at all. Whatever is not said is an assumption, and lowers the confidence.

use super::{Choice, Kind, Reader, Rival, Settled};
use crate::text_to_sql::explain::list;
use crate::text_to_sql::generate::builtin::plan::{Comparison, Condition};
use crate::text_to_sql::link::catalog::{ColumnId, Holds};
use crate::text_to_sql::link::words::is_generic_verb;

/// How far before a date its column or its verb may stand.
const REACH: usize = 5;
/// Fewer letters in common are chance.
const MIN_LETTERS: usize = 4;
/// The stems of dates on which a row came to be.
const BEGINNINGS: &[&str] = &["creat", "regist", "record", "enter", "ad"];

/// No other date is known, and nothing contradicts this one.
const ONLY_DATE: f32 = 0.97;
/// A verb just before the date says which.
const VERB_MATCHES: f32 = 0.97;
/// "placed in 2025" of orders that have a date of their own name.
const OWN_DATE: f32 = 0.9;
/// A word elsewhere says which.
const WORD_MATCHES: f32 = 0.8;
/// "orders in 2025", and they have several dates.
const UNSAID: f32 = 0.6;
/// The verb just before the date is about something that the date is not.
const VERB_DIFFERS: f32 = 0.65;

impl Reader<'_> {
    /// The date column that the words at `at` are about, if any table at hand has one.
    pub(super) fn date_column(&mut self, at: usize) -> Option<ColumnId> {
        if let Some(column) = self.date_named_before(at) {
            return Some(column);
        }
        let tables = self.likely_tables();
        let dates_of = |table| self.catalog.columns_of(table).filter(|column| self.holds(*column) == Holds::Date);
        let all: Vec<ColumnId> = tables.iter().flat_map(|table| dates_of(*table)).collect();
        let own: Vec<ColumnId> = tables
            .iter()
            .map(|table| dates_of(*table).collect::<Vec<_>>())
            .find(|dates: &Vec<ColumnId>| !dates.is_empty())
            .unwrap_or_default();
        let verb = self.verb_before(at);
        if let Some((verb, column)) = verb.and_then(|verb| Some((verb, self.date_called(verb, &all)?))) {
            self.drop_value_at(verb);
            self.explained[verb] = true;
            self.assume(VERB_MATCHES, format!("the date meant is {}", self.name(column)));
            return Some(column);
        }
        let (column, factor) = self.likely_date(verb, &own)?;
        if factor == UNSAID && !self.chose(Choice::OtherDate) {
            let names: Vec<String> = own.iter().map(|date| self.name(*date)).collect();
            let question = format!("Which date is meant: {}?", list(&names, "or"));
            self.rivals.push(Rival { column, question });
        }
        self.assume(factor, format!("the date meant is {}", self.name(column)));
        Some(column)
    }

    /// The date that a condition is on already.
    pub(super) fn date_in_use(&self) -> Option<ColumnId> {
        let dates = self.conditions.iter().filter_map(|placed| match placed.condition {
            Condition::Within { column, .. } => Some(column),
            _ => None,
        });
        dates.into_iter().next()
    }

    fn date_named_before(&mut self, at: usize) -> Option<ColumnId> {
        let near = |mention: &Settled| mention.end <= at && at - mention.end <= REACH;
        let is_date = |column: ColumnId| self.holds(column) == Holds::Date;
        let named = self.free_columns().rev().find(|(_, mention, column)| is_date(*column) && near(mention));
        let (index, _, column) = named?;
        self.mentions[index].used = true;
        Some(column)
    }

    fn likely_date(&self, verb: Option<usize>, dates: &[ColumnId]) -> Option<(ColumnId, f32)> {
        let first = *dates.first()?;
        let generic = verb.is_some_and(|verb| is_generic_verb(self.word(verb)));
        let stated =
            |verb: &usize| self.mentions.iter().any(|mention| mention.kind == Kind::Value && covers(mention, *verb));
        let differs = verb.filter(stated).is_some();
        if let [only] = dates {
            return Some((*only, if differs { VERB_DIFFERS } else { ONLY_DATE }));
        }
        if differs {
            return Some((first, UNSAID * VERB_DIFFERS));
        }
        if let Some(own) = dates.iter().copied().find(|column| generic && self.is_own_date(*column)) {
            return Some((own, OWN_DATE));
        }
        let words = (0..self.tokens.len()).filter(|at| !self.is_table_at(*at));
        let said = words.filter_map(|at| self.date_called(at, dates)).next();
        let own = dates.iter().copied().find(|column| self.is_own_date(*column));
        if self.chose(Choice::OtherDate) {
            let first = own.unwrap_or(first);
            let other = dates.iter().copied().find(|column| *column != first)?;
            return Some((other, UNSAID));
        }
        Some(said.map_or((own.unwrap_or(first), UNSAID), |column| (column, WORD_MATCHES)))
    }

    /// `ordered_on` of orders, `created_at` of anything.
    fn is_own_date(&self, column: ColumnId) -> bool {
        let entry = self.catalog.column(column);
        let table = &self.catalog.table(entry.table).names[0];
        entry.names[0].iter().any(|stem| table.contains(stem) || BEGINNINGS.contains(&stem.as_str()))
    }

    /// The last word with content shortly before a date, unless it names a table.
    fn verb_before(&self, at: usize) -> Option<usize> {
        let empty = |at: usize| {
            let token = &self.tokens[at];
            token.function
                || token.number().is_some()
                || token.dates().is_some()
                || matches!(
                    self.word(at),
                    "during" | "after" | "before" | "since" | "until" | "between" | "year" | "month" | "day" | "date"
                )
        };
        let verb = (at.saturating_sub(REACH)..at).rev().find(|at| !empty(*at))?;
        (!self.is_table_at(verb) && !self.tokens[verb].is_mark()).then_some(verb)
    }

    fn is_table_at(&self, at: usize) -> bool {
        self.mentions.iter().any(|mention| mention.kind == Kind::Table && covers(mention, at))
    }

    fn date_called(&self, at: usize, dates: &[ColumnId]) -> Option<ColumnId> {
        let token = &self.tokens[at];
        let begins = |stem: &String| {
            let letters = token.stem.chars().count().min(stem.chars().count());
            letters >= MIN_LETTERS && (token.stem.starts_with(stem.as_str()) || stem.starts_with(&token.stem))
                || *stem == token.stem && letters > 2
        };
        let called = |column: &ColumnId| {
            let stems = self.catalog.column(*column).names[0].iter();
            stems.filter(|stem| !matches!(stem.as_str(), "date" | "time" | "day")).any(begins)
        };
        dates.iter().copied().find(|column| !token.function && called(column))
    }

    /// "shipped in May" is the date of shipping: what was shipped may by now be something else.
    fn drop_value_at(&mut self, at: usize) {
        let equals =
            |condition: &Condition| matches!(condition, Condition::Compare { comparison: Comparison::Equal, .. });
        self.conditions.retain(|placed| placed.at != at || !equals(&placed.condition));
    }
}

fn covers(mention: &Settled, at: usize) -> bool {
    mention.start <= at && at < mention.end
}
