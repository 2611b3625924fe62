//! One endpoint of a server: sends JSON, tries again while that helps, and turns what goes wrong into a [`ModelError`].

use std::error::Error;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::Url;

use super::retry::{self, Failure};
use super::{AZURE_API_VERSION, Server, SetupError};
use crate::models::ModelError;

/// A server that does not even accept a connection in this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An error's body is read up to here; what matters stands at its beginning.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// A server's message is quoted up to here.
const MAX_QUOTED_CHARACTERS: usize = 300;

/// The codes that servers give, beside the status, to an input that is too long.
const TOO_LONG_CODES: [&str; 3] = ["context_length_exceeded", "string_above_max_length", "max_tokens_exceeded"];

/// What servers without codes write instead.
const TOO_LONG_PHRASES: [&str; 4] = ["maximum context length", "too many tokens", "maximum input length", "too long"];

/// An endpoint of a server.
pub struct Client {
    http: reqwest::Client,
    url: Url,
    key: Option<secrecy::SecretString>,
}

impl Client {
    /// The endpoint `operation` (`chat/completions`, say) of `server`.
    pub fn new(server: &Server, operation: &str) -> Result<Client, SetupError> {
        // Everybody in the process installs the same provider, so it does not matter who was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .default_headers(credentials(server)?)
            .user_agent(concat!("almanac/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SetupError::Client(describe(error)))?;
        Ok(Client { http, url: endpoint(&server.url, operation)?, key: server.key.clone() })
    }

    /// The answer to `body`, of at most `limit` bytes; asks again until `deadline` while that can help.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        body: &(impl Serialize + Sync),
        limit: usize,
        deadline: Instant,
    ) -> Result<T, ModelError> {
        retry::until(deadline, || async { parse(&read(self.send(body).await?, limit).await?) }).await
    }

    /// A response whose body is still to come; asks again until `deadline` while that can help.
    pub async fn open(&self, body: &(impl Serialize + Sync), deadline: Instant) -> Result<Response, ModelError> {
        retry::until(deadline, || self.send(body)).await
    }

    /// Likewise; `None` when the server says that something in `body` is wrong, which another body may mend.
    pub async fn try_open(
        &self,
        body: &(impl Serialize + Sync),
        deadline: Instant,
    ) -> Result<Option<Response>, ModelError> {
        retry::until(deadline, || self.try_send(body)).await
    }

    /// The same for the answer to `body`, of at most `limit` bytes.
    pub async fn try_ask<T: DeserializeOwned>(
        &self,
        body: &(impl Serialize + Sync),
        limit: usize,
        deadline: Instant,
    ) -> Result<Option<T>, ModelError> {
        retry::until(deadline, || async {
            match self.try_send(body).await? {
                Some(response) => parse(&read(response, limit).await?).map(Some),
                None => Ok(None),
            }
        })
        .await
    }

    async fn try_send(&self, body: &(impl Serialize + Sync)) -> Result<Option<Response>, Failure> {
        let response = self.http.post(self.url.clone()).json(body).send().await.map_err(cut)?;
        match response.status() {
            status if status.is_success() => Ok(Some(response)),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => match self.refusal(response).await {
                Failure::Final(ModelError::GiveUp(_)) => Ok(None),
                other => Err(other),
            },
            _ => Err(self.refusal(response).await),
        }
    }

    async fn send(&self, body: &(impl Serialize + Sync)) -> Result<Response, Failure> {
        let response = self.http.post(self.url.clone()).json(body).send().await.map_err(cut)?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    async fn refusal(&self, response: Response) -> Failure {
        let status = response.status();
        let after = retry::after(response.headers(), chrono::Utc::now());
        // A body that cannot be read leaves the status, which is enough.
        let body = read(response, MAX_ERROR_BYTES).await.unwrap_or_default();
        let mut problem = Problem::read(&body);
        problem.message = quote(&problem.message, self.key.as_ref().map(|key| key.expose_secret()));
        classify(status, &problem, after)
    }
}

/// What went wrong below HTTP; worth another try, because servers restart and proxies drop connections.
pub fn cut(error: reqwest::Error) -> Failure {
    Failure::Passing { detail: describe(error), after: None }
}

/// What the server says of an error, in either of the two shapes in use.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Problem {
    pub code: String,
    pub message: String,
}

impl Problem {
    /// Of a body that ought to be `{"error": …}`.
    fn read(body: &[u8]) -> Problem {
        #[derive(Deserialize)]
        struct Body {
            error: serde_json::Value,
        }
        match serde_json::from_slice::<Body>(body) {
            Ok(body) => Problem::of(&body.error),
            Err(_) => Problem { code: String::new(), message: String::from_utf8_lossy(body).into_owned() },
        }
    }

    /// Of the value of `error`: `{"message", "code", "type"}`, or the message alone.
    pub fn of(error: &serde_json::Value) -> Problem {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        match error {
            serde_json::Value::String(message) => Problem { code: String::new(), message: message.clone() },
            _ if error["code"].is_string() => Problem { code: text(&error["code"]), message: text(&error["message"]) },
            _ => Problem { code: text(&error["type"]), message: text(&error["message"]) },
        }
    }
}

/// What a caller can do about an answer of `status`.
fn classify(status: StatusCode, problem: &Problem, after: Option<Duration>) -> Failure {
    let said = if problem.message.is_empty() { String::new() } else { format!(": {}", problem.message) };
    let detail = format!("the server answered {}{said}", status.as_u16());
    match status.as_u16() {
        // An account without credit answers 429 as well, and no waiting fills it.
        429 if problem.code == "insufficient_quota" => ModelError::GiveUp(detail).into(),
        408 | 425 | 429 | 500 | 502..=504 | 529 => Failure::Passing { detail, after },
        413 => ModelError::Shorten(detail).into(),
        400 | 422 if is_too_long(problem) => ModelError::Shorten(detail).into(),
        _ => ModelError::GiveUp(detail).into(),
    }
}

fn is_too_long(problem: &Problem) -> bool {
    let message = problem.message.to_lowercase();
    TOO_LONG_CODES.contains(&problem.code.as_str()) || TOO_LONG_PHRASES.iter().any(|phrase| message.contains(phrase))
}

/// The beginning of a message, on one line and without the key, which some servers repeat.
pub fn quote(message: &str, key: Option<&str>) -> String {
    let message = match key.filter(|key| !key.is_empty()) {
        Some(key) => message.replace(key, "[redacted]"),
        None => message.to_owned(),
    };
    let line: String =
        message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_QUOTED_CHARACTERS).collect();
    line.trim().to_owned()
}

async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(cut)? {
        if body.len() + chunk.len() > limit {
            return Err(ModelError::GiveUp(format!("the server's answer is longer than {limit} bytes")).into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| match error.is_eof() {
        true => Failure::Passing { detail: "the server's answer ended half-way".to_owned(), after: None },
        false => ModelError::GiveUp(format!("the server's answer breaks the protocol: {error}")).into(),
    })
}

fn endpoint(base: &Url, operation: &str) -> Result<Url, SetupError> {
    let bad = || SetupError::Url(base.host_str().unwrap_or("it").to_owned());
    let mut url = base.clone();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(bad());
    }
    url.path_segments_mut().map_err(|()| bad())?.pop_if_empty().extend(operation.split('/'));
    if is_azure(base) && !base.query_pairs().any(|(name, _)| name == "api-version") {
        url.query_pairs_mut().append_pair("api-version", AZURE_API_VERSION);
    }
    Ok(url)
}

fn credentials(server: &Server) -> Result<HeaderMap, SetupError> {
    let mut headers = HeaderMap::new();
    let Some(key) = &server.key else { return Ok(headers) };
    let key = key.expose_secret();
    let (name, value) = match is_azure(&server.url) {
        true => (HeaderName::from_static("api-key"), HeaderValue::from_str(key)),
        false => (AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {key}"))),
    };
    let mut value = value.map_err(|_| SetupError::Key)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(headers)
}

fn is_azure(url: &Url) -> bool {
    url.path().contains("/openai/deployments/")
}

/// An error with its causes, without the URL, which may hold what is nobody's business.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn reaction(status: u16, code: &str, message: &str) -> Failure {
        let problem = Problem { code: code.to_owned(), message: message.to_owned() };
        classify(StatusCode::from_u16(status).unwrap(), &problem, None)
    }

    #[test]
    fn the_endpoint_follows_from_the_url() {
        let at = |base: &str| endpoint(&url(base), "chat/completions").unwrap().to_string();
        assert_eq!(at("http://localhost:11434/v1"), "http://localhost:11434/v1/chat/completions");
        assert_eq!(at("https://api.openai.com/v1/"), "https://api.openai.com/v1/chat/completions");
        assert_eq!(
            at("https://x.openai.azure.com/openai/deployments/four"),
            "https://x.openai.azure.com/openai/deployments/four/chat/completions?api-version=2024-10-21"
        );
        assert_eq!(
            at("https://x.openai.azure.com/openai/deployments/four/?api-version=2025-01-01"),
            "https://x.openai.azure.com/openai/deployments/four/chat/completions?api-version=2025-01-01"
        );
        assert!(endpoint(&url("ftp://host/v1"), "embeddings").is_err());
    }

    #[test]
    fn the_key_goes_where_the_server_looks_for_it() {
        let server = |base: &str, key: &str| Server { url: url(base), key: Some(key.into()), model: "m".to_owned() };
        let azure = credentials(&server("https://x/openai/deployments/d", "s3cret")).unwrap();
        assert_eq!(azure["api-key"], "s3cret");
        assert!(!azure.contains_key(AUTHORIZATION));
        let plain = credentials(&server("https://x/v1", "s3cret")).unwrap();
        assert_eq!(plain[AUTHORIZATION], "Bearer s3cret");
        assert!(!format!("{plain:?}").contains("s3cret"));
        assert!(matches!(credentials(&server("https://x/v1", "two\nlines")), Err(SetupError::Key)));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        for status in [408, 429, 500, 502, 503, 504, 529] {
            assert!(matches!(reaction(status, "", ""), Failure::Passing { .. }), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 409, 501] {
            assert!(matches!(reaction(status, "", ""), Failure::Final(ModelError::GiveUp(_))), "{status}");
        }
        assert!(matches!(reaction(429, "insufficient_quota", ""), Failure::Final(ModelError::GiveUp(_))));
        let long = "This model's maximum context length is 8192 tokens";
        assert!(matches!(reaction(400, "", long), Failure::Final(ModelError::Shorten(_))));
        assert!(matches!(reaction(400, "context_length_exceeded", ""), Failure::Final(ModelError::Shorten(_))));
        assert!(matches!(reaction(413, "", ""), Failure::Final(ModelError::Shorten(_))));
    }

    #[test]
    fn a_quoted_message_is_short_and_without_the_key() {
        let quoted = quote(&format!("wrong key sk-17\n{}", "x".repeat(1_000)), Some("sk-17"));
        assert!(quoted.starts_with("wrong key [redacted] xxx"), "{quoted}");
        assert_eq!(quoted.chars().count(), MAX_QUOTED_CHARACTERS);
    }

    #[test]
    fn problems_are_read_in_either_shape() {
        let object = Problem::read(br#"{"error": {"message": "no", "type": "t", "code": "c"}}"#);
        assert_eq!(object, Problem { code: "c".to_owned(), message: "no".to_owned() });
        assert_eq!(Problem::read(br#"{"error": {"message": "no", "type": "t", "code": null}}"#).code, "t");
        assert_eq!(Problem::read(br#"{"error": "no"}"#).message, "no");
        assert_eq!(Problem::read(b"Bad Gateway").message, "Bad Gateway");
    }
}
