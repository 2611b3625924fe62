//! What people say about the tables of a database: one table at a time, or all of them as a YAML file.
//!
//! Notes are checked against the schema that they make, before anything is kept: whoever makes a mistake hears of it, and
//! not whoever asks.

mod check;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, rejection::PathRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use check::{Fault, Place, faults};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{self, Body, Id, Params},
    problem::{Code, Problem},
    session::{CanAdminister, Session},
};
use crate::{
    app::{App, examples},
    store::{
        Workspace,
        databases::{
            Database,
            notes::{Notes, TableNotes},
        },
    },
    text_to_sql::schema::{Schema, Table},
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(note_table)).routes(routes!(notes, replace_notes))
}

const YAML: &str = "application/yaml";

/// Say what the catalog does not: descriptions, synonyms, metrics, filters, joins, what is hidden, which rows may be read
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
    check::size(&notes)?;
    let mut workspace = session.workspace().await?;
    let database = workspace.database(id).await?;
    let table = workspace.note_table(&database, table_id, &notes).await?;
    let schema = workspace.schema(&database).await?;
    refuse_faults(faults(&schema, &database, &table, &notes, &Place::root()))?;
    finish(workspace, &database, &schema).await?;
    Ok(Json(table.for_reading()))
}

/// Everything that people said about a database's tables, as a file to review
#[utoipa::path(get, path = "/v1/databases/{id}/notes", tag = "databases", params(("id" = Uuid, Path)),
    responses((status = 200, content((Notes = "application/json"), (String = "application/yaml"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn notes(session: Session<CanAdminister>, Id(id): Id, headers: HeaderMap) -> Result<Response, Problem> {
    let mut workspace = session.workspace().await?;
    let database = workspace.database(id).await?;
    let notes = workspace.notes(&database).await?;
    if !wants_yaml(&headers) {
        return Ok(Json(notes).into_response());
    }
    let text = serde_saphyr::to_string(&notes).map_err(Problem::internal)?;
    Ok(([(header::CONTENT_TYPE, YAML)], text).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReplaceParams {
    /// Only say what would change.
    #[serde(default)]
    dry_run: bool,
}

/// What a file of notes changed, or would change.
#[derive(Debug, Serialize, ToSchema)]
struct NotesChange {
    /// Tables of which something else is said now, with their schemas.
    changed: Vec<String>,
    dry_run: bool,
}

/// Put a file in the place of all that was said about the tables: what it does not say is not said any more
#[utoipa::path(put, path = "/v1/databases/{id}/notes", tag = "databases", params(("id" = Uuid, Path), ReplaceParams),
    request_body(content((Notes = "application/json"), (String = "application/yaml"))),
    responses((status = 200, body = NotesChange), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn replace_notes(
    session: Session<CanAdminister>,
    Id(id): Id,
    Params(params): Params<ReplaceParams>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<NotesChange>, Problem> {
    let notes = read(&headers, &bytes)?;
    let mut workspace = session.workspace().await?;
    let database = workspace.database(id).await?;
    let changed = workspace.replace_notes(&database, &notes).await?;
    let schema = workspace.schema(&database).await?;
    refuse_faults(file_faults(&schema, &database, &notes)?)?;
    if !params.dry_run {
        finish(workspace, &database, &schema).await?;
    }
    Ok(Json(NotesChange { changed, dry_run: params.dry_run }))
}

/// Notes may break examples, or mend them.
async fn finish(mut workspace: Workspace, database: &Database, schema: &Schema) -> Result<(), Problem> {
    examples::recheck(&mut workspace, database, schema).await?;
    Ok(workspace.commit().await?)
}

fn read(headers: &HeaderMap, bytes: &[u8]) -> Result<Notes, Problem> {
    match body::content_type(headers).as_str() {
        "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| Problem::new(Code::MalformedRequest, "The file is not UTF-8 text."))?;
            serde_saphyr::from_str(text).map_err(|error| Problem::invalid("", error.to_string()))
        }
        _ if body::is_json(headers) => body::parse(bytes),
        _ => Err(Problem::new(
            Code::UnsupportedMediaType,
            "Send the file as \"Content-Type: application/yaml\", or as JSON.",
        )),
    }
}

fn wants_yaml(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.split(';').next().unwrap_or_default().trim().ends_with("yaml"))
}

fn file_faults(schema: &Schema, database: &Database, notes: &Notes) -> Result<Vec<Fault>, Problem> {
    let mut found = Vec::new();
    for (schema_name, tables) in &notes.schemas {
        for (name, notes) in tables {
            check::size(notes)?;
            let place = Place::root().at("schemas").at(schema_name).at(name);
            match schema.tables.iter().find(|table| table.schema == *schema_name && table.name == *name) {
                Some(table) => found.extend(faults(schema, database, table, notes, &place)),
                None => found.push(Fault::new(&place, "there is no such table")),
            }
        }
    }
    Ok(found)
}

/// Faults that are told at once.
const TOLD: usize = 50;

fn refuse_faults(faults: Vec<Fault>) -> Result<(), Problem> {
    let Some(first) = faults.first() else { return Ok(()) };
    let more = if faults.len() > 1 { format!(" ({} faults in all)", faults.len()) } else { String::new() };
    let refused = faults.iter().any(|fault| !fault.violations.is_empty());
    let code = if refused { Code::SqlRejected } else { Code::InvalidRequest };
    let mut problem = Problem::new(code, format!("{}: {}{more}", first.pointer, first.detail));
    for fault in faults.into_iter().take(TOLD) {
        problem.violations.extend(fault.violations);
        problem = problem.with_error(fault.pointer, fault.detail);
    }
    Err(problem)
}
