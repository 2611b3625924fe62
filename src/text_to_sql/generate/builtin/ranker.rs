//! The order and the confidence of drafts, learned from questions with known answers.
//!
//! Two ensembles of decision trees, one for drafts that have not run and one for drafts of which a few rows are known.
//! `scripts/train-ranker` makes the weights; their licence is in `ranker.md` beside them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use serde_json::Value;

use crate::text_to_sql::generate::{DEFAULT_MIN_CONFIDENCE, Draft};

/// What a draft gave when it ran under a cap of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultFacts {
    rows: usize,
    /// One row of nulls and zeros.
    void: bool,
    repeats: bool,
    /// Equal for equal results, whatever the order of rows and columns.
    fingerprint: u64,
}

impl ResultFacts {
    pub fn of(rows: &[Vec<Value>]) -> Self {
        let mut prints: Vec<u64> = rows.iter().map(|row| print_of(row)).collect();
        prints.sort_unstable();
        let repeats = prints.windows(2).any(|pair| pair[0] == pair[1]);
        let empty = |value: &Value| value.is_null() || value.as_f64() == Some(0.0);
        let void = rows.len() == 1 && rows[0].iter().all(empty);
        Self { rows: rows.len(), void, repeats, fingerprint: hash(&prints) }
    }

    pub fn is_same_result(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

fn print_of(row: &[Value]) -> u64 {
    let mut cells: Vec<u64> = row.iter().map(|cell| hash(&cell_text(cell))).collect();
    cells.sort_unstable();
    hash(&cells)
}

/// Numbers that differ by rounding are the same.
fn cell_text(cell: &Value) -> String {
    cell.as_f64().map_or_else(|| cell.to_string(), |number| format!("{number:.4}"))
}

fn hash(thing: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    hasher.finish()
}

/// What is asked back, or leaves part of the question unread, is not run unasked.
const HELD_BACK: f32 = DEFAULT_MIN_CONFIDENCE - 0.01;

/// Orders drafts by how likely they are right, and says so in their confidence. `facts` has one entry a draft, in the
/// same order: what it gave, where it ran.
pub fn rerank(drafts: &mut [Draft], facts: &[Option<ResultFacts>]) {
    let ensemble = if facts.iter().any(Option::is_some) { &RANKER.ran } else { &RANKER.unrun };
    if drafts.iter().any(|draft| draft.features.numbers.is_empty()) {
        return;
    }
    let features = features(drafts, facts);
    for (draft, features) in drafts.iter_mut().zip(features) {
        let probability = ensemble.probability(&features);
        let held = draft.clarification.is_some() || draft.features.doubtful;
        draft.confidence = if held { probability.min(HELD_BACK) } else { probability };
    }
    drafts.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
}

/// Everything that the ranker knows of each draft: its own features, how it compares with the others, and what it gave.
pub fn features(drafts: &[Draft], facts: &[Option<ResultFacts>]) -> Vec<Vec<f32>> {
    let penalties: Vec<f32> =
        drafts.iter().map(|draft| draft.features.numbers.first().copied().unwrap_or_default()).collect();
    let least = penalties.iter().copied().fold(f32::INFINITY, f32::min);
    let place = |at: usize| penalties.iter().filter(|other| **other < penalties[at]).count() as f32;
    let shares = shares(drafts.len(), &penalties, facts);
    let own = drafts.iter().enumerate().map(|(at, draft)| {
        let mut all = draft.features.numbers.clone();
        all.extend([penalties[at] - least, place(at), drafts.len() as f32]);
        all.extend(of_result(facts.get(at).copied().flatten()));
        all.extend(shares[at]);
        all
    });
    own.collect()
}

/// Of drafts that did not run, every fact is -1.
fn of_result(facts: Option<ResultFacts>) -> [f32; 6] {
    let Some(facts) = facts else { return [-1.0; 6] };
    let flag = |fact: bool| if fact { 1.0 } else { 0.0 };
    [
        flag(facts.rows == 0),
        flag(facts.rows == 1),
        flag(facts.void),
        flag(facts.rows > 50),
        flag(facts.repeats),
        (facts.rows as f32).ln_1p(),
    ]
}

/// How many of the drafts, by number and by how likely they seem, give the same result; and how many results there are.
fn shares(drafts: usize, penalties: &[f32], facts: &[Option<ResultFacts>]) -> Vec<[f32; 4]> {
    let mut groups: HashMap<u64, (f32, f32)> = HashMap::new();
    let mut all = (0.0, 0.0);
    let print = |at: usize| facts.get(at).copied().flatten().map(|facts| facts.fingerprint);
    for (at, penalty) in penalties.iter().enumerate() {
        let Some(print) = print(at) else { continue };
        let weight = (-penalty).exp();
        let group = groups.entry(print).or_default();
        *group = (group.0 + 1.0, group.1 + weight);
        all = (all.0 + 1.0, all.1 + weight);
    }
    let first = penalties.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).and_then(|(at, _)| print(at));
    let share = |at: usize| match print(at) {
        None => [-1.0; 4],
        Some(print) => {
            let group = groups.get(&print).copied().unwrap_or_default();
            let same_as_first = if Some(print) == first { 1.0 } else { 0.0 };
            [group.0 / all.0, group.1 / all.1, groups.len() as f32, same_as_first]
        }
    };
    (0..drafts).map(share).collect()
}

struct Ranker {
    unrun: Ensemble,
    ran: Ensemble,
}

/// Trees whose leaves add up to the log odds of being right.
struct Ensemble {
    trees: Vec<Tree>,
}

struct Tree {
    splits: Vec<Split>,
    leaves: Vec<f32>,
}

/// At most the threshold goes left. A child of 0 or more is a split, one below is the leaf at its complement.
struct Split {
    feature: u16,
    threshold: f32,
    left: i16,
    right: i16,
}

static RANKER: LazyLock<Ranker> = LazyLock::new(|| {
    let mut bytes = Bytes { rest: include_bytes!("ranker.bin") };
    let unrun = bytes.ensemble();
    let ran = bytes.ensemble();
    Ranker { unrun, ran }
});

impl Ensemble {
    fn probability(&self, features: &[f32]) -> f32 {
        let odds: f32 = self.trees.iter().map(|tree| tree.value(features)).sum();
        1.0 / (1.0 + (-odds).exp())
    }
}

impl Tree {
    fn value(&self, features: &[f32]) -> f32 {
        let mut at: i16 = if self.splits.is_empty() { -1 } else { 0 };
        while let Some(split) = usize::try_from(at).ok().and_then(|at| self.splits.get(at)) {
            let value = features.get(usize::from(split.feature)).copied().unwrap_or_default();
            at = if value <= split.threshold { split.left } else { split.right };
        }
        usize::try_from(!at).ok().and_then(|leaf| self.leaves.get(leaf)).copied().unwrap_or_default()
    }
}

/// The weights as `scripts/train-ranker` writes them, little-endian.
struct Bytes {
    rest: &'static [u8],
}

impl Bytes {
    fn ensemble(&mut self) -> Ensemble {
        let trees = u16::from_le_bytes(self.take());
        Ensemble { trees: (0..trees).map(|_| self.tree()).collect() }
    }

    fn tree(&mut self) -> Tree {
        let splits = u16::from_le_bytes(self.take());
        let splits: Vec<Split> = (0..splits).map(|_| self.split()).collect();
        let leaves = (0..=splits.len()).map(|_| f32::from_le_bytes(self.take())).collect();
        Tree { splits, leaves }
    }

    fn split(&mut self) -> Split {
        Split {
            feature: u16::from_le_bytes(self.take()),
            threshold: f32::from_le_bytes(self.take()),
            left: i16::from_le_bytes(self.take()),
            right: i16::from_le_bytes(self.take()),
        }
    }

    /// Zeros past the end: the file is part of the program, and a test reads all of it.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                *taken
            }
            None => [0; N],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_weights_are_read_to_their_last_byte() {
        let mut bytes = Bytes { rest: include_bytes!("ranker.bin") };
        let trees = bytes.ensemble().trees.len() + bytes.ensemble().trees.len();
        assert!(trees > 0 && bytes.rest.is_empty());
    }

    #[test]
    fn results_are_the_same_whatever_the_order_of_rows_and_columns() {
        let one = ResultFacts::of(&[vec![json!("a"), json!(1)], vec![json!("b"), json!(2.00001)]]);
        let other = ResultFacts::of(&[vec![json!(2), json!("b")], vec![json!(1), json!("a")]]);
        assert!(one.is_same_result(&other));
        assert!(!one.is_same_result(&ResultFacts::of(&[vec![json!("a"), json!(1)]])));
    }
}
