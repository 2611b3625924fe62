//! `/v1/databases`: connect, read, change, sync, disconnect.

use axum::{Json, http::StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Body, Id, Page, PageParams, Params, check_description, check_name},
    problem::{Code, Problem},
    session::{CanAdminister, CanRead, Session},
};
use crate::{
    app::{App, syncs::login_can_do_more},
    store::databases::{Database, DatabaseChange, DatabaseRules, NewDatabase, given},
    text_to_sql::schema::Engine,
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, change, delete)).routes(routes!(sync))
}

/// The endpoints that create: they honour `Idempotency-Key`.
pub fn creating_router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create))
}

const MAX_NAME: usize = 200;
const MAX_URL: usize = 4_000;
const MAX_FUNCTIONS: usize = 200;
const MAX_SYNC_HOURS: i32 = 8_760;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateDatabase {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// postgres://, mysql://, mssql:// or sqlite:; encrypted at rest and never returned.
    #[schema(value_type = String)]
    url: SecretString,
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// Refuse a login that can do more than read.
    require_read_only: Option<bool>,
    /// Functions that statements may call beside the built-in ones that are allowed, like `sales.margin`.
    #[schema(max_items = 200)]
    approved_functions: Option<Vec<String>>,
    /// Absent: as the server is set; 0: no limit.
    #[schema(minimum = 0)]
    max_estimated_rows: Option<f64>,
    /// In the engine's units. Absent: as the server is set; 0: no limit.
    #[schema(minimum = 0)]
    max_estimated_cost: Option<f64>,
    /// Absent: as the server is set; 0: only when somebody asks.
    #[schema(minimum = 0, maximum = 8760)]
    sync_interval_hours: Option<i32>,
    /// Whether values are read as samples; default true.
    samples: Option<bool>,
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
    /// Refuse a login that can do more than read.
    require_read_only: Option<bool>,
    #[schema(max_items = 200)]
    approved_functions: Option<Vec<String>>,
    /// Null: as the server is set; 0: no limit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, minimum = 0)]
    max_estimated_rows: Option<Option<f64>>,
    /// In the engine's units. Null: as the server is set; 0: no limit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, minimum = 0)]
    max_estimated_cost: Option<Option<f64>>,
    /// Null: as the server is set; 0: only when somebody asks.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 8760)]
    sync_interval_hours: Option<Option<i32>>,
    /// Whether values are read as samples. False removes those that are stored.
    samples: Option<bool>,
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
    let rules = checked(DatabaseRules {
        require_read_only: body.require_read_only,
        approved_functions: body.approved_functions,
        max_estimated_rows: Some(body.max_estimated_rows),
        max_estimated_cost: Some(body.max_estimated_cost),
        sync_interval_hours: Some(body.sync_interval_hours),
        samples: body.samples,
    })?;
    let engine = check_url(&session.app, &body.url, rules.require_read_only == Some(true)).await?;
    check_functions(engine, &rules)?;
    let id = Uuid::now_v7();
    let url = session.sealer.seal(id, &body.url).map_err(Problem::internal)?;
    let mut workspace = session.workspace().await?;
    let new = NewDatabase { id, name: body.name, description: body.description, engine, url, rules };
    let created = workspace.create_database(&new).await?;
    workspace.commit().await?;
    session.sync_later(session.workspace_id(), id);
    Ok((StatusCode::CREATED, Json(created)))
}

/// Refused here, at once: what no retry mends. Whether it can be reached shows in the sync.
async fn check_url(app: &App, url: &SecretString, require_read_only: bool) -> Result<Engine, Problem> {
    if url.expose_secret().len() > MAX_URL {
        return Err(Problem::invalid("/url", format!("is longer than {MAX_URL} characters")));
    }
    let checked = app.databases.check_url(url).await.map_err(|error| {
        let detail = error.to_string();
        Problem::new(Code::DatabaseNotAllowed, detail.clone()).with_error("/url", detail)
    })?;
    match checked.privileges.filter(|privileges| require_read_only && !privileges.read_only()) {
        Some(privileges) => {
            let problem = Problem::new(Code::LoginNotReadOnly, login_can_do_more(&privileges));
            Err(privileges
                .warnings
                .into_iter()
                .fold(problem, |problem, warning| problem.with_error("/url", warning.detail)))
        }
        None => Ok(checked.engine),
    }
}

/// Rules within their bounds, functions as the guard compares them.
fn checked(mut rules: DatabaseRules) -> Result<DatabaseRules, Problem> {
    for (pointer, limit) in
        [("/max_estimated_rows", rules.max_estimated_rows), ("/max_estimated_cost", rules.max_estimated_cost)]
    {
        if limit.flatten().is_some_and(|limit| limit < 0.0) {
            return Err(Problem::invalid(pointer, "must be 0 or more"));
        }
    }
    if rules.sync_interval_hours.flatten().is_some_and(|hours| !(0..=MAX_SYNC_HOURS).contains(&hours)) {
        return Err(Problem::invalid("/sync_interval_hours", format!("must be from 0 to {MAX_SYNC_HOURS}")));
    }
    if let Some(functions) = &mut rules.approved_functions {
        if functions.len() > MAX_FUNCTIONS {
            return Err(Problem::invalid("/approved_functions", format!("must be at most {MAX_FUNCTIONS}")));
        }
        for (index, function) in functions.iter_mut().enumerate() {
            if !is_function_name(function) {
                let pointer = format!("/approved_functions/{index}");
                return Err(Problem::invalid(pointer, "must be a function's name, or schema.name"));
            }
            *function = function.to_lowercase();
        }
    }
    Ok(rules)
}

/// On these engines a function of the database's own is only found by its schema.
fn check_functions(engine: Engine, rules: &DatabaseRules) -> Result<(), Problem> {
    let needs_schema = matches!(engine, Engine::Postgres | Engine::Mssql);
    let bare = rules.approved_functions.iter().flatten().position(|function| !function.contains('.'));
    match bare.filter(|_| needs_schema) {
        Some(index) => {
            let pointer = format!("/approved_functions/{index}");
            Err(Problem::invalid(pointer, "must name the function's schema too: schema.name"))
        }
        None => Ok(()),
    }
}

fn is_function_name(text: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && word.chars().all(|next| next.is_alphanumeric() || next == '_' || next == '$')
    };
    text.chars().count() <= MAX_NAME && text.split('.').count() <= 2 && text.split('.').all(is_word)
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

/// Change a database; another URL, or what needs another look at it, is synced
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
    let rules = checked(DatabaseRules {
        require_read_only: body.require_read_only,
        approved_functions: body.approved_functions,
        max_estimated_rows: body.max_estimated_rows,
        max_estimated_cost: body.max_estimated_cost,
        sync_interval_hours: body.sync_interval_hours,
        samples: body.samples,
    })?;
    let url = match &body.url {
        Some(url) => {
            let stored = session.workspace().await?.database(id).await?.require_read_only;
            let engine = check_url(&session.app, url, rules.require_read_only.unwrap_or(stored)).await?;
            Some((engine, session.sealer.seal(id, url).map_err(Problem::internal)?))
        }
        None => None,
    };
    let moved = url.is_some();
    let engine = match &url {
        Some((engine, _)) => *engine,
        None => session.workspace().await?.database(id).await?.engine,
    };
    check_functions(engine, &rules)?;
    let look_again = moved || rules.require_read_only.is_some() || rules.samples == Some(true);
    let mut workspace = session.workspace().await?;
    let change = DatabaseChange { name: body.name, description: body.description, url, rules };
    let mut changed = workspace.change_database(id, &change).await?;
    if look_again {
        changed = workspace.request_sync(id).await?;
    }
    workspace.commit().await?;
    if moved {
        session.databases.forget(id).await;
    }
    if look_again {
        session.sync_later(session.workspace_id(), id);
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
    let database = workspace.request_sync(id).await?;
    workspace.commit().await?;
    session.sync_later(session.workspace_id(), id);
    Ok((StatusCode::ACCEPTED, Json(database)))
}
