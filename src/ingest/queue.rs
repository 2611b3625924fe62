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
use tokio::{
    sync::{Mutex, Notify, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::{IngestError, Tools, ingest};
use crate::store::{StoreError, documents::DocumentRow, queue::Failure};

/// Claims after which a document fails for good.
pub const MAX_ATTEMPTS: i32 = 5;
/// How long the queue may lie unnoticed when another process filled it.
const POLL: Duration = Duration::from_secs(1);
/// A stage that is over sooner is not worth a write.
const WORTH_SHOWING: Duration = Duration::from_millis(500);
/// Between attempts, doubled each time.
const FIRST_DELAY: Duration = Duration::from_secs(2);

/// How a process works the queue.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Documents at a time.
    pub workers: usize,
    /// How long a silent worker is believed to be alive.
    pub lease: Duration,
    /// Rings when this process has put something into the queue.
    pub bell: Bell,
    /// Documents in hand are finished, and no more are claimed.
    pub stop: CancellationToken,
    /// Documents in hand are given back.
    pub cut: CancellationToken,
}

impl Pace {
    /// Three renewals may be lost before the lease is.
    pub(super) fn heartbeat(&self) -> Duration {
        self.lease / 4
    }

    /// Until `bell` rings, `poll` is over, or work is to stop.
    pub(super) async fn wait(&self, bell: &Notify, poll: Duration) {
        tokio::select! {
            () = bell.notified() => {}
            () = sleep(poll) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// Whose document each worker of this process has in hand.
type Hands = Arc<Mutex<Vec<Option<Uuid>>>>;

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
        measure(self.stage.send_replace((stage, Instant::now())));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        measure(*self.stage.borrow());
    }
}

fn measure((stage, began): (&'static str, Instant)) {
    metrics::histogram!("almanac_ingest_stage_seconds", "stage" => stage).record(began.elapsed().as_secs_f64());
}

/// Rings when this process has put something into the queue.
pub type Bell = Arc<Notify>;

/// Works off the queue until it is stopped.
pub async fn work(tools: Tools, pace: Pace) {
    let hands: Hands = Arc::new(Mutex::new(vec![None; pace.workers]));
    let workers = (0..pace.workers).map(|number| Worker {
        tools: tools.clone(),
        pace: pace.clone(),
        hands: Arc::clone(&hands),
        number,
        id: Uuid::now_v7(),
    });
    let tasks: Vec<_> = workers.map(|worker| tokio::spawn(worker.work())).collect();
    for task in tasks {
        if let Err(error) = task.await {
            tracing::error!(%error, "an ingestion worker ended unexpectedly");
        }
    }
}

struct Worker {
    tools: Tools,
    pace: Pace,
    hands: Hands,
    /// Its place in `hands`.
    number: usize,
    id: Uuid,
}

impl Worker {
    async fn work(self) {
        while !self.pace.stop.is_cancelled() {
            match self.claim().await {
                Ok(Some(document)) => {
                    // There may be more: the next idle worker looks, too.
                    self.pace.bell.notify_one();
                    let request = document.request_id.as_deref().unwrap_or_default();
                    let span =
                        tracing::info_span!("ingest", document = %document.id, attempt = document.attempts, request);
                    take(&self.tools, &self.pace, self.id, &document).instrument(span).await;
                    self.hold(None).await;
                }
                Ok(None) => self.wait().await,
                Err(error) => {
                    tracing::warn!(%error, "the queue cannot be read");
                    self.wait().await;
                }
            }
        }
    }

    /// The next document. The last idle worker leaves a workspace alone that has all the others in its hands: however
    /// long its documents are, somebody else's is begun at once.
    async fn claim(&self) -> Result<Option<DocumentRow>, StoreError> {
        // Held while the store is asked: two workers that claim at once must see each other.
        let mut hands = self.hands.lock().await;
        let passed_over = held_by_one(&hands, self.number);
        let passed_over = passed_over.as_slice();
        let document = self.tools.store.claim_document(self.id, self.pace.lease, passed_over).await?;
        hands[self.number] = document.as_ref().map(|document| document.workspace_id);
        Ok(document)
    }

    async fn hold(&self, workspace: Option<Uuid>) {
        self.hands.lock().await[self.number] = workspace;
    }

    async fn wait(&self) {
        self.pace.wait(&self.pace.bell, POLL).await;
    }
}

/// The workspace that all workers but `number` work for.
fn held_by_one(hands: &[Option<Uuid>], number: usize) -> Option<Uuid> {
    let mut others = hands.iter().enumerate().filter(|(other, _)| *other != number).map(|(_, held)| *held);
    let first = others.next()??;
    others.all(|held| held == Some(first)).then_some(first)
}

/// One claimed document, to whatever end.
async fn take(tools: &Tools, pace: &Pace, worker: Uuid, document: &DocumentRow) {
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
            lost = keep_alive(tools, pace, document, worker, stages) => Err(lost),
            () = pace.cut.cancelled() => Err(IngestError::Again),
        }
    };
    let outcome = match &ended {
        Ok(()) => "indexed",
        Err(IngestError::Failed(_)) => "failed",
        Err(IngestError::Lost | IngestError::Again) => "given_back",
    };
    metrics::counter!("almanac_documents_ingested_total", "outcome" => outcome).increment(1);
    match ended {
        Ok(()) => tracing::info!(ms = began.elapsed().as_millis(), "document indexed"),
        Err(error) => record(tools, worker, document, error).await,
    }
}

/// A panic is a defect in one document's way, and must not end the worker that met it.
pub(super) async fn unpanicked(work: impl Future<Output = Result<(), IngestError>>) -> Result<(), IngestError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        let detail = "reading the document ended in a defect of Almanac; the log has it".to_owned();
        Err(IngestError::Failed(Failure { code: "internal".to_owned(), detail, retryable: true }))
    })
}

/// Shows each stage, and renews the lease, until it is lost; only then it returns.
async fn keep_alive(
    tools: &Tools,
    pace: &Pace,
    document: &DocumentRow,
    worker: Uuid,
    mut stages: watch::Receiver<(&'static str, Instant)>,
) -> IngestError {
    loop {
        tokio::select! {
            () = sleep(pace.heartbeat()) => {}
            changed = stages.changed() => sleep(if changed.is_ok() { WORTH_SHOWING } else { pace.heartbeat() }).await,
        }
        let stage = stages.borrow_and_update().0;
        match beat(tools, document, worker, stage, pace.lease).await {
            Ok(true) => {}
            Ok(false) => return IngestError::Lost,
            // The lease outlives a few lost beats; the store may come back.
            Err(error) => tracing::warn!(%error, "a heartbeat was lost"),
        }
    }
}

async fn beat(
    tools: &Tools,
    document: &DocumentRow,
    worker: Uuid,
    stage: &str,
    lease: Duration,
) -> Result<bool, StoreError> {
    let mut workspace = tools.store.workspace(document.workspace_id).await?;
    let alive = workspace.heartbeat(document.id, worker, stage, lease).await?;
    workspace.commit().await?;
    Ok(alive)
}

async fn record(tools: &Tools, worker: Uuid, document: &DocumentRow, error: IngestError) {
    let recorded = match error {
        IngestError::Lost => {
            tracing::info!("document taken away");
            Ok(())
        }
        IngestError::Again => {
            tracing::info!("document given back");
            release(tools, worker, document).await
        }
        IngestError::Failed(failure) => {
            tracing::warn!(
                code = failure.code,
                detail = failure.detail,
                retryable = failure.retryable,
                "document not ingested"
            );
            end(tools, worker, document, &failure).await
        }
    };
    if let Err(error) = recorded {
        // The lease runs out by itself, and the document is claimed again.
        tracing::error!(%error, "what became of a document could not be recorded");
    }
}

async fn release(tools: &Tools, worker: Uuid, document: &DocumentRow) -> Result<(), StoreError> {
    let mut workspace = tools.store.workspace(document.workspace_id).await?;
    workspace.release_document(document.id, worker).await?;
    workspace.commit().await
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

pub(super) fn delay(attempts: i32) -> Duration {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_idle_worker_leaves_the_workspace_alone_that_holds_all_others() {
        let (busy, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(held_by_one(&[Some(busy), None, Some(busy)], 1), Some(busy));
        assert_eq!(held_by_one(&[Some(busy), None, None], 1), None, "another worker is idle");
        assert_eq!(held_by_one(&[Some(busy), None, Some(other)], 1), None, "others are served");
        assert_eq!(held_by_one(&[None], 0), None, "a lone worker serves everybody");
    }

    #[test]
    fn attempts_are_further_and_further_apart() {
        assert_eq!([1, 2, 3, 4].map(|attempt| delay(attempt).as_secs()), [2, 4, 8, 16]);
    }
}
