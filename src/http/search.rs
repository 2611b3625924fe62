//! `POST /v1/search`.

use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Body, check_share},
    problem::Problem,
    session::{CanRead, Session},
};
use crate::{
    answer::search::{self, SearchMode, SearchRequest, SearchResponse, query::Query},
    app::App,
    store::search::Filter,
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(search))
}

/// Longer questions are documents; the local model reads 256 tokens anyway.
const MAX_QUESTION: usize = 10_000;
const MAX_LIMIT: usize = 100;
const MAX_KNOWLEDGE_BASES: usize = 100;
const MAX_EXPAND: usize = 5;
const DEFAULT_RESULTS: usize = 10;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SearchBody {
    #[schema(min_length = 1, max_length = 10000)]
    query: String,
    /// Absent or empty: every knowledge base of the workspace.
    #[serde(default)]
    knowledge_base_ids: Option<Vec<Uuid>>,
    #[serde(default)]
    mode: Option<SearchMode>,
    #[schema(minimum = 1, maximum = 100, default = 10)]
    limit: Option<usize>,
    filter: Option<Filter>,
    min_score: Option<f64>,
    /// Weight of the vector score in mode `hybrid`, instead of the knowledge bases' own.
    #[schema(minimum = 0, maximum = 1)]
    fusion_weight: Option<f64>,
    /// Whether the best 30 results are reranked; by default, where a reranker is configured.
    rerank: Option<bool>,
    /// Whether of several nearly equal results one is shown; by default, as the knowledge bases say.
    collapse: Option<bool>,
    /// Shows so many chunks before and behind each result.
    #[schema(minimum = 0, maximum = 5, default = 0)]
    expand: Option<usize>,
    /// Shows where words of the question stand.
    highlights: Option<bool>,
    /// Shows how each result got its score, and where the time went.
    explain: Option<bool>,
}

/// Search documents
#[utoipa::path(post, path = "/v1/search", tag = "search", request_body = SearchBody,
    responses((status = 200, body = SearchResponse), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn search(session: Session<CanRead>, Body(body): Body<SearchBody>) -> Result<Json<SearchResponse>, Problem> {
    let request = SearchRequest {
        query: check_query(&body.query)?,
        knowledge_base_ids: check_ids(body.knowledge_base_ids)?,
        mode: body.mode.unwrap_or_default(),
        limit: check_limit(body.limit, DEFAULT_RESULTS)?,
        filter: body.filter,
        min_score: body.min_score,
        fusion_weight: check_share("/fusion_weight", body.fusion_weight)?,
        rerank: body.rerank,
        collapse: body.collapse,
        expand: check_expand(body.expand)?,
        highlights: body.highlights.unwrap_or(false),
        explain: body.explain.unwrap_or(false),
    };
    Ok(Json(search::search(&session.searching(), session.workspace_id(), &request).await?))
}

fn check_query(query: &str) -> Result<Query, Problem> {
    Query::parse(&check_question("/query", query)?).map_err(|detail| Problem::invalid("/query", detail))
}

fn check_expand(expand: Option<usize>) -> Result<usize, Problem> {
    match expand.unwrap_or(0) {
        expand @ 0..=MAX_EXPAND => Ok(expand),
        _ => Err(Problem::invalid("/expand", format!("must be from 0 to {MAX_EXPAND}"))),
    }
}

pub fn check_question(pointer: &str, question: &str) -> Result<String, Problem> {
    if question.trim().is_empty() {
        return Err(Problem::invalid(pointer, "must not be empty"));
    }
    if question.chars().count() > MAX_QUESTION {
        return Err(Problem::invalid(pointer, format!("must be at most {MAX_QUESTION} characters")));
    }
    // PostgreSQL keeps no NUL, and no question needs one.
    Ok(question.replace('\0', " "))
}

pub fn check_limit(limit: Option<usize>, default: usize) -> Result<usize, Problem> {
    match limit.unwrap_or(default) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        _ => Err(Problem::invalid("/limit", format!("must be from 1 to {MAX_LIMIT}"))),
    }
}

pub fn check_ids(ids: Option<Vec<Uuid>>) -> Result<Vec<Uuid>, Problem> {
    let mut ids = ids.unwrap_or_default();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > MAX_KNOWLEDGE_BASES {
        return Err(Problem::invalid("/knowledge_base_ids", format!("names more than {MAX_KNOWLEDGE_BASES}")));
    }
    Ok(ids)
}
