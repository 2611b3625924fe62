//! Idempotency keys: the first answer to a request is kept for a day and replayed.

use secrecy::ExposeSecret;
use sqlx::{Connection, PgConnection};

use super::{Store, StoreError, Workspace};

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

/// What is known of a key when the body of the request that comes with it is not here yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// Nobody used it: as [`Claim::New`], and [`Workspace::confirm_request`] comes first.
    New,
    /// The first request with it still runs.
    Running,
    /// The first answer, and the hash of what it answered.
    Answered(Vec<u8>, KeptResponse),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptResponse {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Store {
    /// Removes the keys of all workspaces that are new again, with their answers; returns how many there were.
    pub async fn sweep_idempotency_keys(&self) -> Result<u64, StoreError> {
        // Only the owner looks across workspaces.
        let mut owner = PgConnection::connect(self.owner.expose_secret()).await?;
        let swept = sqlx::query(
            "delete from idempotency_keys
             where status is null and updated_at < now() - interval '2 minutes'
                or created_at < now() - interval '24 hours'",
        )
        .execute(&mut owner)
        .await?;
        owner.close().await?;
        Ok(swept.rows_affected())
    }
}

impl Workspace {
    /// Takes `key` for the request whose method, path and body hash to `request_sha256`. A day later a key is new again;
    /// a running request keeps its key by [`Workspace::keep_request`]; one that a crash has cut off loses it
    /// after two minutes.
    pub async fn claim_request(&mut self, key: &str, request_sha256: &[u8]) -> Result<Claim, StoreError> {
        if self.take_key(key, request_sha256).await? {
            return Ok(Claim::New);
        }
        Ok(match self.first_request(key).await? {
            // Forgotten between the two statements: whoever tries again will find it free.
            None => Claim::Running,
            Some((first, _)) if first != request_sha256 => Claim::OtherRequest,
            Some((_, None)) => Claim::Running,
            Some((_, Some(kept))) => Claim::Replay(kept),
        })
    }

    /// Takes `key` for a request that is still being received; `ticket` stands for its hash until that is known.
    pub async fn reserve_request(&mut self, key: &str, ticket: &[u8]) -> Result<Reservation, StoreError> {
        if self.take_key(key, ticket).await? {
            return Ok(Reservation::New);
        }
        Ok(match self.first_request(key).await? {
            None | Some((_, None)) => Reservation::Running,
            Some((first, Some(kept))) => Reservation::Answered(first, kept),
        })
    }

    /// Says what the reserved request is. False: it took so long that somebody else has the key.
    pub async fn confirm_request(
        &mut self,
        key: &str,
        ticket: &[u8],
        request_sha256: &[u8],
    ) -> Result<bool, StoreError> {
        let confirmed = sqlx::query!(
            "update idempotency_keys set request_sha256 = $3 where key = $1 and request_sha256 = $2 and status is null",
            key,
            ticket,
            request_sha256
        )
        .execute(self.connection())
        .await?;
        Ok(confirmed.rows_affected() == 1)
    }

    /// Says that the request with this key still runs; to be said more often than every two minutes.
    pub async fn keep_request(&mut self, key: &str) -> Result<(), StoreError> {
        sqlx::query!("update idempotency_keys set updated_at = now() where key = $1 and status is null", key)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn take_key(&mut self, key: &str, request_sha256: &[u8]) -> Result<bool, StoreError> {
        let workspace_id = self.id();
        sqlx::query(
            "delete from idempotency_keys
             where key = $1
               and (status is null and updated_at < now() - interval '2 minutes'
                    or created_at < now() - interval '24 hours')",
        )
        .bind(key)
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
        Ok(inserted.rows_affected() == 1)
    }

    /// The hash of the request that has the key, and its answer when there is one.
    async fn first_request(&mut self, key: &str) -> Result<Option<(Vec<u8>, Option<KeptResponse>)>, StoreError> {
        let row =
            sqlx::query!("select request_sha256, status, content_type, body from idempotency_keys where key = $1", key)
                .fetch_optional(self.connection())
                .await?;
        Ok(row.map(|row| {
            let kept = match (row.status, row.content_type, row.body) {
                (Some(status), Some(content_type), Some(body)) => {
                    Some(KeptResponse { status: u16::try_from(status).unwrap_or(500), content_type, body })
                }
                _ => None,
            };
            (row.request_sha256, kept)
        }))
    }

    pub async fn finish_request(
        &mut self,
        key: &str,
        request_sha256: &[u8],
        response: &KeptResponse,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update idempotency_keys set status = $3, content_type = $4, body = $5 where key = $1 and request_sha256 = $2",
            key,
            request_sha256,
            i16::try_from(response.status).unwrap_or(500),
            response.content_type,
            response.body
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// A request that failed may be tried again with the same key; another one that has the key by now keeps it.
    pub async fn forget_request(&mut self, key: &str, request_sha256: &[u8]) -> Result<(), StoreError> {
        sqlx::query!("delete from idempotency_keys where key = $1 and request_sha256 = $2", key, request_sha256)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
