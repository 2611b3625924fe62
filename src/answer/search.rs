//! A search: a question finds chunks, by vector and by BM25, and both are fused.

mod collapse;
mod fuse;
pub mod query;
mod question;
mod rerank;
mod scope;
mod show;

use std::{sync::Arc, time::Instant};

use fuse::{Fused, Weighing};
use query::Query;
use question::Question;
use scope::Scope;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::milliseconds;
use crate::{
    lexemes::Language,
    models::{Embedders, ModelError, rerank::Reranker},
    store::{
        Store, StoreError, Workspace,
        search::{Filter, FilterError, Narrowing, RankedChunk, Ranking},
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
#[derive(Debug, Clone, Default)]
pub struct SearchRequest {
    pub query: Query,
    /// Empty: every knowledge base of the workspace.
    pub knowledge_base_ids: Vec<Uuid>,
    pub mode: SearchMode,
    pub limit: usize,
    pub filter: Option<Filter>,
    pub min_score: Option<f64>,
    /// Weight of the vector score, instead of the knowledge bases' own.
    pub fusion_weight: Option<f64>,
    /// `None`: where a reranker is configured.
    pub rerank: Option<bool>,
    /// `None`: as the knowledge bases say.
    pub collapse: Option<bool>,
    /// Neighbours of each result to show, on each side.
    pub expand: usize,
    pub highlights: bool,
    pub explain: bool,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SearchResponse {
    pub results: Vec<SearchResult>,
    pub mode: SearchMode,
    pub took_ms: f64,
    /// What was left out, and why.
    pub degraded: Vec<String>,
    /// Where the time went; with `explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

/// Milliseconds of each stage.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub struct Timings {
    /// Finding the knowledge bases.
    pub scope_ms: f64,
    /// The question's vector; one that was asked lately is kept.
    pub embed_ms: f64,
    /// Reading the question: lexemes, phrases.
    pub question_ms: f64,
    /// Ranking, the filter included; of which the vector leg, and the text leg.
    pub rank_ms: f64,
    pub vector_ms: f64,
    pub text_ms: f64,
    /// Reading the results.
    pub read_ms: f64,
    pub rerank_ms: f64,
}

/// A chunk that a search found.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SearchResult {
    pub chunk_id: Uuid,
    pub document_id: Uuid,
    pub knowledge_base_id: Uuid,
    pub title: String,
    pub content: String,
    /// Cosine similarity, BM25, the weighted sum of both standardised, or the reranker's: comparable within one search only.
    pub score: f64,
    pub page: Option<i32>,
    pub heading_path: Vec<String>,
    /// Offsets in characters into the document's text.
    pub start: i32,
    pub end: i32,
    pub language: Language,
    #[schema(value_type = Object)]
    pub metadata: Value,
    /// Where words of the question stand in the content; with `highlights`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highlights: Option<Vec<Span>>,
    /// The chunks before and behind it in its document; with `expand`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Vec<NeighbourChunk>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<NeighbourChunk>>,
    /// Results that say nearly the same and are not shown; with `collapse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<Vec<Duplicate>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<Explain>,
}

/// Offsets in characters into the document's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Span {
    pub start: i32,
    pub end: i32,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NeighbourChunk {
    pub chunk_id: Uuid,
    pub content: String,
    pub page: Option<i32>,
    pub start: i32,
    pub end: i32,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Duplicate {
    pub chunk_id: Uuid,
    pub document_id: Uuid,
    pub title: String,
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
    /// The weighted sum, or the score of the one leg that was asked.
    pub fused_score: f64,
    /// The reranker's, of what it was asked about.
    pub rerank_score: Option<f64>,
    /// Lexemes of the question that the chunk holds.
    pub terms: Vec<String>,
    /// What served the vector leg: `exact`, `hnsw`, or both for several knowledge bases; null without one.
    pub vector_index: Option<String>,
}

/// Why there is no result at all.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("there is no such knowledge base: {0}")]
    UnknownKnowledgeBase(Uuid),
    #[error("the query {0}")]
    Query(String),
    #[error("the filter is malformed")]
    Filter(Vec<FilterError>),
    #[error("the knowledge base {name} was made with the embedding model {model}, which this server does not run")]
    UnknownModel { name: String, model: String },
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What searches are made with.
#[derive(Clone)]
pub struct Tools {
    pub store: Store,
    pub embedders: Embedders,
    pub reranker: Option<Arc<Reranker>>,
}

/// Candidates from each leg. Fusion over 100 + 100 is what was measured.
const PER_LEG: i32 = 100;

/// Times that a search begins anew because what it searches was exchanged meanwhile.
const ATTEMPTS: usize = 3;

/// Ranks the chunks of a workspace for a question. No connection to the store is held while a model is asked.
pub async fn search(tools: &Tools, workspace_id: Uuid, request: &SearchRequest) -> Result<SearchResponse, SearchError> {
    if let Some(filter) = &request.filter {
        filter.check().map_err(SearchError::Filter)?;
    }
    for _ in 0..ATTEMPTS {
        if let Some(response) = attempt(tools, workspace_id, request).await? {
            return Ok(response);
        }
    }
    Err(SearchError::Store(StoreError::Unavailable(sqlx::Error::WorkerCrashed)))
}

/// `None`: while the question was embedded, a knowledge base has got another index or is gone.
async fn attempt(
    tools: &Tools,
    workspace_id: Uuid,
    request: &SearchRequest,
) -> Result<Option<SearchResponse>, SearchError> {
    let mut clock = Clock::start();
    let mut degraded = Vec::new();
    let query = &request.query;
    let scope =
        scope::scope(tools.store.workspace(workspace_id).await?, &tools.embedders, request, &mut degraded).await?;
    let scope_ms = clock.lap();
    let vectors =
        question::embed(workspace_id, &tools.embedders, &scope, &query.text, request.mode, &mut degraded).await?;
    let embed_ms = clock.lap();
    // One moment for ranking and reading: a document that is replaced meanwhile is there in its old version or its new one.
    let mut workspace = tools.store.snapshot(workspace_id).await?;
    if !workspace.are_searched(&scope.indexes()).await? {
        return Ok(None);
    }
    let question = Question::understand(&mut workspace, vectors, &query.text, request.mode, &scope).await?;
    let narrowing = question::narrow(&mut workspace, &scope, request.filter.as_ref(), query, &mut degraded).await?;
    let question_ms = clock.lap();
    let candidates = rank(&mut workspace, &scope, &question, &narrowing).await?;
    let (vector_ms, text_ms) = leg_times(&candidates);
    let fused = fuse::fuse(candidates, &weighing(&scope, request));
    let rank_ms = clock.lap();
    let reranker = rerank::reranker(tools, request, &mut degraded);
    let wanted = if reranker.is_some() { request.limit.max(rerank::MOST) } else { request.limit };
    let mut results = show::read(&mut workspace, fused, &question, &scope, request, wanted, &mut degraded).await?;
    show::surround(&mut workspace, &mut results, request.expand).await?;
    workspace.commit().await?;
    let read_ms = clock.lap();
    if let Some(reranker) = reranker {
        rerank::rerank(reranker, &query.text, &mut results, &mut degraded).await;
    }
    results.retain(|result| request.min_score.is_none_or(|least| result.score >= least));
    results.truncate(request.limit);
    let rerank_ms = clock.lap();
    metrics::histogram!("almanac_search_seconds").record(clock.began.elapsed().as_secs_f64());
    let timings = Timings { scope_ms, embed_ms, question_ms, rank_ms, vector_ms, text_ms, read_ms, rerank_ms };
    let (mode, took_ms) = (request.mode, milliseconds(clock.began));
    Ok(Some(SearchResponse { results, mode, took_ms, degraded, timings: request.explain.then_some(timings) }))
}

/// The union of both legs' candidates for each group, each with both scores.
async fn rank(
    workspace: &mut Workspace,
    scope: &Scope,
    question: &Question,
    narrowing: &Narrowing<'_>,
) -> Result<Vec<Vec<RankedChunk>>, StoreError> {
    let mut ranked = Vec::new();
    for (group, vector) in scope.groups.iter().zip(&question.vectors) {
        let text = question.text_ranking(group);
        if vector.is_none() && text.is_none() {
            continue;
        }
        let (indexes, question, text) = (group.indexes.as_slice(), vector.as_ref(), text.as_ref());
        ranked.push(workspace.rank_chunks(&Ranking { indexes, narrowing, question, text, per_leg: PER_LEG }).await?);
    }
    Ok(ranked)
}

fn weighing(scope: &Scope, request: &SearchRequest) -> Weighing {
    match request.mode {
        SearchMode::Vector => Weighing::Vector,
        SearchMode::Text => Weighing::Text,
        SearchMode::Hybrid => {
            let weight = |own: f32| request.fusion_weight.unwrap_or(f64::from(own));
            Weighing::Both(
                scope.knowledge_bases.iter().map(|base| (base.index.id, weight(base.fusion_weight))).collect(),
            )
        }
    }
}

/// Of all groups together.
fn leg_times(candidates: &[Vec<RankedChunk>]) -> (f64, f64) {
    let sum = |of: fn(&RankedChunk) -> Option<f64>| candidates.iter().filter_map(|group| of(group.first()?)).sum();
    (sum(|chunk| chunk.vector_ms), sum(|chunk| chunk.text_ms))
}

fn explain(fused: &Fused, terms: Vec<String>) -> Explain {
    let RankedChunk { vector_rank, vector_score, text_rank, text_score, vector_index, .. } = fused.chunk.clone();
    Explain {
        vector_rank,
        vector_score,
        text_rank,
        text_score,
        vector_standardised: fused.vector_standardised,
        text_standardised: fused.text_standardised,
        fused_score: fused.score,
        rerank_score: None,
        terms,
        vector_index,
    }
}

struct Clock {
    began: Instant,
    last: Instant,
}

impl Clock {
    fn start() -> Clock {
        let now = Instant::now();
        Clock { began: now, last: now }
    }

    /// Milliseconds since the last lap.
    fn lap(&mut self) -> f64 {
        let lap = milliseconds(self.last);
        self.last = Instant::now();
        lap
    }
}

#[cfg(test)]
impl SearchResult {
    /// Says `content`, from character `start` of a document on.
    pub fn of_text(start: i32, content: &str) -> SearchResult {
        SearchResult {
            chunk_id: Uuid::nil(),
            document_id: Uuid::nil(),
            knowledge_base_id: Uuid::nil(),
            title: String::new(),
            content: content.to_owned(),
            score: 1.0,
            page: None,
            heading_path: Vec::new(),
            start,
            end: start + i32::try_from(content.chars().count()).expect("a short text"),
            language: Language::English,
            metadata: serde_json::json!({}),
            highlights: None,
            before: None,
            after: None,
            duplicates: None,
            explain: None,
        }
    }
}
