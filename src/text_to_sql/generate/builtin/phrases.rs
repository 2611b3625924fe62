//! The English that the grammar understands: comparisons before and after a number, superlatives and comparatives with
//! the columns they measure, words that mean an aggregate. Says nothing about any schema.

use super::plan::{Comparison, Function};
use crate::text_to_sql::link::tokens::Token;

const HIGHER: &[&str] = &[
    "more", "greater", "larger", "higher", "bigger", "older", "taller", "longer", "heavier", "later", "better",
    "farther", "wider", "newer",
];
const LOWER: &[&str] = &["less", "smaller", "lower", "fewer", "younger", "shorter", "earlier", "lighter", "cheaper"];
const ABOVE: &[&str] = &["over", "above", "exceeding", "exceeds", "exceed", "after", "beyond", "past"];
const BELOW: &[&str] = &["under", "below", "before"];
/// May stand between a comparison and its number.
const FILLERS: &[&str] = &["the", "than", "a", "an", "age", "of", "year"];

const TOP: &[&str] = &[
    "most", "highest", "largest", "greatest", "maximum", "biggest", "top", "best", "max", "longest", "oldest",
    "latest", "tallest", "heaviest", "newest", "fastest", "richest",
];
const BOTTOM: &[&str] = &[
    "least", "fewest", "lowest", "smallest", "minimum", "min", "shortest", "youngest", "earliest", "cheapest", "worst",
    "lightest", "slowest", "poorest",
];

pub const FREQUENT: &[&str] =
    &["common", "popular", "frequent", "frequently", "often", "commonly", "used", "prevalent", "popularly"];

/// A word that measures: the words of the columns it may mean, and the end of the order it asks for.
struct Measure {
    word: &'static str,
    columns: &'static [&'static str],
    descending: bool,
    /// It says which column, unlike "largest" or "best", which take the column that follows.
    specific: bool,
}

const fn measure(word: &'static str, columns: &'static [&'static str], descending: bool, specific: bool) -> Measure {
    Measure { word, columns, descending, specific }
}

const SUPERLATIVES: &[Measure] = &[
    measure("oldest", &["age", "birth", "found", "built"], true, true),
    measure("youngest", &["age", "birth"], false, true),
    measure("tallest", &["height"], true, true),
    measure("heaviest", &["weight"], true, true),
    measure("lightest", &["weight"], false, true),
    measure("cheapest", &["price", "cost"], false, true),
    measure("fastest", &["speed", "time"], true, true),
    measure("slowest", &["speed"], false, true),
    measure("shortest", &["height", "length", "duration", "distance"], false, false),
    measure("longest", &["length", "duration", "distance", "day", "hour"], true, false),
    measure("earliest", &["date", "year", "time", "start"], false, false),
    measure("latest", &["date", "year", "time"], true, false),
    measure("newest", &["date", "year"], true, false),
    measure("biggest", &["size", "area", "population", "capacity"], true, false),
    measure("largest", &["size", "area", "population", "capacity", "amount"], true, false),
    measure("smallest", &["size", "area", "population", "capacity", "amount"], false, false),
    measure("richest", &["money", "worth", "assets", "income"], true, false),
    measure("highest", &["score", "height", "salary", "price", "grade", "elevation"], true, false),
    measure("lowest", &["score", "height", "salary", "price", "grade"], false, false),
    measure("best", &["score", "rating", "rate"], true, false),
    measure("worst", &["score", "rating", "rate"], false, false),
];

const COMPARATIVES: &[Measure] = &[
    measure("older", &["age"], true, true),
    measure("younger", &["age"], false, true),
    measure("taller", &["height"], true, true),
    measure("shorter", &["height", "length", "duration"], false, true),
    measure("longer", &["length", "duration", "distance"], true, true),
    measure("heavier", &["weight"], true, true),
    measure("lighter", &["weight"], false, true),
    measure("cheaper", &["price", "cost"], false, true),
    measure("larger", &["size", "area", "population", "capacity"], true, true),
    measure("bigger", &["size", "area", "population", "capacity"], true, true),
    measure("smaller", &["size", "area", "population", "capacity"], false, true),
    measure("faster", &["speed"], true, true),
    measure("aged", &["age"], true, true),
];

/// What a superlative says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superlative {
    pub descending: bool,
    /// Words of columns it may measure; empty for "most".
    pub columns: &'static [&'static str],
    pub specific: bool,
}

pub fn superlative(word: &str) -> Option<Superlative> {
    let descending = TOP.contains(&word);
    if !descending && !BOTTOM.contains(&word) {
        return None;
    }
    let known = SUPERLATIVES.iter().find(|measure| measure.word == word);
    Some(Superlative {
        descending: known.map_or(descending, |measure| measure.descending),
        columns: known.map_or(&[], |measure| measure.columns),
        specific: known.is_some_and(|measure| measure.specific),
    })
}

/// The words of columns that "older" or "cheaper" compares.
pub fn comparative(word: &str) -> Option<&'static [&'static str]> {
    COMPARATIVES.iter().find(|measure| measure.word == word).map(|measure| measure.columns)
}

pub fn aggregate(word: &str) -> Option<Function> {
    match word {
        "average" | "mean" | "avg" | "averaged" => Some(Function::Average),
        "maximum" | "max" => Some(Function::Maximum),
        "minimum" | "min" => Some(Function::Minimum),
        "sum" | "total" | "combined" | "overall" => Some(Function::Sum),
        _ => None,
    }
}

/// The comparison that the words just before token `at` make, if any.
pub fn comparison_before(tokens: &[Token], at: usize) -> Option<Comparison> {
    let start = at.saturating_sub(7);
    let mut words: Vec<&str> = tokens[start..at].iter().map(|token| token.lower.as_str()).collect();
    let closed = |words: &[&str]| comparison_at_end(words);
    if let Some(split) = split_comparison(&words) {
        return Some(split);
    }
    loop {
        if let Some(found) = closed(&words) {
            return Some(found);
        }
        match words.last() {
            Some(last) if FILLERS.contains(last) => words.pop(),
            _ => return None,
        };
    }
}

/// "more total passengers than": the comparative and its "than" with at most four words between.
fn split_comparison(words: &[&str]) -> Option<Comparison> {
    let (than, before) = words.split_last().filter(|(last, _)| **last == "than")?;
    let at = before
        .iter()
        .rposition(|word| direction(word).is_some())
        .filter(|at| before.len() - at <= 5 && !than.is_empty())?;
    let plain = direction(before[at])?;
    let negated = at > 0 && matches!(before[at - 1], "no" | "not");
    Some(if negated { inclusive(opposite(plain)) } else { plain })
}

fn comparison_at_end(words: &[&str]) -> Option<Comparison> {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
    let word = |back: usize| words.len().checked_sub(back).and_then(|at| words.get(at)).copied().unwrap_or("");
    let (last, second) = (word(1), word(2));
    let fixed = match (second, last) {
        ("at", "least") | ("minimum" | "min", "of") => Some(GreaterOrEqual),
        ("at", "most") | ("maximum" | "max", "of") | ("up", "to") => Some(LessOrEqual),
        ("prior", "to") => Some(Less),
        ("or", "equal") => None,
        ("equal", "to") if word(3) == "or" => direction(word(5)).or_else(|| direction(word(4))).map(inclusive),
        ("equal", "to") | (_, "exactly" | "equal" | "equals" | "only") => Some(Equal),
        (_, "since" | "from") if last == "since" => Some(GreaterOrEqual),
        (_, "until") => Some(LessOrEqual),
        (_, last) if ABOVE.contains(&last) => Some(Greater),
        (_, last) if BELOW.contains(&last) => Some(Less),
        _ => None,
    };
    let (compared, before) = if last == "than" { (second, word(3)) } else { (last, second) };
    fixed.or_else(|| {
        let plain = direction(compared)?;
        Some(if matches!(before, "no" | "not") { inclusive(opposite(plain)) } else { plain })
    })
}

fn direction(word: &str) -> Option<Comparison> {
    if HIGHER.contains(&word) {
        return Some(Comparison::Greater);
    }
    LOWER.contains(&word).then_some(Comparison::Less)
}

fn opposite(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Greater => Comparison::Less,
        Comparison::Less => Comparison::Greater,
        other => other,
    }
}

fn inclusive(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Greater => Comparison::GreaterOrEqual,
        Comparison::Less => Comparison::LessOrEqual,
        other => other,
    }
}

/// "or more", "and later" after a number, and how many tokens that takes.
pub fn comparison_after(tokens: &[Token], at: usize) -> Option<(Comparison, usize)> {
    let word = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.lower.as_str());
    if !matches!(word(1), "or" | "and") || word(3) == "than" {
        return None;
    }
    let up = HIGHER.contains(&word(2)) || matches!(word(2), "above" | "over" | "after");
    let down = LOWER.contains(&word(2)) || matches!(word(2), "below" | "under" | "before");
    let end = tokens.len().min(at + 7);
    let figure = |token: &Token| token.number().is_some() || token.dates().is_some();
    let number_follows = tokens.get(at + 3..end).is_some_and(|next| next.iter().any(figure));
    match (up, down) {
        (true, _) if !number_follows => Some((Comparison::GreaterOrEqual, 2)),
        (_, true) if !number_follows => Some((Comparison::LessOrEqual, 2)),
        _ => None,
    }
}

/// A comparison with figures of other rows: which of their values counts, and the tokens that say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    pub comparison: Comparison,
    pub function: Function,
    pub start: usize,
    pub end: usize,
}

/// "more than any", "higher than all", "older than the youngest". More than any one is more than the least.
pub fn compared_with_others(tokens: &[Token]) -> Option<Compared> {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.lower.as_str());
    let than = (1..tokens.len()).find(|at| word(*at) == "than" && direction(word(*at - 1)).is_some())?;
    let comparison = direction(word(than - 1))?;
    let above = comparison == Comparison::Greater;
    let mut at = than + 1;
    while matches!(word(at), "the" | "that" | "of" | "those" | "salary" | "price" | "prices") && at < than + 4 {
        at += 1;
    }
    let least = |least: bool| if least { Function::Minimum } else { Function::Maximum };
    let function = match word(at) {
        "any" | "some" => least(above),
        "all" | "every" | "everyone" | "each" => least(!above),
        other => least(!superlative(other)?.descending),
    };
    Some(Compared { comparison, function, start: than - 1, end: at + 1 })
}

/// "above the average", "older than average": the side, and where the phrase begins and ends.
pub fn compared_with_average(tokens: &[Token]) -> Option<(Comparison, usize, usize)> {
    let average = |token: &Token| matches!(token.lower.as_str(), "average" | "mean" | "avg");
    let between = ["than", "the", "their", "its", "all", "overall", "or", "equal", "to"];
    for end in (0..tokens.len()).filter(|at| average(&tokens[*at])) {
        let mut at = end;
        while at > 0 && between.contains(&tokens[at - 1].lower.as_str()) {
            at -= 1;
        }
        if tokens[at].lower == "than" && at.checked_sub(1).is_some_and(|at| direction(&tokens[at].lower).is_none()) {
            // "smaller colleges than average"
            let split = (at.saturating_sub(4)..at).rev().find_map(|at| Some((direction(&tokens[at].lower)?, at)));
            if let Some((side, _)) = split {
                return Some((side, at, end + 1));
            }
        }
        let word = at.checked_sub(1).map_or("", |at| tokens[at].lower.as_str());
        let side = direction(word)
            .or_else(|| ABOVE.contains(&word).then_some(Comparison::Greater))
            .or_else(|| BELOW.contains(&word).then_some(Comparison::Less));
        if let Some(side) = side.filter(|_| word != "after" && word != "before") {
            return Some((side, at - 1, end + 1));
        }
    }
    None
}
