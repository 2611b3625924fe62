//! Asks a knowledge base every question, and ranks the documents of what it finds.

use std::{
    cell::Cell,
    collections::HashSet,
    fmt,
    time::{Duration, Instant},
};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    expected::{Document, Judged},
    metrics::CHUNKS,
};
use crate::cli::{client::Client, eval::progress::Progress};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    Hybrid,
    Vector,
    Text,
}

/// How a question is asked.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    pub mode: Mode,
    /// None: as the knowledge base has it.
    pub fusion_weight: Option<f64>,
    pub at_a_time: usize,
}

#[derive(Debug)]
pub struct Answer {
    /// Each document where its best chunk ranks.
    pub found: Vec<Document>,
    /// Of the attempt that was answered, as the client sees it.
    pub latency: Duration,
    /// What the server left out, and why.
    pub degraded: Vec<String>,
}

/// The answers, in the order of the questions.
pub async fn all(
    client: &Client,
    knowledge_base: &str,
    questions: &[Judged],
    manner: Manner,
    progress: &Progress,
) -> anyhow::Result<Vec<Answer>> {
    stream::iter(questions)
        .map(|question| async move {
            let answer = one(client, knowledge_base, &question.text, manner).await;
            progress.one_more();
            answer.with_context(|| format!("question {}", question.id))
        })
        .buffered(manner.at_a_time)
        .try_collect()
        .await
}

async fn one(client: &Client, knowledge_base: &str, question: &str, manner: Manner) -> anyhow::Result<Answer> {
    let mut body = json!({
        "query": question,
        "knowledge_base_ids": [knowledge_base],
        "mode": manner.mode.to_string(),
        "limit": CHUNKS,
    });
    if let Some(weight) = manner.fusion_weight {
        body["fusion_weight"] = json!(weight);
        // A reranker's order would hide what the weight does.
        body["rerank"] = json!(false);
    }
    let asked = Cell::new(Instant::now());
    let request = async || {
        asked.set(Instant::now());
        Ok(client.request(Method::POST, "/v1/search").json(&body))
    };
    let answer = client.patiently(request).await?;
    let latency = asked.get().elapsed();
    let degraded = answer["degraded"].as_array().into_iter().flatten();
    let degraded = degraded.map(|reason| reason.as_str().unwrap_or_default().to_owned()).collect();
    Ok(Answer { found: best_per_document(&answer["results"]), latency, degraded })
}

fn best_per_document(results: &Value) -> Vec<Document> {
    let mut seen = HashSet::new();
    let results = results.as_array().into_iter().flatten();
    let documents = results.filter_map(|result| {
        let id = result["document_id"].as_str()?;
        let title = result["title"].as_str().unwrap_or_default();
        seen.insert(id).then(|| Document { id: id.to_owned(), title: title.to_owned() })
    });
    documents.collect()
}

impl Answer {
    /// The ids of the documents, best first.
    pub fn ranking(&self) -> impl Iterator<Item = &str> {
        self.found.iter().map(|document| document.id.as_str())
    }

    pub fn latency_ms(&self) -> f64 {
        self.latency.as_secs_f64() * 1_000.0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(match self {
            Mode::Hybrid => "hybrid",
            Mode::Vector => "vector",
            Mode::Text => "text",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_ranks_where_its_best_chunk_ranks() {
        let result = |id: &str| json!({ "document_id": id, "title": id.to_uppercase() });
        let found = best_per_document(&json!(["b", "a", "b", "c", "a"].map(result)));
        assert_eq!(found.iter().map(|document| document.id.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
        assert_eq!(found[0].title, "B");
        assert!(best_per_document(&Value::Null).is_empty());
    }
}
