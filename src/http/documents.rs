//! Documents: upload, read, change, delete, retry.

use std::ops::Range;

use axum::{
    Json,
    body::Body as ResponseBody,
    extract::{FromRequest, Multipart, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    admission::Admitted,
    body::{Body, Id, Page, PageParams, Params, check_metadata, check_name, default_limit},
    idempotency::{FORM, Reserved},
    problem::{Code, Problem},
    session::{CanRead, CanWrite, Session},
    spool::{self, Spooled},
    upload::{self, UploadDocument},
};
use crate::{
    app::App,
    store::{
        StoreError,
        chunks::Chunk,
        documents::{Document, DocumentChange, DocumentStatus, Listed},
    },
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, change, delete))
        .routes(routes!(restore))
        .routes(routes!(retry))
        .routes(routes!(content))
        .routes(routes!(text))
        .routes(routes!(chunks))
}

/// The endpoints that create: they honour `Idempotency-Key`.
pub fn creating_router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create))
}

/// What an upload is answered with.
#[derive(Debug, Serialize, ToSchema)]
pub struct Uploaded {
    pub batch_id: Uuid,
    pub documents: Vec<Document>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct CreateParams {
    /// An open batch of this knowledge base to add the documents to; without it they are a batch of their own.
    batch_id: Option<Uuid>,
}

/// Upload documents
///
/// One JSON document, or `multipart/form-data` with one or more `file` parts, an optional `metadata` part (a JSON
/// object, for all), `title` and `external_id`. `Prefer: wait=N` (60 at most) waits until all are in a terminal state.
#[utoipa::path(post, path = "/v1/knowledge-bases/{id}/documents", tag = "documents",
    params(("id" = Uuid, Path), CreateParams, ("Prefer" = Option<String>, Header, description = "wait=N, in seconds")),
    request_body(content((UploadDocument = "application/json"), (upload::UploadFiles = "multipart/form-data"))),
    responses((status = 200, description = "All documents are in a terminal state", body = Uploaded),
        (status = 202, body = Uploaded),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn create(
    session: Session<CanWrite>,
    Id(id): Id,
    Params(params): Params<CreateParams>,
    headers: HeaderMap,
    mut request: Request,
) -> Result<Response, Problem> {
    let wait = upload::wait(&headers)?;
    let admitted = Admitted::take(request.extensions_mut())?;
    let batch_id = batch(&session, id, params.batch_id).await?;
    let documents = match super::body::content_type(&headers).as_str() {
        FORM => {
            let reserved = request.extensions_mut().remove::<Reserved>();
            let form = Multipart::from_request(request, &())
                .await
                .map_err(|error| Problem::new(Code::MalformedRequest, error.body_text()))?;
            let received = upload::receive_files(&session, id, form, &admitted.receipt).await?;
            if let Some(reserved) = reserved
                && let Some(answered) = reserved.confirm(received.sha256()).await?
            {
                return Ok(answered);
            }
            upload::register_files(&session, id, batch_id, received).await?
        }
        _ => {
            let spooled = match request.extensions_mut().remove::<Spooled>() {
                Some(spooled) => spooled,
                None => spool::receive(&session, &headers, &admitted.receipt, request.into_body()).await?,
            };
            let (document, _weight) = spooled.parse::<UploadDocument>(&session).await?;
            vec![upload::receive_text(&session, id, batch_id, document).await?]
        }
    };
    drop(admitted);
    session.bell.notify_one();
    let documents = match wait {
        Some(wait) => upload::wait_for_end(&session, documents, wait).await?,
        None => documents,
    };
    let ended = documents.iter().all(|document| document.status.is_terminal());
    let status = if wait.is_some() && ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(Uploaded { batch_id, documents })).into_response())
}

/// The batch that an upload goes into, looked at before its bytes are taken: the one that was asked for, or a new one.
async fn batch(session: &Session<CanWrite>, knowledge_base_id: Uuid, asked: Option<Uuid>) -> Result<Uuid, Problem> {
    let mut workspace = session.workspace().await?;
    workspace.find_knowledge_base(knowledge_base_id).await?;
    match asked {
        None => Ok(Uuid::now_v7()),
        Some(id) if workspace.batch_is_open(id, knowledge_base_id).await? => Ok(id),
        Some(_) => Err(upload::batch_closed()),
    }
}

/// How a list of documents is asked for, of a knowledge base or of a batch.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    status: Option<DocumentStatus>,
    /// True: those that are deleted and not purged, which can be restored.
    #[serde(default)]
    deleted: bool,
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: i64,
    cursor: Option<String>,
}

impl ListParams {
    pub fn parts(self) -> (Listed, PageParams) {
        let listed = Listed { status: self.status, deleted: self.deleted };
        (listed, PageParams { limit: self.limit, cursor: self.cursor })
    }
}

/// List the documents of a knowledge base
#[utoipa::path(get, path = "/v1/knowledge-bases/{id}/documents", tag = "documents", params(("id" = Uuid, Path), ListParams),
    responses((status = 200, body = Page<Document>), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn list(
    session: Session<CanRead>,
    Id(id): Id,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<Document>>, Problem> {
    let (listed, page) = params.parts();
    let mut workspace = session.workspace().await?;
    workspace.find_knowledge_base(id).await?;
    let rows = workspace.documents(id, listed, page.after()?, page.rows()?).await?;
    let documents = rows.into_iter().map(|row| row.into_document(false)).collect();
    Ok(page.page(documents, |document: &Document| document.id.to_string()))
}

/// Read a document
#[utoipa::path(get, path = "/v1/documents/{id}", tag = "documents", params(("id" = Uuid, Path)),
    responses((status = 200, body = Document), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn get(session: Session<CanRead>, Id(id): Id) -> Result<Json<Document>, Problem> {
    Ok(Json(session.workspace().await?.document(id).await?.into_document(false)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeDocument {
    #[schema(min_length = 1, max_length = 500)]
    title: Option<String>,
    /// Replaces all metadata.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
}

/// Change a document's title or metadata
#[utoipa::path(patch, path = "/v1/documents/{id}", tag = "documents", params(("id" = Uuid, Path)),
    request_body = ChangeDocument,
    responses((status = 200, body = Document), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn change(
    session: Session<CanWrite>,
    Id(id): Id,
    Body(body): Body<ChangeDocument>,
) -> Result<Json<Document>, Problem> {
    if let Some(title) = &body.title {
        check_name("/title", title, upload::MAX_TITLE)?;
    }
    if let Some(metadata) = &body.metadata {
        check_metadata("/metadata", metadata)?;
    }
    let mut workspace = session.workspace().await?;
    let change = DocumentChange { title: body.title, metadata: body.metadata };
    let changed = workspace.change_document(id, &change).await?;
    workspace.commit().await?;
    Ok(Json(changed.into_document(false)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DeleteParams {
    /// Remove for good, rows and bytes; a document that is deleted already can still be purged.
    #[serde(default)]
    purge: bool,
}

/// Delete a document; search does not find it from then on
#[utoipa::path(delete, path = "/v1/documents/{id}", tag = "documents", params(("id" = Uuid, Path), DeleteParams),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn delete(
    session: Session<CanWrite>,
    Id(id): Id,
    Params(params): Params<DeleteParams>,
) -> Result<StatusCode, Problem> {
    let mut workspace = session.workspace().await?;
    if !params.purge {
        workspace.delete_document(id).await?;
        workspace.commit().await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    let (knowledge_base_id, original) = workspace.purge_document(id).await?;
    workspace.commit().await?;
    if let Err(error) = session.originals.remove(session.workspace_id(), knowledge_base_id, original).await {
        tracing::warn!(%error, "the original of a purged document could not be removed; the sweep will");
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Take a delete back
#[utoipa::path(post, path = "/v1/documents/{id}/restore", tag = "documents", params(("id" = Uuid, Path)),
    responses((status = 200, body = Document), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn restore(session: Session<CanWrite>, Id(id): Id) -> Result<Json<Document>, Problem> {
    let mut workspace = session.workspace().await?;
    let restored = workspace.restore_document(id).await.map_err(|error| match error {
        StoreError::Conflict(_) => Problem::new(
            Code::Conflict,
            "Another document has its external_id, or its bytes, by now: delete that one first, or leave this one deleted.",
        ),
        error => error.into(),
    })?;
    workspace.commit().await?;
    session.bell.notify_one();
    Ok(Json(restored.into_document(false)))
}

/// Ingest a document again
#[utoipa::path(post, path = "/v1/documents/{id}/retry", tag = "documents", params(("id" = Uuid, Path)),
    responses((status = 202, body = Document), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn retry(session: Session<CanWrite>, Id(id): Id) -> Result<(StatusCode, Json<Document>), Problem> {
    let mut workspace = session.workspace().await?;
    let retried = workspace.retry_document(id).await?;
    workspace.commit().await?;
    session.bell.notify_one();
    Ok((StatusCode::ACCEPTED, Json(retried.into_document(false))))
}

/// The uploaded bytes, unchanged
///
/// One range may be asked for. When the stored bytes are not those that were uploaded, the answer breaks off.
#[utoipa::path(get, path = "/v1/documents/{id}/content", tag = "documents",
    params(("id" = Uuid, Path), ("Range" = Option<String>, Header, description = "bytes=FIRST-LAST")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn content(session: Session<CanRead>, Id(id): Id, headers: HeaderMap) -> Result<Response, Problem> {
    let document = session.workspace().await?.document(id).await?;
    let size = u64::try_from(document.size).unwrap_or(0);
    let etag = format!("\"{}\"", hex::encode(&document.sha256));
    let mut response = match wanted_range(&headers, &etag, size) {
        Wanted::Whole => {
            let original = session.originals.read_checked(&document).await?;
            send(original, StatusCode::OK, size, None)
        }
        Wanted::Range(range) => {
            let length = range.end - range.start;
            let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            let original = session.originals.read_range(&document, range).await?;
            send(original, StatusCode::PARTIAL_CONTENT, length, Some(content_range))
        }
        Wanted::Nothing => {
            let detail = format!("The document has {size} bytes; the range lies beyond them.");
            let mut refusal = Problem::new(Code::RangeNotSatisfiable, detail).into_response();
            insert(&mut refusal, header::CONTENT_RANGE, &format!("bytes */{size}"));
            return Ok(refusal);
        }
    };
    insert(&mut response, header::CONTENT_TYPE, &document.content_type);
    insert(&mut response, header::ETAG, &etag);
    insert(&mut response, header::ACCEPT_RANGES, "bytes");
    // An uploaded page must not run as one of ours.
    insert(&mut response, header::CONTENT_DISPOSITION, "attachment");
    insert(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    Ok(response)
}

/// What is read ahead of a client.
const CONTENT_CHUNK: usize = 64 * 1024;

fn send(
    bytes: impl AsyncRead + Send + 'static,
    status: StatusCode,
    length: u64,
    content_range: Option<String>,
) -> Response {
    let body = ResponseBody::from_stream(ReaderStream::with_capacity(bytes, CONTENT_CHUNK));
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    if let Some(range) = content_range {
        insert(&mut response, header::CONTENT_RANGE, &range);
    }
    response
}

/// A value that is no header is left out: a browser then guesses nothing, thanks to `nosniff`.
fn insert(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Range(Range<u64>),
    Nothing,
}

/// One range of bytes (RFC 9110, section 14); several, other units and what is malformed count as none, as they may, and so
/// does a range of another version.
fn wanted_range(headers: &HeaderMap, etag: &str, size: u64) -> Wanted {
    if headers.get(header::IF_RANGE).is_some_and(|version| version != etag) {
        return Wanted::Whole;
    }
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()?.trim().strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else { return Wanted::Whole };
    let range = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.trim().is_empty() => first..size,
        (Err(_), Ok(count)) if first.trim().is_empty() => size.saturating_sub(count)..size,
        _ => return Wanted::Whole,
    };
    if range.is_empty() { Wanted::Nothing } else { Wanted::Range(range) }
}

/// The extracted text that all offsets refer to
#[utoipa::path(get, path = "/v1/documents/{id}/text", tag = "documents", params(("id" = Uuid, Path)),
    responses((status = 200, body = String, content_type = "text/plain; charset=utf-8"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn text(session: Session<CanRead>, Id(id): Id) -> Result<Response, Problem> {
    let text = session.workspace().await?.document_text(id).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], text)
        .into_response())
}

/// The chunks of a document, in order
#[utoipa::path(get, path = "/v1/documents/{id}/chunks", tag = "documents", params(("id" = Uuid, Path), PageParams),
    responses((status = 200, body = Page<Chunk>), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn chunks(
    session: Session<CanRead>,
    Id(id): Id,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<Chunk>>, Problem> {
    let mut workspace = session.workspace().await?;
    workspace.document(id).await?;
    let rows = workspace.chunks(id, page.after()?, page.rows()?).await?;
    Ok(page.page(rows, |chunk| chunk.index.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ten(range: &str, if_range: Option<&str>) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        if let Some(etag) = if_range {
            headers.insert(header::IF_RANGE, etag.parse().unwrap());
        }
        wanted_range(&headers, "\"one\"", 10)
    }

    #[test]
    fn a_single_range_is_understood() {
        assert_eq!(of_ten("bytes=0-3", None), Wanted::Range(0..4));
        assert_eq!(of_ten("bytes=8-99", None), Wanted::Range(8..10));
        assert_eq!(of_ten("bytes=7-", None), Wanted::Range(7..10));
        assert_eq!(of_ten("bytes=-4", None), Wanted::Range(6..10));
        assert_eq!(of_ten("bytes=-99", None), Wanted::Range(0..10));
        assert_eq!(of_ten("bytes=0-18446744073709551615", None), Wanted::Range(0..10));
        assert_eq!(of_ten("bytes=0-3", Some("\"one\"")), Wanted::Range(0..4));
    }

    #[test]
    fn what_lies_beyond_is_refused_and_what_is_no_single_range_is_ignored() {
        for beyond in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(of_ten(beyond, None), Wanted::Nothing, "{beyond}");
        }
        for other in ["bytes=3-1", "bytes=0-1,4-5", "lines=1-2", "bytes=", "bytes=-", "bytes=a-b", "bytes=+1-2x"] {
            assert_eq!(of_ten(other, None), Wanted::Whole, "{other}");
        }
        assert_eq!(of_ten("bytes=0-3", Some("\"another\"")), Wanted::Whole);
    }
}
