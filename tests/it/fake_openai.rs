//! An OpenAI-compatible server for tests: strict with its clients, and broken on purpose when a script says so.
//!
//! Every request is checked against the published protocol (method, path, credentials, content type, every field and its
//! type; unknown fields are refused), answered with 400 and remembered as a complaint if it breaks it. An embedding is
//! the sum of its words' random vectors, so that texts that share words are near each other. Embeddings come back in the
//! reverse order, as a server may send them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};

/// The key that the server takes.
pub const KEY: &str = "sk-test-0123456789abcdef";

/// How long its vectors are, unless `dimensions` asks for another length.
pub const DIMENSIONS: usize = 64;

/// What it says when nothing else was put into its mouth.
pub const DEFAULT_TEXT: &str = "The warranty lasts two years [1].";

/// How a request is answered.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// As the protocol has it.
    Well,
    /// With this status, `Retry-After` and error code.
    Refuse { status: u16, retry_after: Option<&'static str>, code: &'static str },
    /// Closes the connection in the midst of the body; a stream gets its first words out.
    Cut,
    /// Nothing for a while, then well.
    SlowFirstByte(Duration),
    /// A pause before every piece of a stream.
    SlowStream(Duration),
    /// A whole body whose JSON ends half-way.
    TruncatedJson,
    /// Vectors that are one number short.
    WrongDimension,
    /// JSON that never ends.
    EndlessBody,
    /// A stream that never ends.
    EndlessStream,
    /// A stream with an error in the midst of it.
    ErrorInStream,
    /// A stream without `[DONE]`.
    NoMarkOfTheEnd,
    /// A stream that does not say what it cost, although it was asked to.
    NoUsage,
    /// A text that ends because its longest length is reached.
    CutShort,
    /// A stream of these bytes.
    Garbage(&'static [u8]),
    /// A redirect to another server.
    Redirect(String),
}

/// A request that kept to the protocol.
#[derive(Debug, Clone)]
pub struct Seen {
    pub path: String,
    pub body: Value,
}

/// A running server; ends when it is dropped.
pub struct FakeOpenAi {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Behaviour>>,
    texts: Mutex<VecDeque<String>>,
    seen: Mutex<Vec<Seen>>,
    complaints: Mutex<Vec<String>>,
    open_streams: AtomicUsize,
    /// Pieces of streams that were sent.
    pieces: AtomicUsize,
    obeys: AtomicBool,
    refuses_formats: AtomicBool,
}

impl FakeOpenAi {
    /// Starts a server on a free port of this machine.
    pub async fn start() -> FakeOpenAi {
        let shared = Arc::new(Shared::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });
        FakeOpenAi { address, shared, server }
    }

    /// The base URL of an OpenAI-compatible server.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The URL of a deployment of Azure OpenAI.
    pub fn azure_url(&self, deployment: &str) -> String {
        format!("http://{}/openai/deployments/{deployment}", self.address)
    }

    /// How the next requests that keep to the protocol are answered, one each; after them all is well.
    pub fn script(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.shared.script.lock().expect("a lock").extend(behaviours);
    }

    /// Takes back what is left of the script.
    pub fn forget_script(&self) {
        self.shared.script.lock().expect("a lock").clear();
    }

    /// What the next completion says.
    pub fn say(&self, text: &str) {
        self.shared.texts.lock().expect("a lock").push_back(text.to_owned());
    }

    /// Takes back what a completion was to say, if there is something left.
    pub fn forget(&self) -> bool {
        self.shared.texts.lock().expect("a lock").pop_front().is_some()
    }

    /// From now on the model obeys: it says what any line with `SAY: …` tells it to, except between the marks that its
    /// system message declares.
    pub fn obey(&self) {
        self.shared.obeys.store(true, Ordering::SeqCst);
    }

    /// From now on it is a server that knows no structured output: it refuses `response_format`, in OpenAI's words.
    pub fn refuse_formats(&self) {
        self.shared.refuses_formats.store(true, Ordering::SeqCst);
    }

    /// The requests so far that kept to the protocol.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("a lock").clone()
    }

    /// What was wrong with the others.
    pub fn complaints(&self) -> Vec<String> {
        self.shared.complaints.lock().expect("a lock").clone()
    }

    /// Pieces of streams that were sent so far.
    pub fn pieces(&self) -> usize {
        self.shared.pieces.load(Ordering::SeqCst)
    }

    /// Streams whose client is still there.
    pub fn open_streams(&self) -> usize {
        self.shared.open_streams.load(Ordering::SeqCst)
    }
}

impl Drop for FakeOpenAi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmbeddingRequest {
    model: String,
    input: Vec<String>,
    #[serde(default)]
    encoding_format: Encoding,
    dimensions: Option<usize>,
}

#[derive(Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    Base64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChatRequest {
    model: String,
    messages: Vec<ChatMessage>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f64>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    response_format: Option<ResponseFormat>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum ResponseFormat {
    Text,
    JsonObject,
    JsonSchema { json_schema: JsonSchema },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonSchema {
    name: String,
    #[serde(default, rename = "description")]
    _description: Option<String>,
    strict: Option<bool>,
    schema: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChatMessage {
    role: String,
    content: String,
}

enum Request {
    Embedding(EmbeddingRequest),
    Chat(ChatRequest),
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = match check(&method, &uri, &headers, &body) {
        Ok(request) => request,
        Err((status, complaint)) => {
            shared.complaints.lock().expect("a lock").push(complaint.clone());
            return problem(status, "invalid_request_error", &complaint);
        }
    };
    let body = serde_json::from_slice(&body).expect("checked");
    shared.seen.lock().expect("a lock").push(Seen { path: uri.path().to_owned(), body });
    let formed = matches!(&request, Request::Chat(chat) if chat.response_format.is_some());
    if formed && shared.refuses_formats.load(Ordering::SeqCst) {
        let message = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.";
        return problem(StatusCode::BAD_REQUEST, "invalid_request_error", message);
    }
    let behaviour = shared.script.lock().expect("a lock").pop_front().unwrap_or(Behaviour::Well);
    behave(shared, request, behaviour).await
}

fn check(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Request, (StatusCode, String)> {
    let bad = |complaint: String| (StatusCode::BAD_REQUEST, complaint);
    if method != Method::POST {
        return Err((StatusCode::METHOD_NOT_ALLOWED, format!("{method} {uri}")));
    }
    check_credentials(uri, headers)?;
    if headers.get(CONTENT_TYPE).is_none_or(|value| value != "application/json") {
        return Err(bad(format!("content-type {:?}", headers.get(CONTENT_TYPE))));
    }
    if !headers.contains_key(USER_AGENT) {
        return Err(bad("no user-agent".to_owned()));
    }
    match operation(uri.path()) {
        Some("embeddings") => check_embedding(body).map(Request::Embedding).map_err(bad),
        Some("chat/completions") => check_chat(body).map(Request::Chat).map_err(bad),
        _ => Err((StatusCode::NOT_FOUND, format!("no such path: {uri}"))),
    }
}

fn check_credentials(uri: &Uri, headers: &HeaderMap) -> Result<(), (StatusCode, String)> {
    let has = |name: &str, value: &str| headers.get(name).is_some_and(|found| found == value);
    let azure = uri.path().starts_with("/openai/");
    if azure && !uri.query().is_some_and(|query| query.starts_with("api-version=20")) {
        return Err((StatusCode::NOT_FOUND, "no api-version".to_owned()));
    }
    let (right, wrong) = match azure {
        true => (has("api-key", KEY), AUTHORIZATION.as_str()),
        false => (has(AUTHORIZATION.as_str(), &format!("Bearer {KEY}")), "api-key"),
    };
    match right && !headers.contains_key(wrong) {
        true => Ok(()),
        // Some servers repeat the key that they were given.
        false => {
            Err((StatusCode::UNAUTHORIZED, format!("Incorrect API key provided: {:?}", headers.get(AUTHORIZATION))))
        }
    }
}

/// What follows the base URL or the deployment.
fn operation(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/")
        .or_else(|| path.strip_prefix("/openai/deployments/")?.split_once('/').map(|(_, rest)| rest))
}

fn check_embedding(body: &[u8]) -> Result<EmbeddingRequest, String> {
    let request: EmbeddingRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if request.model.is_empty() {
        return Err("no model".to_owned());
    }
    if request.input.is_empty() || request.input.len() > 2_048 || request.input.iter().any(String::is_empty) {
        return Err("input must be 1 to 2048 texts, none of them empty".to_owned());
    }
    if request.dimensions.is_some_and(|dimensions| dimensions == 0 || !request.model.starts_with("text-embedding-3")) {
        return Err("this model does not support specifying dimensions".to_owned());
    }
    Ok(request)
}

fn check_chat(body: &[u8]) -> Result<ChatRequest, String> {
    let request: ChatRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let known = |message: &ChatMessage| ["system", "user", "assistant"].contains(&message.role.as_str());
    if request.model.is_empty() || request.messages.is_empty() || !request.messages.iter().all(known) {
        return Err("a model and messages of known roles are required".to_owned());
    }
    if !request.messages.iter().any(|message| message.role == "user" && !message.content.is_empty()) {
        return Err("nothing is asked".to_owned());
    }
    let thinks = request.model.starts_with("gpt-5") || request.model.starts_with("o3");
    if thinks && (request.max_tokens.is_some() || request.temperature.is_some()) {
        return Err("max_tokens and temperature are not supported with this model".to_owned());
    }
    if request.max_tokens == Some(0) || request.max_completion_tokens == Some(0) {
        return Err("at least one token".to_owned());
    }
    if request.stream_options.is_some() && !request.stream {
        return Err("The 'stream_options' parameter is only allowed when 'stream' is enabled.".to_owned());
    }
    if let Some(ResponseFormat::JsonSchema { json_schema }) = &request.response_format {
        check_format(json_schema)?;
    }
    match request.temperature {
        Some(temperature) if !(0.0..=2.0).contains(&temperature) => Err("temperature must be 0 to 2".to_owned()),
        _ => Ok(request),
    }
}

/// The form of structured output, and in strict mode the subset of JSON Schema, that OpenAI publishes.
fn check_format(format: &JsonSchema) -> Result<(), String> {
    let lettered = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if format.name.is_empty() || format.name.len() > 64 || !format.name.chars().all(lettered) {
        return Err(format!("Invalid 'response_format.json_schema.name': {:?}", format.name));
    }
    if format.schema["type"] != "object" {
        return Err("schema must be a JSON Schema of 'type: \"object\"'".to_owned());
    }
    if format.strict == Some(true) { check_schema(&format.schema) } else { Ok(()) }
}

fn check_schema(schema: &Value) -> Result<(), String> {
    const KEYWORDS: [&str; 8] =
        ["type", "properties", "required", "additionalProperties", "items", "enum", "anyOf", "description"];
    const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "object", "array", "null"];
    let fields = schema.as_object().ok_or("a schema is an object")?;
    if let Some(unknown) = fields.keys().find(|name| !KEYWORDS.contains(&name.as_str())) {
        return Err(format!("In context=(), '{unknown}' is not permitted."));
    }
    let types: Vec<&Value> = match &schema["type"] {
        Value::Array(types) => types.iter().collect(),
        one => vec![one],
    };
    if !types.iter().all(|name| name.as_str().is_some_and(|name| TYPES.contains(&name))) {
        return Err(format!("schema must have a 'type' key: {schema}"));
    }
    if let Some(properties) = schema["properties"].as_object() {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        if schema["additionalProperties"] != false {
            return Err("'additionalProperties' is required to be supplied and to be false.".to_owned());
        }
        if !properties.keys().all(|name| required.contains(&json!(name))) || required.len() != properties.len() {
            return Err("'required' is required to be an array including every key in properties.".to_owned());
        }
        properties.values().try_for_each(check_schema)?;
    }
    if types.contains(&&json!("array")) { check_schema(&schema["items"]) } else { Ok(()) }
}

async fn behave(shared: Arc<Shared>, request: Request, behaviour: Behaviour) -> Response {
    match behaviour {
        Behaviour::Refuse { status, retry_after, code } => refuse(status, retry_after, code),
        Behaviour::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, to)]).into_response(),
        Behaviour::EndlessBody => {
            let spaces = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 8_192])));
            ([(CONTENT_TYPE, "application/json")], Body::from_stream(spaces)).into_response()
        }
        Behaviour::SlowFirstByte(pause) => {
            tokio::time::sleep(pause).await;
            answer_well(shared, request, &Behaviour::Well)
        }
        other => answer_well(shared, request, &other),
    }
}

fn answer_well(shared: Arc<Shared>, request: Request, behaviour: &Behaviour) -> Response {
    match request {
        Request::Embedding(request) => whole(&embeddings(&request, behaviour), behaviour),
        Request::Chat(request) => {
            let said = shared.texts.lock().expect("a lock").pop_front();
            let obeyed = shared.obeys.load(Ordering::SeqCst).then(|| obey(&request.messages));
            let text = obeyed.or(said).unwrap_or_else(|| DEFAULT_TEXT.to_owned());
            let tells_usage = request.stream_options.as_ref().is_some_and(|options| options.include_usage);
            // A stream without end comes unasked too.
            match request.stream || matches!(behaviour, Behaviour::EndlessStream) {
                true => streamed(shared, &text, tells_usage, behaviour),
                false => whole(&completion(&request, &text, behaviour), behaviour),
            }
        }
    }
}

/// What a model says that does whatever it is told outside the marks.
fn obey(messages: &[ChatMessage]) -> String {
    let system = messages.iter().find(|message| message.role == "system").map_or("", |message| &message.content);
    let mark = system.split("<<<").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or("no mark");
    let (open, close) = (format!("<<<{mark} "), format!("{mark}>>>"));
    let mut inside = false;
    let mut told = Vec::new();
    for line in messages.iter().flat_map(|message| message.content.lines()) {
        match line {
            _ if line.starts_with(&open) => inside = true,
            _ if line == close => inside = false,
            _ if inside => {}
            _ => told.extend(line.split_once("SAY: ").map(|(_, words)| words.to_owned())),
        }
    }
    if told.is_empty() { "Nobody told me to say anything [1].".to_owned() } else { told.join(" ") }
}

fn whole(answer: &Value, behaviour: &Behaviour) -> Response {
    let text = answer.to_string();
    let half = text[..text.len() / 2].to_owned();
    let body = match behaviour {
        Behaviour::Cut => Body::from_stream(stream::iter([Ok(half), Err(std::io::Error::other("cut on purpose"))])),
        Behaviour::TruncatedJson => Body::from(half),
        _ => Body::from(text),
    };
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

fn completion(request: &ChatRequest, text: &str, behaviour: &Behaviour) -> Value {
    let reason = if matches!(behaviour, Behaviour::CutShort) { "length" } else { "stop" };
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": request.model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": null},
            "logprobs": null,
            "finish_reason": reason
        }],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    })
}

fn embeddings(request: &EmbeddingRequest, behaviour: &Behaviour) -> Value {
    let short = usize::from(matches!(behaviour, Behaviour::WrongDimension));
    let dimensions = request.dimensions.unwrap_or(DIMENSIONS) - short;
    let item = |(index, text): (usize, &String)| {
        let vector = vector(text, dimensions);
        let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
        let embedding = match request.encoding_format {
            Encoding::Float => json!(vector),
            Encoding::Base64 => json!(BASE64_STANDARD.encode(bytes)),
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    };
    let data: Vec<Value> = request.input.iter().enumerate().map(item).rev().collect();
    json!({"object": "list", "data": data, "model": request.model, "usage": {"prompt_tokens": 1, "total_tokens": 1}})
}

/// The sum of the words' random vectors, of length one.
pub fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0f32; dimensions];
    for word in text.split_whitespace().map(str::to_lowercase).chain(["always".to_owned()]) {
        // FNV-1a seeds a linear congruential generator (Knuth's constants).
        let mut state = word
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        for x in &mut sum {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *x += (state >> 40) as f32 / 8_388_608.0 - 1.0;
        }
    }
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
    sum.iter().map(|x| x / length).collect()
}

fn streamed(shared: Arc<Shared>, text: &str, tells_usage: bool, behaviour: &Behaviour) -> Response {
    let events = match behaviour {
        Behaviour::EndlessStream => stream::repeat_with(|| Ok(delta(&"and on ".repeat(200)).into())).boxed(),
        Behaviour::Garbage(bytes) => stream::iter([Ok(Bytes::from_static(bytes))]).boxed(),
        _ => stream::iter(events(text, tells_usage, behaviour)).map(|event| event.map(Bytes::from)).boxed(),
    };
    let pause = if let Behaviour::SlowStream(pause) = behaviour { *pause } else { Duration::ZERO };
    let client = OpenStream::new(shared);
    let body = events.then(move |event| {
        // The client stays with the stream.
        let shared = Arc::clone(&client.0);
        async move {
            tokio::time::sleep(pause).await;
            shared.pieces.fetch_add(1, Ordering::SeqCst);
            event
        }
    });
    ([(CONTENT_TYPE, "text/event-stream; charset=utf-8")], Body::from_stream(body)).into_response()
}

fn events(text: &str, tells_usage: bool, behaviour: &Behaviour) -> Vec<std::io::Result<String>> {
    const AZURE_FILTERS: &str = "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n";
    const USAGE: &str =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7,\"total_tokens\":18}}\n\n";
    let reason = if matches!(behaviour, Behaviour::CutShort) { "length" } else { "stop" };
    let stop = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"{reason}\"}}],\"usage\":null}}\n\n"
    );
    let letters: Vec<char> = text.chars().collect();
    let deltas: Vec<String> = letters.chunks(5).map(|piece| delta(&piece.iter().collect::<String>())).collect();
    let mut events: Vec<_> = [": a comment\n\n", AZURE_FILTERS].map(|event| Ok(event.to_owned())).into();
    match behaviour {
        Behaviour::Cut => events.extend([Ok(deltas[0].clone()), Err(std::io::Error::other("cut on purpose"))]),
        Behaviour::ErrorInStream => {
            let error = "data: {\"error\":{\"message\":\"overloaded\",\"code\":null}}\n\n";
            events.extend([Ok(deltas[0].clone()), Ok(error.to_owned())]);
        }
        _ => events.extend(deltas.into_iter().chain([stop]).map(Ok)),
    }
    let ends = !matches!(behaviour, Behaviour::Cut | Behaviour::ErrorInStream);
    if ends && tells_usage && !matches!(behaviour, Behaviour::NoUsage) {
        events.push(Ok(USAGE.to_owned()));
    }
    if ends && !matches!(behaviour, Behaviour::NoMarkOfTheEnd) {
        events.push(Ok("data: [DONE]\n\n".to_owned()));
    }
    events
}

fn delta(text: &str) -> String {
    let event = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [
        {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": null}
    ]});
    format!("data: {event}\n\n")
}

/// Counts a stream as long as its client is there.
struct OpenStream(Arc<Shared>);

impl OpenStream {
    fn new(shared: Arc<Shared>) -> OpenStream {
        shared.open_streams.fetch_add(1, Ordering::SeqCst);
        OpenStream(shared)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.open_streams.fetch_sub(1, Ordering::SeqCst);
    }
}

fn refuse(status: u16, retry_after: Option<&'static str>, code: &str) -> Response {
    let mut response = problem(StatusCode::from_u16(status).expect("a status"), code, "refused on purpose");
    if let Some(value) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, value.parse().expect("a header"));
    }
    response
}

fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": code, "param": null, "code": code}});
    (status, axum::Json(body)).into_response()
}
