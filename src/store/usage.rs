//! What language models were asked and what it cost: an event for each call, kept for [`KEPT_DAYS`], summed by day.

use chrono::NaiveDate;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Store, StoreError};

/// Days that events are kept: a year, and the month in which it is looked at.
pub const KEPT_DAYS: i32 = 400;

/// A call of a language model.
#[derive(Debug, Clone)]
pub struct ModelCall<'a> {
    pub kind: ModelCallKind,
    /// The model's name as its server knows it.
    pub model: &'a str,
    /// `None` where the server does not say.
    pub prompt_tokens: Option<u32>,
    pub completion_tokens: Option<u32>,
    pub key_id: Option<Uuid>,
}

/// What a model is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelCallKind {
    Answer,
    /// SQL for a question.
    Question,
    /// Notes on tables.
    Draft,
}

/// The calls of one model in a day (UTC).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct UsageDay {
    pub day: NaiveDate,
    /// `answer`, `question` or `draft`.
    pub kind: String,
    pub model: String,
    pub calls: i64,
    /// Of the calls whose server counted.
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
}

impl Store {
    /// Keeps a call, and lets go of those of the workspace that are too old.
    pub async fn record_model_call(&self, workspace_id: Uuid, call: &ModelCall<'_>) -> Result<(), StoreError> {
        let stored = |tokens: Option<u32>| tokens.map(|tokens| i32::try_from(tokens).unwrap_or(i32::MAX));
        let mut workspace = self.workspace(workspace_id).await?;
        sqlx::query(
            "delete from usage_events where workspace_id = $1 and created_at < now() - make_interval(days => $2)",
        )
        .bind(workspace_id)
        .bind(KEPT_DAYS)
        .execute(workspace.connection())
        .await?;
        sqlx::query(
            "insert into usage_events (id, workspace_id, kind, model, prompt_tokens, completion_tokens, key_id)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(Uuid::now_v7())
        .bind(workspace_id)
        .bind(call.kind.name())
        .bind(call.model)
        .bind(stored(call.prompt_tokens))
        .bind(stored(call.completion_tokens))
        .bind(call.key_id)
        .execute(workspace.connection())
        .await?;
        workspace.commit().await?;
        count(call);
        Ok(())
    }

    /// The days from `from` to `to`, both included, newest first.
    pub async fn usage(&self, workspace_id: Uuid, from: NaiveDate, to: NaiveDate) -> Result<Vec<UsageDay>, StoreError> {
        let mut workspace = self.snapshot(workspace_id).await?;
        let days = sqlx::query_as(
            "select (created_at at time zone 'UTC')::date as day, kind, model, count(*) as calls,
                    coalesce(sum(prompt_tokens), 0)::bigint as prompt_tokens,
                    coalesce(sum(completion_tokens), 0)::bigint as completion_tokens
             from usage_events
             where workspace_id = $1
               and created_at >= $2::date::timestamp at time zone 'UTC'
               and created_at < ($3::date + 1)::timestamp at time zone 'UTC'
             group by 1, 2, 3
             order by 1 desc, 2, 3",
        )
        .bind(workspace_id)
        .bind(from)
        .bind(to)
        .fetch_all(workspace.connection())
        .await?;
        workspace.commit().await?;
        Ok(days)
    }
}

impl ModelCallKind {
    fn name(self) -> &'static str {
        match self {
            ModelCallKind::Answer => "answer",
            ModelCallKind::Question => "question",
            ModelCallKind::Draft => "draft",
        }
    }
}

fn count(call: &ModelCall<'_>) {
    let labels = [("kind", call.kind.name().to_owned()), ("model", call.model.to_owned())];
    metrics::counter!("almanac_model_calls_total", &labels).increment(1);
    for (which, tokens) in [("prompt", call.prompt_tokens), ("completion", call.completion_tokens)] {
        let of = [&labels[..], &[("tokens", which.to_owned())]].concat();
        metrics::counter!("almanac_model_tokens_total", &of).increment(tokens.unwrap_or(0).into());
    }
}
