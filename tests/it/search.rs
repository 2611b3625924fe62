//! Search through the API, with the real embedding model.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    fake_openai::{Behaviour, FakeOpenAi, KEY},
    support::{TestApp, fixture},
};

pub async fn handbook(app: &TestApp) -> String {
    let knowledge_base = app.knowledge_base().await;
    for name in ["returns-and-warranty.md", "glossary.md", "employee-handbook.md"] {
        app.upload(&knowledge_base, name, fixture(&format!("documents/{name}"))).await;
    }
    knowledge_base
}

#[tokio::test]
async fn each_mode_finds_the_passage_and_explains_itself() {
    let app = TestApp::start().await;
    let knowledge_base = handbook(&app).await;
    for mode in ["hybrid", "vector", "text"] {
        let body = json!({"query": "How long is the warranty of the Gannet Offshore Station?", "mode": mode,
                          "knowledge_base_ids": [knowledge_base], "explain": true, "limit": 3});
        let found = app.search(body).await;
        assert!(found[0]["content"].as_str().unwrap().contains("60 months"), "{mode}: {found:#?}");
        let explain = &found[0]["explain"];
        assert_eq!(explain["vector_rank"].is_null(), mode == "text", "{explain:#}");
        assert_eq!(explain["text_rank"].is_null(), mode == "vector", "{explain:#}");
        assert!(explain["terms"].as_array().unwrap().iter().any(|term| term == "gannet"), "{explain:#}");
        let scores: Vec<f64> = found.iter().map(|result| result["score"].as_f64().unwrap()).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    }
}

#[tokio::test]
async fn filters_keep_what_they_name_on_every_path() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    for (number, region) in ["north", "south", "east"].into_iter().enumerate() {
        let body = json!({"title": format!("Report {region}"), "content": format!("The {region} office sold stations."),
                          "metadata": {"region": region, "year": 2023 + number, "tags": ["a"]}});
        app.index(&knowledge_base, body).await;
    }
    let titles = async |filter: Value| {
        let mut all = Vec::new();
        for mode in ["hybrid", "vector", "text"] {
            let body = json!({"query": "office sold stations", "mode": mode, "filter": filter, "knowledge_base_ids": [knowledge_base]});
            let found = app.search(body).await;
            let mut titles: Vec<String> = found.iter().map(|r| r["title"].as_str().unwrap()[7..].to_owned()).collect();
            titles.sort();
            all.push(titles);
        }
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
        all.remove(0)
    };
    assert_eq!(titles(json!({"type": "eq", "key": "region", "value": "north"})).await, ["north"]);
    assert_eq!(titles(json!({"type": "ne", "key": "region", "value": "north"})).await, ["east", "south"]);
    assert_eq!(titles(json!({"type": "gte", "key": "year", "value": 2024})).await, ["east", "south"]);
    assert_eq!(titles(json!({"type": "lt", "key": "year", "value": 2024.5})).await, ["north", "south"]);
    assert_eq!(titles(json!({"type": "in", "key": "region", "value": ["east", "west"]})).await, ["east"]);
    assert_eq!(titles(json!({"type": "nin", "key": "region", "value": ["east"]})).await, ["north", "south"]);
    assert_eq!(titles(json!({"type": "eq", "key": "missing", "value": null})).await.len(), 3);
    assert_eq!(titles(json!({"type": "eq", "key": "title", "value": "Report east"})).await, ["east"]);
    assert_eq!(titles(json!({"type": "gt", "key": "created_at", "value": "2020-01-01T00:00:00Z"})).await.len(), 3);
    let either = json!({"type": "or", "filters": [
        {"type": "eq", "key": "region", "value": "north"},
        {"type": "and", "filters": [{"type": "gt", "key": "year", "value": 2024}, {"type": "ne", "key": "region", "value": "south"}]}]});
    assert_eq!(titles(either).await, ["east", "north"]);
    assert!(titles(json!({"type": "or", "filters": []})).await.is_empty());
}

#[tokio::test]
async fn bad_searches_are_refused_with_the_field_that_is_wrong() {
    let app = TestApp::start().await;
    let unknown = "01900000-0000-7000-8000-00000000ffff";
    let cases = [
        (json!({"query": ""}), 422, "/query"),
        (json!({"query": "x".repeat(100_000)}), 422, "/query"),
        (json!({"query": "x", "limit": 0}), 422, "/limit"),
        (json!({"query": "x", "limit": 101}), 422, "/limit"),
        (json!({"query": "x", "limit": -1}), 422, "/limit"),
        (json!({"query": "x", "mode": "magic"}), 422, "/mode"),
        (json!({"query": "x", "colour": 1}), 422, "/colour"),
        (json!({"query": "x", "filter": {"type": "like", "key": "a", "value": "b"}}), 422, "/filter"),
        (json!({"query": "x", "filter": {"type": "gt", "key": "created_at", "value": "soon"}}), 422, "/filter/value"),
        (json!({"query": "x", "expand": 6}), 422, "/expand"),
        (json!({"query": "x", "fusion_weight": 1.5}), 422, "/fusion_weight"),
        (json!({"query": "-only -exclusions"}), 422, "/query"),
        (
            json!({"query": "x", "filter": {"type": "and", "filters": vec![json!({"type": "eq", "key": "a", "value": 1}); 10_000]}}),
            422,
            "/filter",
        ),
        (json!({"query": "x", "filter": {"type": "in", "key": "a", "value": vec![1; 10_000]}}), 422, "/filter/value"),
        (json!({}), 422, "query"),
    ];
    for (body, status, pointer) in cases {
        let answer = app.post("/v1/search", body.clone()).await;
        assert_eq!(answer.problem(status), "invalid_request");
        assert!(answer.text.contains(pointer), "{body}: {}", answer.text);
    }
    let missing = app.post("/v1/search", json!({"query": "x", "knowledge_base_ids": [unknown]})).await;
    assert_eq!(missing.problem(404), "not_found");
    for query in ["🌧️🌧️", "\u{0}\u{1}", "'; drop table documents; --", "the of and", "%%%\\'\""] {
        app.post("/v1/search", json!({"query": query})).await.expect(StatusCode::OK);
    }
}

#[tokio::test]
async fn search_goes_on_by_words_when_the_embedding_model_is_down() {
    let fake = FakeOpenAi::start().await;
    let app = TestApp::with(&[
        ("embedding_url", &fake.url()),
        ("embedding_key", KEY),
        ("embedding_model", "test-embedding"),
        ("embedding_dimensions", &crate::fake_openai::DIMENSIONS.to_string()),
    ])
    .await;
    let knowledge_base = app.knowledge_base().await;
    app.index(&knowledge_base, json!({"content": "Anemometers measure wind."})).await;
    fake.script(vec![Behaviour::Refuse { status: 401, retry_after: None, code: "invalid_api_key" }]);
    let answer = app.post("/v1/search", json!({"query": "anemometers"})).await.expect(StatusCode::OK);
    assert_eq!(answer["results"].as_array().unwrap().len(), 1);
    assert!(answer["degraded"][0].as_str().unwrap().starts_with("vector"), "{answer:#}");
}
