//! HNSW graphs: built when a knowledge base has grown, used by searches, as good as exact search, and dropped again.

use std::{collections::BTreeSet, num::NonZero};

use almanac::store::hnsw::HnswRule;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::TestApp;

const RULE: HnswRule = HnswRule { threshold: NonZero::new(300), memory_megabytes: 64 };
/// Subjects × details: so many documents.
const SUBJECTS: [&str; 20] = [
    "anemometer",
    "barometer",
    "lighthouse",
    "windmill",
    "harbour",
    "invoice",
    "warranty",
    "ferry",
    "bakery",
    "library",
    "tunnel",
    "orchard",
    "glacier",
    "vineyard",
    "airport",
    "theatre",
    "hospital",
    "reservoir",
    "museum",
    "railway",
];
const DETAILS: [&str; 20] = [
    "is painted red",
    "was repaired twice",
    "opens at dawn",
    "has a new owner",
    "is older than the town",
    "lost its roof",
    "is measured weekly",
    "costs too much",
    "was insured in spring",
    "has forty steps",
    "is closed in winter",
    "was moved inland",
    "needs a permit",
    "is heated by gas",
    "serves three villages",
    "has no signpost",
    "was sold at auction",
    "is guarded at night",
    "appears on stamps",
    "floods every autumn",
];

async fn upload(app: &TestApp) -> String {
    let knowledge_base = app.knowledge_base().await;
    let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
    for (number, (subject, detail)) in
        SUBJECTS.iter().flat_map(|subject| DETAILS.iter().map(move |detail| (subject, detail))).enumerate()
    {
        let metadata = json!({"number": number, "hundredth": number % 100, "half": number % 2});
        let body = json!({"content": format!("The {subject} {detail}."), "metadata": metadata});
        app.post(&path, body).await.expect(StatusCode::ACCEPTED);
    }
    loop {
        let shown = app.get(&format!("/v1/knowledge-bases/{knowledge_base}")).await.expect(StatusCode::OK);
        if shown["document_counts"]["indexed"] == 400 {
            return knowledge_base;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// The chunks that a vector search finds, and what served it.
async fn nearest(app: &TestApp, query: &str, filter: Option<Value>, limit: usize) -> (BTreeSet<String>, Value) {
    let mut body = json!({"query": query, "mode": "vector", "limit": limit, "explain": true});
    if let Some(filter) = filter {
        body["filter"] = filter;
    }
    let found = app.search(body).await;
    let ids = found.iter().map(|result| result["chunk_id"].as_str().unwrap().to_owned()).collect();
    (ids, found.first().map_or(Value::Null, |result| result["explain"]["vector_index"].clone()))
}

#[tokio::test]
async fn a_graph_is_built_finds_what_exact_search_finds_and_goes_when_nobody_needs_it() {
    let app = TestApp::start().await;
    let knowledge_base = upload(&app).await;
    let path = format!("/v1/knowledge-bases/{knowledge_base}");
    let filters = [
        None,
        Some(json!({"type": "eq", "key": "half", "value": 1})),
        Some(json!({"type": "eq", "key": "hundredth", "value": 7})),
        Some(json!({"type": "lt", "key": "number", "value": 390})),
    ];
    let questions: Vec<String> = SUBJECTS
        .iter()
        .zip(DETAILS.iter().rev())
        .map(|(subject, detail)| format!("which {subject} {detail}?"))
        .collect();
    let mut exact = Vec::new();
    for question in &questions {
        for filter in &filters {
            let (found, served) = nearest(&app, question, filter.clone(), 10).await;
            assert_eq!(served, "exact");
            exact.push(found);
        }
    }
    assert_eq!(app.app.store.tend_hnsw(RULE).await.unwrap(), 1);
    assert_eq!(app.app.store.tend_hnsw(RULE).await.unwrap(), 0, "it is there now");
    assert_eq!(app.get(&path).await.json()["vector_index"], "hnsw");
    let (mut wanted, mut both) = (0, 0);
    let mut exact = exact.into_iter();
    for question in &questions {
        for (number, filter) in filters.iter().enumerate() {
            let (found, served) = nearest(&app, question, filter.clone(), 10).await;
            // A filter that leaves 4 or 200 of 400 chunks is quicker answered by looking at them.
            assert_eq!(served, if [1, 2].contains(&number) { "exact" } else { "hnsw" }, "{filter:?}");
            let expected = exact.next().unwrap();
            assert_eq!(found.len(), expected.len(), "the full number of results: {filter:?}");
            (wanted, both) = (wanted + expected.len(), both + expected.intersection(&found).count());
        }
    }
    assert!(both * 100 >= wanted * 98, "{both} of {wanted}");

    let (all, _) = nearest(&app, "the ferry", None, 100).await;
    assert_eq!(all.len(), 100);
    for mode in ["hybrid", "text", "vector"] {
        let filter = json!({"type": "in", "key": "hundredth", "value": [3]});
        // Number 3 is of the anemometer; its hundredth is shared by four.
        let body = json!({"query": "an anemometer", "mode": mode, "filter": filter, "limit": 50});
        assert_eq!(app.search(body).await.len(), if mode == "text" { 1 } else { 4 }, "{mode}");
    }

    // Of a graph that brings too little, exact search takes over: all but one document are excluded by a word.
    let body = json!({"query": "a harbour -the", "mode": "vector", "explain": true});
    assert_eq!(app.search(body).await.len(), 10, "a word that is not indexed excludes nothing");
    let excluded: String = SUBJECTS[1..].iter().take(9).map(|subject| format!(" -\"{subject}\"")).collect();
    let body = json!({"query": format!("an invoice{excluded}"), "mode": "vector", "explain": true, "limit": 100});
    let found = app.search(body).await;
    assert_eq!(found.len(), 100);
    assert!(found.iter().all(|result| !result["content"].as_str().unwrap().contains("invoice")));

    app.delete(&path).await;
    assert_eq!(app.app.store.tend_hnsw(RULE).await.unwrap(), 1, "its graph is dropped");
    assert_eq!(app.app.store.tend_hnsw(RULE).await.unwrap(), 0);
}

#[tokio::test]
async fn documents_that_come_go_and_hide_are_right_in_a_graph_at_once() {
    let app = TestApp::start().await;
    let knowledge_base = upload(&app).await;
    app.app.store.tend_hnsw(RULE).await.unwrap();
    let added = app.index(&knowledge_base, json!({"content": "The submarine surfaced beside the pier."})).await;
    let path = format!("/v1/documents/{}", added["id"].as_str().unwrap());
    let finds = async || {
        let found = app.search(json!({"query": "a submarine at the pier", "mode": "vector", "limit": 3})).await;
        found.iter().any(|result| result["document_id"] == added["id"])
    };
    assert!(finds().await);
    app.delete(&path).await;
    assert!(!finds().await, "hidden at once");
    app.post(&format!("{path}/restore"), json!({})).await.expect(StatusCode::OK);
    assert!(finds().await);
    app.delete(&format!("{path}?purge=true")).await;
    assert!(!finds().await);
}
