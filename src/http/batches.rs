//! Batches: what became of the documents that were uploaded together, once or as a stream of events.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::Stream;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::Id,
    problem::{Problem, REQUEST_ID},
    session::{CanRead, Session},
};
use crate::{app::App, store::batches::Batch};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get)).routes(routes!(events))
}

/// Between looks at a batch that somebody watches.
const LOOK: Duration = Duration::from_millis(200);
/// A comment so often keeps proxies from closing a quiet stream.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Read a batch
#[utoipa::path(get, path = "/v1/batches/{id}", tag = "documents", params(("id" = Uuid, Path)),
    responses((status = 200, body = Batch), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn get(session: Session<CanRead>, Id(id): Id) -> Result<Json<Batch>, Problem> {
    Ok(Json(session.workspace().await?.batch(id).await?))
}

/// Watch a batch: `progress` whenever a count changes, then `done` (or `error`, a problem)
#[utoipa::path(get, path = "/v1/batches/{id}/events", tag = "documents", params(("id" = Uuid, Path)),
    responses((status = 200, body = String, content_type = "text/event-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn events(
    session: Session<CanRead>,
    Id(id): Id,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    session.workspace().await?.batch(id).await?;
    let request_id = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
    let watch = Watch { session, id, request_id, last: None, ended: false };
    let stream = futures::stream::unfold(watch, |mut watch| async move {
        let event = REQUEST_ID.scope(watch.request_id.clone(), watch.next()).await?;
        Some((Ok(event), watch))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

struct Watch {
    session: Session<CanRead>,
    id: Uuid,
    request_id: String,
    last: Option<Batch>,
    ended: bool,
}

impl Watch {
    async fn next(&mut self) -> Option<Event> {
        // A server that is stopping ends its streams: their clients ask again.
        if self.ended || self.session.stop.is_cancelled() {
            return None;
        }
        if self.last.as_ref().is_some_and(|batch| batch.done) {
            self.ended = true;
            return Some(event("done", &self.last));
        }
        loop {
            match self.look().await {
                Ok(batch) if self.last.as_ref().map(|last| last.document_counts) != Some(batch.document_counts) => {
                    self.last = Some(batch);
                    return Some(event("progress", &self.last));
                }
                Ok(_) if self.session.stop.is_cancelled() => return None,
                Ok(_) => tokio::time::sleep(LOOK).await,
                Err(problem) => {
                    self.ended = true;
                    return Some(event("error", &problem));
                }
            }
        }
    }

    async fn look(&self) -> Result<Batch, Problem> {
        Ok(self.session.workspace().await?.batch(self.id).await?)
    }
}

/// A named event with JSON data.
pub fn event(name: &str, data: &impl serde::Serialize) -> Event {
    Event::default().event(name).json_data(data).unwrap_or_else(|_| Event::default().event("error"))
}
