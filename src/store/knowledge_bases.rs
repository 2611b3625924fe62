//! Knowledge bases: sets of documents that are searched together, with one embedding model each.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    StoreError, Workspace,
    chunks::SearchIndex,
    reindexings::{IndexPlan, Reindexing},
};

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KnowledgeBase {
    pub id: Uuid,
    /// What searches read.
    #[serde(skip)]
    pub index: SearchIndex,
    pub name: String,
    pub description: Option<String>,
    /// Tokens of the embedding model.
    pub chunk_size: i32,
    pub chunk_overlap: i32,
    pub embedding_model: String,
    pub dimensions: i32,
    /// "auto": found document by document.
    pub language: String,
    /// Those that its documents have.
    pub languages: Vec<String>,
    pub fusion_weight: f32,
    pub collapse_duplicates: bool,
    #[schema(value_type = Object)]
    pub metadata: Value,
    pub document_counts: DocumentCounts,
    pub chunk_count: i64,
    /// What serves vector search: `exact`, or `hnsw` once there are so many chunks that a graph is quicker.
    pub vector_index: String,
    /// Bytes of the uploaded documents.
    pub storage_bytes: i64,
    /// The change of embedding model or chunk size that is under way; searches go on as before until it is done.
    pub reindexing: Option<Reindexing>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct DocumentCounts {
    pub uploaded: i64,
    pub processing: i64,
    pub indexed: i64,
    pub failed: i64,
}

#[derive(Debug, Clone)]
pub struct NewKnowledgeBase {
    pub name: String,
    pub description: Option<String>,
    pub index: IndexPlan,
    pub collapse_duplicates: bool,
    pub metadata: Value,
}

/// What may change; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct KnowledgeBaseChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub fusion_weight: Option<f32>,
    pub collapse_duplicates: Option<bool>,
    pub metadata: Option<Value>,
}

impl KnowledgeBase {
    /// How it is searched.
    pub fn plan(&self) -> IndexPlan {
        IndexPlan {
            embedding_model: self.embedding_model.clone(),
            dimensions: self.dimensions,
            chunk_size: self.chunk_size,
            chunk_overlap: self.chunk_overlap,
            language: self.language.clone(),
        }
    }

    /// What it is on its way to, else how it is searched.
    pub fn aim(&self) -> IndexPlan {
        self.reindexing.as_ref().map_or_else(|| self.plan(), |reindexing| reindexing.plan.clone())
    }
}

impl Workspace {
    pub async fn create_knowledge_base(&mut self, new: &NewKnowledgeBase) -> Result<KnowledgeBase, StoreError> {
        let (id, workspace_id) = (Uuid::now_v7(), self.id());
        sqlx::query!(
            "insert into knowledge_bases
                 (id, workspace_id, name, description, chunk_size, chunk_overlap, embedding_model, dimensions, language,
                  collapse_duplicates, metadata, index_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            id,
            workspace_id,
            new.name,
            new.description,
            new.index.chunk_size,
            new.index.chunk_overlap,
            new.index.embedding_model,
            new.index.dimensions,
            new.index.language,
            new.collapse_duplicates,
            new.metadata,
            Uuid::now_v7(),
        )
        .execute(self.connection())
        .await?;
        self.knowledge_base(id).await
    }

    pub async fn knowledge_base(&mut self, id: Uuid) -> Result<KnowledgeBase, StoreError> {
        self.shown_knowledge_bases(Some(&[id]), None, 1).await?.pop().ok_or(StoreError::NotFound)
    }

    /// As [`Workspace::knowledge_base`], without counting its documents.
    pub async fn find_knowledge_base(&mut self, id: Uuid) -> Result<KnowledgeBase, StoreError> {
        self.select_knowledge_bases(Some(&[id]), None, 1, false).await?.pop().ok_or(StoreError::NotFound)
    }

    /// For searching and ingesting: those with these ids, or all, without counting their documents.
    pub async fn searched_knowledge_bases(
        &mut self,
        ids: Option<&[Uuid]>,
        limit: i64,
    ) -> Result<Vec<KnowledgeBase>, StoreError> {
        self.select_knowledge_bases(ids, None, limit, false).await
    }

    /// Newest first, from `after` on.
    pub async fn knowledge_bases(&mut self, after: Option<Uuid>, limit: i64) -> Result<Vec<KnowledgeBase>, StoreError> {
        self.shown_knowledge_bases(None, after, limit).await
    }

    async fn shown_knowledge_bases(
        &mut self,
        ids: Option<&[Uuid]>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<KnowledgeBase>, StoreError> {
        let mut shown = self.select_knowledge_bases(ids, after, limit, true).await?;
        let ids: Vec<Uuid> = shown.iter().map(|base| base.id).collect();
        for (id, reindexing) in self.reindexings(&ids).await? {
            if let Some(base) = shown.iter_mut().find(|base| base.id == id) {
                base.reindexing = Some(reindexing);
            }
        }
        Ok(shown)
    }

    async fn select_knowledge_bases(
        &mut self,
        ids: Option<&[Uuid]>,
        after: Option<Uuid>,
        limit: i64,
        counted: bool,
    ) -> Result<Vec<KnowledgeBase>, StoreError> {
        let rows = sqlx::query!(
            r#"select k.id, k.index_id, k.number, k.name, k.description, k.chunk_size, k.chunk_overlap, k.embedding_model, k.dimensions,
                      k.language, k.languages, k.fusion_weight, k.collapse_duplicates, k.metadata,
                      case when $4 then d.chunks else k.chunk_count end as "chunk_count!", k.created_at, k.updated_at,
                      d.uploaded as "uploaded!", d.processing as "processing!", d.indexed as "indexed!",
                      d.failed as "failed!", d.bytes as "bytes!",
                      case when $4 and has_hnsw(k.number) then 'hnsw' else 'exact' end as "vector_index!"
               from knowledge_bases k
               cross join lateral (
                   select count(*) filter (where status = 'uploaded') as uploaded,
                          count(*) filter (where status = 'processing') as processing,
                          count(*) filter (where status = 'indexed') as indexed,
                          count(*) filter (where status = 'failed') as failed,
                          coalesce(sum(size), 0)::bigint as bytes,
                          coalesce(sum(chunk_count), 0)::bigint as chunks
                   from documents
                   where $4::boolean and knowledge_base_id = k.id and deleted_at is null
               ) d
               where ($1::uuid[] is null or k.id = any ($1))
                 and ($2::uuid is null or k.id < $2)
               order by k.id desc
               limit $3"#,
            ids,
            after,
            limit,
            counted
        )
        .fetch_all(self.connection())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| KnowledgeBase {
                id: row.id,
                index: SearchIndex { id: row.index_id, number: row.number },
                name: row.name,
                description: row.description,
                chunk_size: row.chunk_size,
                chunk_overlap: row.chunk_overlap,
                embedding_model: row.embedding_model,
                dimensions: row.dimensions,
                language: row.language,
                languages: row.languages,
                fusion_weight: row.fusion_weight,
                collapse_duplicates: row.collapse_duplicates,
                metadata: row.metadata,
                document_counts: DocumentCounts {
                    uploaded: row.uploaded,
                    processing: row.processing,
                    indexed: row.indexed,
                    failed: row.failed,
                },
                chunk_count: row.chunk_count,
                vector_index: row.vector_index,
                storage_bytes: row.bytes,
                reindexing: None,
                created_at: row.created_at,
                updated_at: row.updated_at,
            })
            .collect())
    }

    pub async fn change_knowledge_base(
        &mut self,
        id: Uuid,
        change: &KnowledgeBaseChange,
    ) -> Result<KnowledgeBase, StoreError> {
        sqlx::query!(
            "update knowledge_bases
             set name = coalesce($2, name),
                 description = coalesce($3, description),
                 fusion_weight = coalesce($4, fusion_weight),
                 metadata = coalesce($5, metadata),
                 collapse_duplicates = coalesce($6, collapse_duplicates)
             where id = $1
             returning id",
            id,
            change.name,
            change.description,
            change.fusion_weight,
            change.metadata,
            change.collapse_duplicates,
        )
        .fetch_one(self.connection())
        .await?;
        self.knowledge_base(id).await
    }

    /// Removes a knowledge base with all its documents; the originals are the caller's to remove.
    pub async fn delete_knowledge_base(&mut self, id: Uuid) -> Result<(), StoreError> {
        // Longer than other statements may take, and within what a request may.
        sqlx::query("set local statement_timeout = '140s'").execute(self.connection()).await?;
        // Nobody indexes into it meanwhile, and whoever does already ends first.
        self.hold_index_alone(id).await?;
        sqlx::query!("delete from documents where knowledge_base_id = $1", id).execute(self.connection()).await?;
        sqlx::query!(
            "delete from lexeme_stats
             where index_id in (
                 select index_id from knowledge_bases where id = $1
                 union
                 select index_id from reindexings where knowledge_base_id = $1
                 union
                 select discarded_index_id from reindexings where knowledge_base_id = $1
             )",
            id
        )
        .execute(self.connection())
        .await?;
        sqlx::query!("delete from knowledge_bases where id = $1 returning id", id).fetch_one(self.connection()).await?;
        Ok(())
    }
}
