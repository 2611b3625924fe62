//! The generator that needs no model: words of the question are linked to the schema, read into a typed plan, printed.
//!
//! A pure function of question, catalog and day. It covers counts, lists, filters, aggregates, groups, top-k, orders,
//! negation, sets, shares and differences over tables joined by keys, and declines the rest with a sentence that says
//! what is missing. Candidates are the first reading and readings that take one or two decisions otherwise.

mod assemble;
mod coverage;
mod dialect;
mod features;
mod joins;
mod phrases;
mod plan;
mod print;
mod ranker;
mod reader;
mod restate;
#[cfg(test)]
mod tests;
mod unread;

use chrono::NaiveDate;

pub use ranker::{ResultFacts, features, rerank};

use super::{Draft, Features, Generated, MAX_DRAFTS};
use crate::text_to_sql::link::catalog::Catalog;
use crate::text_to_sql::link::foreign::in_english;
use crate::text_to_sql::link::tokens::{Token, relative, tokenize};
use crate::text_to_sql::link::{Mention, link};
use plan::Query;
use reader::{Choice, Reader, kind_of, read};

/// Drafts for a question, or why there are none. Deterministic and without I/O: what "last month" means depends on
/// `today` alone.
pub fn generate(question: &str, catalog: &Catalog, today: NaiveDate) -> Generated {
    match read_all(question, catalog, today) {
        Ok(mut drafts) => {
            rerank(&mut drafts, &[]);
            Generated::Drafts(drafts)
        }
        Err(reason) => Generated::Declined(reason),
    }
}

/// The drafts as the rules order them.
fn read_all(question: &str, catalog: &Catalog, today: NaiveDate) -> Result<Vec<Draft>, String> {
    let english = in_english(&question.chars().take(MAX_CHARACTERS).collect::<String>(), catalog);
    let tokens = relative::resolve(&tokenize(&english), today);
    if let Some(reason) = coverage::beyond_reading(&tokens, catalog) {
        return Err(reason);
    }
    let mentions = link(&tokens, catalog);
    match coverage::beyond_grammar(&tokens, &mentions) {
        Some(reason) => Err(reason),
        None => candidates(catalog, &tokens, &mentions),
    }
}

/// Longer questions have more words than are read anyway.
const MAX_CHARACTERS: usize = 4_000;

/// Decisions taken otherwise are paired only where each changed the SQL, and no more of them than this.
const MAX_PAIRED: usize = 14;

/// Drafts of the first reading, of those with one decision taken otherwise, and of those with two: the most plausible by
/// the rules, which say how plausible. The first reading comes first among equals: it takes every decision by its own
/// merits.
fn candidates(catalog: &Catalog, tokens: &[Token], mentions: &[Mention]) -> Result<Vec<Draft>, String> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut reason = None;
    let mut changing: Vec<Choice> = Vec::new();
    let mut add = |choices: &[Choice], drafts: &mut Vec<Draft>| match draft(catalog, tokens, mentions, choices) {
        Ok(draft) if drafts.iter().all(|other| other.sql != draft.sql) => {
            drafts.push(draft);
            true
        }
        Ok(_) => false,
        Err(missing) => {
            reason.get_or_insert(missing);
            false
        }
    };
    add(&[], &mut drafts);
    for choice in single_choices(mentions) {
        if add(&[choice], &mut drafts) {
            changing.push(choice);
        }
    }
    changing.truncate(MAX_PAIRED);
    for (at, one) in changing.iter().enumerate() {
        for other in changing[at + 1..].iter().filter(|other| one.goes_with(**other)) {
            add(&[*one, *other], &mut drafts);
        }
    }
    if drafts.is_empty() {
        return Err(reason.unwrap_or_else(coverage::nothing_to_show));
    }
    drafts.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    drafts.truncate(MAX_DRAFTS);
    Ok(drafts)
}

fn draft(catalog: &Catalog, tokens: &[Token], mentions: &[Mention], choices: &[Choice]) -> Result<Draft, String> {
    let mut reader = read(catalog, tokens, mentions, choices);
    let plan = assemble::assemble(&mut reader);
    if let Some(missing) = reader.missing.take() {
        return Err(missing);
    }
    let mut plan = plan.ok_or_else(coverage::nothing_to_show)?;
    let connect = if choices.contains(&Choice::OtherPath) { joins::connect_otherwise } else { joins::connect };
    let joins = connect(catalog, &plan.tables).ok_or_else(|| coverage::unconnected(catalog, &plan.tables))?;
    reader.add_default_filters(&mut plan, &joins);
    assemble::count_each_once(&mut reader, &mut plan, &joins);
    let mut query = Query { plan, joins };
    assemble::split(&reader, &mut query);
    let query = assemble::add_up_once(catalog, query);
    Ok(finish(&mut reader, &query))
}

fn finish(reader: &mut Reader, query: &Query) -> Draft {
    let catalog = reader.catalog;
    coverage::doubt_joins(reader, query);
    unread::doubt_unread(reader, &query.plan);
    let unused_words = coverage::unused_words(reader);
    let confidence = coverage::confidence(reader, &unused_words);
    let numbers = features::of_draft(reader, query, confidence, &unused_words);
    let features = Features { numbers, doubtful: unread::is_doubtful(reader, query, &unused_words) };
    Draft {
        sql: print::print(catalog, query),
        confidence,
        explanation: restate::restate(catalog, query),
        assumptions: reader.doubts.iter().filter_map(|doubt| doubt.assumption.clone()).collect(),
        unused_words,
        clarification: coverage::clarification(reader, query),
        features,
    }
}

/// The next best meanings of one mention that are tried.
const OTHER_MEANINGS: usize = 3;
/// Questions with very many mentions are not worth more candidates than this.
const MAX_SINGLE: usize = 60;

/// Each single decision taken otherwise.
fn single_choices(mentions: &[Mention]) -> Vec<Choice> {
    let mut all: Vec<Choice> = Choice::GENERAL.to_vec();
    for (index, mention) in mentions.iter().enumerate() {
        let meanings = mention.candidates.len().saturating_sub(1).min(OTHER_MEANINGS);
        all.extend((1..=meanings).map(|rank| Choice::Rank { mention: index, rank }));
        let mut kinds: Vec<reader::Kind> = mention.candidates.iter().map(kind_of).collect();
        kinds.sort();
        kinds.dedup();
        if kinds.len() > 1 {
            all.extend(kinds.into_iter().map(|kind| Choice::Kind { mention: index, kind }));
        }
        all.push(Choice::Drop { mention: index });
    }
    all.truncate(MAX_SINGLE);
    all
}
