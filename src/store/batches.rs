//! Batches: the documents that were uploaded together, counted by status.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{StoreError, Workspace, documents::DocumentRow, knowledge_bases::DocumentCounts};

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Batch {
    pub id: Uuid,
    pub knowledge_base_id: Uuid,
    pub document_counts: DocumentCounts,
    /// Whether every document is in a terminal state.
    pub done: bool,
    pub created_at: DateTime<Utc>,
}

impl Workspace {
    /// Opens batch `id`; opening it again changes nothing.
    pub async fn open_batch(&mut self, id: Uuid, knowledge_base_id: Uuid) -> Result<(), StoreError> {
        let workspace_id = self.id();
        sqlx::query!(
            "insert into batches (id, workspace_id, knowledge_base_id) values ($1, $2, $3) on conflict (id) do nothing",
            id,
            workspace_id,
            knowledge_base_id
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    pub async fn batch(&mut self, id: Uuid) -> Result<Batch, StoreError> {
        let row = sqlx::query!(
            r#"select b.id, b.knowledge_base_id, b.created_at,
                      count(*) filter (where d.status = 'uploaded') as "uploaded!",
                      count(*) filter (where d.status = 'processing') as "processing!",
                      count(*) filter (where d.status = 'indexed') as "indexed!",
                      count(*) filter (where d.status = 'failed') as "failed!"
               from batches b
               left join documents d on d.batch_id = b.id and d.deleted_at is null
               where b.id = $1
               group by b.id"#,
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
            document_counts,
            done: row.uploaded + row.processing == 0,
            created_at: row.created_at,
        })
    }

    /// The documents with these ids, in no order.
    pub async fn documents_by_id(&mut self, ids: &[Uuid]) -> Result<Vec<DocumentRow>, StoreError> {
        let rows = sqlx::query_as("select * from documents where id = any ($1) and deleted_at is null")
            .bind(ids)
            .fetch_all(self.connection())
            .await?;
        Ok(rows)
    }
}
