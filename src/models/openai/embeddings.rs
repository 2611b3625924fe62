//! `POST /embeddings`: vectors from a server.
//!
//! Passages go in requests that stay under the limits below, a few at a time. An answer counts only if it has one finite
//! vector of the promised length for every input; vectors come back in the order of the inputs, whatever the server's.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::client::Client;
use super::{Server, SetupError};
use crate::models::{Embedder, ModelError, Passage, Tokenizer, to_unit_length};

/// The window of OpenAI's models, in tokens that [`Tokenizer::approximate`] rather over- than undercounts.
const WINDOW: usize = 8_191;

/// The most inputs of a request: what Text Embeddings Inference takes unless told otherwise; OpenAI takes 2,048.
const MAX_INPUTS: usize = 32;

/// The most tokens of a request: a third of what OpenAI takes, so that one slow request does not hold up much.
const MAX_TOKENS: usize = 100_000;

/// Requests under way for one call: enough to hide the network's latency, few enough for a server with a small queue.
const REQUESTS_AT_ONCE: usize = 4;

/// For one request with documents, retries included: nobody waits for it.
const DOCUMENTS_DEADLINE: Duration = Duration::from_secs(120);

/// For a question, retries included: somebody waits.
const QUESTION_DEADLINE: Duration = Duration::from_secs(10);

/// A number as JSON text takes up to some 25 bytes, as base64 under 6.
const BYTES_PER_NUMBER: usize = 32;

/// What an answer holds beside its vectors.
const BYTES_BESIDE: usize = 64 * 1024;

/// An embedding model behind a server.
pub struct OpenAiEmbedder {
    client: Client,
    model: String,
    name: String,
    dimensions: usize,
    tokenizer: Tokenizer,
}

impl OpenAiEmbedder {
    /// A model whose vectors have `dimensions` numbers. OpenAI's third generation is asked for that length; from any
    /// other model another length is an error.
    pub fn new(server: &Server, dimensions: usize) -> Result<OpenAiEmbedder, SetupError> {
        Ok(OpenAiEmbedder {
            client: Client::new(server, "embeddings")?,
            model: server.model.clone(),
            name: format!("{}@{dimensions}", server.model),
            dimensions,
            tokenizer: Tokenizer::approximate(),
        })
    }

    async fn request(&self, texts: &[&str], deadline: Duration) -> Result<Vec<Vec<f32>>, ModelError> {
        let takes_dimensions = self.model.starts_with("text-embedding-3");
        let request = Request {
            model: &self.model,
            input: texts.iter().map(|text| not_empty(text)).collect(),
            encoding_format: "base64",
            dimensions: takes_dimensions.then_some(self.dimensions),
        };
        let limit = texts.len() * self.dimensions * BYTES_PER_NUMBER + BYTES_BESIDE;
        let answer: Answer = self.client.ask(&request, limit, Instant::now() + deadline).await?;
        in_order(answer, texts.len(), self.dimensions)
    }

    /// Which passages go together: in order, and under both limits.
    fn requests(&self, passages: &[Passage]) -> Vec<Range<usize>> {
        let mut requests: Vec<Range<usize>> = Vec::new();
        let mut tokens = 0;
        for (index, passage) in passages.iter().enumerate() {
            let count = self.tokenizer.count(&passage.text);
            match requests.last_mut().filter(|request| request.len() < MAX_INPUTS && tokens + count <= MAX_TOKENS) {
                Some(request) => {
                    tokens += count;
                    request.end = index + 1;
                }
                None => {
                    tokens = count;
                    requests.push(index..index + 1);
                }
            }
        }
        requests
    }
}

#[async_trait]
impl Embedder for OpenAiEmbedder {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn window(&self) -> usize {
        WINDOW
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    async fn embed_documents(&self, passages: Vec<Passage>) -> Result<Vec<Vec<f32>>, ModelError> {
        if let Some(passage) = passages.iter().find(|passage| passage.token_ids.len() > WINDOW) {
            let length = passage.token_ids.len();
            return Err(ModelError::Shorten(format!("{length} tokens, and the model reads {WINDOW}")));
        }
        let passages = &passages;
        let requests = self.requests(passages).into_iter().map(|request| async move {
            let texts: Vec<&str> = passages[request].iter().map(|passage| passage.text.as_str()).collect();
            self.request(&texts, DOCUMENTS_DEADLINE).await
        });
        stream::iter(requests).buffered(REQUESTS_AT_ONCE).try_concat().await
    }

    async fn embed_query(&self, text: &str) -> Result<Vec<f32>, ModelError> {
        let next = self.tokenizer.encode(text).offsets.get(WINDOW).copied();
        let end = next.map_or(text.len(), |(start, _)| start as usize);
        let mut vectors = self.request(&[&text[..end]], QUESTION_DEADLINE).await?;
        vectors.pop().ok_or_else(|| ModelError::GiveUp("the server gave no vector".to_owned()))
    }
}

impl fmt::Debug for OpenAiEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiEmbedder").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: Vec<&'a str>,
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    embedding: Vector,
}

/// Servers that do not know base64 send numbers although they were asked for it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Vector {
    Base64(String),
    Numbers(Vec<f32>),
}

/// OpenAI refuses an empty input; a space is as little.
fn not_empty(text: &str) -> &str {
    if text.is_empty() { " " } else { text }
}

fn in_order(answer: Answer, count: usize, dimensions: usize) -> Result<Vec<Vec<f32>>, ModelError> {
    let broken = |detail: String| ModelError::GiveUp(format!("the server's answer breaks the protocol: {detail}"));
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; count];
    for Item { index, embedding } in answer.data {
        let slot = vectors.get_mut(index).ok_or_else(|| broken(format!("index {index} of {count} inputs")))?;
        let mut vector = embedding.decode().ok_or_else(|| broken("an embedding that is not base64".to_owned()))?;
        if vector.len() != dimensions {
            return Err(ModelError::GiveUp(format!("vectors of {} numbers instead of {dimensions}", vector.len())));
        }
        to_unit_length(&mut vector);
        if !vector.iter().all(|x| x.is_finite()) {
            return Err(broken("an embedding that is not finite".to_owned()));
        }
        if slot.replace(vector).is_some() {
            return Err(broken(format!("index {index} twice")));
        }
    }
    let missing = || broken(format!("fewer embeddings than the {count} inputs"));
    vectors.into_iter().collect::<Option<_>>().ok_or_else(missing)
}

impl Vector {
    fn decode(self) -> Option<Vec<f32>> {
        match self {
            Vector::Numbers(numbers) => Some(numbers),
            Vector::Base64(text) => {
                let bytes = BASE64_STANDARD.decode(text).ok()?;
                let (numbers, rest) = bytes.as_chunks();
                rest.is_empty().then(|| numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(json: &str) -> Result<Vec<Vec<f32>>, ModelError> {
        in_order(serde_json::from_str(json).unwrap(), 2, 2)
    }

    #[test]
    fn vectors_come_in_the_order_of_the_inputs_in_either_encoding() {
        let base64 = BASE64_STANDARD.encode([0f32, 2.0].map(f32::to_le_bytes).concat());
        let json =
            format!(r#"{{"data": [{{"index": 1, "embedding": [3, 4]}}, {{"index": 0, "embedding": "{base64}"}}]}}"#);
        assert_eq!(vectors(&json), Ok(vec![vec![0.0, 1.0], vec![0.6, 0.8]]));
    }

    #[test]
    fn an_answer_that_breaks_the_protocol_is_refused() {
        let cases = [
            (r#"{"data": [{"index": 0, "embedding": [1, 0]}]}"#, "fewer"),
            (r#"{"data": [{"index": 2, "embedding": [1, 0]}]}"#, "index 2"),
            (r#"{"data": [{"index": 0, "embedding": [1, 0]}, {"index": 0, "embedding": [1, 0]}]}"#, "twice"),
            (r#"{"data": [{"index": 0, "embedding": [1]}]}"#, "1 numbers instead of 2"),
            (r#"{"data": [{"index": 0, "embedding": "!"}]}"#, "base64"),
            (r#"{"data": [{"index": 0, "embedding": "AAAAAAAAwH8="}]}"#, "finite"),
        ];
        for (json, expected) in cases {
            let Err(ModelError::GiveUp(detail)) = vectors(json) else { panic!("{json} was taken") };
            assert!(detail.contains(expected), "{detail}");
        }
    }
}
