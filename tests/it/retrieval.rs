//! Search beyond words and vectors, through the API: phrases and exclusions, filters, languages, several knowledge bases,
//! nearly equal results, neighbours, highlights.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    fake_openai::{DIMENSIONS, FakeOpenAi, KEY},
    support::{TestApp, embedding_dir},
};

const MODES: [&str; 3] = ["hybrid", "vector", "text"];

/// Documents of a sentence each, told apart by their titles.
async fn with_documents(app: &TestApp, documents: &[(&str, &str, Value)]) -> String {
    let knowledge_base = app.knowledge_base().await;
    for (title, content, metadata) in documents {
        app.index(&knowledge_base, json!({"title": title, "content": content, "metadata": metadata})).await;
    }
    knowledge_base
}

/// The titles that a search finds, in alphabetical order: the same in every mode, or the test fails.
async fn titles(app: &TestApp, search: Value) -> Vec<String> {
    let mut found = Vec::new();
    for mode in MODES {
        let mut body = search.clone();
        body["mode"] = json!(mode);
        let results = app.search(body).await;
        let mut titles: Vec<String> =
            results.iter().map(|result| result["title"].as_str().unwrap().to_owned()).collect();
        titles.sort();
        found.push(titles);
    }
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "modes differ for {search}: {found:?}");
    found.remove(0)
}

#[tokio::test]
async fn phrases_must_stand_as_they_are_and_exclusions_must_not() {
    let app = TestApp::start().await;
    with_documents(
        &app,
        &[
            ("a", "The net revenue of the harbour rose.", json!({})),
            ("b", "Revenue of the net makers in the harbour fell.", json!({})),
            ("c", "Harbour fees: Net\n  Revenue, before tax.", json!({})),
            ("d", "The harbour master keeps the revenue log in a net folder.", json!({})),
        ],
    )
    .await;
    let all = titles(&app, json!({"query": "harbour net revenue"})).await;
    assert_eq!(all, ["a", "b", "c", "d"]);
    assert_eq!(titles(&app, json!({"query": "harbour \"net revenue\""})).await, ["a", "c"]);
    assert_eq!(titles(&app, json!({"query": "harbour net revenue -\"net revenue\""})).await, ["b", "d"]);
    assert_eq!(titles(&app, json!({"query": "harbour net revenue -makers -folder"})).await, ["a", "c"]);
    assert_eq!(titles(&app, json!({"query": "\"net revenue\" harbour -taxes"})).await, ["a"], "by its stem");
    assert!(titles(&app, json!({"query": "\"revenue harbour\" net"})).await.is_empty());
    assert!(titles(&app, json!({"query": "\"net reven\" harbour"})).await.is_empty(), "no parts of words");
    assert_eq!(titles(&app, json!({"query": "harbour \"net revenue\" \"the harbour\""})).await, ["a"], "both of them");
    assert_eq!(titles(&app, json!({"query": "harbour \"net revenue\" \"before tax\""})).await, ["c"]);
    assert_eq!(titles(&app, json!({"query": "harbour -net-makers"})).await, ["a", "c", "d"], "as it stands there");
    let common = app.post("/v1/search", json!({"query": "harbour \"of the\""})).await.expect(StatusCode::OK);
    assert!(common["degraded"][0].as_str().unwrap().starts_with("phrase: \"of the\""), "{common:#}");
}

#[tokio::test]
async fn filters_see_lists_kinds_and_exact_numbers() {
    let app = TestApp::start().await;
    let long = "x".repeat(3_000);
    with_documents(
        &app,
        &[
            ("a", "A station by the sea.", json!({"acl": ["alice", "ops"], "id": 9_007_199_254_740_993_i64, "live": true, "note": format!("{long}a")})),
            ("b", "A station on the hill.", json!({"acl": ["bob"], "id": 9_007_199_254_740_992_i64, "live": "true", "note": format!("{long}b")})),
            ("c", "A station in the town.", json!({"acl": [], "id": 1.5, "live": null, "place": {"city": "x"}})),
            ("d", "A station nowhere.", json!({"acl": "alice", "id": "1.5"})),
        ],
    )
    .await;
    let find = async |filter: Value| titles(&app, json!({"query": "station", "filter": filter})).await.concat();
    assert_eq!(find(json!({"type": "eq", "key": "acl", "value": "alice"})).await, "ad");
    assert_eq!(find(json!({"type": "in", "key": "acl", "value": ["bob", "ops", 7]})).await, "ab");
    assert_eq!(find(json!({"type": "nin", "key": "acl", "value": ["alice"]})).await, "bc");
    assert_eq!(find(json!({"type": "eq", "key": "id", "value": 9_007_199_254_740_993_i64})).await, "a");
    assert_eq!(find(json!({"type": "gte", "key": "id", "value": 9_007_199_254_740_993_i64})).await, "a");
    assert_eq!(find(json!({"type": "lt", "key": "id", "value": 9_007_199_254_740_993_i64})).await, "bc");
    assert_eq!(find(json!({"type": "in", "key": "id", "value": [1.5, "1.5"]})).await, "cd");
    assert_eq!(find(json!({"type": "eq", "key": "live", "value": true})).await, "a");
    assert_eq!(find(json!({"type": "eq", "key": "live", "value": null})).await, "cd");
    assert_eq!(find(json!({"type": "ne", "key": "live", "value": null})).await, "ab");
    assert_eq!(find(json!({"type": "in", "key": "live", "value": [null, true]})).await, "acd");
    assert_eq!(find(json!({"type": "eq", "key": "note", "value": format!("{long}a")})).await, "a");
    assert_eq!(find(json!({"type": "eq", "key": "note", "value": long})).await, "");
    assert_eq!(find(json!({"type": "ne", "key": "place", "value": null})).await, "c");
    assert_eq!(find(json!({"type": "lt", "key": "title", "value": "c"})).await, "ab");
    assert_eq!(find(json!({"type": "in", "key": "content_type", "value": ["text/plain"]})).await, "abcd");
    let hard = json!({"type": "and", "filters": [
        {"type": "nin", "key": "acl", "value": ["bob"]},
        {"type": "or", "filters": [{"type": "ne", "key": "id", "value": 1.5}, {"type": "eq", "key": "title", "value": "c"}]},
        {"type": "and", "filters": []}]});
    assert_eq!(find(hard).await, "acd");

    let a = &app.search(json!({"query": "station", "filter": {"type": "eq", "key": "title", "value": "a"}})).await[0];
    let path = format!("/v1/documents/{}", a["document_id"].as_str().unwrap());
    app.patch(&path, json!({"metadata": {"acl": ["bob"]}})).await.expect(StatusCode::OK);
    assert_eq!(find(json!({"type": "eq", "key": "acl", "value": "alice"})).await, "d", "filters follow a change");
    assert_eq!(find(json!({"type": "eq", "key": "acl", "value": "bob"})).await, "ab");
}

#[tokio::test]
async fn each_document_is_read_in_its_own_language_and_the_question_in_all() {
    let app = TestApp::start().await;
    let documents = [
        (
            "english",
            "The connected stations report the weather every hour, and the connections of the harbour are repaired by hand.",
        ),
        (
            "german",
            "Die Häuser am Hafen wurden im vergangenen Jahr gebaut, und die Wettermasten stehen auf ihren Dächern.",
        ),
        ("chinese", "北京大学位于中国北京市海淀区，是中国近代第一所国立综合性大学。"),
        (
            "french",
            "Les marées sont annoncées chaque matin aux pêcheurs du port, qui ne sortent jamais pendant les tempêtes.",
        ),
    ];
    let with_metadata: Vec<_> = documents.iter().map(|(title, text)| (*title, *text, json!({}))).collect();
    let knowledge_base = with_documents(&app, &with_metadata).await;
    let best = async |query: &str| {
        let found = app.search(json!({"query": query, "mode": "text", "highlights": true, "explain": true})).await;
        assert!(!found.is_empty(), "{query} finds nothing");
        (found[0]["title"].as_str().unwrap().to_owned(), found[0]["language"].as_str().unwrap().to_owned())
    };
    for (query, language) in
        [("connection", "english"), ("Haus", "german"), ("海淀", "chinese"), ("annoncer la marée", "french")]
    {
        assert_eq!(best(query).await, (language.to_owned(), language.to_owned()), "{query}");
    }
    let english_stem = json!({"query": "connect", "mode": "text"});
    assert_eq!(app.search(english_stem.clone()).await.len(), 1);
    let path = format!("/v1/knowledge-bases/{knowledge_base}");
    let shown = app.get(&path).await.expect(StatusCode::OK);
    assert_eq!((&shown["language"], shown["languages"].as_array().unwrap().len()), (&json!("auto"), 4));

    app.patch(&path, json!({"language": "klingon"})).await.problem(422);
    app.patch(&path, json!({"language": "german"})).await.expect(StatusCode::OK);
    for _ in 0..600 {
        if app.get(&path).await.json()["language"] == "german" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let shown = app.get(&path).await.expect(StatusCode::OK);
    assert_eq!((&shown["language"], &shown["languages"]), (&json!("german"), &json!(["german"])), "{shown:#}");
    assert!(app.search(english_stem).await.is_empty(), "no English stems any more");
    assert_eq!(best("Häuser").await.0, "german");
}

#[tokio::test]
async fn knowledge_bases_of_different_embedding_models_are_searched_together() {
    let fake = FakeOpenAi::start().await;
    let app = TestApp::with(&[
        ("embedding_url", &fake.url()),
        ("embedding_key", KEY),
        ("embedding_model", "fake-embedder"),
        ("embedding_dimensions", &DIMENSIONS.to_string()),
        ("embedding_dirs", embedding_dir().to_str().unwrap()),
    ])
    .await;
    let mut ids = Vec::new();
    for (model, subject) in [("fake-embedder", "lighthouse"), ("MiniLM", "windmill")] {
        let known =
            app.app.embedders.all().find(|embedder| embedder.name().starts_with(model)).unwrap().name().to_owned();
        let body = json!({"name": subject, "embedding_model": known});
        let made = app.post("/v1/knowledge-bases", body).await.expect(StatusCode::CREATED);
        ids.push(made["id"].as_str().unwrap().to_owned());
        for part in ["keeper", "door", "stairs"] {
            let body = json!({"title": format!("{subject} {part}"), "content": format!("The {part} of the {subject} is old.")});
            app.index(&ids[ids.len() - 1], body).await;
        }
    }
    for (query, expected) in
        [("the stairs of the windmill", "windmill stairs"), ("the lighthouse keeper", "lighthouse keeper")]
    {
        let found = app.post("/v1/search", json!({"query": query, "knowledge_base_ids": ids, "explain": true})).await;
        let found = found.expect(StatusCode::OK);
        assert_eq!(found["degraded"], json!([]));
        assert_eq!(found["results"][0]["title"], expected, "{found:#}");
        assert_eq!(found["results"].as_array().unwrap().len(), 6, "both legs of both");
    }
    let asked = fake.seen().len();
    app.search(json!({"query": "the lighthouse keeper", "limit": 3})).await;
    assert_eq!(fake.seen().len(), asked, "the question's vector is kept");
    app.search(json!({"query": "the lighthouse keepers", "limit": 3})).await;
    assert_eq!(fake.seen().len(), asked + 1);
}

#[tokio::test]
async fn nearly_equal_results_are_shown_once_where_that_is_asked_for() {
    let app = TestApp::start().await;
    let text = "Returned stations are inspected within five working days after they arrive at the depot in the harbour, \
                and the customer is told what was found, what a repair would cost, and how long it would take.";
    let copies: Vec<(String, String)> = (0..6).map(|n| (format!("copy {n}"), format!("{text} Form {n}."))).collect();
    let mut documents: Vec<(&str, &str, Value)> =
        copies.iter().map(|(a, b)| (a.as_str(), b.as_str(), json!({}))).collect();
    documents.push((
        "other",
        "The depot in the harbour is closed on Sundays; stations are accepted at the gate.",
        json!({}),
    ));
    let knowledge_base = with_documents(&app, &documents).await;
    let search = json!({"query": "inspection of returned stations at the depot", "limit": 5});
    assert_eq!(app.search(search.clone()).await.len(), 5);
    let mut collapsed = search.clone();
    collapsed["collapse"] = json!(true);
    let found = app.search(collapsed.clone()).await;
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(found[0]["duplicates"].as_array().unwrap().len(), 5);
    app.patch(&format!("/v1/knowledge-bases/{knowledge_base}"), json!({"collapse_duplicates": true}))
        .await
        .expect(StatusCode::OK);
    assert_eq!(app.search(search.clone()).await.len(), 2);
    let mut all = search;
    all["collapse"] = json!(false);
    assert_eq!(app.search(all).await.len(), 5);
}

#[tokio::test]
async fn neighbours_and_highlights_are_verbatim_at_their_offsets() {
    let app = TestApp::start().await;
    let body = json!({"name": "small chunks", "chunk_size": 32, "chunk_overlap": 0});
    let knowledge_base = app.post("/v1/knowledge-bases", body).await.expect(StatusCode::CREATED);
    let subjects = ["anemometer", "barometer", "thermometer", "hygrometer", "rain gauge"];
    let sections: String = subjects
        .iter()
        .map(|subject| format!("# The {subject}\n\nÜber die {subject}: it hangs on the northern wall and is read at noon by a person.\n\n"))
        .collect();
    let document = app
        .index(knowledge_base["id"].as_str().unwrap(), json!({"content": sections, "content_type": "text/markdown"}))
        .await;
    let text = app.get(&format!("/v1/documents/{}/text", document["id"].as_str().unwrap())).await.text;
    let part = |span: &Value| -> String {
        let offset = |name: &str| usize::try_from(span[name].as_u64().unwrap()).unwrap();
        text.chars().skip(offset("start")).take(offset("end") - offset("start")).collect()
    };
    let body = json!({"query": "thermometers", "mode": "text", "limit": 1, "expand": 1, "highlights": true});
    let found = app.search(body).await;
    let result = &found[0];
    let words: Vec<String> = result["highlights"].as_array().unwrap().iter().map(part).collect();
    assert!(!words.is_empty() && words.iter().all(|word| word == "thermometer"), "{words:?}");
    for (side, subject) in [("before", "barometer"), ("after", "hygrometer")] {
        let neighbours = result[side].as_array().unwrap();
        assert_eq!(neighbours.len(), 1, "{result:#}");
        assert_eq!(part(&neighbours[0]), neighbours[0]["content"].as_str().unwrap());
        assert!(neighbours[0]["content"].as_str().unwrap().contains(subject), "{neighbours:#?}");
    }
    let plain = app.search(json!({"query": "thermometers", "limit": 1})).await;
    assert!(plain[0].get("before").is_none() && plain[0].get("highlights").is_none());
}

#[tokio::test]
async fn a_question_for_an_answer_is_never_refused_for_its_syntax() {
    let app = TestApp::start().await;
    with_documents(&app, &[("a", "A station by the sea has a blue door.", json!({}))]).await;
    for question in [
        "-what -colour -is -the -door -of -the -station -by -the -sea -please?".to_owned(),
        format!("Which \"{}\"?", "x".repeat(600)),
    ] {
        app.post("/v1/search", json!({"query": question})).await.problem(422);
        app.post("/v1/answers", json!({"question": question})).await.expect(StatusCode::OK);
    }
}

#[tokio::test]
async fn a_search_explains_where_its_time_went() {
    let app = TestApp::start().await;
    with_documents(&app, &[("a", "A station by the sea.", json!({}))]).await;
    let found = app.post("/v1/search", json!({"query": "station", "explain": true})).await.expect(StatusCode::OK);
    for stage in ["scope_ms", "embed_ms", "question_ms", "rank_ms", "vector_ms", "text_ms", "read_ms", "rerank_ms"] {
        assert!(found["timings"][stage].as_f64().is_some_and(|ms| ms >= 0.0), "{stage}: {found:#}");
    }
    let explain = &found["results"][0]["explain"];
    assert_eq!((&explain["vector_index"], &explain["rerank_score"]), (&json!("exact"), &Value::Null));
    assert_eq!(explain["fused_score"], found["results"][0]["score"]);
}
