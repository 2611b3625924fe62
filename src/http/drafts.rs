//! What a language model proposes to say of tables, for a person to accept or drop. Nothing uses it before.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::{Path, rejection::PathRejection},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Body, Id, Page, PageParams, Params},
    problem::{Code, Problem},
    session::{CanAdminister, Session},
};
use crate::{
    app::App,
    store::{
        databases::notes::{ColumnNotes, TableDraft, TableNotes},
        usage::ModelCallKind,
    },
    text_to_sql::{
        generate::model,
        schema::{Schema, Table},
    },
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(enrich))
        .routes(routes!(list))
        .routes(routes!(accept))
        .routes(routes!(drop_draft))
}

/// Tables of one call: what a model describes in the time that a request has.
const MOST_TABLES: usize = 50;
const DESCRIBING: Duration = Duration::from_secs(120);

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EnrichBody {
    /// Default: the first 50 tables of which something has no description.
    #[schema(max_items = 50)]
    table_ids: Option<Vec<Uuid>>,
}

/// What was drafted, and how much is left.
#[derive(Debug, Serialize, ToSchema)]
struct Enriched {
    drafts: Vec<TableDraft>,
    /// Tables of which something has no description, and no draft either.
    remaining: usize,
}

/// Let the language model draft descriptions, for a person to accept
#[utoipa::path(post, path = "/v1/databases/{id}/enrich", tag = "databases", params(("id" = Uuid, Path)), request_body = EnrichBody,
    responses((status = 200, body = Enriched), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn enrich(
    session: Session<CanAdminister>,
    Id(id): Id,
    Body(body): Body<EnrichBody>,
) -> Result<Json<Enriched>, Problem> {
    let Some(language_model) = &session.language_model else {
        let detail = "No language model is configured: set llm_url and llm_model.";
        return Err(Problem::new(Code::ModelNotConfigured, detail));
    };
    let mut workspace = session.workspace().await?;
    let database = workspace.database(id).await?;
    let known = session.databases.schema(&mut workspace, &database).await?;
    let drafted = workspace.drafted_tables(id).await?;
    // The model takes its time: no connection waits with it.
    workspace.commit().await?;
    let mut wanted = wanted(&known.schema, &drafted, body.table_ids.as_deref())?;
    let remaining = wanted.len().saturating_sub(MOST_TABLES);
    wanted.truncate(MOST_TABLES);
    let until = Instant::now() + DESCRIBING;
    let window = session.config.llm_context_tokens;
    let described = model::describe(&wanted, known.schema.engine, language_model.as_ref(), window, until).await?;
    session.count_model_call(&session.caller, ModelCallKind::Draft, language_model.name(), described.usage).await;
    let drafts: Vec<TableDraft> =
        described.drafts.into_iter().filter_map(|described| draft(&wanted, described)).collect();
    let mut workspace = session.workspace().await?;
    let kept: Vec<_> = drafts.iter().map(|draft| (draft.table_id, draft.draft.clone())).collect();
    workspace.save_drafts(id, &kept).await?;
    workspace.commit().await?;
    Ok(Json(Enriched { drafts, remaining }))
}

/// The tables that are named, else those of which something has no description.
fn wanted<'s>(schema: &'s Schema, drafted: &[Uuid], named: Option<&[Uuid]>) -> Result<Vec<&'s Table>, Problem> {
    let Some(named) = named else {
        let undescribed = |table: &&Table| !drafted.contains(&table.id) && lacks_description(table);
        return Ok(schema.visible_tables().filter(undescribed).collect());
    };
    if named.is_empty() || named.len() > MOST_TABLES {
        return Err(Problem::invalid("/table_ids", format!("must name 1 to {MOST_TABLES} tables")));
    }
    let find = |(index, id): (usize, &Uuid)| {
        let table = schema.visible_tables().find(|table| table.id == *id);
        table.ok_or_else(|| Problem::invalid(format!("/table_ids/{index}"), "is no table of this database"))
    };
    named.iter().enumerate().map(find).collect()
}

fn lacks_description(table: &Table) -> bool {
    table.description.is_none() || table.visible_columns().any(|column| column.description.is_none())
}

fn draft(wanted: &[&Table], described: model::TableDraft) -> Option<TableDraft> {
    let table = wanted.iter().find(|table| table.schema == described.schema && table.name == described.table)?;
    let said = |words: Vec<String>| Some(words).filter(|words| !words.is_empty());
    let columns = described.columns.into_iter().map(|(name, column)| {
        let notes = ColumnNotes {
            description: column.description,
            synonyms: said(column.synonyms),
            unit: column.unit,
            ..ColumnNotes::default()
        };
        (name, notes)
    });
    let draft = TableNotes {
        description: described.description,
        synonyms: said(described.synonyms),
        columns: columns.collect(),
        ..TableNotes::default()
    };
    Some(TableDraft { table_id: table.id, schema: described.schema, table: described.table, draft })
}

/// List what is drafted and neither accepted nor dropped
#[utoipa::path(get, path = "/v1/databases/{id}/drafts", tag = "databases", params(("id" = Uuid, Path), PageParams),
    responses((status = 200, body = Page<TableDraft>), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn list(
    session: Session<CanAdminister>,
    Id(id): Id,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<TableDraft>>, Problem> {
    let mut workspace = session.workspace().await?;
    workspace.database(id).await?;
    let drafts = workspace.drafts(id, page.after()?, page.rows()?).await?;
    Ok(page.page(drafts, |draft| draft.table_id.to_string()))
}

/// Accept a draft: it becomes what people say of the table, but for what they have said already
#[utoipa::path(post, path = "/v1/databases/{id}/tables/{table_id}/draft/accept", tag = "databases",
    params(("id" = Uuid, Path), ("table_id" = Uuid, Path)),
    responses((status = 200, body = Table), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn accept(
    session: Session<CanAdminister>,
    path: Result<Path<(Uuid, Uuid)>, PathRejection>,
) -> Result<Json<Table>, Problem> {
    let Path((id, table_id)) = path.map_err(|_| Problem::not_found("draft"))?;
    let mut workspace = session.workspace().await?;
    let database = workspace.database(id).await?;
    let table = workspace.accept_draft(&database, table_id).await?;
    workspace.commit().await?;
    Ok(Json(table.for_reading()))
}

/// Drop a draft
#[utoipa::path(delete, path = "/v1/databases/{id}/tables/{table_id}/draft", tag = "databases",
    params(("id" = Uuid, Path), ("table_id" = Uuid, Path)),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn drop_draft(
    session: Session<CanAdminister>,
    path: Result<Path<(Uuid, Uuid)>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path((id, table_id)) = path.map_err(|_| Problem::not_found("draft"))?;
    let mut workspace = session.workspace().await?;
    workspace.drop_draft(id, table_id).await?;
    workspace.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
