//! The embedding model that runs in this process: a BERT-type encoder from a folder, on threads of its own.
//!
//! Vectors equal those of sentence-transformers for the same folder (cosine above 0.9999, `tests/it/embedding.rs`).
//! Nothing is cut in silence: a passage longer than the window is an error of its caller. A question longer than the
//! window is cut to it, because a question that long is still best answered by its beginning.

mod background;
mod bert;
mod folder;
mod kernels;
mod matrix;
mod weights;
mod words;
mod workers;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};

use super::{Embedder, LoadError, ModelError, Passage, Tokenizer};
use bert::Bert;
use workers::{BATCH_TOKENS, Urgency, Workers};

/// A model folder, loaded.
pub struct LocalEmbedder {
    name: String,
    bert: Arc<Bert>,
    tokenizer: Tokenizer,
    /// Tokens of a text, without prompts and special tokens.
    window: usize,
    query: Frame,
    document: Frame,
    threads: usize,
    questions: Workers,
    documents: Workers,
}

/// What stands before and after the tokens of a text.
struct Frame {
    before: Vec<u32>,
    after: u32,
}

impl LocalEmbedder {
    /// Loads the model in `dir` (see `local/folder.rs` for what must be in it) and starts `threads` threads for it.
    pub fn load(dir: &Path, threads: usize) -> Result<LocalEmbedder, LoadError> {
        let folder = folder::read(dir)?;
        let query = Frame::new(&folder.tokenizer, &folder.prompts.query, dir)?;
        let document = Frame::new(&folder.tokenizer, &folder.prompts.document, dir)?;
        let framing = query.before.len().max(document.before.len()) + 1;
        let Some(window) = folder.window.checked_sub(framing).filter(|window| *window > 0) else {
            return Err(LoadError::malformed(dir, format!("no text fits into {} tokens", folder.window)));
        };
        let bert = Arc::new(folder.bert);
        let start =
            |urgency| Workers::start(&bert, threads, urgency).map_err(|error| LoadError::unreadable(dir, error));
        let (questions, documents) = (start(Urgency::Now)?, start(Urgency::Background)?);
        Ok(LocalEmbedder {
            name: folder.name,
            tokenizer: folder.tokenizer,
            bert,
            window,
            query,
            document,
            threads,
            questions,
            documents,
        })
    }

    fn check(&self, passage: &Passage) -> Result<(), ModelError> {
        let length = passage.token_ids.len();
        if length > self.window {
            return Err(ModelError::Shorten(format!("{length} tokens, and the model reads {}", self.window)));
        }
        match passage.token_ids.iter().find(|id| **id as usize >= self.bert.words.count()) {
            Some(id) => Err(ModelError::GiveUp(format!("token {id} is not in the model's vocabulary"))),
            None => Ok(()),
        }
    }

    async fn embed_on(&self, workers: &Workers, passages: &[Passage]) -> Result<Vec<Vec<f32>>, ModelError> {
        passages.iter().try_for_each(|passage| self.check(passage))?;
        let batches = self.batches(passages).into_iter();
        // One batch more in line than there are threads keeps them busy; the rest waits here, so that callers take turns.
        stream::iter(batches.map(|batch| workers.run(batch))).buffered(self.threads + 1).try_concat().await
    }

    /// Sequences in order, in batches that stay under the budget. Without padding nothing is gained by sorting them.
    fn batches(&self, passages: &[Passage]) -> Vec<Vec<Vec<u32>>> {
        let mut batches: Vec<Vec<Vec<u32>>> = Vec::new();
        let mut room = 0;
        for passage in passages {
            let sequence = self.document.around(&passage.token_ids);
            match batches.last_mut().filter(|_| sequence.len() <= room) {
                Some(batch) => {
                    room -= sequence.len();
                    batch.push(sequence);
                }
                None => {
                    room = BATCH_TOKENS.saturating_sub(sequence.len());
                    batches.push(vec![sequence]);
                }
            }
        }
        batches
    }
}

#[async_trait]
impl Embedder for LocalEmbedder {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> usize {
        self.bert.sizes.hidden
    }

    fn window(&self) -> usize {
        self.window
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    async fn embed_documents(&self, passages: Vec<Passage>) -> Result<Vec<Vec<f32>>, ModelError> {
        self.embed_on(&self.documents, &passages).await
    }

    async fn embed_now(&self, passages: Vec<Passage>) -> Result<Vec<Vec<f32>>, ModelError> {
        self.embed_on(&self.questions, &passages).await
    }

    async fn embed_query(&self, text: &str) -> Result<Vec<f32>, ModelError> {
        let ids = self.tokenizer.encode_start(text, self.window).ids;
        let mut vectors = self.questions.run(vec![self.query.around(&ids)]).await?;
        vectors.pop().ok_or_else(|| ModelError::GiveUp("the local model gave no vector".to_owned()))
    }
}

impl Frame {
    fn new(tokenizer: &Tokenizer, prompt: &str, dir: &Path) -> Result<Frame, LoadError> {
        let special = |token: &str| {
            let missing = || LoadError::unsupported(dir, format!("its tokenizer has no {token}"));
            tokenizer.id_of(token).ok_or_else(missing)
        };
        let mut before = vec![special("[CLS]")?];
        before.extend(tokenizer.encode(prompt).ids);
        Ok(Frame { before, after: special("[SEP]")? })
    }

    fn around(&self, ids: &[u32]) -> Vec<u32> {
        [&self.before, ids, &[self.after]].concat()
    }
}

impl fmt::Debug for LocalEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEmbedder").field("name", &self.name).field("window", &self.window).finish_non_exhaustive()
    }
}
