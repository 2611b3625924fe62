//! The reranker's word on the best results, where there is one and time for it.

use super::{SearchRequest, SearchResult, Tools};
use crate::models::rerank::Reranker;

/// Results that a reranker is asked about: it reads each together with the question, which takes its time.
pub const MOST: usize = 30;

/// The reranker to ask, if any is to be.
pub fn reranker<'a>(tools: &'a Tools, request: &SearchRequest, degraded: &mut Vec<String>) -> Option<&'a Reranker> {
    if request.rerank == Some(true) && tools.reranker.is_none() {
        degraded.push("reranker: none is configured (ALMANAC_RERANK_URL)".to_owned());
    }
    tools.reranker.as_deref().filter(|_| request.rerank != Some(false))
}

/// Orders the first results as the reranker says; those behind keep their order. Without its answer, all do.
pub async fn rerank(reranker: &Reranker, question: &str, results: &mut [SearchResult], degraded: &mut Vec<String>) {
    let count = results.len().min(MOST);
    let (asked, behind) = results.split_at_mut(count);
    if asked.is_empty() {
        return;
    }
    let texts = asked.iter().map(text).collect();
    match reranker.scores(question, texts).await {
        Ok(scores) => order(asked, behind, &scores),
        Err(error) => degraded.push(format!("reranker: {error}")),
    }
}

/// Under its title and headings a passage says what it is about.
fn text(result: &SearchResult) -> String {
    let headings = std::iter::once(&result.title).chain(&result.heading_path).map(String::as_str);
    headings.chain([result.content.as_str()]).collect::<Vec<_>>().join("\n")
}

/// What was not asked about stands behind, as far below the last as it stood below it before.
fn order(asked: &mut [SearchResult], behind: &mut [SearchResult], scores: &[f64]) {
    let last_before = asked.last().map_or(0.0, |result| result.score);
    for (result, score) in asked.iter_mut().zip(scores) {
        result.score = *score;
        if let Some(explain) = &mut result.explain {
            explain.rerank_score = Some(*score);
        }
    }
    asked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk_id.cmp(&b.chunk_id)));
    let last = asked.last().map_or(0.0, |result| result.score);
    behind.iter_mut().for_each(|result| result.score += last - last_before);
}
