//! Documents: what was uploaded, and how far its ingestion is.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{FromRow, Postgres, postgres::PgArguments, query::QueryAs};
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
    /// Puts an upload in the queue: as a new document, as a new version of one with the same `external_id`, or not at
    /// all when the bytes are here already.
    pub async fn register_upload(&mut self, upload: &Upload) -> Result<(DocumentRow, Registered), StoreError> {
        // Two uploads of the same thing at once must see each other; the lock ends with the transaction. One lock for the
        // knowledge base, so that two requests with many files cannot wait for each other.
        self.lock_uploads(upload.knowledge_base_id).await?;
        match self.find_same(upload).await? {
            None => Ok((self.insert_document(upload).await?, Registered::New)),
            Some(same) if same.sha256 != upload.sha256 => {
                Ok((self.replace_document(same.id, upload).await?, Registered::NewVersion(same.original)))
            }
            // Sent again after a failure: whoever does so wants another try, perhaps with the right password.
            Some(same) if same.status == DocumentStatus::Failed => {
                self.change_password(same.id, upload).await?;
                self.renew_document(same.id, upload).await?;
                Ok((self.retry_in_batch(same.id, upload.batch_id).await?, Registered::Renewed(same.original)))
            }
            Some(same) => Ok((self.describe_anew(same, upload).await?, Registered::Unchanged)),
        }
    }

    /// The same bytes may come with another title or other metadata; what is not said stays.
    async fn describe_anew(&mut self, same: DocumentRow, upload: &Upload) -> Result<DocumentRow, StoreError> {
        let title = Some(&upload.title).filter(|title| upload.title_given && **title != same.title);
        let is_said = upload.metadata.as_object().is_some_and(|metadata| !metadata.is_empty());
        let metadata = Some(&upload.metadata).filter(|metadata| is_said && **metadata != same.metadata);
        if title.is_none() && metadata.is_none() {
            return Ok(same);
        }
        let change = DocumentChange { title: title.cloned(), metadata: metadata.cloned() };
        self.change_document(same.id, &change).await
    }

    async fn change_password(&mut self, id: Uuid, upload: &Upload) -> Result<(), StoreError> {
        let Some(sealed) = &upload.password else { return Ok(()) };
        sqlx::query!(
            "update documents set password = $2, password_key_id = $3 where id = $1",
            id,
            sealed.bytes,
            sealed.key_id
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    pub(super) async fn lock_uploads(&mut self, knowledge_base_id: Uuid) -> Result<(), StoreError> {
        let knowledge_base = knowledge_base_id.to_string();
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", knowledge_base)
            .fetch_one(self.connection())
            .await?;
        Ok(())
    }

    async fn find_same(&mut self, upload: &Upload) -> Result<Option<DocumentRow>, StoreError> {
        let found = sqlx::query_as(
            "select *
             from documents
             where knowledge_base_id = $1
               and deleted_at is null
               and (external_id = $2 or $2 is null and sha256 = $3)
             -- Without a name the bytes are enough; a document without one is the nearest.
             order by external_id nulls first, id
             limit 1",
        )
        .bind(upload.knowledge_base_id)
        .bind(&upload.external_id)
        .bind(&upload.sha256)
        .fetch_optional(self.connection())
        .await?;
        Ok(found)
    }

    async fn insert_document(&mut self, upload: &Upload) -> Result<DocumentRow, StoreError> {
        let insert = sqlx::query_as(
            "insert into documents
                 (batch_id, title, title_given, file_name, content_type, size, sha256, original, metadata, password, password_key_id,
                  request_id, id, workspace_id, knowledge_base_id, external_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
             returning *",
        );
        let row = bind_version(insert, upload)
            .bind(Uuid::now_v7())
            .bind(self.id())
            .bind(upload.knowledge_base_id)
            .bind(&upload.external_id)
            .fetch_one(self.connection())
            .await?;
        Ok(row)
    }

    /// The same bytes again, under what they are called this time.
    async fn renew_document(&mut self, id: Uuid, upload: &Upload) -> Result<(), StoreError> {
        sqlx::query!(
            "update documents
             set original = $2, content_type = $3, file_name = $4, request_id = $5, metadata = $6,
                 title = case when title_given and not $7 then title else $8 end,
                 title_given = title_given or $7
             where id = $1",
            id,
            upload.original,
            upload.content_type,
            upload.file_name,
            upload.request_id,
            upload.metadata,
            upload.title_given,
            upload.title
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// The old version stays searchable until the new one is indexed.
    async fn replace_document(&mut self, id: Uuid, upload: &Upload) -> Result<DocumentRow, StoreError> {
        let replace = sqlx::query_as(
            "update documents
             set batch_id = $1, title = $2, title_given = $3, file_name = $4, content_type = $5, size = $6, sha256 = $7,
                 original = $8, metadata = $9, password = $10, password_key_id = $11, request_id = $12,
                 version = version + 1,
                 status = 'uploaded', stage = null, attempts = 0, waits = 0, lease_owner = null, leased_until = null,
                 not_before = now(), queued_at = now(), error_code = null, error_detail = null, error_retryable = null
             where id = $13
             returning *",
        );
        Ok(bind_version(replace, upload).bind(id).fetch_one(self.connection()).await?)
    }

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

type ReturningDocument<'q> = QueryAs<'q, Postgres, DocumentRow, PgArguments>;

/// What every version brings: $1 to $12.
fn bind_version<'q>(query: ReturningDocument<'q>, upload: &'q Upload) -> ReturningDocument<'q> {
    query
        .bind(upload.batch_id)
        .bind(&upload.title)
        .bind(upload.title_given)
        .bind(&upload.file_name)
        .bind(&upload.content_type)
        .bind(upload.size)
        .bind(&upload.sha256)
        .bind(upload.original)
        .bind(&upload.metadata)
        .bind(upload.password.as_ref().map(|sealed| &sealed.bytes))
        .bind(upload.password.as_ref().map(|sealed| &sealed.key_id))
        .bind(&upload.request_id)
}
