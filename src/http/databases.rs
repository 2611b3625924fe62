//! `/v1/databases`: connect, sync, describe, ask, validate, execute; `/v1/queries`: what was asked.

use axum::{
    Json,
    extract::{Path, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{
        Body, Id, Page, PageParams, Params, check_description, check_name, check_share, csv_response, default_limit,
        wants_csv,
    },
    problem::{Code, Problem},
    session::{CanAdminister, CanAsk, CanRead, Session},
};
use crate::{
    app::App,
    store::databases::{Database, DatabaseChange, DatabaseStatus, NewDatabase, TableNotes},
    text_to_sql::{
        self, Ask, Query, Target, Validation,
        run::Caps,
        schema::{Engine, Schema, Table},
    },
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, change, delete))
        .routes(routes!(sync))
        .routes(routes!(schema))
        .routes(routes!(note_table))
        .routes(routes!(ask))
        .routes(routes!(validate))
        .routes(routes!(execute))
        .routes(routes!(queries))
        .routes(routes!(query))
}

/// The endpoints that create: they honour `Idempotency-Key`.
pub fn creating_router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create))
}

const MAX_NAME: usize = 200;
const MAX_URL: usize = 4_000;
const MAX_QUESTION: usize = 10_000;
/// Rows that a caller may ask for.
const MAX_ROWS: usize = 10_000;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateDatabase {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// postgres:// or sqlite:; encrypted at rest and never returned.
    #[schema(value_type = String)]
    url: SecretString,
    #[schema(max_length = 2000)]
    description: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeDatabase {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    #[schema(value_type = Option<String>)]
    url: Option<SecretString>,
    #[schema(max_length = 2000)]
    description: Option<String>,
}

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
    /// The question that this one goes on from; not used yet, so it must be a query of this database.
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

/// Connect a database; its schema is read in the background
#[utoipa::path(post, path = "/v1/databases", tag = "databases", request_body = CreateDatabase,
    responses((status = 201, body = Database), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn create(
    session: Session<CanAdminister>,
    Body(body): Body<CreateDatabase>,
) -> Result<(StatusCode, Json<Database>), Problem> {
    check_name("/name", &body.name, MAX_NAME)?;
    check_description(body.description.as_deref())?;
    let engine = check_url(&session.app, &body.url).await?;
    let id = Uuid::now_v7();
    let url = session.sealer.seal(id, &body.url).map_err(Problem::internal)?;
    let mut workspace = session.workspace().await?;
    let new = NewDatabase { id, name: body.name, description: body.description, engine, url };
    let created = workspace.create_database(&new).await?;
    workspace.commit().await?;
    session.databases.sync_later(&session.app, session.workspace_id(), id);
    Ok((StatusCode::CREATED, Json(created)))
}

/// Refused here, at once: what no retry mends. Whether it can be reached shows in the sync.
async fn check_url(app: &App, url: &SecretString) -> Result<Engine, Problem> {
    if url.expose_secret().len() > MAX_URL {
        return Err(Problem::invalid("/url", format!("is longer than {MAX_URL} characters")));
    }
    app.databases.check_url(url).await.map_err(|error| {
        let detail = error.to_string();
        Problem::from(error).with_error("/url", detail)
    })
}

/// List databases
#[utoipa::path(get, path = "/v1/databases", tag = "databases", params(PageParams),
    responses((status = 200, body = Page<Database>), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn list(session: Session<CanRead>, Params(page): Params<PageParams>) -> Result<Json<Page<Database>>, Problem> {
    let rows = session.workspace().await?.databases(page.after()?, page.rows()?).await?;
    Ok(page.page(rows, |row| row.id.to_string()))
}

/// Read a database's state
#[utoipa::path(get, path = "/v1/databases/{id}", tag = "databases", params(("id" = Uuid, Path)),
    responses((status = 200, body = Database), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn get(session: Session<CanRead>, Id(id): Id) -> Result<Json<Database>, Problem> {
    Ok(Json(session.workspace().await?.database(id).await?))
}

/// Change a database; a new URL is synced
#[utoipa::path(patch, path = "/v1/databases/{id}", tag = "databases", params(("id" = Uuid, Path)), request_body = ChangeDatabase,
    responses((status = 200, body = Database), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn change(
    session: Session<CanAdminister>,
    Id(id): Id,
    Body(body): Body<ChangeDatabase>,
) -> Result<Json<Database>, Problem> {
    if let Some(name) = &body.name {
        check_name("/name", name, MAX_NAME)?;
    }
    check_description(body.description.as_deref())?;
    let url = match &body.url {
        Some(url) => {
            let engine = check_url(&session.app, url).await?;
            Some((engine, session.sealer.seal(id, url).map_err(Problem::internal)?))
        }
        None => None,
    };
    let moved = url.is_some();
    let mut workspace = session.workspace().await?;
    let change = DatabaseChange { name: body.name, description: body.description, url };
    let mut changed = workspace.change_database(id, &change).await?;
    if moved {
        changed = workspace.start_sync(id).await?;
    }
    workspace.commit().await?;
    if moved {
        session.databases.forget(id).await;
        session.databases.sync_later(&session.app, session.workspace_id(), id);
    }
    Ok(Json(changed))
}

/// Disconnect a database and forget everything about it
#[utoipa::path(delete, path = "/v1/databases/{id}", tag = "databases", params(("id" = Uuid, Path)),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn delete(session: Session<CanAdminister>, Id(id): Id) -> Result<StatusCode, Problem> {
    let mut workspace = session.workspace().await?;
    workspace.delete_database(id).await?;
    workspace.commit().await?;
    session.databases.forget(id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Read the database's schema again, in the background
#[utoipa::path(post, path = "/v1/databases/{id}/sync", tag = "databases", params(("id" = Uuid, Path)),
    responses((status = 202, body = Database), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn sync(session: Session<CanAdminister>, Id(id): Id) -> Result<(StatusCode, Json<Database>), Problem> {
    let mut workspace = session.workspace().await?;
    let database = workspace.start_sync(id).await?;
    workspace.commit().await?;
    session.databases.sync_later(&session.app, session.workspace_id(), id);
    Ok((StatusCode::ACCEPTED, Json(database)))
}

/// The schema as it was found, with what people said about it
#[utoipa::path(get, path = "/v1/databases/{id}/schema", tag = "databases", params(("id" = Uuid, Path)),
    responses((status = 200, body = Schema), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn schema(session: Session<CanRead>, Id(id): Id) -> Result<Json<Schema>, Problem> {
    let mut workspace = session.workspace().await?;
    let database = workspace.database(id).await?;
    Ok(Json(workspace.schema(&database).await?.for_reading()))
}

/// Say what the catalog does not: descriptions, synonyms, what is hidden or masked
#[utoipa::path(patch, path = "/v1/databases/{id}/tables/{table_id}", tag = "databases",
    params(("id" = Uuid, Path), ("table_id" = Uuid, Path)), request_body = TableNotes,
    responses((status = 200, body = Table), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn note_table(
    session: Session<CanAdminister>,
    path: Result<Path<(Uuid, Uuid)>, PathRejection>,
    Body(notes): Body<TableNotes>,
) -> Result<Json<Table>, Problem> {
    let Path((id, table_id)) = path.map_err(|_| Problem::not_found("table"))?;
    check_notes(&notes)?;
    let mut workspace = session.workspace().await?;
    let database = workspace.database(id).await?;
    let table = workspace.note_table(&database, table_id, &notes).await?;
    workspace.commit().await?;
    Ok(Json(table))
}

/// Notes are a few paragraphs a table, without what PostgreSQL cannot keep.
fn check_notes(notes: &TableNotes) -> Result<(), Problem> {
    const MOST: usize = 64 * 1024;
    let text = serde_json::to_string(notes).map_err(Problem::internal)?;
    if text.len() > MOST || text.contains("\\u0000") {
        return Err(Problem::invalid("/", format!("must be at most {MOST} bytes, without NUL characters")));
    }
    Ok(())
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
    if let Some(previous) = body.previous_query_id {
        let (known, _) = session.workspace().await?.query(previous).await?;
        if known["database_id"] != id.to_string() {
            return Err(Problem::invalid("/previous_query_id", "is a query of another database"));
        }
    }
    let target = target(&session, id, body.limit).await?;
    let ask = Ask { question, execute: body.execute.unwrap_or(true), min_confidence };
    let query = text_to_sql::ask(&target, session.language_model.as_deref(), &ask).await;
    keep(&session, &query).await;
    Ok(respond(query, &headers))
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
    let schema = workspace.schema(&database).await?;
    workspace.commit().await?;
    ready(&database)?;
    let policy = text_to_sql::guard::Policy::default();
    Ok(Json(text_to_sql::validate(&schema, &policy, &body.sql)))
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
    let query = text_to_sql::execute(&target, &body.sql).await.map_err(|violations| {
        let words: Vec<_> = violations.iter().map(|violation| violation.detail.clone()).collect();
        Problem::new(Code::SqlRejected, format!("The SQL was not run: {}", words.join(" "))).with_violations(violations)
    })?;
    keep(&session, &query).await;
    if let Some(error) = query.error {
        return Err(error.into());
    }
    Ok(respond(query, &headers))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct QueryParams {
    database_id: Option<Uuid>,
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: i64,
    cursor: Option<String>,
}

/// List what was asked, without the rows
#[utoipa::path(get, path = "/v1/queries", tag = "databases", params(QueryParams),
    responses((status = 200, body = Page<Query>), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn queries(session: Session<CanAsk>, Params(params): Params<QueryParams>) -> Result<Json<Page<Query>>, Problem> {
    let page = PageParams { limit: params.limit, cursor: params.cursor };
    let rows = session.workspace().await?.queries(params.database_id, page.after()?, page.rows()?).await?;
    let queries = rows
        .into_iter()
        .map(|(_, answer)| serde_json::from_value(answer))
        .collect::<Result<Vec<Query>, _>>()
        .map_err(Problem::internal)?;
    Ok(page.page(queries, |query| query.id.to_string()))
}

/// Read an answer again
#[utoipa::path(get, path = "/v1/queries/{id}", tag = "databases", params(("id" = Uuid, Path)),
    responses((status = 200, content((Query = "application/json"), (String = "text/csv"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn query(session: Session<CanAsk>, Id(id): Id, headers: HeaderMap) -> Result<Response, Problem> {
    let (mut answer, result) = session.workspace().await?.query(id).await?;
    answer["result"] = result;
    let query: Query = serde_json::from_value(answer).map_err(Problem::internal)?;
    Ok(respond(query, &headers))
}

/// A database that is ready to be asked, with a row cap of the caller's.
async fn target(session: &Session<CanAsk>, id: Uuid, limit: Option<usize>) -> Result<Target, Problem> {
    let mut caps = Caps::default();
    if let Some(rows) = limit {
        if !(1..=MAX_ROWS).contains(&rows) {
            return Err(Problem::invalid("/limit", format!("must be from 1 to {MAX_ROWS}")));
        }
        caps.rows = rows;
    }
    let mut workspace = session.workspace().await?;
    let database = workspace.database(id).await?;
    ready(&database)?;
    let schema = workspace.schema(&database).await?;
    let sealed = workspace.database_url(id).await?;
    workspace.commit().await?;
    let engine = session.databases.engine(&session.app, id, &sealed).await?;
    Ok(Target { database_id: id, engine, schema: schema.into(), policy: text_to_sql::guard::Policy::default(), caps })
}

/// A database that was synced once can be asked, even while it is synced again.
fn ready(database: &Database) -> Result<(), Problem> {
    if database.status == DatabaseStatus::Ready || database.last_synced_at.is_some() {
        return Ok(());
    }
    let why = database.error.as_ref().map_or("its schema is still being read", |error| error.detail.as_str());
    Err(Problem::new(Code::DatabaseNotReady, format!("The database cannot be asked yet: {why}")))
}

/// Keeps an answer in the history. One that cannot be kept is still an answer.
async fn keep(session: &Session<CanAsk>, query: &Query) {
    let kept = async {
        let mut answer = serde_json::to_value(query).map_err(Problem::internal)?;
        without_nul(&mut answer);
        let result = answer["result"].take();
        let (question, sql) = (query.question.as_deref(), query.sql.as_deref());
        let mut workspace = session.workspace().await?;
        workspace.save_query(query.id, query.database_id, question, sql, &answer, &result).await?;
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

fn respond(query: Query, headers: &HeaderMap) -> Response {
    match &query.result {
        Some(rows) if wants_csv(headers) => csv_response(rows.to_csv()),
        _ => Json(query).into_response(),
    }
}
