//! The choice of spans that do not overlap, by dynamic programming.
//!
//! A span is worth its content words times the square of its best score: with the plain score, sums of partial matches
//! beat one full match (6.6 points of execution accuracy in the prototype).

use std::collections::BTreeMap;

use super::{Candidate, Found, Meaning, Mention};
use crate::text_to_sql::link::tokens::Token;

/// Meanings this much worse than the span's best are dropped.
const KEEP_WITHIN: f32 = 0.35;
/// More meanings of one span than this tell nothing.
const MAX_CANDIDATES: usize = 30;
/// Settles ties between a name and a value of the same span in favour of the name.
const NAME_BONUS: f32 = 0.02;

struct Span {
    mention: Mention,
    worth: f32,
}

pub fn choose(tokens: &[Token], found: Vec<Found>) -> Vec<Mention> {
    let mut by_end: Vec<Vec<Span>> = (0..=tokens.len()).map(|_| Vec::new()).collect();
    for ((_, end), span) in grouped(tokens, found) {
        by_end[end].push(span);
    }
    let mut best: Vec<(f32, Option<usize>)> = vec![(0.0, None)];
    for end in 1..=tokens.len() {
        let mut here = (best[end - 1].0, None);
        for (index, span) in by_end[end].iter().enumerate() {
            let worth = best[span.mention.start].0 + span.worth;
            if worth > here.0 {
                here = (worth, Some(index));
            }
        }
        best.push(here);
    }
    walk_back(&best, by_end)
}

fn walk_back(best: &[(f32, Option<usize>)], mut by_end: Vec<Vec<Span>>) -> Vec<Mention> {
    let mut mentions = Vec::new();
    let mut end = best.len() - 1;
    while end > 0 {
        match best[end].1 {
            Some(index) => {
                let span = by_end[end].swap_remove(index);
                end = span.mention.start;
                mentions.push(span.mention);
            }
            None => end -= 1,
        }
    }
    mentions.reverse();
    mentions
}

fn grouped(tokens: &[Token], found: Vec<Found>) -> BTreeMap<(usize, usize), Span> {
    let mut groups: BTreeMap<(usize, usize), Vec<Candidate>> = BTreeMap::new();
    for Found { start, end, candidate } in found {
        let group = groups.entry((start, end)).or_default();
        match group.iter_mut().find(|other| other.meaning == candidate.meaning) {
            Some(other) => other.score = other.score.max(candidate.score),
            None => group.push(candidate),
        }
    }
    groups.into_iter().map(|(at, candidates)| (at, span(tokens, at, candidates))).collect()
}

fn span(tokens: &[Token], (start, end): (usize, usize), mut candidates: Vec<Candidate>) -> Span {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let best = candidates.first().map_or(0.0, |candidate| candidate.score);
    candidates.retain(|candidate| candidate.score > best - KEEP_WITHIN);
    candidates.truncate(MAX_CANDIDATES);
    let named = candidates.iter().take(1).any(|best| matches!(best.meaning, Meaning::Table(_) | Meaning::Column(_)));
    let words = if named { tokens[start..end].iter().filter(|token| !token.function).count() } else { end - start };
    let bonus = if named { NAME_BONUS } else { 0.0 };
    let worth = words.max(1) as f32 * best * best + bonus;
    Span { mention: Mention { start, end, candidates }, worth }
}
