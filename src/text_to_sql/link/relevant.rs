//! Which tables and columns of a schema, however large, a question is about.
//!
//! Every table is a short document of its names, synonyms, descriptions, terms and columns. A question scores them like
//! BM25F (Robertson, Zaragoza and Taylor 2004: weigh the fields, then saturate), with more for a name that is said in
//! full and for values that stand in the question. The first tables are chosen to explain different words of it, and
//! the tables that join those are taken with them. Built once for a schema; what is hidden is not in it, and neither
//! are the values of masked columns. Deterministic, and without a clock.

mod copies;
mod index;
mod joins;
mod question;

use std::collections::HashMap;

use crate::text_to_sql::schema::{Engine, Schema};
use copies::Copies;
use index::Index;
use joins::Joins;
use question::Said;

/// What is known of a schema for ranking its tables. Tables and columns are told by their places in the schema.
pub struct Relevance {
    index: Index,
    joins: Joins,
    copies: Copies,
}

/// The tables of a schema, the most relevant first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranking {
    /// Those that the question has to do with.
    pub tables: Vec<usize>,
    /// All others that may be seen: those that most joins lead to come first.
    pub others: Vec<usize>,
    /// Words of the question that are stored values.
    pub values: Vec<ValueHit>,
    columns: HashMap<(usize, usize), f32>,
}

/// Words that a column holds as a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueHit {
    pub said: String,
    pub value: String,
    pub table: usize,
    pub column: usize,
}

impl Ranking {
    /// How much a column has to do with the question; 0 for not at all.
    pub fn column(&self, table: usize, column: usize) -> f32 {
        self.columns.get(&(table, column)).copied().unwrap_or_default()
    }
}

/// Tables that are chosen to explain different words; a question that needs more is several questions.
const MAX_SEEDS: usize = 8;
/// A word that a chosen table explains counts this much for the next one.
const EXPLAINED: f32 = 0.25;
/// A further table must add this share of what the first one explains.
const MIN_SHARE: f32 = 0.12;
/// A table gets this share of the score of the best table it joins.
const NEIGHBOUR: f32 = 0.2;
/// Tables that are looked at closely; the others share but a common word with the question.
const MAX_CANDIDATES: usize = 200;
/// A name that is said in full is worth this much more.
const FULL_NAME: f32 = 1.5;

impl Relevance {
    pub fn new(schema: &Schema) -> Relevance {
        let joins = Joins::new(schema);
        Relevance { index: Index::new(schema), copies: Copies::new(schema, &joins), joins }
    }

    /// Ranks the tables of `schema`, which this was made of, for a question.
    pub fn rank(&self, schema: &Schema, question: &str) -> Ranking {
        let said = Said::new(question);
        let mut scores = Scores::default();
        self.score_words(&said, &mut scores);
        let values = self.index.values_in(schema, &said);
        score_values(&values, &mut scores);
        self.score_names(&said, &mut scores);
        self.copies.demote(&said, &mut scores);
        let tables = self.order(&scores);
        let mut others: Vec<usize> = self.index.visible().filter(|table| !tables.contains(table)).collect();
        others
            .sort_by_key(|table| (self.copies.is_copy(*table), std::cmp::Reverse(self.joins.of(*table).len()), *table));
        Ranking { tables, others, values, columns: scores.columns }
    }

    /// The tables whose names stand in a statement, in its order.
    pub fn named_in(&self, schema: &Schema, sql: &str, engine: Engine) -> Vec<usize> {
        self.index.named_in(schema, sql, engine)
    }

    fn score_words(&self, said: &Said, scores: &mut Scores) {
        for (term, weight, word) in said.terms(|term| self.index.knows(term)) {
            let Some(entry) = self.index.term(&term) else { continue };
            let idf = self.index.idf(entry);
            for posting in &entry.tables {
                scores.add(posting.table, word, weight * idf * saturated(posting.weight));
            }
            for posting in &entry.columns {
                let column = scores.columns.entry((posting.table, posting.column)).or_default();
                *column = column.max(weight * idf * posting.weight);
            }
        }
    }

    fn score_names(&self, said: &Said, scores: &mut Scores) {
        let tables: Vec<usize> = scores.tables.keys().copied().collect();
        for table in tables {
            let best = self.index.names_of(table).map(|name| self.coverage(name, said));
            if let Some((worth, word)) = best.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(worth, _)| *worth > 0.0) {
                scores.add(table, word, FULL_NAME * worth);
            }
        }
    }

    /// The worth of a name, squared by the share of it that is said, and a word of the question that says it.
    fn coverage(&self, name: &[String], said: &Said) -> (f32, usize) {
        let (mut whole, mut covered, mut word) = (0.0, 0.0, 0);
        for stem in name {
            let idf = self.index.term(stem).map_or(0.0, |entry| self.index.idf(entry));
            whole += idf;
            if let Some((place, weight)) = said.says(stem) {
                covered += weight * idf;
                word = place;
            }
        }
        if whole > 0.0 { (covered * covered / whole, word) } else { (0.0, 0) }
    }

    fn order(&self, scores: &Scores) -> Vec<usize> {
        let mut best: Vec<(usize, f32)> = scores.tables.iter().map(|(table, words)| (*table, total(words))).collect();
        best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        best.truncate(MAX_CANDIDATES);
        let own: HashMap<usize, f32> = best.iter().copied().collect();
        let mut order = Vec::new();
        for seed in seeds(&best, scores) {
            let path = self.joins.path(&order, seed, |table| {
                own.get(&table).copied().unwrap_or_default() - if self.copies.is_copy(table) { FULL_NAME } else { 0.0 }
            });
            for table in path.into_iter().chain([seed]) {
                if !order.contains(&table) {
                    order.push(table);
                }
            }
        }
        let mut rest = self.with_neighbours(&own);
        rest.retain(|(table, _)| !order.contains(table));
        rest.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        order.extend(rest.into_iter().map(|(table, _)| table));
        order
    }

    fn with_neighbours(&self, own: &HashMap<usize, f32>) -> Vec<(usize, f32)> {
        let mut all = own.clone();
        for (table, score) in own {
            for other in self.joins.of(*table) {
                let bonus = if self.copies.is_copy(*other) { 0.0 } else { NEIGHBOUR * score };
                let reached = own.get(other).copied().unwrap_or_default() + bonus;
                let kept = all.entry(*other).or_default();
                *kept = kept.max(reached);
            }
        }
        all.into_iter().collect()
    }
}

/// What speaks for tables and columns.
#[derive(Default)]
struct Scores {
    /// By table, then by the word of the question.
    tables: HashMap<usize, Vec<(usize, f32)>>,
    columns: HashMap<(usize, usize), f32>,
}

impl Scores {
    /// A word speaks for a table once, by its best meaning there; the rest counts as the word's further worth.
    fn add(&mut self, table: usize, word: usize, score: f32) {
        let words = self.tables.entry(table).or_default();
        match words.iter_mut().find(|(known, _)| *known == word) {
            Some((_, known)) => *known += score,
            None => words.push((word, score)),
        }
    }
}

fn total(words: &[(usize, f32)]) -> f32 {
    words.iter().map(|(_, score)| score).sum()
}

fn saturated(weight: f32) -> f32 {
    weight / (weight + 1.0)
}

/// A value says where it is stored; one that many columns hold says little.
fn score_values(values: &[ValueHit], scores: &mut Scores) {
    const WORTH: f32 = 4.0;
    let mut spans: Vec<&str> = values.iter().map(|hit| hit.said.as_str()).collect();
    spans.dedup();
    for hit in values {
        let columns = values.iter().filter(|other| other.said == hit.said).count();
        let score = WORTH / (columns as f32).sqrt();
        let span = spans.iter().position(|said| *said == hit.said).unwrap_or_default();
        // Apart from the places of single words.
        scores.add(hit.table, usize::MAX - span, score);
        let column = scores.columns.entry((hit.table, hit.column)).or_default();
        *column = column.max(score);
    }
}

/// The best table, then again and again the one that explains most of what is still unexplained.
fn seeds(best: &[(usize, f32)], scores: &Scores) -> Vec<usize> {
    let mut explained: HashMap<usize, f32> = HashMap::new();
    let mut seeds: Vec<usize> = Vec::new();
    let first = best.first().map_or(0.0, |(_, score)| *score);
    while seeds.len() < MAX_SEEDS {
        let added = |table: usize| -> f32 {
            let words = scores.tables.get(&table).map_or(&[][..], Vec::as_slice);
            let left = |(word, score): &(usize, f32)| match explained.get(word) {
                Some(known) => (score - known).max(0.0) + EXPLAINED * score.min(*known),
                None => *score,
            };
            words.iter().map(left).sum()
        };
        let open = best.iter().filter(|(table, _)| !seeds.contains(table));
        let next = open.map(|(table, _)| (*table, added(*table))).reduce(|a, b| if b.1 > a.1 { b } else { a });
        let Some((table, _)) = next.filter(|(_, score)| *score > 0.0 && *score >= MIN_SHARE * first) else { break };
        for (word, score) in &scores.tables[&table] {
            let known = explained.entry(*word).or_default();
            *known = known.max(*score);
        }
        seeds.push(table);
    }
    seeds
}

#[cfg(test)]
mod tests;
