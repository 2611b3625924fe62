//! What search asks the store: which documents pass a filter, how chunks rank, what the found ones say.

use pgvector::{HalfVector, SparseVector};
use sqlx::{Arguments, FromRow, Postgres, QueryBuilder, postgres::PgArguments};
use uuid::Uuid;

use super::{StoreError, Workspace, chunks::SearchIndex};

mod filter;
mod found;
pub use filter::{Filter, FilterError};
pub use found::{FoundChunk, Neighbour};

/// What to rank chunks by; a leg that is `None` is not searched.
#[derive(Debug, Clone)]
pub struct Ranking<'a> {
    pub indexes: &'a [SearchIndex],
    pub narrowing: &'a Narrowing<'a>,
    pub question: Option<&'a HalfVector>,
    pub text: Option<&'a TextRanking>,
    /// How many chunks each leg brings.
    pub per_leg: i32,
}

/// What may be found at all.
#[derive(Debug, Clone, Default)]
pub struct Narrowing<'a> {
    pub documents: Documents<'a>,
    /// `None`: any chunk.
    pub chunks: Option<Vec<Uuid>>,
    pub excluded_chunks: Vec<Uuid>,
    /// Lexemes, without prefixes.
    pub excluded_terms: Vec<String>,
}

/// Whose chunks may be found.
#[derive(Debug, Clone, Default)]
pub enum Documents<'a> {
    #[default]
    All,
    /// Those of these knowledge bases that pass a filter, found by the statement that asks.
    Passing(&'a Filter, &'a [Uuid]),
    /// Those that were found to pass, for several statements.
    These(Vec<Uuid>),
}

/// The full-text leg of a [`Ranking`].
#[derive(Debug, Clone)]
pub struct TextRanking {
    /// Lexemes that gather candidates, without prefixes, rarest first, each with the number of chunks it occurs in.
    pub terms: Vec<(String, i64)>,
    /// Inverse document frequency × count in the question, for every lexeme.
    pub weights: SparseVector,
}

/// A phrase as the store looks for it.
#[derive(Debug, Clone)]
pub struct Phrase {
    /// Its lexemes in each language: a chunk has all of one language's.
    pub lexemes: Vec<Vec<String>>,
    /// A regular expression (PostgreSQL's, case-insensitive) for its words in their order.
    pub pattern: String,
}

/// A chunk that at least one leg found, with the exact scores of both.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct RankedChunk {
    pub chunk_id: Uuid,
    pub index_id: Uuid,
    /// Cosine similarity, -1 to 1.
    pub vector_score: f64,
    /// BM25.
    pub text_score: f64,
    /// From 1; `None` when the leg did not bring it.
    pub vector_rank: Option<i32>,
    pub text_rank: Option<i32>,
    /// What served the vector leg of this ranking: `exact`, `hnsw` or both; and how long each leg took.
    pub vector_index: Option<String>,
    pub vector_ms: Option<f64>,
    pub text_ms: Option<f64>,
}

impl Workspace {
    /// In how many chunks of each of these indexes each lexeme occurs; absent means none.
    pub async fn lexeme_counts(
        &mut self,
        indexes: &[SearchIndex],
        lexemes: &[String],
    ) -> Result<Vec<(Uuid, String, i64)>, StoreError> {
        let rows = sqlx::query!(
            "select index_id, lexeme, chunk_count
             from lexeme_stats
             where index_id = any ($1) and lexeme = any ($2) and chunk_count > 0",
            &ids(indexes),
            lexemes
        )
        .fetch_all(self.connection())
        .await?;
        Ok(rows.into_iter().map(|row| (row.index_id, row.lexeme, row.chunk_count)).collect())
    }

    /// The union of what both legs find.
    pub async fn rank_chunks(&mut self, ranking: &Ranking<'_>) -> Result<Vec<RankedChunk>, StoreError> {
        let Ranking { indexes, narrowing, text, .. } = ranking;
        let any_of = |terms: &[String]| any_index(indexes, |number| any_term(number, terms));
        let excluded = Some(&narrowing.excluded_terms).filter(|terms| !terms.is_empty());
        let excluded_chunks = Some(&narrowing.excluded_chunks).filter(|chunks| !chunks.is_empty());
        let terms = text.map(|text| text.terms.iter().map(|(term, _)| any_of(std::slice::from_ref(term))));
        let postings = text.map(|text| text.terms.iter().map(|(_, count)| *count).collect::<Vec<_>>());
        let mut sql = narrowed("select * from rank_chunks(", &narrowing.documents);
        sql.push(", indexes => ").push_bind(ids(indexes));
        sql.push(", chunks => ").push_bind(narrowing.chunks.as_deref());
        sql.push(", excluded_chunks => ").push_bind(excluded_chunks);
        sql.push(", excluded => ").push_bind(excluded.map(|terms| any_of(terms))).push("::tsquery");
        sql.push(", question => ").push_bind(ranking.question);
        sql.push(", terms => ").push_bind(terms.map(Iterator::collect::<Vec<_>>)).push("::tsquery[]");
        sql.push(", postings => ").push_bind(postings);
        sql.push(", weights => ").push_bind(text.map(|text| &text.weights));
        sql.push(", per_leg => ").push_bind(ranking.per_leg).push(")");
        Ok(sql.build_query_as().fetch_all(self.connection()).await?)
    }

    /// The documents of these knowledge bases that pass a filter.
    pub async fn passing_documents(
        &mut self,
        filter: &Filter,
        knowledge_bases: &[Uuid],
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut sql = QueryBuilder::with_arguments("select distinct document_id from (", with_first(knowledge_bases));
        filter.push_sql(&mut sql);
        sql.push(") passed");
        Ok(sql.build_query_scalar().fetch_all(self.connection()).await?)
    }

    /// Whether knowledge bases are still searched through all of these.
    pub async fn are_searched(&mut self, indexes: &[SearchIndex]) -> Result<bool, StoreError> {
        let found: i64 = sqlx::query_scalar("select count(*) from knowledge_bases where index_id = any ($1)")
            .bind(ids(indexes))
            .fetch_one(self.connection())
            .await?;
        Ok(usize::try_from(found).is_ok_and(|found| found == indexes.len()))
    }

    /// Chunks that hold a phrase in their text, headings or title, of those that `narrowing` leaves; at most `most`.
    pub async fn phrase_chunks(
        &mut self,
        indexes: &[SearchIndex],
        narrowing: &Narrowing<'_>,
        phrase: &Phrase,
        most: i32,
    ) -> Result<Vec<Uuid>, StoreError> {
        let all_terms = |number: i32, terms: &Vec<String>| {
            let terms: Vec<String> = terms.iter().map(|term| quoted(number, term)).collect();
            format!("({})", terms.join(" & "))
        };
        let in_any_language = |number: i32| {
            let languages: Vec<String> = phrase.lexemes.iter().map(|terms| all_terms(number, terms)).collect();
            languages.join(" | ")
        };
        let mut sql = narrowed("select * from phrase_chunks(", &narrowing.documents);
        sql.push(", indexes => ").push_bind(ids(indexes));
        sql.push(", within => ").push_bind(narrowing.chunks.as_deref());
        sql.push(", lexemes => ").push_bind(any_index(indexes, in_any_language)).push("::tsquery");
        sql.push(", pattern => ").push_bind(&phrase.pattern);
        sql.push(", most => ").push_bind(most).push(")");
        Ok(sql.build_query_scalar().fetch_all(self.connection()).await?)
    }
}

/// `begin` with its argument `documents`.
fn narrowed(begin: &str, documents: &Documents<'_>) -> QueryBuilder<Postgres> {
    match documents {
        Documents::All => QueryBuilder::new(format!("{begin}documents => null")),
        Documents::These(ids) => {
            let mut sql = QueryBuilder::new(format!("{begin}documents => "));
            sql.push_bind(ids.as_slice());
            sql
        }
        Documents::Passing(filter, knowledge_bases) => {
            let begin = format!("{begin}documents => array(select distinct document_id from (");
            let mut sql = QueryBuilder::with_arguments(begin, with_first(knowledge_bases));
            filter.push_sql(&mut sql);
            sql.push(") passed)");
            sql
        }
    }
}

/// `$1`, to which filters refer.
fn with_first(knowledge_bases: &[Uuid]) -> PgArguments {
    let mut arguments = PgArguments::default();
    arguments.add(knowledge_bases).expect("ids are always encoded");
    arguments
}

fn ids(indexes: &[SearchIndex]) -> Vec<Uuid> {
    indexes.iter().map(|index| index.id).collect()
}

/// `'7:tensor' | '9:tensor'`: what `of` says of each index, as a tsquery.
fn any_index(indexes: &[SearchIndex], of: impl Fn(i32) -> String) -> String {
    indexes.iter().map(|index| of(index.number)).collect::<Vec<_>>().join(" | ")
}

fn any_term(number: i32, terms: &[String]) -> String {
    terms.iter().map(|term| quoted(number, term)).collect::<Vec<_>>().join(" | ")
}

fn quoted(number: i32, term: &str) -> String {
    format!("'{number}:{}'", term.replace('\\', "\\\\").replace('\'', "''"))
}
