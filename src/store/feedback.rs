//! What people think of answers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{StoreError, Workspace};

/// One key's opinion of one answer.
#[derive(Debug, Clone, Serialize, FromRow, ToSchema)]
pub struct Feedback {
    pub id: Uuid,
    pub query_id: Uuid,
    #[sqlx(try_from = "String")]
    pub rating: Rating,
    pub comment: Option<String>,
    pub corrected_sql: Option<String>,
    /// The example that it proposes; it waits for an editor.
    pub example_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rating {
    Up,
    Down,
}

impl Rating {
    pub fn name(self) -> &'static str {
        match self {
            Rating::Up => "up",
            Rating::Down => "down",
        }
    }
}

impl TryFrom<String> for Rating {
    type Error = String;

    fn try_from(name: String) -> Result<Rating, String> {
        [Rating::Up, Rating::Down].into_iter().find(|rating| rating.name() == name).ok_or(name)
    }
}

/// An opinion to be kept.
pub struct NewFeedback<'a> {
    pub query_id: Uuid,
    pub key_id: Uuid,
    pub rating: Rating,
    pub comment: Option<&'a str>,
    pub corrected_sql: Option<&'a str>,
    pub example_id: Option<Uuid>,
}

impl Workspace {
    /// Keeps an opinion in the place of the same key's earlier one.
    pub async fn save_feedback(&mut self, new: &NewFeedback<'_>) -> Result<Feedback, StoreError> {
        let workspace_id = self.id();
        let feedback = sqlx::query_as(
            "insert into feedback (id, workspace_id, query_id, key_id, rating, comment, corrected_sql, example_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8)
             on conflict (query_id, key_id) do update
             set rating = excluded.rating, comment = excluded.comment, corrected_sql = excluded.corrected_sql,
                 example_id = excluded.example_id
             returning id, query_id, rating, comment, corrected_sql, example_id, created_at, updated_at",
        )
        .bind(Uuid::now_v7())
        .bind(workspace_id)
        .bind(new.query_id)
        .bind(new.key_id)
        .bind(new.rating.name())
        .bind(new.comment)
        .bind(new.corrected_sql)
        .bind(new.example_id)
        .fetch_one(self.connection())
        .await?;
        Ok(feedback)
    }
}
