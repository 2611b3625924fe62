//! Chunks and their search rows: written with the document's new state in one transaction, so that a reader sees the
//! old version or the new one.

use std::collections::BTreeMap;

use pgvector::{HalfVector, SparseVector};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{StoreError, Workspace, documents::DocumentRow};

/// A chunk with everything search needs of it.
#[derive(Debug, Clone)]
pub struct NewChunk {
    pub content: String,
    pub page: Option<u32>,
    pub heading_path: Vec<String>,
    /// Characters of the document's text.
    pub start: usize,
    pub end: usize,
    pub token_count: usize,
    /// Distinct, without the knowledge base's prefix, free of white space.
    pub lexemes: Vec<String>,
    pub bm25: SparseVector,
    pub embedding: HalfVector,
}

/// A version of a document that is ready to be read.
#[derive(Debug)]
pub struct IndexedVersion<'a> {
    pub document: &'a DocumentRow,
    /// The short number of its knowledge base.
    pub knowledge_base_number: i32,
    pub title: &'a str,
    pub text: &'a str,
    pub page_count: Option<u32>,
    pub chunks: &'a [NewChunk],
}

/// A chunk as `GET /v1/documents/{id}/chunks` lists it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Chunk {
    pub id: Uuid,
    pub index: i32,
    pub content: String,
    pub page: Option<i32>,
    pub heading_path: Vec<String>,
    /// Offsets in characters into the document's text.
    pub start: i32,
    pub end: i32,
    pub token_count: i32,
}

/// What readers see a document called.
struct Shown {
    title: String,
    metadata: serde_json::Value,
}

/// Chunks per insert: bounds the size of one statement's arrays.
const CHUNKS_PER_INSERT: usize = 1_000;

impl Workspace {
    /// Replaces what readers see of a document by `version` and ends `worker`'s work on it. False, with nothing
    /// changed, when the document is not this worker's any more.
    pub async fn index_document(&mut self, worker: Uuid, version: &IndexedVersion<'_>) -> Result<bool, StoreError> {
        let Some(shown) = self.finish_document(worker, version).await? else { return Ok(false) };
        let id = version.document.id;
        let mut counts = self.lexeme_counts_of(id).await?;
        counts.values_mut().for_each(|count| *count = -*count);
        let removed = self.delete_contents(id).await?;
        self.insert_contents(version, &shown).await?;
        for (number, chunks) in version.chunks.chunks(CHUNKS_PER_INSERT).enumerate() {
            self.insert_chunks(version, number * CHUNKS_PER_INSERT, chunks).await?;
        }
        for lexeme in version.chunks.iter().flat_map(|chunk| &chunk.lexemes) {
            *counts.entry(lexeme.clone()).or_default() += 1;
        }
        let added = i64::try_from(version.chunks.len()).unwrap_or(i64::MAX);
        self.count_lexemes(version.document.knowledge_base_id, &counts, added - removed).await?;
        Ok(true)
    }

    /// Removes what readers see of a document, and its share of the lexeme statistics.
    pub(super) async fn remove_chunks(&mut self, knowledge_base_id: Uuid, document_id: Uuid) -> Result<(), StoreError> {
        let mut counts = self.lexeme_counts_of(document_id).await?;
        counts.values_mut().for_each(|count| *count = -*count);
        let removed = self.delete_contents(document_id).await?;
        self.count_lexemes(knowledge_base_id, &counts, -removed).await
    }

    /// What the document is called and described by now: a client may have changed it while it was worked on.
    async fn finish_document(
        &mut self,
        worker: Uuid,
        version: &IndexedVersion<'_>,
    ) -> Result<Option<Shown>, StoreError> {
        let shown = sqlx::query_as!(
            Shown,
            "update documents
             set status = 'indexed', stage = null, lease_owner = null, leased_until = null,
                 error_code = null, error_detail = null, error_retryable = null,
                 title = case when title_given then title else $3 end,
                 chunk_count = $4, page_count = $5, indexed_at = now()
             where id = $1 and lease_owner = $2 and version = $6 and deleted_at is null
             returning title, metadata",
            version.document.id,
            worker,
            version.title,
            to_i32(version.chunks.len()),
            version.page_count.and_then(|count| i32::try_from(count).ok()),
            version.document.version,
        )
        .fetch_optional(self.connection())
        .await?;
        Ok(shown)
    }

    async fn lexeme_counts_of(&mut self, document_id: Uuid) -> Result<BTreeMap<String, i64>, StoreError> {
        let rows = sqlx::query!(
            r#"select substr(l.lexeme, position(':' in l.lexeme) + 1) as "lexeme!", count(*) as "count!"
               from chunk_search s
               cross join lateral unnest(s.lexemes) l
               where s.document_id = $1
               group by 1"#,
            document_id
        )
        .fetch_all(self.connection())
        .await?;
        Ok(rows.into_iter().map(|row| (row.lexeme, row.count)).collect())
    }

    /// Returns how many chunks went.
    async fn delete_contents(&mut self, document_id: Uuid) -> Result<i64, StoreError> {
        let count =
            sqlx::query!(r#"select count(*) as "count!" from document_chunks where document_id = $1"#, document_id)
                .fetch_one(self.connection())
                .await?
                .count;
        sqlx::query!("delete from document_contents where document_id = $1", document_id)
            .execute(self.connection())
            .await?;
        Ok(count)
    }

    async fn insert_contents(&mut self, version: &IndexedVersion<'_>, shown: &Shown) -> Result<(), StoreError> {
        let (workspace_id, document) = (self.id(), version.document);
        sqlx::query!(
            "insert into document_contents
                 (document_id, workspace_id, knowledge_base_id, version, title, content_type, metadata, document_created_at, text)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            document.id,
            workspace_id,
            document.knowledge_base_id,
            document.version,
            shown.title,
            document.content_type,
            shown.metadata,
            document.created_at,
            version.text,
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn insert_chunks(
        &mut self,
        version: &IndexedVersion<'_>,
        first: usize,
        chunks: &[NewChunk],
    ) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = chunks.iter().map(|_| Uuid::now_v7()).collect();
        self.insert_chunk_rows(version.document, &ids, first, chunks).await?;
        self.insert_search_rows(version, &ids, chunks).await
    }

    async fn insert_chunk_rows(
        &mut self,
        document: &DocumentRow,
        ids: &[Uuid],
        first: usize,
        chunks: &[NewChunk],
    ) -> Result<(), StoreError> {
        let column = |of: fn(&NewChunk) -> usize| chunks.iter().map(|chunk| to_i32(of(chunk))).collect::<Vec<i32>>();
        let pages: Vec<Option<i32>> =
            chunks.iter().map(|chunk| chunk.page.and_then(|page| page.try_into().ok())).collect();
        let contents: Vec<&str> = chunks.iter().map(|chunk| chunk.content.as_str()).collect();
        // Arrays of arrays must be rectangular in PostgreSQL, so paths travel as JSON.
        let paths: Vec<serde_json::Value> = chunks.iter().map(|chunk| chunk.heading_path.clone().into()).collect();
        let indexes: Vec<i32> = (first..first + chunks.len()).map(to_i32).collect();
        sqlx::query(
            "insert into document_chunks
                 (id, workspace_id, knowledge_base_id, document_id, index, content, page, heading_path, start_offset, end_offset, token_count)
             select c.id, $1, $2, $3, c.index, c.content, c.page, array(select jsonb_array_elements_text(c.path)),
                    c.start_offset, c.end_offset, c.token_count
             from unnest($4::uuid[], $5::int[], $6::text[], $7::int[], $8::jsonb[], $9::int[], $10::int[], $11::int[])
                  as c (id, index, content, page, path, start_offset, end_offset, token_count)",
        )
        .bind(self.id())
        .bind(document.knowledge_base_id)
        .bind(document.id)
        .bind(ids)
        .bind(indexes)
        .bind(contents)
        .bind(pages)
        .bind(paths)
        .bind(column(|chunk| chunk.start))
        .bind(column(|chunk| chunk.end))
        .bind(column(|chunk| chunk.token_count))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn insert_search_rows(
        &mut self,
        version: &IndexedVersion<'_>,
        ids: &[Uuid],
        chunks: &[NewChunk],
    ) -> Result<(), StoreError> {
        let number = version.knowledge_base_number;
        let prefixed = |chunk: &NewChunk| {
            chunk.lexemes.iter().map(|lexeme| format!("{number}:{lexeme}")).collect::<Vec<_>>().join(" ")
        };
        sqlx::query(
            "insert into chunk_search (chunk_id, workspace_id, knowledge_base_id, document_id, lexemes, bm25, embedding)
             select c.id, $1, $2, $3, array_to_tsvector(string_to_array(c.lexemes, ' ')), c.bm25, c.embedding
             from unnest($4::uuid[], $5::text[], $6::sparsevec[], $7::halfvec[]) as c (id, lexemes, bm25, embedding)",
        )
        .bind(self.id())
        .bind(version.document.knowledge_base_id)
        .bind(version.document.id)
        .bind(ids)
        .bind(chunks.iter().map(prefixed).collect::<Vec<_>>())
        .bind(chunks.iter().map(|chunk| &chunk.bm25).collect::<Vec<_>>())
        .bind(chunks.iter().map(|chunk| &chunk.embedding).collect::<Vec<_>>())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Adds to the statistics that the inverse document frequency comes from. Last in its transaction and in the order
    /// of the lexemes: concurrent documents share these rows, and so neither wait long nor deadlock.
    async fn count_lexemes(
        &mut self,
        knowledge_base_id: Uuid,
        counts: &BTreeMap<String, i64>,
        chunks: i64,
    ) -> Result<(), StoreError> {
        let changed: Vec<(&String, &i64)> = counts.iter().filter(|(_, count)| **count != 0).collect();
        let workspace_id = self.id();
        sqlx::query(
            "insert into lexeme_stats as stats (workspace_id, knowledge_base_id, lexeme, chunk_count)
             select $1, $2, c.lexeme, c.count
             from unnest($3::text[], $4::bigint[]) with ordinality as c (lexeme, count, position)
             order by c.position
             on conflict (knowledge_base_id, lexeme) do update set chunk_count = stats.chunk_count + excluded.chunk_count",
        )
        .bind(workspace_id)
        .bind(knowledge_base_id)
        .bind(changed.iter().map(|(lexeme, _)| lexeme.as_str()).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, count)| **count).collect::<Vec<_>>())
        .execute(self.connection())
        .await?;
        // A word that no chunk holds any more leaves no trace: it may have been purged for a reason.
        let gone: Vec<String> =
            changed.iter().filter(|(_, count)| **count < 0).map(|(lexeme, _)| (*lexeme).clone()).collect();
        sqlx::query!(
            "delete from lexeme_stats where knowledge_base_id = $1 and lexeme = any ($2) and chunk_count <= 0",
            knowledge_base_id,
            &gone
        )
        .execute(self.connection())
        .await?;
        sqlx::query!(
            "update knowledge_bases set chunk_count = chunk_count + $2 where id = $1",
            knowledge_base_id,
            chunks
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// In the order of the text, from `after` on (an index).
    pub async fn chunks(
        &mut self,
        document_id: Uuid,
        after: Option<i32>,
        limit: i64,
    ) -> Result<Vec<Chunk>, StoreError> {
        let chunks = sqlx::query_as!(
            Chunk,
            r#"select id, index, content, page, heading_path, start_offset as "start!", end_offset as "end!", token_count
               from document_chunks
               where document_id = $1 and ($2::int is null or index > $2)
               order by index
               limit $3"#,
            document_id,
            after,
            limit
        )
        .fetch_all(self.connection())
        .await?;
        Ok(chunks)
    }
}

fn to_i32(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
