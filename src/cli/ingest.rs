//! `almanac ingest`: files and folders into a knowledge base, with a progress bar, until all are searchable.

use std::{
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use futures::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Method, StatusCode, multipart};
use serde_json::{Value, json};

use super::{
    client::{self, Client},
    table::line,
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files and folders; - reads one document from standard input
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The knowledge base's name; made when there is none
    #[arg(long, short)]
    knowledge_base: String,
    /// Uploads at a time
    #[arg(long, default_value_t = 4)]
    concurrency: usize,
}

/// What became of one file.
struct Outcome {
    name: String,
    failure: Option<String>,
    unchanged: bool,
}

const POLL: Duration = Duration::from_millis(200);
/// Tries when the server is busy.
const TRIES: u32 = 8;
const MOST_FILES: usize = 100_000;

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = Client::find()?;
    let files = files(&arguments.paths)?;
    let knowledge_base = knowledge_base(&client, &arguments.knowledge_base).await?;
    let bar = bar(files.len() as u64);
    let uploads = files.iter().map(|file| ingest(&client, &knowledge_base, file));
    let outcomes: Vec<Outcome> = stream::iter(uploads)
        .buffer_unordered(arguments.concurrency.clamp(1, 64))
        .inspect(|outcome| tell(&bar, outcome))
        .collect()
        .await;
    bar.finish_and_clear();
    Ok(summarise(&outcomes))
}

/// Every file under `paths`, in a stable order; hidden files and folders are left out.
fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" || path.is_file() {
            found.push(path.clone());
        } else {
            walk(path, &mut found).with_context(|| format!("{} cannot be read", path.display()))?;
        }
    }
    if found.len() > MOST_FILES {
        bail!("{} files are more than the {MOST_FILES} of one run: name folders one by one", found.len());
    }
    Ok(found)
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        match kind {
            kind if kind.is_dir() => walk(&entry.path(), found)?,
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    Ok(())
}

async fn knowledge_base(client: &Client, name: &str) -> anyhow::Result<String> {
    if let Some(id) = client.id_of("/v1/knowledge-bases", name).await? {
        return Ok(id);
    }
    let made = client.post("/v1/knowledge-bases", &json!({ "name": name })).await?;
    made["id"].as_str().map(str::to_owned).context("the server made a knowledge base without an id")
}

async fn ingest(client: &Client, knowledge_base: &str, file: &Path) -> Outcome {
    let name = file.display().to_string();
    match upload_and_wait(client, knowledge_base, file).await {
        Ok(document) => Outcome {
            name,
            failure: document["error"]["detail"].as_str().filter(|_| document["status"] == "failed").map(str::to_owned),
            unchanged: document["unchanged"] == true,
        },
        Err(error) => Outcome { name, failure: Some(format!("{error:#}")), unchanged: false },
    }
}

async fn upload_and_wait(client: &Client, knowledge_base: &str, file: &Path) -> anyhow::Result<Value> {
    let uploaded = upload(client, knowledge_base, file).await?;
    let mut document = uploaded["documents"][0].clone();
    let unchanged = document["unchanged"].clone();
    let id = document["id"].as_str().context("the server named no document")?.to_owned();
    while !matches!(document["status"].as_str(), Some("indexed" | "failed")) {
        tokio::time::sleep(POLL).await;
        document = client.get(&format!("/v1/documents/{id}")).await?;
    }
    document["unchanged"] = unchanged;
    Ok(document)
}

/// A file goes under its path, so that running again replaces what changed and nothing else.
async fn upload(client: &Client, knowledge_base: &str, file: &Path) -> anyhow::Result<Value> {
    let (bytes, name, external_id) = read(file)?;
    for attempt in 1.. {
        let mut part = multipart::Part::bytes(bytes.clone());
        if let Some(name) = &name {
            part = part.file_name(name.clone());
        }
        let mut form = multipart::Form::new();
        if let Some(external_id) = &external_id {
            form = form.text("external_id", external_id.clone());
        }
        let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
        let request = client.request(Method::POST, &path).multipart(form.part("file", part));
        let response = request.send().await.context("the server cannot be reached")?;
        let busy = matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        if !busy || attempt == TRIES {
            return client::json(response).await;
        }
        let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        tokio::time::sleep(Duration::from_secs(wait.unwrap_or(1).min(60))).await;
    }
    bail!("the server stayed busy")
}

type Upload = (Vec<u8>, Option<String>, Option<String>);

/// Bytes, file name, and the name it is known by.
fn read(file: &Path) -> anyhow::Result<Upload> {
    if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok((bytes, Some("standard input".to_owned()), None));
    }
    let bytes = std::fs::read(file)?;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    let external_id = std::path::absolute(file)?.to_string_lossy().into_owned();
    Ok((bytes, name, Some(external_id)))
}

fn bar(files: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} documents  {per_sec}  {elapsed}  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(files).with_style(style)
}

fn tell(bar: &ProgressBar, outcome: &Outcome) {
    let said = match (&outcome.failure, outcome.unchanged) {
        (Some(failure), _) => format!("failed     {}: {failure}", outcome.name),
        (None, true) => format!("unchanged  {}", outcome.name),
        (None, false) => format!("indexed    {}", outcome.name),
    };
    bar.inc(1);
    bar.set_message(outcome.name.clone());
    if bar.is_hidden() {
        line(&said);
    } else if outcome.failure.is_some() {
        bar.println(said);
    }
}

fn summarise(outcomes: &[Outcome]) -> ExitCode {
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    let unchanged = outcomes.iter().filter(|outcome| outcome.failure.is_none() && outcome.unchanged).count();
    let indexed = outcomes.len() - failed - unchanged;
    line(&format!("{indexed} indexed, {unchanged} unchanged, {failed} failed"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
