//! From chunks to rows: vectors from the embedding model, lexemes and BM25 weights from the text. A passage that the
//! index has a vector for, whichever document it came with, is not embedded again.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
};

use futures::{Stream, StreamExt, stream};
use pgvector::HalfVector;
use uuid::Uuid;

use super::{
    IngestError, Target,
    chunk::{self, Chunk, Chunked},
    failed,
};
use crate::{
    lexemes::{self, Language},
    models::{Embedder, Passage},
    store::{Store, StoreError, chunks::NewChunk, documents::Progress},
};

/// Passages handed to the model at a time: bounds memory and what a crash undoes, and lets a lost lease end the work.
const PASSAGES_PER_CALL: usize = 256;

/// Rows made and inserted at a time.
const ROWS_PER_GROUP: usize = 512;

/// Hash and vector of every passage of a document, in order.
pub type Vectors = Vec<(Uuid, HalfVector)>;

/// The vectors of all chunks. Those of a long document are kept group by group, so that a worker who takes it up after a
/// crash goes on where the last one was. `progress` is told before each group.
pub async fn embed(
    store: &Store,
    target: &Target,
    document_id: Uuid,
    chunked: &Chunked,
    progress: impl Fn(Progress),
) -> Result<Vectors, IngestError> {
    let mut vectors = Vec::with_capacity(chunked.len());
    for group in groups(chunked.len(), PASSAGES_PER_CALL) {
        progress(Progress { done: to_i32(vectors.len()), total: to_i32(chunked.len()) });
        let passages: Vec<(Uuid, Passage)> =
            chunked.passages(group.clone()).map(|passage| (chunk::fingerprint(&passage), passage)).collect();
        let hashes: Vec<Uuid> = passages.iter().map(|(hash, _)| *hash).collect();
        let mut workspace = store.workspace(target.workspace_id).await?;
        let mut known = workspace.known_embeddings(&target.alike(), document_id, &hashes).await?;
        workspace.commit().await?;
        let new = embed_new(&*target.embedder, passages, &known).await?;
        if group.end < chunked.len() && !new.is_empty() {
            let mut workspace = store.workspace(target.workspace_id).await?;
            workspace.stage_embeddings(target.index.id, document_id, &new).await?;
            workspace.commit().await?;
        }
        known.extend(new);
        for hash in hashes {
            let vector =
                known.get(&hash).ok_or_else(|| failed("internal", "the embedding model left a passage out", true))?;
            vectors.push((hash, vector.clone()));
        }
    }
    Ok(vectors)
}

/// The vectors that are not known yet, each passage once.
async fn embed_new(
    embedder: &dyn Embedder,
    passages: Vec<(Uuid, Passage)>,
    known: &HashMap<Uuid, HalfVector>,
) -> Result<Vectors, IngestError> {
    let all = passages.len();
    let mut new: HashMap<Uuid, Passage> = passages.into_iter().collect();
    new.retain(|hash, _| !known.contains_key(hash));
    metrics::counter!("almanac_embeddings_reused_total").increment((all - new.len()) as u64);
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let (hashes, passages): (Vec<Uuid>, Vec<Passage>) = new.into_iter().unzip();
    let tokens: usize = passages.iter().map(|passage| passage.token_ids.len()).sum();
    let vectors = embedder.embed_documents(passages).await?;
    metrics::counter!("almanac_embedded_tokens_total").increment(tokens as u64);
    Ok(hashes.into_iter().zip(vectors).map(|(hash, vector)| (hash, HalfVector::from_f32_slice(&vector))).collect())
}

/// The rows of all chunks, made in groups while the group before is inserted.
pub fn rows(
    chunked: &Arc<Chunked>,
    vectors: Vectors,
    title: &str,
    language: Language,
) -> impl Stream<Item = Result<Vec<NewChunk>, StoreError>> + Unpin + use<> {
    let (chunked, vectors, count) = (Arc::clone(chunked), Arc::new(vectors), chunked.len());
    let title: Arc<str> = title.into();
    let work = move |group: Range<usize>| {
        let (chunked, vectors, title) = (Arc::clone(&chunked), Arc::clone(&vectors), Arc::clone(&title));
        let rows = tokio::task::spawn_blocking(move || group_rows(&chunked, &vectors, group, &title, language));
        async move { rows.await.map_err(|_| StoreError::Unavailable(sqlx::Error::WorkerCrashed)) }
    };
    stream::iter(groups(count, ROWS_PER_GROUP).map(work)).buffered(2)
}

fn group_rows(
    chunked: &Chunked,
    vectors: &Vectors,
    group: Range<usize>,
    title: &str,
    language: Language,
) -> Vec<NewChunk> {
    let chunks = chunked.chunks(group.clone()).zip(chunked.passages(group.clone()));
    let vectors = vectors.iter().skip(group.start);
    chunks
        .zip(vectors)
        .map(|((chunk, passage), vector)| {
            // What is embedded is also what full text finds: title and headings count, though they are not stored.
            let lexemes = lexemes::titled(title, &passage.text, language);
            row(chunked.text(), chunk, lexemes, vector)
        })
        .collect()
}

fn row(
    text: &str,
    chunk: Chunk,
    lexemes: BTreeMap<String, u32>,
    (passage_hash, embedding): &(Uuid, HalfVector),
) -> NewChunk {
    let weights = lexemes::bm25_weights(&lexemes, lexemes::length(&lexemes));
    NewChunk {
        content: text[chunk.bytes].to_owned(),
        page: chunk.page,
        heading_path: chunk.heading_path,
        start: chunk.chars.start,
        end: chunk.chars.end,
        token_count: chunk.token_count,
        passage_hash: *passage_hash,
        bm25: lexemes::sparse(&weights),
        lexemes: lexemes.into_keys().collect(),
        embedding: embedding.clone(),
    }
}

fn groups(count: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(size).map(move |start| start..(start + size).min(count))
}

fn to_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
