//! The HTTP client behind the client commands, and how it finds its server and key.

use std::{fs, future::Future, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use crate::app::{ADDRESS_FILE, ADMIN_KEY_FILE};

/// A server and the key to it.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

/// `Prefer: wait` and language models take up to a minute each.
const TIMEOUT: Duration = Duration::from_secs(200);

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
        let http = reqwest::Client::builder().timeout(TIMEOUT).build()?;
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

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    /// The id of the item called `name` (or with that id) in the list at `path`.
    pub async fn id_of(&self, path: &str, name: &str) -> anyhow::Result<Option<String>> {
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}?limit=100{cursor}")).await?;
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

/// The body of a success, or the problem as an error.
pub async fn json(response: Response) -> anyhow::Result<Value> {
    let status = response.status();
    let text = response.text().await.context("the server's answer was cut off")?;
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if status.is_success() {
        return Ok(value);
    }
    match value["detail"].as_str() {
        Some(detail) => bail!("{detail}"),
        None => bail!("the server answered {status}"),
    }
}

/// Runs a client command.
pub fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
