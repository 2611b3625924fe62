//! A document goes in: its bytes are extracted in a child process, cut into chunks, embedded, and stored in one
//! transaction that replaces what readers saw before.
//!
//! [`ingest`] is the path of an upload, [`reindex`] that of a knowledge base which changes its embedding model.

pub mod chunk;
pub mod embed;
pub mod extract;
pub mod originals;
pub mod queue;
mod read;
pub mod reindex;

use std::sync::Arc;

use chunk::{ChunkSizes, Chunked};
use extract::{ExtractCode, ExtractFailure, ExtractOptions, Extracted, ocr::Ocr, worker::Worker};
use originals::Originals;
use queue::Lease;
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::{
    lexemes::{self, Language},
    models::{Embedder, Embedders, ModelError},
    store::{
        Sealer, Store, StoreError,
        chunks::{Indexed, IndexedVersion, SearchIndex},
        documents::DocumentRow,
        knowledge_bases::KnowledgeBase,
        queue::{Cause, Failure},
    },
};

/// What ingestion works with.
#[derive(Clone)]
pub struct Tools {
    pub store: Store,
    pub embedders: Embedders,
    pub originals: Originals,
    pub extractor: Worker,
    /// What reads pages that are pictures.
    pub ocr: Option<Ocr>,
    pub options: ExtractOptions,
    pub sealer: Sealer,
    /// Taken by whoever works on a large text: one at a time, which bounds the memory of a process.
    pub large_text: Arc<Semaphore>,
}

/// A text of more bytes is large: its tokens and vectors take several times as much.
const LARGE_TEXT_BYTES: usize = 4 << 20;

/// Characters of a title and of a failure's words.
const MAX_TITLE: usize = 500;
const MAX_DETAIL: usize = 2_000;

/// Why a document was not ingested.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The document is at fault, or something that the user can mend.
    #[error("{}: {}", .0.code, .0.detail)]
    Failed(Failure),
    /// Another worker has the document now, or it is gone: nothing to do.
    #[error("the document was taken away")]
    Lost,
    /// What it was worked on for has changed: it is to be done again, and that is nobody's failure.
    #[error("the knowledge base has changed meanwhile")]
    Again,
}

/// How a knowledge base wants its documents: cut to which sizes, embedded by which model, into which index.
#[derive(Clone)]
pub struct Target {
    pub workspace_id: Uuid,
    pub index: SearchIndex,
    pub sizes: ChunkSizes,
    /// `None`: found document by document.
    pub language: Option<Language>,
    /// An index whose vectors are of the same model.
    pub alike: Option<SearchIndex>,
    pub embedder: Arc<dyn Embedder>,
}

/// Takes one claimed document all the way; `lease` tells the world which stage it is in.
pub async fn ingest(tools: &Tools, document: &DocumentRow, lease: &Lease) -> Result<(), IngestError> {
    let target = target(tools, document).await?;
    lease.enter("extracting");
    let extracted = read::read(tools, document).await?;
    let _room = room(tools, &extracted.text).await;
    let title = title(document, &extracted);
    let version = NewVersion::of(document, &target, &title, &extracted);
    lease.enter("chunking");
    let chunked = chunk(&target, extracted, title.embedded()).await?;
    lease.enter("embedding");
    let vectors = embed::embed(&tools.store, &target, document.id, &chunked, |progress| lease.show(progress)).await?;
    lease.enter("storing");
    store(tools, lease, &target, version, chunked, vectors).await
}

async fn target(tools: &Tools, document: &DocumentRow) -> Result<Target, IngestError> {
    let mut workspace = tools.store.workspace(document.workspace_id).await?;
    let searched = workspace.searched_knowledge_bases(Some(&[document.knowledge_base_id]), 1).await?.pop();
    workspace.commit().await?;
    let base = searched.ok_or(IngestError::Lost)?;
    let embedder = embedder(tools, &base.embedding_model)?;
    Ok(Target::of(document.workspace_id, &base, embedder))
}

/// A model that this process does not have is a failure that passes: another server may have it, or this one tomorrow.
fn embedder(tools: &Tools, name: &str) -> Result<Arc<dyn Embedder>, IngestError> {
    let detail = || {
        let own = tools.embedders.default().name();
        format!(
            "the knowledge base was made with the embedding model {name}, and this server runs {own}; change the knowledge base's embedding_model, or give the server that model back"
        )
    };
    let missing = || failure("embedding_model_changed", &detail(), true, Cause::Process);
    tools.embedders.get(name).map(Arc::clone).ok_or_else(missing)
}

impl Target {
    fn of(workspace_id: Uuid, base: &KnowledgeBase, embedder: Arc<dyn Embedder>) -> Target {
        let language = Language::from_name(&base.language);
        let sizes = sizes(base.chunk_size, base.chunk_overlap, &*embedder);
        Target { workspace_id, index: base.index, sizes, language, alike: None, embedder }
    }

    /// The indexes whose vectors need not be computed again.
    fn alike(&self) -> Vec<Uuid> {
        std::iter::once(self.index).chain(self.alike).map(|index| index.id).collect()
    }

    fn language_of(&self, text: &str) -> Language {
        self.language.unwrap_or_else(|| lexemes::detect(text))
    }
}

fn sizes(chunk_size: i32, chunk_overlap: i32, embedder: &dyn Embedder) -> ChunkSizes {
    ChunkSizes {
        max_tokens: usize::try_from(chunk_size).unwrap_or(1).min(embedder.window()),
        overlap: usize::try_from(chunk_overlap).unwrap_or(0),
    }
}

/// A place among those who work on large texts, for whom it concerns.
async fn room<'a>(tools: &'a Tools, text: &str) -> Option<SemaphorePermit<'a>> {
    if text.len() <= LARGE_TEXT_BYTES {
        return None;
    }
    // Only a closed semaphore gives none, and this one is never closed.
    tools.large_text.acquire().await.ok()
}

/// What a document is called.
struct Title {
    text: String,
    /// Whether somebody chose it. What a file happens to be called is found by its words and not embedded, so that equal
    /// files have equal passages.
    chosen: bool,
}

impl Title {
    fn embedded(&self) -> &str {
        if self.chosen { &self.text } else { "" }
    }
}

/// The client's title, else the text's own, else what the upload was called.
fn title(document: &DocumentRow, extracted: &Extracted) -> Title {
    let own = extracted.title.as_deref().map(|title| one_line(title, MAX_TITLE)).filter(|title| !title.is_empty());
    match own.filter(|_| !document.title_given) {
        Some(text) => Title { text, chosen: true },
        None => Title { text: document.title.clone(), chosen: document.title_given },
    }
}

/// What of a version is known before it is cut into chunks.
struct NewVersion<'a> {
    document: &'a DocumentRow,
    index: SearchIndex,
    title: &'a Title,
    markdown: bool,
    language: Language,
    pages: serde_json::Value,
    page_count: Option<u32>,
    warnings: Vec<String>,
}

impl<'a> NewVersion<'a> {
    fn of(document: &'a DocumentRow, target: &Target, title: &'a Title, extracted: &Extracted) -> NewVersion<'a> {
        NewVersion {
            document,
            index: target.index,
            title,
            markdown: extracted.markdown,
            language: target.language_of(&extracted.text),
            pages: serde_json::to_value(&extracted.pages).unwrap_or_default(),
            page_count: extracted.pages.last().map(|page| page.number),
            warnings: extracted.warnings.iter().map(ToString::to_string).collect(),
        }
    }

    fn indexed<'b>(&'b self, chunked: &'b Chunked) -> IndexedVersion<'b> {
        IndexedVersion {
            document: self.document,
            index: self.index,
            title: &self.title.text,
            titled: self.title.chosen,
            text: chunked.text(),
            markdown: self.markdown,
            language: self.language.name(),
            pages: self.pages.clone(),
            page_count: self.page_count,
            chunk_count: chunked.len(),
            warnings: &self.warnings,
        }
    }
}

/// Chunking is pure arithmetic over a whole document: on a thread of its own, so that requests are not held up.
async fn chunk(target: &Target, extracted: Extracted, title: &str) -> Result<Arc<Chunked>, IngestError> {
    let (embedder, title, sizes) = (Arc::clone(&target.embedder), title.to_owned(), target.sizes);
    let chunked = tokio::task::spawn_blocking(move || chunk::chunk(extracted, &title, embedder.tokenizer(), sizes))
        .await
        .map_err(|error| failed("internal", &format!("chunking ended unexpectedly: {error}"), true))?;
    match chunked.is_empty() {
        true => Err(failed("empty", "the document has no text", false)),
        false => Ok(Arc::new(chunked)),
    }
}

async fn store(
    tools: &Tools,
    lease: &Lease,
    target: &Target,
    version: NewVersion<'_>,
    chunked: Arc<Chunked>,
    vectors: embed::Vectors,
) -> Result<(), IngestError> {
    let rows = embed::rows(&chunked, vectors, &version.title.text, version.language);
    let mut workspace = tools.store.workspace(target.workspace_id).await?;
    match workspace.index_document(lease.worker(), &version.indexed(&chunked), rows).await? {
        Indexed::Done => Ok(workspace.commit().await?),
        Indexed::Lost => Err(IngestError::Lost),
        Indexed::Moved => Err(IngestError::Again),
    }
}

fn failed(code: &str, detail: &str, retryable: bool) -> IngestError {
    failure(code, detail, retryable, Cause::Document)
}

/// Something that every document needs was not there; it may come back.
fn hindered(code: &str, detail: &str) -> IngestError {
    failure(code, detail, true, Cause::Surroundings)
}

fn failure(code: &str, detail: &str, retryable: bool, cause: Cause) -> IngestError {
    IngestError::Failed(Failure { code: code.to_owned(), detail: one_line(detail, MAX_DETAIL), retryable, cause })
}

/// What a document or a library says of itself may hold anything.
fn one_line(text: &str, most: usize) -> String {
    let plain: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(most).collect();
    plain.trim().to_owned()
}

impl From<ExtractFailure> for IngestError {
    fn from(failure: ExtractFailure) -> IngestError {
        match failure.code {
            ExtractCode::Unavailable => hindered(failure.code.as_str(), &failure.detail),
            code => failed(code.as_str(), &failure.detail, failure.retryable),
        }
    }
}

impl From<ModelError> for IngestError {
    fn from(error: ModelError) -> IngestError {
        match error {
            ModelError::Retry(_) | ModelError::Timeout(_) => hindered("embedding_failed", &error.to_string()),
            _ => failed("embedding_failed", &error.to_string(), false),
        }
    }
}

impl From<StoreError> for IngestError {
    fn from(error: StoreError) -> IngestError {
        match error {
            StoreError::NotFound => IngestError::Lost,
            StoreError::Unavailable(_) => hindered("store_unavailable", "the store was not available"),
            other => {
                tracing::error!(error = %other, "a document could not be stored");
                failed("internal", "the document could not be stored; the log says why", true)
            }
        }
    }
}
