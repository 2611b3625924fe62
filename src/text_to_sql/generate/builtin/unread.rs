//! Words of the grammar whose part of the plan is missing: "how many" without a count, "each" without groups, "than"
//! without a comparison. Every word may count as used and the SQL still say something else.

use super::assemble;
use super::plan::{Comparison, Condition, Plan, Query, SetOperation};
use super::reader::Reader;

/// "how many" answered by a list.
const UNREAD_COUNT: f32 = 0.5;
/// "earlier than", "or more" with nothing that compares.
const UNREAD_COMPARISON: f32 = 0.6;
/// "the average for each" with one number for all.
const UNREAD_EACH: f32 = 0.6;
/// "different" with rows that repeat.
const UNREAD_DISTINCT: f32 = 0.6;
/// "who …, and what …" with one column for both.
const UNREAD_QUESTION: f32 = 0.6;

pub fn doubt_unread(reader: &mut Reader, plan: &Plan) {
    let doubts = [
        (counts_nothing(reader, plan), UNREAD_COUNT),
        (compares_nothing(reader, plan), UNREAD_COMPARISON),
        (groups_nothing(reader, plan), UNREAD_EACH),
        (repeats_rows(reader, plan), UNREAD_DISTINCT),
        (answers_one_of_two(reader, plan), UNREAD_QUESTION),
    ];
    doubts.into_iter().filter(|(unread, _)| *unread).for_each(|(_, factor)| reader.doubt(factor));
}

/// A sum over rows that joins repeat is wrong; a number, date or quoted text that the SQL does not reflect is almost always a missing condition, and "not" without
/// a negation is the contrary of what was asked.
pub fn is_doubtful(reader: &Reader, query: &Query, unused_words: &[String]) -> bool {
    let literal = |word: &String| {
        let said = reader.tokens.iter().filter(|token| token.text == **word);
        said.into_iter().any(|token| token.number().is_some() || token.dates().is_some() || token.is_quoted())
    };
    let repeated = assemble::repeated_figure(reader.catalog, query).is_some();
    repeated || unused_words.iter().any(literal) || (reader.negates() && !leaves_out(&query.plan))
}

fn leaves_out(plan: &Plan) -> bool {
    let negated = |condition: &Condition| matches!(condition, Condition::Not(_) | Condition::Absent { .. });
    let inverted = |condition: &Condition| match condition {
        Condition::Against { query, .. } => leaves_out(&query.plan),
        Condition::Compare { comparison, .. } => *comparison != Comparison::Equal,
        _ => false,
    };
    let except = matches!(plan.combined, Some((SetOperation::Except, _)));
    except || plan.having.is_some() || plan.conditions.iter().any(|condition| negated(condition) || inverted(condition))
}

/// A column may hold the number already, but then of one row.
fn counts_nothing(reader: &Reader, plan: &Plan) -> bool {
    let aggregated = plan.outputs.iter().any(|output| output.is_aggregate());
    reader.says(&["how", "many"]) && !aggregated && !names_a_row(reader, plan) && plan.limit.is_none()
}

fn names_a_row(reader: &Reader, plan: &Plan) -> bool {
    let row = |condition: &Condition| match condition {
        Condition::Compare { column, comparison: Comparison::Equal, .. } | Condition::SameText { column, .. } => {
            reader.catalog.column(*column).is_unique || reader.catalog.is_name(*column)
        }
        _ => false,
    };
    plan.conditions.iter().any(row)
}

fn compares_nothing(reader: &Reader, plan: &Plan) -> bool {
    let words: Vec<&str> = reader.words(0, reader.tokens.len()).collect();
    let alone = words.iter().any(|word| matches!(*word, "after" | "before" | "since" | "until" | "than"));
    let after = words.windows(2).any(|pair| pair[0] == "or" && matches!(pair[1], "more" | "less" | "fewer"));
    let compares = |condition: &Condition| match condition {
        Condition::Compare { comparison, .. } => *comparison != Comparison::Equal,
        Condition::Within { .. } | Condition::Between { .. } | Condition::Against { .. } => true,
        _ => false,
    };
    (alone || after) && plan.having.is_none() && !plan.conditions.iter().any(compares)
}

fn groups_nothing(reader: &Reader, plan: &Plan) -> bool {
    let each = reader.words(0, reader.tokens.len()).any(|word| matches!(word, "each" | "every" | "per"));
    each && plan.groups.is_empty() && plan.outputs.iter().any(|output| output.is_aggregate())
}

fn repeats_rows(reader: &Reader, plan: &Plan) -> bool {
    let asked = reader.words(0, reader.tokens.len()).any(|word| matches!(word, "different" | "distinct" | "unique"));
    let plain = plan.outputs.iter().all(|output| !output.is_aggregate());
    asked && plain && !plan.distinct && plan.groups.is_empty()
}

fn answers_one_of_two(reader: &Reader, plan: &Plan) -> bool {
    let words: Vec<&str> = reader.words(0, reader.tokens.len()).collect();
    let second = words.windows(2).any(|pair| pair[0] == "and" && matches!(pair[1], "what" | "how" | "who"));
    let first = words.first().is_some_and(|word| matches!(*word, "what" | "which" | "who" | "how"));
    first && second && plan.outputs.len() < 2
}
