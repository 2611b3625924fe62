//! The databases that are asked: those the server knows by name, and Spider's files, connected for the time of an
//! evaluation.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::{client::Client, eval::progress::Progress};

/// What was connected here, and is to be removed again.
#[derive(Debug, Default)]
pub struct Made(RefCell<Vec<(String, String)>>);

const POLL: Duration = Duration::from_millis(100);
/// Reading a schema takes seconds; a server that is busy with others may take longer.
const MAX_SYNC: Duration = Duration::from_secs(600);

/// The ids of the named databases. Those that the server does not know are looked for in `files`, as
/// `files/name/name.sqlite`, and connected.
pub async fn find(
    client: &Client,
    names: &[String],
    files: Option<&Path>,
    made: &Made,
) -> anyhow::Result<HashMap<String, String>> {
    let mut ids = HashMap::new();
    let mut missing = Vec::new();
    for name in names {
        match client.id_of("/v1/databases", name).await? {
            Some(id) => _ = ids.insert(name.clone(), id),
            None => missing.push(name),
        }
    }
    if missing.is_empty() {
        return Ok(ids);
    }
    let Some(files) = files else { bail!("the server knows no database called {}", listed(&missing)) };
    let found: Vec<(&String, PathBuf)> =
        missing.into_iter().map(|name| Ok((name, file(files, name)?))).collect::<anyhow::Result<_>>()?;
    let progress = Progress::of("databases connected", found.len());
    for (name, file) in found {
        let id = connect(client, name, &file, made).await.with_context(|| {
            let folder = fs::canonicalize(files).unwrap_or_else(|_| files.to_owned());
            let folder = folder.display();
            format!(
                "{name} cannot be asked; the server must be allowed to read {folder}: set ALMANAC_SQLITE_DIRS={folder}"
            )
        })?;
        ids.insert(name.clone(), id);
        progress.one_more();
    }
    Ok(ids)
}

fn listed(names: &[&String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(|name| name.as_str()).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// As the server is told it: it may run in another folder.
fn file(files: &Path, name: &str) -> anyhow::Result<PathBuf> {
    ensure!(!name.contains(['/', '\\']) && name != "..", "{name} is no name of a database");
    let path = files.join(name).join(format!("{name}.sqlite"));
    fs::canonicalize(&path)
        .with_context(|| format!("the server knows no database called {name}, and there is no {}", path.display()))
}

async fn connect(client: &Client, name: &str, file: &Path, made: &Made) -> anyhow::Result<String> {
    let body = json!({ "name": name, "url": format!("sqlite:{}", file.display()) });
    let once = Uuid::now_v7().to_string();
    let request = || client.request(Method::POST, "/v1/databases").header("idempotency-key", &once).json(&body);
    let mut database = client.patiently(async || Ok(request())).await?;
    let id = database["id"].as_str().context("the server gave no id")?.to_owned();
    made.0.borrow_mut().push((name.to_owned(), id.clone()));
    let began = Instant::now();
    while database["status"] == "syncing" {
        ensure!(began.elapsed() < MAX_SYNC, "its schema was not read within {} minutes", MAX_SYNC.as_secs() / 60);
        tokio::time::sleep(POLL).await;
        database = client.patiently(async || Ok(client.request(Method::GET, &path(&id)))).await?;
    }
    match failure(&database) {
        Some(error) => bail!("its schema cannot be read: {error}"),
        None => Ok(id),
    }
}

fn failure(database: &Value) -> Option<&str> {
    database["error"]["detail"].as_str().or(database["error"].as_str())
}

fn path(id: &str) -> String {
    format!("/v1/databases/{id}")
}

impl Made {
    /// Disconnects what was connected; the files stay.
    pub async fn remove(&self, client: &Client) {
        let made = self.0.take();
        for (name, id) in made {
            if let Err(error) = client.delete(&path(&id)).await {
                eprintln!("almanac: the database {name} ({id}) is left behind: {error:#}");
            }
        }
    }
}
