//! What holds for the whole API: problem documents, unknown fields, pages, idempotency, limits, its own description.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::TestApp;

#[tokio::test]
async fn every_mistake_is_a_problem_document() {
    let app = TestApp::start().await;
    let path = "/v1/knowledge-bases";
    let post = |body: &'static str, kind: &'static str| {
        app.send(app.request(Method::POST, path).header("content-type", kind).body(body))
    };
    assert_eq!(post("{\"name\": ", "application/json").await.problem(400), "malformed_json");
    assert_eq!(post("{\"name\": \"x\"} trailing", "application/json").await.problem(400), "malformed_json");
    assert_eq!(post("\u{feff}", "application/json").await.problem(400), "malformed_json");
    assert_eq!(post("name=x", "application/x-www-form-urlencoded").await.problem(415), "unsupported_media_type");
    assert_eq!(post("{\"name\": 7}", "application/json").await.problem(422), "invalid_request");
    assert_eq!(app.post(path, json!({"name": "x", "colour": "red"})).await.json()["errors"][0]["pointer"], "/colour");
    assert_eq!(app.post(path, json!({"name": "x", "metadata": []})).await.json()["errors"][0]["pointer"], "/metadata");
    assert_eq!(app.post(path, json!({"name": "x", "language": "klingon"})).await.problem(422), "invalid_request");
    assert_eq!(
        app.post(path, json!({"name": "x", "chunk_size": 64, "chunk_overlap": 60})).await.problem(422),
        "invalid_request"
    );
    assert_eq!(app.post(path, json!({"name": "x".repeat(2 << 20)})).await.problem(413), "too_large");
    assert_eq!(app.get("/v1/nothing").await.problem(404), "not_found");
    assert_eq!(app.get("/v1/knowledge-bases/not-a-uuid").await.problem(404), "not_found");
    assert_eq!(app.delete("/v1/search").await.problem(405), "method_not_allowed");
    assert_eq!(app.get("/v1/knowledge-bases?limit=0").await.problem(422), "invalid_request");
    assert_eq!(app.get("/v1/knowledge-bases?limit=many").await.problem(422), "invalid_request");
    assert_eq!(app.get("/v1/knowledge-bases?cursor=7").await.problem(422), "invalid_request");
    let anonymous = app.client.get(format!("{}/v1/databases", app.url));
    assert_eq!(app.send(anonymous).await.problem(401), "unauthorized");
}

#[tokio::test]
async fn names_are_unique_and_defaults_fit_the_model() {
    let app = TestApp::start().await;
    let made = app.post("/v1/knowledge-bases", json!({"name": "Handbook"})).await.expect(StatusCode::CREATED);
    assert_eq!(
        (&made["chunk_size"], &made["chunk_overlap"]),
        (&json!(254), &json!(50)),
        "512 is cut to the window: {made:#}"
    );
    assert_eq!(app.post("/v1/knowledge-bases", json!({"name": "Handbook"})).await.problem(409), "name_taken");
    let path = format!("/v1/knowledge-bases/{}", made["id"].as_str().unwrap());
    let changed = app.patch(&path, json!({"description": "Rules", "metadata": {"a": 1}})).await.expect(StatusCode::OK);
    assert_eq!((&changed["name"], &changed["description"]), (&json!("Handbook"), &json!("Rules")));
    assert_eq!(app.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(app.get(&path).await.problem(404), "not_found");
}

#[tokio::test]
async fn lists_are_newest_first_and_stable_while_others_write() {
    let app = TestApp::start().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(app.knowledge_base().await);
    }
    let first = app.get("/v1/knowledge-bases?limit=2").await.json();
    app.knowledge_base().await;
    let second =
        app.get(&format!("/v1/knowledge-bases?limit=2&cursor={}", first["next_cursor"].as_str().unwrap())).await.json();
    let ids: Vec<&Value> =
        [&first, &second].iter().flat_map(|page| page["data"].as_array().unwrap()).map(|item| &item["id"]).collect();
    assert_eq!(ids, [&json!(made[4]), &json!(made[3]), &json!(made[2]), &json!(made[1])]);
}

#[tokio::test]
async fn an_idempotency_key_replays_the_first_answer() {
    let app = TestApp::start().await;
    let create = |name: &str| {
        let request = app.request(Method::POST, "/v1/knowledge-bases").header("idempotency-key", "once");
        app.send(request.json(&json!({"name": name})))
    };
    let first = create("one").await.expect(StatusCode::CREATED);
    let again = create("one").await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.expect(StatusCode::CREATED), first);
    assert_eq!(create("two").await.problem(422), "idempotency_key_reused");
    assert_eq!(app.neighbour().await.get("/v1/knowledge-bases").await.json()["data"], json!([]));
    let listed = app.get("/v1/knowledge-bases").await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_that_calls_too_often_is_told_when_to_come_back() {
    let app = TestApp::with(&[("requests_per_minute", "3")]).await;
    for _ in 0..3 {
        app.get("/v1/databases").await.expect(StatusCode::OK);
    }
    let refused = app.get("/v1/databases").await;
    assert_eq!(refused.problem(429), "too_many_requests");
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() <= 20);
    assert_eq!(refused.headers["ratelimit-limit"], "3");
}

#[tokio::test]
async fn health_metrics_and_documentation_need_no_key() {
    let app = TestApp::start().await;
    let get = async |path: &str| app.send(app.client.get(format!("{}{path}", app.url))).await;
    assert_eq!(get("/healthz").await.expect(StatusCode::OK)["status"], "alive");
    assert_eq!(get("/readyz").await.expect(StatusCode::OK)["status"], "ready");
    assert!(get("/metrics").await.text.contains("almanac_http_requests_total"));
    let docs = get("/docs/").await;
    assert_eq!(docs.status, StatusCode::OK);
    assert!(!docs.text.contains("http://") && !docs.text.contains("https://"), "the page works offline: {}", docs.text);
}

#[tokio::test]
async fn the_description_of_the_api_is_complete_and_true() {
    let app = TestApp::start().await;
    let described = app.get("/openapi.json").await.expect(StatusCode::OK);
    let paths = described["paths"].as_object().unwrap();
    let expected = [
        "/healthz",
        "/metrics",
        "/readyz",
        "/v1/answers",
        "/v1/audit-logs",
        "/v1/batches",
        "/v1/batches/{id}",
        "/v1/batches/{id}/cancel",
        "/v1/batches/{id}/close",
        "/v1/batches/{id}/documents",
        "/v1/batches/{id}/events",
        "/v1/databases",
        "/v1/databases/{id}",
        "/v1/databases/{id}/ask",
        "/v1/databases/{id}/drafts",
        "/v1/databases/{id}/enrich",
        "/v1/databases/{id}/examples",
        "/v1/databases/{id}/examples/{example_id}",
        "/v1/databases/{id}/examples/{example_id}/approve",
        "/v1/databases/{id}/execute",
        "/v1/databases/{id}/notes",
        "/v1/databases/{id}/schema",
        "/v1/databases/{id}/sync",
        "/v1/databases/{id}/tables/{table_id}",
        "/v1/databases/{id}/tables/{table_id}/draft",
        "/v1/databases/{id}/tables/{table_id}/draft/accept",
        "/v1/databases/{id}/validate",
        "/v1/documents/{id}",
        "/v1/documents/{id}/chunks",
        "/v1/documents/{id}/content",
        "/v1/documents/{id}/restore",
        "/v1/documents/{id}/retry",
        "/v1/documents/{id}/text",
        "/v1/keys",
        "/v1/keys/{id}",
        "/v1/knowledge-bases",
        "/v1/knowledge-bases/{id}",
        "/v1/knowledge-bases/{id}/documents",
        "/v1/knowledge-bases/{id}/documents/lookup",
        "/v1/knowledge-bases/{id}/reindexing",
        "/v1/queries",
        "/v1/queries/{id}",
        "/v1/queries/{id}/feedback",
        "/v1/search",
        "/v1/usage",
    ];
    let mut found: Vec<&str> = paths.keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    // Every described operation exists: asked with ids that name nothing, none answers that the path or method is unknown.
    for (path, operations) in paths {
        for method in operations.as_object().unwrap().keys() {
            let path = path.replace("{id}", "01900000-0000-7000-8000-00000000ffff").replace("{table_id}", "x");
            let request = app.request(method.to_uppercase().parse().unwrap(), &path).json(&json!({}));
            let answer = app.send(request).await;
            assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert!(!answer.text.contains("nothing at this path"), "{method} {path}");
            assert!(answer.status.as_u16() < 500, "{method} {path}: {}", answer.text);
        }
    }
    let schemas = described["components"]["schemas"].as_object().unwrap();
    let references = described.to_string();
    for reference in references.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is referred to and not described");
    }
}
