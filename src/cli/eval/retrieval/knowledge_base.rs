//! The knowledge base that is asked: one that is there, or one made for the time of an evaluation.

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::client::Client;

#[derive(Debug, Clone)]
pub struct KnowledgeBase {
    pub id: String,
    pub name: String,
    pub embedding_model: String,
    /// How much the vectors count in hybrid search.
    pub fusion_weight: f64,
}

pub struct DocumentCounts {
    pub indexed: usize,
    pub failed: usize,
    waiting: usize,
}

/// What a name keeps of a collection's; a server takes 200 characters in all.
const MAX_NAME: usize = 100;

impl KnowledgeBase {
    pub async fn find(client: &Client, name: &str) -> anyhow::Result<KnowledgeBase> {
        let ids = client.knowledge_bases(&[name.to_owned()]).await?;
        let id = ids.first().context("the server gave no id")?;
        KnowledgeBase::of(&get(client, &format!("/v1/knowledge-bases/{id}")).await?)
    }

    pub async fn make(client: &Client, collection: &str) -> anyhow::Result<KnowledgeBase> {
        let collection: String = collection.chars().take(MAX_NAME).collect();
        let name = format!("evaluation {collection} {}", Uuid::now_v7().simple());
        KnowledgeBase::of(&create(client, "/v1/knowledge-bases", &json!({ "name": name })).await?)
    }

    fn of(answer: &Value) -> anyhow::Result<KnowledgeBase> {
        let text = |field: &str| answer[field].as_str().map(str::to_owned);
        Ok(KnowledgeBase {
            id: text("id").context("the server described a knowledge base without an id")?,
            name: text("name").unwrap_or_default(),
            embedding_model: text("embedding_model").unwrap_or_default(),
            fusion_weight: answer["fusion_weight"].as_f64().context("the server described no fusion weight")?,
        })
    }

    pub async fn document_counts(&self, client: &Client) -> anyhow::Result<DocumentCounts> {
        let answer = get(client, &self.path()).await?;
        let count = |status: &str| {
            let counted = answer["document_counts"][status].as_u64();
            counted.and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
        };
        let waiting = count("uploaded") + count("processing");
        Ok(DocumentCounts { indexed: count("indexed"), failed: count("failed"), waiting })
    }

    pub async fn set_fusion_weight(&self, client: &Client, weight: f64) -> anyhow::Result<()> {
        let body = json!({ "fusion_weight": weight });
        client.patiently(async || Ok(client.request(Method::PATCH, &self.path()).json(&body))).await?;
        Ok(())
    }

    pub async fn remove(&self, client: &Client) -> anyhow::Result<()> {
        let removed = client.delete(&self.path()).await;
        removed.with_context(|| format!("the knowledge base {} ({}) is left behind", self.name, self.id))?;
        Ok(())
    }

    pub fn path(&self) -> String {
        format!("/v1/knowledge-bases/{}", self.id)
    }
}

impl DocumentCounts {
    pub fn all(&self) -> usize {
        self.ended() + self.waiting
    }

    /// In a terminal state.
    pub fn ended(&self) -> usize {
        self.indexed + self.failed
    }
}

/// A POST that creates, once however often it is tried.
pub async fn create(client: &Client, path: &str, body: &Value) -> anyhow::Result<Value> {
    let once = Uuid::now_v7().to_string();
    let request = || client.request(Method::POST, path).header("idempotency-key", &once);
    client.patiently(async || Ok(request().json(body))).await
}

pub async fn get(client: &Client, path: &str) -> anyhow::Result<Value> {
    client.patiently(async || Ok(client.request(Method::GET, path))).await
}
