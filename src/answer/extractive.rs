//! Answers without a language model: the sentences of the found passages that are nearest to the question, cited.

use std::{collections::BTreeMap, ops::Range};

use super::{
    cite::{Citation, Written, sentences},
    search::SearchResult,
};
use crate::{
    lexemes::{self, Language},
    models::{Embedder, ModelError, Passage},
};

/// Passages whose sentences are looked at.
const PASSAGES: usize = 5;
/// Sentences that are compared with the question: bounds the embedding work of one answer.
const CANDIDATES: usize = 64;
/// Sentences in an answer.
const SENTENCES: usize = 3;
/// A second sentence must be nearly as good as the best one.
const NEARLY_AS_GOOD: f32 = 0.8;
/// Below this a passage is about something else. With the local model, questions about what a collection does not hold
/// stay below; see docs/evaluation.md.
const RELEVANT: f32 = 0.35;

/// The best sentences, best first, with how well they fit: 0 to 1 or a little more.
#[derive(Debug, Clone)]
pub struct Extract<'a> {
    sentences: Vec<Candidate<'a>>,
}

#[derive(Debug, Clone)]
struct Candidate<'a> {
    result: &'a SearchResult,
    part: Range<usize>,
    score: f32,
}

/// Compares the sentences of the first passages with the question, by meaning and by words; by words alone when the
/// model is down.
pub async fn best_sentences<'a>(
    embedder: &dyn Embedder,
    question: &str,
    passages: &'a [SearchResult],
    degraded: &mut Vec<String>,
) -> Extract<'a> {
    let mut candidates = candidates(passages);
    let meanings = match meanings(embedder, question, &candidates).await {
        Ok(meanings) => Some(meanings),
        Err(error) => {
            degraded.push(format!("sentences were compared by words alone: {error}"));
            None
        }
    };
    let words = lexemes::lexemes(question, Language::default());
    for (index, candidate) in candidates.iter_mut().enumerate() {
        let shared = share_of_words(&words, &candidate.result.content[candidate.part.clone()]);
        candidate.score = meanings.as_ref().map_or(shared, |meanings| 0.7 * meanings[index] + 0.3 * shared);
    }
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    Extract { sentences: candidates }
}

/// The cosine of each sentence with the question.
async fn meanings(
    embedder: &dyn Embedder,
    question: &str,
    candidates: &[Candidate<'_>],
) -> Result<Vec<f32>, ModelError> {
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let asked = embedder.embed_query(question).await?;
    let texts = candidates.iter().map(|candidate| passage(embedder, candidate)).collect();
    let vectors = embedder.embed_documents(texts).await?;
    Ok(vectors.iter().map(|vector| asked.iter().zip(vector).map(|(a, b)| a * b).sum()).collect())
}

impl Extract<'_> {
    /// Whether anything found is about the question at all.
    pub fn is_relevant(&self) -> bool {
        self.sentences.first().is_some_and(|best| best.score >= RELEVANT)
    }

    /// The best sentences as an answer, in the order of their goodness.
    pub fn write(&self) -> Written {
        let least = self.sentences.first().map_or(0.0, |best| best.score * NEARLY_AS_GOOD);
        let mut quoted: Vec<Citation> = Vec::new();
        for candidate in self.sentences.iter().take_while(|candidate| candidate.score >= least) {
            let citation = Citation::quote(quoted.len() + 1, candidate.result, candidate.part.clone());
            if quoted.len() < SENTENCES && !quoted.iter().any(|other| other.quote == citation.quote) {
                quoted.push(citation);
            }
        }
        let text = quoted.iter().map(|citation| format!("{} [{}]", shown(&citation.quote), citation.index));
        Written { text: text.collect::<Vec<_>>().join(" "), citations: quoted }
    }
}

fn candidates(passages: &[SearchResult]) -> Vec<Candidate<'_>> {
    let of = |result| {
        let content: &SearchResult = result;
        sentences(&content.content).into_iter().map(move |part| Candidate { result, part, score: 0.0 })
    };
    let is_prose = |candidate: &Candidate<'_>| !candidate.result.content[candidate.part.clone()].starts_with('#');
    passages.iter().take(PASSAGES).flat_map(of).filter(is_prose).take(CANDIDATES).collect()
}

/// Under its headings a sentence says what it is about.
fn passage(embedder: &dyn Embedder, candidate: &Candidate<'_>) -> Passage {
    let sentence = &candidate.result.content[candidate.part.clone()];
    let text = match candidate.result.heading_path.last() {
        Some(heading) => format!("{heading}: {sentence}"),
        None => sentence.to_owned(),
    };
    let mut token_ids = embedder.tokenizer().encode(&text).ids;
    token_ids.truncate(embedder.window());
    Passage { text, token_ids }
}

fn share_of_words(asked: &BTreeMap<String, u32>, sentence: &str) -> f32 {
    let held = lexemes::lexemes(sentence, Language::default());
    let matched = asked.keys().filter(|lexeme| held.contains_key(*lexeme)).count();
    matched as f32 / asked.len().max(1) as f32
}

/// Marks of layout are no part of what a sentence says.
fn shown(quote: &str) -> String {
    let flat = quote.replace("**", "").split_whitespace().collect::<Vec<_>>().join(" ");
    flat.trim_start_matches(['-', '*', '>', '|', ' ']).trim_end_matches(['|', ' ']).to_owned()
}
