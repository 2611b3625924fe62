//! The HTTP API, version 1: it translates between requests and recipes, and nothing else.
//!
//! [`router`] is its table of contents. Every error leaves as a problem document ([`problem`]).

mod admission;
mod answers;
mod audit_logs;
mod batches;
mod body;
mod databases;
mod documents;
mod drafts;
mod examples;
mod health;
mod idempotency;
mod keys;
mod knowledge_bases;
pub mod listen;
mod lookup;
mod notes;
pub mod problem;
mod queries;
mod questions;
mod receiving;
mod schema;
mod search;
mod session;
mod spool;
mod statements;
mod upload;
mod usage;

use std::{any::Any, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderValue, Method, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use problem::{Code, Problem, REQUEST_ID};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;
use uuid::Uuid;

use crate::app::App;

/// Bodies that are not uploads.
const MAX_BODY: usize = 1 << 20;
/// Nothing that a request waits for takes longer: `Prefer: wait` 60 s, a language model 60 s, a statement 30 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(150);
/// Uploads may come over slow lines; a client that falls silent or trickles is cut off much sooner (`receiving`).
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// What surrounds the files of a form.
const MULTIPART_OVERHEAD: usize = 1 << 20;
/// Files of one form together, in files of the largest size: they are streamed, so this bounds the time and the disk only.
const LARGEST_FILES: usize = 20;

#[derive(OpenApi)]
#[openapi(
    info(title = "Almanac", description = "Ask your documents and your databases.", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    tags(
        (name = "knowledge bases", description = "Sets of documents that are searched together"),
        (name = "documents", description = "Upload, read, change, delete"),
        (name = "search", description = "Find passages, and answers that cite them"),
        (name = "databases", description = "From questions to SQL that is proven read-only"),
        (name = "keys", description = "API keys"),
        (name = "operations", description = "Health, metrics, what models cost"),
    ),
    security(("key" = [])),
    modifiers(&BearerKey)
)]
struct Description;

struct BearerKey;

impl Modify for BearerKey {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let components = description.components.get_or_insert_with(Default::default);
        components.add_security_scheme("key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// Every endpoint there is.
pub fn router(app: &App) -> Router {
    let (router, description) = endpoints(app).split_for_parts();
    let openapi = Json(description.clone());
    router
        .route("/openapi.json", get(|| async move { openapi }))
        .merge(SwaggerUi::new("/docs").url("/docs/openapi.json", description))
        .fallback(|| async { Problem::new(Code::NotFound, "There is nothing at this path; see /docs.") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Code::MethodNotAllowed, "This path does not take this method; see /docs.")
        })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(envelope))
        .with_state(app.clone())
}

/// What a worker shows of itself.
pub fn operations(app: &App) -> Router {
    let (router, _) = OpenApiRouter::<App>::new().merge(health::router()).split_for_parts();
    router.layer(middleware::from_fn(envelope)).with_state(app.clone())
}

fn endpoints(app: &App) -> OpenApiRouter<App> {
    let replay = middleware::from_fn_with_state(app.clone(), idempotency::replay);
    let admit = middleware::from_fn_with_state(app.clone(), admission::admit);
    let upload_limit = DefaultBodyLimit::max(LARGEST_FILES * app.config.max_upload_bytes + MULTIPART_OVERHEAD);
    let limit = DefaultBodyLimit::max(MAX_BODY);
    let uploads = documents::creating_router().layer(replay.clone()).layer(admit).layer(upload_limit);
    let creating = knowledge_bases::creating_router()
        .merge(batches::creating_router())
        .merge(databases::creating_router())
        .merge(examples::creating_router())
        .merge(queries::creating_router())
        .layer(replay);
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(knowledge_bases::router())
        .merge(documents::router())
        .merge(lookup::router())
        .merge(batches::router())
        .merge(search::router())
        .merge(answers::router())
        .merge(databases::router())
        .merge(schema::router())
        .merge(notes::router())
        .merge(drafts::router())
        .merge(examples::router())
        .merge(questions::router())
        .merge(statements::router())
        .merge(queries::router())
        .merge(audit_logs::router())
        .merge(keys::router())
        .merge(usage::router())
        .merge(health::router())
        .merge(creating)
        .layer(limit)
        .merge(uploads)
}

/// What every request gets: an id, a deadline, a line in the log, a count.
async fn envelope(request: Request, next: Next) -> Response {
    let id = Uuid::now_v7().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", id, %method, path);
    // What becomes of an upload that came in its last second is a request like any other.
    let receiving = if is_upload(&method, request.uri().path()) { UPLOAD_TIMEOUT } else { Duration::ZERO };
    let deadline = receiving + REQUEST_TIMEOUT;
    let began = std::time::Instant::now();
    let answered = async {
        tokio::time::timeout(deadline, next.run(request)).await.unwrap_or_else(|_| {
            Problem::new(Code::Timeout, format!("The request took longer than {} s.", deadline.as_secs()))
                .into_response()
        })
    };
    let mut response = REQUEST_ID.scope(id.clone(), answered.instrument(span.clone())).await;
    let (status, seconds) = (response.status().as_u16(), began.elapsed().as_secs_f64());
    span.in_scope(|| tracing::info!(status, ms = seconds * 1e3, "answered"));
    metrics::counter!("almanac_http_requests_total", "method" => known_method(&method), "status" => status.to_string())
        .increment(1);
    metrics::histogram!("almanac_http_request_seconds").record(seconds);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn is_upload(method: &Method, path: &str) -> bool {
    method == Method::POST && path.starts_with("/v1/knowledge-bases/") && path.ends_with("/documents")
}

/// Anybody may send any token as a method; each would be a series of its own.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is tower's")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Problem::internal(format_args!("panic: {}", words.unwrap_or("without a message"))).into_response()
}
