//! `Idempotency-Key`: the same key with the same request replays the first answer for a day.

use std::borrow::Cow;

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    body::content_type,
    problem::{Code, Problem, REQUEST_ID},
    session::authenticate,
};
use crate::{
    app::App,
    store::idempotency::{Claim, KeptResponse},
};

const HEADER: &str = "idempotency-key";
/// The answer to 1,000 files with 16 KB of metadata each is the longest there can be.
const MAX_RESPONSE: usize = 32 << 20;

/// Wraps the endpoints that create something.
pub async fn replay(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let Some(key) = request.headers().get(HEADER).cloned() else {
        return Ok(next.run(request).await);
    };
    let key = key.to_str().ok().filter(|key| (1..=255).contains(&key.len())).map(str::to_owned);
    let key = key.ok_or_else(|| Problem::invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters"))?;
    let (mut parts, body) = request.into_parts();
    let caller = authenticate(&mut parts, &app).await?;
    let body = to_bytes(body, app.config.max_upload_bytes + MULTIPART_OVERHEAD)
        .await
        .map_err(|_| Problem::new(Code::TooLarge, "The body is larger than this endpoint takes, or was cut off."))?;
    let fingerprint = fingerprint(caller.key_id, &parts, &body);

    let mut workspace = app.store.workspace(caller.workspace_id).await?;
    let claim = workspace.claim_request(&key, &fingerprint).await?;
    workspace.commit().await?;
    match claim {
        Claim::New => {}
        Claim::Replay(kept) => return Ok(replayed(kept)),
        Claim::Running => {
            return Err(Problem::new(Code::IdempotencyKeyInUse, "The first request with this key is still running.")
                .retry_after(1));
        }
        Claim::OtherRequest => {
            return Err(Problem::new(Code::IdempotencyKeyReused, "This key was used for another request."));
        }
    }
    // On a task of its own: a client that hangs up, or a deadline, must not leave the key taken and the work half kept.
    let request_id = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
    let work = REQUEST_ID.scope(request_id, async move {
        let response = next.run(Request::from_parts(parts, Body::from(body))).await;
        keep(&app, caller.workspace_id, &key, response).await
    });
    tokio::spawn(work).await.map_err(Problem::internal)?
}

/// What surrounds the files of a multipart body.
pub const MULTIPART_OVERHEAD: usize = 1 << 20;

/// Of the request and who sent it: another key may have other rights.
fn fingerprint(key_id: Uuid, parts: &Parts, body: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(key_id.as_bytes());
    let content_type = content_type(&parts.headers);
    let lines = without_boundary(parts, body);
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    for part in [parts.method.as_str().as_bytes(), target.as_bytes(), content_type.as_bytes(), &lines] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// A client that sends a form again draws another boundary: what it parts is the same.
fn without_boundary<'a>(parts: &Parts, body: &'a [u8]) -> Cow<'a, [u8]> {
    let header = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = header.split_once("boundary=").map_or("", |(_, rest)| rest.split(';').next().unwrap_or_default());
    let mark = format!("--{}", boundary.trim().trim_matches('"'));
    if mark.len() == 2 {
        return Cow::Borrowed(body);
    }
    let lines = body.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(mark.as_bytes()));
    Cow::Owned(lines.collect::<Vec<_>>().concat())
}

/// Keeps what will be the same next time; what belongs to a key or a moment is forgotten, so that a retry can succeed.
async fn keep(app: &App, workspace_id: Uuid, key: &str, response: Response) -> Result<Response, Problem> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, MAX_RESPONSE).await.map_err(Problem::internal)?;
    let mut workspace = app.store.workspace(workspace_id).await?;
    let passing = [401, 403, 408, 409, 429].contains(&parts.status.as_u16());
    if passing || parts.status.is_server_error() {
        workspace.forget_request(key).await?;
    } else {
        let content_type =
            parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kept =
            KeptResponse { status: parts.status.as_u16(), content_type: content_type.to_owned(), body: body.to_vec() };
        workspace.finish_request(key, &kept).await?;
    }
    workspace.commit().await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replayed(kept: KeptResponse) -> Response {
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [(header::CONTENT_TYPE.as_str(), kept.content_type), ("idempotency-replayed", "true".to_owned())];
    (status, headers, kept.body).into_response()
}
