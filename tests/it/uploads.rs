//! Uploads at the edge: clients that are silent, endless or wrong are told so and hold nothing, and what comes at the same
//! time becomes one document or two, as it should.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::{Method, StatusCode, multipart};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

use crate::support::{ADMIN_KEY, Answer, TestApp, files_below, run_at, text_at};

const PATIENCE: Duration = Duration::from_secs(30);
const FORM: &str = "multipart/form-data; boundary=wire";
const JSON: &str = "application/json";
const PART: &str = "--wire\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n";

fn documents(knowledge_base: &str) -> String {
    format!("/v1/knowledge-bases/{knowledge_base}/documents")
}

/// Sends the head of an upload whose body is said to be `length` long.
async fn begin(app: &TestApp, path: &str, content_type: &str, key: Option<&str>, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(app.url.strip_prefix("http://").unwrap()).await.unwrap();
    let key = key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: almanac\r\nAuthorization: Bearer {ADMIN_KEY}\r\nConnection: close\r\n{key}\
         Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// What the server says to a client that waits.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await;
    read.expect("the server answers").ok();
    String::from_utf8(text).unwrap()
}

async fn soon(what: &str, mut found: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !found().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Neither files nor rows.
async fn assert_nothing_is_left(app: &TestApp, path: &str) {
    let root = app.data_dir.join("originals");
    soon("nothing is left", async || files_below(&root).is_empty()).await;
    assert_eq!(app.get(path).await.json()["data"], json!([]));
    let spooled = files_below(&app.data_dir);
    assert!(spooled.iter().all(|file| !file.to_string_lossy().contains("upload-")), "{spooled:?}");
}

#[tokio::test]
async fn a_form_whose_parts_do_not_begin_is_refused_early() {
    let app = TestApp::start().await;
    let path = documents(&app.knowledge_base().await);
    for (before, key) in [("", None), (PART, None), (PART, Some("header"))] {
        let mut stream = begin(&app, &path, FORM, key, 32 << 20).await;
        stream.write_all(before.as_bytes()).await.unwrap();
        stream.write_all("a".repeat(66 << 10).as_bytes()).await.unwrap();
        let said = answer(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 400") && said.contains("malformed_request"), "{said}");
    }
    // One that sends all before it listens hears it as well, and one that never listens is not listened to either.
    let send = async |megabytes: usize| {
        let mut stream = begin(&app, &path, FORM, None, megabytes << 20).await;
        stream.write_all(PART.as_bytes()).await.unwrap();
        let (mut sent, piece) = (PART.len(), vec![b'a'; 1 << 20]);
        while sent < megabytes << 20
            && stream.write_all(&piece[..piece.len().min((megabytes << 20) - sent)]).await.is_ok()
        {
            sent += piece.len();
        }
        (sent, answer(&mut stream).await)
    };
    let (_, said) = send(32).await;
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("malformed_request"), "{said}");
    let (sent, _) = send(512).await;
    assert!(sent < 128 << 20, "{sent} bytes were taken");
    assert_nothing_is_left(&app, &path).await;
}

#[tokio::test]
async fn a_client_that_falls_silent_is_told_and_its_place_and_its_key_are_free() {
    let app = TestApp::with(&[("upload_silence_seconds", "1")]).await;
    let path = documents(&app.knowledge_base().await);
    let file = [PART, "\r\nThe first words"].concat();
    let silent =
        [(FORM, file.as_str(), None), (FORM, &file, Some("form")), (JSON, "{", None), (JSON, "{", Some("json"))];
    // Of one workspace twelve may upload at a time.
    let silent = join_all(silent.into_iter().cycle().take(12).enumerate().map(async |(index, (kind, first, key))| {
        let key = key.map(|key| format!("{key} {}", index / 4));
        let mut stream = begin(&app, &path, kind, key.as_deref(), 1 << 20).await;
        stream.write_all(first.as_bytes()).await.unwrap();
        let said = answer(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 408") && said.contains("too_slow"), "{kind} {key:?}: {said}");
    }));
    let began = Instant::now();
    let other = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        app.post(&path, json!({"content": "Somebody else's words."})).await.expect(StatusCode::ACCEPTED)
    };
    let (_, other) = tokio::join!(silent, other);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let id = other["documents"][0]["id"].as_str().unwrap();
    assert_eq!(app.delete(&format!("/v1/documents/{id}?purge=true")).await.status, StatusCode::NO_CONTENT);
    assert_nothing_is_left(&app, &path).await;
    for key in ["form 0", "json 0"] {
        let again = || app.request(Method::POST, &path).header("idempotency-key", key).json(&json!({"content": key}));
        soon("the key is free", async || app.send(again()).await.status == StatusCode::ACCEPTED).await;
    }
}

#[tokio::test]
async fn a_client_that_trickles_is_told_after_two_spans_of_silence() {
    let app = TestApp::with(&[("upload_silence_seconds", "1")]).await;
    let path = documents(&app.knowledge_base().await);
    let file = [PART, "\r\n"].concat();
    for (kind, first, key) in [(FORM, file.as_str(), Some("form")), (JSON, "{\"content\": \"", None)] {
        let stream = begin(&app, &path, kind, key, 1 << 20).await;
        let (mut reading, mut writing) = stream.into_split();
        let began = Instant::now();
        let trickle = async {
            let mut open = writing.write_all(first.as_bytes()).await.is_ok();
            while open && began.elapsed() < PATIENCE {
                tokio::time::sleep(Duration::from_millis(600)).await;
                open = writing.write_all(b"a").await.is_ok();
            }
        };
        let mut said = String::new();
        tokio::select! {
            () = trickle => {}
            read = reading.read_to_string(&mut said) => { read.ok(); }
        }
        assert!(said.starts_with("HTTP/1.1 408") && said.contains("1 KiB"), "{said}");
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    }
    assert_nothing_is_left(&app, &path).await;
}

#[tokio::test]
async fn a_client_that_stops_in_the_midst_of_json_leaves_nothing() {
    let app = TestApp::start().await;
    let path = documents(&app.knowledge_base().await);
    for key in [None, Some("stops")] {
        let mut stream = begin(&app, &path, JSON, key, 20 << 20).await;
        stream.write_all(format!("{{\"content\": \"{}", "a".repeat(5 << 20)).as_bytes()).await.unwrap();
        drop(stream);
        assert_nothing_is_left(&app, &path).await;
    }
    let again =
        || app.request(Method::POST, &path).header("idempotency-key", "stops").json(&json!({"content": "words"}));
    soon("the key is free", async || app.send(again()).await.status == StatusCode::ACCEPTED).await;
}

#[tokio::test]
async fn ten_megabytes_of_json_are_a_document_and_replay_with_their_key() {
    let app = TestApp::with(&[("ingest_workers", "0")]).await;
    let path = documents(&app.knowledge_base().await);
    let text = "The gauge says \"nine\" at noon.\nä — 水\n".repeat(250_000);
    let send = async |key: Option<&str>, text: &str| -> Answer {
        let mut request = app.request(Method::POST, &path).json(&json!({"content": text, "title": "Large"}));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        app.send(request).await
    };
    let first = send(Some("large"), &text).await.expect(StatusCode::ACCEPTED);
    let document = &first["documents"][0];
    assert_eq!(
        (&document["size"], &document["sha256"]),
        (&json!(text.len()), &json!(hex::encode(Sha256::digest(&text))))
    );
    let replayed = send(Some("large"), &text).await;
    assert_eq!(replayed.headers["idempotency-replayed"], "true");
    assert_eq!(replayed.expect(StatusCode::ACCEPTED), first);
    assert_eq!(send(Some("large"), &text[1..]).await.problem(422), "idempotency_key_reused");
    let again = send(None, &text).await.expect(StatusCode::ACCEPTED);
    assert_eq!((&again["documents"][0]["id"], &again["documents"][0]["unchanged"]), (&document["id"], &json!(true)));
    let content = app.get(&format!("/v1/documents/{}/content", document["id"].as_str().unwrap())).await;
    assert!(content.text == text, "the bytes are those of the text");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_text_is_said_in_few_words() {
    let app = TestApp::start().await;
    let path = documents(&app.knowledge_base().await);
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let large = |part: &str| part.repeat((12 << 20) / part.len());
    let bodies = [
        (r#"{"content": "x", "metadata": [1]}"#.to_owned(), 422, "/metadata"),
        (r#"{"content": "x", "metadata": "text"}"#.to_owned(), 422, "/metadata"),
        (r#"{"content": "x", "metadata": {"a": "\u0000"}}"#.to_owned(), 422, "NUL"),
        (r#"{"content": "x", "metadata": {"a\u0000": 1}}"#.to_owned(), 422, "NUL"),
        (format!(r#"{{"content": "x", "metadata": {{"a": {}}}}}"#, deep(10_000)), 400, "recursion"),
        (format!(r#"{{"content": "x", "metadata": {{"a": [{}1]}}}}"#, large("1,")), 422, "16384 bytes"),
        (format!(r#"{{"content": "x", "metadata": {{"a": "{}"}}}}"#, large("a")), 422, "16384 bytes"),
        (format!(r#"{{"content": "x", "{}": 1}}"#, large("a")), 422, "unknown field"),
        (format!(r#"{{"content": {{"{}": 1}}}}"#, large("a")), 422, "/content"),
        (format!(r#"{{"content": "x", "title": "{}"}}"#, large("a")), 422, "/title"),
        (r#"{"content": "x", "external_id": "a\u0000b"}"#.to_owned(), 422, "/external_id"),
        (format!(r#"{{"content": "x", "external_id": "{}"}}"#, "a".repeat(10_000)), 422, "/external_id"),
        (r#"{"content": "x", "external_id": ""}"#.to_owned(), 422, "/external_id"),
        (format!("  [{}1]", large("1,")), 422, "must be a JSON object"),
        (format!(r#"{{"content": "{}"#, large("a")), 400, "not valid JSON"),
        (format!(r#"{{"content": "{}"}} 1"#, large("a")), 400, "goes on after its JSON"),
        (r#"{}"#.to_owned(), 422, "content"),
    ];
    for (body, status, words) in bodies {
        let begins: String = body.chars().take(60).collect();
        let request = app.request(Method::POST, &path).header("content-type", JSON).body(body);
        let refused = app.send(request).await;
        refused.problem(status);
        assert!(refused.text.contains(words) && refused.text.len() < 4096, "{begins}: {}", refused.text);
    }
    let nested = json!({"content": "Deep, and not too deep.", "metadata": {"a": [[[{"b": [null, true, -1, 2.5]}]]]}});
    let kept = app.index(path.split('/').nth(3).unwrap(), nested.clone()).await;
    assert_eq!(kept["metadata"], nested["metadata"]);
    let id = kept["id"].as_str().unwrap();
    app.delete(&format!("/v1/documents/{id}?purge=true")).await;
    assert_nothing_is_left(&app, &path).await;
}

#[tokio::test]
async fn whatever_is_wrong_with_a_form_is_said_and_leaves_nothing() {
    let app = TestApp::start().await;
    let path = documents(&app.knowledge_base().await);
    let send = async |form: multipart::Form| app.send(app.request(Method::POST, &path).multipart(form)).await;
    let file = || multipart::Form::new().part("file", multipart::Part::bytes(b"words".as_slice()).file_name("a.txt"));
    let none = send(multipart::Form::new().text("metadata", "{}")).await;
    assert_eq!(none.problem(422), "invalid_request");
    assert!(none.text.contains("/file"), "{}", none.text);
    for (name, value) in [
        ("metadata", "[]".to_owned()),
        ("metadata", "7".to_owned()),
        ("metadata", r#"{"a": "\u0000"}"#.to_owned()),
        ("metadata", format!("{{\"a\": \"{}\"}}", "a".repeat(17 << 10))),
        ("metadata", "a".repeat(1 << 20)),
        ("external_id", "a\0b".to_owned()),
        ("external_id", "a".repeat(10_000)),
        ("title", " ".to_owned()),
        ("surprise", "x".to_owned()),
    ] {
        let refused = send(file().text(name, value)).await;
        assert_eq!(refused.problem(422), "invalid_request");
        assert!(refused.text.contains(&format!("/{name}")), "{}", refused.text);
    }
    for malformed in ["{", "[[[", &"[".repeat(10_000)] {
        assert_eq!(send(file().text("metadata", malformed.to_owned())).await.problem(400), "malformed_json");
    }
    assert_nothing_is_left(&app, &path).await;
}

#[tokio::test]
async fn a_form_has_a_thousand_files_and_one_more_is_too_many() {
    let app = TestApp::with(&[("ingest_workers", "0")]).await;
    let path = documents(&app.knowledge_base().await);
    let form = |files: usize| {
        (0..files).fold(multipart::Form::new(), |form, number| {
            // Every tenth file repeats the one before it.
            let text = format!("Tiny file {}.", number - usize::from(number % 10 == 9));
            form.part("file", multipart::Part::text(text).file_name(format!("{number}.txt")))
        })
    };
    // A server that has heard enough may close the connection before a client has sent all.
    if let Ok(response) = app.request(Method::POST, &path).multipart(form(10_000)).send().await {
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert_eq!(app.send(app.request(Method::POST, &path).multipart(form(1_001))).await.problem(413), "too_large");
    assert_nothing_is_left(&app, &path).await;
    let sent = app.send(app.request(Method::POST, &path).multipart(form(1_000))).await.expect(StatusCode::ACCEPTED);
    let documents = sent["documents"].as_array().unwrap();
    assert_eq!(documents.len(), 1_000);
    for (number, document) in documents.iter().enumerate() {
        let repeated = number % 10 == 9;
        assert_eq!(document["unchanged"], repeated, "{number}: {document:#}");
        assert_eq!(document["title"], format!("{}.txt", number - usize::from(repeated)), "in order");
    }
    let batch = app.get(&format!("/v1/batches/{}", sent["batch_id"].as_str().unwrap())).await.json();
    let counts = (&batch["total"], &batch["unchanged"], &batch["document_counts"]["uploaded"]);
    assert_eq!(counts, (&json!(1_000), &json!(100), &json!(1_000)), "{batch:#}");
    let root = app.data_dir.join("originals");
    soon("files that are here already go", async || files_below(&root).len() == 900).await;
}

#[tokio::test]
async fn the_same_thing_many_times_at_once_is_one_document() {
    let app = TestApp::with(&[("ingest_workers", "0")]).await;
    let path = documents(&app.knowledge_base().await);
    let send = |body: Value| app.post(&path, body);
    let same = join_all((0..10).map(|_| send(json!({"content": "The same bytes."})))).await;
    let named = join_all((0..10).map(|number| send(json!({"content": number.to_string(), "external_id": "a"})))).await;
    let document = |answer: &Answer| answer.expect(StatusCode::ACCEPTED)["documents"][0].clone();
    let same: Vec<Value> = same.iter().map(document).collect();
    let named: Vec<Value> = named.iter().map(document).collect();
    assert_eq!(same.iter().filter(|document| document["unchanged"] == false).count(), 1, "{same:#?}");
    for all in [&same, &named] {
        assert!(all.iter().all(|document| document["id"] == all[0]["id"]), "{all:#?}");
    }
    let mut versions: Vec<_> = named.iter().map(|document| document["version"].as_u64().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=10).collect::<Vec<_>>());
    assert_eq!(app.get(&path).await.json()["data"].as_array().unwrap().len(), 2);
    let root = app.data_dir.join("originals");
    soon("one file each is kept", async || files_below(&root).len() == 2).await;
}

/// Two names of documents that share no lock.
fn strangers() -> (String, String) {
    let bucket = |name: &str| Sha256::digest(name)[0] % 64;
    let first = "held".to_owned();
    let other = (0..).map(|number| format!("other {number}")).find(|other| bucket(other) != bucket(&first));
    (first, other.unwrap())
}

#[tokio::test]
async fn an_upload_that_waits_for_its_document_holds_up_no_other() {
    let app = TestApp::with(&[("ingest_workers", "0")]).await;
    let path = documents(&app.knowledge_base().await);
    let (held, other) = strangers();
    let send = |name: &str, content: &str| app.post(&path, json!({"content": content, "external_id": name}));
    let document = send(&held, "one").await.expect(StatusCode::ACCEPTED)["documents"][0].clone();
    let mut owner = PgConnection::connect(app.store_url()).await.unwrap();
    let id = document["id"].as_str().unwrap();
    let lock = format!("begin; select from documents where id = '{id}' for update");
    owner.execute(AssertSqlSafe(lock)).await.unwrap();
    let waits = send(&held, "two");
    let passes = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let passed = tokio::time::timeout(PATIENCE, send(&other, "words")).await.expect("it passes by");
        passed.expect(StatusCode::ACCEPTED);
        owner.execute("commit").await.unwrap();
    };
    let (waited, ()) = tokio::join!(waits, passes);
    assert_eq!(waited.expect(StatusCode::ACCEPTED)["documents"][0]["version"], 2);
}

#[tokio::test]
async fn an_upload_of_what_is_purged_in_that_moment_is_a_new_document() {
    let app = TestApp::with(&[("ingest_workers", "0")]).await;
    let path = documents(&app.knowledge_base().await);
    let first = json!({"content": "one", "external_id": "a"});
    for (content, unchanged) in [("two", false), ("one", false)] {
        let document = app.post(&path, first.clone()).await.expect(StatusCode::ACCEPTED)["documents"][0].clone();
        let id = document["id"].as_str().unwrap();
        let mut owner = PgConnection::connect(app.store_url()).await.unwrap();
        owner.execute(AssertSqlSafe(format!("begin; delete from documents where id = '{id}'"))).await.unwrap();
        let purged = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            owner.execute("commit").await.unwrap();
        };
        let (sent, ()) = tokio::join!(app.post(&path, json!({"content": content, "external_id": "a"})), purged);
        let sent = sent.expect(StatusCode::ACCEPTED)["documents"][0].clone();
        assert_ne!(sent["id"], document["id"]);
        assert_eq!((&sent["version"], &sent["unchanged"]), (&json!(1), &json!(unchanged)), "{sent:#}");
        let id = sent["id"].as_str().unwrap();
        assert_eq!(app.delete(&format!("/v1/documents/{id}?purge=true")).await.status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn a_key_has_eight_streams_and_a_closed_one_makes_room() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let batch = app.post("/v1/batches", json!({"knowledge_base_id": knowledge_base})).await.expect(StatusCode::CREATED);
    let path = format!("/v1/batches/{}/events", batch["id"].as_str().unwrap());
    let mut open = Vec::new();
    for _ in 0..8 {
        let stream = app.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(stream.status(), StatusCode::OK);
        open.push(stream);
    }
    let refused = app.get(&path).await;
    assert_eq!(refused.problem(429), "too_many_requests");
    assert!(refused.headers.contains_key("retry-after"));
    open.pop();
    soon("a closed stream makes room", async || {
        let stream = app.request(Method::GET, &path).send().await.unwrap();
        stream.status() == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn keys_that_have_run_out_are_new_again_and_are_swept() {
    let app = TestApp::start().await;
    let create = |key: &str| {
        let request = app.request(Method::POST, "/v1/knowledge-bases").header("idempotency-key", key.to_owned());
        app.send(request.json(&json!({"name": format!("{} {}", key, Uuid::now_v7())})))
    };
    for key in ["asked again", "left", "fresh"] {
        create(key).await.expect(StatusCode::CREATED);
    }
    let age = "update idempotency_keys set created_at = now() - interval '25 hours' where key <> 'fresh'";
    run_at(app.store_url(), age).await;
    create("asked again").await.expect(StatusCode::CREATED);
    assert_eq!(app.app.store.sweep_idempotency_keys().await.unwrap(), 1);
    let keys = text_at(app.store_url(), "select string_agg(key, ', ' order by key) from idempotency_keys").await;
    assert_eq!(keys, "asked again, fresh");
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_is_left_to_postgresql() {
    let app = TestApp::with(&[("min_free_mb", "1000000")]).await;
    let knowledge_base = app.knowledge_base().await;
    let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
    assert_eq!(app.post(&path, json!({ "content": "words" })).await.problem(507), "disk_full");
    assert_eq!(app.get(&path).await.json()["data"], json!([]));
}
