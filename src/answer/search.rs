//! A search: a question finds chunks, by vector and by BM25, and both are fused.

mod fuse;
mod retrieve;

use std::{collections::HashMap, time::Instant};

use retrieve::Question;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::milliseconds;
use crate::{
    models::{Embedders, ModelError},
    store::{
        Store, StoreError,
        search::{Filter, FilterError, FoundChunk, RankedChunk},
    },
};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SearchMode {
    #[default]
    Hybrid,
    Vector,
    Text,
}

/// What to search for, checked by whoever builds it.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    pub query: String,
    /// Empty: every knowledge base of the workspace.
    pub knowledge_base_ids: Vec<Uuid>,
    pub mode: SearchMode,
    pub limit: usize,
    pub filter: Option<Filter>,
    pub min_score: Option<f64>,
    pub explain: bool,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SearchResponse {
    pub results: Vec<SearchResult>,
    pub mode: SearchMode,
    pub took_ms: f64,
    /// What was left out, and why.
    pub degraded: Vec<String>,
}

/// A chunk that a search found.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SearchResult {
    pub chunk_id: Uuid,
    pub document_id: Uuid,
    pub knowledge_base_id: Uuid,
    pub title: String,
    pub content: String,
    /// Cosine similarity, BM25, or the weighted sum of both standardised: comparable within one search only.
    pub score: f64,
    pub page: Option<i32>,
    pub heading_path: Vec<String>,
    /// Offsets in characters into the document's text.
    pub start: i32,
    pub end: i32,
    #[schema(value_type = Object)]
    pub metadata: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<Explain>,
}

/// How a result got its score.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Explain {
    /// From 1; null when this leg did not bring the chunk.
    pub vector_rank: Option<i32>,
    /// Cosine similarity.
    pub vector_score: f64,
    pub text_rank: Option<i32>,
    /// BM25.
    pub text_score: f64,
    /// Standardised over the candidates, as the fusion adds them.
    pub vector_standardised: f64,
    pub text_standardised: f64,
    /// Lexemes of the question that the chunk holds.
    pub terms: Vec<String>,
    /// Which index served the vector leg.
    pub vector_index: &'static str,
}

/// Why there is no result at all.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("there is no such knowledge base: {0}")]
    UnknownKnowledgeBase(Uuid),
    #[error("the filter is malformed")]
    Filter(Vec<FilterError>),
    #[error(
        "the knowledge base {name} was made with the embedding model {made_with}, and this search with {searched_with}"
    )]
    OtherModel { name: String, made_with: String, searched_with: String },
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Ranks the chunks of a workspace for a question. No connection to the store is held while the model is asked.
pub async fn search(
    store: &Store,
    workspace_id: Uuid,
    embedders: &Embedders,
    request: &SearchRequest,
) -> Result<SearchResponse, SearchError> {
    let began = Instant::now();
    let mut degraded = Vec::new();
    let scope = retrieve::scope(store.workspace(workspace_id).await?, embedders, request, &mut degraded).await?;
    let vector = retrieve::embed(workspace_id, embedders, &scope, request, &mut degraded).await?;
    // One moment for ranking and reading: a document that is replaced meanwhile is there in its old version or its new one.
    let mut workspace = store.snapshot(workspace_id).await?;
    let question = Question::understand(&mut workspace, vector, request, &scope).await?;
    let candidates = retrieve::rank(&mut workspace, &scope, &question).await?;
    let mut fused = fuse::fuse(candidates, question.weight(&scope));
    fused.retain(|ranked| request.min_score.is_none_or(|least| ranked.score >= least));
    fused.truncate(request.limit);
    let found = workspace.found_chunks(&fused.iter().map(|ranked| ranked.chunk.chunk_id).collect::<Vec<_>>()).await?;
    workspace.commit().await?;
    let results = results(fused, found, request.explain.then_some(&question));
    metrics::histogram!("almanac_search_seconds").record(began.elapsed().as_secs_f64());
    Ok(SearchResponse { results, mode: request.mode, took_ms: milliseconds(began), degraded })
}

/// Joins what was fused with what the chunks say; a chunk deleted in between is left out.
fn results(fused: Vec<fuse::Fused>, found: Vec<FoundChunk>, explained_by: Option<&Question>) -> Vec<SearchResult> {
    let mut found: HashMap<Uuid, FoundChunk> = found.into_iter().map(|chunk| (chunk.chunk_id, chunk)).collect();
    fused
        .into_iter()
        .filter_map(|ranked| {
            let chunk = found.remove(&ranked.chunk.chunk_id)?;
            let explain = explained_by.map(|question| explain(&ranked, question, &chunk));
            Some(SearchResult {
                chunk_id: chunk.chunk_id,
                document_id: chunk.document_id,
                knowledge_base_id: chunk.knowledge_base_id,
                title: chunk.title,
                content: chunk.content,
                score: ranked.score,
                page: chunk.page,
                heading_path: chunk.heading_path,
                start: chunk.start,
                end: chunk.end,
                metadata: chunk.metadata,
                explain,
            })
        })
        .collect()
}

fn explain(ranked: &fuse::Fused, question: &Question, chunk: &FoundChunk) -> Explain {
    let RankedChunk { vector_rank, vector_score, text_rank, text_score, .. } = ranked.chunk;
    Explain {
        vector_rank,
        vector_score,
        text_rank,
        text_score,
        vector_standardised: ranked.vector_standardised,
        text_standardised: ranked.text_standardised,
        terms: question.matched_terms(&[&chunk.title, &chunk.heading_path.join(" "), &chunk.content]),
        vector_index: "exact",
    }
}
