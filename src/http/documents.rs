//! Documents: upload, read, change, delete, retry.

use axum::{
    Json,
    body::Body as ResponseBody,
    extract::{FromRequest, Multipart, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::io::ReaderStream;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Body, Id, Page, PageParams, Params, check_metadata, check_name, default_limit},
    problem::{Code, Problem},
    session::{CanRead, CanWrite, Session},
    upload::{self, UploadDocument},
};
use crate::{
    app::App,
    store::{
        chunks::Chunk,
        documents::{Document, DocumentChange, DocumentRow, DocumentStatus},
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
    request: Request,
) -> Result<Response, Problem> {
    let wait = upload::wait(&headers)?;
    let batch_id = batch(&session, id, params.batch_id).await?;
    let documents = match super::body::content_type(&headers).as_str() {
        "multipart/form-data" => {
            let form = Multipart::from_request(request, &())
                .await
                .map_err(|error| Problem::new(Code::MalformedRequest, error.body_text()))?;
            upload::receive_files(&session, id, batch_id, form).await?
        }
        _ => {
            let Body(document) = Body::<UploadDocument>::from_request(request, &()).await?;
            vec![upload::receive_text(&session, id, batch_id, document).await?]
        }
    };
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

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParams {
    status: Option<DocumentStatus>,
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: i64,
    cursor: Option<String>,
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
    let page = PageParams { limit: params.limit, cursor: params.cursor };
    let mut workspace = session.workspace().await?;
    workspace.find_knowledge_base(id).await?;
    let rows = workspace.documents(id, params.status, page.after()?, page.rows()?).await?;
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
    session.originals.remove(session.workspace_id(), knowledge_base_id, original).await.map_err(Problem::internal)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take a delete back
#[utoipa::path(post, path = "/v1/documents/{id}/restore", tag = "documents", params(("id" = Uuid, Path)),
    responses((status = 200, body = Document), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn restore(session: Session<CanWrite>, Id(id): Id) -> Result<Json<Document>, Problem> {
    let mut workspace = session.workspace().await?;
    let restored = workspace.restore_document(id).await?;
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
#[utoipa::path(get, path = "/v1/documents/{id}/content", tag = "documents", params(("id" = Uuid, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn content(session: Session<CanRead>, Id(id): Id) -> Result<Response, Problem> {
    let document = session.workspace().await?.document(id).await?;
    let path = session.originals.path(document.workspace_id, document.knowledge_base_id, document.original);
    let file = tokio::fs::File::open(path).await.map_err(Problem::internal)?;
    let mut response = Response::new(ResponseBody::from_stream(ReaderStream::new(file)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, document.size.into());
    headers.insert(header::CONTENT_TYPE, content_type_header(&document));
    // An uploaded page must not run as one of ours.
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn content_type_header(document: &DocumentRow) -> HeaderValue {
    HeaderValue::from_str(&document.content_type)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"))
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
