//! `Idempotency-Key`: the same key with the same request replays the first answer for a day.
//!
//! A body in JSON is taken in whole, and compared before the request runs. A form is not: its key is reserved, its files go to the
//! storage as they come, and what was received is compared before anything is registered ([`Reserved`]). A request that is
//! not received whole leaves its key free.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    MAX_BODY,
    admission::Admitted,
    body::content_type,
    is_upload,
    problem::{Code, Problem, REQUEST_ID},
    session::authenticate,
    spool,
};
use crate::{
    app::App,
    store::{
        idempotency::{Claim, KeptResponse, Reservation},
        keys::Caller,
    },
};

const HEADER: &str = "idempotency-key";
/// Three may be lost before a key is.
const STILL_RUNNING: Duration = Duration::from_secs(30);
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
    if content_type(&parts.headers) == FORM {
        return receive(app, caller, key, Request::from_parts(parts, body), next).await;
    }
    let (body, fingerprint) = whole(&app, caller.key_id, &mut parts, body).await?;

    let mut workspace = app.store.workspace(caller.workspace_id).await?;
    let claim = workspace.claim_request(&key, &fingerprint).await?;
    workspace.commit().await?;
    match claim {
        Claim::New => {}
        Claim::Replay(kept) => return Ok(replayed(kept)),
        Claim::Running => return Err(still_running()),
        Claim::OtherRequest => return Err(other_request()),
    }
    // On a task of its own: a client that hangs up, or a deadline, must not leave the key taken and the work half kept.
    let request_id = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
    let work = REQUEST_ID.scope(request_id, async move {
        let response = running(&app, caller.workspace_id, &key, next.run(Request::from_parts(parts, body))).await;
        keep(&app, caller.workspace_id, &key, &fingerprint, response).await
    });
    tokio::spawn(work).await.map_err(Problem::internal)?
}

/// A body that is compared before its request runs, and the request's fingerprint. The handler of an upload finds its body
/// among the extensions.
async fn whole(app: &App, key_id: Uuid, parts: &mut Parts, body: Body) -> Result<(Body, Vec<u8>), Problem> {
    if is_upload(&parts.method, parts.uri.path()) {
        let receipt = parts.extensions.get::<Admitted>().map(|admitted| admitted.receipt.clone()).unwrap_or_default();
        let spooled = spool::receive(app, &parts.headers, &receipt, body).await?;
        let fingerprint = fingerprint(key_id, parts, spooled.sha256());
        parts.extensions.insert(spooled);
        return Ok((Body::empty(), fingerprint));
    }
    let bytes = to_bytes(body, MAX_BODY)
        .await
        .map_err(|_| Problem::new(Code::TooLarge, "The body is larger than this endpoint takes, or was cut off."))?;
    let fingerprint = fingerprint(key_id, parts, &bytes);
    Ok((Body::from(bytes), fingerprint))
}

pub const FORM: &str = "multipart/form-data";

/// Of the request and who sent it: another key may have other rights.
fn fingerprint(key_id: Uuid, parts: &Parts, body: &[u8]) -> Vec<u8> {
    let content_type = content_type(&parts.headers);
    digest(&[
        key_id.as_bytes(),
        parts.method.as_str().as_bytes(),
        target(&parts.uri).as_bytes(),
        content_type.as_bytes(),
        body,
    ])
}

/// The query counts: it may name a batch.
fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("", |target| target.as_str())
}

/// The SHA-256 of parts and where they begin.
pub fn digest(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// A form whose key is taken; its handler finds this among the request's extensions.
#[derive(Clone)]
pub struct Reserved(Arc<Form>);

struct Form {
    app: App,
    workspace_id: Uuid,
    key: String,
    /// Of who sends it where.
    sender: Vec<u8>,
    ticket: Vec<u8>,
    first: Option<(Vec<u8>, KeptResponse)>,
    /// The hash of the request, once all of it is here.
    confirmed: OnceLock<Vec<u8>>,
}

impl Reserved {
    /// All was received, and `received` is its hash: the answer that was given to the same form before, if there is one.
    pub async fn confirm(&self, received: &[u8]) -> Result<Option<Response>, Problem> {
        let Reserved(form) = self;
        let fingerprint = digest(&[&form.sender, received]);
        if let Some((first, kept)) = &form.first {
            return if *first == fingerprint { Ok(Some(replayed(kept.clone()))) } else { Err(other_request()) };
        }
        let mut workspace = form.app.store.workspace(form.workspace_id).await?;
        if !workspace.confirm_request(&form.key, &form.ticket, &fingerprint).await? {
            return Err(still_running());
        }
        workspace.commit().await?;
        form.confirmed.get_or_init(|| fingerprint);
        Ok(None)
    }
}

/// Runs a request that is received while it runs.
async fn receive(app: App, caller: Caller, key: String, request: Request, next: Next) -> Result<Response, Problem> {
    let ticket = Uuid::now_v7().as_bytes().to_vec();
    let mut workspace = app.store.workspace(caller.workspace_id).await?;
    let reservation = workspace.reserve_request(&key, &ticket).await?;
    workspace.commit().await?;
    let first = match reservation {
        Reservation::New => None,
        Reservation::Running => return Err(still_running()),
        Reservation::Answered(first, kept) => Some((first, kept)),
    };
    let (method, path) = (request.method().as_str().as_bytes(), target(request.uri()).as_bytes());
    let sender = digest(&[caller.key_id.as_bytes(), method, path, FORM.as_bytes()]);
    let (workspace_id, confirmed) = (caller.workspace_id, OnceLock::new());
    let form = Arc::new(Form { app, workspace_id, key, sender, ticket, first, confirmed });
    let request_id = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
    // On a task of its own as well. When the client hangs up before its last byte, the body ends in an error, and so does
    // the task.
    let work = REQUEST_ID.scope(request_id, async move {
        let mut request = request;
        request.extensions_mut().insert(Reserved(Arc::clone(&form)));
        let response = running(&form.app, workspace_id, &form.key, next.run(request)).await;
        match (&form.first, form.confirmed.get()) {
            (Some(_), _) => Ok(response),
            (None, Some(fingerprint)) => keep(&form.app, workspace_id, &form.key, fingerprint, response).await,
            (None, None) => forget(&form, response).await,
        }
    });
    tokio::spawn(work).await.map_err(Problem::internal)?
}

/// Runs a request, and says now and then that it still runs: a key whose request died with its process is soon free.
async fn running(app: &App, workspace_id: Uuid, key: &str, work: impl Future<Output = Response>) -> Response {
    let say_so = async {
        loop {
            tokio::time::sleep(STILL_RUNNING).await;
            let said = async {
                let mut workspace = app.store.workspace(workspace_id).await?;
                workspace.keep_request(key).await?;
                workspace.commit().await
            };
            if let Err(error) = said.await {
                tracing::warn!(%error, "an idempotency key could not be kept");
            }
        }
    };
    tokio::select! {
        response = work => response,
        never = say_so => never,
    }
}

/// What was not received whole can be sent again with the same key.
async fn forget(form: &Form, response: Response) -> Result<Response, Problem> {
    let mut workspace = form.app.store.workspace(form.workspace_id).await?;
    workspace.forget_request(&form.key, &form.ticket).await?;
    workspace.commit().await?;
    Ok(response)
}

fn still_running() -> Problem {
    Problem::new(Code::IdempotencyKeyInUse, "The first request with this key is still running.").retry_after(1)
}

fn other_request() -> Problem {
    Problem::new(Code::IdempotencyKeyReused, "This key was used for another request.")
}

/// Keeps what will be the same next time; what belongs to a key or a moment is forgotten, so that a retry can succeed.
async fn keep(
    app: &App,
    workspace_id: Uuid,
    key: &str,
    fingerprint: &[u8],
    response: Response,
) -> Result<Response, Problem> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, MAX_RESPONSE).await.map_err(Problem::internal)?;
    let mut workspace = app.store.workspace(workspace_id).await?;
    let passing = [401, 403, 408, 409, 429].contains(&parts.status.as_u16());
    if passing || parts.status.is_server_error() {
        workspace.forget_request(key, fingerprint).await?;
    } else {
        let content_type =
            parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kept =
            KeptResponse { status: parts.status.as_u16(), content_type: content_type.to_owned(), body: body.to_vec() };
        workspace.finish_request(key, fingerprint, &kept).await?;
    }
    workspace.commit().await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replayed(kept: KeptResponse) -> Response {
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [(header::CONTENT_TYPE.as_str(), kept.content_type), ("idempotency-replayed", "true".to_owned())];
    (status, headers, kept.body).into_response()
}
