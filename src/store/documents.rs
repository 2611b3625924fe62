//! Documents: what was uploaded, and how far its ingestion is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Sealed, StoreError, Workspace};

/// A document as the API shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Document {
    pub id: Uuid,
    pub knowledge_base_id: Uuid,
    pub batch_id: Uuid,
    pub external_id: Option<String>,
    pub title: String,
    pub content_type: String,
    /// Bytes as uploaded.
    pub size: i64,
    /// Hex digits of the SHA-256 of the uploaded bytes.
    pub sha256: String,
    pub version: i32,
    pub status: DocumentStatus,
    /// What is being done while `processing`: claimed, extracting, chunking, embedding, storing.
    pub stage: Option<String>,
    /// How far a long document's embedding is.
    pub progress: Option<Progress>,
    pub chunk_count: i32,
    pub page_count: Option<i32>,
    pub error: Option<DocumentError>,
    /// What of the document could not be read, in words.
    pub warnings: Vec<String>,
    pub attempts: i32,
    #[schema(value_type = Object)]
    pub metadata: Value,
    /// True in the answer to an upload of bytes that were here already.
    pub unchanged: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub indexed_at: Option<DateTime<Utc>>,
    pub deleted_at: Option<DateTime<Utc>>,
}

/// `indexed` and `failed` are terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum DocumentStatus {
    Uploaded,
    Processing,
    Indexed,
    Failed,
}

/// Chunks of the version that is being embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Progress {
    pub done: i32,
    pub total: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DocumentError {
    pub code: String,
    pub detail: String,
    pub retryable: bool,
}

/// A row of `documents`.
#[derive(Debug, Clone, FromRow)]
pub struct DocumentRow {
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub knowledge_base_id: Uuid,
    pub batch_id: Uuid,
    pub external_id: Option<String>,
    pub title: String,
    /// Whether the client chose the title; else the text's own replaces it.
    pub title_given: bool,
    pub file_name: Option<String>,
    pub content_type: String,
    pub size: i64,
    pub sha256: Vec<u8>,
    /// Names the file that holds the bytes.
    pub original: Uuid,
    pub version: i32,
    pub metadata: Value,
    /// What opens the file, sealed for the knowledge base, and with which key.
    pub password: Option<Vec<u8>>,
    pub password_key_id: Option<String>,
    pub warnings: Vec<String>,
    /// Of the request that uploaded it.
    pub request_id: Option<String>,
    pub status: DocumentStatus,
    pub stage: Option<String>,
    pub chunks_embedded: Option<i32>,
    pub chunks_to_embed: Option<i32>,
    pub attempts: i32,
    /// Those of the attempts that ended for want of what is not the document's.
    pub waits: i32,
    pub error_code: Option<String>,
    pub error_detail: Option<String>,
    pub error_retryable: Option<bool>,
    pub page_count: Option<i32>,
    pub chunk_count: i32,
    pub deleted_at: Option<DateTime<Utc>>,
    pub indexed_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// An upload whose bytes are safe already.
#[derive(Debug, Clone)]
pub struct Upload {
    pub knowledge_base_id: Uuid,
    pub batch_id: Uuid,
    pub external_id: Option<String>,
    pub title: String,
    /// Whether the client chose the title; else the text's own replaces it.
    pub title_given: bool,
    pub file_name: Option<String>,
    pub content_type: String,
    pub size: i64,
    pub sha256: Vec<u8>,
    pub original: Uuid,
    pub metadata: Value,
    /// What opens the file, sealed for the knowledge base.
    pub password: Option<Sealed>,
    pub request_id: String,
}

/// What an upload turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    New,
    /// The same `external_id` with other bytes; holds the original that nobody needs any more.
    NewVersion(Uuid),
    /// The same bytes again: the new original is not needed.
    Unchanged,
    /// The same bytes again after a failure, which may have been that of the old original: holds it, since nobody needs it
    /// any more.
    Renewed(Uuid),
}

/// Which documents a list is of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Listed {
    /// `None`: of any.
    pub status: Option<DocumentStatus>,
    /// Those that are deleted and not purged, instead of the others.
    pub deleted: bool,
}

#[derive(Debug, Clone, Default)]
pub struct DocumentChange {
    pub title: Option<String>,
    pub metadata: Option<Value>,
}

impl DocumentRow {
    /// What is left of an earlier attempt says nothing.
    fn progress(&self) -> Option<Progress> {
        let is_embedding = self.status == DocumentStatus::Processing && self.stage.as_deref() == Some("embedding");
        let (done, total) = self.chunks_embedded.zip(self.chunks_to_embed).filter(|_| is_embedding)?;
        Some(Progress { done, total })
    }

    pub fn into_document(self, unchanged: bool) -> Document {
        let progress = self.progress();
        let error = self.error_code.map(|code| DocumentError {
            code,
            detail: self.error_detail.unwrap_or_default(),
            retryable: self.error_retryable.unwrap_or(false),
        });
        Document {
            id: self.id,
            knowledge_base_id: self.knowledge_base_id,
            batch_id: self.batch_id,
            external_id: self.external_id,
            title: self.title,
            content_type: self.content_type,
            size: self.size,
            sha256: hex::encode(&self.sha256),
            version: self.version,
            status: self.status,
            stage: self.stage,
            progress,
            chunk_count: self.chunk_count,
            page_count: self.page_count,
            error,
            warnings: self.warnings,
            attempts: self.attempts,
            metadata: self.metadata,
            unchanged,
            created_at: self.created_at,
            updated_at: self.updated_at,
            indexed_at: self.indexed_at,
            deleted_at: self.deleted_at,
        }
    }
}

impl DocumentStatus {
    pub fn is_terminal(self) -> bool {
        matches!(self, DocumentStatus::Indexed | DocumentStatus::Failed)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            DocumentStatus::Uploaded => "uploaded",
            DocumentStatus::Processing => "processing",
            DocumentStatus::Indexed => "indexed",
            DocumentStatus::Failed => "failed",
        }
    }
}

impl Workspace {
    /// A document that is not deleted.
    pub async fn document(&mut self, id: Uuid) -> Result<DocumentRow, StoreError> {
        let row = sqlx::query_as("select * from documents where id = $1 and deleted_at is null")
            .bind(id)
            .fetch_one(self.connection())
            .await?;
        Ok(row)
    }

    /// Newest first, from `after` on.
    pub async fn documents(
        &mut self,
        knowledge_base_id: Uuid,
        listed: Listed,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<DocumentRow>, StoreError> {
        let rows = sqlx::query_as(
            "select *
             from documents
             where knowledge_base_id = $1
               and (deleted_at is not null) = $5
               and ($2::text is null or status = $2)
               and ($3::uuid is null or id < $3)
             order by id desc
             limit $4",
        )
        .bind(knowledge_base_id)
        .bind(listed.status.map(DocumentStatus::as_str))
        .bind(after)
        .bind(limit)
        .bind(listed.deleted)
        .fetch_all(self.connection())
        .await?;
        Ok(rows)
    }

    /// Changes title and metadata, for the document and for what search shows of it.
    pub async fn change_document(&mut self, id: Uuid, change: &DocumentChange) -> Result<DocumentRow, StoreError> {
        sqlx::query!(
            "update documents
             set title = coalesce($2, title), title_given = title_given or $2 is not null, metadata = coalesce($3, metadata)
             where id = $1 and deleted_at is null
             returning id",
            id,
            change.title,
            change.metadata,
        )
        .fetch_one(self.connection())
        .await?;
        sqlx::query!(
            "update document_contents set title = coalesce($2, title), metadata = coalesce($3, metadata) where document_id = $1",
            id,
            change.title,
            change.metadata,
        )
        .execute(self.connection())
        .await?;
        self.document(id).await
    }

    /// Hides a document from every list and search at once, and takes it out of its worker's hands; its rows stay until it
    /// is purged.
    pub async fn delete_document(&mut self, id: Uuid) -> Result<(), StoreError> {
        sqlx::query!(
            "update documents
             set deleted_at = now(), lease_owner = null, leased_until = null, stage = null,
                 status = case status when 'processing' then 'uploaded' else status end
             where id = $1 and deleted_at is null
             returning id",
            id
        )
        .fetch_one(self.connection())
        .await?;
        self.hide_contents(id, true).await
    }

    /// Takes a soft delete back. Another document may have taken its place meanwhile: then it is a conflict.
    pub async fn restore_document(&mut self, id: Uuid) -> Result<DocumentRow, StoreError> {
        sqlx::query!(
            "update documents set deleted_at = null where id = $1 and deleted_at is not null returning id",
            id
        )
        .fetch_one(self.connection())
        .await?;
        self.hide_contents(id, false).await?;
        self.document(id).await
    }

    async fn hide_contents(&mut self, id: Uuid, hidden: bool) -> Result<(), StoreError> {
        sqlx::query!("update document_contents set hidden = $2 where document_id = $1", id, hidden)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Removes every row of a document, deleted or not. Returns its knowledge base and the original that is the caller's
    /// to remove.
    pub async fn purge_document(&mut self, id: Uuid) -> Result<(Uuid, Uuid), StoreError> {
        let place = sqlx::query!("select knowledge_base_id from documents where id = $1", id)
            .fetch_one(self.connection())
            .await?;
        // Before any row: a switch to another index takes this first and documents later.
        self.hold_index(place.knowledge_base_id).await?;
        let document = sqlx::query!("select knowledge_base_id, original from documents where id = $1 for update", id)
            .fetch_one(self.connection())
            .await?;
        self.remove_chunks(id).await?;
        sqlx::query!("delete from documents where id = $1", id).execute(self.connection()).await?;
        Ok((document.knowledge_base_id, document.original))
    }

    /// Puts a document back into the queue, with its attempts forgotten. One that is being worked on is left alone.
    pub async fn retry_document(&mut self, id: Uuid) -> Result<DocumentRow, StoreError> {
        sqlx::query!(
            "update documents
             set status = 'uploaded', stage = null, attempts = 0, waits = 0, not_before = now(), queued_at = now(),
                 error_code = null, error_detail = null, error_retryable = null
             where id = $1 and deleted_at is null and status <> 'processing'",
            id
        )
        .execute(self.connection())
        .await?;
        self.document(id).await
    }

    /// The extracted text that offsets refer to.
    pub async fn document_text(&mut self, id: Uuid) -> Result<String, StoreError> {
        let row = sqlx::query!("select text from document_contents where document_id = $1 and not hidden", id)
            .fetch_one(self.connection())
            .await?;
        Ok(row.text)
    }
}
