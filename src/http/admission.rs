//! Whether an upload is taken now. A queue that only grows, and more uploads at once than a machine can write, help
//! nobody: the client is told when to come again, before its bytes are read.

use uuid::Uuid;

use super::{
    problem::{Code, Problem},
    session::{CanWrite, Session},
};
use crate::{
    app::{
        App,
        uploads::{MAX_UPLOADS, Place},
    },
    store::queue::QueueLength,
};

/// The queue of all workspaces may be so many times as long as that of one.
const WORKSPACES: i64 = 10;
/// A queue that is full for one is full for a while; uploads at once are over in a moment.
const QUEUE_RETRY_SECONDS: u64 = 30;
const UPLOAD_RETRY_SECONDS: u64 = 2;

/// A place among the uploads, if the queue takes more documents.
pub async fn admit(session: &Session<CanWrite>) -> Result<Place, Problem> {
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
    place(session, session.workspace_id()).await
}

/// A place among the uploads.
pub async fn place(app: &App, workspace_id: Uuid) -> Result<Place, Problem> {
    app.uploads.enter(workspace_id).await.ok_or_else(|| {
        Problem::new(Code::ServerBusy, format!("{MAX_UPLOADS} uploads are being received already."))
            .retry_after(UPLOAD_RETRY_SECONDS)
    })
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
