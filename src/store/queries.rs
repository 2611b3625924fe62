//! Every question and statement that was asked of a database, with its whole answer.

use serde_json::Value;
use uuid::Uuid;

use super::{StoreError, Workspace, feedback::Rating};

/// An answer to be kept.
pub struct SavedQuery<'a> {
    pub id: Uuid,
    /// Whom it was given to.
    pub key_id: Uuid,
    pub database_id: Uuid,
    pub question: Option<&'a str>,
    pub sql: Option<&'a str>,
    /// A Query of the API, without its rows.
    pub answer: &'a Value,
    /// The rows.
    pub result: &'a Value,
}

/// Which answers of the history; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct WantedQueries<'a> {
    pub database_id: Option<Uuid>,
    /// Whom they were given to.
    pub key_id: Option<Uuid>,
    /// Words of the question or of the SQL, as a search engine takes them.
    pub words: Option<&'a str>,
    /// What somebody thinks of them.
    pub rating: Option<Rating>,
}

impl Workspace {
    pub async fn save_query(&mut self, query: &SavedQuery<'_>) -> Result<(), StoreError> {
        let workspace_id = self.id();
        sqlx::query(
            "insert into sql_queries (id, workspace_id, key_id, database_id, question, sql, answer, result)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(query.id)
        .bind(workspace_id)
        .bind(query.key_id)
        .bind(query.database_id)
        .bind(query.question)
        .bind(query.sql)
        .bind(query.answer)
        .bind(query.result)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// An answer and its rows, if it was given to `key_id`; none: whoever it was given to.
    pub async fn query(&mut self, id: Uuid, key_id: Option<Uuid>) -> Result<(Value, Value), StoreError> {
        let (answer, result): (Value, Option<Value>) = sqlx::query_as(
            "select answer, result
             from sql_queries
             where id = $1
               and ($2::uuid is null or key_id = $2)",
        )
        .bind(id)
        .bind(key_id)
        .fetch_one(self.connection())
        .await?;
        Ok((answer, result.unwrap_or(Value::Null)))
    }

    /// Newest first, from `after` on; without the rows, which may be large.
    pub async fn queries(
        &mut self,
        wanted: &WantedQueries<'_>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<(Uuid, Value)>, StoreError> {
        let rows = sqlx::query_as(
            "select id, answer
             from sql_queries q
             where ($1::uuid is null or database_id = $1)
               and ($2::uuid is null or id < $2)
               and ($3::uuid is null or key_id = $3)
               and ($5::text is null or words @@ websearch_to_tsquery('simple', $5))
               and ($6::text is null
                    or exists (select from feedback f where f.query_id = q.id and f.rating = $6))
             order by id desc
             limit $4",
        )
        .bind(wanted.database_id)
        .bind(after)
        .bind(wanted.key_id)
        .bind(limit)
        .bind(wanted.words)
        .bind(wanted.rating.map(Rating::name))
        .fetch_all(self.connection())
        .await?;
        Ok(rows)
    }
}
