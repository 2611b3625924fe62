//! Batches: the files that were uploaded together, in one request or one by one, and what became of each.
//!
//! Every uploaded file is a row of `batch_documents` for ever, so that the counts of a batch always add up to its total.
//! A file stands for the version of its document that it made or found; once that is replaced or deleted, the batch
//! says so and no longer counts the document's state.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    StoreError, Workspace,
    documents::{DocumentRow, DocumentStatus, Listed},
    knowledge_bases::DocumentCounts,
};

/// `total` = the four of `document_counts` + `superseded` + `deleted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Batch {
    pub id: Uuid,
    pub knowledge_base_id: Uuid,
    /// Whether files may still be added.
    pub open: bool,
    /// Files by the state of their document.
    pub document_counts: DocumentCounts,
    /// Files whose bytes were here already; their documents are counted by state as well.
    pub unchanged: i64,
    /// Files that a later upload has replaced.
    pub superseded: i64,
    /// Files whose document was deleted or purged.
    pub deleted: i64,
    /// Files uploaded into this batch.
    pub total: i64,
    /// Whether the batch is closed and every document in a terminal state.
    pub done: bool,
    pub created_at: DateTime<Utc>,
}

/// A file of a batch with its document.
#[derive(Debug, FromRow)]
pub struct BatchDocument {
    /// Of the file, not of its document.
    pub file_id: Uuid,
    pub unchanged: bool,
    #[sqlx(flatten)]
    pub document: DocumentRow,
}

/// The version of a document that an upload made, or found unchanged.
pub(super) struct InBatch {
    pub document: Uuid,
    pub version: i32,
    pub unchanged: bool,
}

/// What a cancelled document fails with.
const CANCELLED: &str = "cancelled";
const CANCELLED_DETAIL: &str = "the batch was cancelled before this file was ingested";

impl Workspace {
    /// A new batch to which files may be added until it is closed.
    pub async fn create_batch(&mut self, knowledge_base_id: Uuid) -> Result<Batch, StoreError> {
        let (id, workspace_id) = (Uuid::now_v7(), self.id());
        sqlx::query!(
            "insert into batches (id, workspace_id, knowledge_base_id) values ($1, $2, $3)",
            id,
            workspace_id,
            knowledge_base_id
        )
        .execute(self.connection())
        .await?;
        self.batch(id).await
    }

    /// Enters batch `id` for an upload: one that does not exist yet is made, closed to all others. False: it is closed.
    /// An open one cannot be closed before this transaction ends.
    pub async fn enter_batch(&mut self, id: Uuid, knowledge_base_id: Uuid) -> Result<bool, StoreError> {
        let workspace_id = self.id();
        let made = sqlx::query!(
            "insert into batches (id, workspace_id, knowledge_base_id, closed_at)
             values ($1, $2, $3, now())
             on conflict (id) do nothing",
            id,
            workspace_id,
            knowledge_base_id
        )
        .execute(self.connection())
        .await?;
        Ok(made.rows_affected() == 1 || self.batch_is_open(id, knowledge_base_id).await?)
    }

    /// Whether files may be added to batch `id` of this knowledge base; that stays so until the transaction ends.
    pub async fn batch_is_open(&mut self, id: Uuid, knowledge_base_id: Uuid) -> Result<bool, StoreError> {
        let row = sqlx::query!(
            r#"select closed_at is null as "open!" from batches where id = $1 and knowledge_base_id = $2 for share"#,
            id,
            knowledge_base_id
        )
        .fetch_one(self.connection())
        .await?;
        Ok(row.open)
    }

    /// Notes what the uploads of a request into batch `id` became, in order.
    pub(super) async fn add_to_batch(&mut self, id: Uuid, files: &[InBatch]) -> Result<(), StoreError> {
        sqlx::query(
            "insert into batch_documents (workspace_id, batch_id, id, document_id, version, unchanged)
             select $1, $2, f.*
             from unnest($3::uuid[], $4::uuid[], $5::integer[], $6::boolean[]) f",
        )
        .bind(self.id())
        .bind(id)
        .bind(files.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>())
        .bind(files.iter().map(|file| file.document).collect::<Vec<_>>())
        .bind(files.iter().map(|file| file.version).collect::<Vec<_>>())
        .bind(files.iter().map(|file| file.unchanged).collect::<Vec<_>>())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Puts a failed document back into the queue for batch `id`.
    pub(super) async fn retry_in_batch(&mut self, document: Uuid, id: Uuid) -> Result<DocumentRow, StoreError> {
        sqlx::query!("update documents set batch_id = $2 where id = $1", document, id)
            .execute(self.connection())
            .await?;
        self.retry_document(document).await
    }

    pub async fn has_batch(&mut self, id: Uuid) -> Result<bool, StoreError> {
        let found = sqlx::query!("select id from batches where id = $1", id).fetch_optional(self.connection()).await?;
        Ok(found.is_some())
    }

    pub async fn batch(&mut self, id: Uuid) -> Result<Batch, StoreError> {
        let row = sqlx::query!(
            r#"select b.id, b.knowledge_base_id, b.created_at, b.closed_at is null as "open!",
                      c.uploaded as "uploaded!", c.processing as "processing!", c.indexed as "indexed!",
                      c.failed as "failed!", c.unchanged as "unchanged!", c.superseded as "superseded!",
                      c.deleted as "deleted!", c.total as "total!"
               from batches b
               cross join lateral (
                   select count(*) filter (where f.status = 'uploaded') as uploaded,
                          count(*) filter (where f.status = 'processing') as processing,
                          count(*) filter (where f.status = 'indexed') as indexed,
                          count(*) filter (where f.status = 'failed') as failed,
                          count(*) filter (where f.unchanged) as unchanged,
                          count(*) filter (where f.status = 'superseded') as superseded,
                          count(*) filter (where f.status = 'deleted') as deleted,
                          count(*) as total
                   from (
                       select bd.unchanged,
                              -- Most documents are this batch's own still, and one index holds those together; the
                              -- others are looked up one by one.
                              case
                                  when own.version = bd.version and own.deleted_at is null then own.status
                                  else coalesce((
                                      select case when d.version = bd.version then d.status else 'superseded' end
                                      from documents d
                                      where d.id = bd.document_id and d.deleted_at is null
                                  ), 'deleted')
                              end as status
                       from batch_documents bd
                       left join documents own on own.batch_id = bd.batch_id and own.id = bd.document_id
                       where bd.batch_id = b.id
                   ) f
               ) c
               where b.id = $1"#,
            id
        )
        .fetch_one(self.connection())
        .await?;
        let document_counts = DocumentCounts {
            uploaded: row.uploaded,
            processing: row.processing,
            indexed: row.indexed,
            failed: row.failed,
        };
        Ok(Batch {
            id: row.id,
            knowledge_base_id: row.knowledge_base_id,
            open: row.open,
            document_counts,
            unchanged: row.unchanged,
            superseded: row.superseded,
            deleted: row.deleted,
            total: row.total,
            done: !row.open && row.uploaded + row.processing == 0,
            created_at: row.created_at,
        })
    }

    /// The files that `document_counts` counts, newest first, from `after` (a file) on.
    pub async fn batch_documents(
        &mut self,
        id: Uuid,
        listed: Listed,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<BatchDocument>, StoreError> {
        let rows = sqlx::query_as(
            "select d.*, bd.id as file_id, bd.unchanged
             from batch_documents bd
             join documents d on d.id = bd.document_id and d.workspace_id = bd.workspace_id and d.version = bd.version
             where bd.batch_id = $1
               and (d.deleted_at is not null) = $5
               and ($2::text is null or d.status = $2)
               and ($3::uuid is null or bd.id < $3)
             order by bd.id desc
             limit $4",
        )
        .bind(id)
        .bind(listed.status.map(DocumentStatus::as_str))
        .bind(after)
        .bind(limit)
        .bind(listed.deleted)
        .fetch_all(self.connection())
        .await?;
        Ok(rows)
    }

    /// Lets no more files in; closing again changes nothing.
    pub async fn close_batch(&mut self, id: Uuid) -> Result<Batch, StoreError> {
        self.shut_batch(id).await?;
        self.batch(id).await
    }

    /// Closes a batch and fails what it put into the queue, also what is being worked on. Documents that it found in the
    /// queue of another batch stay there, and readers keep the version they have.
    pub async fn cancel_batch(&mut self, id: Uuid) -> Result<Batch, StoreError> {
        let knowledge_base_id = self.shut_batch(id).await?;
        // Uploads replace documents in an order of their own: under their locks neither waits for the other's rows.
        self.lock_all_uploads(knowledge_base_id).await?;
        sqlx::query!(
            "update documents
             set status = 'failed', stage = null, lease_owner = null, leased_until = null,
                 error_code = $2, error_detail = $3, error_retryable = true
             where batch_id = $1 and status in ('uploaded', 'processing')",
            id,
            CANCELLED,
            CANCELLED_DETAIL
        )
        .execute(self.connection())
        .await?;
        self.batch(id).await
    }

    /// Waits for uploads that have entered. Returns the batch's knowledge base.
    async fn shut_batch(&mut self, id: Uuid) -> Result<Uuid, StoreError> {
        let row = sqlx::query!(
            "update batches set closed_at = coalesce(closed_at, now()) where id = $1 returning knowledge_base_id",
            id
        )
        .fetch_one(self.connection())
        .await?;
        Ok(row.knowledge_base_id)
    }

    /// The documents with these ids, in no order.
    pub async fn documents_by_id(&mut self, ids: &[Uuid]) -> Result<Vec<DocumentRow>, StoreError> {
        let rows = sqlx::query_as("select * from documents where id = any ($1) and deleted_at is null")
            .bind(ids)
            .fetch_all(self.connection())
            .await?;
        Ok(rows)
    }

    /// The documents that have one of these external ids, or none and one of these hashes; in no order.
    pub async fn documents_by_name_or_bytes(
        &mut self,
        knowledge_base_id: Uuid,
        external_ids: &[&str],
        sha256: &[&[u8]],
    ) -> Result<Vec<DocumentRow>, StoreError> {
        let rows = sqlx::query_as(
            "select *
             from documents
             where knowledge_base_id = $1 and deleted_at is null and external_id = any ($2)
             union all
             select *
             from documents
             where knowledge_base_id = $1 and deleted_at is null and external_id is null and sha256 = any ($3)",
        )
        .bind(knowledge_base_id)
        .bind(external_ids)
        .bind(sha256)
        .fetch_all(self.connection())
        .await?;
        Ok(rows)
    }
}
