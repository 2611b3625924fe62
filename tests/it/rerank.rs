//! A reranker over HTTP: both shapes of its protocol, and one that is slow, down, or lies.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};

use crate::support::TestApp;

/// Which shape a server takes; the other one it refuses, as the real ones do.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Texts,
    Documents,
}

#[derive(Clone)]
enum Behaviour {
    Refuse(u16),
    Slow(Duration),
    Answer(Value),
}

/// Scores a text by the position of "best" in it; strict with its client.
struct FakeReranker {
    url: String,
    shared: Arc<Shared>,
}

struct Shared {
    shape: Shape,
    script: Mutex<VecDeque<Behaviour>>,
    asked: Mutex<Vec<usize>>,
    complaints: Mutex<Vec<String>>,
}

const KEY: &str = "rerank-key-0123456789";

impl FakeReranker {
    async fn start(shape: Shape) -> FakeReranker {
        let shared =
            Arc::new(Shared { shape, script: Mutex::default(), asked: Mutex::default(), complaints: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/rerank", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/rerank", post(answer)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        FakeReranker { url, shared }
    }

    async fn app(&self, model: &str) -> TestApp {
        let settings = [
            ("rerank_url", self.url.as_str()),
            ("rerank_key", KEY),
            ("rerank_model", model),
            ("rerank_timeout_ms", "700"),
        ];
        let app = TestApp::with(&settings).await;
        let knowledge_base = app.knowledge_base().await;
        for number in 0..40 {
            let words = if number == 33 { "the best one" } else { "another one" };
            app.index(
                &knowledge_base,
                json!({"title": format!("{number:02}"), "content": format!("Station {number}, {words}.")}),
            )
            .await;
        }
        app
    }

    fn script(&self, behaviour: Behaviour) {
        self.shared.script.lock().unwrap().push_back(behaviour);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let complain = |complaint: String| {
        shared.complaints.lock().unwrap().push(complaint);
        StatusCode::BAD_REQUEST.into_response()
    };
    if headers.get("authorization").is_none_or(|value| value != &format!("Bearer {KEY}")) {
        return complain(format!("{uri}: no key"));
    }
    let fields: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let (field, allowed): (_, &[&str]) = match shared.shape {
        Shape::Texts => ("texts", &["query", "texts", "truncate", "raw_scores", "return_text", "truncation_direction"]),
        Shape::Documents => {
            ("documents", &["model", "query", "documents", "top_n", "return_documents", "max_tokens_per_doc"])
        }
    };
    let Some(texts) = body[field].as_array() else {
        let detail = json!({"error": format!("missing field `{field}`"), "error_type": "Validation"});
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(detail)).into_response();
    };
    if let Some(unknown) = fields.iter().find(|field| !allowed.contains(field)) {
        return complain(format!("unknown field {unknown}"));
    }
    if !body["query"].is_string() || texts.is_empty() || texts.len() > 30 || !texts.iter().all(Value::is_string) {
        return complain(format!("malformed: {body}"));
    }
    if shared.shape == Shape::Documents && !(body["model"].is_string() && body["top_n"].is_u64()) {
        return complain(format!("no model or top_n: {body}"));
    }
    shared.asked.lock().unwrap().push(texts.len());
    let behaviour = shared.script.lock().unwrap().pop_front();
    match behaviour {
        Some(Behaviour::Refuse(status)) => return StatusCode::from_u16(status).unwrap().into_response(),
        Some(Behaviour::Slow(pause)) => tokio::time::sleep(pause).await,
        Some(Behaviour::Answer(answer)) => return Json(answer).into_response(),
        None => {}
    }
    let score = |text: &Value| if text.as_str().unwrap().contains("best") { 0.99 } else { 0.1 };
    let ranked = texts.iter().enumerate().rev();
    match shared.shape {
        Shape::Texts => {
            Json(ranked.map(|(index, text)| json!({"index": index, "score": score(text)})).collect::<Value>())
        }
        Shape::Documents => {
            let results: Value =
                ranked.map(|(index, text)| json!({"index": index, "relevance_score": score(text)})).collect();
            Json(json!({"id": "r", "results": results, "meta": {"billed_units": {"search_units": 1}}}))
        }
    }
    .into_response()
}

async fn search(app: &TestApp, extra: Value) -> Value {
    let mut body = json!({"query": "station one", "mode": "text", "limit": 10, "explain": true});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    app.post("/v1/search", body).await.expect(reqwest::StatusCode::OK)
}

#[tokio::test]
async fn the_best_thirty_are_reranked_in_either_shape() {
    for (shape, model) in [(Shape::Texts, ""), (Shape::Documents, "rerank-v3"), (Shape::Texts, "rerank-v3")] {
        let fake = FakeReranker::start(shape).await;
        let app = fake.app(model).await;
        let plain = search(&app, json!({"rerank": false, "limit": 30})).await;
        assert!(fake.shared.asked.lock().unwrap().is_empty());
        let place = plain["results"].as_array().unwrap().iter().position(|result| result["title"] == "33");
        let found = search(&app, json!({"limit": 40})).await;
        assert_eq!(found["degraded"], json!([]));
        let results = found["results"].as_array().unwrap();
        assert_eq!(results.len(), 40, "those behind the thirty are there, too");
        let scores: Vec<f64> = results.iter().map(|result| result["score"].as_f64().unwrap()).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
        match place {
            Some(_) => {
                assert_eq!((&results[0]["title"], &results[0]["explain"]["rerank_score"]), (&json!("33"), &json!(0.99)))
            }
            None => assert!(results[0]["explain"]["rerank_score"] == json!(0.1)),
        }
        assert!(results[35]["explain"]["rerank_score"].is_null());
        search(&app, json!({})).await;
        assert!(fake.shared.asked.lock().unwrap().iter().all(|asked| *asked == 30));
        assert_eq!(*fake.shared.complaints.lock().unwrap(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn without_the_rerankers_word_the_search_stands_as_it_was_and_says_so() {
    let fake = FakeReranker::start(Shape::Texts).await;
    let app = fake.app("").await;
    let plain = search(&app, json!({"rerank": false})).await;
    let half = json!([{"index": 0, "score": 1.0}]);
    let doubled: Value = (0..30).map(|_| json!({"index": 0, "score": 1.0})).collect();
    let misbehaviours = [
        Behaviour::Slow(Duration::from_secs(5)),
        Behaviour::Refuse(401),
        Behaviour::Refuse(500),
        Behaviour::Answer(half),
        Behaviour::Answer(doubled),
        Behaviour::Answer(json!({"error": "overloaded"})),
    ];
    for behaviour in misbehaviours {
        // A failure that passes is tried again until the deadline.
        (0..6).for_each(|_| fake.script(behaviour.clone()));
        let began = std::time::Instant::now();
        let found = search(&app, json!({})).await;
        assert!(began.elapsed() < Duration::from_secs(4), "the deadline holds");
        assert!(found["degraded"][0].as_str().unwrap().starts_with("reranker: "), "{found:#}");
        let titles = |found: &Value| -> Vec<Value> {
            found["results"].as_array().unwrap().iter().map(|result| result["title"].clone()).collect()
        };
        assert_eq!(titles(&found), titles(&plain));
        fake.shared.script.lock().unwrap().clear();
    }
    let none = TestApp::start().await;
    let asked = none.post("/v1/search", json!({"query": "x", "rerank": true})).await.expect(reqwest::StatusCode::OK);
    assert!(asked["degraded"][0].as_str().unwrap().starts_with("reranker: none"), "{asked:#}");
}
