//! Works off the queue of documents: claims one, keeps its lease alive while it is ingested, and records how it ended.
//!
//! A worker that dies loses its lease and nothing else: the document is claimed again when the lease has run out, and
//! fails for good after [`MAX_ATTEMPTS`] claims, so that a poisonous file cannot go round for ever.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use tokio::{sync::Notify, sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::{IngestError, Tools, ingest};
use crate::store::{StoreError, documents::DocumentRow, queue::Failure};

/// Claims after which a document fails for good.
pub const MAX_ATTEMPTS: i32 = 5;
/// How long a silent worker is believed to be alive.
const LEASE: Duration = Duration::from_secs(30);
/// Three renewals may be lost before the lease is.
const HEARTBEAT: Duration = Duration::from_secs(8);
/// How long the queue may lie unnoticed when another process filled it.
const POLL: Duration = Duration::from_secs(1);
/// Between attempts, doubled each time.
const FIRST_DELAY: Duration = Duration::from_secs(2);

/// A claim on one document: who holds it and which stage the work is in.
#[derive(Debug)]
pub struct Lease {
    worker: Uuid,
    stage: watch::Sender<(&'static str, Instant)>,
}

impl Lease {
    pub fn worker(&self) -> Uuid {
        self.worker
    }

    /// Begins a stage; the next heartbeat shows it.
    pub fn enter(&self, stage: &'static str) {
        let (last, began) = self.stage.send_replace((stage, Instant::now()));
        metrics::histogram!("almanac_ingest_stage_seconds", "stage" => last).record(began.elapsed().as_secs_f64());
    }
}

/// Rings when this process has put something into the queue.
pub type Bell = Arc<Notify>;

/// Works off the queue with `workers` tasks until `stop`; a document in hand is finished first.
pub async fn work(tools: Tools, workers: usize, bell: Bell, stop: CancellationToken) {
    let tasks: Vec<_> =
        (0..workers).map(|_| tokio::spawn(work_alone(tools.clone(), Arc::clone(&bell), stop.clone()))).collect();
    for task in tasks {
        if let Err(error) = task.await {
            tracing::error!(%error, "an ingestion worker ended unexpectedly");
        }
    }
}

async fn work_alone(tools: Tools, bell: Bell, stop: CancellationToken) {
    let worker = Uuid::now_v7();
    while !stop.is_cancelled() {
        match tools.store.claim_document(worker, LEASE).await {
            Ok(Some(document)) => {
                let span = tracing::info_span!("ingest", document = %document.id, attempt = document.attempts);
                take(&tools, worker, &document).instrument(span).await;
            }
            Ok(None) => wait(&bell, &stop).await,
            Err(error) => {
                tracing::warn!(%error, "the queue cannot be read");
                wait(&bell, &stop).await;
            }
        }
    }
}

async fn wait(bell: &Bell, stop: &CancellationToken) {
    tokio::select! {
        () = bell.notified() => {}
        () = sleep(POLL) => {}
        () = stop.cancelled() => {}
    }
}

/// One claimed document, to whatever end.
async fn take(tools: &Tools, worker: Uuid, document: &DocumentRow) {
    let (stage, stages) = watch::channel(("claimed", Instant::now()));
    let lease = Lease { worker, stage };
    let began = Instant::now();
    let ended = if document.attempts > MAX_ATTEMPTS {
        Err(gave_up(document))
    } else {
        tokio::select! {
            // Work that is done counts as done, even if its last heartbeat found the lease gone.
            biased;
            ended = unpanicked(ingest(tools, document, &lease)) => ended,
            lost = keep_alive(tools, document, worker, stages) => Err(lost),
        }
    };
    let outcome = if ended.is_ok() { "indexed" } else { "failed" };
    metrics::counter!("almanac_documents_ingested_total", "outcome" => outcome).increment(1);
    match ended {
        Ok(()) => tracing::info!(ms = began.elapsed().as_millis(), "document indexed"),
        Err(error) => record(tools, worker, document, error).await,
    }
}

/// A panic is a defect in one document's way, and must not end the worker that met it.
async fn unpanicked(work: impl Future<Output = Result<(), IngestError>>) -> Result<(), IngestError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        let detail = "reading the document ended in a defect of Almanac; the log has it".to_owned();
        Err(IngestError::Failed(Failure { code: "internal".to_owned(), detail, retryable: true }))
    })
}

/// Renews the lease until it is lost; only then it returns.
async fn keep_alive(
    tools: &Tools,
    document: &DocumentRow,
    worker: Uuid,
    mut stages: watch::Receiver<(&'static str, Instant)>,
) -> IngestError {
    loop {
        let stage = stages.borrow_and_update().0;
        match beat(tools, document, worker, stage).await {
            Ok(true) => {}
            Ok(false) => return IngestError::Lost,
            // The lease outlives a few lost beats; the store may come back.
            Err(error) => tracing::warn!(%error, "a heartbeat was lost"),
        }
        tokio::select! {
            () = sleep(HEARTBEAT) => {}
            changed = stages.changed() => if changed.is_err() { sleep(HEARTBEAT).await },
        }
    }
}

async fn beat(tools: &Tools, document: &DocumentRow, worker: Uuid, stage: &str) -> Result<bool, StoreError> {
    let mut workspace = tools.store.workspace(document.workspace_id).await?;
    let alive = workspace.heartbeat(document.id, worker, stage, LEASE).await?;
    workspace.commit().await?;
    Ok(alive)
}

async fn record(tools: &Tools, worker: Uuid, document: &DocumentRow, error: IngestError) {
    let IngestError::Failed(failure) = error else {
        tracing::info!("document taken away");
        return;
    };
    tracing::warn!(
        code = failure.code,
        detail = failure.detail,
        retryable = failure.retryable,
        "document not ingested"
    );
    if let Err(error) = end(tools, worker, document, &failure).await {
        // The lease runs out by itself, and the document is claimed again.
        tracing::error!(%error, "a failure could not be recorded");
    }
}

async fn end(tools: &Tools, worker: Uuid, document: &DocumentRow, failure: &Failure) -> Result<(), StoreError> {
    let mut workspace = tools.store.workspace(document.workspace_id).await?;
    if failure.retryable && document.attempts < MAX_ATTEMPTS {
        workspace.postpone_document(document.id, worker, failure, delay(document.attempts)).await?;
    } else {
        workspace.fail_document(document.id, worker, failure).await?;
    }
    workspace.commit().await
}

fn delay(attempts: i32) -> Duration {
    FIRST_DELAY * 2u32.saturating_pow(u32::try_from(attempts - 1).unwrap_or(0).min(10))
}

fn gave_up(document: &DocumentRow) -> IngestError {
    let last =
        document.error_detail.as_deref().unwrap_or("each attempt ended without a word, as when a process is killed");
    IngestError::Failed(Failure {
        code: "gave_up".to_owned(),
        detail: format!("given up after {MAX_ATTEMPTS} attempts: {last}"),
        retryable: true,
    })
}
