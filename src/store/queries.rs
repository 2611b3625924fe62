//! Every question and statement that was asked of a database, with its whole answer.

use serde_json::Value;
use uuid::Uuid;

use super::{StoreError, Workspace};

impl Workspace {
    /// Keeps `answer` (a Query of the API) under `id`.
    pub async fn save_query(
        &mut self,
        id: Uuid,
        database_id: Uuid,
        question: Option<&str>,
        sql: Option<&str>,
        answer: &Value,
    ) -> Result<(), StoreError> {
        let workspace_id = self.id();
        sqlx::query!(
            "insert into sql_queries (id, workspace_id, database_id, question, sql, answer) values ($1, $2, $3, $4, $5, $6)",
            id,
            workspace_id,
            database_id,
            question,
            sql,
            answer
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    pub async fn query(&mut self, id: Uuid) -> Result<Value, StoreError> {
        let row = sqlx::query!("select answer from sql_queries where id = $1", id).fetch_one(self.connection()).await?;
        Ok(row.answer)
    }

    /// Newest first, from `after` on, of one database or of all; without the rows, which may be large.
    pub async fn queries(
        &mut self,
        database_id: Option<Uuid>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<(Uuid, Value)>, StoreError> {
        let rows = sqlx::query!(
            r#"select id, answer || '{"result": null}' as "answer!"
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
