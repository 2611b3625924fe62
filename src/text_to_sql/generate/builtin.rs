//! The generator that needs no model: words of the question are linked to the schema, read into a typed plan, printed.
//!
//! A pure function of question and schema. It covers counts, lists, filters, aggregates, groups, top-k and orders over
//! tables joined by keys, and declines the rest (negation, set operations, shares, relative dates) with a sentence that
//! says what is missing. Candidates are the first reading and readings that take one decision otherwise.

mod assemble;
mod coverage;
mod dialect;
mod joins;
mod phrases;
mod plan;
mod print;
mod reader;
mod restate;
#[cfg(test)]
mod tests;
mod unread;

use chrono::NaiveDate;

use super::{Draft, Generated, MAX_DRAFTS};
use crate::text_to_sql::link::catalog::Catalog;
use crate::text_to_sql::link::tokens::{Token, tokenize};
use crate::text_to_sql::link::{Mention, link};
use joins::JoinTree;
use plan::Plan;
use reader::{Choice, Reader, kind_of, read};

/// Drafts for a question, or why there are none. Deterministic and without I/O: what "last month" means depends on
/// `today` alone.
pub fn generate(question: &str, catalog: &Catalog, today: NaiveDate) -> Generated {
    let tokens = tokenize(question);
    if let Some(reason) = coverage::beyond_reading(&tokens, catalog) {
        return Generated::Declined(reason);
    }
    let mentions = link(&tokens, catalog);
    if let Some(reason) = coverage::beyond_grammar(&tokens, &mentions) {
        return Generated::Declined(reason);
    }
    let mut reasons = Vec::new();
    let mut drafts: Vec<Draft> = Vec::new();
    for choices in candidates(&mentions) {
        match draft(catalog, &tokens, &mentions, &choices) {
            Ok(draft) if drafts.iter().all(|other| other.sql != draft.sql) => drafts.push(draft),
            Ok(_) => {}
            Err(reason) => reasons.push(reason),
        }
    }
    if drafts.is_empty() {
        return Generated::Declined(reasons.into_iter().next().unwrap_or_else(coverage::nothing_to_show));
    }
    rank(&mut drafts);
    Generated::Drafts(drafts)
}

/// The first reading comes first among equals: it takes every decision by its own merits.
fn rank(drafts: &mut Vec<Draft>) {
    drafts.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    drafts.truncate(MAX_DRAFTS);
}

fn draft(catalog: &Catalog, tokens: &[Token], mentions: &[Mention], choices: &[Choice]) -> Result<Draft, String> {
    let mut reader = read(catalog, tokens, mentions, choices);
    let plan = assemble::assemble(&mut reader);
    if let Some(missing) = reader.missing.take() {
        return Err(missing);
    }
    let mut plan = plan.ok_or_else(coverage::nothing_to_show)?;
    let joins = joins::connect(catalog, &plan.tables).ok_or_else(|| coverage::unconnected(catalog, &plan.tables))?;
    assemble::count_each_once(&mut reader, &mut plan, &joins);
    Ok(finish(&mut reader, &plan, &joins))
}

fn finish(reader: &mut Reader, plan: &Plan, joins: &JoinTree) -> Draft {
    let catalog = reader.catalog;
    coverage::doubt_joins(reader, plan, joins);
    unread::doubt_unread(reader, plan);
    let unused_words = coverage::unused_words(reader);
    let confidence = coverage::confidence(reader, &unused_words);
    Draft {
        sql: print::print(catalog, plan, joins),
        confidence,
        explanation: restate::restate(catalog, plan, joins),
        assumptions: reader.doubts.iter().filter_map(|doubt| doubt.assumption.clone()).collect(),
        unused_words,
        clarification: None,
    }
}

/// The next best meanings of one mention that are tried.
const OTHER_MEANINGS: usize = 2;
/// Questions with very many mentions are not worth more candidates than this.
const MAX_CANDIDATES: usize = 40;

/// The first reading, then each single decision taken otherwise.
fn candidates(mentions: &[Mention]) -> Vec<Vec<Choice>> {
    let mut all = vec![Vec::new(), vec![Choice::FlipDistinct], vec![Choice::FlipSuperlative]];
    for (index, mention) in mentions.iter().enumerate() {
        let meanings = mention.candidates.len().saturating_sub(1).min(OTHER_MEANINGS);
        all.extend((1..=meanings).map(|rank| vec![Choice::Rank { mention: index, rank }]));
        let mut kinds: Vec<reader::Kind> = mention.candidates.iter().map(kind_of).collect();
        kinds.dedup();
        if kinds.len() > 1 {
            all.extend(kinds.into_iter().map(|kind| vec![Choice::Kind { mention: index, kind }]));
        }
    }
    all.truncate(MAX_CANDIDATES);
    all
}
