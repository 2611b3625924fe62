//! Batches: files that are uploaded together, in one request or one by one, and what becomes of them, once or as a
//! stream of events.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    http::StatusCode,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::Stream;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Body, Id, Page, Params},
    documents::ListParams,
    problem::{Problem, REQUEST_ID},
    session::{CanRead, CanWrite, Session},
};
use crate::{
    app::{App, streams},
    store::{batches::Batch, documents::Document},
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get))
        .routes(routes!(close))
        .routes(routes!(cancel))
        .routes(routes!(documents))
        .routes(routes!(events))
}

/// The endpoints that create: they honour `Idempotency-Key`.
pub fn creating_router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create))
}

/// Between looks at a batch that somebody watches; a small one is done within the first few.
const FIRST_LOOKS: Duration = Duration::from_millis(500);
const LATER_LOOKS: Duration = Duration::from_secs(1);
const FIRST: usize = 6;
/// A comment so often keeps proxies from closing a quiet stream.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateBatch {
    knowledge_base_id: Uuid,
}

/// Open a batch
///
/// Uploads with `?batch_id=` add to it until it is closed or cancelled.
#[utoipa::path(post, path = "/v1/batches", tag = "documents", request_body = CreateBatch,
    responses((status = 201, body = Batch), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn create(
    session: Session<CanWrite>,
    Body(body): Body<CreateBatch>,
) -> Result<(StatusCode, Json<Batch>), Problem> {
    let mut workspace = session.workspace().await?;
    workspace.find_knowledge_base(body.knowledge_base_id).await?;
    let created = workspace.create_batch(body.knowledge_base_id).await?;
    workspace.commit().await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// Read a batch
#[utoipa::path(get, path = "/v1/batches/{id}", tag = "documents", params(("id" = Uuid, Path)),
    responses((status = 200, body = Batch), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn get(session: Session<CanRead>, Id(id): Id) -> Result<Json<Batch>, Problem> {
    Ok(Json(session.workspace().await?.batch(id).await?))
}

/// Close a batch: no more files can be added
#[utoipa::path(post, path = "/v1/batches/{id}/close", tag = "documents", params(("id" = Uuid, Path)),
    responses((status = 200, body = Batch), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn close(session: Session<CanWrite>, Id(id): Id) -> Result<Json<Batch>, Problem> {
    let mut workspace = session.workspace().await?;
    let closed = workspace.close_batch(id).await?;
    workspace.commit().await?;
    Ok(Json(closed))
}

/// Cancel a batch: close it, and fail what it put into the queue and is not ingested yet
///
/// Such documents are `failed` with the code `cancelled` and can be retried; where one is a new version, the version
/// before stays in search. A document that another upload had put into the queue stays there.
#[utoipa::path(post, path = "/v1/batches/{id}/cancel", tag = "documents", params(("id" = Uuid, Path)),
    responses((status = 200, body = Batch), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn cancel(session: Session<CanWrite>, Id(id): Id) -> Result<Json<Batch>, Problem> {
    let mut workspace = session.workspace().await?;
    let cancelled = workspace.cancel_batch(id).await?;
    workspace.commit().await?;
    Ok(Json(cancelled))
}

/// List the documents of a batch
///
/// One for every file that `document_counts` counts: not those that were superseded or deleted since.
#[utoipa::path(get, path = "/v1/batches/{id}/documents", tag = "documents", params(("id" = Uuid, Path), ListParams),
    responses((status = 200, body = Page<Document>), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn documents(
    session: Session<CanRead>,
    Id(id): Id,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<Document>>, Problem> {
    let (listed, page) = params.parts();
    let (after, limit) = (page.after()?, page.rows()?);
    let mut workspace = session.workspace().await?;
    if !workspace.has_batch(id).await? {
        return Err(Problem::not_found("batch"));
    }
    let rows = workspace.batch_documents(id, listed, after, limit).await?;
    let Json(Page { data, next_cursor }) = page.page(rows, |row| row.file_id.to_string());
    let data = data.into_iter().map(|row| row.document.into_document(row.unchanged)).collect();
    Ok(Json(Page { data, next_cursor }))
}

/// Watch a batch: `progress` whenever it changes, then `done` (or `error`, a problem)
///
/// Each but `error` carries the batch. The stream of an open batch goes on until it is closed and done.
#[utoipa::path(get, path = "/v1/batches/{id}/events", tag = "documents", params(("id" = Uuid, Path)),
    responses((status = 200, body = String, content_type = "text/event-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn events(
    session: Session<CanRead>,
    Id(id): Id,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    if !session.workspace().await?.has_batch(id).await? {
        return Err(Problem::not_found("batch"));
    }
    let open = session.streams.open(session.caller.key_id)?;
    let request_id = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
    let watch = Watch { session, id, request_id, last: None, looks: 0, ended: false, _open: open };
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
    looks: usize,
    ended: bool,
    _open: streams::Stream,
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
            self.pause().await;
            match self.look().await {
                Ok(batch) if self.last.as_ref() != Some(&batch) => {
                    self.last = Some(batch);
                    return Some(event("progress", &self.last));
                }
                Ok(_) if self.session.stop.is_cancelled() => return None,
                Ok(_) => {}
                Err(problem) => {
                    self.ended = true;
                    return Some(event("error", &problem));
                }
            }
        }
    }

    /// Before every look but the first.
    async fn pause(&mut self) {
        match self.looks {
            0 => {}
            looks if looks < FIRST => tokio::time::sleep(FIRST_LOOKS).await,
            _ => tokio::time::sleep(LATER_LOOKS).await,
        }
        self.looks += 1;
    }

    async fn look(&self) -> Result<Batch, Problem> {
        Ok(self.session.workspace().await?.batch(self.id).await?)
    }
}

/// A named event with JSON data.
pub fn event(name: &str, data: &impl serde::Serialize) -> Event {
    Event::default().event(name).json_data(data).unwrap_or_else(|_| Event::default().event("error"))
}
