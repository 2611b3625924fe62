//! Which of several drafts to believe: those whose results agree.
//!
//! Drafts of one question are run, and equal results stand together. The largest group wins, and how sure it is follows
//! from how many agree and whether they come from generators that err apart. A draft that fails drops out; a result
//! that says nothing, as a misspelled value gives, stands behind every other that somebody answered with. A pure function: running is the caller's.

use std::collections::HashMap;

use serde_json::Value;

use super::run::Rows;

/// A draft that was run.
#[derive(Debug, Clone)]
pub struct Ballot<'a> {
    /// Answers that were this draft; none for one that is only here to confirm others.
    pub votes: usize,
    /// What its generator makes of it, from 0 to 1.
    pub confidence: f32,
    /// Drafts of one generator err together: agreement between two says more.
    pub generator: usize,
    /// `None` when it could not be run.
    pub rows: Option<&'a Rows>,
    /// It says nothing, perhaps because a text in it is none of the known values.
    pub misspelled: bool,
}

/// Drafts whose results are the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Places among the ballots; the first one speaks for all.
    pub members: Vec<usize>,
    pub votes: usize,
    /// From 0 to 1.
    pub confidence: f32,
}

/// What a group is worth in which two generators agree and nobody disagrees. None of these was measured.
const AGREED: f32 = 0.95;
/// What is left of a draft's confidence that only confirms others, and did not.
const UNSURE: f32 = 0.5;
/// The same for several answers of one generator.
const REPEATED: f32 = 0.88;
/// A draft that finds nothing by a text that is not known is worth less by this factor.
const MISSPELLED: f32 = 0.7;
/// Significant digits by which numbers are compared: sums of floats depend on their order.
const DIGITS: usize = 9;

/// Groups of equal results, the most credible first. Ballots come in the order in which they are believed when all else
/// is equal.
pub fn vote(ballots: &[Ballot<'_>]) -> Vec<Group> {
    let mut places: HashMap<Vec<Vec<String>>, usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, ballot) in ballots.iter().enumerate() {
        let Some(rows) = ballot.rows else { continue };
        let group = *places.entry(canonical(rows)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(at);
    }
    let all: usize = ballots.iter().map(|ballot| ballot.votes).sum();
    let mut groups: Vec<Group> = groups.into_iter().map(|members| group(ballots, members, all)).collect();
    let empty = |group: &Group| ballots[group.members[0]].rows.is_none_or(Rows::says_nothing);
    groups.sort_by_key(|group| (group.votes == 0, empty(group), std::cmp::Reverse(group.votes), group.members[0]));
    groups
}

fn group(ballots: &[Ballot<'_>], members: Vec<usize>, all: usize) -> Group {
    let votes: usize = members.iter().map(|at| ballots[*at].votes).sum();
    let own = members.iter().map(|at| ballots[*at].confidence).fold(0.0, f32::max);
    let first = ballots[members[0]].generator;
    // Wrong drafts agree on nothing, too; and of rows that were cut only the first are compared.
    let weak = |rows: &Rows| rows.truncated || rows.says_nothing();
    let weak = members.iter().any(|at| ballots[*at].rows.is_none_or(weak));
    let apart = !weak && members.iter().any(|at| ballots[*at].generator != first);
    let share = votes as f32 / all.max(1) as f32;
    let agreed = match (votes, apart) {
        // Nobody's answer: it is here to confirm others.
        (0, _) => UNSURE * own,
        // Nobody to agree with; where others say something else, it is one opinion among them.
        (1, false) => own * share.sqrt(),
        (_, false) if weak => own * share.sqrt(),
        (_, false) => own.max(REPEATED) * share.sqrt(),
        (_, true) => own.max(AGREED) * share.sqrt(),
    };
    let misspelled = members.iter().all(|at| ballots[*at].misspelled);
    Group { members, votes, confidence: if misspelled { MISSPELLED * agreed } else { agreed } }
}

/// A result as it compares: without names, and whatever the order of its rows and columns.
fn canonical(rows: &Rows) -> Vec<Vec<String>> {
    let width = rows.columns.len();
    let cells: Vec<Vec<String>> = rows.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let column = |at: usize| {
        let mut values: Vec<&str> = cells.iter().filter_map(|row| row.get(at)).map(String::as_str).collect();
        values.sort_unstable();
        values
    };
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by_cached_key(|at| column(*at));
    let mut sorted: Vec<Vec<String>> =
        cells.iter().map(|row| order.iter().filter_map(|at| row.get(*at)).cloned().collect()).collect();
    sorted.sort_unstable();
    // A result without rows is not equal to one of another shape.
    if sorted.is_empty() { vec![vec![String::new(); width]] } else { sorted }
}

/// A number is the same whether the engine writes it whole, exact or floating.
fn cell(value: &Value) -> String {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => text.parse().ok(),
        _ => None,
    };
    match number.filter(|number: &f64| number.is_finite()) {
        Some(number) => format!("{:.*e}", DIGITS - 1, if number == 0.0 { 0.0 } else { number }),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::text_to_sql::run::ResultColumn;

    fn rows(rows: Value) -> Rows {
        let rows: Vec<Vec<Value>> = serde_json::from_value(rows).unwrap();
        let width = rows.first().map_or(1, Vec::len);
        let column = ResultColumn { name: "x".to_owned(), type_name: "text".to_owned() };
        Rows { columns: vec![column; width], row_count: rows.len(), rows, truncated: false }
    }

    fn ballot(rows: Option<&Rows>, generator: usize) -> Ballot<'_> {
        Ballot { votes: 1, confidence: 0.8, generator, rows, misspelled: false }
    }

    fn members(ballots: &[Ballot<'_>]) -> Vec<Vec<usize>> {
        vote(ballots).into_iter().map(|group| group.members).collect()
    }

    #[test]
    fn most_votes_win_and_then_whoever_came_first() {
        let (one, two, three) = (rows(json!([[1]])), rows(json!([[2]])), rows(json!([[3]])));
        let ballots = [&one, &two, &three, &two].map(|rows| ballot(Some(rows), 0));
        assert_eq!(members(&ballots), [vec![1, 3], vec![0], vec![2]]);
        let mut heavy = ballots.to_vec();
        heavy[2].votes = 3;
        assert_eq!(members(&heavy)[0], [2]);
    }

    #[test]
    fn a_result_is_the_same_in_any_order_and_spelling_of_numbers() {
        let left = rows(json!([["a", 1], ["b", 2.5], ["c", null]]));
        let right = rows(json!([[2.500000000001, "b"], [null, "c"], ["1.0", "a"]]));
        assert_eq!(members(&[ballot(Some(&left), 0), ballot(Some(&right), 0)]), [vec![0, 1]]);
        let other = rows(json!([["a", 2.5], ["b", 1], ["c", null]]));
        assert_eq!(members(&[ballot(Some(&left), 0), ballot(Some(&other), 0)]).len(), 2);
        let twice = rows(json!([["a", 1], ["a", 1], ["b", 2.5], ["c", null]]));
        assert_eq!(members(&[ballot(Some(&left), 0), ballot(Some(&twice), 0)]).len(), 2);
    }

    #[test]
    fn what_failed_drops_out_and_what_is_empty_comes_last() {
        let (some, none) = (rows(json!([[1]])), rows(json!([])));
        let ballots = [ballot(Some(&none), 0), ballot(None, 0), ballot(Some(&none), 1), ballot(Some(&some), 0)];
        assert_eq!(members(&ballots), [vec![3], vec![0, 2]]);
        assert!(vote(&[ballot(None, 0)]).is_empty());
    }

    #[test]
    fn agreement_on_nothing_or_on_rows_that_were_cut_confirms_nothing() {
        let (none, cut) = (rows(json!([[0]])), Rows { truncated: true, ..rows(json!([[1], [2]])) });
        for weak in [&none, &cut] {
            assert_eq!(vote(&[ballot(Some(weak), 0), ballot(Some(weak), 1)])[0].confidence, 0.8);
        }
        let misspelled = Ballot { misspelled: true, ..ballot(Some(&none), 0) };
        assert!(vote(&[misspelled])[0].confidence < 0.6);
    }

    #[test]
    fn who_only_confirms_never_comes_before_who_answered() {
        let (some, none) = (rows(json!([[1]])), rows(json!([])));
        let ballots = [ballot(Some(&none), 0), Ballot { votes: 0, ..ballot(Some(&some), 1) }];
        assert_eq!(members(&ballots), [vec![0], vec![1]]);
    }

    #[test]
    fn agreement_makes_sure_and_disagreement_unsure() {
        let (one, two) = (rows(json!([[1]])), rows(json!([[2]])));
        let confidence = |ballots: &[Ballot<'_>]| vote(ballots)[0].confidence;
        let alone = confidence(&[ballot(Some(&one), 0)]);
        let repeated = confidence(&[ballot(Some(&one), 0), ballot(Some(&one), 0)]);
        let agreed = confidence(&[ballot(Some(&one), 0), ballot(Some(&one), 1)]);
        let against = confidence(&[ballot(Some(&one), 0), ballot(Some(&two), 1)]);
        let outvoted = confidence(&[ballot(Some(&one), 0), ballot(Some(&one), 0), ballot(Some(&two), 1)]);
        assert!(against < alone && alone < repeated && repeated < agreed && agreed < 1.0);
        assert!(against < outvoted && outvoted < repeated);
        assert_eq!(alone, 0.8);
    }
}
