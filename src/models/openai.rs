//! Models behind an OpenAI-compatible server, Azure OpenAI among them.
//!
//! The URL tells which. With `/openai/deployments/` in its path it is an Azure OpenAI deployment
//! (`https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT?api-version=2024-10-21`): the key goes into `api-key`,
//! and an `api-version` that is not given is [`AZURE_API_VERSION`]. Any other URL is a base URL that ends in `/v1`: the
//! key goes into `Authorization: Bearer`. Either way `/embeddings` or `/chat/completions` is added to the path.
//!
//! Redirects are never followed, answers are bounded, and a key is never printed, logged or part of an error.

mod chat;
mod client;
mod embeddings;
mod retry;
mod sse;

use secrecy::SecretString;
use url::Url;

pub use chat::OpenAiLanguageModel;
pub use client::Client;
pub use embeddings::OpenAiEmbedder;

/// The version asked of an Azure deployment whose URL names none: the newest that is generally available.
pub const AZURE_API_VERSION: &str = "2024-10-21";

/// Where a model is, and as whom to ask.
#[derive(Clone)]
pub struct Server {
    pub url: Url,
    pub key: Option<SecretString>,
    /// The model's name as the server knows it.
    pub model: String,
}

/// Why a server cannot even be asked.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{0} is not the http or https URL of a server")]
    Url(String),
    #[error("the key has characters that no HTTP header may have")]
    Key,
    #[error("the HTTP client cannot be built: {0}")]
    Client(String),
}
