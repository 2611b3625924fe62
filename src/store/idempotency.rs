//! Idempotency keys: the first answer to a request is kept for a day and replayed.

use super::{StoreError, Workspace};

/// What is known of a key when a request comes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nobody used it: the request may run, and must end with [`Workspace::finish_request`] or
    /// [`Workspace::forget_request`].
    New,
    /// The first request with it still runs.
    Running,
    /// It was used for another request.
    OtherRequest,
    /// The first answer.
    Replay(KeptResponse),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptResponse {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Workspace {
    /// Takes `key` for the request whose method, path and body hash to `request_sha256`. A day later a key is new again;
    /// a request that was cut off by a crash holds its key for ten minutes.
    pub async fn claim_request(&mut self, key: &str, request_sha256: &[u8]) -> Result<Claim, StoreError> {
        let workspace_id = self.id();
        sqlx::query!(
            "delete from idempotency_keys
             where created_at < now() - case when status is null then interval '10 minutes' else interval '24 hours' end"
        )
        .execute(self.connection())
        .await?;
        let inserted = sqlx::query!(
            "insert into idempotency_keys (workspace_id, key, request_sha256) values ($1, $2, $3) on conflict do nothing",
            workspace_id,
            key,
            request_sha256
        )
        .execute(self.connection())
        .await?;
        if inserted.rows_affected() == 1 {
            return Ok(Claim::New);
        }
        let row =
            sqlx::query!("select request_sha256, status, content_type, body from idempotency_keys where key = $1", key)
                .fetch_optional(self.connection())
                .await?;
        // Forgotten between the two statements: whoever tries again will find it free.
        let Some(row) = row else { return Ok(Claim::Running) };
        if row.request_sha256 != request_sha256 {
            return Ok(Claim::OtherRequest);
        }
        match (row.status, row.content_type, row.body) {
            (Some(status), Some(content_type), Some(body)) => {
                let status = u16::try_from(status).unwrap_or(500);
                Ok(Claim::Replay(KeptResponse { status, content_type, body }))
            }
            _ => Ok(Claim::Running),
        }
    }

    pub async fn finish_request(&mut self, key: &str, response: &KeptResponse) -> Result<(), StoreError> {
        sqlx::query!(
            "update idempotency_keys set status = $2, content_type = $3, body = $4 where key = $1",
            key,
            i16::try_from(response.status).unwrap_or(500),
            response.content_type,
            response.body
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// A request that failed may be tried again with the same key.
    pub async fn forget_request(&mut self, key: &str) -> Result<(), StoreError> {
        sqlx::query!("delete from idempotency_keys where key = $1", key).execute(self.connection()).await?;
        Ok(())
    }
}
