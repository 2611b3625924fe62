//! Aggregates that a column is called by: the "total amount" of all invoices is a sum of `total_amount`, not a list.

use super::{Kind, Reader};
use crate::text_to_sql::generate::builtin::phrases::{aggregate, superlative};
use crate::text_to_sql::generate::builtin::plan::{Comparison, Condition, Function};
use crate::text_to_sql::link::catalog::ColumnId;

/// The rows are many and the question speaks of one number.
const ONE_NUMBER: f32 = 0.93;
/// The question may speak of one number or of one for each row.
const EITHER: f32 = 0.7;

impl Reader<'_> {
    /// The function in a mention that is also a word of the column's name, and where it stands.
    pub(super) fn read_called_aggregate(&mut self, index: usize) -> Option<(Function, usize)> {
        let mention = &self.mentions[index];
        let (start, end, column) = (mention.start, mention.end, mention.column?);
        let (function, at) = (start..end).find_map(|at| Some((aggregate(self.word(at))?, at)))?;
        let one = end - start > 1 && !self.word(end - 1).ends_with('s');
        if !one || !self.is_number(column) || !self.region[start] || self.is_of_one_row(index) {
            return None;
        }
        let grouped = self.words(0, self.tokens.len()).any(|word| matches!(word, "each" | "every" | "per"));
        let asked = matches!(self.word(0), "what" | "how" | "calculate" | "compute" | "determine");
        let phrase = self.phrase(index);
        if grouped || asked {
            self.assume(ONE_NUMBER, format!("\"{phrase}\" is taken over all rows of {}", self.name(column)));
            return Some((function, at));
        }
        self.assume(EITHER, format!("\"{phrase}\" is shown for each row"));
        None
    }

    /// A superlative, a limit, a unique value or a table in the singular leaves one row.
    fn is_of_one_row(&self, index: usize) -> bool {
        let superlative = self.words(0, self.tokens.len()).any(|word| superlative(word).is_some());
        let unique = |column: ColumnId| self.catalog.column(column).is_unique || self.catalog.is_name(column);
        let named = self.conditions.iter().any(|placed| match placed.condition {
            Condition::Compare { column, comparison: Comparison::Equal, .. } | Condition::SameText { column, .. } => {
                unique(column)
            }
            _ => false,
        });
        let end = self.mentions[index].end;
        let table = self.mentions.iter().find(|other| other.kind == Kind::Table && other.start >= end);
        let singular =
            table.is_some_and(|table| self.tokens[table.end - 1].lower == singular(&self.tokens[table.end - 1].lower));
        superlative || self.limit.is_some() || named || singular
    }
}

/// The word without the ending of a regular plural; irregular plurals count as plural by being listed.
fn singular(word: &str) -> &str {
    if matches!(word, "people" | "children" | "men" | "women") {
        return "";
    }
    word.strip_suffix('s').filter(|base| !base.ends_with('s')).unwrap_or(word)
}
