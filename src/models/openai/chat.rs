//! `POST /chat/completions`: text from a server, whole or as it comes.
//!
//! Models that think before they answer (OpenAI's o and GPT-5 families) take `max_completion_tokens` and no temperature;
//! every other model takes `max_tokens`, which is what other servers know.
//!
//! A stream is asked to end with the tokens it took (`stream_options`), and an answer of a given form is asked for as
//! structured output (`response_format` with `json_schema`, as OpenAI, Azure OpenAI since 2024-10-21, vLLM, Ollama and
//! llama.cpp take it). A server that refuses either field is asked without it from then on; one that does not know it
//! says nothing of the tokens, or writes what it likes.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant, timeout_at};

use super::client::{Client, Problem, cut, quote};
use super::retry::Failure;
use super::sse::{BadEvent, Decoder};
use super::{Server, SetupError};
use crate::models::{AnswerFormat, Completion, Ending, LanguageModel, ModelError, Prompt, Said, Usage};

/// The longest text taken from a server; a hundred times what an answer or an SQL statement needs.
const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// The longest body: each word of a stream comes in a few hundred bytes of JSON.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// A stream that is silent for this long is dead.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// How the names of models begin that think before they answer.
const THINKING_MODELS: [&str; 4] = ["o1", "o3", "o4", "gpt-5"];

/// A language model behind a server.
pub struct OpenAiLanguageModel {
    client: Client,
    model: String,
    key: Option<SecretString>,
    /// The server has refused `stream_options`.
    refuses_options: AtomicBool,
    /// It has refused `response_format`.
    refuses_formats: AtomicBool,
}

impl OpenAiLanguageModel {
    pub fn new(server: &Server) -> Result<OpenAiLanguageModel, SetupError> {
        let client = Client::new(server, "chat/completions")?;
        let (model, key) = (server.model.clone(), server.key.clone());
        let (refuses_options, refuses_formats) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(OpenAiLanguageModel { client, model, key, refuses_options, refuses_formats })
    }

    /// An answer in the form that the prompt asks for, unless the server is known to refuse forms.
    async fn ask(&self, prompt: &Prompt, deadline: Instant) -> Result<Answer, ModelError> {
        let mut request = self.request(prompt, false);
        if request.response_format.is_none() {
            return self.client.ask(&request, MAX_TEXT_BYTES, deadline).await;
        }
        if let Some(answer) = self.client.try_ask(&request, MAX_TEXT_BYTES, deadline).await? {
            return Ok(answer);
        }
        request.response_format = None;
        let answer = self.client.ask(&request, MAX_TEXT_BYTES, deadline).await?;
        self.refuses_formats.store(true, Ordering::Relaxed);
        Ok(answer)
    }

    /// A stream that is asked to say what it cost, unless the server is known to refuse that.
    async fn open(&self, prompt: &Prompt, deadline: Instant) -> Result<Response, ModelError> {
        let mut request = self.request(prompt, true);
        if !self.refuses_options.load(Ordering::Relaxed) {
            request.stream_options = Some(StreamOptions { include_usage: true });
            if let Some(response) = self.client.try_open(&request, deadline).await? {
                return Ok(response);
            }
            request.stream_options = None;
        }
        let response = self.client.open(&request, deadline).await?;
        self.refuses_options.store(true, Ordering::Relaxed);
        Ok(response)
    }

    fn request<'a>(&'a self, prompt: &'a Prompt, stream: bool) -> Request<'a> {
        let thinks = THINKING_MODELS.iter().any(|start| self.model.starts_with(start));
        Request {
            model: &self.model,
            messages: [
                Message { role: "system", content: &prompt.system },
                Message { role: "user", content: &prompt.user },
            ],
            max_tokens: (!thinks).then_some(prompt.max_tokens),
            max_completion_tokens: thinks.then_some(prompt.max_tokens),
            temperature: (!thinks).then_some(prompt.temperature),
            stream,
            stream_options: None,
            response_format: prompt
                .format
                .as_ref()
                .filter(|_| !stream && !self.refuses_formats.load(Ordering::Relaxed))
                .map(ResponseFormat::of),
        }
    }
}

#[async_trait]
impl LanguageModel for OpenAiLanguageModel {
    fn name(&self) -> &str {
        &self.model
    }

    async fn complete(&self, prompt: &Prompt) -> Result<Completion, ModelError> {
        let deadline = Instant::now() + prompt.deadline;
        let answer = self.ask(prompt, deadline).await?;
        let Some(choice) = answer.choices.into_iter().next() else { return Err(broken("no choices")) };
        let cut = choice.finish_reason.is_some_and(|reason| reason == "length");
        match (choice.message.content, choice.message.refusal) {
            (Some(text), _) => Ok(Completion { text, usage: answer.usage.as_ref().and_then(usage), cut }),
            (None, Some(refusal)) => Err(ModelError::GiveUp(format!("the model refused: {}", quote(&refusal, None)))),
            (None, None) => Err(broken("a message without content")),
        }
    }

    async fn stream(&self, prompt: &Prompt) -> Result<BoxStream<'static, Result<Said, ModelError>>, ModelError> {
        let deadline = Instant::now() + prompt.deadline;
        let response = self.open(prompt, deadline).await?;
        let content_type =
            response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !content_type.starts_with("text/event-stream") {
            return Err(broken("a stream that is not text/event-stream"));
        }
        let key = self.key.clone();
        let deltas = Deltas {
            response,
            key,
            deadline,
            decoder: Decoder::default(),
            read: 0,
            said: 0,
            finished: false,
            closed: false,
            ending: Some(Ending::default()),
        };
        Ok(stream::try_unfold(deltas, |mut deltas| async { Ok(deltas.next().await?.map(|said| (said, deltas))) })
            .boxed())
    }
}

impl fmt::Debug for OpenAiLanguageModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiLanguageModel").field("model", &self.model).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: [Message<'a>; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct ResponseFormat<'a> {
    r#type: &'static str,
    json_schema: JsonSchema<'a>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    name: &'static str,
    /// The model can write nothing else, not even by chance.
    strict: bool,
    schema: &'a serde_json::Value,
}

impl ResponseFormat<'_> {
    fn of(format: &AnswerFormat) -> ResponseFormat<'_> {
        ResponseFormat {
            r#type: "json_schema",
            json_schema: JsonSchema { name: format.name, strict: true, schema: &format.schema },
        }
    }
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
    usage: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    message: Reply,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Reply {
    content: Option<String>,
    refusal: Option<String>,
}

/// What a call cost; a server that says it in a way of its own has not said it.
fn usage(value: &serde_json::Value) -> Option<Usage> {
    let number = |name: &str| u32::try_from(value[name].as_u64()?).ok();
    Some(Usage { prompt_tokens: number("prompt_tokens")?, completion_tokens: number("completion_tokens")? })
}

/// One event of a stream: a piece of the text, or what went wrong half-way.
#[derive(Deserialize)]
struct Event {
    /// Empty in Azure's first event, which tells of its filters, and in the last one, which tells what it all cost.
    #[serde(default)]
    choices: Vec<Change>,
    usage: Option<serde_json::Value>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
}

/// A stream under way. Dropping it closes the connection, which tells the server to stop.
struct Deltas {
    response: Response,
    key: Option<SecretString>,
    deadline: Instant,
    decoder: Decoder,
    /// Bytes of the body.
    read: usize,
    /// Bytes of the text.
    said: usize,
    /// The model said that this was all.
    finished: bool,
    /// Nothing more comes from the network.
    closed: bool,
    /// What is known of the end; taken when it is told.
    ending: Option<Ending>,
}

impl Deltas {
    /// The next piece of text that is not empty, then the end.
    async fn next(&mut self) -> Result<Option<Said>, ModelError> {
        // Told already: whatever a server sends after its end is nothing.
        if self.ending.is_none() {
            return Ok(None);
        }
        loop {
            while let Some(event) = self.decoder.next_event() {
                if event == "[DONE]" {
                    return Ok(self.ending.take().map(Said::Ending));
                }
                let text = self.take(&event)?;
                if !text.is_empty() {
                    return Ok(Some(Said::Text(text)));
                }
            }
            match (self.closed, self.finished) {
                (false, _) => self.read_more().await?,
                // Some servers leave out the mark of the end.
                (true, true) => return Ok(self.ending.take().map(Said::Ending)),
                (true, false) => return Err(ModelError::Retry("the stream was cut half-way".to_owned())),
            }
        }
    }

    fn take(&mut self, event: &str) -> Result<String, ModelError> {
        let event: Event = serde_json::from_str(event).map_err(|error| broken(&error.to_string()))?;
        if let Some(error) = event.error.filter(|error| !error.is_null()) {
            let message = quote(&Problem::of(&error).message, self.key.as_ref().map(|key| key.expose_secret()));
            return Err(ModelError::Retry(format!("the server failed half-way: {message}")));
        }
        if let (Some(ending), Some(usage)) = (&mut self.ending, event.usage.as_ref().and_then(usage)) {
            ending.usage = Some(usage);
        }
        let Some(change) = event.choices.into_iter().next() else { return Ok(String::new()) };
        if let Some(reason) = change.finish_reason {
            self.finished = true;
            self.ending.iter_mut().for_each(|ending| ending.cut = reason == "length");
        }
        let text = change.delta.content.unwrap_or_default();
        self.said += text.len();
        if self.said > MAX_TEXT_BYTES { Err(too_long(MAX_TEXT_BYTES)) } else { Ok(text) }
    }

    async fn read_more(&mut self) -> Result<(), ModelError> {
        let patience = self.deadline.min(Instant::now() + LONGEST_SILENCE);
        let chunk = timeout_at(patience, self.response.chunk()).await;
        let chunk = chunk.map_err(|_| ModelError::Timeout("the stream fell silent or took too long".to_owned()))?;
        match chunk.map_err(|error| given_up(cut(error)))? {
            Some(bytes) => {
                self.read += bytes.len();
                if self.read > MAX_BODY_BYTES {
                    return Err(too_long(MAX_BODY_BYTES));
                }
                self.decoder.feed(&bytes).map_err(bad_event)
            }
            None => {
                self.closed = true;
                self.decoder.finish().map_err(bad_event)
            }
        }
    }
}

fn broken(detail: &str) -> ModelError {
    ModelError::GiveUp(format!("the server's answer breaks the protocol: {detail}"))
}

fn too_long(limit: usize) -> ModelError {
    ModelError::GiveUp(format!("the server's answer is longer than {limit} bytes"))
}

fn bad_event(_: BadEvent) -> ModelError {
    broken("an event that is too long or not UTF-8")
}

/// A stream that has begun is not tried again: its reader has seen its beginning.
fn given_up(failure: Failure) -> ModelError {
    match failure {
        Failure::Passing { detail, .. } => ModelError::Retry(detail),
        Failure::Final(error) => error,
    }
}
