//! `POST /v1/search` and `POST /v1/answers`.

use std::convert::Infallible;

use axum::{
    Json,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    batches::{KEEP_ALIVE, event},
    body::Body,
    problem::{Problem, REQUEST_ID},
    session::{CanRead, Session},
};
use crate::{
    answer::{self, Answer, AnswerRequest, Progress, SearchMode, SearchRequest, SearchResponse},
    app::App,
    store::search::Filter,
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(search)).routes(routes!(answers))
}

/// Longer questions are documents; the local model reads 256 tokens anyway.
const MAX_QUESTION: usize = 10_000;
const MAX_LIMIT: usize = 100;
const MAX_KNOWLEDGE_BASES: usize = 100;
const DEFAULT_RESULTS: usize = 10;
const DEFAULT_PASSAGES: usize = 8;

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
    /// Asks a reranker; none is configured on this server yet, so the answer says `degraded`.
    rerank: Option<bool>,
    explain: Option<bool>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AnswerBody {
    #[schema(min_length = 1, max_length = 10000)]
    question: String,
    #[serde(default)]
    knowledge_base_ids: Option<Vec<Uuid>>,
    /// Passages that the answer may rely on.
    #[schema(minimum = 1, maximum = 100, default = 8)]
    limit: Option<usize>,
    filter: Option<Filter>,
    /// Server-sent events: `retrieval`, `delta`…, `citations`, `done` or `error`.
    stream: Option<bool>,
}

/// Search documents
#[utoipa::path(post, path = "/v1/search", tag = "search", request_body = SearchBody,
    responses((status = 200, body = SearchResponse), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn search(session: Session<CanRead>, Body(body): Body<SearchBody>) -> Result<Json<SearchResponse>, Problem> {
    let rerank = body.rerank.unwrap_or(false);
    let request = SearchRequest {
        query: check_question("/query", &body.query)?,
        knowledge_base_ids: check_ids(body.knowledge_base_ids)?,
        mode: body.mode.unwrap_or_default(),
        limit: check_limit(body.limit, DEFAULT_RESULTS)?,
        filter: body.filter,
        min_score: body.min_score,
        explain: body.explain.unwrap_or(false),
    };
    let mut response = answer::search(&session.store, session.workspace_id(), &session.embedders, &request).await?;
    if rerank {
        response.degraded.push("reranker: none is configured".to_owned());
    }
    Ok(Json(response))
}

/// Answer a question from documents
#[utoipa::path(post, path = "/v1/answers", tag = "search", request_body = AnswerBody,
    responses((status = 200, content((Answer = "application/json"), (String = "text/event-stream"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn answers(session: Session<CanRead>, Body(body): Body<AnswerBody>) -> Result<Response, Problem> {
    let request = AnswerRequest {
        question: check_question("/question", &body.question)?,
        knowledge_base_ids: check_ids(body.knowledge_base_ids)?,
        limit: check_limit(body.limit, DEFAULT_PASSAGES)?,
        filter: body.filter,
    };
    if body.stream.unwrap_or(false) {
        return Ok(stream(session, request));
    }
    let answer = answer::answer(&session.answering(), session.workspace_id(), &request, &mut |_| {}).await?;
    Ok(Json(answer).into_response())
}

/// Events as they come. The work belongs to the stream: a client that leaves ends it.
fn stream(session: Session<CanRead>, request: AnswerRequest) -> Response {
    let (events, receiver) = mpsc::unbounded_channel();
    let work = async move {
        let mut watch = |progress: Progress| {
            // Nobody listens any more: the stream is dropped, and this work with it.
            let _ = events.send(match progress {
                Progress::Retrieved(results) => event("retrieval", &json!({ "results": results })),
                Progress::Delta(text) => event("delta", &json!({ "text": text })),
            });
        };
        let answered = answer::answer(&session.answering(), session.workspace_id(), &request, &mut watch).await;
        let last = match answered {
            Ok(answer) => vec![event("citations", &json!({ "citations": answer.citations })), event("done", &answer)],
            Err(error) => vec![event("error", &Problem::from(error))],
        };
        for event in last {
            let _ = events.send(event);
        }
    };
    let request_id = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
    let stream = Merged { work: Box::pin(REQUEST_ID.scope(request_id, work)), working: true, receiver };
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// Drives the work and hands on its events.
struct Merged<W> {
    work: std::pin::Pin<Box<W>>,
    working: bool,
    receiver: mpsc::UnboundedReceiver<Event>,
}

impl<W: Future<Output = ()>> futures::Stream for Merged<W> {
    type Item = Result<Event, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        if self.working && self.work.as_mut().poll(context).is_ready() {
            self.working = false;
        }
        let event = self.receiver.poll_recv(context).map(|event| event.map(Ok));
        // The work holds the sender: once it is done and every event is out, the stream ends.
        if event.is_pending() && !self.working { std::task::Poll::Ready(None) } else { event }
    }
}

fn check_question(pointer: &str, question: &str) -> Result<String, Problem> {
    if question.trim().is_empty() {
        return Err(Problem::invalid(pointer, "must not be empty"));
    }
    if question.chars().count() > MAX_QUESTION {
        return Err(Problem::invalid(pointer, format!("must be at most {MAX_QUESTION} characters")));
    }
    // PostgreSQL keeps no NUL, and no question needs one.
    Ok(question.replace('\0', " "))
}

fn check_limit(limit: Option<usize>, default: usize) -> Result<usize, Problem> {
    match limit.unwrap_or(default) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        _ => Err(Problem::invalid("/limit", format!("must be from 1 to {MAX_LIMIT}"))),
    }
}

fn check_ids(ids: Option<Vec<Uuid>>) -> Result<Vec<Uuid>, Problem> {
    let mut ids = ids.unwrap_or_default();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > MAX_KNOWLEDGE_BASES {
        return Err(Problem::invalid("/knowledge_base_ids", format!("names more than {MAX_KNOWLEDGE_BASES}")));
    }
    Ok(ids)
}
