//! `almanac doctor`: what is set up, what is missing, and how to mend it. It changes nothing.

use std::{path::Path, process::ExitCode, str::FromStr, time::Duration};

use secrecy::ExposeSecret;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};

use super::{client::block_on, table::line};
use crate::{
    app::{ADDRESS_FILE, embedding_dir},
    config::{Config, RemoteModel},
    models::local::LocalEmbedder,
    postgres::Install,
};

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    outcome: Result<String, String>,
}

const PATIENCE: Duration = Duration::from_secs(5);

pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let findings = [
        Finding { what: "data folder", outcome: data_dir(&config.data_dir) },
        Finding { what: "PostgreSQL", outcome: block_on_finding(postgres(config))? },
        Finding { what: "embedding model", outcome: embedding(config) },
        Finding { what: "language model", outcome: language_model(config) },
        Finding { what: "extraction", outcome: extraction() },
        Finding { what: "server", outcome: server(config) },
    ];
    for Finding { what, outcome } in &findings {
        match outcome {
            Ok(found) => line(&format!("ok       {what:<16} {found}")),
            Err(missing) => line(&format!("missing  {what:<16} {missing}")),
        }
    }
    let healthy = findings.iter().all(|finding| finding.outcome.is_ok());
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn block_on_finding(looking: impl Future<Output = Result<String, String>>) -> anyhow::Result<Result<String, String>> {
    let mut found = Ok(String::new());
    block_on(async {
        found = looking.await;
        Ok(ExitCode::SUCCESS)
    })?;
    Ok(found)
}

fn data_dir(dir: &Path) -> Result<String, String> {
    match std::fs::metadata(dir) {
        Ok(found) if !found.is_dir() => Err(format!("{} is not a folder: choose another data_dir", dir.display())),
        Ok(found) if found.permissions().readonly() => Err(format!("{} is read-only", dir.display())),
        Ok(_) => Ok(dir.display().to_string()),
        Err(_) => Ok(format!("{} will be made by `almanac serve`", dir.display())),
    }
}

async fn postgres(config: &Config) -> Result<String, String> {
    let Some(url) = &config.database_url else {
        let install = Install::find(config.postgres_dir.as_deref()).map_err(|error| error.to_string())?;
        return Ok(format!("embedded, from {}", install.program("postgres").display()));
    };
    let options =
        PgConnectOptions::from_str(url.expose_secret()).map_err(|_| "ALMANAC_DATABASE_URL is not a URL".to_owned())?;
    let connecting = tokio::time::timeout(PATIENCE, options.connect());
    let mut connection = connecting
        .await
        .map_err(|_| "the server in ALMANAC_DATABASE_URL does not answer".to_owned())?
        .map_err(|error| format!("ALMANAC_DATABASE_URL: {error}"))?;
    let (server, pgvector): (String, Option<String>) = sqlx::query_as(
        "select current_setting('server_version'),
                (select default_version from pg_available_extensions where name = 'vector')",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(|error| error.to_string())?;
    match pgvector {
        None => Err(format!("PostgreSQL {server} has no pgvector: install 0.8.4 or later on its host")),
        Some(version) if old(&version, [0, 8, 0]) => {
            Err(format!("pgvector {version} is too old: install 0.8.4 or later"))
        }
        Some(version) if old(&version, [0, 8, 4]) => {
            Ok(format!("external {server}, pgvector {version} (0.8.4 mends HNSW: update when you can)"))
        }
        Some(version) => Ok(format!("external {server}, pgvector {version}")),
    }
}

fn old(version: &str, least: [u32; 3]) -> bool {
    let numbers: Vec<u32> = version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    numbers.as_slice() < least.as_slice()
}

fn embedding(config: &Config) -> Result<String, String> {
    if let Some(remote) = &config.embedding {
        return Ok(remote_model(&remote.endpoint));
    }
    let dir = embedding_dir(config).map_err(|error| format!("{error:#}"))?;
    LocalEmbedder::load(&dir, 1).map_err(|error| error.to_string())?;
    Ok(format!("local, from {}", dir.display()))
}

fn language_model(config: &Config) -> Result<String, String> {
    let none = || {
        "none: answers are extractive, questions to databases go to the builtin generator (ALMANAC_LLM_URL)".to_owned()
    };
    Ok(config.llm.as_ref().map_or_else(none, remote_model))
}

fn remote_model(remote: &RemoteModel) -> String {
    format!("{} at {}", remote.model, remote.url.host_str().unwrap_or_default())
}

fn extraction() -> Result<String, String> {
    let executable = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(format!("in child processes of {}", executable.display()))
}

fn server(config: &Config) -> Result<String, String> {
    match std::fs::read_to_string(config.data_dir.join(ADDRESS_FILE)) {
        Ok(url) => Ok(format!("running at {}", url.trim())),
        Err(_) => Ok("not running with this data folder: start it with `almanac serve`".to_owned()),
    }
}
