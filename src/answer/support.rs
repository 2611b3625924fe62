//! Whether what was found is about the question: its sentences compared with it, by meaning and by words.
//!
//! The support of an answer is the score of the best sentence. Sentences that share most words with the question are
//! embedded first, in rounds, and no more of them than the caller needs to know.

use std::ops::Range;

use uuid::Uuid;

use super::{
    meaning::{cosine, vectors},
    passages::Passage,
    sentences::sentences,
    table::is_head,
    words::Words,
};
use crate::models::{Embedders, ModelError};

/// Passages whose sentences are looked at.
const PASSAGES: usize = 5;
/// Sentences that are compared with the question: bounds the embedding work of one answer.
const CANDIDATES: usize = 64;
/// Sentences that are embedded together.
const ROUND: usize = 16;
/// How much the meaning counts; the rest are shared words.
const MEANING: f32 = 0.7;

/// Who asks what.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub workspace_id: Uuid,
    pub text: &'a str,
}

/// A sentence that was found.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    pub passage: &'a Passage<'a>,
    /// The sentence, in bytes of the passage.
    pub part: Range<usize>,
    pub words: Words,
    /// 0 to 1; `None`: not compared yet.
    pub score: Option<f32>,
    /// The share of the question's words.
    shared: f32,
}

/// Compares the sentences of the first passages with the question until one scores `enough`, or all are compared; by
/// words alone when the model is down. `candidates` are those of an earlier call, or [`candidates`].
pub async fn compare(
    embedders: &Embedders,
    question: Question<'_>,
    candidates: &mut [Candidate<'_>],
    enough: f32,
    degraded: &mut Vec<String>,
) {
    if let Err(error) = by_meaning(embedders, question, candidates, enough).await {
        candidates.iter_mut().for_each(|candidate| candidate.score = Some(candidate.shared));
        degraded.push(format!("sentences were compared by words alone: {error}"));
    }
}

/// The support: the best score so far.
pub fn best(candidates: &[Candidate<'_>]) -> f32 {
    candidates.iter().filter_map(|candidate| candidate.score).fold(0.0, f32::max).min(1.0)
}

/// The sentences of the first passages, those first that share most words with the question. Headings are none.
pub fn candidates<'a>(question: Question<'_>, passages: &'a [Passage<'a>]) -> Vec<Candidate<'a>> {
    let of = |passage: &'a Passage<'a>| sentences(&passage.text).into_iter().map(move |part| (passage, part));
    let says = |(passage, part): &(&'a Passage<'a>, Range<usize>)| {
        !passage.text[part.clone()].starts_with('#') && !is_head(&passage.text, part)
    };
    let found = passages.iter().take(PASSAGES).flat_map(of).filter(says).take(CANDIDATES);
    let mut candidates: Vec<Candidate<'a>> = found
        .map(|(passage, part)| {
            let language = passage.chunk().language;
            let words = Words::of(&passage.text[part.clone()], language);
            Candidate { passage, part, shared: Words::of(question.text, language).share_in(&words), words, score: None }
        })
        .collect();
    candidates.sort_by(|a, b| b.shared.total_cmp(&a.shared));
    candidates
}

async fn by_meaning(
    embedders: &Embedders,
    question: Question<'_>,
    candidates: &mut [Candidate<'_>],
    enough: f32,
) -> Result<(), ModelError> {
    let embedder = &**embedders.default();
    let mut round_start = candidates.iter().take_while(|candidate| candidate.score.is_some()).count();
    while round_start < candidates.len() && (round_start == 0 || best(candidates) < enough) {
        let asked = embedders.ask(question.workspace_id, embedder, question.text).await?;
        let end = (round_start + ROUND).min(candidates.len());
        let round = &mut candidates[round_start..end];
        let vectors = vectors(embedder, round.iter().map(under_heading).collect()).await?;
        for (candidate, vector) in round.iter_mut().zip(vectors) {
            candidate.score = Some(MEANING * cosine(&asked, &vector) + (1.0 - MEANING) * candidate.shared);
        }
        round_start = end;
    }
    Ok(())
}

/// Under its heading a sentence says what it is about.
fn under_heading(candidate: &Candidate<'_>) -> String {
    let sentence = &candidate.passage.text[candidate.part.clone()];
    match candidate.passage.chunk_at(&candidate.part).heading_path.last() {
        Some(heading) => format!("{heading}: {sentence}"),
        None => sentence.to_owned(),
    }
}
