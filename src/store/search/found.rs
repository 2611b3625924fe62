//! What found chunks say, and what stands beside them.

use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use crate::store::{StoreError, Workspace};

/// A found chunk with what its document shows.
#[derive(Debug, Clone, FromRow)]
pub struct FoundChunk {
    pub chunk_id: Uuid,
    pub document_id: Uuid,
    pub knowledge_base_id: Uuid,
    pub title: String,
    pub content: String,
    pub page: Option<i32>,
    pub heading_path: Vec<String>,
    pub start: i32,
    pub end: i32,
    pub language: String,
    pub metadata: Value,
}

/// A chunk beside a found one.
#[derive(Debug, Clone, FromRow)]
pub struct Neighbour {
    /// The found one.
    pub of: Uuid,
    /// How many chunks behind it, or before where negative.
    pub distance: i32,
    pub chunk_id: Uuid,
    pub content: String,
    pub page: Option<i32>,
    pub start: i32,
    pub end: i32,
}

impl Workspace {
    /// The chunks with these ids, in no order; chunks that are gone meanwhile are left out.
    pub async fn found_chunks(&mut self, ids: &[Uuid]) -> Result<Vec<FoundChunk>, StoreError> {
        let rows = sqlx::query_as(
            r#"select k.id as chunk_id, k.document_id, k.knowledge_base_id, c.title, k.content, k.page, k.heading_path,
                      k.start_offset as start, k.end_offset as "end", c.language, c.metadata
               from document_chunks k
               join document_contents c on c.document_id = k.document_id
               where k.id = any ($1) and not c.hidden"#,
        )
        .bind(ids)
        .fetch_all(self.connection())
        .await?;
        Ok(rows)
    }

    /// The chunks within `distance` of each of these in their documents, in the order of the text.
    pub async fn neighbours(&mut self, ids: &[Uuid], distance: i32) -> Result<Vec<Neighbour>, StoreError> {
        let rows = sqlx::query_as(
            r#"select k.id as of, n.index - k.index as distance, n.id as chunk_id, n.content, n.page,
                      n.start_offset as start, n.end_offset as "end"
               from document_chunks k
               join document_chunks n
                 on n.document_id = k.document_id and n.index_id = k.index_id
                and n.index between k.index - $2 and k.index + $2 and n.index <> k.index
               where k.id = any ($1)
               order by k.id, n.index"#,
        )
        .bind(ids)
        .bind(distance)
        .fetch_all(self.connection())
        .await?;
        Ok(rows)
    }
}
