//! The document row as a queue: claimed with a lease, kept by a heartbeat, ended by its worker alone.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use super::{
    Store, StoreError, Workspace,
    documents::{DocumentRow, Progress},
};

/// What became of a document that could not be ingested.
#[derive(Debug, Clone)]
pub struct Failure {
    pub code: String,
    pub detail: String,
    /// Whether the same bytes might do better later.
    pub retryable: bool,
    pub cause: Cause,
}

/// What is to blame for a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The document, or how it is to be read.
    Document,
    /// This process, which lacks what another may have.
    Process,
    /// What all documents need: storage, a model server, the machine.
    Surroundings,
}

/// How many documents wait or are worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLength {
    /// Of this workspace.
    pub own: i64,
    /// Of all workspaces.
    pub everybodys: i64,
}

/// How many documents of all workspaces are in a state, and how old the oldest is.
#[derive(Debug, Clone)]
pub struct QueueGauge {
    pub status: String,
    pub documents: i64,
    /// Of states that are not terminal.
    pub oldest_seconds: Option<f64>,
}

impl Store {
    /// The next document to work on, leased to `worker`, of a workspace that is not in `passed_over`; `None` when there
    /// is nothing to do. Workspaces take turns.
    pub async fn claim_document(
        &self,
        worker: Uuid,
        lease: Duration,
        passed_over: &[Uuid],
    ) -> Result<Option<DocumentRow>, StoreError> {
        let row = sqlx::query_as("select * from claim_document($1, $2, $3)")
            .bind(worker)
            .bind(interval(lease))
            .bind(passed_over)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row)
    }

    pub async fn queue_gauges(&self) -> Result<Vec<QueueGauge>, StoreError> {
        let rows = sqlx::query_as::<_, (String, i64, Option<f64>)>("select * from count_documents_by_status()")
            .fetch_all(&self.pool)
            .await?;
        Ok(rows
            .into_iter()
            .map(|(status, documents, oldest_seconds)| QueueGauge { status, documents, oldest_seconds })
            .collect())
    }
}

impl Workspace {
    /// Renews the lease and says what is being done. False: somebody else has the document now, so stop.
    pub async fn heartbeat(
        &mut self,
        document: Uuid,
        worker: Uuid,
        stage: &str,
        progress: Option<Progress>,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let renewed = sqlx::query!(
            "update documents
             set stage = $3, leased_until = now() + $4, chunks_embedded = $5, chunks_to_embed = $6
             where id = $1 and lease_owner = $2 and status = 'processing' and deleted_at is null",
            document,
            worker,
            stage,
            interval(lease),
            progress.map(|progress| progress.done),
            progress.map(|progress| progress.total)
        )
        .execute(self.connection())
        .await?;
        Ok(renewed.rows_affected() == 1)
    }

    /// How long the queue is; counting stops at `bound`.
    pub async fn queue_length(&mut self, bound: i64) -> Result<QueueLength, StoreError> {
        let (own, everybodys) = sqlx::query_as("select own, everybodys from count_waiting_documents($1)")
            .bind(bound)
            .fetch_one(self.connection())
            .await?;
        Ok(QueueLength { own, everybodys })
    }

    /// Gives a document back that its worker did not get to finish, as if it had never been claimed.
    pub async fn release_document(&mut self, document: Uuid, worker: Uuid) -> Result<(), StoreError> {
        sqlx::query!(
            "update documents
             set status = 'uploaded', stage = null, lease_owner = null, leased_until = null, attempts = attempts - 1
             where id = $1 and lease_owner = $2",
            document,
            worker
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Ends the work with a failure, for good, unless the document is not this worker's any more. `unbegun` claims are no
    /// attempts.
    pub async fn fail_document(
        &mut self,
        document: Uuid,
        worker: Uuid,
        failure: &Failure,
        unbegun: i32,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update documents
             set status = 'failed', stage = null, lease_owner = null, leased_until = null,
                 error_code = $3, error_detail = $4, error_retryable = $5, attempts = attempts - $6
             where id = $1 and lease_owner = $2",
            document,
            worker,
            failure.code,
            failure.detail,
            failure.retryable,
            unbegun
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Gives a document back to the queue after a failure that may pass, unless it is not this worker's any more; it is not
    /// claimed before `delay` is over.
    pub async fn postpone_document(
        &mut self,
        document: Uuid,
        worker: Uuid,
        failure: &Failure,
        delay: Duration,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update documents
             set status = 'uploaded', stage = null, lease_owner = null, leased_until = null, not_before = now() + $6,
                 error_code = $3, error_detail = $4, error_retryable = $5, waits = waits + $7
             where id = $1 and lease_owner = $2",
            document,
            worker,
            failure.code,
            failure.detail,
            failure.retryable,
            interval(delay),
            i32::from(failure.cause != Cause::Document)
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

pub(super) fn interval(duration: Duration) -> PgInterval {
    let microseconds = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    PgInterval { months: 0, days: 0, microseconds }
}
