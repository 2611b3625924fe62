//! Figures of two sides: what percentage of rows meets a condition, and by how much two periods or values differ.

use super::{Placed, Reader};
use crate::text_to_sql::generate::builtin::plan::{Comparison, Condition, Expression, Literal};

const SHARES: &[&str] = &["percentage", "percent", "share", "proportion", "fraction", "ratio"];
/// Which condition is the part and which the whole is a guess.
const PART_OF_WHOLE: f32 = 0.85;
const TWO_SIDES: f32 = 0.85;

impl Reader<'_> {
    /// Takes the conditions that a share or a difference is about out of those on all rows.
    pub(super) fn read_figure(&mut self) {
        if self.read_share() {
            return;
        }
        self.read_difference();
    }

    /// "what percentage of orders were cancelled"
    fn read_share(&mut self) -> bool {
        let Some(at) = (0..self.tokens.len()).find(|at| SHARES.contains(&self.word(*at)) && !self.is_named(*at)) else {
            return false;
        };
        let Some(part) = self.conditions.pop() else {
            self.missing = Some(format!("The question asks for a {}, but not of which part.", self.word(at)));
            return false;
        };
        self.explained[at] = true;
        self.assume(PART_OF_WHOLE, "the percentage is of rows".to_owned());
        self.outputs.clear();
        self.count = None;
        self.outputs.push((Expression::Share, at));
        self.sides = vec![part.condition];
        true
    }

    /// "the difference between orders in 2023 and 2024", "the difference between the highest and lowest price"
    fn read_difference(&mut self) {
        let says = |word: &str| matches!(word, "difference" | "change" | "growth" | "increase" | "decrease");
        let Some(at) = (0..self.tokens.len()).find(|at| says(self.word(*at)) && !self.is_named(*at)) else { return };
        self.explained[at] = true;
        if let [(first, _), (second, _)] = self.aggregates[..]
            && first == second
            && let Some(column) = self.mentions[first].column
        {
            self.outputs.retain(|(output, _)| output.column() != Some(column));
            self.outputs.push((Expression::Spread(column), at));
            return;
        }
        let Some((first, second)) = self.two_sides() else {
            self.missing = Some("The question compares two results, and it is not clear which two.".to_owned());
            return;
        };
        let measured = self.outputs.iter().find_map(|(output, _)| match output {
            Expression::Aggregate(_, column) | Expression::Column(column) if self.is_number(*column) => Some(*column),
            _ => None,
        });
        self.assume(TWO_SIDES, "the first is taken from the second".to_owned());
        self.outputs = vec![(Expression::Difference(measured), at)];
        self.count = None;
        self.sides = vec![first.condition, second.condition];
    }

    /// The last two conditions, where they are on one column; one on a list of two values counts as two.
    fn two_sides(&mut self) -> Option<(Placed, Placed)> {
        let last = self.conditions.pop()?;
        if let Condition::OneOf { column, values } = &last.condition
            && let [one, two] = &values[..]
        {
            let side = |value: &Literal| Placed {
                condition: Condition::Compare { column: *column, comparison: Comparison::Equal, value: value.clone() },
                at: last.at,
            };
            return Some((side(one), side(two)));
        }
        let first = self.conditions.pop()?;
        (first.condition.column() == last.condition.column()).then_some((first, last))
    }

    fn is_named(&self, at: usize) -> bool {
        self.mentions.iter().any(|mention| mention.start <= at && at < mention.end)
    }
}
