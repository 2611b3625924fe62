//! Why a statement was refused, in words that a person, or a model repairing its SQL, can act on.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One reason. `code` is stable; `detail` is a sentence, with the nearest allowed name where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Violation {
    pub code: ViolationCode,
    pub detail: String,
}

/// What kind of reason. Hidden tables and columns are simply unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ViolationCode {
    /// Not exactly one SELECT, WITH or VALUES statement.
    NotAQuery,
    /// Changes data, schema or session.
    Writes,
    /// Takes row locks.
    Locks,
    UnknownTable,
    UnknownColumn,
    AmbiguousColumn,
    /// Readable in principle, but its values are masked.
    Masked,
    FunctionNotAllowed,
    OperatorNotAllowed,
    TypeNotAllowed,
    /// Reads the engine's own catalog, statistics or settings.
    SystemCatalog,
    /// A parameter (`$1`, `?`, `:x`) without a value.
    Parameter,
    /// Over a bound on size, depth or cost that is visible in the text.
    TooComplex,
    /// The engine expects it to take more rows, or more work, than is allowed.
    TooCostly,
    /// Characters or literals that engines and versions read differently.
    Lexical,
    /// Legal for the engine, not yet understood here.
    ParserGap,
    Syntax,
    /// A clause or form that questions never need.
    NotAllowed,
    /// A table's row filter needs an attribute that the caller's key has not.
    MissingAttribute,
}

impl Violation {
    pub(super) fn new(code: ViolationCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// For who asks the engine what a statement would take, once the guard has let it through.
    pub fn too_costly(detail: impl Into<String>) -> Self {
        Self::new(ViolationCode::TooCostly, detail)
    }
}

impl ViolationCode {
    /// As it is serialised.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// ` Did you mean `x`?` for the candidate that is a slip of the hand away from `name`, else nothing.
pub(super) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default()
}

/// Longer names are not compared: a hint is not worth quadratic time on hostile input.
const LONGEST_COMPARED: usize = 64;

fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    if name.len() > LONGEST_COMPARED {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST_COMPARED)
        .map(|candidate| (distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, candidate)| distance <= 1 + name.len().min(candidate.len()) / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
pub(in crate::text_to_sql) fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before = vec![0; right.len() + 1];
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i; right.len() + 1];
        for j in 1..=right.len() {
            let substitution = last[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            row[j] = substitution.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_is_hinted_at_and_a_different_word_is_not() {
        let names = ["email", "name", "created_at"];
        assert_eq!(did_you_mean("emial", names), " Did you mean `email`?");
        assert_eq!(did_you_mean("createdat", names), " Did you mean `created_at`?");
        assert_eq!(did_you_mean("salary", names), "");
        assert_eq!(did_you_mean(&"e".repeat(1_000_000), names), "");
    }
}
