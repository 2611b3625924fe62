//! A corpus in BEIR form becomes a knowledge base: looked through first, so that nothing is uploaded of a collection that
//! is wrong, then uploaded line by line, then waited for.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use futures::{TryStreamExt, stream};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::{
    collection::{Corpus, CorpusDocument},
    knowledge_base::{KnowledgeBase, create},
};
use crate::cli::{client::Client, eval::progress::Progress};

/// What a corpus holds, by its ids.
pub struct Survey {
    documents: HashMap<String, Kind>,
    pub without_text: usize,
    pub same_as_another: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// Nothing to upload, so nothing to find.
    Empty,
    /// The very text of an earlier document: a knowledge base keeps it once, under that one's id.
    SameAs(String),
}

/// All ids of a corpus are held in memory.
const MAX_DOCUMENTS: usize = 10_000_000;
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Survey {
    /// None: the folder has no corpus.
    pub fn of(folder: &Path) -> anyhow::Result<Option<Survey>> {
        let Some(mut corpus) = Corpus::of(folder)? else { return Ok(None) };
        let mut survey = Survey { documents: HashMap::new(), without_text: 0, same_as_another: 0 };
        let mut texts = HashMap::new();
        while let Some(document) = corpus.next()? {
            ensure!(survey.documents.len() < MAX_DOCUMENTS, "the corpus has more than {MAX_DOCUMENTS} documents");
            let kind = survey.count(kind(&document, &mut texts));
            if survey.documents.insert(document.id.clone(), kind).is_some() {
                bail!("{} holds the id {} twice", folder.join("corpus.jsonl").display(), document.id);
            }
        }
        Ok(Some(survey))
    }

    fn count(&mut self, kind: Kind) -> Kind {
        match kind {
            Kind::Text => {}
            Kind::Empty => self.without_text += 1,
            Kind::SameAs(_) => self.same_as_another += 1,
        }
        kind
    }

    pub fn kind(&self, id: &str) -> Option<&Kind> {
        self.documents.get(id)
    }

    pub fn number(&self) -> usize {
        self.documents.len()
    }

    fn has_text(&self, id: &str) -> bool {
        self.kind(id) == Some(&Kind::Text)
    }
}

fn kind(document: &CorpusDocument, texts: &mut HashMap<[u8; 32], String>) -> Kind {
    let content = document.content();
    if content.trim().is_empty() {
        return Kind::Empty;
    }
    match texts.entry(Sha256::digest(content).into()) {
        Entry::Occupied(first) => Kind::SameAs(first.get().clone()),
        Entry::Vacant(place) => {
            place.insert(document.id.clone());
            Kind::Text
        }
    }
}

/// Uploads every document that has a text of its own, `at_a_time`.
pub async fn upload(
    client: &Client,
    base: &KnowledgeBase,
    folder: &Path,
    survey: &Survey,
    at_a_time: usize,
) -> anyhow::Result<()> {
    let path = format!("/v1/knowledge-bases/{}/documents", base.id);
    let corpus = Corpus::of(folder)?.context("the corpus is gone")?;
    let progress = Progress::of("uploaded", survey.number() - survey.without_text - survey.same_as_another);
    let documents = stream::try_unfold(corpus, |mut corpus| async move {
        anyhow::Ok(corpus.next()?.map(|document| (document, corpus)))
    });
    documents
        .try_filter(|document| std::future::ready(survey.has_text(&document.id)))
        .try_for_each_concurrent(at_a_time, async |document| {
            let sent = create(client, &path, &body(&document)).await;
            sent.with_context(|| format!("document {}", document.id))?;
            progress.one_more();
            Ok(())
        })
        .await
}

fn body(document: &CorpusDocument) -> Value {
    let mut body = json!({
        "external_id": document.id,
        "content": document.content(),
        "content_type": "text/plain",
    });
    if let Some(title) = document.title() {
        body["title"] = json!(title);
    }
    body
}

/// Waits until every document is indexed or failed.
pub async fn wait(client: &Client, base: &KnowledgeBase, patience: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut progress = None;
    loop {
        let counts = base.document_counts(client).await?;
        let progress = progress.get_or_insert_with(|| Progress::of("indexed", counts.all()));
        progress.reached(counts.ended() as u64);
        let left = counts.all().saturating_sub(counts.ended());
        if left == 0 {
            return Ok(());
        }
        let minutes = patience.as_secs() / 60;
        ensure!(began.elapsed() < patience, "{left} documents are still waiting after {minutes} minutes (--wait)");
        sleep(LOOK_EVERY).await;
    }
}
