//! `almanac ingest`: files and folders into a knowledge base, until all are searchable.
//!
//! Running it again is cheap and safe: files are looked up by their hash, and only what is new, changed or failed before
//! is sent. An interrupted run goes on the same way. Nothing is ever deleted.

mod files;
mod progress;
mod round;
mod watch;

use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use files::{Found, Selection};
use progress::Progress;
use reqwest::Method;
use round::{Outcome, Round};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use watch::Watch;

use super::{
    client::{Client, is_away},
    table::line,
};

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Files and folders; - reads one document from standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The knowledge base's name; made when there is none
    #[arg(long, short, value_name = "NAME")]
    knowledge_base: String,
    #[command(flatten)]
    selection: Selection,
    /// Metadata of every file that is sent; may be given again
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    metadata: Vec<(String, String)>,
    /// Opens encrypted files; better given as the variable, which other users cannot see
    #[arg(long, env = "ALMANAC_FILE_PASSWORD", hide_env_values = true)]
    password: Option<SecretString>,
    /// Uploads at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// Do not wait until what was sent is searchable
    #[arg(long)]
    no_wait: bool,
    /// Go on: look for new and changed files every few seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

const EXAMPLES: &str = "\
Examples:
  almanac ingest ~/handbook -k handbook
  almanac ingest src -k code --include '*.rs' --include '*.md' --exclude target --gitignore
  almanac ingest report.pdf -k reports --metadata year=2026
  pandoc notes.org -t markdown | almanac ingest - -k notes
  almanac ingest ~/inbox -k inbox --watch

Run it again at any time: only what is new, changed or failed before is sent. After Ctrl-C (exit code 130), that is how to \
go on.

Folders are read without hidden files and without what their .almanacignore files name (as .gitignore does); links are \
not followed. Failures are listed at the end and stop nothing else; if there are any, the exit code is 1.";

/// Exit code of a program that SIGINT ended, by convention.
const INTERRUPTED: u8 = 130;
/// A server that is waited for longer than this is told of.
const QUIETLY: Duration = Duration::from_secs(3);
/// A run that was interrupted closes its batch in this time, or leaves it open.
const FAREWELL: Duration = Duration::from_secs(2);

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let run = Run {
        client: Client::find()?,
        progress: Progress::new(),
        arguments,
        batch: RefCell::default(),
        failed: Cell::new(false),
        idle: Cell::new(false),
    };
    tokio::select! {
        ended = run.to_its_end() => ended,
        _ = tokio::signal::ctrl_c() => Ok(run.interrupted().await),
    }
}

struct Run {
    client: Client,
    arguments: Arguments,
    progress: Progress,
    /// The batch that is open now.
    batch: RefCell<Option<String>>,
    failed: Cell<bool>,
    /// Whether everything is done and files are only watched.
    idle: Cell<bool>,
}

impl Run {
    async fn to_its_end(&self) -> anyhow::Result<ExitCode> {
        let knowledge_base = knowledge_base(&self.client, &self.arguments.knowledge_base).await?;
        let found = self.find().await?;
        let mut watch = self.arguments.watch.then(|| Watch::of(&found.files));
        let ended = self.ingest(&knowledge_base, found).await;
        let Some(watch) = &mut watch else {
            ended.context("not everything was sent; run the same command again to go on")?;
            return Ok(self.exit_code());
        };
        if let Err(error) = ended {
            watch.later(error)?;
        }
        loop {
            self.idle.set(true);
            let files = watch.changed(&self.arguments).await?;
            self.idle.set(false);
            let round = self.ingest(&knowledge_base, Found { files, failures: Vec::new() }).await;
            if let Err(error) = round {
                watch.later(error)?;
            }
        }
    }

    async fn find(&self) -> anyhow::Result<Found> {
        let (paths, selection) = (self.arguments.paths.clone(), self.arguments.selection.clone());
        tokio::task::spawn_blocking(move || files::find(&paths, &selection)).await?
    }

    /// One pass over `found`, with its summary.
    async fn ingest(&self, knowledge_base: &str, found: Found) -> anyhow::Result<()> {
        let round = Round::new(&self.client, knowledge_base, &self.arguments, found, &self.progress, &self.batch);
        let outcome = round.run().await;
        self.progress.end();
        if outcome.is_err() {
            self.leave_batch().await;
        }
        self.summarise(&outcome?);
        Ok(())
    }

    /// The failures, each with its reason, and a line of counts.
    fn summarise(&self, outcome: &Outcome) {
        for failure in &outcome.failures {
            line(&format!("failed     {}: {}", failure.name, failure.reason));
        }
        let done = if self.arguments.no_wait { "sent" } else { "indexed" };
        let (unchanged, failed) = (outcome.unchanged, outcome.failures.len());
        let mut summary = format!("{} {done}, {unchanged} unchanged, {failed} failed", outcome.done);
        if outcome.gone > 0 {
            summary += &format!(", {} replaced or deleted meanwhile", outcome.gone);
        }
        line(&summary);
        self.failed.set(self.failed.get() || failed > 0);
    }

    fn exit_code(&self) -> ExitCode {
        if self.failed.get() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    async fn interrupted(&self) -> ExitCode {
        self.progress.end();
        if self.idle.get() {
            return self.exit_code();
        }
        self.leave_batch().await;
        eprintln!(
            "Interrupted. The server keeps what it was sent and goes on with it. Run the same command again to go on: it \
             sends only what is missing."
        );
        ExitCode::from(INTERRUPTED)
    }

    /// Closes a batch that is given up, so that whoever watches it sees its end. Left open, it harms nobody.
    async fn leave_batch(&self) {
        let Some(batch) = self.batch.take() else { return };
        let closing = self.client.request(Method::POST, &format!("/v1/batches/{batch}/close")).send();
        let _ = tokio::time::timeout(FAREWELL, closing).await;
    }
}

/// The knowledge base called `name`, made when there is none. A server that just restarts is waited for.
async fn knowledge_base(client: &Client, name: &str) -> anyhow::Result<String> {
    const PATH: &str = "/v1/knowledge-bases";
    let found = async {
        if let Some(id) = client.id_of_patiently(PATH, name).await? {
            return Ok(id);
        }
        let body = json!({ "name": name });
        match client.patiently(async || Ok(client.request(Method::POST, PATH).json(&body))).await {
            Ok(made) => {
                made["id"].as_str().map(str::to_owned).context("the server made a knowledge base without an id")
            }
            // Another run may have made it in this moment, or this one, whose answer was lost.
            Err(error) => client.id_of_patiently(PATH, name).await?.ok_or(error),
        }
    };
    let told = async {
        tokio::time::sleep(QUIETLY).await;
        eprintln!("Waiting for the server …");
        std::future::pending().await
    };
    tokio::select! {
        found = found => found,
        never = told => never,
    }
}

impl Arguments {
    fn metadata(&self) -> Option<Value> {
        let pairs = self.metadata.iter().map(|(key, value)| (key.clone(), json!(value)));
        let metadata: Map<String, Value> = pairs.collect();
        (!metadata.is_empty()).then_some(Value::Object(metadata))
    }
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}
