//! What search asks the store: which documents pass a filter, how chunks rank, what the found ones say.

use std::collections::HashMap;

use pgvector::{HalfVector, SparseVector};
use serde_json::Value;
use sqlx::FromRow;
use uuid::Uuid;

use super::{StoreError, Workspace, chunks::SearchIndex};

mod filter;
pub use filter::{Filter, FilterError};

/// What to rank chunks by; a leg that is `None` is not searched.
#[derive(Debug, Clone, Default)]
pub struct Ranking {
    pub question: Option<HalfVector>,
    pub text: Option<TextRanking>,
    /// How many chunks each leg brings.
    pub per_leg: i32,
}

/// The full-text leg of a [`Ranking`].
#[derive(Debug, Clone)]
pub struct TextRanking {
    /// Lexemes that gather candidates, without prefixes: any of them is enough.
    pub terms: Vec<String>,
    /// Inverse document frequency × count in the question, for every lexeme.
    pub weights: SparseVector,
}

/// A chunk that at least one leg found, with the exact scores of both.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct RankedChunk {
    pub chunk_id: Uuid,
    /// Cosine similarity, -1 to 1.
    pub vector_score: f64,
    /// BM25.
    pub text_score: f64,
    /// From 1; `None` when the leg did not bring it.
    pub vector_rank: Option<i32>,
    pub text_rank: Option<i32>,
}

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
    pub metadata: Value,
}

impl Workspace {
    /// The visible documents that pass `filter`.
    pub async fn filter_documents(
        &mut self,
        knowledge_bases: &[Uuid],
        filter: &Filter,
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut query = sqlx::QueryBuilder::new(
            "select document_id from document_contents where not hidden and knowledge_base_id = any (",
        );
        query.push_bind(knowledge_bases).push(") and ");
        filter.push_sql(&mut query);
        Ok(query.build_query_scalar().fetch_all(self.connection()).await?)
    }

    /// In how many chunks of these indexes each lexeme occurs; absent means none.
    pub async fn lexeme_counts(
        &mut self,
        indexes: &[Uuid],
        lexemes: &[String],
    ) -> Result<HashMap<String, i64>, StoreError> {
        let rows = sqlx::query!(
            r#"select lexeme, sum(chunk_count)::bigint as "count!"
               from lexeme_stats
               where index_id = any ($1) and lexeme = any ($2) and chunk_count > 0
               group by lexeme"#,
            indexes,
            lexemes
        )
        .fetch_all(self.connection())
        .await?;
        Ok(rows.into_iter().map(|row| (row.lexeme, row.count)).collect())
    }

    /// The union of what both legs find; `documents` of `None` are all.
    pub async fn rank_chunks(
        &mut self,
        indexes: &[SearchIndex],
        documents: Option<&[Uuid]>,
        ranking: &Ranking,
    ) -> Result<Vec<RankedChunk>, StoreError> {
        let ids: Vec<Uuid> = indexes.iter().map(|index| index.id).collect();
        let terms = ranking.text.as_ref().map(|text| tsquery(indexes, &text.terms));
        let rows = sqlx::query_as("select * from rank_chunks($1, $2, $3, $4::tsquery, $5, $6)")
            .bind(ids)
            .bind(documents)
            .bind(&ranking.question)
            .bind(terms)
            .bind(ranking.text.as_ref().map(|text| &text.weights))
            .bind(ranking.per_leg)
            .fetch_all(self.connection())
            .await?;
        Ok(rows)
    }

    /// The chunks with these ids, in no order; chunks that are gone meanwhile are left out.
    pub async fn found_chunks(&mut self, ids: &[Uuid]) -> Result<Vec<FoundChunk>, StoreError> {
        let rows = sqlx::query_as(
            r#"select k.id as chunk_id, k.document_id, k.knowledge_base_id, c.title, k.content, k.page, k.heading_path,
                      k.start_offset as start, k.end_offset as "end", c.metadata
               from document_chunks k
               join document_contents c on c.document_id = k.document_id
               where k.id = any ($1) and not c.hidden"#,
        )
        .bind(ids)
        .fetch_all(self.connection())
        .await?;
        Ok(rows)
    }
}

/// `'7:tensor' | '7:field' | …`: any term, in any of the indexes.
fn tsquery(indexes: &[SearchIndex], terms: &[String]) -> String {
    let quoted = |number: i32, term: &String| format!("'{number}:{}'", term.replace('\\', "\\\\").replace('\'', "''"));
    indexes
        .iter()
        .flat_map(|index| terms.iter().map(move |term| quoted(index.number, term)))
        .collect::<Vec<_>>()
        .join(" | ")
}
