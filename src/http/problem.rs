//! Problem documents (RFC 9457): the one place where errors become status codes and words for the client.
//!
//! Internal text goes to the log under the request's id, never to the body.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::search::SearchError,
    app::{limits::TooOften, streams::TooManyStreams, turns::TooManyWaiting},
    ingest::originals::OriginalError,
    models::ModelError,
    store::StoreError,
    text_to_sql::{guard::Violation, journal::NotKept},
};

tokio::task_local! {
    /// The id of the request that this task answers.
    pub static REQUEST_ID: String;
}

/// An error as a client sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: `code` says what kind of problem it is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub title: String,
    pub status: u16,
    /// A sentence for the person who has to mend it.
    pub detail: String,
    /// Stable: see docs/api.md.
    pub code: Code,
    pub request_id: String,
    /// What is wrong where, in the body (JSON pointers) or among the parameters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Why SQL was refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
    #[serde(skip)]
    retry_after: Option<u64>,
    /// Calls a minute, and seconds until there is one left.
    #[serde(skip)]
    rate_limit: Option<(u32, u64)>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FieldError {
    pub pointer: String,
    pub detail: String,
}

/// Every code there is; clients may rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    MalformedJson,
    MalformedRequest,
    InvalidRequest,
    UnsupportedMediaType,
    TooLarge,
    TooSlow,
    RangeNotSatisfiable,
    Conflict,
    NameTaken,
    BatchClosed,
    IdempotencyKeyReused,
    IdempotencyKeyInUse,
    EmbeddingModelChanged,
    TooManyRequests,
    QueueFull,
    ServerBusy,
    SqlRejected,
    DatabaseNotReady,
    DatabaseNotAllowed,
    LoginNotReadOnly,
    ModelUnavailable,
    ModelNotConfigured,
    StoreUnavailable,
    DiskFull,
    Timeout,
    Internal,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Code::Unauthorized => StatusCode::UNAUTHORIZED,
            Code::Forbidden => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Code::MalformedJson | Code::MalformedRequest => StatusCode::BAD_REQUEST,
            Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Code::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Code::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
            Code::Conflict
            | Code::NameTaken
            | Code::BatchClosed
            | Code::IdempotencyKeyInUse
            | Code::EmbeddingModelChanged
            | Code::ModelNotConfigured
            | Code::DatabaseNotReady => StatusCode::CONFLICT,
            Code::InvalidRequest
            | Code::IdempotencyKeyReused
            | Code::SqlRejected
            | Code::DatabaseNotAllowed
            | Code::LoginNotReadOnly => StatusCode::UNPROCESSABLE_ENTITY,
            Code::TooManyRequests | Code::QueueFull => StatusCode::TOO_MANY_REQUESTS,
            Code::ModelUnavailable => StatusCode::BAD_GATEWAY,
            Code::StoreUnavailable | Code::ServerBusy => StatusCode::SERVICE_UNAVAILABLE,
            Code::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        let status = code.status();
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            request_id: REQUEST_ID.try_with(Clone::clone).unwrap_or_default(),
            errors: Vec::new(),
            violations: Vec::new(),
            retry_after: None,
            rate_limit: None,
        }
    }

    /// A field of the body, or a parameter, that is not as it must be.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Problem {
        let (pointer, detail) = (pointer.into(), detail.into());
        Problem::new(Code::InvalidRequest, format!("{pointer}: {detail}")).with_error(pointer, detail)
    }

    pub fn not_found(what: &str) -> Problem {
        Problem::new(Code::NotFound, format!("There is no such {what}."))
    }

    /// For what should not happen: `error` goes to the log.
    pub fn internal(error: impl std::fmt::Display) -> Problem {
        let problem =
            Problem::new(Code::Internal, "Something went wrong on our side; the log has it under request_id.");
        tracing::error!(request_id = problem.request_id, %error, "internal error");
        problem
    }

    pub fn with_error(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Problem {
        self.errors.push(FieldError { pointer: pointer.into(), detail: detail.into() });
        self
    }

    pub fn with_violations(mut self, violations: Vec<Violation>) -> Problem {
        self.violations = violations;
        self
    }

    /// When to try again, in seconds.
    pub fn retry_after(mut self, seconds: u64) -> Problem {
        self.retry_after = Some(seconds);
        self
    }

    fn rate_limit(mut self, per_minute: u32, reset: u64) -> Problem {
        self.rate_limit = Some((per_minute, reset));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (retry_after, rate_limit) = (self.retry_after, self.rate_limit);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some((per_minute, reset)) = rate_limit {
            headers.insert("ratelimit-limit", per_minute.into());
            headers.insert("ratelimit-remaining", HeaderValue::from_static("0"));
            headers.insert("ratelimit-reset", reset.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::NotFound => Problem::new(Code::NotFound, "There is no such resource."),
            StoreError::Conflict(constraint) if constraint.ends_with("_name") => {
                Problem::new(Code::NameTaken, "Another one has this name already.").with_error("/name", "is taken")
            }
            StoreError::Conflict(_) => {
                Problem::new(Code::Conflict, "Another resource is in the way; read it again and retry.")
            }
            StoreError::Refused(rule) => {
                tracing::info!(rule, "the store refused a value");
                Problem::new(Code::InvalidRequest, "A value cannot be stored: it is out of range, or breaks a rule.")
            }
            StoreError::Unavailable(error) => {
                tracing::warn!(%error, "the store is not available");
                Problem::new(Code::StoreUnavailable, "The store is not available just now; try again.").retry_after(2)
            }
            StoreError::Internal(error) => Problem::internal(error),
        }
    }
}

impl From<OriginalError> for Problem {
    fn from(error: OriginalError) -> Problem {
        match error {
            OriginalError::Unavailable(_) => {
                tracing::warn!(%error, "the storage for files is not available");
                let detail = "The storage for files is not available just now; try again.";
                Problem::new(Code::StoreUnavailable, detail).retry_after(5)
            }
            OriginalError::Missing | OriginalError::Damaged(_) => {
                tracing::error!(%error, "an original cannot be read");
                Problem::new(Code::Internal, format!("{error}: restore it from a backup, or upload it again."))
            }
        }
    }
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Problem {
        match error {
            SearchError::UnknownKnowledgeBase(id) => {
                Problem::new(Code::NotFound, format!("There is no knowledge base {id}."))
            }
            SearchError::Filter(errors) => {
                let problem = Problem::new(Code::InvalidRequest, "The filter is malformed.");
                errors.into_iter().fold(problem, |problem, error| problem.with_error(error.pointer, error.detail))
            }
            SearchError::Query(detail) => Problem::invalid("/query", detail),
            SearchError::UnknownModel { name, model } => Problem::new(
                Code::EmbeddingModelChanged,
                format!(
                    "The knowledge base \"{name}\" has the embedding model {model}, which this server does not run. Search with \"mode\": \"text\", change its embedding_model, or give the server that model back."
                ),
            ),
            SearchError::Model(error) => error.into(),
            SearchError::Store(error) => error.into(),
        }
    }
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Problem {
        match error {
            ModelError::Shorten(_) => Problem::new(Code::InvalidRequest, "The text is too long for the model."),
            ModelError::Retry(_) | ModelError::Timeout(_) => {
                tracing::warn!(%error, "a model is not available");
                Problem::new(Code::ModelUnavailable, "The model is not available just now; try again.").retry_after(5)
            }
            ModelError::GiveUp(_) => {
                tracing::error!(%error, "a model cannot be used");
                Problem::new(
                    Code::ModelUnavailable,
                    "The model cannot be used; its settings need mending (almanac doctor).",
                )
            }
        }
    }
}

impl From<TooOften> for Problem {
    fn from(error: TooOften) -> Problem {
        let seconds = error.wait.as_secs_f64().ceil() as u64;
        Problem::new(Code::TooManyRequests, format!("This key may call {} times a minute.", error.per_minute))
            .retry_after(seconds)
            .rate_limit(error.per_minute, seconds)
    }
}

impl From<TooManyWaiting> for Problem {
    fn from(error: TooManyWaiting) -> Problem {
        Problem::new(Code::TooManyRequests, format!("{error}; come again when some of them have ended.")).retry_after(2)
    }
}

impl From<TooManyStreams> for Problem {
    fn from(error: TooManyStreams) -> Problem {
        let code = match error {
            TooManyStreams::OfKey => Code::TooManyRequests,
            TooManyStreams::OfAll => Code::ServerBusy,
        };
        Problem::new(code, format!("{error}; close one, or ask for the batch itself.")).retry_after(5)
    }
}

impl From<NotKept> for Problem {
    fn from(error: NotKept) -> Problem {
        Problem::new(Code::StoreUnavailable, format!("Nothing was run: {error}; try again.")).retry_after(2)
    }
}
