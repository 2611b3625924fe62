//! Verified questions of a database, those that wait for an editor, and those that the schema no longer bears.

use chrono::{DateTime, Utc};
use pgvector::HalfVector;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, types::Json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{StoreError, Workspace};

/// Examples of one database: all of them are looked at for every question.
pub const MAX_EXAMPLES: i64 = 2_000;

/// Proposals of one key for one database that wait for an editor.
pub const MAX_PROPOSALS: i64 = 200;

/// A question with the SQL that answers it.
#[derive(Debug, Clone, Serialize, FromRow, ToSchema)]
pub struct SqlExample {
    pub id: Uuid,
    pub database_id: Uuid,
    pub question: String,
    /// Of a broken example, shown to administrators alone.
    pub sql: String,
    #[sqlx(try_from = "String")]
    pub status: ExampleStatus,
    /// Why it is broken.
    #[sqlx(json)]
    #[schema(value_type = Vec<Object>)]
    pub violations: serde_json::Value,
    /// The answer that was confirmed or corrected.
    pub query_id: Option<Uuid>,
    pub approved_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExampleStatus {
    /// Waits for an editor; nothing uses it.
    Proposed,
    /// Answers questions.
    Verified,
    /// The schema or the notes have changed, so that the guard refuses it; nothing uses it.
    Broken,
}

impl ExampleStatus {
    pub fn name(self) -> &'static str {
        match self {
            ExampleStatus::Proposed => "proposed",
            ExampleStatus::Verified => "verified",
            ExampleStatus::Broken => "broken",
        }
    }
}

impl SqlExample {
    /// For those who may not see what is hidden: a broken example may name just that.
    pub fn close(&mut self) {
        if self.status == ExampleStatus::Broken {
            self.sql.clear();
            self.violations = serde_json::Value::Array(Vec::new());
        }
    }
}

impl TryFrom<String> for ExampleStatus {
    type Error = String;

    fn try_from(name: String) -> Result<ExampleStatus, String> {
        let all = [ExampleStatus::Proposed, ExampleStatus::Verified, ExampleStatus::Broken];
        all.into_iter().find(|status| status.name() == name).ok_or(name)
    }
}

/// An example to be.
pub struct NewExample<'a> {
    pub database_id: Uuid,
    pub question: &'a str,
    pub sql: &'a str,
    pub query_id: Option<Uuid>,
    pub key_id: Uuid,
    pub words: &'a Words,
}

/// What a question is found by: its words, and its vector with the model that made it.
#[derive(Debug, Clone, Default)]
pub struct Words {
    pub lexemes: Vec<String>,
    pub vector: Option<(String, HalfVector)>,
}

/// A verified example near a question.
#[derive(Debug, Clone, FromRow)]
pub struct NearExample {
    pub id: Uuid,
    pub question: String,
    pub sql: String,
    /// The cosine of the two vectors, or the share of words in common, whichever is more.
    pub likeness: f32,
}

impl Workspace {
    /// Somebody stands for it. In the place of a broken example with the same question; another one is a conflict.
    pub async fn create_example(&mut self, new: &NewExample<'_>) -> Result<SqlExample, StoreError> {
        self.make_room(new.database_id, None).await?;
        sqlx::query(
            "delete from sql_examples
             where database_id = $1 and status = 'broken'
               and question = $2",
        )
        .bind(new.database_id)
        .bind(new.question)
        .execute(self.connection())
        .await?;
        self.insert_example(new, true).await
    }

    /// It waits for an editor. In the place of what the same key proposed for the same question, under an id of its own:
    /// what an editor has read is what is approved.
    pub async fn propose_example(&mut self, new: &NewExample<'_>) -> Result<SqlExample, StoreError> {
        self.withdraw_proposal(new.database_id, new.question, new.key_id).await?;
        self.make_room(new.database_id, Some(new.key_id)).await?;
        self.insert_example(new, false).await
    }

    /// Takes back what a key proposed for a question and nobody has approved.
    pub async fn withdraw_proposal(
        &mut self,
        database_id: Uuid,
        question: &str,
        key_id: Uuid,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "delete from sql_examples
             where database_id = $1 and key_id = $3 and status = 'proposed'
               and question = $2",
        )
        .bind(database_id)
        .bind(question)
        .bind(key_id)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Refuses one more than [`MAX_EXAMPLES`], or than [`MAX_PROPOSALS`] of the key that proposes.
    async fn make_room(&mut self, database_id: Uuid, proposer: Option<Uuid>) -> Result<(), StoreError> {
        let count: i64 = sqlx::query_scalar(
            "select count(*)
             from sql_examples
             where database_id = $1 and (status = 'proposed') = ($2::uuid is not null) and ($2::uuid is null or key_id = $2)",
        )
        .bind(database_id)
        .bind(proposer)
        .fetch_one(self.connection())
        .await?;
        match proposer {
            None if count >= MAX_EXAMPLES => {
                Err(StoreError::Refused(format!("a database has at most {MAX_EXAMPLES} examples")))
            }
            Some(_) if count >= MAX_PROPOSALS => {
                Err(StoreError::Refused(format!("a key has at most {MAX_PROPOSALS} proposals waiting")))
            }
            _ => Ok(()),
        }
    }

    async fn insert_example(&mut self, new: &NewExample<'_>, verified: bool) -> Result<SqlExample, StoreError> {
        let workspace_id = self.id();
        let (model, vector) = new.words.vector.clone().unzip();
        let created = sqlx::query_as(
            "insert into sql_examples (id, workspace_id, database_id, question, sql, status, query_id, key_id,
                                       approved_by, approved_at, lexemes, embedding, embedding_model)
             values ($1, $2, $3, $4, $5, case when $8 then 'verified' else 'proposed' end, $6, $7,
                     case when $8 then $7 end, case when $8 then now() end, $9, $10, $11)
             returning *",
        )
        .bind(Uuid::now_v7())
        .bind(workspace_id)
        .bind(new.database_id)
        .bind(new.question)
        .bind(new.sql)
        .bind(new.query_id)
        .bind(new.key_id)
        .bind(verified)
        .bind(&new.words.lexemes)
        .bind(vector)
        .bind(model)
        .fetch_one(self.connection())
        .await?;
        Ok(created)
    }

    /// An example, which stays as it is until the transaction ends.
    pub async fn example(&mut self, database_id: Uuid, id: Uuid) -> Result<SqlExample, StoreError> {
        let example = sqlx::query_as("select * from sql_examples where database_id = $1 and id = $2 for update")
            .bind(database_id)
            .bind(id)
            .fetch_one(self.connection())
            .await?;
        Ok(example)
    }

    /// Newest first, from `after` on.
    pub async fn examples(
        &mut self,
        database_id: Uuid,
        status: Option<ExampleStatus>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<SqlExample>, StoreError> {
        let examples = sqlx::query_as(
            "select *
             from sql_examples
             where database_id = $1
               and ($2::text is null or status = $2)
               and ($3::uuid is null or id < $3)
             order by id desc
             limit $4",
        )
        .bind(database_id)
        .bind(status.map(ExampleStatus::name))
        .bind(after)
        .bind(limit)
        .fetch_all(self.connection())
        .await?;
        Ok(examples)
    }

    /// `key_id` stands for the example from now on, in the place of a broken one with the same question.
    pub async fn approve_example(&mut self, id: Uuid, key_id: Uuid) -> Result<SqlExample, StoreError> {
        sqlx::query(
            "delete from sql_examples b
             using sql_examples e
             where e.id = $1 and b.id <> e.id and b.database_id = e.database_id and b.question = e.question
               and b.status = 'broken'",
        )
        .bind(id)
        .execute(self.connection())
        .await?;
        let example = sqlx::query_as(
            "update sql_examples
             set status = 'verified', violations = '[]', approved_by = $2, approved_at = now()
             where id = $1
             returning *",
        )
        .bind(id)
        .bind(key_id)
        .fetch_one(self.connection())
        .await?;
        Ok(example)
    }

    pub async fn delete_example(&mut self, database_id: Uuid, id: Uuid) -> Result<(), StoreError> {
        let deleted = sqlx::query("delete from sql_examples where database_id = $1 and id = $2")
            .bind(database_id)
            .bind(id)
            .execute(self.connection())
            .await?;
        if deleted.rows_affected() == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// Whether a database has verified examples at all.
    pub async fn has_examples(&mut self, database_id: Uuid) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar(
            "select exists (select from sql_examples where database_id = $1 and status = 'verified')",
        )
        .bind(database_id)
        .fetch_one(self.connection())
        .await?;
        Ok(found)
    }

    /// The verified examples whose questions are most like the one with these words, best first.
    pub async fn near_examples(
        &mut self,
        database_id: Uuid,
        words: &Words,
        limit: i64,
    ) -> Result<Vec<NearExample>, StoreError> {
        let (model, vector) = words.vector.clone().unzip();
        let near = sqlx::query_as(
            "select id, question, sql, likeness
             from (
                 select e.id, e.question, e.sql,
                        greatest(
                            -- Vectors of two models may differ in length, which cannot be compared.
                            case when e.embedding_model = $4 then 1 - (e.embedding <=> $3) else 0 end,
                            shared.count::double precision
                                / greatest(cardinality(e.lexemes) + cardinality($2::text[]) - shared.count, 1)
                        )::real as likeness
                 from sql_examples e
                 cross join lateral (
                     select count(*) from (select unnest(e.lexemes) intersect all select unnest($2::text[])) words
                 ) shared
                 where e.database_id = $1 and e.status = 'verified'
             ) near
             order by likeness desc, id
             limit $5",
        )
        .bind(database_id)
        .bind(&words.lexemes)
        .bind(vector)
        .bind(model)
        .bind(limit)
        .fetch_all(self.connection())
        .await?;
        Ok(near)
    }

    /// All that somebody stands for, to be checked again.
    pub async fn approved_examples(&mut self, database_id: Uuid) -> Result<Vec<SqlExample>, StoreError> {
        let examples = sqlx::query_as(
            "select * from sql_examples where database_id = $1 and status <> 'proposed' order by id for update",
        )
        .bind(database_id)
        .fetch_all(self.connection())
        .await?;
        Ok(examples)
    }

    /// Whether the guard lets an example pass, and if not, why not.
    pub async fn judge_example(&mut self, id: Uuid, violations: &serde_json::Value) -> Result<(), StoreError> {
        sqlx::query(
            "update sql_examples
             set violations = $2, status = case when $2 = '[]' then 'verified' else 'broken' end
             where id = $1",
        )
        .bind(id)
        .bind(Json(violations))
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
