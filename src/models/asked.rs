//! Questions that were embedded lately: people and agents ask the same thing again, page by page and mode by mode, and an
//! answer compares sentences with the question that it searched for.

use std::sync::Arc;

use quick_cache::{Weighter, sync::Cache};
use uuid::Uuid;

use super::{Embedder, ModelError};

/// Bytes of questions with their vectors: some 5,000 of 384 dimensions.
const CAPACITY: u64 = 8 << 20;
const EXPECTED_QUESTIONS: usize = 5_000;

/// Vectors of questions by who asked, model and text. Workspaces share nothing, not even the time that a hit saves.
pub struct AskedQuestions(Cache<Key, Arc<[f32]>, Bytes>);

type Key = (Uuid, String, String);

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Arc<[f32]>> for Bytes {
    fn weight(&self, (_, model, question): &Key, vector: &Arc<[f32]>) -> u64 {
        (size_of::<Key>() + model.len() + question.len() + size_of_val(&**vector)) as u64
    }
}

impl AskedQuestions {
    /// What was kept, else what the model says now.
    pub async fn vector(
        &self,
        workspace_id: Uuid,
        embedder: &dyn Embedder,
        question: &str,
    ) -> Result<Arc<[f32]>, ModelError> {
        let key = (workspace_id, embedder.name().to_owned(), question.to_owned());
        if let Some(kept) = self.0.get(&key) {
            return Ok(kept);
        }
        let vector: Arc<[f32]> = embedder.embed_query(question).await?.into();
        self.0.insert(key, Arc::clone(&vector));
        Ok(vector)
    }
}

impl Default for AskedQuestions {
    fn default() -> AskedQuestions {
        AskedQuestions(Cache::with_weighter(EXPECTED_QUESTIONS, CAPACITY, Bytes))
    }
}
