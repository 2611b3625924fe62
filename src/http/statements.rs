//! Statements that somebody sends: proven, run. The answers go into the history, every decision into the audit log.

use std::sync::Arc;

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
    body::{Body, Id, csv_response, wants_csv},
    problem::{Code, Problem, REQUEST_ID},
    session::{CanAsk, Session},
};
use crate::{
    app::{
        App,
        audit::{self, Asked},
    },
    store::{
        databases::{Database, DatabaseStatus},
        queries::SavedQuery,
    },
    text_to_sql::{self, CostLimits, Query, Refusal, Target, Validation, guard::Policy, journal::Journal, run::Caps},
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(validate)).routes(routes!(execute))
}

/// Rows that a caller may ask for.
const MAX_ROWS: usize = 10_000;

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
pub(super) async fn target(session: &Session<CanAsk>, id: Uuid, limit: Option<usize>) -> Result<Target, Problem> {
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
pub(super) async fn keep(session: &Session<CanAsk>, query: &Query) {
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
