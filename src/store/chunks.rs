//! Chunks and their search rows: written with the document's new state in one transaction, so that a reader sees the
//! old version or the new one. Chunks belong to a search index ([`SearchIndex`]); a knowledge base points at the one
//! that is searched, and another may be filled beside it.

use std::collections::BTreeMap;

use futures::{Stream, StreamExt};
use pgvector::{HalfVector, SparseVector};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{StoreError, Workspace, documents::DocumentRow, reindexings::DocumentToReindex};

/// The chunks that a knowledge base has for one embedding model and one chunk size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchIndex {
    pub id: Uuid,
    /// Prefixes every lexeme (`7:tensor`), so that a posting list belongs to one index.
    pub number: i32,
}

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
    /// Of what was embedded: equal passages have equal vectors.
    pub passage_hash: Uuid,
    /// Distinct, without the index's prefix, free of white space.
    pub lexemes: Vec<String>,
    pub bm25: SparseVector,
    pub embedding: HalfVector,
}

/// A version of a document that is ready to be read.
#[derive(Debug)]
pub struct IndexedVersion<'a> {
    pub document: &'a DocumentRow,
    pub index: SearchIndex,
    pub title: &'a str,
    /// Whether the title is part of what was embedded.
    pub titled: bool,
    pub text: &'a str,
    pub markdown: bool,
    /// Of its lexemes.
    pub language: String,
    /// Where pages start, as JSON: kept for whoever chunks the text again.
    pub pages: Value,
    pub page_count: Option<u32>,
    pub chunk_count: usize,
    pub warnings: &'a [String],
}

/// What became of an attempt to index a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexed {
    Done,
    /// The document is not this worker's any more, or has a newer version.
    Lost,
    /// The knowledge base is searched through another index now.
    Moved,
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
    metadata: Value,
}

/// Whose chunks are written where.
struct Place {
    knowledge_base_id: Uuid,
    document_id: Uuid,
    index: SearchIndex,
}

/// How many chunks of an index have a lexeme, more or less than before.
type LexemeChanges = BTreeMap<(Uuid, String), i64>;
/// How many chunks an index has, more or less than before.
type ChunkChanges = BTreeMap<Uuid, i64>;

impl Workspace {
    /// Replaces what readers see of a document by `version`, whose chunks come in groups, and ends `worker`'s work on
    /// it. Unless it is [`Indexed::Done`], the transaction is to be dropped.
    pub async fn index_document(
        &mut self,
        worker: Uuid,
        version: &IndexedVersion<'_>,
        groups: impl Stream<Item = Result<Vec<NewChunk>, StoreError>> + Unpin,
    ) -> Result<Indexed, StoreError> {
        let document = version.document;
        if !self.is_searched(document.knowledge_base_id, version.index).await? {
            return Ok(Indexed::Moved);
        }
        let Some(shown) = self.finish_document(worker, version).await? else { return Ok(Indexed::Lost) };
        let (mut lexemes, mut chunks) = self.take_contents(document.id).await?;
        self.insert_contents(version, &shown).await?;
        let place =
            Place { knowledge_base_id: document.knowledge_base_id, document_id: document.id, index: version.index };
        self.insert_groups(&place, groups, &mut lexemes, &mut chunks).await?;
        self.unstage_embeddings(document.id).await?;
        self.count(&lexemes, &chunks).await?;
        self.add_language(document.knowledge_base_id, &version.language).await?;
        Ok(Indexed::Done)
    }

    /// Adds the chunks of a document's current version to an index that is filled beside the searched one. False, with
    /// nothing changed, when that version is gone or has its chunks already.
    pub async fn add_to_index(
        &mut self,
        document: &DocumentToReindex,
        index: SearchIndex,
        language: &str,
        groups: impl Stream<Item = Result<Vec<NewChunk>, StoreError>> + Unpin,
    ) -> Result<bool, StoreError> {
        let marked = sqlx::query!(
            "update document_contents
             set reindexed_into = $3, language = $5
             where document_id = $1 and version = $2 and created_at = $4 and reindexed_into is distinct from $3",
            document.document_id,
            document.version,
            index.id,
            document.created_at,
            language
        )
        .execute(self.connection())
        .await?;
        if marked.rows_affected() == 0 {
            return Ok(false);
        }
        let place = Place { knowledge_base_id: document.knowledge_base_id, document_id: document.document_id, index };
        let (mut lexemes, mut chunks) = (LexemeChanges::new(), ChunkChanges::new());
        self.insert_groups(&place, groups, &mut lexemes, &mut chunks).await?;
        self.unstage_embeddings(document.document_id).await?;
        self.count(&lexemes, &chunks).await?;
        self.add_language(document.knowledge_base_id, language).await?;
        Ok(true)
    }

    /// Removes what readers see of a document, and its share of the statistics.
    pub(super) async fn remove_chunks(&mut self, document_id: Uuid) -> Result<(), StoreError> {
        let (lexemes, chunks) = self.take_contents(document_id).await?;
        self.count(&lexemes, &chunks).await
    }

    /// Whether a knowledge base is searched through `index`; nobody switches it before this transaction ends.
    async fn is_searched(&mut self, knowledge_base_id: Uuid, index: SearchIndex) -> Result<bool, StoreError> {
        self.hold_index(knowledge_base_id).await?;
        let row = sqlx::query!("select index_id from knowledge_bases where id = $1", knowledge_base_id)
            .fetch_optional(self.connection())
            .await?;
        Ok(row.is_some_and(|row| row.index_id == index.id))
    }

    pub(super) async fn hold_index(&mut self, knowledge_base_id: Uuid) -> Result<(), StoreError> {
        sqlx::query!("select pg_advisory_xact_lock_shared(hashtextextended($1, 1))", knowledge_base_id.to_string())
            .fetch_one(self.connection())
            .await?;
        Ok(())
    }

    /// Waits for those who index into a knowledge base, and keeps others out until this transaction ends.
    pub(super) async fn hold_index_alone(&mut self, knowledge_base_id: Uuid) -> Result<(), StoreError> {
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 1))", knowledge_base_id.to_string())
            .fetch_one(self.connection())
            .await?;
        Ok(())
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
                 chunk_count = $4, page_count = $5, warnings = $7, indexed_at = now()
             where id = $1 and lease_owner = $2 and version = $6 and deleted_at is null
             returning title, metadata",
            version.document.id,
            worker,
            version.title,
            to_i32(version.chunk_count),
            version.page_count.and_then(|count| i32::try_from(count).ok()),
            version.document.version,
            version.warnings
        )
        .fetch_optional(self.connection())
        .await?;
        Ok(shown)
    }

    /// Deletes what readers see of a document, from every index; returns what the statistics lose by it.
    async fn take_contents(&mut self, document_id: Uuid) -> Result<(LexemeChanges, ChunkChanges), StoreError> {
        // Whoever adds chunks for another index holds this row: counted are all there will be.
        sqlx::query!("select version from document_contents where document_id = $1 for update", document_id)
            .fetch_optional(self.connection())
            .await?;
        let lexemes = sqlx::query!(
            r#"select s.index_id, substr(l.lexeme, position(':' in l.lexeme) + 1) as "lexeme!", count(*) as "count!"
               from chunk_search s
               cross join lateral unnest(s.lexemes) l
               where s.document_id = $1
               group by 1, 2"#,
            document_id
        )
        .fetch_all(self.connection())
        .await?;
        let chunks = sqlx::query!(
            r#"select index_id, count(*) as "count!" from document_chunks where document_id = $1 group by 1"#,
            document_id
        )
        .fetch_all(self.connection())
        .await?;
        sqlx::query!("delete from document_contents where document_id = $1", document_id)
            .execute(self.connection())
            .await?;
        Ok((
            lexemes.into_iter().map(|row| ((row.index_id, row.lexeme), -row.count)).collect(),
            chunks.into_iter().map(|row| (row.index_id, -row.count)).collect(),
        ))
    }

    async fn insert_contents(&mut self, version: &IndexedVersion<'_>, shown: &Shown) -> Result<(), StoreError> {
        let (workspace_id, document) = (self.id(), version.document);
        sqlx::query!(
            "insert into document_contents
                 (document_id, workspace_id, knowledge_base_id, version, title, content_type, metadata, document_created_at,
                  text, markdown, pages, language, titled)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            document.id,
            workspace_id,
            document.knowledge_base_id,
            document.version,
            shown.title,
            document.content_type,
            shown.metadata,
            document.created_at,
            version.text,
            version.markdown,
            version.pages,
            version.language,
            version.titled,
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn insert_groups(
        &mut self,
        place: &Place,
        mut groups: impl Stream<Item = Result<Vec<NewChunk>, StoreError>> + Unpin,
        lexemes: &mut LexemeChanges,
        chunks: &mut ChunkChanges,
    ) -> Result<(), StoreError> {
        let mut first = 0;
        while let Some(group) = groups.next().await.transpose()? {
            let ids: Vec<Uuid> = group.iter().map(|_| Uuid::now_v7()).collect();
            self.insert_chunk_rows(place, &ids, first, &group).await?;
            self.insert_search_rows(place, &ids, &group).await?;
            first += group.len();
            for lexeme in group.into_iter().flat_map(|chunk| chunk.lexemes) {
                *lexemes.entry((place.index.id, lexeme)).or_default() += 1;
            }
        }
        *chunks.entry(place.index.id).or_default() += i64::try_from(first).unwrap_or(i64::MAX);
        Ok(())
    }

    async fn insert_chunk_rows(
        &mut self,
        place: &Place,
        ids: &[Uuid],
        first: usize,
        chunks: &[NewChunk],
    ) -> Result<(), StoreError> {
        let column = |of: fn(&NewChunk) -> usize| chunks.iter().map(|chunk| to_i32(of(chunk))).collect::<Vec<i32>>();
        let pages: Vec<Option<i32>> =
            chunks.iter().map(|chunk| chunk.page.and_then(|page| page.try_into().ok())).collect();
        let contents: Vec<&str> = chunks.iter().map(|chunk| chunk.content.as_str()).collect();
        // Arrays of arrays must be rectangular in PostgreSQL, so paths travel as JSON.
        let paths: Vec<Value> = chunks.iter().map(|chunk| chunk.heading_path.clone().into()).collect();
        let indexes: Vec<i32> = (first..first + chunks.len()).map(to_i32).collect();
        sqlx::query(
            "insert into document_chunks
                 (id, workspace_id, knowledge_base_id, document_id, index_id, index, content, page, heading_path,
                  start_offset, end_offset, token_count)
             select c.id, $1, $2, $3, $4, c.index, c.content, c.page, array(select jsonb_array_elements_text(c.path)),
                    c.start_offset, c.end_offset, c.token_count
             from unnest($5::uuid[], $6::int[], $7::text[], $8::int[], $9::jsonb[], $10::int[], $11::int[], $12::int[])
                  as c (id, index, content, page, path, start_offset, end_offset, token_count)",
        )
        .bind(self.id())
        .bind(place.knowledge_base_id)
        .bind(place.document_id)
        .bind(place.index.id)
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

    async fn insert_search_rows(&mut self, place: &Place, ids: &[Uuid], chunks: &[NewChunk]) -> Result<(), StoreError> {
        let number = place.index.number;
        let prefixed = |chunk: &NewChunk| {
            chunk.lexemes.iter().map(|lexeme| format!("{number}:{lexeme}")).collect::<Vec<_>>().join(" ")
        };
        sqlx::query(
            "insert into chunk_search
                 (chunk_id, workspace_id, index_id, document_id, passage_hash, lexemes, bm25, embedding)
             select c.id, $1, $2, $3, c.hash, array_to_tsvector(string_to_array(c.lexemes, ' ')), c.bm25, c.embedding
             from unnest($4::uuid[], $5::uuid[], $6::text[], $7::sparsevec[], $8::halfvec[])
                  as c (id, hash, lexemes, bm25, embedding)",
        )
        .bind(self.id())
        .bind(place.index.id)
        .bind(place.document_id)
        .bind(ids)
        .bind(chunks.iter().map(|chunk| chunk.passage_hash).collect::<Vec<_>>())
        .bind(chunks.iter().map(prefixed).collect::<Vec<_>>())
        .bind(chunks.iter().map(|chunk| &chunk.bm25).collect::<Vec<_>>())
        .bind(chunks.iter().map(|chunk| &chunk.embedding).collect::<Vec<_>>())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Keeps the statistics that the inverse document frequency comes from. Last in its transaction and in one order:
    /// concurrent documents share these rows, and so neither wait long nor deadlock.
    async fn count(&mut self, lexemes: &LexemeChanges, chunks: &ChunkChanges) -> Result<(), StoreError> {
        let changed: Vec<_> = lexemes.iter().filter(|(_, count)| **count != 0).collect();
        sqlx::query(
            "insert into lexeme_stats as stats (workspace_id, index_id, lexeme, chunk_count)
             select $1, c.index_id, c.lexeme, c.count
             from unnest($2::uuid[], $3::text[], $4::bigint[]) with ordinality as c (index_id, lexeme, count, position)
             order by c.position
             on conflict (index_id, lexeme) do update set chunk_count = stats.chunk_count + excluded.chunk_count",
        )
        .bind(self.id())
        .bind(changed.iter().map(|((index, _), _)| *index).collect::<Vec<_>>())
        .bind(changed.iter().map(|((_, lexeme), _)| lexeme.as_str()).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, count)| **count).collect::<Vec<_>>())
        .execute(self.connection())
        .await?;
        self.forget_lexemes(&changed).await?;
        for (index, count) in chunks.iter().filter(|(_, count)| **count != 0) {
            self.count_chunks(*index, *count).await?;
        }
        Ok(())
    }

    async fn forget_lexemes(&mut self, changed: &[(&(Uuid, String), &i64)]) -> Result<(), StoreError> {
        let gone = changed.iter().filter(|(_, count)| **count < 0);
        let (indexes, lexemes): (Vec<Uuid>, Vec<String>) =
            gone.map(|((index, lexeme), _)| (*index, lexeme.clone())).unzip();
        if indexes.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "delete from lexeme_stats s
             using unnest($1::uuid[], $2::text[]) as gone (index_id, lexeme)
             where s.index_id = gone.index_id and s.lexeme = gone.lexeme and s.chunk_count <= 0",
            &indexes,
            &lexemes
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Questions are read in every language that a knowledge base has. Nothing is locked for one that it has already.
    async fn add_language(&mut self, knowledge_base_id: Uuid, language: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "update knowledge_bases set languages = languages || $2 where id = $1 and $2 <> all (languages)",
            knowledge_base_id,
            language
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn count_chunks(&mut self, index: Uuid, count: i64) -> Result<(), StoreError> {
        sqlx::query!("update knowledge_bases set chunk_count = chunk_count + $2 where index_id = $1", index, count)
            .execute(self.connection())
            .await?;
        sqlx::query!(
            "update reindexings set chunk_count = chunk_count + $2 where index_id = $1 and status in ('running', 'failed')",
            index,
            count
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
            r#"select c.id, c.index, c.content, c.page, c.heading_path, c.start_offset as "start!", c.end_offset as "end!",
                      c.token_count
               from document_chunks c
               join knowledge_bases k on k.id = c.knowledge_base_id and k.index_id = c.index_id
               where c.document_id = $1 and ($2::int is null or c.index > $2)
               order by c.index
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
