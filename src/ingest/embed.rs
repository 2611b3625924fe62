//! From chunks to rows: vectors from the embedding model, lexemes and BM25 weights from the text.

use pgvector::HalfVector;

use super::chunk::Chunk;
use crate::{
    lexemes::{self, Language},
    models::{Embedder, ModelError, Passage},
    store::{chunks::NewChunk, knowledge_bases::KnowledgeBase},
};

/// Passages handed to the model at a time: bounds memory, and lets a lost lease end the work.
const PASSAGES_PER_CALL: usize = 256;

/// Embeds `chunks` of `text`, in order.
pub async fn embed(
    embedder: &dyn Embedder,
    knowledge_base: &KnowledgeBase,
    text: &str,
    chunks: Vec<Chunk>,
) -> Result<Vec<NewChunk>, ModelError> {
    let language = Language::from_name(&knowledge_base.language).unwrap_or_default();
    let mut rows = Vec::with_capacity(chunks.len());
    for group in chunks.chunks(PASSAGES_PER_CALL) {
        let passages: Vec<Passage> = group.iter().map(|chunk| chunk.passage.clone()).collect();
        let tokens: usize = passages.iter().map(|passage| passage.token_ids.len()).sum();
        let vectors = embedder.embed_documents(passages).await?;
        metrics::counter!("almanac_embedded_tokens_total").increment(tokens as u64);
        rows.extend(group.iter().zip(vectors).map(|(chunk, vector)| row(text, language, chunk, &vector)));
    }
    Ok(rows)
}

fn row(text: &str, language: Language, chunk: &Chunk, vector: &[f32]) -> NewChunk {
    // What is embedded is also what full text finds: title and heading path count, though they are not stored.
    let lexemes = lexemes::lexemes(&chunk.passage.text, language);
    let weights = lexemes::bm25_weights(&lexemes, lexemes::length(&lexemes));
    NewChunk {
        content: text[chunk.bytes.clone()].to_owned(),
        page: chunk.page,
        heading_path: chunk.heading_path.clone(),
        start: chunk.chars.start,
        end: chunk.chars.end,
        token_count: chunk.token_count,
        bm25: lexemes::sparse(&weights),
        lexemes: lexemes.into_keys().collect(),
        embedding: HalfVector::from_f32_slice(vector),
    }
}
