//! Values become conditions: which column a value belongs to, and whether it is the whole text or a part of it.

use super::sets::equal_column;
use super::{Kind, Reader, Settled};
use crate::text_to_sql::generate::builtin::phrases::comparison_before;
use crate::text_to_sql::generate::builtin::plan::{Comparison, Condition, Literal, Place};
use crate::text_to_sql::link::Meaning;
use crate::text_to_sql::link::catalog::{ColumnId, Holds};
use crate::text_to_sql::link::words::normal;

/// Words that make a quoted text a part of a value.
const PART_WORDS: &[&str] = &[
    "contain",
    "contains",
    "containing",
    "substring",
    "include",
    "includes",
    "including",
    "letter",
    "letters",
    "word",
    "string",
    "phrase",
    "prefix",
    "start",
    "starts",
    "begin",
    "begins",
    "beginning",
    "starting",
    "ending",
    "ends",
];

/// How far from a value the column mention that it belongs to may stand.
const COLUMN_REACH: usize = 4;

impl Reader<'_> {
    pub(super) fn read_values(&mut self) {
        for index in 0..self.mentions.len() {
            if self.mentions[index].kind == Kind::Value && !self.mentions[index].dropped {
                self.read_value(index);
            }
        }
    }

    fn read_value(&mut self, index: usize) {
        let part = self.asks_for_part(index);
        let known = self.best_column(index);
        match known {
            Some((_, _, true)) if self.is_included(index) => {}
            Some((column, value, whole)) if !part => self.add_known(index, column, value, whole),
            _ => self.add_unknown(index, part),
        }
        self.mentions[index].used = true;
    }

    /// "including cancelled ones" widens a question, and narrows nothing.
    fn is_included(&self, index: usize) -> bool {
        let mention = &self.mentions[index];
        let said = |back: usize| matches!(self.word_before(mention.start, back), "including" | "incl");
        !self.tokens[mention.start].is_quoted() && (said(1) || said(2))
    }

    fn add_known(&mut self, index: usize, column: ColumnId, value: String, whole: bool) {
        let at = self.mentions[index].start;
        self.use_column_mention(index, column);
        let comparison = comparison_before(self.tokens, at).filter(|_| self.holds(column) == Holds::Date);
        if !whole {
            self.assume(0.8, format!("{} contains \"{value}\"", self.name(column)));
            return self.place(Condition::Matches { column, text: value, place: Place::Anywhere }, at);
        }
        let comparison = comparison.unwrap_or(Comparison::Equal);
        self.doubt_spelling(index, &value);
        self.place(Condition::Compare { column, comparison, value: Literal::Text(value) }, at);
    }

    /// A known value that was found although a letter is wrong.
    fn doubt_spelling(&mut self, index: usize, value: &str) {
        let said = self.phrase(index);
        let (one, two) = (normal(&said), normal(value));
        let inflected = one.starts_with(&two) || two.starts_with(&one) || one.chars().count() < 5;
        if one != two && !inflected && !self.is_letter_for(index, value) {
            self.assume(0.75, format!("\"{said}\" is read as \"{value}\""));
        }
    }

    /// "women" of a column that says F.
    fn is_letter_for(&self, index: usize, value: &str) -> bool {
        value.chars().count() == 1 && self.mentions[index].end == self.mentions[index].start + 1
    }

    /// A text that no sample confirms belongs to the column named beside it, or else to what the table is known by.
    fn add_unknown(&mut self, index: usize, part: bool) {
        let (start, end) = (self.mentions[index].start, self.mentions[index].end);
        if self.add_person(index) || self.add_moment(index) {
            return;
        }
        let Some(column) = self.column_beside(index) else {
            self.doubt(0.4);
            self.missing = Some(format!("No column is known that holds \"{}\".", self.phrase(index)));
            return;
        };
        self.use_column_mention(index, column);
        let text = self.phrase(index);
        if self.holds(column) == Holds::Other {
            return self.doubt(0.4);
        }
        let around: Vec<&str> = self.words(start.saturating_sub(7), (end + 3).min(self.tokens.len())).collect();
        let has = |words: &[&str]| around.iter().any(|word| words.contains(word));
        if part {
            let place = if has(&["start", "starts", "begin", "begins", "starting", "beginning", "prefix"]) {
                Place::Start
            } else if has(&["ending", "ends", "end"]) {
                Place::End
            } else {
                Place::Anywhere
            };
            return self.place(Condition::Matches { column, text, place }, start);
        }
        let quoted = self.tokens[start].is_quoted();
        self.assume(
            if quoted { 0.6 } else { 0.4 },
            format!("{} is \"{text}\", which no sampled value confirms", self.name(column)),
        );
        self.place(Condition::SameText { column, text }, start);
    }

    /// A given and a family name in one quoted text, where the samples have both in columns of one table.
    fn add_person(&mut self, index: usize) -> bool {
        let text = self.phrase(index);
        let Some((given, family)) = text.split_once(' ') else { return false };
        let holds = |column: ColumnId, name: &str| {
            let values = &self.catalog.column(column).column.sample_values;
            values.iter().find(|value| value.eq_ignore_ascii_case(name)).cloned()
        };
        let people = self.catalog.tables().filter_map(|table| match self.catalog.display(table)[..] {
            [first, last] => Some(((first, holds(first, given)?), (last, holds(last, family)?))),
            _ => None,
        });
        let Some((first, last)) = people.into_iter().next() else { return false };
        let at = self.mentions[index].start;
        for (column, value) in [first, last] {
            self.add_condition(
                Condition::Compare { column, comparison: Comparison::Equal, value: Literal::Text(value) },
                at,
            );
        }
        let named = |mention: &Settled| mention.kind == Kind::Column && mention.end <= at && at - mention.end <= 2;
        let names = |reader: &Self, mention: &Settled| {
            mention.column.is_some_and(|column| reader.catalog.has_stem(column, "name"))
        };
        if let Some(named) = self.mentions.iter().position(|mention| named(mention) && names(self, mention)) {
            self.mentions[named].used = true;
        }
        true
    }

    /// A quoted moment ("2024-05-01 12:00:00") compares with the date named before it.
    fn add_moment(&mut self, index: usize) -> bool {
        let (text, at) = (self.phrase(index), self.mentions[index].start);
        let iso = text.get(..10).is_some_and(|day| chrono::NaiveDate::parse_from_str(day, "%Y-%m-%d").is_ok());
        let near = self.columns_near(index).next_back().and_then(|mention| mention.column);
        let Some(column) = near.filter(|column| iso && self.holds(*column) == Holds::Date) else { return false };
        let comparison = comparison_before(self.tokens, at).unwrap_or(Comparison::Equal);
        self.use_column_mention(index, column);
        self.add_condition(Condition::Compare { column, comparison, value: Literal::Text(text) }, at);
        true
    }

    fn asks_for_part(&self, index: usize) -> bool {
        let mention = &self.mentions[index];
        let quoted = self.tokens[mention.start].is_quoted();
        let (from, to) = (mention.start.saturating_sub(6), (mention.end + 2).min(self.tokens.len()));
        quoted && self.words(from, to).any(|word| PART_WORDS.contains(&word))
    }

    /// The column that a known value fits best: named beside it, of a table that the question is about.
    fn best_column(&mut self, index: usize) -> Option<(ColumnId, String, bool)> {
        let mention = &self.mentions[index];
        let beside: Vec<&Settled> = self.columns_near(index).collect();
        let previous = self.conditions.last().and_then(|last| match &last.condition {
            Condition::Not(condition) => equal_column(condition),
            condition => equal_column(condition),
        });
        let mut fits: Vec<(f32, ColumnId, String, bool)> = Vec::new();
        for candidate in &mention.candidates {
            let (column, value, whole) = match &candidate.meaning {
                Meaning::Value(column, value) => (*column, value, true),
                Meaning::PartOf(column, value) => (*column, value, false),
                _ => continue,
            };
            let table = self.catalog.table_of(column);
            let mut fit = candidate.score + 0.12 * self.votes.get(&table).copied().unwrap_or(0.0).min(3.0);
            fit += if self.named.contains(&table) { 0.1 } else { 0.0 };
            let named =
                beside.iter().flat_map(|near| &near.candidates).filter(|near| near.meaning == Meaning::Column(column));
            fit += named.map(|near| 0.6 * near.score).fold(0.0, f32::max);
            fit += if previous == Some(column) { 0.35 } else { 0.0 };
            fit -= if self.catalog.column(column).is_foreign { 0.1 } else { 0.0 };
            fits.push((fit, column, value.clone(), whole));
        }
        fits.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let rank = self.chosen_rank(index).min(fits.len().saturating_sub(1));
        let best = fits.get(rank)?.clone();
        let rival = fits.iter().find(|other| other.1 != best.1 && other.0 > best.0 - 0.05).filter(|_| rank == 0);
        if let Some(rival) = rival {
            self.assume(
                0.75,
                format!("\"{}\" is a value of {}; {} has it too", best.2, self.name(best.1), self.name(rival.1)),
            );
        }
        Some((best.1, best.2, best.3))
    }

    /// Column mentions shortly before the value, or right after it.
    fn columns_near(&self, index: usize) -> impl DoubleEndedIterator<Item = &Settled> {
        let (start, end) = (self.mentions[index].start, self.mentions[index].end);
        self.mentions.iter().filter(|other| other.kind == Kind::Column).filter(move |other| {
            let before =
                other.end <= start && start - other.end <= COLUMN_REACH && !self.words(other.end, start).any(is_stop);
            before || (other.start >= end && other.start - end <= 1)
        })
    }

    fn column_beside(&self, index: usize) -> Option<ColumnId> {
        let start = self.mentions[index].start;
        let near = self.columns_near(index).next_back().and_then(|mention| mention.column);
        let farther = || {
            let near = |other: &&Settled| other.end <= start && start - other.end <= COLUMN_REACH + 2;
            self.mentions
                .iter()
                .rfind(|other| other.kind == Kind::Column && near(other))
                .and_then(|mention| mention.column)
        };
        let table = || {
            let before = self.mentions.iter().rfind(|other| other.kind == Kind::Table && other.end <= start);
            let table = before.and_then(|mention| mention.table).or(self.named.first().copied())?;
            self.catalog.display(table).first().copied()
        };
        let text = |column: &ColumnId| !matches!(self.holds(*column), Holds::Number | Holds::Boolean);
        let adjacent = || {
            let ends = self.mentions.iter().find(|other| other.kind == Kind::Table && other.end == start)?;
            self.catalog.display(ends.table?).first().copied()
        };
        adjacent().or(near).or_else(farther).filter(text).or_else(table).filter(text)
    }

    /// "Show the titles that contain …": the column of the condition is what is to be shown, too.
    fn is_shown_too(&self, index: usize, value: usize) -> bool {
        let mention = &self.mentions[index];
        let part = self.words(mention.end, value.max(mention.end)).any(|word| PART_WORDS.contains(&word));
        let other = |other: &Settled| other.kind == Kind::Column && self.region[other.start];
        let alone = self.mentions.iter().enumerate().all(|(at, mention)| at == index || !other(mention));
        part && alone && self.region[mention.start] && self.named.is_empty()
    }

    /// The mention beside a value that named its column is explained by the condition.
    fn use_column_mention(&mut self, index: usize, column: ColumnId) {
        let (start, end) = (self.mentions[index].start, self.mentions[index].end);
        let names =
            |mention: &Settled| mention.candidates.iter().any(|candidate| candidate.meaning == Meaning::Column(column));
        let near = |mention: &Settled| {
            let before = mention.end <= start && start - mention.end <= COLUMN_REACH;
            before || (mention.start >= end && mention.start - end <= 1)
        };
        let stated = |mention: &Settled| {
            mention.end <= start
                && matches!(
                    self.words(mention.end, start).collect::<Vec<_>>()[..],
                    ["is" | "was" | "named" | "called" | "as" | "equals"]
                )
                && mention.weight < 0.95
        };
        let found = self
            .mentions
            .iter()
            .position(|mention| mention.kind == Kind::Column && near(mention) && (names(mention) || stated(mention)));
        if let Some(found) = found {
            self.mentions[found].used = !self.is_shown_too(found, start);
        }
    }
}

/// Marks that end the reach of a column mention.
pub fn is_stop(word: &str) -> bool {
    matches!(word, "," | "." | "?" | ";")
}
