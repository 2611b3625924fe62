//! Spans of words that are values: a value alone implies `column = value`.
//!
//! The values are those that introspection sampled and the labels of enum types. They are not indexed: one pass over
//! them looks each up among the question's spans, which costs no memory of its own and no time worth caching.

use std::collections::HashMap;

use super::catalog::{Catalog, ColumnId, Holds};
use super::names::is_grammar_word;
use super::tokens::{Token, TokenKind};
use super::words::normal;
use super::{Found, Meaning};

/// The longest value looked for, in words.
const MAX_WORDS: usize = 8;
/// Values longer than this are prose, not names of things.
const MAX_VALUE_BYTES: usize = 80;
/// A part of a value is only looked for as a word of at least this many letters.
const MIN_PART_LETTERS: usize = 4;
/// Words that say too much else to be read as a value in lower case.
const COMMON_WORDS: &[&str] =
    &["time", "times", "name", "names", "numbers", "one", "ones", "first", "last", "new", "old"];
/// A column with more values than this holds something other than M and F.
const MAX_SEXES: usize = 6;
/// A match with a plural or singular ending added or taken off is this much worse.
const INFLECTED: f32 = 0.04;

/// Every span that equals a known value, and every quoted text.
pub fn find(tokens: &[Token], catalog: &Catalog) -> Vec<Found> {
    let spans = spans(tokens);
    let mut found = Vec::new();
    for id in catalog.columns() {
        for value in values_of(catalog, id) {
            for span in spans.get(&normal(value)).into_iter().flatten() {
                let score = span.score(tokens, value);
                let meaning = Meaning::Value(id, value.to_owned());
                found.extend(score.map(|score| Found::new(span.start, span.end, meaning, score)));
            }
        }
    }
    found.extend(find_sexes(tokens, catalog));
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.is_quoted()) {
        found.push(Found::new(at, at + 1, Meaning::Literal(token.text.clone()), 0.9));
    }
    found
}

/// "male" and "women" where a column of few values says M and F.
fn find_sexes(tokens: &[Token], catalog: &Catalog) -> Vec<Found> {
    let letter = |token: &Token| match token.lower.as_str() {
        "male" | "males" | "men" | "man" | "boys" | "boy" => Some("m"),
        "female" | "females" | "women" | "woman" | "girls" | "girl" => Some("f"),
        _ => None,
    };
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some(letter) = letter(token) else { continue };
        for id in catalog.columns().filter(|id| catalog.column(*id).column.sample_values.len() <= MAX_SEXES) {
            let value = values_of(catalog, id).find(|value| value.eq_ignore_ascii_case(letter));
            found.extend(value.map(|value| Found::new(at, at + 1, Meaning::Value(id, value.to_owned()), 0.85)));
        }
    }
    found
}

/// Capitalised words that nothing explains: a word of longer values, else a name that is not among the samples.
pub fn find_unexplained(tokens: &[Token], catalog: &Catalog, found: &[Found]) -> Vec<Found> {
    let mut covered = vec![false; tokens.len()];
    for known in found.iter().filter(|known| known.candidate.score >= 0.6) {
        covered[known.start..known.end].fill(true);
    }
    let open = |at: usize| {
        at > 0 && !covered[at] && tokens[at].capital && tokens[at].kind == TokenKind::Word && !tokens[at].function
    };
    let mut out = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let length = (at..tokens.len()).take_while(|at| open(*at)).count();
        if length == 1 {
            out.extend(parts(tokens, at, catalog));
        }
        if length > 0 {
            let text: Vec<&str> = tokens[at..at + length].iter().map(|token| token.text.as_str()).collect();
            out.push(Found::new(at, at + length, Meaning::Literal(text.join(" ")), 0.57));
        }
        at += length.max(1);
    }
    out
}

fn parts(tokens: &[Token], at: usize, catalog: &Catalog) -> Vec<Found> {
    let token = &tokens[at];
    if token.text.chars().count() < MIN_PART_LETTERS {
        return Vec::new();
    }
    let contains =
        |id: &ColumnId| values_of(catalog, *id).any(|value| normal(value).split(' ').any(|word| word == token.lower));
    let columns = catalog.columns().filter(|id| catalog.column(*id).holds == Holds::Text && !catalog.column(*id).is_id);
    columns.filter(contains).map(|id| Found::new(at, at + 1, Meaning::PartOf(id, token.text.clone()), 0.6)).collect()
}

fn values_of<'c>(catalog: &'c Catalog<'_>, id: ColumnId) -> impl Iterator<Item = &'c str> {
    let column = catalog.column(id).column;
    let values = column.sample_values.iter().chain(&column.enum_values);
    values.map(String::as_str).filter(|value| value.len() <= MAX_VALUE_BYTES)
}

struct Span {
    start: usize,
    end: usize,
    inflected: bool,
}

/// The spans that may be values, by their normal form.
fn spans(tokens: &[Token]) -> HashMap<String, Vec<Span>> {
    let mut spans: HashMap<String, Vec<Span>> = HashMap::new();
    for start in 0..tokens.len() {
        for end in start + 1..=tokens.len().min(start + MAX_WORDS) {
            if end > start + 1 && tokens[start..end].iter().any(Token::is_quoted) {
                break;
            }
            if !may_be_value(tokens, start, end) {
                continue;
            }
            let text: Vec<&str> = tokens[start..end].iter().map(|token| token.text.as_str()).collect();
            let text = normal(&text.join(" "));
            for other in inflections(&text) {
                spans.entry(other).or_default().push(Span { start, end, inflected: true });
            }
            spans.entry(text).or_default().push(Span { start, end, inflected: false });
        }
    }
    spans
}

/// Values end in words that name something, or begin and end in capitals ("The Who"); a bare number is no value. A
/// little word may begin one: `in_production`.
fn may_be_value(tokens: &[Token], start: usize, end: usize) -> bool {
    let (first, last) = (&tokens[start], &tokens[end - 1]);
    let joins = |token: &Token| token.function || token.is_mark();
    if start + 1 == end {
        let code = first.text.len() >= 2 && first.text.chars().all(char::is_uppercase) && start > 0;
        let grammar = (is_grammar_word(&first.lower) || COMMON_WORDS.contains(&first.lower.as_str()))
            && !(first.capital && start > 0);
        return first.number().is_none() && first.dates().is_none() && !grammar && (!joins(first) || code);
    }
    let begins = !first.is_mark() && !joins(last) && tokens[start..end].iter().all(|token| !token.is_mark());
    (!joins(first) && !joins(last)) || begins || (first.capital && last.capital)
}

/// The text with its last word in the plural or the singular.
fn inflections(text: &str) -> Vec<String> {
    if text.len() < 4 {
        return Vec::new();
    }
    let mut out = vec![format!("{text}s")];
    out.extend(text.strip_suffix("ies").map(|base| format!("{base}y")));
    out.extend(text.strip_suffix("es").map(str::to_owned));
    out.extend(text.strip_suffix('s').map(str::to_owned));
    out
}

impl Span {
    /// How sure it is that the span means the value; `None` when the likeness is chance.
    fn score(&self, tokens: &[Token], value: &str) -> Option<f32> {
        let words = &tokens[self.start..self.end];
        if words.iter().any(Token::is_quoted) {
            return Some(1.0);
        }
        let same_case = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ") == value;
        let letters = normal(value).len();
        let chance = words.len() == 1 && ((letters <= 2 && !same_case) || (letters == 1 && self.start == 0));
        let capitals = words.iter().zip(self.start..).filter(|(word, at)| word.capital && *at > 0).count();
        let base = if letters > 3 { 0.65 } else { 0.55 };
        let score = base
            + 0.2 * capitals as f32 / words.len() as f32
            + 0.1 * (words.len() - 1).min(3) as f32
            + if same_case { 0.12 } else { 0.0 }
            - if self.inflected { INFLECTED } else { 0.0 };
        (!chance).then_some(score)
    }
}
