//! Knowledge bases on their way to another embedding model or chunk size: a second index is filled beside the one that
//! is searched, one update switches over, and the old one is discarded afterwards.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Store, StoreError, Workspace, chunks::SearchIndex, queue::interval};

/// How far a re-indexing is, as a knowledge base shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Reindexing {
    #[serde(flatten)]
    pub plan: IndexPlan,
    /// `running`, or `failed`: then `error` says why, and another change of the knowledge base starts it again.
    pub status: String,
    pub documents_done: i64,
    pub documents_total: i64,
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// What to fill an index with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IndexPlan {
    pub embedding_model: String,
    pub dimensions: i32,
    pub chunk_size: i32,
    pub chunk_overlap: i32,
    pub language: String,
}

/// A row of `reindexings` that a worker has claimed.
#[derive(Debug, Clone, FromRow)]
pub struct ReindexingRow {
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub knowledge_base_id: Uuid,
    pub index_id: Uuid,
    pub number: i32,
    pub embedding_model: String,
    pub chunk_size: i32,
    pub chunk_overlap: i32,
    pub language: String,
    pub status: String,
    pub attempts: i32,
    pub discarded_index_id: Option<Uuid>,
}

/// A version that the new index lacks, as it was extracted.
#[derive(Debug, Clone, FromRow)]
pub struct DocumentToReindex {
    pub document_id: Uuid,
    pub knowledge_base_id: Uuid,
    pub version: i32,
    /// Of the row: it is written anew with every indexing, also of the same version.
    pub created_at: DateTime<Utc>,
    pub title: String,
    /// Whether the title is part of what is embedded.
    pub titled: bool,
    pub text: String,
    pub markdown: bool,
    pub pages: Value,
}

/// What came of an attempt to switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    Done,
    /// Documents came in meanwhile: they are to be indexed first.
    NotYet,
    /// The re-indexing was cancelled, or is another worker's.
    Lost,
}

/// Chunks that are discarded in one transaction.
const DISCARDED_AT_ONCE: i64 = 2_000;

impl ReindexingRow {
    pub fn index(&self) -> SearchIndex {
        SearchIndex { id: self.index_id, number: self.number }
    }
}

impl Store {
    /// The next knowledge base to re-index, or index to discard, leased to `worker`.
    pub async fn claim_reindexing(&self, worker: Uuid, lease: Duration) -> Result<Option<ReindexingRow>, StoreError> {
        let row = sqlx::query_as("select * from claim_reindexing($1, $2)")
            .bind(worker)
            .bind(interval(lease))
            .fetch_optional(&self.pool)
            .await?;
        Ok(row)
    }

    /// Every embedding model that a knowledge base of any workspace has, or is on its way to.
    pub async fn embedding_models_in_use(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar("select embedding_model from embedding_models_in_use()").fetch_all(&self.pool).await?)
    }
}

impl Workspace {
    /// Begins to fill another index for a knowledge base; one that was being filled is given up.
    pub async fn start_reindexing(&mut self, knowledge_base_id: Uuid, plan: &IndexPlan) -> Result<(), StoreError> {
        self.cancel_reindexing(knowledge_base_id).await?;
        let workspace_id = self.id();
        sqlx::query!(
            "insert into reindexings
                 (id, workspace_id, knowledge_base_id, index_id, embedding_model, dimensions, chunk_size, chunk_overlap,
                  language)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            Uuid::now_v7(),
            workspace_id,
            knowledge_base_id,
            Uuid::now_v7(),
            plan.embedding_model,
            plan.dimensions,
            plan.chunk_size,
            plan.chunk_overlap,
            plan.language
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Gives up the index that is being filled; what it has is discarded. False when there is none.
    pub async fn cancel_reindexing(&mut self, knowledge_base_id: Uuid) -> Result<bool, StoreError> {
        let cancelled = sqlx::query!(
            "update reindexings
             set status = 'cancelled', discarded_index_id = index_id, lease_owner = null, leased_until = null,
                 not_before = now(), attempts = 0
             where knowledge_base_id = $1 and status in ('running', 'failed')",
            knowledge_base_id
        )
        .execute(self.connection())
        .await?;
        Ok(cancelled.rows_affected() > 0)
    }

    /// What each of these knowledge bases is on its way to.
    pub async fn reindexings(&mut self, knowledge_bases: &[Uuid]) -> Result<Vec<(Uuid, Reindexing)>, StoreError> {
        let rows = sqlx::query!(
            r#"select r.knowledge_base_id, r.embedding_model, r.dimensions, r.chunk_size, r.chunk_overlap, r.language, r.status,
                      r.error_detail, r.created_at, c.done as "done!", c.total as "total!"
               from reindexings r
               cross join lateral (
                   select count(*) filter (where reindexed_into = r.index_id) as done, count(*) as total
                   from document_contents
                   where knowledge_base_id = r.knowledge_base_id
               ) c
               where r.knowledge_base_id = any ($1) and r.status in ('running', 'failed')"#,
            knowledge_bases
        )
        .fetch_all(self.connection())
        .await?;
        let shown = rows.into_iter().map(|row| {
            let reindexing = Reindexing {
                plan: IndexPlan {
                    embedding_model: row.embedding_model,
                    dimensions: row.dimensions,
                    chunk_size: row.chunk_size,
                    chunk_overlap: row.chunk_overlap,
                    language: row.language,
                },
                status: row.status,
                documents_done: row.done,
                documents_total: row.total,
                error: row.error_detail,
                created_at: row.created_at,
            };
            (row.knowledge_base_id, reindexing)
        });
        Ok(shown.collect())
    }

    /// Renews the lease; attempts are counted from the last progress on. False: cancelled, or another worker's.
    pub async fn keep_reindexing(
        &mut self,
        reindexing: Uuid,
        worker: Uuid,
        lease: Duration,
        progress: bool,
    ) -> Result<bool, StoreError> {
        let kept = sqlx::query!(
            "update reindexings
             set leased_until = now() + $3, attempts = case when $4 then 0 else attempts end
             where id = $1 and lease_owner = $2",
            reindexing,
            worker,
            interval(lease),
            progress
        )
        .execute(self.connection())
        .await?;
        Ok(kept.rows_affected() == 1)
    }

    /// A document whose current version the new index lacks, in the order of ids from `after` on.
    pub async fn next_to_reindex(
        &mut self,
        reindexing: &ReindexingRow,
        after: Option<Uuid>,
    ) -> Result<Option<DocumentToReindex>, StoreError> {
        let row = sqlx::query_as(
            "select document_id, knowledge_base_id, version, created_at, title, titled, text, markdown, pages
             from document_contents
             where knowledge_base_id = $1
               and document_id > $3
               and reindexed_into is distinct from $2
             order by document_id
             limit 1",
        )
        .bind(reindexing.knowledge_base_id)
        .bind(reindexing.index_id)
        .bind(after.unwrap_or_default())
        .fetch_optional(self.connection())
        .await?;
        Ok(row)
    }

    /// From here on the new index is searched. Nothing is indexed into the old one meanwhile.
    pub async fn switch_index(
        &mut self,
        reindexing: &ReindexingRow,
        worker: Uuid,
        grace: Duration,
    ) -> Result<Switch, StoreError> {
        self.hold_index_alone(reindexing.knowledge_base_id).await?;
        // Before any row is locked: the caller may go on to index what is missing while this transaction keeps others out.
        if self.next_to_reindex(reindexing, None).await?.is_some() {
            return Ok(Switch::NotYet);
        }
        let ended = sqlx::query!(
            "update reindexings
             set status = 'switched', error_detail = null, attempts = 0, not_before = now() + $3,
                 lease_owner = null, leased_until = null,
                 discarded_index_id = (select index_id from knowledge_bases where id = knowledge_base_id)
             where id = $1 and lease_owner = $2 and status = 'running'",
            reindexing.id,
            worker,
            interval(grace)
        )
        .execute(self.connection())
        .await?;
        if ended.rows_affected() == 0 {
            return Ok(Switch::Lost);
        }
        self.point_at(reindexing).await?;
        Ok(Switch::Done)
    }

    /// Documents first, then the knowledge base: the order of those who upload and purge.
    async fn point_at(&mut self, reindexing: &ReindexingRow) -> Result<(), StoreError> {
        sqlx::query!(
            "update documents d
             set chunk_count = counted.chunks
             from (
                 select d.id, (
                            select count(*)::int
                            from document_chunks c
                            where c.document_id = d.id and c.index_id = $2
                        ) as chunks
                 from documents d
                 where d.knowledge_base_id = $1
             ) counted
             where d.id = counted.id and counted.chunks > 0 and d.chunk_count <> counted.chunks",
            reindexing.knowledge_base_id,
            reindexing.index_id
        )
        .execute(self.connection())
        .await?;
        sqlx::query!(
            "update knowledge_bases k
             set index_id = r.index_id, number = r.number, embedding_model = r.embedding_model, dimensions = r.dimensions,
                 chunk_size = r.chunk_size, chunk_overlap = r.chunk_overlap, chunk_count = r.chunk_count, language = r.language,
                 languages = case r.language when 'auto' then k.languages else array[r.language] end
             from reindexings r
             where r.id = $1 and k.id = r.knowledge_base_id",
            reindexing.id
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Ends an attempt that failed; it is tried again after `delay`, unless it was the last of `most_attempts`.
    pub async fn fail_reindexing(
        &mut self,
        reindexing: Uuid,
        worker: Uuid,
        detail: &str,
        delay: Duration,
        most_attempts: i32,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update reindexings
             set error_detail = $3, lease_owner = null, leased_until = null, not_before = now() + $4,
                 status = case when status = 'running' and attempts >= $5 then 'failed' else status end
             where id = $1 and lease_owner = $2",
            reindexing,
            worker,
            detail,
            interval(delay),
            most_attempts
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Gives a re-indexing back whose worker stops or has had its turn, as if it had not been claimed.
    pub async fn release_reindexing(&mut self, reindexing: Uuid, worker: Uuid) -> Result<(), StoreError> {
        sqlx::query!(
            "update reindexings
             set lease_owner = null, leased_until = null, attempts = greatest(attempts - 1, 0)
             where id = $1 and lease_owner = $2",
            reindexing,
            worker
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Takes up a re-indexing that has failed, where it was.
    pub async fn resume_reindexing(&mut self, knowledge_base_id: Uuid) -> Result<(), StoreError> {
        sqlx::query!(
            "update reindexings
             set status = 'running', attempts = 0, error_detail = null, not_before = now()
             where knowledge_base_id = $1 and status = 'failed'",
            knowledge_base_id
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Removes some of what a discarded index holds. True when nothing is left of it, and of the re-indexing.
    pub async fn discard_some(&mut self, reindexing: Uuid, index: Uuid) -> Result<bool, StoreError> {
        let chunks = sqlx::query!(
            "delete from document_chunks
             where id in (select chunk_id from chunk_search where index_id = $1 limit $2)",
            index,
            DISCARDED_AT_ONCE
        )
        .execute(self.connection())
        .await?;
        if chunks.rows_affected() > 0 {
            return Ok(false);
        }
        sqlx::query!("delete from lexeme_stats where index_id = $1", index).execute(self.connection()).await?;
        sqlx::query!("delete from staged_embeddings where index_id = $1", index).execute(self.connection()).await?;
        sqlx::query!("delete from reindexings where id = $1", reindexing).execute(self.connection()).await?;
        Ok(true)
    }
}
