//! From chunks to rows: vectors from the embedding model, lexemes and BM25 weights from the text.

use pgvector::HalfVector;

use super::chunk::{Chunk, Chunked};
use crate::{
    lexemes::{self, Language},
    models::{Embedder, ModelError, Passage},
    store::{chunks::NewChunk, knowledge_bases::KnowledgeBase},
};

/// Passages handed to the model at a time: bounds memory, and lets a lost lease end the work.
const PASSAGES_PER_CALL: usize = 256;

/// Embeds the chunks of a document, in order.
pub async fn embed(
    embedder: &dyn Embedder,
    knowledge_base: &KnowledgeBase,
    document: &Chunked,
) -> Result<Vec<NewChunk>, ModelError> {
    let language = Language::from_name(&knowledge_base.language).unwrap_or_default();
    let mut rows = Vec::with_capacity(document.len());
    for start in (0..document.len()).step_by(PASSAGES_PER_CALL) {
        let group = start..start + PASSAGES_PER_CALL;
        let passages: Vec<Passage> = document.passages(group.clone()).collect();
        let tokens: usize = passages.iter().map(|passage| passage.token_ids.len()).sum();
        let vectors = embedder.embed_documents(passages).await?;
        metrics::counter!("almanac_embedded_tokens_total").increment(tokens as u64);
        let chunks = document.chunks(group.clone()).zip(document.passages(group)).zip(vectors);
        rows.extend(chunks.map(|((chunk, passage), vector)| row(document.text(), language, chunk, &passage, &vector)));
    }
    Ok(rows)
}

fn row(text: &str, language: Language, chunk: Chunk, passage: &Passage, vector: &[f32]) -> NewChunk {
    // What is embedded is also what full text finds: title and heading path count, though they are not stored.
    let lexemes = lexemes::lexemes(&passage.text, language);
    let weights = lexemes::bm25_weights(&lexemes, lexemes::length(&lexemes));
    NewChunk {
        content: text[chunk.bytes].to_owned(),
        page: chunk.page,
        heading_path: chunk.heading_path,
        start: chunk.chars.start,
        end: chunk.chars.end,
        token_count: chunk.token_count,
        bm25: lexemes::sparse(&weights),
        lexemes: lexemes.into_keys().collect(),
        embedding: HalfVector::from_f32_slice(vector),
    }
}
