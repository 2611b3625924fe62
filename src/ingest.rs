//! A document goes in: its bytes are extracted in a child process, cut into chunks, embedded, and stored in one
//! transaction that replaces what readers saw before.

pub mod chunk;
pub mod embed;
pub mod extract;
pub mod originals;
pub mod queue;

use std::{path::PathBuf, sync::Arc};

use chunk::ChunkSizes;
use extract::{ContentType, ExtractFailure, ExtractOptions, Extracted, worker::Worker};
use originals::{OriginalError, Originals};
use queue::Lease;
use tokio::io::AsyncWriteExt;

use crate::{
    models::{Embedder, ModelError},
    store::{
        Store, StoreError,
        chunks::{IndexedVersion, NewChunk},
        documents::DocumentRow,
        knowledge_bases::KnowledgeBase,
        queue::Failure,
    },
};

/// What ingestion works with.
#[derive(Clone)]
pub struct Tools {
    pub store: Store,
    pub embedder: Arc<dyn Embedder>,
    pub originals: Originals,
    pub extractor: Worker,
    pub options: ExtractOptions,
}

/// Why a document was not ingested.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The document is at fault, or something that the user can mend.
    #[error("{}: {}", .0.code, .0.detail)]
    Failed(Failure),
    /// Another worker has the document now, or it is gone: nothing to do.
    #[error("the document was taken away")]
    Lost,
}

/// Takes one claimed document all the way; `lease` tells the world which stage it is in.
pub async fn ingest(tools: &Tools, document: &DocumentRow, lease: &Lease) -> Result<(), IngestError> {
    let knowledge_base = knowledge_base(tools, document).await?;
    lease.enter("extracting");
    let extracted = extract(tools, document).await?;
    let title = title(document, &extracted);
    lease.enter("chunking");
    let (extracted, chunks) = chunk(tools, &knowledge_base, extracted, &title).await?;
    lease.enter("embedding");
    let chunks = embed::embed(&*tools.embedder, &knowledge_base, &extracted.text, chunks).await?;
    lease.enter("storing");
    store(tools, document, &knowledge_base, lease, &title, &extracted, &chunks).await
}

async fn knowledge_base(tools: &Tools, document: &DocumentRow) -> Result<KnowledgeBase, IngestError> {
    let mut workspace = tools.store.workspace(document.workspace_id).await?;
    let searched = workspace.searched_knowledge_bases(Some(&[document.knowledge_base_id]), 1).await?.pop();
    let Some(knowledge_base) = searched else { return Err(IngestError::Lost) };
    if knowledge_base.embedding_model != tools.embedder.name() {
        let detail = format!(
            "the knowledge base was made with the embedding model {}, and the server now runs {}",
            knowledge_base.embedding_model,
            tools.embedder.name()
        );
        return Err(IngestError::Failed(Failure {
            code: "embedding_model_changed".to_owned(),
            detail,
            retryable: false,
        }));
    }
    Ok(knowledge_base)
}

async fn extract(tools: &Tools, document: &DocumentRow) -> Result<Extracted, IngestError> {
    let original = local_copy(tools, document).await?;
    let content_type = ContentType::ALL
        .into_iter()
        .find(|content_type| content_type.as_str() == document.content_type)
        .ok_or_else(|| failed("unsupported", format!("{} cannot be read", document.content_type), false))?;
    Ok(tools.extractor.extract(&original.0, content_type, &tools.options).await?)
}

/// A file that goes away.
struct Copy(PathBuf);

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The worker reads a file; an original may be far away.
async fn local_copy(tools: &Tools, document: &DocumentRow) -> Result<Copy, IngestError> {
    let mut original = tools.originals.read_checked(document).await?;
    let copy = Copy(std::env::temp_dir().join(format!("almanac-{}", uuid::Uuid::now_v7())));
    let write = async {
        let mut file = tokio::fs::File::create_new(&copy.0).await?;
        tokio::io::copy(&mut original, &mut file).await?;
        file.flush().await
    };
    write.await.map_err(OriginalError::from)?;
    Ok(copy)
}

/// The client's title, else the text's own, else what the upload was called.
fn title(document: &DocumentRow, extracted: &Extracted) -> String {
    match &extracted.title {
        Some(title) if !document.title_given && !title.trim().is_empty() => title.trim().to_owned(),
        _ => document.title.clone(),
    }
}

/// Chunking is pure arithmetic over a whole document: on a thread of its own, so that requests are not held up.
async fn chunk(
    tools: &Tools,
    knowledge_base: &KnowledgeBase,
    extracted: Extracted,
    title: &str,
) -> Result<(Extracted, Vec<chunk::Chunk>), IngestError> {
    let sizes = ChunkSizes {
        max_tokens: usize::try_from(knowledge_base.chunk_size).unwrap_or(1).min(tools.embedder.window()),
        overlap: usize::try_from(knowledge_base.chunk_overlap).unwrap_or(0),
    };
    let (embedder, title) = (Arc::clone(&tools.embedder), title.to_owned());
    let work = move || {
        let chunks = chunk::chunk(&extracted, &title, embedder.tokenizer(), sizes);
        (extracted, chunks)
    };
    let (extracted, chunks) = tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| failed("internal", format!("chunking ended unexpectedly: {error}"), true))?;
    if chunks.is_empty() {
        return Err(failed("empty", "the document has no text".to_owned(), false));
    }
    Ok((extracted, chunks))
}

async fn store(
    tools: &Tools,
    document: &DocumentRow,
    knowledge_base: &KnowledgeBase,
    lease: &Lease,
    title: &str,
    extracted: &Extracted,
    chunks: &[NewChunk],
) -> Result<(), IngestError> {
    let version = IndexedVersion {
        document,
        knowledge_base_number: knowledge_base.number,
        title,
        text: &extracted.text,
        page_count: extracted.pages.last().map(|page| page.number),
        chunks,
    };
    let mut workspace = tools.store.workspace(document.workspace_id).await?;
    if !workspace.index_document(lease.worker(), &version).await? {
        return Err(IngestError::Lost);
    }
    Ok(workspace.commit().await?)
}

fn failed(code: &str, detail: String, retryable: bool) -> IngestError {
    IngestError::Failed(Failure { code: code.to_owned(), detail, retryable })
}

impl From<ExtractFailure> for IngestError {
    fn from(failure: ExtractFailure) -> IngestError {
        failed(failure.code.as_str(), failure.detail, failure.retryable)
    }
}

impl From<OriginalError> for IngestError {
    fn from(error: OriginalError) -> IngestError {
        tracing::warn!(%error, "an original cannot be read");
        match error {
            OriginalError::Missing | OriginalError::Unavailable(_) => {
                failed("original_unavailable", "the stored file is not available".to_owned(), true)
            }
            OriginalError::Damaged(what) => {
                failed("original_damaged", format!("the stored file is damaged ({what}): upload it again"), false)
            }
        }
    }
}

impl From<ModelError> for IngestError {
    fn from(error: ModelError) -> IngestError {
        let retryable = matches!(error, ModelError::Retry(_) | ModelError::Timeout(_));
        failed("embedding_failed", error.to_string(), retryable)
    }
}

impl From<StoreError> for IngestError {
    fn from(error: StoreError) -> IngestError {
        match error {
            StoreError::NotFound => IngestError::Lost,
            StoreError::Unavailable(_) => failed("store_unavailable", "the store was not available".to_owned(), true),
            other => {
                tracing::error!(error = %other, "a document could not be stored");
                failed("internal", "the document could not be stored; the log says why".to_owned(), true)
            }
        }
    }
}
