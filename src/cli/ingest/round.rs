//! One pass over a set of files: look them up, send what is missing into one batch, and wait for its end.
//!
//! A file's failure is noted and stops nothing; a server that is away for longer than patience lasts ends the pass. Files
//! are hashed and sent from disk piece by piece; what is held of each file is its path and, once sent, its document's id.

use std::{cell::RefCell, collections::HashMap, convert::Infallible, ops::Range, time::Duration};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{Body, Method, RequestBuilder, multipart};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, sync::OnceCell, time::sleep};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use super::{
    Arguments,
    files::{Failure, File, Found, Sha256Bytes},
    progress::Progress,
};
use crate::cli::client::{Client, Pulse, is_away};

pub struct Round<'a> {
    client: &'a Client,
    knowledge_base: &'a str,
    arguments: &'a Arguments,
    files: Vec<File>,
    progress: &'a Progress,
    /// Made for the first file that is sent.
    batch: OnceCell<String>,
    /// Tells whoever must close the batch when this pass is given up.
    open_batch: &'a RefCell<Option<String>>,
    tally: RefCell<Tally>,
}

/// What became of a pass.
pub struct Outcome {
    /// Indexed; or only sent, when nobody waited.
    pub done: usize,
    pub unchanged: usize,
    /// Replaced or deleted by somebody else before they were indexed.
    pub gone: usize,
    pub failures: Vec<Failure>,
}

#[derive(Default)]
struct Tally {
    unchanged: usize,
    gone: usize,
    /// Files by the documents they became.
    sent: HashMap<Uuid, usize>,
    /// Files that an earlier run sent and that are not ingested yet.
    waiting: Vec<Looked>,
    waited: usize,
    failures: Vec<Failure>,
}

/// A file with the hash it was looked up by.
type Looked = (usize, Sha256Bytes);

/// Files in one lookup: even with the longest names they stay below the 1 MiB that a request may have.
const LOOKUP: usize = 400;
const LOOKUPS_AHEAD: usize = 2;
const HASHES_AT_A_TIME: usize = 2;
const SEND_BYTES: usize = 64 << 10;
/// Between looks at what is being ingested: longer and longer while nothing changes.
const FIRST_LOOK: Duration = Duration::from_millis(200);
const LAST_LOOK: Duration = Duration::from_secs(2);

impl<'a> Round<'a> {
    pub fn new(
        client: &'a Client,
        knowledge_base: &'a str,
        arguments: &'a Arguments,
        found: Found,
        progress: &'a Progress,
        open_batch: &'a RefCell<Option<String>>,
    ) -> Round<'a> {
        let tally = RefCell::new(Tally { failures: found.failures, ..Tally::default() });
        Round {
            client,
            knowledge_base,
            arguments,
            files: found.files,
            progress,
            batch: OnceCell::new(),
            open_batch,
            tally,
        }
    }

    pub async fn run(self) -> anyhow::Result<Outcome> {
        self.progress.begin(self.files.len());
        tokio::select! {
            sent = self.send_missing() => sent?,
            never = self.follow() => match never {},
        }
        self.progress.sending(String::new());
        if let Some(batch) = self.batch.get() {
            self.close(batch).await?;
            if !self.arguments.no_wait {
                self.wait_for_batch(batch).await?;
                self.note_failures(batch).await?;
            }
        }
        if !self.arguments.no_wait {
            self.wait_for_earlier().await?;
        }
        Ok(self.tally.into_inner().outcome())
    }

    async fn send_missing(&self) -> anyhow::Result<()> {
        let parts = (0..self.files.len()).step_by(LOOKUP).map(|start| start..(start + LOOKUP).min(self.files.len()));
        stream::iter(parts)
            .map(|part| self.look_up(part))
            .buffered(LOOKUPS_AHEAD)
            .map_ok(|missing| stream::iter(missing).map(Ok))
            .try_flatten()
            .try_for_each_concurrent(usize::from(self.arguments.concurrency), |file| self.send(file))
            .await
    }

    /// Which files of a part the server does not have, or failed to ingest.
    async fn look_up(&self, part: Range<usize>) -> anyhow::Result<Vec<usize>> {
        let hashed: Vec<_> =
            stream::iter(part).map(|index| self.hash(index)).buffered(HASHES_AT_A_TIME).collect().await;
        let hashed: Vec<Looked> = hashed.into_iter().flatten().collect();
        let documents = self.documents(&hashed).await?;
        let mut tally = self.tally.borrow_mut();
        let mut missing = Vec::new();
        let known = tally.unchanged;
        for (looked, document) in hashed.into_iter().zip(documents) {
            match document["status"].as_str() {
                None | Some("failed") => missing.push(looked.0),
                Some("indexed") => tally.unchanged += 1,
                Some(_) => tally.waiting.push(looked),
            }
        }
        self.progress.settled(tally.unchanged - known);
        Ok(missing)
    }

    async fn hash(&self, index: usize) -> Option<Looked> {
        let file = self.files.get(index)?;
        match blocking(file, File::sha256).await {
            Ok(hash) => Some((index, hash)),
            Err(error) => {
                self.note_failure(file, error.to_string());
                None
            }
        }
    }

    /// The document of each of these files, or null, in order.
    async fn documents(&self, files: &[Looked]) -> anyhow::Result<Vec<Value>> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = files.iter().filter_map(|(index, hash)| {
            Some(json!({ "external_id": self.files.get(*index)?.external_id(), "sha256": hex::encode(hash) }))
        });
        let body = json!({ "documents": wanted.collect::<Vec<_>>() });
        let path = format!("/v1/knowledge-bases/{}/documents/lookup", self.knowledge_base);
        let mut found =
            self.client.patiently(async || Ok(self.client.request(Method::POST, &path).json(&body))).await?;
        match found["documents"].take() {
            Value::Array(documents) if documents.len() == files.len() => Ok(documents),
            _ => anyhow::bail!("the server did not answer the lookup"),
        }
    }

    async fn send(&self, index: usize) -> anyhow::Result<()> {
        let Some(file) = self.files.get(index) else { return Ok(()) };
        let batch = self.batch.get_or_try_init(|| self.open()).await?;
        self.progress.sending(file.shown());
        match self.upload(file, batch).await {
            Ok(document) => self.note_sent(index, &document),
            Err(error) if is_away(&error) => return Err(error),
            Err(error) => self.note_failure(file, format!("{error:#}")),
        }
        Ok(())
    }

    async fn open(&self) -> anyhow::Result<String> {
        let body = json!({ "knowledge_base_id": self.knowledge_base });
        let once = Uuid::now_v7().to_string();
        let request = || self.client.request(Method::POST, "/v1/batches").header("idempotency-key", &once);
        let batch = self.client.patiently(async || Ok(request().json(&body))).await?;
        let id = batch["id"].as_str().context("the server opened a batch without an id")?.to_owned();
        self.open_batch.replace(Some(id.clone()));
        Ok(id)
    }

    async fn upload(&self, file: &File, batch: &str) -> anyhow::Result<Value> {
        let path = format!("/v1/knowledge-bases/{}/documents?batch_id={batch}", self.knowledge_base);
        let mut uploaded = self.client.upload(async |pulse| self.form(file, &path, pulse).await).await?;
        Ok(uploaded["documents"][0].take())
    }

    async fn form(&self, file: &File, path: &str, pulse: Pulse) -> anyhow::Result<RequestBuilder> {
        let (bytes, size) = blocking(file, File::open).await?;
        let mut form = multipart::Form::new();
        if let Some(external_id) = file.external_id() {
            form = form.text("external_id", external_id);
        }
        if let Some(metadata) = self.arguments.metadata() {
            form = form.text("metadata", metadata.to_string());
        }
        if let Some(password) = &self.arguments.password {
            form = form.text("password", password.expose_secret().to_owned());
        }
        // A file that grows while it is sent is cut where it ended; its new hash sends it again next time.
        let bytes = ReaderStream::with_capacity(tokio::fs::File::from_std(bytes).take(size), SEND_BYTES)
            .inspect(move |_| pulse.beat());
        let part = multipart::Part::stream_with_length(Body::wrap_stream(bytes), size).file_name(file.name());
        Ok(self.client.request(Method::POST, path).multipart(form.part("file", part)))
    }

    fn note_sent(&self, index: usize, document: &Value) {
        let mut tally = self.tally.borrow_mut();
        let id = document["id"].as_str().and_then(|id| id.parse().ok());
        self.progress.sent();
        match id {
            Some(id) if document["unchanged"] != true || document["status"] != "indexed" => {
                tally.sent.insert(id, index);
            }
            _ => tally.unchanged += 1,
        }
    }

    fn note_failure(&self, file: &File, reason: String) {
        self.tally.borrow_mut().failures.push(Failure { name: file.shown(), reason });
        self.progress.settled(1);
    }

    /// Shows how far the batch is, for as long as it is polled.
    async fn follow(&self) -> Infallible {
        loop {
            sleep(LAST_LOOK).await;
            let Some(batch) = self.batch.get() else { continue };
            // Whoever sends has the patience; a look that is missed costs nothing.
            if let Ok(batch) = self.client.get(&format!("/v1/batches/{batch}")).await {
                self.show(&batch);
            }
        }
    }

    fn show(&self, batch: &Value) {
        let count = |status: &str| batch["document_counts"][status].as_u64().unwrap_or(0);
        self.progress.ingested(count("indexed"), count("indexed") + count("failed"));
    }

    async fn close(&self, batch: &str) -> anyhow::Result<()> {
        let path = format!("/v1/batches/{batch}/close");
        self.client.patiently(async || Ok(self.client.request(Method::POST, &path))).await?;
        self.open_batch.take();
        Ok(())
    }

    async fn wait_for_batch(&self, batch: &str) -> anyhow::Result<()> {
        let (mut pause, mut last) = (FIRST_LOOK, Value::Null);
        loop {
            let batch = self.get(&format!("/v1/batches/{batch}")).await?;
            self.show(&batch);
            if batch["done"] == true {
                let gone = |what: &str| batch[what].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
                self.tally.borrow_mut().gone += gone("superseded") + gone("deleted");
                return Ok(());
            }
            pause = if batch == last { (pause * 3 / 2).min(LAST_LOOK) } else { FIRST_LOOK };
            last = batch;
            sleep(pause).await;
        }
    }

    /// What failed of the files that were sent.
    async fn note_failures(&self, batch: &str) -> anyhow::Result<()> {
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/v1/batches/{batch}/documents?status=failed&limit=100{cursor}")).await?;
            for document in page["data"].as_array().into_iter().flatten() {
                let id = document["id"].as_str().and_then(|id| id.parse().ok());
                let index = id.and_then(|id: Uuid| self.tally.borrow_mut().sent.remove(&id));
                if let Some(file) = index.and_then(|index| self.files.get(index)) {
                    self.note_failure(file, reason(document));
                }
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(()),
            }
        }
    }

    /// Waits for the files that an earlier run had sent.
    async fn wait_for_earlier(&self) -> anyhow::Result<()> {
        let mut waiting = std::mem::take(&mut self.tally.borrow_mut().waiting);
        let mut pause = FIRST_LOOK;
        while !waiting.is_empty() {
            let mut still = Vec::new();
            for part in waiting.chunks(LOOKUP) {
                for (looked, document) in part.iter().zip(self.documents(part).await?) {
                    match document["status"].as_str() {
                        Some("uploaded" | "processing") => still.push(*looked),
                        _ => self.note_end(looked.0, &document),
                    }
                }
            }
            if still.len() == waiting.len() {
                pause = (pause * 3 / 2).min(LAST_LOOK);
            }
            waiting = still;
            if !waiting.is_empty() {
                sleep(pause).await;
            }
        }
        Ok(())
    }

    /// The end of a file that an earlier run had sent.
    fn note_end(&self, index: usize, document: &Value) {
        match (document["status"].as_str(), self.files.get(index)) {
            (Some("failed"), Some(file)) => self.note_failure(file, reason(document)),
            (Some(_), _) => {
                self.tally.borrow_mut().waited += 1;
                self.progress.settled(1);
            }
            (None, _) => self.tally.borrow_mut().gone += 1,
        }
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.client.patiently(async || Ok(self.client.request(Method::GET, path))).await
    }
}

impl Tally {
    fn outcome(self) -> Outcome {
        let done = (self.sent.len() + self.waited + self.waiting.len()).saturating_sub(self.gone);
        Outcome { done, unchanged: self.unchanged, gone: self.gone, failures: self.failures }
    }
}

fn reason(document: &Value) -> String {
    let (code, detail) = (&document["error"]["code"], &document["error"]["detail"]);
    format!("{} ({})", detail.as_str().unwrap_or("without a reason"), code.as_str().unwrap_or("unknown"))
}

/// Reads from a disk that may be slow, without holding up what else is under way.
async fn blocking<T: Send + 'static>(file: &File, read: fn(&File) -> std::io::Result<T>) -> anyhow::Result<T> {
    let file = file.try_clone()?;
    Ok(tokio::task::spawn_blocking(move || read(&file)).await??)
}
