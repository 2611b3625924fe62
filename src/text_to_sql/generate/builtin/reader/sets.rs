//! How several conditions belong together: all of them, any one, or as two sets of rows of which one takes what both
//! have, either has, or the one has and the other has not.

use super::{Choice, Placed, Reader};
use crate::text_to_sql::generate::builtin::plan::{Comparison, Condition, Literal, SetOperation};
use crate::text_to_sql::link::catalog::ColumnId;

/// How the last two conditions belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combination {
    All,
    Any,
    Sets(SetOperation),
}

/// Any of several values counts, although the question says "and".
const ANY_OF: f32 = 0.6;
const EITHER_COLUMN: f32 = 0.85;
const BOTH: f32 = 0.9;

impl Reader<'_> {
    /// "A or B" of one column is one condition; "or" between two columns makes any one enough; "both A and B" of one
    /// column are two sets.
    pub(super) fn combine_conditions(&mut self) {
        self.merge_lists();
        let at = self.conditions.len();
        let Some(last) = at.checked_sub(2) else { return };
        let combination = self.chosen_combination().unwrap_or_else(|| self.said_combination(last));
        match combination {
            Combination::All => {}
            Combination::Any if at == 2 => self.any_condition = true,
            Combination::Any => {
                self.doubt(ANY_OF);
                self.any_condition = true;
            }
            Combination::Sets(operation) => {
                self.doubt(BOTH);
                self.split = Some(operation);
            }
        }
        if combination == Combination::Any {
            self.doubt(EITHER_COLUMN);
        }
    }

    fn chosen_combination(&self) -> Option<Combination> {
        self.choices.iter().find_map(|choice| match choice {
            Choice::Combine(combination) => Some(*combination),
            _ => None,
        })
    }

    fn said_combination(&self, first: usize) -> Combination {
        let (one, two) = (&self.conditions[first], &self.conditions[first + 1]);
        let same = one.condition.column().is_some() && one.condition.column() == two.condition.column();
        let or = self.says_or(one.at, two.at);
        if or {
            return Combination::Any;
        }
        let negated = |placed: &Placed| matches!(placed.condition, Condition::Not(_));
        let equals = |placed: &Placed| equal_column(&placed.condition).is_some();
        if !same {
            return Combination::All;
        }
        match (equals(one), equals(two)) {
            (true, true) => Combination::Sets(SetOperation::Intersect),
            (true, false) | (false, true) if negated(one) != negated(two) => Combination::Sets(SetOperation::Except),
            _ if exclude_each_other(&one.condition, &two.condition) => Combination::Sets(SetOperation::Intersect),
            _ => Combination::All,
        }
    }

    fn says_or(&self, from: usize, to: usize) -> bool {
        let (from, to) = (from.min(to), to.max(from));
        let either = (from.saturating_sub(4)..from).any(|at| self.word(at) == "either");
        either || (from..to).any(|at| self.word(at) == "or" && !self.compares_after_or(at))
    }

    /// "or more" between two conditions is no alternative.
    fn compares_after_or(&self, at: usize) -> bool {
        let more = matches!(
            self.word(at + 1),
            "more" | "less" | "fewer" | "equal" | "above" | "higher" | "lower" | "later" | "older" | "earlier"
        );
        let number = (at + 2..(at + 5).min(self.tokens.len())).any(|at| self.tokens[at].number().is_some());
        more && self.word(at + 2) != "than" && !number
    }

    /// Values of one column with "or" or a comma between them, or shown as groups, are a list.
    fn merge_lists(&mut self) {
        let mut merged: Vec<Placed> = Vec::new();
        for placed in std::mem::take(&mut self.conditions) {
            let column = equal_column(&placed.condition);
            let listed = |other: &Placed, reader: &Self| {
                let both = reader.words(0, reader.tokens.len()).any(|word| word == "both");
                let or = reader.says_or(other.at, placed.at);
                let listed = matches!(reader.word_before(placed.at, 1), ",")
                    || matches!(other.condition, Condition::OneOf { .. });
                column.is_some() && equal_column(&other.condition) == column && !both && (or || listed)
            };
            let chosen = self.chosen_combination();
            let list = merged.last().is_some_and(|other| listed(other, self))
                && !matches!(chosen, Some(Combination::Sets(_)))
                || self.is_list_by_choice(merged.last(), column);
            match merged.last_mut().filter(|_| list) {
                Some(other) => merge(&mut other.condition, placed.condition),
                None => merged.push(placed),
            }
        }
        self.conditions = merged;
    }

    /// Under the choice of any, values of one column are a list; so are they where rows are counted: the rows of both
    /// were asked for.
    fn is_list_by_choice(&self, other: Option<&Placed>, column: Option<ColumnId>) -> bool {
        let same = column.is_some() && other.and_then(|other| equal_column(&other.condition)) == column;
        let counted = self.count.is_some() || self.outputs.iter().any(|(output, _)| output.is_aggregate());
        let any = match self.chosen_combination() {
            Some(chosen) => chosen == Combination::Any,
            None => counted && !self.mentions.is_empty(),
        };
        same && any
    }
}

/// The column of a condition that other values of the same column can join.
pub(super) fn equal_column(condition: &Condition) -> Option<ColumnId> {
    match condition {
        Condition::Compare { column, comparison: Comparison::Equal, .. } | Condition::OneOf { column, .. } => {
            Some(*column)
        }
        _ => None,
    }
}

/// No value is both above 10 and below 5.
fn exclude_each_other(one: &Condition, two: &Condition) -> bool {
    let bound = |condition: &Condition| match condition {
        Condition::Compare { comparison, value: Literal::Number(number), .. } => {
            Some((*comparison, number.parse::<f64>().ok()?))
        }
        _ => None,
    };
    let above = |comparison| matches!(comparison, Comparison::Greater | Comparison::GreaterOrEqual);
    let below = |comparison| matches!(comparison, Comparison::Less | Comparison::LessOrEqual);
    match (bound(one), bound(two)) {
        (Some((first, low)), Some((second, high))) if above(first) && below(second) => low >= high,
        (Some((first, high)), Some((second, low))) if below(first) && above(second) => low >= high,
        _ => false,
    }
}

fn merge(condition: &mut Condition, other: Condition) {
    let values = |condition: Condition| match condition {
        Condition::Compare { value, .. } => vec![value],
        Condition::OneOf { values, .. } => values,
        _ => Vec::new(),
    };
    let Some(column) = condition.column() else { return };
    let mut all = values(condition.clone());
    for value in values(other) {
        if !all.contains(&value) {
            all.push(value);
        }
    }
    if all.len() > 1 {
        *condition = Condition::OneOf { column, values: all };
    }
}
