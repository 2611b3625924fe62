//! A reranker: a model that reads question and passage together, behind `POST …/rerank`.
//!
//! Two shapes of that request are in use. Hugging Face's text-embeddings-inference takes `{query, texts}` and answers
//! `[{index, score}]`; Cohere, Jina and those who follow them (vLLM, Infinity, llama.cpp) take
//! `{model, query, documents}` and answer `{results: [{index, relevance_score}]}`. Servers that serve many models want one
//! named, so a configured model means the second. A server that refuses the one shape is asked in the other.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    ModelError,
    openai::{Client, Server, SetupError},
};

/// Bytes of an answer: thirty scores, and what a server may add.
const MAX_ANSWER: usize = 1 << 20;
/// Bytes of a passage: no reranker reads more than some 8,000 tokens.
const MAX_TEXT: usize = 20_000;

pub struct Reranker {
    client: Client,
    model: Option<String>,
    /// For the whole call, retries included: a search waits for it.
    deadline: Duration,
    /// Whether the server takes `documents` rather than `texts`.
    documents: AtomicBool,
}

impl Reranker {
    /// `server.url` is the address of `/rerank` or what it stands under; `server.model` may be empty.
    pub fn new(mut server: Server, deadline: Duration) -> Result<Reranker, SetupError> {
        if server.url.path().trim_end_matches('/').ends_with("/rerank")
            && let Ok(mut segments) = server.url.path_segments_mut()
        {
            segments.pop_if_empty().pop();
        }
        let model = Some(server.model.clone()).filter(|model| !model.is_empty());
        let documents = AtomicBool::new(model.is_some());
        Ok(Reranker { client: Client::new(&server, "rerank")?, model, deadline, documents })
    }

    /// How well each text answers the question, in order: higher is better, on the model's own scale.
    pub async fn scores(&self, question: &str, texts: Vec<String>) -> Result<Vec<f64>, ModelError> {
        let deadline = Instant::now() + self.deadline;
        let texts: Vec<&str> = texts.iter().map(|text| &text[..text.floor_char_boundary(MAX_TEXT)]).collect();
        let documents = self.documents.load(Ordering::Relaxed);
        match self.ask(question, &texts, documents, deadline).await {
            Err(ModelError::GiveUp(refusal))
                if refusal.contains("answered 400") || refusal.contains("answered 422") =>
            {
                let scores =
                    self.ask(question, &texts, !documents, deadline).await.map_err(|_| ModelError::GiveUp(refusal))?;
                self.documents.store(!documents, Ordering::Relaxed);
                Ok(scores)
            }
            answered => answered,
        }
    }

    async fn ask(
        &self,
        question: &str,
        texts: &[&str],
        documents: bool,
        deadline: Instant,
    ) -> Result<Vec<f64>, ModelError> {
        let body = match documents {
            true => json!({"model": self.model, "query": question, "documents": texts, "top_n": texts.len()}),
            false => json!({"query": question, "texts": texts, "truncate": true}),
        };
        in_order(self.client.ask(&without_null(body), MAX_ANSWER, deadline).await?, texts.len())
    }
}

fn without_null(mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    body
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    List(Vec<Ranked>),
    Object { results: Vec<Ranked> },
}

#[derive(Deserialize)]
struct Ranked {
    index: usize,
    #[serde(alias = "relevance_score")]
    score: f64,
}

/// The scores by index: one for each text.
fn in_order(answer: Answer, count: usize) -> Result<Vec<f64>, ModelError> {
    let (Answer::List(ranked) | Answer::Object { results: ranked }) = answer;
    let mut scores = vec![None; count];
    for Ranked { index, score } in ranked {
        match scores.get_mut(index) {
            Some(place @ None) if score.is_finite() => *place = Some(score),
            _ => return Err(breach(count)),
        }
    }
    scores.into_iter().collect::<Option<Vec<f64>>>().ok_or_else(|| breach(count))
}

fn breach(count: usize) -> ModelError {
    ModelError::GiveUp(format!(
        "the reranker's answer breaks the protocol: it must hold one score for each of {count} texts"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: Value, count: usize) -> Result<Vec<f64>, ModelError> {
        in_order(serde_json::from_value(answer).unwrap(), count)
    }

    #[test]
    fn both_shapes_of_an_answer_are_read_whatever_their_order() {
        let list = json!([{"index": 1, "score": 0.9}, {"index": 0, "score": -2.5, "text": null}]);
        assert_eq!(read(list, 2).unwrap(), [-2.5, 0.9]);
        let object =
            json!({"id": "x", "results": [{"index": 1, "relevance_score": 0.1}, {"index": 0, "relevance_score": 0.2}]});
        assert_eq!(read(object, 2).unwrap(), [0.2, 0.1]);
    }

    #[test]
    fn an_answer_that_misses_doubles_or_invents_a_text_is_refused() {
        for wrong in [
            json!([{"index": 0, "score": 1.0}]),
            json!([{"index": 0, "score": 1.0}, {"index": 0, "score": 2.0}]),
            json!([{"index": 0, "score": 1.0}, {"index": 2, "score": 2.0}]),
        ] {
            assert!(matches!(read(wrong, 2), Err(ModelError::GiveUp(_))));
        }
    }
}
