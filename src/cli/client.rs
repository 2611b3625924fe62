//! The HTTP client behind the client commands, how it finds its server and key, and how long it waits for one that is
//! busy or away.

use std::{
    fs,
    future::Future,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::Value;

use crate::app::{ADDRESS_FILE, ADMIN_KEY_FILE};

/// A server and the key to it.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

const CONNECTING: Duration = Duration::from_secs(10);
/// `Prefer: wait` and language models take up to a minute each. An upload takes as long as it moves.
const TIMEOUT: Duration = Duration::from_secs(200);
/// The server gives an upload an hour; a little more, so that its answer arrives.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(65 * 60);

impl Client {
    /// The server in ALMANAC_URL with the key in ALMANAC_API_KEY, else the one that runs on this machine.
    pub fn find() -> anyhow::Result<Client> {
        let data_dir = PathBuf::from(setting("ALMANAC_DATA_DIR").unwrap_or_else(|| "almanac-data".to_owned()));
        let left = |file: &str| fs::read_to_string(data_dir.join(file)).ok().map(|text| text.trim().to_owned());
        let url = setting("ALMANAC_URL").or_else(|| left(ADDRESS_FILE)).with_context(|| {
            format!("no server runs with the data folder {}: set ALMANAC_URL, or ALMANAC_DATA_DIR", data_dir.display())
        })?;
        let key = setting("ALMANAC_API_KEY")
            .or_else(|| setting("ALMANAC_ADMIN_KEY"))
            .or_else(|| left(ADMIN_KEY_FILE))
            .context("there is no key: set ALMANAC_API_KEY")?;
        // The same provider as everywhere in this process; it does not matter who installs it first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().connect_timeout(CONNECTING).timeout(TIMEOUT).build()?;
        Ok(Client { http, url: url.trim_end_matches('/').to_owned(), key })
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        json(self.request(Method::GET, path).send().await.context("the server cannot be reached")?).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        json(self.request(Method::POST, path).json(body).send().await.context("the server cannot be reached")?).await
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        json(self.request(Method::DELETE, path).send().await.context("the server cannot be reached")?).await
    }

    /// Sends what `request` makes until it is answered, with bounded patience for a server that is busy (429, 503), away
    /// or breaks off. What is sent must do no harm when it arrives twice.
    pub async fn patiently(&self, request: impl AsyncFn() -> anyhow::Result<RequestBuilder>) -> anyhow::Result<Value> {
        insist(async || Ok(Answer::to(request().await?).await)).await
    }

    /// The same for a body that may take long on a thin line. It is given up when it no longer moves: `request` makes its
    /// body beat the pulse.
    pub async fn upload(
        &self,
        request: impl AsyncFn(Pulse) -> anyhow::Result<RequestBuilder>,
    ) -> anyhow::Result<Value> {
        insist(async || {
            let pulse = Pulse::new();
            let request = request(pulse.clone()).await?.timeout(UPLOAD_TIMEOUT);
            Ok(tokio::select! {
                answer = Answer::to(request) => answer,
                () = pulse.stopped(TIMEOUT) => Err(Broken::Still),
            })
        })
        .await
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    /// The id of the item called `name` (or with that id) in the list at `path`.
    pub async fn id_of(&self, path: &str, name: &str) -> anyhow::Result<Option<String>> {
        find_id(path, name, async |page| self.get(&page).await).await
    }

    /// The same, [patiently](Client::patiently).
    pub async fn id_of_patiently(&self, path: &str, name: &str) -> anyhow::Result<Option<String>> {
        find_id(path, name, async |page| self.patiently(async || Ok(self.request(Method::GET, &page))).await).await
    }

    /// The database called `name`; the only one there is, when no name is given.
    pub async fn database(&self, name: &str) -> anyhow::Result<String> {
        let id = self.id_of("/v1/databases", name).await?;
        id.with_context(|| format!("there is no database called {name}"))
    }

    /// Ids of the named knowledge bases, for a search.
    pub async fn knowledge_bases(&self, names: &[String]) -> anyhow::Result<Vec<String>> {
        let mut ids = Vec::new();
        for name in names {
            let id = self.id_of("/v1/knowledge-bases", name).await?;
            ids.push(id.with_context(|| format!("there is no knowledge base called {name}"))?);
        }
        Ok(ids)
    }
}

async fn find_id(
    path: &str,
    name: &str,
    get: impl AsyncFn(String) -> anyhow::Result<Value>,
) -> anyhow::Result<Option<String>> {
    let mut cursor = String::new();
    loop {
        let page = get(format!("{path}?limit=100{cursor}")).await?;
        let items = page["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(item) = items.iter().find(|item| item["name"] == name || item["id"] == name) {
            return Ok(item["id"].as_str().map(str::to_owned));
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(None),
        }
    }
}

/// Tries until there is an answer, or patience ends.
async fn insist(attempt: impl AsyncFn() -> anyhow::Result<Result<Answer, Broken>>) -> anyhow::Result<Value> {
    let mut patience = Patience::NEW;
    loop {
        let answer = attempt().await?;
        match patience.after(&answer) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return answer.map_err(explained)?.json(),
        }
    }
}

/// When a body moved last.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    fn new() -> Pulse {
        Pulse(Arc::new(Mutex::new(Instant::now())))
    }

    pub fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Once nothing has moved for so long.
    async fn stopped(&self, silence: Duration) {
        loop {
            let still = self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
            match silence.checked_sub(still).filter(|rest| !rest.is_zero()) {
                Some(rest) => tokio::time::sleep(rest).await,
                None => return,
            }
        }
    }
}

/// The body of a success, or the problem as an error.
pub async fn json(response: Response) -> anyhow::Result<Value> {
    Answer::read(response).await.context("the server's answer was cut off")?.json()
}

/// Why there is no answer.
#[derive(Debug)]
enum Broken {
    Http(reqwest::Error),
    /// An upload no longer moved.
    Still,
}

fn explained(broken: Broken) -> anyhow::Error {
    let Broken::Http(error) = broken else {
        return anyhow::anyhow!("the upload came to a standstill: nothing moved for {} s", TIMEOUT.as_secs());
    };
    let what = if error.is_connect() { "the server cannot be reached" } else { "the connection to the server broke" };
    anyhow::Error::new(error).context(what)
}

/// Whether nobody listened where the server should be: no other request would fare better.
pub fn is_away(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<reqwest::Error>()).any(reqwest::Error::is_connect)
}

struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    text: String,
}

impl Answer {
    async fn to(request: RequestBuilder) -> Result<Answer, Broken> {
        let response = request.send().await.map_err(Broken::Http)?;
        Answer::read(response).await.map_err(Broken::Http)
    }

    async fn read(response: Response) -> reqwest::Result<Answer> {
        let status = response.status();
        let seconds = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Answer { status, retry_after: seconds.map(Duration::from_secs), text: response.text().await? })
    }

    fn is_busy(&self) -> bool {
        matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }

    fn json(&self) -> anyhow::Result<Value> {
        let value: Value = serde_json::from_str(&self.text).unwrap_or(Value::Null);
        if self.status.is_success() {
            return Ok(value);
        }
        match value["detail"].as_str() {
            Some(detail) => bail!("{detail}"),
            None => bail!("the server answered {}", self.status),
        }
    }
}

/// What is left of the patience with one request.
#[derive(Debug)]
struct Patience {
    busy: Duration,
    away: Duration,
    broken: u32,
    backoff: Duration,
}

impl Patience {
    /// A full queue moves on within `busy`, a server that restarts is back within `away`; a connection that breaks again
    /// and again has a reason that will not pass.
    const NEW: Patience = Patience {
        busy: Duration::from_secs(15 * 60),
        away: Duration::from_secs(60),
        broken: 3,
        backoff: Duration::from_millis(250),
    };
    /// Between two attempts, whatever the server asks for.
    const LONGEST: Duration = Duration::from_secs(60);
    const LONGEST_BACKOFF: Duration = Duration::from_secs(8);

    /// How long to wait before the next attempt; none: this was the last.
    fn after(&mut self, answer: &Result<Answer, Broken>) -> Option<Duration> {
        match answer {
            Ok(answer) if answer.is_busy() => self.after_busy(answer.retry_after),
            Ok(_) => None,
            Err(Broken::Http(error)) if error.is_builder() => None,
            Err(Broken::Http(error)) if error.is_connect() => self.after_away(),
            Err(_) => self.after_broken(),
        }
    }

    fn after_busy(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let pause = asked.unwrap_or_else(|| self.longer()).clamp(Patience::NEW.backoff, Patience::LONGEST);
        self.busy = self.busy.checked_sub(pause)?;
        Some(pause)
    }

    fn after_away(&mut self) -> Option<Duration> {
        let pause = self.longer();
        self.away = self.away.checked_sub(pause)?;
        Some(pause)
    }

    fn after_broken(&mut self) -> Option<Duration> {
        self.broken = self.broken.checked_sub(1)?;
        Some(self.longer())
    }

    fn longer(&mut self) -> Duration {
        let pause = self.backoff;
        self.backoff = (pause * 2).min(Patience::LONGEST_BACKOFF);
        pause
    }
}

/// Runs a client command. Threads that still read a file or standard input are not waited for.
pub fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(command);
    runtime.shutdown_background();
    ended
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_given_up_only_when_it_no_longer_moves() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let pulse = Pulse::new();
        let silence = Duration::from_millis(200);
        let began = Instant::now();
        let moving = async {
            for _ in 0..5 {
                tokio::time::sleep(silence / 2).await;
                pulse.beat();
            }
        };
        runtime.block_on(async { tokio::join!(moving, pulse.stopped(silence)) });
        assert!(began.elapsed() >= silence * 7 / 2, "{:?}", began.elapsed());
    }

    #[test]
    fn a_busy_server_is_waited_for_as_long_as_it_asks_within_bounds() {
        let mut patience = Patience::NEW;
        assert_eq!(patience.after_busy(Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(patience.after_busy(Some(Duration::from_secs(86_400))), Some(Patience::LONGEST));
        assert_eq!(patience.after_busy(Some(Duration::ZERO)), Some(Patience::NEW.backoff));
        let waits = std::iter::from_fn(|| patience.after_busy(Some(Duration::from_secs(60)))).count();
        assert_eq!(waits, 13, "a quarter of an hour in all");
    }

    #[test]
    fn a_server_that_is_away_is_tried_less_and_less_often_for_a_minute() {
        let mut patience = Patience::NEW;
        let waits: Vec<Duration> = std::iter::from_fn(|| patience.after_away()).collect();
        assert!(waits.is_sorted(), "{waits:?}");
        let all: Duration = waits.iter().sum();
        assert!((Duration::from_secs(50)..=Duration::from_secs(60)).contains(&all), "{waits:?}");
        assert_eq!(std::iter::from_fn(|| patience.after_broken()).count(), 3);
    }
}
