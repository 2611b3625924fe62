//! What is in a database, and what people say about its tables.

use axum::{
    Json,
    extract::{Path, rejection::PathRejection},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Body, Id},
    problem::{Code, Problem},
    session::{CanAdminister, CanRead, Session},
};
use crate::{
    app::App,
    store::databases::notes::TableNotes,
    text_to_sql::{
        guard,
        schema::{Schema, Table},
    },
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(schema)).routes(routes!(note_table))
}

/// Characters of a row filter.
const MAX_FILTER: usize = 4_000;

/// The schema as it was found, with what people said about it
#[utoipa::path(get, path = "/v1/databases/{id}/schema", tag = "databases", params(("id" = Uuid, Path)),
    responses((status = 200, body = Schema), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn schema(session: Session<CanRead>, Id(id): Id) -> Result<Json<Schema>, Problem> {
    let mut workspace = session.workspace().await?;
    let database = workspace.database(id).await?;
    let schema = workspace.schema(&database).await?.for_reading();
    Ok(Json(if session.is_administrator() { schema } else { schema.for_callers() }))
}

/// Say what the catalog does not: descriptions, synonyms, what is hidden or masked, which rows may be read
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
    if let Some(Some(filter)) = &notes.row_filter {
        let schema = workspace.schema(&database).await?;
        let table =
            schema.tables.iter().find(|table| table.id == table_id).ok_or_else(|| Problem::not_found("table"))?;
        check_row_filter(&schema, table, filter)?;
    }
    let table = workspace.note_table(&database, table_id, &notes).await?;
    workspace.commit().await?;
    Ok(Json(table.for_reading()))
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

/// A filter that the guard would not carry into every statement is refused here.
fn check_row_filter(schema: &Schema, table: &Table, filter: &str) -> Result<(), Problem> {
    if filter.trim().is_empty() || filter.chars().count() > MAX_FILTER {
        return Err(Problem::invalid("/row_filter", format!("must be 1 to {MAX_FILTER} characters, or null")));
    }
    guard::check_row_filter(schema, table, filter).map_err(|violations| {
        let words: Vec<_> = violations.iter().map(|violation| violation.detail.as_str()).collect();
        let detail = words.join(" ");
        Problem::new(Code::SqlRejected, format!("The row filter is refused: {detail}"))
            .with_error("/row_filter", detail)
            .with_violations(violations)
    })
}
