//! Columns that become conditions by being named: "active customers", "contacts who want the newsletter", and, of a
//! date that may be missing, "products that have been discontinued".

use super::{Kind, Reader};
use crate::text_to_sql::generate::builtin::plan::Condition;
use crate::text_to_sql::link::catalog::{ColumnId, Holds};

/// Verbs that state a truth value of what stands before them.
const STATING_VERBS: &[&str] = &[
    "want", "wants", "wanted", "receive", "receives", "received", "get", "gets", "accept", "accepts", "allow",
    "allows", "need", "needs", "have", "has", "had", "use", "uses", "support", "supports", "offer", "offers",
];
/// Forms of "to be" that state it.
const BEING: &[&str] = &["are", "is", "were", "was", "been"];

impl Reader<'_> {
    /// Truth values become conditions before anything is counted or shown.
    pub(super) fn read_flags(&mut self) {
        for index in 0..self.mentions.len() {
            let Some(column) = self.mentions[index].column.filter(|_| self.mentions[index].kind == Kind::Column) else {
                continue;
            };
            let condition = match self.holds(column) {
                Holds::Boolean if self.is_flag(index, column) => Condition::IsTrue { column },
                Holds::Date if self.is_event(index, column) => Condition::IsKnown { column },
                _ => continue,
            };
            self.mentions[index].used = true;
            self.add_condition(condition, self.mentions[index].start);
        }
    }

    /// A truth value that stands before its table, or after a verb that states it, filters.
    fn is_flag(&self, index: usize, column: ColumnId) -> bool {
        let mention = &self.mentions[index];
        let table = &self.catalog.table(self.catalog.table_of(column)).names[0];
        let with_table = mention.end - mention.start > 1 && table.contains(&self.tokens[mention.end - 1].stem);
        let being = BEING.contains(&self.word_before(mention.start, 1)) && !self.region[mention.start];
        self.stands_before_table(index) || with_table || being || self.is_stated(index)
    }

    fn stands_before_table(&self, index: usize) -> bool {
        let end = self.mentions[index].end;
        self.mentions.iter().any(|other| other.kind == Kind::Table && other.start == end)
    }

    /// "want the newsletter", inside the mention or around it.
    fn is_stated(&self, index: usize) -> bool {
        let start = self.mentions[index].start;
        let article = matches!(self.word_before(start, 1), "a" | "an" | "the" | "our");
        let before = start.saturating_sub(usize::from(article));
        let verb = if STATING_VERBS.contains(&self.word(start)) { Some(start) } else { before.checked_sub(1) };
        verb.is_some_and(|verb| {
            let subject = self.mentions.iter().any(|other| other.kind != Kind::Column && other.end == verb);
            let relative = matches!(self.word_before(verb, 1), "that" | "who" | "which" | "to" | "do" | "does");
            STATING_VERBS.contains(&self.word(verb)) && (subject || relative)
        })
    }

    /// "have been discontinued" of a date that may be missing, where no date follows.
    fn is_event(&self, index: usize, column: ColumnId) -> bool {
        let mention = &self.mentions[index];
        let participle = mention.end == mention.start + 1 && self.word(mention.start).ends_with("ed");
        let stated = BEING.contains(&self.word_before(mention.start, 1)) || self.stands_before_table(index);
        let dated = self.tokens[mention.end..].iter().any(|token| token.dates().is_some() || token.number().is_some());
        let asks_when = self.words(0, self.tokens.len()).any(|word| matches!(word, "when" | "date" | "dates"));
        self.catalog.column(column).column.nullable && participle && stated && !dated && !asks_when
    }
}
