//! Works off the queue of documents: claims one, keeps its lease alive while it is ingested, and records how it ended.
//!
//! A worker that dies loses its lease and nothing else: the document is claimed again when the lease has run out, and
//! fails for good after [`MAX_ATTEMPTS`] claims, so that a poisonous file cannot go round for ever; from the second on it is
//! worked on alone at first. What a document waits for and is not its own fault is counted apart ([`MAX_WAITS`]).

mod gate;

use std::{
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use tokio::{
    sync::{Mutex, Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use self::gate::Gate;
use super::{IngestError, Tools, failed, ingest};
use crate::store::{
    StoreError,
    documents::{DocumentRow, Progress},
    queue::{Cause, Failure},
};

/// Claims after which a document fails for good.
pub const MAX_ATTEMPTS: i32 = 5;
/// From this claim on nothing else is worked on beside a document: what was there when a worker ended may be why.
const ALONE_FROM: i32 = 2;
/// For so long: a document that is only long must not hold up everybody else.
const ALONE_FOR: Duration = Duration::from_secs(20);
/// Claims that may end for want of what is not the document's: with their delays, two hours without storage, say.
const MAX_WAITS: i32 = 30;
/// Between the later of them.
const LONGEST_DELAY: Duration = Duration::from_secs(300);
/// How long a worker claims nothing after the surroundings have failed it, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
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
    stage: watch::Sender<Stage>,
}

#[derive(Debug, Clone, Copy)]
struct Stage {
    name: &'static str,
    began: Instant,
    progress: Option<Progress>,
}

impl Lease {
    pub fn worker(&self) -> Uuid {
        self.worker
    }

    /// Begins a stage; the next heartbeat shows it.
    pub fn enter(&self, name: &'static str) {
        self.stage.send_replace(Stage::begun(name)).measure();
    }

    /// How far the stage is; shown like a stage.
    pub fn show(&self, progress: Progress) {
        self.stage.send_modify(|stage| stage.progress = Some(progress));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stage.borrow().measure();
    }
}

impl Stage {
    fn begun(name: &'static str) -> Stage {
        Stage { name, began: Instant::now(), progress: None }
    }

    fn measure(&self) {
        let seconds = self.began.elapsed().as_secs_f64();
        metrics::histogram!("almanac_ingest_stage_seconds", "stage" => self.name).record(seconds);
    }
}

/// Rings when this process has put something into the queue.
pub type Bell = Arc<Notify>;

/// Works off the queue until it is stopped.
pub async fn work(tools: Tools, pace: Pace) {
    let hands: Hands = Arc::new(Mutex::new(vec![None; pace.workers]));
    let gate = Arc::new(Gate::default());
    let workers = (0..pace.workers).map(|number| Worker {
        tools: tools.clone(),
        pace: pace.clone(),
        hands: Arc::clone(&hands),
        gate: Arc::clone(&gate),
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
    gate: Arc<Gate>,
    /// Its place in `hands`.
    number: usize,
    id: Uuid,
}

impl Worker {
    async fn work(self) {
        let mut pause = FIRST_PAUSE;
        while !self.pace.stop.is_cancelled() {
            self.gate.opened().await;
            let turn = AssertUnwindSafe(self.turn()).catch_unwind().await;
            self.hold(None).await;
            match turn {
                Ok(Turn::Worked) => pause = FIRST_PAUSE,
                Ok(Turn::Idle) => self.wait().await,
                // The surroundings may come back.
                Ok(Turn::Hindered) => {
                    self.pace.stop.run_until_cancelled(sleep(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                // The log has the panic; a document in hand is claimed again.
                Err(_) => self.wait().await,
            }
        }
    }

    async fn turn(&self) -> Turn {
        match self.claim().await {
            Ok(Some(document)) => {
                // There may be more: the next idle worker looks, too.
                self.pace.bell.notify_one();
                self.take(&document).await
            }
            Ok(None) => Turn::Idle,
            Err(error) => {
                tracing::warn!(%error, "the queue cannot be read");
                Turn::Idle
            }
        }
    }

    /// One claimed document, to whatever end.
    async fn take(&self, document: &DocumentRow) -> Turn {
        let request = document.request_id.as_deref().unwrap_or_default();
        let span = tracing::info_span!("ingest", document = %document.id, attempt = document.attempts, request);
        take(&self.tools, &self.pace, &self.gate, self.id, document).instrument(span).await
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

/// What a worker's turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Worked,
    /// Something that every document needs was not there.
    Hindered,
    Idle,
}

async fn take(tools: &Tools, pace: &Pace, gate: &Gate, worker: Uuid, document: &DocumentRow) -> Turn {
    let (stage, stages) = watch::channel(Stage::begun("claimed"));
    let lease = Lease { worker, stage };
    let began = Instant::now();
    let ended = if tries(document) > MAX_ATTEMPTS {
        Err(gave_up(document))
    } else {
        tokio::select! {
            // Work that is done counts as done, even if its last heartbeat found the lease gone.
            biased;
            ended = unpanicked(attempt(tools, gate, document, &lease)) => ended,
            lost = keep_alive(tools, pace, document, worker, stages) => Err(lost),
            () = pace.cut.cancelled() => Err(IngestError::Again),
        }
    };
    let hindered = matches!(&ended, Err(IngestError::Failed(failure)) if failure.cause == Cause::Surroundings);
    let outcome = match ended {
        Ok(()) => {
            tracing::info!(ms = began.elapsed().as_millis(), "document indexed");
            "indexed"
        }
        Err(error) => record(tools, worker, document, error).await,
    };
    metrics::counter!("almanac_documents_ingested_total", "outcome" => outcome).increment(1);
    if hindered { Turn::Hindered } else { Turn::Worked }
}

/// Claims that count against the document.
fn tries(document: &DocumentRow) -> i32 {
    document.attempts - document.waits
}

async fn attempt(tools: &Tools, gate: &Gate, document: &DocumentRow, lease: &Lease) -> Result<(), IngestError> {
    let Some(pass) = gate.pass(tries(document) >= ALONE_FROM).await else { return Err(IngestError::Again) };
    let mut work = pin!(ingest(tools, document, lease));
    if let Ok(ended) = timeout(ALONE_FOR, &mut work).await {
        return ended;
    }
    let _pass = pass.among();
    work.await
}

/// A panic is a defect in one document's way, and must not end the worker that met it.
pub(super) async fn unpanicked(work: impl Future<Output = Result<(), IngestError>>) -> Result<(), IngestError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        Err(failed("internal", "reading the document ended in a defect of Almanac; the log has it", true))
    })
}

/// Shows each stage, and renews the lease, until it is lost; only then it returns.
async fn keep_alive(
    tools: &Tools,
    pace: &Pace,
    document: &DocumentRow,
    worker: Uuid,
    mut stages: watch::Receiver<Stage>,
) -> IngestError {
    loop {
        tokio::select! {
            () = sleep(pace.heartbeat()) => {}
            changed = stages.changed() => sleep(if changed.is_ok() { WORTH_SHOWING } else { pace.heartbeat() }).await,
        }
        let stage = *stages.borrow_and_update();
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
    stage: Stage,
    lease: Duration,
) -> Result<bool, StoreError> {
    let mut workspace = tools.store.workspace(document.workspace_id).await?;
    let alive = workspace.heartbeat(document.id, worker, stage.name, stage.progress, lease).await?;
    workspace.commit().await?;
    Ok(alive)
}

/// Writes down what became of a document that was not indexed, and names it for the metrics.
async fn record(tools: &Tools, worker: Uuid, document: &DocumentRow, error: IngestError) -> &'static str {
    let recorded = match error {
        IngestError::Lost => {
            tracing::info!("document taken away");
            Ok("taken_away")
        }
        IngestError::Again => {
            tracing::info!("document given back");
            release(tools, worker, document).await.map(|()| "given_back")
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
    recorded.unwrap_or_else(|error| {
        // The lease runs out by itself, and the document is claimed again.
        tracing::error!(%error, "what became of a document could not be recorded");
        "unrecorded"
    })
}

async fn release(tools: &Tools, worker: Uuid, document: &DocumentRow) -> Result<(), StoreError> {
    let mut workspace = tools.store.workspace(document.workspace_id).await?;
    workspace.release_document(document.id, worker).await?;
    workspace.commit().await
}

async fn end(
    tools: &Tools,
    worker: Uuid,
    document: &DocumentRow,
    failure: &Failure,
) -> Result<&'static str, StoreError> {
    let mut workspace = tools.store.workspace(document.workspace_id).await?;
    let outcome = match delay_after(document, failure) {
        Some(delay) => {
            workspace.postpone_document(document.id, worker, failure, delay).await?;
            "postponed"
        }
        None => {
            let unbegun = (tries(document) - MAX_ATTEMPTS).max(0);
            workspace.fail_document(document.id, worker, failure, unbegun).await?;
            "failed"
        }
    };
    workspace.commit().await?;
    Ok(outcome)
}

/// When to try again after a failure; `None`: never.
fn delay_after(document: &DocumentRow, failure: &Failure) -> Option<Duration> {
    match failure.cause {
        Cause::Surroundings | Cause::Process => (document.waits < MAX_WAITS).then(|| delay(document.waits + 1)),
        Cause::Document => (failure.retryable && tries(document) < MAX_ATTEMPTS).then(|| delay(tries(document))),
    }
}

pub(super) fn delay(attempts: i32) -> Duration {
    (FIRST_DELAY * 2u32.saturating_pow(u32::try_from(attempts - 1).unwrap_or(0).min(10))).min(LONGEST_DELAY)
}

fn gave_up(document: &DocumentRow) -> IngestError {
    let last =
        document.error_detail.as_deref().unwrap_or("each attempt ended without a word, as when a process is killed");
    failed("gave_up", &format!("given up after {MAX_ATTEMPTS} attempts: {last}"), true)
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
        assert_eq!([1, 2, 3, 4, 8, 9, 30].map(|attempt| delay(attempt).as_secs()), [2, 4, 8, 16, 256, 300, 300]);
        let waited: Duration = (1..=MAX_WAITS).map(delay).sum();
        assert!(waited.as_secs() / 60 > 110, "about two hours: {waited:?}");
    }
}
