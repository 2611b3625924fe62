//! The generator that remembers: a verified example whose question is the one that is asked, word for word and sign for
//! sign but for politeness and for values.
//!
//! A literal of the example's SQL that its question says too is a slot: what stands in its place in the new question takes
//! its place in the SQL, if the column that it is compared with is known to hold it or if it is quoted. Nothing else may
//! differ, and where a question can be read in two ways the example does not answer. Likeness of meaning alone never lets
//! an example answer, because "highest" and "lowest" are as like as words get; such examples are offered, and shown to a
//! language model.

mod frozen;
mod literals;
mod matching;
mod pieces;
mod slots;

use uuid::Uuid;

use super::{Draft, Features};
use crate::text_to_sql::explain::restate;
use crate::text_to_sql::link::tokens::{MAX_TOKENS, Token, tokenize};
use crate::text_to_sql::schema::{Engine, Schema};
pub use frozen::freezes;
use literals::Literals;
use matching::matched;
use pieces::Said;
use slots::pattern;

/// A question with SQL that somebody stands for, near the question that is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    pub id: Uuid,
    pub question: String,
    pub sql: String,
    /// From 0 to 1: how like the two questions are, by meaning or by words.
    pub likeness: f32,
}

/// The same question.
const SAME: f32 = 0.99;
/// The same question about other values that the database knows, or that are quoted, or about other numbers.
const SWAPPED: f32 = 0.95;
/// A like question is worth offering from here on, and what such an offer is worth.
const OFFERED_LIKENESS: f32 = 0.75;
const OFFERED: f32 = 0.5;

/// Words by which no example is looked for: they ask, or they are polite.
const IDLE: &[&str] = &[
    "a", "all", "an", "are", "can", "could", "did", "display", "do", "does", "find", "get", "give", "is", "i", "list",
    "me", "our", "please", "return", "show", "tell", "the", "there", "us", "want", "was", "we", "were", "what",
    "which", "would", "you", "of", "s",
];

/// The words by which examples are found: in order, stemmed, without those that change little.
pub fn lexemes(question: &str) -> Vec<String> {
    let tokens = tokenize(question);
    let idle = |token: &&Token| token.is_mark() || IDLE.contains(&token.lower.as_str());
    tokens.iter().take(MAX_TOKENS).filter(|token| !idle(token)).map(word).collect()
}

fn word(token: &Token) -> String {
    if token.stem.is_empty() { token.lower.clone() } else { token.stem.clone() }
}

/// The example's SQL as an answer to `question`, if it is one.
pub fn reuse(question: &str, example: &Example, schema: &Schema) -> Option<Draft> {
    if freezes(&example.question, &example.sql, schema.engine) {
        return None;
    }
    let (asked, known) = (Said::of(question)?, Said::of(&example.question)?);
    let literals = Literals::of(&example.sql, schema.engine)?;
    let pattern = pattern(&known, &literals, schema);
    let swaps = matched(&pattern, &asked, !literals.has_limit())?;
    let sql = literals.with(&swaps.iter().map(|swap| (swap.place, swap.sql.clone())).collect());
    let mut assumptions = vec![format!("taken from the verified question “{}”", example.question)];
    assumptions.extend(swaps.iter().map(|swap| format!("“{}” takes the place of “{}”", swap.to, swap.from)));
    let confidence = if swaps.is_empty() { SAME } else { SWAPPED };
    Some(draft(sql, schema.engine, confidence, assumptions))
}

/// The example as a choice: the question is like it, and not the same.
pub fn offer(example: &Example, schema: &Schema) -> Option<Draft> {
    let assumption = format!("answers the verified question “{}” instead", example.question);
    let likely = example.likeness >= OFFERED_LIKENESS;
    likely.then(|| draft(example.sql.clone(), schema.engine, OFFERED * example.likeness, vec![assumption]))
}

fn draft(sql: String, engine: Engine, confidence: f32, assumptions: Vec<String>) -> Draft {
    let explanation = restate(&sql, engine);
    Draft {
        sql,
        confidence,
        explanation,
        assumptions,
        unused_words: Vec::new(),
        clarification: None,
        features: Features::default(),
    }
}

#[cfg(test)]
mod tests;
