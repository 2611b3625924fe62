//! `POST /v1/answers`.

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
    body::{Body, check_share},
    problem::{Problem, REQUEST_ID},
    search::{check_ids, check_limit, check_question},
    session::{CanRead, Session},
};
use crate::{
    answer::{self, Answer, AnswerRequest, Progress},
    app::App,
    store::search::Filter,
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(answers))
}

const DEFAULT_PASSAGES: usize = 8;

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
    /// Below this support (0 to 1) there is no answer; absent: as the server is set.
    #[schema(minimum = 0, maximum = 1)]
    min_support: Option<f32>,
    /// Server-sent events: `retrieval`, `delta`…, `citations`, `done` or `error`.
    stream: Option<bool>,
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
        min_support: check_share("/min_support", body.min_support)?.unwrap_or(session.config.min_support),
        key_id: Some(session.caller.key_id),
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
            Ok(answer) => {
                let checked = json!({ "citations": answer.citations, "unsupported": answer.unsupported });
                vec![event("citations", &checked), event("done", &answer)]
            }
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
