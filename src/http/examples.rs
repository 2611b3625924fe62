//! `/v1/databases/{id}/examples`: verified questions. Whoever may write edits them; what feedback proposes waits here.

use axum::{
    Json,
    extract::{Path, rejection::PathRejection},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Body, Id, Page, PageParams, Params, default_limit},
    problem::{Code, Problem},
    session::{CanWrite, Session},
};
use crate::{
    app::{App, examples},
    store::{
        StoreError, Workspace,
        databases::Database,
        examples::{ExampleStatus, NewExample, SqlExample},
    },
    text_to_sql::guard::Violation,
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(approve)).routes(routes!(delete))
}

/// What an `Idempotency-Key` repeats.
pub fn creating_router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create))
}

/// Characters of an example's question.
pub const MAX_QUESTION: usize = 2_000;
/// Characters of its SQL.
pub const MAX_SQL: usize = 20_000;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateExample {
    #[schema(min_length = 1, max_length = 2000)]
    question: String,
    #[schema(min_length = 1, max_length = 20000)]
    sql: String,
}

/// Teach a verified question with its SQL
#[utoipa::path(post, path = "/v1/databases/{id}/examples", tag = "databases", params(("id" = Uuid, Path)),
    request_body = CreateExample,
    responses((status = 201, body = SqlExample),
        (status = 422, description = "sql_rejected, with the violations", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn create(
    session: Session<CanWrite>,
    Id(id): Id,
    Body(body): Body<CreateExample>,
) -> Result<(StatusCode, Json<SqlExample>), Problem> {
    let question = text("/question", &body.question, MAX_QUESTION)?;
    let sql = text("/sql", &body.sql, MAX_SQL)?;
    let mut workspace = session.workspace().await?;
    let database = workspace.database(id).await?;
    prove(&session.app, &mut workspace, &database, sql).await?;
    // Embedding may wait for a model: no connection waits with it.
    workspace.commit().await?;
    let words = examples::words(&session, session.workspace_id(), question).await;
    let mut workspace = session.workspace().await?;
    let key_id = session.caller.key_id;
    let new = NewExample { database_id: id, question, sql, query_id: None, key_id, words: &words };
    let example = workspace.create_example(&new).await?;
    workspace.commit().await?;
    Ok((StatusCode::CREATED, Json(example)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ExampleParams {
    status: Option<ExampleStatus>,
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: i64,
    cursor: Option<String>,
}

/// List examples: verified ones, those that wait for an editor, and broken ones
#[utoipa::path(get, path = "/v1/databases/{id}/examples", tag = "databases", params(("id" = Uuid, Path), ExampleParams),
    responses((status = 200, body = Page<SqlExample>), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn list(
    session: Session<CanWrite>,
    Id(id): Id,
    Params(params): Params<ExampleParams>,
) -> Result<Json<Page<SqlExample>>, Problem> {
    let page = PageParams { limit: params.limit, cursor: params.cursor };
    let mut workspace = session.workspace().await?;
    workspace.database(id).await?;
    let mut examples = workspace.examples(id, params.status, page.after()?, page.rows()?).await?;
    if !session.is_administrator() {
        examples.iter_mut().for_each(SqlExample::close);
    }
    Ok(page.page(examples, |example| example.id.to_string()))
}

/// Stand for an example that feedback proposed, or that was broken and is none the less
#[utoipa::path(post, path = "/v1/databases/{id}/examples/{example_id}/approve", tag = "databases",
    params(("id" = Uuid, Path), ("example_id" = Uuid, Path)),
    responses((status = 200, body = SqlExample), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn approve(
    session: Session<CanWrite>,
    path: Result<Path<(Uuid, Uuid)>, PathRejection>,
) -> Result<Json<SqlExample>, Problem> {
    let Path((id, example_id)) = path.map_err(|_| Problem::not_found("example"))?;
    let mut workspace = session.workspace().await?;
    let database = workspace.database(id).await?;
    let example = workspace.example(id, example_id).await?;
    prove(&session.app, &mut workspace, &database, &example.sql).await?;
    let example = workspace.approve_example(example_id, session.caller.key_id).await?;
    workspace.commit().await?;
    Ok(Json(example))
}

/// Delete an example
#[utoipa::path(delete, path = "/v1/databases/{id}/examples/{example_id}", tag = "databases",
    params(("id" = Uuid, Path), ("example_id" = Uuid, Path)),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn delete(
    session: Session<CanWrite>,
    path: Result<Path<(Uuid, Uuid)>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path((id, example_id)) = path.map_err(|_| Problem::not_found("example"))?;
    let mut workspace = session.workspace().await?;
    workspace.delete_example(id, example_id).await?;
    workspace.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Keeps a confirmed or corrected answer as an example that waits for an editor: its id. Nothing where too many of the same
/// key wait already.
pub(super) async fn propose(workspace: &mut Workspace, new: &NewExample<'_>) -> Result<Option<Uuid>, Problem> {
    match workspace.propose_example(new).await {
        Ok(example) => Ok(Some(example.id)),
        Err(StoreError::Refused(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Refuses SQL that the guard would refuse to everybody.
pub(super) async fn prove(app: &App, workspace: &mut Workspace, database: &Database, sql: &str) -> Result<(), Problem> {
    let schema = app.databases.schema(workspace, database).await?;
    let violations = examples::violations(sql, &schema.schema, &database.approved_functions);
    if violations.is_empty() { Ok(()) } else { Err(refused(violations)) }
}

fn refused(violations: Vec<Violation>) -> Problem {
    let words: Vec<&str> = violations.iter().map(|violation| violation.detail.as_str()).collect();
    let detail = format!("The SQL would not be run: {}", words.join(" "));
    Problem::new(Code::SqlRejected, detail).with_violations(violations)
}

pub(super) fn text<'t>(pointer: &str, text: &'t str, most: usize) -> Result<&'t str, Problem> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > most || text.contains('\0') {
        return Err(Problem::invalid(pointer, format!("must be 1 to {most} characters, without NUL")));
    }
    Ok(text)
}
