//! Spans of words that are values: a value alone implies `column = value`.
//!
//! The values are those that introspection sampled, the labels of enum types and the examples that people gave. Their
//! normal forms are indexed once for a schema; a name with a letter wrong is found too, where nothing else explains it.

use std::collections::{BTreeMap, HashMap};

use super::catalog::{Catalog, ColumnId, Holds};
use super::names::is_grammar_word;
use super::tokens::{Token, TokenKind};
use super::words::normal;
use super::{Found, Meaning};
use crate::text_to_sql::schema::Column;

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

/// Letters of the shortest value that is recognised with a letter wrong, and with two.
const ONE_WRONG: usize = 5;
const TWO_WRONG: usize = 9;
/// A value that is spelled a little differently: less than any other sign of a value.
const MISSPELLED: f32 = 0.58;

/// Where known values stand: by normal form, by the words of longer ones, and by first letter for misspelled ones.
#[derive(Debug, Default)]
pub struct ValueIndex {
    texts: HashMap<String, Vec<Known>>,
    words: HashMap<String, Vec<ColumnId>>,
    by_letter: BTreeMap<char, Vec<String>>,
}

/// A value of a column, by its place among the column's values.
#[derive(Debug, Clone, Copy)]
struct Known {
    column: ColumnId,
    at: usize,
}

impl ValueIndex {
    pub fn new(catalog: &Catalog) -> Self {
        let mut index = Self::default();
        for id in catalog.columns() {
            let entry = catalog.column(id);
            let in_parts = entry.holds == Holds::Text && !entry.is_id;
            for (at, value) in values(entry.column).enumerate().filter(|(_, value)| value.len() <= MAX_VALUE_BYTES) {
                index.add(Known { column: id, at }, value, in_parts);
            }
        }
        for keys in index.by_letter.values_mut() {
            keys.sort();
            keys.dedup();
        }
        index
    }

    /// Whether a text, in its normal form, is a known value of any column.
    pub fn knows(&self, normal: &str) -> bool {
        self.texts.contains_key(normal)
    }

    fn add(&mut self, known: Known, value: &str, in_parts: bool) {
        let text = normal(value);
        if in_parts {
            for word in text.split(' ').filter(|word| word.chars().count() >= MIN_PART_LETTERS) {
                let columns = self.words.entry(word.to_owned()).or_default();
                if columns.last() != Some(&known.column) {
                    columns.push(known.column);
                }
            }
        }
        let letters = text.chars().count();
        if letters >= ONE_WRONG
            && let Some(first) = text.chars().next()
        {
            self.by_letter.entry(first).or_default().push(text.clone());
        }
        let same = self.texts.entry(text).or_default();
        if !same.iter().any(|other| other.column == known.column && other.at == known.at) {
            same.push(known);
        }
    }

    /// The known values that a text, in its normal form, is but for a letter or two; the nearest ones alone.
    fn misspelled(&self, text: &str) -> Vec<Known> {
        let letters: Vec<char> = text.chars().collect();
        let allowed = usize::from(letters.len() >= ONE_WRONG) + usize::from(letters.len() >= TWO_WRONG);
        let near = letters.first().and_then(|first| self.by_letter.get(first)).map_or(&[][..], Vec::as_slice);
        let near = near.iter().filter_map(|other| Some((distance(&letters, other, allowed)?, other)));
        let near: Vec<(usize, &String)> = near.filter(|(distance, _)| *distance > 0).collect();
        let least = near.iter().map(|(distance, _)| *distance).min();
        let nearest = near.into_iter().filter(|(distance, _)| Some(*distance) == least);
        nearest.flat_map(|(_, other)| self.texts.get(other).into_iter().flatten().copied()).collect()
    }
}

/// How many letters differ, swapped neighbours counting once; `None` above `allowed`.
fn distance(left: &[char], right: &str, allowed: usize) -> Option<usize> {
    let right: Vec<char> = right.chars().collect();
    if allowed == 0 || left.len().abs_diff(right.len()) > allowed {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for at in 1..=left.len() {
        let mut next = vec![at];
        for other in 1..=right.len() {
            let wrong = usize::from(left[at - 1] != right[other - 1]);
            let mut least = (row[other - 1] + wrong).min(row[other] + 1).min(next[other - 1] + 1);
            let swapped = at > 1 && other > 1 && left[at - 1] == right[other - 2] && left[at - 2] == right[other - 1];
            if swapped {
                least = least.min(before[other - 2] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().filter(|distance| *distance <= allowed)
}

/// Every span that equals a known value, and every quoted text.
pub fn find(tokens: &[Token], catalog: &Catalog) -> Vec<Found> {
    let index = catalog.values();
    let mut found = Vec::new();
    for (text, span) in spans(tokens) {
        for known in index.texts.get(&text).into_iter().flatten() {
            let Some(value) = value_of(catalog, *known) else { continue };
            let score = span.score(tokens, value);
            let meaning = Meaning::Value(known.column, value.to_owned());
            found.extend(score.map(|score| Found::new(span.start, span.end, meaning, score)));
        }
    }
    found.extend(find_sexes(tokens, catalog));
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.is_quoted()) {
        if !index.knows(&normal(&token.text)) {
            found.extend(misspelled(catalog, at, at + 1, &token.text, 0.89));
        }
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
            let value = values(catalog.column(id).column).find(|value| value.eq_ignore_ascii_case(letter));
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
        at > 0
            && !tokens[at - 1].is_mark()
            && !covered[at]
            && tokens[at].capital
            && tokens[at].kind == TokenKind::Word
            && !tokens[at].function
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
            let text = text.join(" ");
            out.extend(misspelled(catalog, at, at + length, &text, MISSPELLED));
            out.push(Found::new(at, at + length, Meaning::Literal(text), 0.57));
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
    let columns = catalog.values().words.get(&token.lower).map_or(&[][..], Vec::as_slice);
    let part = |id: &ColumnId| Found::new(at, at + 1, Meaning::PartOf(*id, token.text.clone()), 0.6);
    columns.iter().map(part).collect()
}

fn misspelled(catalog: &Catalog, start: usize, end: usize, text: &str, score: f32) -> Vec<Found> {
    let known = catalog.values().misspelled(&normal(text));
    let value = |known: Known| Some((known.column, value_of(catalog, known)?.to_owned()));
    let found = known.into_iter().filter_map(value);
    found.map(|(column, value)| Found::new(start, end, Meaning::Value(column, value), score)).collect()
}

fn values(column: &Column) -> impl Iterator<Item = &str> {
    column.sample_values.iter().chain(&column.enum_values).chain(&column.example_values).map(String::as_str)
}

fn value_of(catalog: &Catalog, known: Known) -> Option<&str> {
    let column = catalog.column(known.column).column;
    let (samples, labels) = (&column.sample_values, &column.enum_values);
    let labelled = known.at.checked_sub(samples.len());
    let example = labelled.and_then(|at| at.checked_sub(labels.len()));
    let value = samples.get(known.at).or_else(|| labels.get(labelled?)).or_else(|| column.example_values.get(example?));
    value.map(String::as_str)
}

struct Span {
    start: usize,
    end: usize,
    inflected: bool,
}

/// The spans that may be values, with their normal forms.
fn spans(tokens: &[Token]) -> Vec<(String, Span)> {
    let mut spans: Vec<(String, Span)> = Vec::new();
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
                spans.push((other, Span { start, end, inflected: true }));
            }
            spans.push((text, Span { start, end, inflected: false }));
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
