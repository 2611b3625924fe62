//! Whether an upload is taken now. A queue that only grows, and more uploads at once than a machine can write, help
//! nobody: the client is told when to come again, before its bytes are read.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    http::Extensions,
    middleware::Next,
    response::Response,
};

use super::{
    UPLOAD_TIMEOUT,
    problem::{Code, Problem},
    receiving::{self, Bounds, Receipt},
    session::{CanWrite, Session},
};
use crate::{
    app::{
        App,
        uploads::{MAX_OWN_UPLOADS, MAX_UPLOADS, Place},
    },
    store::queue::QueueLength,
};

/// The queue of all workspaces may be so many times as long as that of one.
const WORKSPACES: i64 = 10;
/// A queue that is full for one is full for a while; uploads at once are over in a moment.
const QUEUE_RETRY_SECONDS: u64 = 30;
const UPLOAD_RETRY_SECONDS: u64 = 2;

/// An upload that was let in; its handler finds this among the request's extensions. The place is free again when the
/// last of it is dropped, however the request ends.
#[derive(Clone)]
pub struct Admitted {
    pub receipt: Receipt,
    _place: Arc<Place>,
}

impl Admitted {
    /// That of the request with these extensions, out of which it is taken.
    pub fn take(extensions: &mut Extensions) -> Result<Admitted, Problem> {
        extensions.remove().ok_or_else(|| Problem::internal("an upload was not admitted"))
    }
}

/// Wraps uploads: none of a body is read before there is a place for it, and from then on its client is watched.
pub async fn admit(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let bounds = Bounds { silence: app.config.upload_silence, whole: UPLOAD_TIMEOUT };
    let (body, receipt) = receiving::watch(body, bounds);
    let session = Session::<CanWrite>::from_request_parts(&mut parts, &app).await?;
    check_queue(&session).await?;
    check_disk(&app)?;
    let place = app.uploads.enter(session.workspace_id()).await.ok_or_else(|| {
        let detail = format!(
            "As many uploads as there are places for are being received already: {MAX_UPLOADS}, {MAX_OWN_UPLOADS} of them of \
             one workspace."
        );
        Problem::new(Code::ServerBusy, detail).retry_after(UPLOAD_RETRY_SECONDS)
    })?;
    parts.extensions.insert(Admitted { receipt, _place: Arc::new(place) });
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// A disk that is full would stop PostgreSQL, and with it everybody.
fn check_disk(app: &App) -> Result<(), Problem> {
    if app.has_room() {
        return Ok(());
    }
    tracing::warn!("uploads are refused: the disk of the data folder is nearly full");
    Err(Problem::new(Code::DiskFull, "The server's disk is nearly full (ALMANAC_MIN_FREE_MB)."))
}

async fn check_queue(session: &Session<CanWrite>) -> Result<(), Problem> {
    let most = session.config.max_queued;
    let queued = queue_length(session, most.saturating_mul(WORKSPACES)).await?;
    if queued.own >= most {
        let detail = format!("{} documents of this workspace wait already (ALMANAC_MAX_QUEUED).", queued.own);
        return Err(Problem::new(Code::QueueFull, detail).retry_after(QUEUE_RETRY_SECONDS));
    }
    if queued.everybodys >= most.saturating_mul(WORKSPACES) {
        let detail = "More documents wait than this server takes on (ALMANAC_MAX_QUEUED).";
        return Err(Problem::new(Code::ServerBusy, detail).retry_after(QUEUE_RETRY_SECONDS));
    }
    Ok(())
}

/// At most a second old.
async fn queue_length(session: &Session<CanWrite>, bound: i64) -> Result<QueueLength, Problem> {
    let workspace_id = session.workspace_id();
    if let Some(known) = session.uploads.queue_of(workspace_id) {
        return Ok(known);
    }
    let mut workspace = session.workspace().await?;
    let counted = workspace.queue_length(bound).await?;
    workspace.commit().await?;
    session.uploads.remember_queue(workspace_id, counted);
    Ok(counted)
}
