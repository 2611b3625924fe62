//! Ingestion under load and change: workspaces in turn, nothing embedded twice, another embedding model while searches go
//! on, a queue with an end. After each the statistics must be what a recount gives.

use std::time::Duration;

use reqwest::{Method, StatusCode, multipart};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::{
    fake_openai::{Behaviour, DIMENSIONS, FakeOpenAi, KEY},
    support::TestApp,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Sections that are a chunk each, told apart by their numbers.
fn handbook(sections: impl IntoIterator<Item = usize>) -> String {
    let section = |number: usize| {
        format!("# Section {number}\n\nRule {number} says what to do when case {number} occurs in the warehouse.\n\n")
    };
    sections.into_iter().map(section).collect()
}

async fn with_fake_model(fake: &FakeOpenAi, settings: &[(&str, &str)]) -> TestApp {
    let dimensions = DIMENSIONS.to_string();
    let url = fake.url();
    let model = [
        ("embedding_url", url.as_str()),
        ("embedding_key", KEY),
        ("embedding_model", "fake-embedder"),
        ("embedding_dimensions", &dimensions),
    ];
    TestApp::with(&[&model, settings].concat()).await
}

/// Texts that the model has embedded as documents so far.
fn embedded(fake: &FakeOpenAi) -> usize {
    let inputs = |body: &Value| body["input"].as_array().map_or(0, Vec::len);
    fake.seen().iter().filter(|seen| seen.path.ends_with("/embeddings")).map(|seen| inputs(&seen.body)).sum()
}

async fn small_chunks(app: &TestApp) -> String {
    let body = json!({ "name": "small chunks", "chunk_size": 32, "chunk_overlap": 0 });
    app.post("/v1/knowledge-bases", body).await.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned()
}

fn upload(content: &str, external_id: &str) -> Value {
    json!({ "content": content, "content_type": "text/markdown", "title": "Handbook", "external_id": external_id })
}

/// What must hold of the whole store whenever nothing is being worked on.
pub async fn assert_consistent(database: &str) {
    let mut owner = PgConnection::connect(database).await.unwrap();
    let laws = [
        (
            "every indexed document has its chunks",
            "select d.id::text, d.chunk_count::bigint, count(c.id)
             from documents d
             join knowledge_bases k on k.id = d.knowledge_base_id
             left join document_chunks c on c.document_id = d.id and c.index_id = k.index_id
             where d.status = 'indexed'
             group by d.id
             having d.chunk_count <> count(c.id) or count(c.id) = 0",
        ),
        (
            "every chunk has its search row",
            "select c.id::text, 1::bigint, 0::bigint
             from document_chunks c
             left join chunk_search s on s.chunk_id = c.id and s.index_id = c.index_id and s.document_id = c.document_id
             where s.chunk_id is null",
        ),
        (
            "knowledge bases count their chunks",
            "select k.id::text, k.chunk_count, count(s.chunk_id)
             from knowledge_bases k
             left join chunk_search s on s.index_id = k.index_id
             group by k.id
             having k.chunk_count <> count(s.chunk_id)",
        ),
        (
            "lexemes are counted",
            "with counted as (
                 select s.index_id, substr(l.lexeme, position(':' in l.lexeme) + 1) as lexeme, count(*) as chunks
                 from chunk_search s
                 cross join lateral unnest(s.lexemes) l
                 group by 1, 2
             )
             select coalesce(c.lexeme, s.lexeme), coalesce(c.chunks, 0), coalesce(s.chunk_count, 0)
             from counted c
             full join lexeme_stats s on s.index_id = c.index_id and s.lexeme = c.lexeme
             where coalesce(c.chunks, 0) <> coalesce(s.chunk_count, 0)",
        ),
        (
            "nothing stays staged",
            "select d.id::text, count(*), 0::bigint
             from staged_embeddings s
             join documents d on d.id = s.document_id and d.status = 'indexed'
             group by d.id",
        ),
    ];
    for (law, query) in laws {
        let broken: Vec<(String, i64, i64)> = sqlx::query_as(query).fetch_all(&mut owner).await.unwrap();
        assert!(broken.is_empty(), "{law}: {broken:?}");
    }
    owner.close().await.unwrap();
}

fn database(app: &TestApp) -> String {
    app.app.config.database_url.as_ref().unwrap().expose_secret().to_owned()
}

#[tokio::test]
async fn a_new_version_embeds_only_what_changed_and_a_copy_embeds_nothing() {
    let fake = FakeOpenAi::start().await;
    let app = with_fake_model(&fake, &[]).await;
    let knowledge_base = small_chunks(&app).await;
    let first = app.index(&knowledge_base, upload(&handbook(0..20), "handbook")).await;
    let chunks = first["chunk_count"].as_u64().unwrap() as usize;
    assert!(chunks >= 20, "{first:#}");
    assert_eq!(embedded(&fake), chunks);

    let changed = handbook((0..20).map(|number| if number == 7 { 700 } else { number }));
    app.index(&knowledge_base, upload(&changed, "handbook")).await;
    assert_eq!(embedded(&fake), chunks + 1, "one section changed");

    app.index(&knowledge_base, upload(&changed, "copy of the handbook")).await;
    assert_eq!(embedded(&fake), chunks + 1, "a copy needs no vector of its own");
    assert_consistent(&database(&app)).await;
    assert_eq!(fake.complaints(), [""; 0]);
}

#[tokio::test]
async fn equal_files_under_several_names_are_embedded_once_even_at_the_same_time() {
    let fake = FakeOpenAi::start().await;
    let app = with_fake_model(&fake, &[("ingest_workers", "4")]).await;
    let knowledge_base = small_chunks(&app).await;
    let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
    let files = (0..8).fold(multipart::Form::new(), |form, number| {
        let part = multipart::Part::bytes(handbook(0..40).into_bytes()).file_name(format!("copy {number}.txt"));
        form.part("file", part)
    });
    let sent = app.request(Method::POST, &path).header("prefer", "wait=60").multipart(files);
    let one = app.send(sent).await.expect(StatusCode::OK)["documents"][0].clone();
    let named = |name: &str| json!({ "content": handbook(0..40), "external_id": name });
    for name in ["walrus", "penguin", "puffin"] {
        app.index(&knowledge_base, named(name)).await;
    }
    let base = app.get(&format!("/v1/knowledge-bases/{knowledge_base}")).await.json();
    assert_eq!(base["document_counts"]["indexed"], 4, "the same bytes without a name of their own are one document");
    assert_eq!(embedded(&fake), one["chunk_count"].as_u64().unwrap() as usize, "{one:#}");
    let found = json!({ "query": "penguin", "mode": "text", "knowledge_base_ids": [knowledge_base] });
    let found = app.post("/v1/search", found).await.json();
    assert_eq!(found["results"][0]["title"], "penguin", "a name is found by its words");
    assert_consistent(&database(&app)).await;
}

#[tokio::test]
async fn the_same_bytes_are_the_same_document_and_bring_new_words_along() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
    let sent = async |body: Value| app.post(&path, body).await.expect(StatusCode::ACCEPTED)["documents"][0].clone();
    let text = "Soil probes measure moisture.";
    let first =
        app.index(&knowledge_base, json!({ "content": text, "external_id": "soil", "metadata": { "year": 1 } })).await;
    let same =
        sent(json!({ "content": text, "external_id": "soil", "metadata": { "year": 2 }, "title": "Soil" })).await;
    assert_eq!(
        (&same["id"], &same["unchanged"], &same["version"]),
        (&first["id"], &json!(true), &json!(1)),
        "{same:#}"
    );
    assert_eq!((&same["metadata"], &same["title"]), (&json!({ "year": 2 }), &json!("Soil")));
    let filter = json!({ "type": "eq", "key": "year", "value": 2 });
    let found = app.search(json!({ "query": "moisture", "filter": filter })).await;
    assert_eq!((found.len(), &found[0]["title"]), (1, &json!("Soil")), "search knows it at once");
    let unnamed = sent(json!({ "content": text })).await;
    assert_eq!(
        (&unnamed["id"], &unnamed["unchanged"]),
        (&first["id"], &json!(true)),
        "without a name the bytes are enough"
    );
    assert_eq!(unnamed["metadata"], json!({ "year": 2 }), "what is not said stays");
    let other = sent(json!({ "content": text, "external_id": "another" })).await;
    assert_ne!(other["id"], first["id"]);
}

#[tokio::test]
async fn a_model_that_is_away_costs_a_document_no_attempt_for_two_hours() {
    let fake = FakeOpenAi::start().await;
    let app = with_fake_model(&fake, &[]).await;
    let knowledge_base = small_chunks(&app).await;
    let away = || (0..1000).map(|_| Behaviour::Refuse { status: 503, retry_after: Some("0"), code: "overloaded" });
    fake.script(away());
    let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
    let sent = app.post(&path, upload(&handbook(0..3), "patient")).await.expect(StatusCode::ACCEPTED);
    let id = sent["documents"][0]["id"].as_str().unwrap().to_owned();
    let mut owner = PgConnection::connect(&database(&app)).await.unwrap();
    // As an hour later, and as at the end of the second.
    for (tried, before, after) in
        [(0, "uploaded", "uploaded"), (20, "uploaded", "uploaded"), (30, "uploaded", "failed")]
    {
        if tried > 0 {
            let waited = "update documents set attempts = $1, waits = $1, not_before = now() where status = $2";
            let set = sqlx::query(waited).bind(tried).bind(before).execute(&mut owner).await.unwrap();
            assert_eq!(set.rows_affected(), 1);
        }
        let document = until(&app, &id, |document| {
            document["attempts"] == tried + 1 && !document["error"].is_null() && document["status"] != "processing"
        })
        .await;
        assert_eq!((&document["status"], &document["error"]["code"]), (&json!(after), &json!("embedding_failed")));
        assert_eq!(document["error"]["retryable"], true);
    }
    fake.forget_script();
    app.post(&format!("/v1/documents/{id}/retry"), json!({})).await.expect(StatusCode::ACCEPTED);
    let end = tokio::time::Instant::now() + PATIENCE;
    while app.get(&format!("/v1/documents/{id}")).await.json()["status"] != "indexed" {
        sqlx::query("update documents set not_before = now()").execute(&mut owner).await.unwrap();
        assert!(tokio::time::Instant::now() < end, "the model answers again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until(app: &TestApp, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let document = app.get(&format!("/v1/documents/{id}")).await.json();
        if is_so(&document) {
            return document;
        }
        assert!(tokio::time::Instant::now() < end, "{document:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_metrics_count_every_state_and_forget_what_has_ended() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let metrics = async || app.get("/metrics").await.text;
    let waiting = json!({ "content": handbook(0..200), "content_type": "text/markdown" });
    app.post(&format!("/v1/knowledge-bases/{knowledge_base}/documents"), waiting).await.expect(StatusCode::ACCEPTED);
    let busy = metrics().await;
    assert!(!busy.contains("almanac_documents{status=\"indexed\"} 1"), "{busy}");
    app.upload(&knowledge_base, "empty.txt", Vec::new()).await;
    let end = tokio::time::Instant::now() + PATIENCE;
    let done = |text: &str| {
        ["{status=\"uploaded\"} 0", "{status=\"processing\"} 0", "{status=\"indexed\"} 1", "{status=\"failed\"} 1"]
            .iter()
            .all(|counted| text.contains(&format!("almanac_documents{counted}\n")))
    };
    while !done(&metrics().await) {
        assert!(tokio::time::Instant::now() < end, "{}", metrics().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let text = metrics().await;
    assert!(text.contains("almanac_documents_oldest_seconds{status=\"processing\"} 0\n"), "{text}");
    for stage in ["extracting", "chunking", "embedding", "storing"] {
        assert!(text.contains(&format!("almanac_ingest_stage_seconds_count{{stage=\"{stage}\"}}")), "{stage}: {text}");
    }
    assert!(text.contains("almanac_embedded_tokens_total"), "{text}");
}

#[tokio::test]
async fn a_long_document_goes_on_where_it_was_cut_off() {
    let fake = FakeOpenAi::start().await;
    let app = with_fake_model(&fake, &[]).await;
    let knowledge_base = small_chunks(&app).await;
    let content = handbook(0..600);
    // The first group of 256 passages goes well, in requests of 32; then the model refuses for good.
    let fine = (0..10).map(|_| Behaviour::Well);
    fake.script(fine.chain([Behaviour::Refuse { status: 401, retry_after: None, code: "invalid_api_key" }]));
    let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
    let sent = app.request(Method::POST, &path).header("prefer", "wait=60").json(&upload(&content, "long"));
    let document = app.send(sent).await.expect(StatusCode::OK)["documents"][0].clone();
    assert_eq!(document["status"], "failed", "{document:#}");
    assert_eq!(document["error"]["code"], "embedding_failed");
    let mut owner = PgConnection::connect(&database(&app)).await.unwrap();
    let staged: i64 = sqlx::query_scalar("select count(*) from staged_embeddings").fetch_one(&mut owner).await.unwrap();
    assert!(staged > 0, "the groups that went well are kept");

    let before = embedded(&fake);
    let id = document["id"].as_str().unwrap();
    app.post(&format!("/v1/documents/{id}/retry"), json!({})).await.expect(StatusCode::ACCEPTED);
    let document = ended(&app, id).await;
    assert_eq!(document["status"], "indexed", "{document:#}");
    let chunks = document["chunk_count"].as_u64().unwrap() as usize;
    assert_eq!(embedded(&fake) - before, chunks - usize::try_from(staged).unwrap());
    assert_consistent(&database(&app)).await;
}

async fn ended(app: &TestApp, id: &str) -> Value {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let document = app.get(&format!("/v1/documents/{id}")).await.expect(StatusCode::OK);
        if matches!(document["status"].as_str(), Some("indexed" | "failed")) {
            return document;
        }
        assert!(tokio::time::Instant::now() < end, "it does not end: {document:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_single_document_does_not_wait_behind_the_queue_of_another_workspace() {
    let app = TestApp::with(&[("ingest_workers", "2")]).await;
    let (crowd, single) = (app.knowledge_base().await, app.neighbour().await);
    let mut form = multipart::Form::new();
    for number in 0..400 {
        let part = multipart::Part::text(handbook([number])).file_name(format!("{number}.md"));
        form = form.part("file", part);
    }
    let path = format!("/v1/knowledge-bases/{crowd}/documents");
    app.send(app.request(Method::POST, &path).multipart(form)).await.expect(StatusCode::ACCEPTED);
    let knowledge_base = single.knowledge_base().await;
    single.index(&knowledge_base, upload("# Alone\n\nThis one is not to wait.", "alone")).await;
    let counts = app.get(&format!("/v1/knowledge-bases/{crowd}")).await.json()["document_counts"].clone();
    assert!(counts["uploaded"].as_u64().unwrap() > 200, "the crowd was served first: {counts}");
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_again_and_others_are_still_served() {
    let app = TestApp::with(&[("ingest_workers", "0"), ("max_queued", "3")]).await;
    let knowledge_base = app.knowledge_base().await;
    let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
    for number in 0..3 {
        app.post(&path, upload(&handbook([number]), &number.to_string())).await.expect(StatusCode::ACCEPTED);
    }
    let refused = app.post(&path, upload(&handbook([4]), "4")).await;
    assert_eq!(refused.problem(429), "queue_full");
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    let neighbour = app.neighbour().await;
    let path = format!("/v1/knowledge-bases/{}/documents", neighbour.knowledge_base().await);
    neighbour.post(&path, upload(&handbook([5]), "5")).await.expect(StatusCode::ACCEPTED);
}

/// A knowledge base that was made with the local model, on a server that has another one by now.
async fn grown_up(fake: &FakeOpenAi) -> (TestApp, String) {
    let before = TestApp::start().await;
    let knowledge_base = before.knowledge_base().await;
    for number in 0..12 {
        before.index(&knowledge_base, upload(&handbook(number * 5..number * 5 + 5), &number.to_string())).await;
    }
    before.app.stop.cancel();
    let database = database(&before);
    let app = with_fake_model(fake, &[("database_url", &database), ("lease_seconds", "2")]).await;
    (app, knowledge_base)
}

async fn knowledge_base(app: &TestApp, id: &str) -> Value {
    app.get(&format!("/v1/knowledge-bases/{id}")).await.expect(StatusCode::OK)
}

async fn found(app: &TestApp, knowledge_base: &str) -> Value {
    let body = json!({ "query": "what to do when case 33 occurs", "knowledge_base_ids": [knowledge_base], "limit": 3 });
    app.post("/v1/search", body).await.expect(StatusCode::OK)
}

#[tokio::test]
async fn an_embedding_model_changes_while_searches_go_on() {
    let fake = FakeOpenAi::start().await;
    let (app, id) = grown_up(&fake).await;
    let old = knowledge_base(&app, &id).await;
    assert!(old["embedding_model"].as_str().unwrap().starts_with("MiniLM"), "{old:#}");

    let asked = app.patch(&format!("/v1/knowledge-bases/{id}"), json!({ "embedding_model": "fake-embedder" })).await;
    let asked = asked.expect(StatusCode::OK);
    assert_eq!(asked["embedding_model"], old["embedding_model"], "nothing has changed for searches");
    assert_eq!(asked["reindexing"]["embedding_model"], "fake-embedder@64");

    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let results = found(&app, &id).await;
        assert_eq!(results["results"].as_array().unwrap().len(), 3, "{results:#}");
        assert_eq!(results["degraded"], json!([]), "both legs, all the time");
        let now = knowledge_base(&app, &id).await;
        if now["reindexing"].is_null() {
            assert_eq!(now["embedding_model"], "fake-embedder@64");
            assert_eq!(now["dimensions"], DIMENSIONS);
            break;
        }
        assert!(tokio::time::Instant::now() < end, "{now:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let results = found(&app, &id).await;
    assert!(results["results"][0]["content"].as_str().unwrap().contains("Rule 33"), "{results:#}");
    // A version that comes now goes into the new index.
    app.index(&id, upload(&handbook([900]), "0")).await;
    assert_consistent_but_for_the_old_index(&database(&app)).await;
    assert_eq!(fake.complaints(), [""; 0]);
}

#[tokio::test]
async fn an_embedding_model_changes_while_documents_keep_coming() {
    let fake = FakeOpenAi::start().await;
    let (app, id) = grown_up(&fake).await;
    let path = format!("/v1/knowledge-bases/{id}");
    app.patch(&path, json!({ "embedding_model": "fake-embedder" })).await.expect(StatusCode::OK);
    let (end, mut sent) = (tokio::time::Instant::now() + PATIENCE, 0);
    while knowledge_base(&app, &id).await["reindexing"].is_object() {
        let body = upload(&handbook([1_000 + sent]), &format!("new {sent}"));
        app.post(&format!("{path}/documents"), body).await.expect(StatusCode::ACCEPTED);
        sent += 1;
        assert!(tokio::time::Instant::now() < end, "the switch waits for a pause in uploads");
    }
    assert!(sent > 0, "documents came in meanwhile");
    let mut base = knowledge_base(&app, &id).await;
    while base["document_counts"]["uploaded"] != 0 || base["document_counts"]["processing"] != 0 {
        assert!(tokio::time::Instant::now() < end + PATIENCE, "{base:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        base = knowledge_base(&app, &id).await;
    }
    assert_eq!((&base["document_counts"]["failed"], &base["dimensions"]), (&json!(0), &json!(DIMENSIONS)), "{base:#}");
    assert_consistent_but_for_the_old_index(&database(&app)).await;
}

/// The old index is there for a while, for searches that began on it.
async fn assert_consistent_but_for_the_old_index(database: &str) {
    let mut owner = PgConnection::connect(database).await.unwrap();
    sqlx::query("update reindexings set not_before = now() where status = 'switched'")
        .execute(&mut owner)
        .await
        .unwrap();
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let left: i64 = sqlx::query_scalar("select count(*) from reindexings").fetch_one(&mut owner).await.unwrap();
        if left == 0 {
            break;
        }
        assert!(tokio::time::Instant::now() < end, "the old index is not discarded");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let strays: i64 = sqlx::query_scalar(
        "select count(*) from chunk_search where index_id not in (select index_id from knowledge_bases)",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(strays, 0);
    owner.close().await.unwrap();
    assert_consistent(database).await;
}

#[tokio::test]
async fn a_change_of_the_embedding_model_can_be_given_up() {
    let fake = FakeOpenAi::start().await;
    let (app, id) = grown_up(&fake).await;
    let old = knowledge_base(&app, &id).await;
    // A model that is down keeps the change under way.
    fake.script((0..200).map(|_| Behaviour::Refuse { status: 503, retry_after: Some("1"), code: "overloaded" }));
    app.patch(&format!("/v1/knowledge-bases/{id}"), json!({ "embedding_model": "fake-embedder" }))
        .await
        .expect(StatusCode::OK);
    assert!(knowledge_base(&app, &id).await["reindexing"].is_object());
    assert_eq!(found(&app, &id).await["results"].as_array().unwrap().len(), 3);
    let given_up = app.delete(&format!("/v1/knowledge-bases/{id}/reindexing")).await;
    assert_eq!(given_up.status, StatusCode::NO_CONTENT, "{}", given_up.text);
    let now = knowledge_base(&app, &id).await;
    assert_eq!((&now["reindexing"], &now["embedding_model"]), (&Value::Null, &old["embedding_model"]));
    assert_eq!(app.delete(&format!("/v1/knowledge-bases/{id}/reindexing")).await.problem(404), "not_found");
    assert_consistent_but_for_the_old_index(&database(&app)).await;
}

#[tokio::test]
async fn another_chunk_size_cuts_every_document_again() {
    let app = TestApp::start().await;
    let id = app.knowledge_base().await;
    let document = app.index(&id, upload(&handbook(0..40), "handbook")).await;
    app.patch(&format!("/v1/knowledge-bases/{id}"), json!({ "chunk_size": 32 })).await.expect(StatusCode::OK);
    let end = tokio::time::Instant::now() + PATIENCE;
    while knowledge_base(&app, &id).await["reindexing"].is_object() {
        assert!(tokio::time::Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let now = knowledge_base(&app, &id).await;
    assert_eq!(now["chunk_size"], 32);
    let again = app.get(&format!("/v1/documents/{}", document["id"].as_str().unwrap())).await.json();
    assert!(again["chunk_count"].as_u64() > document["chunk_count"].as_u64(), "{again:#}");
    assert_eq!(now["chunk_count"], again["chunk_count"]);
    assert_consistent_but_for_the_old_index(&database(&app)).await;
}
