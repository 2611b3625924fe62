//! Object storage for tests, S3 or Azure Blob: strict with its clients, and broken on purpose when a script says so.
//!
//! Every request must be signed as the cloud's documentation has it, over what was really received; one that is not, or that
//! breaks the protocol, is refused and remembered as a complaint. Lists come in pages of [`PAGE`].

mod azure;
mod s3;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use url::Url;

/// Keys on one page of a list.
pub const PAGE: usize = 2;
/// What must never be seen anywhere.
pub const SECRETS: [&str; 3] = ["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AQoDYXdzEJr-session-token", AZURE_KEY];
const AZURE_KEY: &str = "c2VjcmV0LW9mLXRoZS1zdG9yYWdlLWFjY291bnQtMDEyMzQ1Njc4OQ==";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    S3,
    Azure,
}

/// How a request that keeps to the protocol is answered instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 503 with `Retry-After`.
    SlowDown,
    /// 403 with an answer that repeats all headers, as S3 does with a request whose signature is wrong.
    Refuse,
    /// The connection ends before anything was done.
    Cut,
    /// All is done, and the connection ends before the answer.
    LoseAnswer,
    /// The answer's body ends half-way.
    CutBody,
    /// 200, and an error in the body.
    ErrorInside,
}

/// What requests are for, in the words of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Put,
    Create,
    Part,
    Complete,
    Abort,
    Get,
    Head,
    List,
    Delete,
}

/// A running storage; ends when it is dropped.
pub struct FakeStorage {
    kind: Kind,
    address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    kind: Kind,
    state: Mutex<Stored>,
}

#[derive(Default)]
struct Stored {
    objects: BTreeMap<String, Bytes>,
    /// Unfinished uploads: by S3's upload id and part number, or by Azure's blob and block.
    uploads: BTreeMap<String, BTreeMap<String, Bytes>>,
    script: Vec<(Operation, Fault)>,
    complaints: Vec<String>,
    seen: Vec<Operation>,
    largest_body: usize,
    number: usize,
}

/// A request, received whole.
struct Asked {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
}

/// Why a request is refused: status, the cloud's code, and words.
struct Refusal(u16, &'static str, String);

type Answer = Result<Response, Refusal>;

impl FakeStorage {
    pub async fn start(kind: Kind) -> FakeStorage {
        let shared = Arc::new(Shared { kind, state: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        FakeStorage { kind, address, shared, server }
    }

    pub fn url(&self) -> Url {
        let url = match self.kind {
            Kind::S3 => "s3://bucket/some/prefix",
            Kind::Azure => "az://bucket/some/prefix",
        };
        url.parse().unwrap()
    }

    /// What the environment of a server would hold.
    pub fn options(&self) -> Vec<(String, SecretString)> {
        let endpoint = format!("http://{}", self.address);
        let options = match self.kind {
            Kind::S3 => [
                ("AWS_ENDPOINT_URL", endpoint.as_str()),
                ("AWS_ALLOW_HTTP", "true"),
                ("AWS_REGION", s3::REGION),
                ("AWS_ACCESS_KEY_ID", s3::KEY_ID),
                ("AWS_SECRET_ACCESS_KEY", SECRETS[0]),
                ("AWS_SESSION_TOKEN", SECRETS[1]),
                ("AWS_PROFILE", "what object_store does not know is passed over"),
            ]
            .to_vec(),
            Kind::Azure => [
                ("AZURE_STORAGE_ENDPOINT", endpoint.as_str()),
                ("AZURE_ALLOW_HTTP", "true"),
                ("AZURE_STORAGE_ACCOUNT_NAME", azure::ACCOUNT),
                ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY),
            ]
            .to_vec(),
        };
        options.into_iter().map(|(name, value)| (name.to_owned(), SecretString::from(value))).collect()
    }

    /// The next requests for these operations are answered so, one each.
    pub fn script(&self, faults: impl IntoIterator<Item = (Operation, Fault)>) {
        self.state().script.extend(faults);
    }

    /// What of the script did not happen.
    pub fn unused(&self) -> Vec<(Operation, Fault)> {
        self.state().script.clone()
    }

    pub fn put(&self, key: &str, bytes: &[u8]) {
        self.state().objects.insert(format!("some/prefix/{key}"), Bytes::copy_from_slice(bytes));
    }

    /// Keys of files under the prefix; the mark of the installation is none.
    pub fn keys(&self) -> Vec<String> {
        let state = self.state();
        let keys = state.objects.keys().map(|key| key.strip_prefix("some/prefix/").unwrap().to_owned());
        keys.filter(|key| key != "installation").collect()
    }

    pub fn unfinished(&self) -> usize {
        self.state().uploads.len()
    }

    pub fn complaints(&self) -> Vec<String> {
        self.state().complaints.clone()
    }

    pub fn largest_body(&self) -> usize {
        self.state().largest_body
    }

    pub fn count(&self, operation: Operation) -> usize {
        self.state().seen.iter().filter(|seen| **seen == operation).count()
    }

    fn state(&self) -> MutexGuard<'_, Stored> {
        self.shared.state.lock().unwrap()
    }
}

impl Drop for FakeStorage {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // A client that hangs up has not asked for anything.
    let Ok(body) = to_bytes(body, 64 << 20).await else { return StatusCode::BAD_REQUEST.into_response() };
    let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let asked = Asked { method: parts.method, path: parts.uri.path().to_owned(), query, headers: parts.headers, body };
    let mut state = shared.state.lock().unwrap();
    let operation = match shared.kind {
        Kind::S3 => s3::check(&asked),
        Kind::Azure => azure::check(&asked),
    };
    let operation = match operation {
        Ok(operation) => operation,
        Err(refusal) => return refuse(&mut state, &asked, refusal),
    };
    state.seen.push(operation);
    state.largest_body = state.largest_body.max(asked.body.len());
    let scripted = state.script.iter().position(|(scripted, _)| *scripted == operation);
    let fault = scripted.map(|index| state.script.remove(index).1);
    match fault {
        Some(Fault::SlowDown) => return slow_down(),
        Some(Fault::Refuse) => return repeat(&asked),
        Some(Fault::Cut) => hang_up(state),
        Some(Fault::ErrorInside) => return "<Error><Code>InternalError</Code></Error>".into_response(),
        _ => {}
    }
    let done = match shared.kind {
        Kind::S3 => s3::carry_out(&mut state, operation, &asked),
        Kind::Azure => azure::carry_out(&mut state, operation, &asked),
    };
    let response = match done {
        Ok(response) => response,
        Err(refusal) => return refuse(&mut state, &asked, refusal),
    };
    match fault {
        Some(Fault::LoseAnswer) => hang_up(state),
        Some(Fault::CutBody) => cut_body(response),
        _ => response,
    }
}

/// Ends the task that serves the connection, and so the connection.
fn hang_up(state: MutexGuard<'_, Stored>) -> ! {
    drop(state);
    std::panic::resume_unwind(Box::new("a connection that is cut"))
}

fn slow_down() -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(header::RETRY_AFTER, "1")],
        "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
    )
        .into_response()
}

fn repeat(asked: &Asked) -> Response {
    let body = format!(
        "<Error><Code>SignatureDoesNotMatch</Code><CanonicalRequest>{:?}</CanonicalRequest></Error>",
        asked.headers
    );
    (StatusCode::FORBIDDEN, body).into_response()
}

/// Promises the whole body, and sends half of it.
fn cut_body(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let half = async move {
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let half = bytes.slice(..bytes.len() / 2);
        futures::stream::iter([Ok(half), Err(std::io::Error::other("cut"))])
    };
    let mut cut = Response::new(Body::from_stream(futures::StreamExt::flatten(futures::stream::once(half))));
    *cut.status_mut() = parts.status;
    *cut.headers_mut() = parts.headers;
    cut
}

/// Refusals that a client may well meet are no complaints.
fn refuse(state: &mut Stored, asked: &Asked, Refusal(status, code, words): Refusal) -> Response {
    if !matches!(code, "NoSuchKey" | "NoSuchUpload" | "BlobNotFound" | "InvalidBlockList") {
        state.complaints.push(format!("{} {} {:?}: {code}: {words}", asked.method, asked.path, asked.query));
    }
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{words}</Message></Error>");
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }
}

/// The object, or the part of it that `Range` asks for; for HEAD nothing but its length.
fn send_object(asked: &Asked, object: &Bytes) -> Response {
    let headers = [
        (header::ETAG, etag(object)),
        (header::LAST_MODIFIED, "Fri, 20 Nov 2026 12:00:00 GMT".to_owned()),
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
    ];
    let range = asked.header("range").or_else(|| asked.header("x-ms-range"));
    let range = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    match range {
        Some((first, last)) if asked.method == Method::GET => {
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            let last = last.min(object.len() - 1);
            let content_range = format!("bytes {first}-{last}/{}", object.len());
            let part = object.slice(first..=last);
            (StatusCode::PARTIAL_CONTENT, headers, [(header::CONTENT_RANGE, content_range)], part).into_response()
        }
        _ if asked.method == Method::HEAD => {
            (headers, [(header::CONTENT_LENGTH, object.len())].map(|(n, v)| (n, v.to_string()))).into_response()
        }
        _ => (headers, object.clone()).into_response(),
    }
}

/// A page of the keys with a prefix, after a key: the keys, and whether there are more.
fn page<'a>(state: &'a Stored, prefix: &str, after: &str) -> (Vec<(&'a String, &'a Bytes)>, bool) {
    let mut keys = state.objects.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
    let page: Vec<_> = keys.by_ref().take(PAGE).collect();
    (page, keys.next().is_some())
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &hex::encode(Sha256::digest(bytes))[..32])
}

fn sha256_base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(bytes))
}

/// RFC 2104 over SHA-256.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    match key.len() > block.len() {
        true => block[..32].copy_from_slice(&Sha256::digest(key)),
        false => block[..key.len()].copy_from_slice(key),
    }
    let pad = |byte: u8| block.map(|key| key ^ byte);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

/// The texts of all elements `name`, which hold no elements and need no unescaping.
fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open).skip(1).filter_map(|rest| rest.split_once(&close).map(|(text, _)| text)).collect()
}

#[test]
fn the_hmac_is_that_of_rfc_4231() {
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(hex::encode(hmac(b"Jefe", b"what do ya want for nothing?")), expected);
}
