//! Every question and statement that was asked of a database, with its whole answer.

use serde_json::Value;
use uuid::Uuid;

use super::{StoreError, Workspace};

impl Workspace {
    /// Keeps `answer` (a Query of the API, without its rows) and `result` (the rows) under `id`.
    pub async fn save_query(
        &mut self,
        id: Uuid,
        database_id: Uuid,
        question: Option<&str>,
        sql: Option<&str>,
        answer: &Value,
        result: &Value,
    ) -> Result<(), StoreError> {
        let workspace_id = self.id();
        sqlx::query!(
            "insert into sql_queries (id, workspace_id, database_id, question, sql, answer, result)
             values ($1, $2, $3, $4, $5, $6, $7)",
            id,
            workspace_id,
            database_id,
            question,
            sql,
            answer,
            result
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// An answer and its rows.
    pub async fn query(&mut self, id: Uuid) -> Result<(Value, Value), StoreError> {
        let row = sqlx::query!("select answer, result from sql_queries where id = $1", id)
            .fetch_one(self.connection())
            .await?;
        Ok((row.answer, row.result.unwrap_or(Value::Null)))
    }

    /// Newest first, from `after` on, of one database or of all; without the rows, which may be large.
    pub async fn queries(
        &mut self,
        database_id: Option<Uuid>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<(Uuid, Value)>, StoreError> {
        let rows = sqlx::query!(
            r#"select id, answer
             from sql_queries
             where ($1::uuid is null or database_id = $1)
               and ($2::uuid is null or id < $2)
             order by id desc
             limit $3"#,
            database_id,
            after,
            limit
        )
        .fetch_all(self.connection())
        .await?;
        Ok(rows.into_iter().map(|row| (row.id, row.answer)).collect())
    }
}
