//! Questions and statements: asked, proven, run. The answers go into the history, every decision into the audit log.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Body, Id, check_share, csv_response, wants_csv},
    problem::{Code, Problem, REQUEST_ID},
    session::{CanAsk, Session},
};
use crate::{
    app::{
        App,
        audit::{self, Asked},
        examples,
    },
    store::{
        databases::{Database, DatabaseStatus},
        queries::SavedQuery,
        usage::{ModelCall, ModelCallKind},
    },
    text_to_sql::{
        self, Ask, CostLimits, Modelling, Previous, Query, Refusal, Target, Validation, follow_up,
        generate::example::Example, guard::Policy, journal::Journal, run::Caps,
    },
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(ask)).routes(routes!(validate)).routes(routes!(execute))
}

const MAX_QUESTION: usize = 10_000;
/// Rows that a caller may ask for.
const MAX_ROWS: usize = 10_000;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AskBody {
    #[schema(min_length = 1, max_length = 10000)]
    question: String,
    execute: Option<bool>,
    /// Rows to return.
    #[schema(minimum = 1, maximum = 10000, default = 1000)]
    limit: Option<usize>,
    /// Below it nothing runs, and `choices` offers up to three; 0: always the best guess.
    #[schema(minimum = 0, maximum = 1)]
    min_confidence: Option<f32>,
    /// The answer that this question goes on from: "and by month?". Of this database, and the same key's.
    previous_query_id: Option<Uuid>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ValidateBody {
    sql: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ExecuteBody {
    sql: String,
    /// Rows to return.
    #[schema(minimum = 1, maximum = 10000, default = 1000)]
    limit: Option<usize>,
}

/// Ask a question
#[utoipa::path(post, path = "/v1/databases/{id}/ask", tag = "databases", params(("id" = Uuid, Path)), request_body = AskBody,
    responses((status = 200, content((Query = "application/json"), (String = "text/csv"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn ask(
    session: Session<CanAsk>,
    Id(id): Id,
    headers: HeaderMap,
    Body(body): Body<AskBody>,
) -> Result<Response, Problem> {
    let question = body.question.trim().replace('\0', " ");
    if question.is_empty() || question.chars().count() > MAX_QUESTION {
        return Err(Problem::invalid("/question", format!("must be 1 to {MAX_QUESTION} characters")));
    }
    let min_confidence = check_share("/min_confidence", body.min_confidence)?.unwrap_or(session.config.min_confidence);
    let target = target(&session, id, body.limit).await?;
    let previous = match body.previous_query_id {
        Some(previous) => Some(previous_answer(&session, &target, previous, &question).await?),
        None => None,
    };
    let mut ask =
        Ask { question, previous, examples: Vec::new(), execute: body.execute.unwrap_or(true), min_confidence };
    ask.examples = near_examples(&session, id, ask.whole_question()).await?;
    let query = text_to_sql::ask(&target, modelling(&session).as_ref(), &ask).await?;
    count_usage(&session, &query).await;
    keep(&session, &query).await;
    Ok(respond(query, &headers))
}

/// For all drafts of a language model together: a person waits.
const DRAFTING: Duration = Duration::from_secs(60);

fn modelling(session: &Session<CanAsk>) -> Option<Modelling> {
    let language_model = session.language_model.clone()?;
    let (window, candidates) = (session.config.llm_context_tokens, session.config.llm_candidates);
    Some(Modelling { language_model, window, candidates, deadline: DRAFTING })
}

/// Counts what a language model took, if it was asked.
async fn count_usage(session: &Session<CanAsk>, query: &Query) {
    let Some(model) = query.model.as_deref().filter(|_| query.attempts > 0) else { return };
    let call = ModelCall {
        kind: ModelCallKind::Question,
        model,
        prompt_tokens: query.usage.map(|usage| usage.prompt_tokens),
        completion_tokens: query.usage.map(|usage| usage.completion_tokens),
        key_id: Some(session.caller.key_id),
    };
    if let Err(error) = session.store.record_model_call(session.workspace_id(), &call).await {
        tracing::warn!(query = %query.id, %error, "what a model took could not be kept");
    }
}

/// The answer that a question goes on from, and what it means after that.
async fn previous_answer(
    session: &Session<CanAsk>,
    target: &Target,
    id: Uuid,
    question: &str,
) -> Result<Previous, Problem> {
    let (answer, _) = session.workspace().await?.query(id, session.only_own()).await?;
    let answer: Query = serde_json::from_value(answer).map_err(Problem::internal)?;
    if answer.database_id != target.database_id {
        return Err(Problem::invalid("/previous_query_id", "is a query of another database"));
    }
    let before = answer.read_as.or(answer.question).unwrap_or_default();
    let read_as = follow_up::read(&before, question, target.known.catalog());
    Ok(Previous { id, question: before, sql: answer.drafted_sql.or(answer.sql), read_as })
}

/// Verified examples that are like a question. Most databases have none, and cost nothing.
async fn near_examples(session: &Session<CanAsk>, id: Uuid, question: &str) -> Result<Vec<Example>, Problem> {
    if !session.workspace().await?.has_examples(id).await? {
        return Ok(Vec::new());
    }
    let words = examples::words(session, session.workspace_id(), question).await;
    Ok(examples::near(&mut session.workspace().await?, id, &words).await?)
}

/// Prove a statement without running it
#[utoipa::path(post, path = "/v1/databases/{id}/validate", tag = "databases", params(("id" = Uuid, Path)), request_body = ValidateBody,
    responses((status = 200, body = Validation), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn validate(
    session: Session<CanAsk>,
    Id(id): Id,
    Body(body): Body<ValidateBody>,
) -> Result<Json<Validation>, Problem> {
    let mut workspace = session.workspace().await?;
    let database = workspace.database(id).await?;
    let schema = session.databases.schema(&mut workspace, &database).await?;
    workspace.commit().await?;
    ready(&database)?;
    let journal = journal(&session, id);
    Ok(Json(text_to_sql::validate(&schema.schema, &policy(&session, &database), &journal, &body.sql).await?))
}

/// Prove a statement and run it
#[utoipa::path(post, path = "/v1/databases/{id}/execute", tag = "databases", params(("id" = Uuid, Path)), request_body = ExecuteBody,
    responses((status = 200, content((Query = "application/json"), (String = "text/csv"))),
        (status = 422, description = "sql_rejected, with the violations", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn execute(
    session: Session<CanAsk>,
    Id(id): Id,
    headers: HeaderMap,
    Body(body): Body<ExecuteBody>,
) -> Result<Response, Problem> {
    let target = target(&session, id, body.limit).await?;
    let query = text_to_sql::execute(&target, &body.sql).await.map_err(|refusal| match refusal {
        Refusal::Violations(violations) => {
            let words: Vec<_> = violations.iter().map(|violation| violation.detail.clone()).collect();
            Problem::new(Code::SqlRejected, format!("The SQL was not run: {}", words.join(" ")))
                .with_violations(violations)
        }
        Refusal::NotKept(error) => error.into(),
    })?;
    keep(&session, &query).await;
    Ok(respond(query, &headers))
}

/// A database that is ready to be asked, with a row cap of the caller's. It is connected when something is to run.
async fn target(session: &Session<CanAsk>, id: Uuid, limit: Option<usize>) -> Result<Target, Problem> {
    let mut caps = Caps::default();
    if let Some(rows) = limit {
        if !(1..=MAX_ROWS).contains(&rows) {
            return Err(Problem::invalid("/limit", format!("must be from 1 to {MAX_ROWS}")));
        }
        caps.rows = rows;
    }
    // One moment: a URL that changes meanwhile must not meet the schema of the old one.
    let mut workspace = session.snapshot().await?;
    let database = workspace.database(id).await?;
    ready(&database)?;
    let known = session.databases.schema(&mut workspace, &database).await?;
    let url = workspace.database_url(id).await?;
    workspace.commit().await?;
    let visit = session.databases.visit(&session.app, id, database.engine, url, session.caller.key_id)?;
    Ok(Target {
        database_id: id,
        engine: Arc::new(visit),
        known,
        schema_version: database.schema_version,
        policy: policy(session, &database),
        caps,
        cost: cost(session, &database),
        journal: journal(session, id),
    })
}

/// What this caller may do with this database, beyond the guard's own rules.
fn policy(session: &Session<CanAsk>, database: &Database) -> Policy {
    Policy { approved_functions: database.approved_functions.clone(), attributes: session.caller.attributes.clone() }
}

fn cost(session: &Session<CanAsk>, database: &Database) -> CostLimits {
    let limit =
        |of_database: Option<f64>, of_server: f64| Some(of_database.unwrap_or(of_server)).filter(|limit| *limit > 0.0);
    CostLimits {
        rows: limit(database.max_estimated_rows, session.config.sql_max_rows),
        cost: limit(database.max_estimated_cost, session.config.sql_max_cost),
    }
}

fn journal(session: &Session<CanAsk>, database_id: Uuid) -> Journal {
    let asked = Asked {
        workspace_id: session.workspace_id(),
        key_id: session.caller.key_id,
        database_id,
        request_id: REQUEST_ID.try_with(Clone::clone).unwrap_or_default(),
    };
    audit::journal(&session.app, asked)
}

/// A database that was synced once can be asked, even while it is synced again; unless its login is to be refused.
fn ready(database: &Database) -> Result<(), Problem> {
    let synced = database.status == DatabaseStatus::Ready || database.last_synced_at.is_some();
    if synced && !database.refuses_login() {
        return Ok(());
    }
    let why = match &database.error {
        Some(error) => error.detail.as_str(),
        None if synced => "its login is not known to be read-only; a sync will tell",
        None => "its schema is still being read",
    };
    Err(Problem::new(Code::DatabaseNotReady, format!("The database cannot be asked yet: {why}")))
}

/// Keeps an answer in the history. One that cannot be kept is still an answer.
async fn keep(session: &Session<CanAsk>, query: &Query) {
    let kept = async {
        let mut answer = serde_json::to_value(query).map_err(Problem::internal)?;
        without_nul(&mut answer);
        let result = answer["result"].take();
        let saved = SavedQuery {
            id: query.id,
            key_id: session.caller.key_id,
            database_id: query.database_id,
            question: query.question.as_deref(),
            sql: query.sql.as_deref(),
            answer: &answer,
            result: &result,
        };
        let mut workspace = session.workspace().await?;
        workspace.save_query(&saved).await?;
        workspace.commit().await.map_err(Problem::from)
    };
    if let Err(problem) = kept.await {
        tracing::warn!(query = %query.id, detail = problem.detail, "an answer could not be kept in the history");
    }
}

/// PostgreSQL keeps no NUL, and a user's database may hold some.
fn without_nul(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(items) => items.iter_mut().for_each(without_nul),
        Value::Object(fields) => fields.values_mut().for_each(without_nul),
        _ => {}
    }
}

pub(super) fn respond(query: Query, headers: &HeaderMap) -> Response {
    match &query.result {
        Some(rows) if wants_csv(headers) => csv_response(rows.to_csv()),
        _ => Json(query).into_response(),
    }
}
