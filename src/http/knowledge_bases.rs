//! `/v1/knowledge-bases`.

use axum::{Json, http::StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    body::{Body, Id, Page, PageParams, Params, check_description, check_metadata, check_name, check_share},
    problem::{Code, Problem},
    session::{CanRead, CanWrite, Session},
};
use crate::{
    app::App,
    lexemes::Language,
    store::{
        Workspace,
        knowledge_bases::{KnowledgeBase, KnowledgeBaseChange, NewKnowledgeBase},
        reindexings::IndexPlan,
    },
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, change, delete)).routes(routes!(cancel_reindexing))
}

/// The endpoints that create: they honour `Idempotency-Key`.
pub fn creating_router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create))
}

/// Tokens in a chunk, where the model's window is wide enough.
const DEFAULT_CHUNK_SIZE: i32 = 512;
const DEFAULT_CHUNK_OVERLAP: i32 = 50;
const MIN_CHUNK_SIZE: i32 = 16;
const MAX_CHUNK_SIZE: i32 = 8_192;
const MAX_NAME: usize = 200;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKnowledgeBase {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// Tokens of the embedding model; cut to the model's window.
    #[schema(minimum = 16, maximum = 8192, default = 512)]
    chunk_size: Option<i32>,
    /// Tokens that neighbouring chunks of one long block share; less than half of chunk_size.
    #[schema(minimum = 0, default = 50)]
    chunk_overlap: Option<i32>,
    /// One of the models that this server runs; its own when left out.
    embedding_model: Option<String>,
    /// Of its documents, for stems and stop words: `english`, `german`, `chinese`, …, or `auto`, found document by document.
    #[schema(default = "auto")]
    language: Option<String>,
    /// Whether searches show one of several nearly equal results, unless they ask otherwise.
    #[schema(default = false)]
    collapse_duplicates: Option<bool>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeKnowledgeBase {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// Weight of the vector score in hybrid search; the rest is full text.
    #[schema(minimum = 0, maximum = 1)]
    fusion_weight: Option<f32>,
    /// Another of the models that this server runs. Documents are embedded again in the background; searches go on with
    /// the old vectors until all are there.
    embedding_model: Option<String>,
    /// Documents are cut again in the background, likewise.
    #[schema(minimum = 16, maximum = 8192)]
    chunk_size: Option<i32>,
    #[schema(minimum = 0)]
    chunk_overlap: Option<i32>,
    /// Full text is indexed again in the background, likewise.
    language: Option<String>,
    collapse_duplicates: Option<bool>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
}

/// Create a knowledge base
#[utoipa::path(post, path = "/v1/knowledge-bases", tag = "knowledge bases", request_body = CreateKnowledgeBase,
    responses((status = 201, body = KnowledgeBase), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn create(
    session: Session<CanWrite>,
    Body(body): Body<CreateKnowledgeBase>,
) -> Result<(StatusCode, Json<KnowledgeBase>), Problem> {
    let new = body.check(&session.app)?;
    let mut workspace = session.workspace().await?;
    let created = workspace.create_knowledge_base(&new).await?;
    workspace.commit().await?;
    Ok((StatusCode::CREATED, Json(created)))
}

impl CreateKnowledgeBase {
    fn check(self, app: &App) -> Result<NewKnowledgeBase, Problem> {
        check_name("/name", &self.name, MAX_NAME)?;
        check_description(self.description.as_deref())?;
        let metadata = self.metadata.unwrap_or_else(|| json!({}));
        check_metadata("/metadata", &metadata)?;
        let model = self.embedding_model.as_deref().unwrap_or(app.embedders.default().name());
        Ok(NewKnowledgeBase {
            name: self.name,
            description: self.description,
            index: plan(app, model, self.chunk_size, self.chunk_overlap, self.language.as_deref().unwrap_or(AUTO))?,
            collapse_duplicates: self.collapse_duplicates.unwrap_or(false),
            metadata,
        })
    }
}

/// The language of a knowledge base whose documents' languages are found one by one.
const AUTO: &str = "auto";

/// How documents are to be cut, embedded and read, within what the model takes.
fn plan(app: &App, model: &str, size: Option<i32>, overlap: Option<i32>, language: &str) -> Result<IndexPlan, Problem> {
    let Some(embedder) = app.embedders.find(model) else {
        let known: Vec<&str> = app.embedders.all().map(|embedder| embedder.name()).collect();
        return Err(Problem::invalid("/embedding_model", format!("this server runs {}", known.join(", "))));
    };
    let (chunk_size, chunk_overlap) = sizes(size, overlap, embedder.window())?;
    let dimensions = i32::try_from(embedder.dimensions()).unwrap_or(i32::MAX);
    if language != AUTO
        && let Err(error) = serde_json::from_value::<Language>(language.into())
    {
        return Err(Problem::invalid("/language", format!("is neither {AUTO} nor a language: {error}")));
    }
    Ok(IndexPlan {
        embedding_model: embedder.name().to_owned(),
        dimensions,
        chunk_size,
        chunk_overlap,
        language: language.to_owned(),
    })
}

fn sizes(size: Option<i32>, overlap: Option<i32>, window: usize) -> Result<(i32, i32), Problem> {
    let asked = size.unwrap_or(DEFAULT_CHUNK_SIZE);
    if !(MIN_CHUNK_SIZE..=MAX_CHUNK_SIZE).contains(&asked) {
        return Err(Problem::invalid("/chunk_size", format!("must be from {MIN_CHUNK_SIZE} to {MAX_CHUNK_SIZE}")));
    }
    let size = asked.min(i32::try_from(window).unwrap_or(i32::MAX));
    match overlap {
        Some(overlap) if !(0..=asked / 2).contains(&overlap) => {
            Err(Problem::invalid("/chunk_overlap", "must be from 0 to half of chunk_size"))
        }
        Some(overlap) => Ok((size, overlap.min(size / 2))),
        None => Ok((size, DEFAULT_CHUNK_OVERLAP.min(size / 4))),
    }
}

/// List knowledge bases
#[utoipa::path(get, path = "/v1/knowledge-bases", tag = "knowledge bases", params(PageParams),
    responses((status = 200, body = Page<KnowledgeBase>), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn list(
    session: Session<CanRead>,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<KnowledgeBase>>, Problem> {
    let rows = session.workspace().await?.knowledge_bases(page.after()?, page.rows()?).await?;
    Ok(page.page(rows, |row| row.id.to_string()))
}

/// Read a knowledge base
#[utoipa::path(get, path = "/v1/knowledge-bases/{id}", tag = "knowledge bases", params(("id" = Uuid, Path)),
    responses((status = 200, body = KnowledgeBase), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn get(session: Session<CanRead>, Id(id): Id) -> Result<Json<KnowledgeBase>, Problem> {
    Ok(Json(session.workspace().await?.knowledge_base(id).await?))
}

/// Change a knowledge base
#[utoipa::path(patch, path = "/v1/knowledge-bases/{id}", tag = "knowledge bases", params(("id" = Uuid, Path)),
    request_body = ChangeKnowledgeBase,
    responses((status = 200, body = KnowledgeBase), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn change(
    session: Session<CanWrite>,
    Id(id): Id,
    Body(body): Body<ChangeKnowledgeBase>,
) -> Result<Json<KnowledgeBase>, Problem> {
    if let Some(name) = &body.name {
        check_name("/name", name, MAX_NAME)?;
    }
    check_description(body.description.as_deref())?;
    if let Some(metadata) = &body.metadata {
        check_metadata("/metadata", metadata)?;
    }
    check_share("/fusion_weight", body.fusion_weight)?;
    let mut workspace = session.workspace().await?;
    let before = workspace.knowledge_base(id).await?;
    body.reindex(&session, &mut workspace, &before).await?;
    let change = KnowledgeBaseChange {
        name: body.name,
        description: body.description,
        fusion_weight: body.fusion_weight,
        collapse_duplicates: body.collapse_duplicates,
        metadata: body.metadata,
    };
    let changed = workspace.change_knowledge_base(id, &change).await?;
    workspace.commit().await?;
    session.reindex_bell.notify_one();
    Ok(Json(changed))
}

impl ChangeKnowledgeBase {
    /// Starts what the change asks for, unless it is under way; going back to what is searched gives that up.
    async fn reindex(
        &self,
        session: &Session<CanWrite>,
        workspace: &mut Workspace,
        before: &KnowledgeBase,
    ) -> Result<(), Problem> {
        let untouched = self.embedding_model.is_none() && self.chunk_size.is_none() && self.chunk_overlap.is_none();
        if untouched && self.language.is_none() {
            return Ok(());
        }
        let aim = before.aim();
        let model = self.embedding_model.as_deref().unwrap_or(&aim.embedding_model);
        let overlap = self.chunk_overlap.unwrap_or(aim.chunk_overlap.min(self.chunk_size.unwrap_or(i32::MAX) / 2));
        let language = self.language.as_deref().unwrap_or(&aim.language);
        let size = self.chunk_size.unwrap_or(aim.chunk_size);
        let plan = plan(&session.app, model, Some(size), Some(overlap), language)?;
        if before.reindexing.is_some() && plan == before.aim() {
            workspace.resume_reindexing(before.id).await?;
        } else if plan == before.plan() {
            workspace.cancel_reindexing(before.id).await?;
        } else {
            workspace.start_reindexing(before.id, &plan).await?;
        }
        Ok(())
    }
}

/// Give up a change of embedding model or chunk size
#[utoipa::path(delete, path = "/v1/knowledge-bases/{id}/reindexing", tag = "knowledge bases", params(("id" = Uuid, Path)),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn cancel_reindexing(session: Session<CanWrite>, Id(id): Id) -> Result<StatusCode, Problem> {
    let mut workspace = session.workspace().await?;
    workspace.knowledge_base(id).await?;
    if !workspace.cancel_reindexing(id).await? {
        return Err(Problem::new(Code::NotFound, "No change of embedding model, chunk size or language is under way."));
    }
    workspace.commit().await?;
    session.reindex_bell.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

/// Delete a knowledge base with all its documents
#[utoipa::path(delete, path = "/v1/knowledge-bases/{id}", tag = "knowledge bases", params(("id" = Uuid, Path)),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn delete(session: Session<CanWrite>, Id(id): Id) -> Result<StatusCode, Problem> {
    let mut workspace = session.workspace().await?;
    workspace.delete_knowledge_base(id).await?;
    workspace.commit().await?;
    if let Err(error) = session.originals.remove_all(session.workspace_id(), id).await {
        tracing::warn!(%error, "the originals of a deleted knowledge base could not be removed; the sweep will");
    }
    Ok(StatusCode::NO_CONTENT)
}
