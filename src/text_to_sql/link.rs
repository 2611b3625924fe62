//! Linking: which words of a question name which tables, columns and values of a schema.
//!
//! A span of words may have several meanings; it keeps the good ones, best first, and the generators choose. Spans do
//! not overlap: the set that explains most of the question wins. A pure function of question and schema.

pub mod catalog;
pub mod foreign;
mod names;
pub mod relevant;
mod spans;
pub mod tokens;
mod values;
pub mod words;

use catalog::{Catalog, ColumnId, TableId};
use tokens::Token;

/// Some words of the question, from token `start` up to, not including, `end`, and what they may mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Mention {
    pub start: usize,
    pub end: usize,
    /// Best first; never empty.
    pub candidates: Vec<Candidate>,
}

/// One meaning and how well the words fit it: 1 is a perfect match, a little more one that names the table too.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub meaning: Meaning,
    pub score: f32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Meaning {
    Table(TableId),
    Column(ColumnId),
    /// A value as it is stored in the column.
    Value(ColumnId, String),
    /// A part of values that are stored in the column.
    PartOf(ColumnId, String),
    /// A literal of the question that no known value matches.
    Literal(String),
    /// A figure that people declared on a table, by its place among the table's open metrics.
    Metric(TableId, usize),
    /// A condition that people declared on a table, by its place among the table's open filters.
    Filter(TableId, usize),
}

/// The mentions in a question, in its order.
pub fn link(tokens: &[Token], catalog: &Catalog) -> Vec<Mention> {
    let mut found = names::find(tokens, catalog);
    found.extend(values::find(tokens, catalog));
    found.extend(values::find_unexplained(tokens, catalog, &found));
    spans::choose(tokens, found)
}

/// A possible meaning of a span, before spans are chosen.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    start: usize,
    end: usize,
    candidate: Candidate,
}

impl Found {
    fn new(start: usize, end: usize, meaning: Meaning, score: f32) -> Self {
        Self { start, end, candidate: Candidate { meaning, score } }
    }
}
