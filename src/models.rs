//! The models Almanac calls: embeddings and language models, each behind a trait because each has real alternatives
//! (in this process, or over HTTP). Callers branch on [`ModelError`] by what they should do next.

mod asked;
pub mod local;
pub mod openai;
pub mod rerank;
pub mod tokenizer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use asked::AskedQuestions;
use async_trait::async_trait;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub use tokenizer::{Tokenizer, Tokens};

/// A text to embed as a document, tokenised once by whoever cut it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The text as the model should read it: title and heading path first, then the chunk.
    pub text: String,
    /// `text` in the ids of [`Embedder::tokenizer`], without special tokens. A remote model ignores them.
    pub token_ids: Vec<u32>,
}

/// Turns texts into vectors of [`Embedder::dimensions`] numbers, L2-normalised.
#[async_trait]
pub trait Embedder: Send + Sync {
    /// The name that is stored with every knowledge base: vectors of different names are never compared.
    fn name(&self) -> &str;
    /// The length of every vector.
    fn dimensions(&self) -> usize;
    /// The most tokens of one passage that the model reads, special tokens not counted.
    fn window(&self) -> usize;
    /// What counts and cuts tokens for this model.
    fn tokenizer(&self) -> &Tokenizer;
    /// One vector a passage, in order.
    async fn embed_documents(&self, passages: Vec<Passage>) -> Result<Vec<Vec<f32>>, ModelError>;
    /// The same for passages that somebody waits for: they overtake queued documents.
    async fn embed_now(&self, passages: Vec<Passage>) -> Result<Vec<Vec<f32>>, ModelError> {
        self.embed_documents(passages).await
    }
    /// The vector of a question; overtakes queued documents.
    async fn embed_query(&self, text: &str) -> Result<Vec<f32>, ModelError>;
}

/// The embedding models of this server: the one that new knowledge bases get, and those that others were made with.
#[derive(Clone)]
pub struct Embedders {
    default: Arc<dyn Embedder>,
    others: Vec<Arc<dyn Embedder>>,
    asked: Arc<AskedQuestions>,
}

impl Embedders {
    pub fn new(default: Arc<dyn Embedder>, others: Vec<Arc<dyn Embedder>>) -> Embedders {
        let embedders = Embedders { default, others: Vec::new(), asked: Arc::default() };
        others.into_iter().fold(embedders, Embedders::with)
    }

    /// One more; a name that is there already is left as it is.
    pub fn with(mut self, other: Arc<dyn Embedder>) -> Embedders {
        if self.get(other.name()).is_none() {
            self.others.push(other);
        }
        self
    }

    /// What new knowledge bases are embedded with.
    pub fn default(&self) -> &Arc<dyn Embedder> {
        &self.default
    }

    pub fn get(&self, name: &str) -> Option<&Arc<dyn Embedder>> {
        self.all().find(|embedder| embedder.name() == name)
    }

    /// Likewise by what people call a model: its name without what follows `@`.
    pub fn find(&self, name: &str) -> Option<&Arc<dyn Embedder>> {
        let short = |embedder: &&Arc<dyn Embedder>| embedder.name().split('@').next() == Some(name);
        self.get(name).or_else(|| self.all().find(short))
    }

    /// The vector of a question that workspace `workspace_id` asks; one that was asked lately costs nothing.
    pub async fn ask(
        &self,
        workspace_id: Uuid,
        embedder: &dyn Embedder,
        question: &str,
    ) -> Result<Arc<[f32]>, ModelError> {
        self.asked.vector(workspace_id, embedder, question).await
    }

    /// The default first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Embedder>> {
        std::iter::once(&self.default).chain(&self.others)
    }
}

/// What a language model is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// Instructions of ours; never holds text that came from data.
    pub system: String,
    /// The question, and data fenced as data.
    pub user: String,
    /// The most tokens to generate.
    pub max_tokens: u32,
    /// 0 for the most likely text.
    pub temperature: f32,
    /// For the whole call, retries included.
    pub deadline: Duration,
    /// The JSON that the text is to be, where the server can see to that; whoever reads the text must not rely on it.
    pub format: Option<AnswerFormat>,
}

/// JSON that an answer is to be.
///
/// Servers take a subset of JSON Schema; the one that all of them take has objects whose properties are all `required`
/// and that set `additionalProperties` to false, arrays, and types that may be null.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerFormat {
    /// Letters, digits and underscores, at most 64.
    pub name: &'static str,
    pub schema: serde_json::Value,
}

/// What a language model said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    pub text: String,
    pub usage: Option<Usage>,
    /// It would have gone on, but for [`Prompt::max_tokens`].
    pub cut: bool,
}

/// Tokens that a call took, as the server counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    pub prompt_tokens: u32,
    pub completion_tokens: u32,
}

impl Usage {
    /// Of several calls; nothing where one of them does not say.
    pub fn sum(calls: impl IntoIterator<Item = Option<Usage>>) -> Option<Usage> {
        let zero = Usage { prompt_tokens: 0, completion_tokens: 0 };
        calls.into_iter().try_fold(zero, |sum, usage| {
            let usage = usage?;
            Some(Usage {
                prompt_tokens: sum.prompt_tokens.saturating_add(usage.prompt_tokens),
                completion_tokens: sum.completion_tokens.saturating_add(usage.completion_tokens),
            })
        })
    }
}

/// What a stream brings: text, piece by piece, and at its end one [`Ending`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Text(String),
    Ending(Ending),
}

/// How a text ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ending {
    /// `None` where the server does not say.
    pub usage: Option<Usage>,
    /// It would have gone on, but for [`Prompt::max_tokens`].
    pub cut: bool,
}

/// Writes text from a prompt.
#[async_trait]
pub trait LanguageModel: Send + Sync {
    /// The model's name as the server knows it.
    fn name(&self) -> &str;
    /// The whole text at once.
    async fn complete(&self, prompt: &Prompt) -> Result<Completion, ModelError>;
    /// The text as it comes; dropping the stream ends the request.
    async fn stream(&self, prompt: &Prompt) -> Result<BoxStream<'static, Result<Said, ModelError>>, ModelError>;
}

/// Why a model gave nothing, by what the caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Worth another try later: the server is busy or was cut off, and our own retries are spent.
    #[error("the model is not available just now: {0}")]
    Retry(String),
    /// The deadline passed.
    #[error("the model did not answer in time: {0}")]
    Timeout(String),
    /// The input is longer than the model takes.
    #[error("the text is too long for the model: {0}")]
    Shorten(String),
    /// Trying again changes nothing: a wrong key, an unknown model, an answer that breaks the protocol.
    #[error("the model cannot be used: {0}")]
    GiveUp(String),
}

/// Scales `vector` to length one; a zero vector stays zero.
fn to_unit_length(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
}

/// Why a model folder cannot be used, by what its owner can do about it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Put the file there, or make it readable.
    #[error("{path} cannot be read: {cause}")]
    Unreadable { path: PathBuf, cause: io::Error },
    /// Fetch the model again: a file is damaged, or does not match the others.
    #[error("{path} is damaged: {detail}")]
    Malformed { path: PathBuf, detail: String },
    /// Choose another model: this kind is not computed here.
    #[error("{path} describes a model that is not supported: {detail}")]
    Unsupported { path: PathBuf, detail: String },
}

impl LoadError {
    fn unreadable(path: &Path, cause: io::Error) -> LoadError {
        LoadError::Unreadable { path: path.to_owned(), cause }
    }

    fn malformed(path: &Path, detail: impl Into<String>) -> LoadError {
        LoadError::Malformed { path: path.to_owned(), detail: detail.into() }
    }

    fn unsupported(path: &Path, detail: impl Into<String>) -> LoadError {
        LoadError::Unsupported { path: path.to_owned(), detail: detail.into() }
    }
}
