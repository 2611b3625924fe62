//! Batches through the API: fed one by one, counted whatever becomes of their documents, watched, closed, cancelled; and
//! the lookup that tells what need not be sent.

use std::time::Duration;

use almanac::store::Store;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::support::{Answer, TestApp, new_database};

const NOTHING: &str = "01900000-0000-7000-8000-00000000ffff";
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_batch_fed_one_by_one_counts_every_file_whatever_becomes_of_it() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let batch = open(&app, &knowledge_base).await;
    let first = add(&app, &knowledge_base, &batch, "a", "The first words.").await;
    let again = add(&app, &knowledge_base, &batch, "a", "The first words.").await;
    assert_eq!((&again["unchanged"], &again["id"]), (&json!(true), &first["id"]));
    let second = add(&app, &knowledge_base, &batch, "b", "The second words.").await;
    let open = app.get(&batch).await.expect(StatusCode::OK);
    assert_eq!((&open["open"], &open["done"], &open["total"]), (&json!(true), &json!(false), &json!(3)), "{open:#}");
    assert_eq!(open["knowledge_base_id"], json!(knowledge_base));

    let newer = app.index(&knowledge_base, json!({"content": "Newer words.", "external_id": "b"})).await;
    assert_eq!(newer["id"], second["id"]);
    let closed = app.post(&format!("{batch}/close"), json!({})).await.expect(StatusCode::OK);
    assert_eq!(closed["open"], false);
    let done = done(&app, &batch).await;
    assert_counts(&done, [0, 0, 2, 0], [1, 1, 0], 3);
    assert_eq!(app.post(&format!("{batch}/close"), json!({})).await.expect(StatusCode::OK), done);
    let late = app.post(&format!("{}&title=x", into(&knowledge_base, &batch)), json!({"content": "x"})).await;
    assert_eq!(late.problem(422), "invalid_request", "an unknown parameter is refused");
    let late = app.post(&into(&knowledge_base, &batch), json!({"content": "x"})).await;
    assert_eq!(late.problem(409), "batch_closed");

    let listed = app.get(&format!("{batch}/documents?limit=1")).await.expect(StatusCode::OK);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!((&listed["data"][0]["id"], &listed["data"][0]["unchanged"]), (&first["id"], &json!(true)));
    let cursor = listed["next_cursor"].as_str().unwrap();
    let rest = app.get(&format!("{batch}/documents?limit=1&cursor={cursor}")).await.json();
    assert_eq!((&rest["data"][0]["unchanged"], &rest["next_cursor"]), (&json!(false), &Value::Null));
    assert_eq!(app.get(&format!("{batch}/documents?status=failed")).await.json()["data"], json!([]));

    let path = format!("/v1/documents/{}", first["id"].as_str().unwrap());
    assert_eq!(app.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_counts(&app.get(&batch).await.json(), [0, 0, 0, 0], [1, 1, 2], 3);
    assert_eq!(app.delete(&format!("{path}?purge=true")).await.status, StatusCode::NO_CONTENT);
    assert_counts(&app.get(&batch).await.json(), [0, 0, 0, 0], [1, 1, 2], 3);
    let knowledge_base = format!("/v1/knowledge-bases/{knowledge_base}");
    assert_eq!(app.delete(&knowledge_base).await.status, StatusCode::NO_CONTENT);
    assert_eq!(app.get(&batch).await.problem(404), "not_found");
}

#[tokio::test]
async fn only_open_batches_of_the_same_knowledge_base_take_files() {
    let app = TestApp::start().await;
    let (knowledge_base, other) = (app.knowledge_base().await, app.knowledge_base().await);
    let batch = open(&app, &knowledge_base).await;
    let elsewhere = [into(&other, &batch), into(&knowledge_base, &format!("/v1/batches/{NOTHING}"))];
    for path in elsewhere {
        assert_eq!(app.post(&path, json!({"content": "x"})).await.problem(404), "not_found", "{path}");
    }
    let bad = app.post(&into(&knowledge_base, "/v1/batches/7"), json!({"content": "x"})).await;
    assert_eq!(bad.problem(422), "invalid_request");
    let unknown = app.post("/v1/batches", json!({"knowledge_base_id": NOTHING})).await;
    assert_eq!(unknown.problem(404), "not_found");
    let own = app.index(&knowledge_base, json!({"content": "By itself."})).await;
    let own = format!("/v1/batches/{}", own["batch_id"].as_str().unwrap());
    assert_eq!(app.post(&into(&knowledge_base, &own), json!({"content": "x"})).await.problem(409), "batch_closed");
    assert_eq!(app.get(&own).await.json()["done"], true);

    let once = || {
        let request = app.request(Method::POST, "/v1/batches").header("idempotency-key", "once");
        app.send(request.json(&json!({"knowledge_base_id": knowledge_base})))
    };
    let (first, second) = (once().await, once().await);
    assert_eq!(first.expect(StatusCode::CREATED), second.expect(StatusCode::CREATED));

    let neighbour = app.neighbour().await;
    for (method, path) in [
        (Method::GET, batch.clone()),
        (Method::GET, format!("{batch}/documents")),
        (Method::GET, format!("{batch}/events")),
        (Method::POST, format!("{batch}/close")),
        (Method::POST, format!("{batch}/cancel")),
    ] {
        let answer = neighbour.send(neighbour.request(method, &path)).await;
        assert_eq!(answer.problem(404), "not_found", "{path}");
    }
    let theirs = neighbour.knowledge_base().await;
    let answer = neighbour.post(&into(&theirs, &batch), json!({"content": "x"})).await;
    assert_eq!(answer.problem(404), "not_found");
    assert_eq!(app.get(&batch).await.json()["open"], true);
}

#[tokio::test]
async fn the_events_of_an_open_batch_go_on_until_it_is_closed_and_done() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let batch = open(&app, &knowledge_base).await;
    let events = app.request(Method::GET, &format!("{batch}/events")).send().await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let feed = async {
        add(&app, &knowledge_base, &batch, "a", "Some words.").await;
        let counts = |batch: &Value| batch["document_counts"]["indexed"] == 1;
        until(&app, &batch, counts).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        app.post(&format!("{batch}/close"), json!({})).await.expect(StatusCode::OK);
    };
    let (text, ()) = tokio::join!(events.text(), feed);
    let text = text.unwrap();
    let events: Vec<(&str, Value)> = text
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("event: ")?.split_once("\ndata: "))
        .map(|(name, data)| (name, serde_json::from_str(data).unwrap()))
        .collect();
    let (last, progress) = events.split_last().unwrap();
    assert!(progress.iter().all(|(name, _)| *name == "progress"), "{text}");
    assert_eq!((last.0, &last.1["done"], &last.1["open"]), ("done", &json!(true), &json!(false)), "{text}");
    assert_eq!(progress[0].1["total"], 0, "it is told how things stand at once: {text}");
    assert!(
        progress.iter().any(|(_, batch)| batch["open"] == true && batch["document_counts"]["indexed"] == 1),
        "{text}"
    );
    assert!(progress.windows(2).all(|two| two[0].1 != two[1].1), "only changes are told: {text}");
}

#[tokio::test]
async fn cancelling_fails_what_is_not_ingested_yet_and_readers_keep_what_they_have() {
    let app = TestApp::with(&[("ingest_workers", "1")]).await;
    let knowledge_base = app.knowledge_base().await;
    app.index(&knowledge_base, json!({"content": "Refunds take twenty days.", "external_id": "policy"})).await;
    let batch = open(&app, &knowledge_base).await;
    let done = add(&app, &knowledge_base, &batch, "done", "Ingested before.").await;
    until(&app, &batch, |batch| batch["document_counts"]["indexed"] == 1).await;
    let policy = add(&app, &knowledge_base, &batch, "policy", &long("Refunds take thirty days.")).await;
    let waiting = add(&app, &knowledge_base, &batch, "waiting", "Behind the long one.").await;
    until(&app, &batch, |batch| batch["document_counts"]["processing"] == 1).await;

    let cancelled = app.post(&format!("{batch}/cancel"), json!({})).await.expect(StatusCode::OK);
    assert_eq!((&cancelled["open"], &cancelled["done"]), (&json!(false), &json!(true)), "{cancelled:#}");
    assert_counts(&cancelled, [0, 0, 1, 2], [0, 0, 0], 3);
    for document in [&policy, &waiting] {
        let document = app.get(&path_of(document)).await.json();
        let error = &document["error"];
        assert_eq!((&error["code"], &error["retryable"]), (&json!("cancelled"), &json!(true)), "{document:#}");
    }
    assert_eq!(app.get(&path_of(&done)).await.json()["status"], "indexed");
    assert_eq!(app.post(&into(&knowledge_base, &batch), json!({"content": "x"})).await.problem(409), "batch_closed");

    // The worker finds its lease gone and goes on with what comes next; what it had in hand stays cancelled.
    app.index(&knowledge_base, json!({"content": "The next document."})).await;
    assert_counts(&app.get(&batch).await.json(), [0, 0, 1, 2], [0, 0, 0], 3);
    let found = app.search(json!({"query": "refunds", "mode": "text", "knowledge_base_ids": [knowledge_base]})).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["content"], "Refunds take twenty days.");

    app.post(&format!("{}/retry", path_of(&waiting)), json!({})).await.expect(StatusCode::ACCEPTED);
    until(&app, &batch, |batch| batch["document_counts"]["indexed"] == 2).await;
}

#[tokio::test]
async fn cancelling_leaves_what_another_batch_put_into_the_queue() {
    let app = TestApp::with(&[("ingest_workers", "1")]).await;
    let knowledge_base = app.knowledge_base().await;
    let (mine, theirs) = (open(&app, &knowledge_base).await, open(&app, &knowledge_base).await);
    let document = add(&app, &knowledge_base, &theirs, "long", &long("Wanted by two.")).await;
    let same = add(&app, &knowledge_base, &mine, "long", &long("Wanted by two.")).await;
    assert_eq!((&same["id"], &same["unchanged"]), (&document["id"], &json!(true)));
    app.post(&format!("{mine}/cancel"), json!({})).await.expect(StatusCode::OK);
    assert_ne!(app.get(&path_of(&document)).await.json()["status"], "failed");

    app.post(&format!("{theirs}/cancel"), json!({})).await.expect(StatusCode::OK);
    let document = app.get(&path_of(&document)).await.json();
    assert_eq!(document["error"]["code"], "cancelled", "{document:#}");
    // Sent again after its failure, it belongs to whoever sent it.
    let third = open(&app, &knowledge_base).await;
    let resent = add(&app, &knowledge_base, &third, "long", &long("Wanted by two.")).await;
    assert_eq!((&resent["id"], &resent["batch_id"]), (&document["id"], &json!(third.rsplit('/').next())));
    let cancelled = app.post(&format!("{third}/cancel"), json!({})).await.expect(StatusCode::OK);
    assert_counts(&cancelled, [0, 0, 0, 1], [1, 0, 0], 1);
}

#[tokio::test]
async fn a_lookup_finds_exactly_these_bytes_under_this_name() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let path = format!("/v1/knowledge-bases/{knowledge_base}/documents/lookup");
    let named = app.index(&knowledge_base, json!({"content": "Named words.", "external_id": "a"})).await;
    let unnamed = app.index(&knowledge_base, json!({"content": "Unnamed words."})).await;
    let failed = app.upload(&knowledge_base, "empty.txt", Vec::new()).await;
    assert_eq!(failed["status"], "failed");
    let wanted = |name: Option<&str>, text: &str| json!({"external_id": name, "sha256": hash(text)});
    let asked = [
        (wanted(Some("a"), "Named words."), Some(&named)),
        (wanted(None, "Unnamed words."), Some(&unnamed)),
        (wanted(None, "Named words."), None),
        (wanted(Some("a"), "Changed words."), None),
        (wanted(Some("b"), "Unnamed words."), None),
        (json!({"sha256": hash("").to_uppercase()}), Some(&failed)),
        (wanted(Some("a"), "Named words."), Some(&named)),
    ];
    let body = json!({"documents": asked.iter().map(|(wanted, _)| wanted).collect::<Vec<_>>()});
    let found = app.post(&path, body.clone()).await.expect(StatusCode::OK);
    let ids: Vec<_> = found["documents"].as_array().unwrap().iter().map(|document| &document["id"]).collect();
    let expected: Vec<_> =
        asked.iter().map(|(_, document)| document.map_or(&Value::Null, |found| &found["id"])).collect();
    assert_eq!(ids, expected);
    assert_eq!(found["documents"][5]["status"], "failed");

    app.delete(&path_of(&named)).await;
    assert_eq!(app.post(&path, body.clone()).await.json()["documents"][0], Value::Null);
    let new = app.index(&knowledge_base, json!({"content": "Changed words.", "external_id": "a"})).await;
    assert_eq!(app.post(&path, body.clone()).await.json()["documents"][3]["id"], new["id"]);
    assert_eq!(app.neighbour().await.post(&path, body).await.problem(404), "not_found");
    let many = vec![wanted(None, "x"); 1_001];
    for documents in [json!([]), json!(many), json!([{"sha256": "ab"}]), json!([{"sha256": "x".repeat(64)}])] {
        assert_eq!(app.post(&path, json!({"documents": documents})).await.problem(422), "invalid_request");
    }
    let nul = json!({"documents": [{"sha256": hash(""), "external_id": "a\0"}]});
    assert_eq!(app.post(&path, nul).await.problem(422), "invalid_request");
    let most = vec![wanted(Some("a"), "Changed words."); 1_000];
    let found = app.post(&path, json!({"documents": most})).await.expect(StatusCode::OK);
    assert_eq!(found["documents"].as_array().unwrap().len(), 1_000);
}

#[tokio::test]
async fn documents_from_before_batches_could_be_opened_are_still_in_theirs() {
    let url = new_database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let script = |name: &str| {
        let path = format!("{}/migrations/{name}", env!("CARGO_MANIFEST_DIR"));
        AssertSqlSafe(std::fs::read_to_string(path).unwrap())
    };
    for name in ["0001_tenancy.sql", "0002_documents.sql", "0003_databases.sql"] {
        connection.execute(script(name)).await.unwrap();
    }
    connection
        .execute(AssertSqlSafe(format!(
            "insert into workspaces (id, name) values ('{NOTHING}', 'w');
             insert into knowledge_bases (id, workspace_id, name, chunk_size, chunk_overlap, embedding_model, dimensions, language)
             values ('{NOTHING}', '{NOTHING}', 'k', 100, 0, 'm', 3, 'english');
             insert into batches (id, workspace_id, knowledge_base_id) values ('{NOTHING}', '{NOTHING}', '{NOTHING}');
             insert into documents (id, workspace_id, knowledge_base_id, batch_id, title, title_given, content_type, size,
                 sha256, original, version, metadata, deleted_at)
             select gen_random_uuid(), '{NOTHING}', '{NOTHING}', '{NOTHING}', 't', false, 'text/plain', 1,
                 sha256(n::text::bytea), gen_random_uuid(), n, '{{}}', case n when 3 then now() end
             from generate_series(1, 3) n;"
        )))
        .await
        .unwrap();
    connection.execute(script("0004_batches.sql")).await.unwrap();
    let counts = sqlx::query(
        "select count(*), count(*) filter (where d.version = b.version), count(*) filter (where b.unchanged)
         from batch_documents b
         join documents d on d.id = b.document_id and d.batch_id = b.batch_id
         join batches on batches.id = b.batch_id and closed_at is not null",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!([counts.get::<i64, _>(0), counts.get(1), counts.get(2)], [3, 3, 0]);
}

#[tokio::test]
async fn every_policy_asks_for_the_workspace_once_a_statement() {
    let url = new_database().await;
    Store::open(&url.clone().into(), None).await.unwrap().close().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let policies = sqlx::query("select tablename::text, qual, with_check from pg_policies where schemaname = 'public'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert!(policies.len() > 10, "{}", policies.len());
    for policy in policies {
        let (table, rules): (String, [String; 2]) = (policy.get(0), [policy.get(1), policy.get(2)]);
        let once = rules.iter().all(|rule| rule.contains("( SELECT current_workspace()"));
        // One row a transaction is all that anybody reads of workspaces.
        assert!(once || table == "workspaces", "{table}: {rules:?}");
    }
}

/// A new batch's path.
async fn open(app: &TestApp, knowledge_base: &str) -> String {
    let made = app.post("/v1/batches", json!({"knowledge_base_id": knowledge_base})).await;
    let made = made.expect(StatusCode::CREATED);
    assert_eq!((&made["open"], &made["done"], &made["total"]), (&json!(true), &json!(false), &json!(0)));
    format!("/v1/batches/{}", made["id"].as_str().unwrap())
}

/// Where uploads into `batch` (a path) go.
fn into(knowledge_base: &str, batch: &str) -> String {
    format!("/v1/knowledge-bases/{knowledge_base}/documents?batch_id={}", batch.rsplit('/').next().unwrap())
}

async fn add(app: &TestApp, knowledge_base: &str, batch: &str, name: &str, content: &str) -> Value {
    let added: Answer =
        app.post(&into(knowledge_base, batch), json!({"content": content, "external_id": name, "title": name})).await;
    let added = added.expect(StatusCode::ACCEPTED);
    assert!(batch.ends_with(added["batch_id"].as_str().unwrap()), "{added:#}");
    added["documents"][0].clone()
}

async fn done(app: &TestApp, batch: &str) -> Value {
    until(app, batch, |batch| batch["done"] == true).await
}

async fn until(app: &TestApp, batch: &str, reached: impl Fn(&Value) -> bool) -> Value {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let now = app.get(batch).await.expect(StatusCode::OK);
        if reached(&now) {
            return now;
        }
        assert!(tokio::time::Instant::now() < end, "the batch stays as it is: {now:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn assert_counts(batch: &Value, by_status: [u64; 4], others: [u64; 3], total: u64) {
    let statuses = ["uploaded", "processing", "indexed", "failed"].map(|status| &batch["document_counts"][status]);
    assert_eq!(statuses, by_status.map(|count| json!(count)).each_ref(), "{batch:#}");
    let rest = ["unchanged", "superseded", "deleted"].map(|name| &batch[name]);
    assert_eq!(rest, others.map(|count| json!(count)).each_ref(), "{batch:#}");
    assert_eq!(batch["total"], total, "{batch:#}");
}

fn path_of(document: &Value) -> String {
    format!("/v1/documents/{}", document["id"].as_str().unwrap())
}

/// Keeps a worker busy for seconds.
fn long(sentence: &str) -> String {
    (0..4_000).map(|number| format!("{sentence} This is sentence number {number} of many.\n")).collect()
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}
