//! Vectors of sentences: how near two of them are in meaning.

use crate::models::{Embedder, ModelError, Passage};

/// One vector a text, in order.
pub async fn vectors(embedder: &dyn Embedder, texts: Vec<String>) -> Result<Vec<Vec<f32>>, ModelError> {
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    embedder.embed_now(texts.into_iter().map(|text| passage(embedder, text)).collect()).await
}

/// The cosine of two vectors of length one.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn passage(embedder: &dyn Embedder, text: String) -> Passage {
    let mut token_ids = embedder.tokenizer().encode(&text).ids;
    token_ids.truncate(embedder.window());
    Passage { text, token_ids }
}
