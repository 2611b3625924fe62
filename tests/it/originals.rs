//! Uploaded files in a folder, in S3 and in Azure Blob: unchanged, never lost, never left over.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use reqwest::{Method, StatusCode, multipart};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use uuid::Uuid;

use crate::{
    fake_storage::{FakeStorage, Fault, Kind, Operation, PAGE, SECRETS},
    support::{ADMIN_KEY, Answer, TestApp, files_below},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const PATIENCE: Duration = Duration::from_secs(20);
const SENTENCE: &str = "The gate valve is closed before the pump starts.";

async fn app_on(storage: &FakeStorage) -> TestApp {
    TestApp::configured(&[], |config| {
        config.storage_url = Some(storage.url());
        config.storage_options = storage.options();
    })
    .await
}

/// A page of `megabytes`, most of it in a comment that no two pages share.
fn large_page(megabytes: usize) -> Vec<u8> {
    let mut page = format!("<html><body><p>{SENTENCE}</p><!-- {} ", Uuid::now_v7()).into_bytes();
    let letters = (0_u32..).map(|number| b'a' + u8::try_from(number.wrapping_mul(2_654_435_761) >> 28).unwrap());
    page.extend(letters.take(megabytes << 20));
    page.extend(b"--></body></html>");
    page
}

fn part(name: &str, bytes: Vec<u8>) -> multipart::Form {
    multipart::Form::new().part("file", multipart::Part::bytes(bytes).file_name(name.to_owned()))
}

async fn content(app: &TestApp, document: &Value, range: Option<&str>) -> reqwest::Result<(StatusCode, Vec<u8>)> {
    let mut request = app.request(Method::GET, &format!("/v1/documents/{}/content", document["id"].as_str().unwrap()));
    if let Some(range) = range {
        request = request.header("range", range);
    }
    let response = request.send().await?;
    Ok((response.status(), response.bytes().await?.to_vec()))
}

/// Looks until `found` says yes.
async fn soon(what: &str, mut found: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !found().await {
        assert!(tokio::time::Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_whole_life_of_files_in_s3() {
    whole_life(Kind::S3).await;
}

#[tokio::test]
async fn the_whole_life_of_files_in_azure() {
    whole_life(Kind::Azure).await;
}

async fn whole_life(kind: Kind) {
    let storage = FakeStorage::start(kind).await;
    let app = app_on(&storage).await;
    let knowledge_base = app.knowledge_base().await;
    let (small, large) = (SENTENCE.as_bytes().to_vec(), large_page(11));
    let mut documents = Vec::new();
    for (name, bytes) in [("small.txt", &small), ("large.html", &large), ("empty.txt", &Vec::new())] {
        let document = app.upload(&knowledge_base, name, bytes.clone()).await;
        assert_eq!(document["status"], if bytes.is_empty() { "failed" } else { "indexed" }, "{document:#}");
        assert_eq!(content(&app, &document, None).await.unwrap(), (StatusCode::OK, bytes.clone()), "{name}");
        documents.push(document);
    }
    let middle = (6 << 20)..(7 << 20);
    let range = format!("bytes={}-{}", middle.start, middle.end - 1);
    let (status, some) = content(&app, &documents[1], Some(&range)).await.unwrap();
    assert_eq!(status, StatusCode::PARTIAL_CONTENT);
    assert!(some == large[middle], "a range is what it says");
    assert!(storage.largest_body() <= 5 << 20, "parts are bounded: {}", storage.largest_body());
    assert_eq!(storage.count(Operation::Part), 3, "11 MiB are three parts of 5 MiB at most");
    assert_eq!((storage.keys().len(), storage.unfinished()), (3, 0));
    assert!(files_below(&app.data_dir.join("originals")).is_empty());

    let path = format!("/v1/documents/{}", documents[0]["id"].as_str().unwrap());
    assert_eq!(app.delete(&format!("{path}?purge=true")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(storage.keys().len(), 2, "purged");
    let path = format!("/v1/knowledge-bases/{knowledge_base}");
    assert_eq!(app.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(storage.keys(), Vec::<String>::new());
    assert_eq!(storage.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn s3_may_be_slow_hang_up_and_lie() {
    use Operation::{Complete, Create, Get, Head, Part, Put};
    let faults = [
        (Put, Fault::SlowDown),
        (Put, Fault::Cut),
        (Put, Fault::LoseAnswer),
        (Head, Fault::SlowDown),
        (Create, Fault::SlowDown),
        (Part, Fault::Cut),
        (Part, Fault::SlowDown),
        (Part, Fault::LoseAnswer),
        (Complete, Fault::SlowDown),
        (Complete, Fault::ErrorInside),
        // The upload is complete, and asked to complete once more, S3 knows of none.
        (Complete, Fault::LoseAnswer),
        (Get, Fault::SlowDown),
        (Get, Fault::CutBody),
        (Get, Fault::Cut),
    ];
    survives(Kind::S3, &faults).await;
}

#[tokio::test]
async fn azure_may_be_slow_hang_up_and_lie() {
    use Operation::{Complete, Get, Head, Part, Put};
    let faults = [
        (Put, Fault::SlowDown),
        (Put, Fault::Cut),
        (Put, Fault::LoseAnswer),
        (Head, Fault::SlowDown),
        (Part, Fault::Cut),
        (Part, Fault::SlowDown),
        (Part, Fault::LoseAnswer),
        (Complete, Fault::SlowDown),
        (Complete, Fault::LoseAnswer),
        (Get, Fault::SlowDown),
        (Get, Fault::CutBody),
        (Get, Fault::Cut),
    ];
    survives(Kind::Azure, &faults).await;
}

async fn survives(kind: Kind, faults: &[(Operation, Fault)]) {
    let storage = FakeStorage::start(kind).await;
    let app = app_on(&storage).await;
    storage.script(faults.iter().copied());
    let knowledge_base = app.knowledge_base().await;
    for (name, bytes) in [("small.txt", SENTENCE.as_bytes().to_vec()), ("large.html", large_page(11))] {
        let document = app.upload(&knowledge_base, name, bytes.clone()).await;
        assert_eq!(document["status"], "indexed", "{document:#}");
        assert!(content(&app, &document, None).await.unwrap() == (StatusCode::OK, bytes), "{name}");
    }
    assert_eq!(storage.unused(), Vec::new(), "every fault was met");
    assert_eq!(storage.complaints(), Vec::<String>::new());
    assert_eq!((storage.keys().len(), storage.unfinished()), (2, 0));
}

#[tokio::test]
async fn a_storage_that_refuses_is_a_503_that_leaves_nothing_and_tells_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    for kind in [Kind::S3, Kind::Azure] {
        let storage = FakeStorage::start(kind).await;
        let app = app_on(&storage).await;
        let knowledge_base = app.knowledge_base().await;
        let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
        let mut said = format!("{:?} {:?}", app.app.originals, app.app.config);
        for (operation, bytes) in [
            (Operation::Put, b"words".to_vec()),
            (Operation::Part, large_page(6)),
            (Operation::Complete, large_page(6)),
        ] {
            storage.script([(operation, Fault::Refuse)]);
            let refused = app.send(app.request(Method::POST, &path).multipart(part("a.html", bytes))).await;
            assert_eq!(refused.problem(503), "store_unavailable");
            assert!(refused.headers.contains_key("retry-after"));
            said.push_str(&refused.text);
        }
        storage.script([(Operation::Get, Fault::Refuse)]);
        said.push_str(&app.app.originals.marked().await.unwrap_err().to_string());
        assert!(said.contains("SignatureDoesNotMatch"), "the code helps whoever mends it: {said}");
        assert_tells_no_secret(&said);
        assert_eq!(app.get(&path).await.json()["data"], json!([]), "no row");
        // Azure forgets blocks that are never committed by itself.
        soon("nothing is left", async || {
            storage.keys().is_empty() && (kind == Kind::Azure || storage.unfinished() == 0)
        })
        .await;
        assert_eq!(storage.complaints(), Vec::<String>::new());
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the storage for files is not available"), "{log}");
    assert_tells_no_secret(&log);
}

/// What is logged, in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn assert_tells_no_secret(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn credentials_that_are_wrong_are_noticed_before_an_upload() {
    let storage = FakeStorage::start(Kind::S3).await;
    let app = TestApp::configured(&[], |config| {
        config.storage_url = Some(storage.url());
        config.storage_options = storage.options();
        config.storage_options.push(("AWS_SECRET_ACCESS_KEY".to_owned(), SecretString::from("another")));
    })
    .await;
    let error = app.app.originals.marked().await.unwrap_err().to_string();
    assert!(error.contains("403") && error.contains("SignatureDoesNotMatch"), "{error}");
    assert_eq!(storage.complaints().len(), 2, "at the start, and now");
}

#[tokio::test]
async fn the_sweep_removes_what_no_row_names_page_by_page() {
    let storage = FakeStorage::start(Kind::S3).await;
    let app = app_on(&storage).await;
    let knowledge_base = app.knowledge_base().await;
    let document = app.upload(&knowledge_base, "kept.txt", SENTENCE.as_bytes().to_vec()).await;
    let deleted = app.upload(&knowledge_base, "deleted.txt", b"Deleted, and not purged.".to_vec()).await;
    app.delete(&format!("/v1/documents/{}", deleted["id"].as_str().unwrap())).await;
    let mut kept = storage.keys();
    let folder = kept[0].rsplit_once('/').unwrap().0.to_owned();
    for _ in 0..5 {
        storage.put(&format!("{folder}/{}", Uuid::now_v7()), b"an orphan");
    }
    for foreign in [format!("{}/{knowledge_base}/{}", Uuid::now_v7(), Uuid::now_v7()), "notes.txt".to_owned()] {
        storage.put(&foreign, b"of somebody else");
        kept.push(foreign);
    }
    let sweep = async |now| app.app.originals.sweep(&app.app.store, now).await.unwrap();
    assert_eq!(sweep(SystemTime::now()).await, 0, "uploads of today may be under way");
    let lists = storage.count(Operation::List);
    assert_eq!(sweep(SystemTime::now() + DAY + DAY).await, 5);
    assert!(storage.count(Operation::List) - lists >= 9 / PAGE, "in pages");
    kept.sort();
    assert_eq!(storage.keys(), kept);
    assert_eq!(content(&app, &document, None).await.unwrap().1, SENTENCE.as_bytes());
    app.post(&format!("/v1/documents/{}/restore", deleted["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(content(&app, &deleted, None).await.unwrap().1, b"Deleted, and not purged.");
    assert_eq!(storage.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn the_sweep_of_a_folder_removes_unfinished_files_and_empty_folders() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    app.upload(&knowledge_base, "kept.txt", SENTENCE.as_bytes().to_vec()).await;
    let root = app.data_dir.join("originals");
    let kept = files_below(&root);
    let folder = kept[0].parent().unwrap();
    assert_eq!(folder.file_name().unwrap().to_str().unwrap(), knowledge_base, "the paths of earlier versions");
    assert_eq!(folder.parent().unwrap().parent().unwrap(), root);
    let emptied = folder.with_file_name(Uuid::now_v7().to_string());
    std::fs::create_dir(&emptied).unwrap();
    std::fs::write(emptied.join(Uuid::now_v7().to_string()), "an orphan").unwrap();
    std::fs::write(folder.join(format!("{}#1", Uuid::now_v7())), "cut off by a crash").unwrap();
    let now = SystemTime::now();
    assert_eq!(app.app.originals.sweep(&app.app.store, now).await.unwrap(), 0);
    assert_eq!(app.app.originals.sweep(&app.app.store, now + DAY + DAY).await.unwrap(), 2);
    assert_eq!(files_below(&root), kept);
    assert!(!emptied.exists());
}

#[tokio::test]
async fn a_draft_that_nobody_keeps_leaves_nothing() {
    let storage = FakeStorage::start(Kind::S3).await;
    let apps = [app_on(&storage).await, TestApp::start().await];
    for app in &apps {
        let stored =
            || storage.keys().len() + storage.unfinished() + files_below(&app.data_dir.join("originals")).len();
        let originals = &app.app.originals;
        for (megabytes, finished) in [(0, false), (0, true), (6, false), (6, true)] {
            let mut draft = originals.draft(Uuid::now_v7(), Uuid::now_v7());
            draft.write(&large_page(megabytes)).await.unwrap();
            if finished {
                let written = draft.finish().await.unwrap();
                assert_eq!(stored(), 1);
                drop(written);
            } else {
                drop(draft);
            }
            soon("it is taken back", async || stored() == 0).await;
        }
    }
    assert_eq!(storage.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_is_lost_or_damaged_is_said_to_be_and_can_be_sent_again() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let bytes = large_page(1);
    let document = app.upload(&knowledge_base, "a.html", bytes.clone()).await;
    let path = format!("/v1/documents/{}", document["id"].as_str().unwrap());
    let file = files_below(&app.data_dir.join("originals")).remove(0);

    let mut altered = bytes.clone();
    altered[1 << 19] ^= 1;
    std::fs::write(&file, &altered).unwrap();
    let broken_off = content(&app, &document, None).await;
    assert!(broken_off.is_err(), "other bytes than were uploaded are never sent whole");
    std::fs::write(&file, &bytes[..1000]).unwrap();
    assert_eq!(app.get(&format!("{path}/content")).await.problem(500), "internal");
    app.post(&format!("{path}/retry"), json!({})).await.expect(StatusCode::ACCEPTED);
    soon("ingestion notices", async || app.get(&path).await.json()["error"]["code"] == "original_damaged").await;
    assert_eq!(app.get(&path).await.json()["status"], "failed", "damage does not heal");

    std::fs::remove_file(&file).unwrap();
    assert_eq!(app.get(&format!("{path}/content")).await.problem(500), "internal");
    app.post(&format!("{path}/retry"), json!({})).await.expect(StatusCode::ACCEPTED);
    soon("ingestion notices", async || app.get(&path).await.json()["error"]["code"] == "original_unavailable").await;
    let waiting = app.get(&path).await.json();
    assert_eq!((&waiting["status"], &waiting["error"]["retryable"]), (&json!("uploaded"), &json!(true)), "{waiting:#}");
}

#[tokio::test]
async fn sending_the_bytes_of_a_failed_document_again_renews_its_file() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let document = app.upload(&knowledge_base, "a.txt", SENTENCE.as_bytes().to_vec()).await;
    let path = format!("/v1/documents/{}", document["id"].as_str().unwrap());
    let root = app.data_dir.join("originals");
    std::fs::write(&files_below(&root)[0], "damaged").unwrap();
    app.post(&format!("{path}/retry"), json!({})).await.expect(StatusCode::ACCEPTED);
    soon("it fails", async || app.get(&path).await.json()["status"] == "failed").await;
    let again = app.upload(&knowledge_base, "a.txt", SENTENCE.as_bytes().to_vec()).await;
    assert_eq!(
        (&again["id"], &again["status"], &again["unchanged"]),
        (&document["id"], &json!("indexed"), &json!(true)),
        "{again:#}"
    );
    assert_eq!(content(&app, &again, None).await.unwrap().1, SENTENCE.as_bytes());
    soon("the damaged file goes", async || files_below(&root).len() == 1).await;
}

#[tokio::test]
async fn content_is_sent_in_ranges() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let document = app.upload(&knowledge_base, "a.txt", SENTENCE.as_bytes().to_vec()).await;
    let path = format!("/v1/documents/{}/content", document["id"].as_str().unwrap());
    let get = async |range: &str| app.send(app.request(Method::GET, &path).header("range", range)).await;
    let answer = get("bytes=4-7").await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::PARTIAL_CONTENT, "gate"));
    assert_eq!(answer.headers["content-range"], format!("bytes 4-7/{}", SENTENCE.len()).as_str());
    assert_eq!(
        (get("bytes=-7").await.text, get("bytes=-7").await.headers["content-length"].clone()),
        ("starts.".into(), "7".parse().unwrap())
    );
    let beyond = get("bytes=900-").await;
    assert_eq!(beyond.problem(416), "range_not_satisfiable");
    assert_eq!(beyond.headers["content-range"], format!("bytes */{}", SENTENCE.len()).as_str());
    let whole = app.get(&path).await;
    assert_eq!((whole.status, whole.text.as_str()), (StatusCode::OK, SENTENCE));
    assert_eq!(whole.headers["content-length"], SENTENCE.len().to_string().as_str());
    assert_eq!(whole.headers["etag"], format!("\"{}\"", document["sha256"].as_str().unwrap()).as_str());
}

/// A form as it goes over the wire: what comes before the file's bytes, and what comes after.
fn wire_form(name: &str) -> (String, String) {
    let before = format!(
        "--wire\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/plain\r\n\r\n"
    );
    (before, "\r\n--wire--\r\n".to_owned())
}

/// Sends the head of an upload and the first bytes of its body, which is `length` long.
async fn begin_upload(app: &TestApp, path: &str, key: Option<&str>, length: usize, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(app.url.strip_prefix("http://").unwrap()).await.unwrap();
    let key = key.map(|key| format!("Idempotency-Key: {key}\r\n")).unwrap_or_default();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: almanac\r\nAuthorization: Bearer {ADMIN_KEY}\r\nConnection: close\r\n{key}\
         Content-Type: multipart/form-data; boundary=wire\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(first).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_stops_mid_upload_leaves_nothing_behind() {
    let storage = FakeStorage::start(Kind::S3).await;
    for app in [app_on(&storage).await, TestApp::start().await] {
        let knowledge_base = app.knowledge_base().await;
        let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
        let root = app.data_dir.join("originals");
        let remote = app.app.config.storage_url.is_some();
        let stored = || if remote { storage.keys().len() + storage.unfinished() } else { files_below(&root).len() };
        for key in [None, Some("stops")] {
            let (before, _) = wire_form("a.txt");
            let parts = storage.count(Operation::Part);
            let first = [before.as_bytes(), &vec![b'a'; 12 << 20]].concat();
            let stream = begin_upload(&app, &path, key, 20 << 20, &first).await;
            soon("its first parts are stored", async || {
                if remote { storage.count(Operation::Part) > parts } else { !files_below(&root).is_empty() }
            })
            .await;
            drop(stream);
            soon("all of it is taken back", async || stored() == 0).await;
            assert_eq!(app.get(&path).await.json()["data"], json!([]), "no row");
        }
        // The key is free again.
        let request = || {
            let form = part("a.txt", SENTENCE.as_bytes().to_vec());
            app.request(Method::POST, &path).header("idempotency-key", "stops").multipart(form)
        };
        let mut answer = app.send(request()).await;
        for _ in 0..100 {
            if answer.status != StatusCode::CONFLICT {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            answer = app.send(request()).await;
        }
        answer.expect(StatusCode::ACCEPTED);
    }
    assert_eq!(storage.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn an_idempotency_key_goes_with_a_form_that_streams() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
    let send = async |app: &TestApp, name: &str, text: &str, metadata: &str| -> Answer {
        // Every form draws a boundary of its own.
        let form = part(name, text.as_bytes().to_vec()).text("metadata", metadata.to_owned());
        app.send(app.request(Method::POST, &path).header("idempotency-key", "once").multipart(form)).await
    };
    let first = send(&app, "a.txt", "words", "{}").await;
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let first = first.expect(StatusCode::ACCEPTED);
    let again = send(&app, "a.txt", "words", "{}").await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.expect(StatusCode::ACCEPTED), first);
    for (name, text, metadata) in [("a.txt", "other", "{}"), ("b.txt", "words", "{}"), ("a.txt", "words", "{\"a\": 1}")]
    {
        assert_eq!(
            send(&app, name, text, metadata).await.problem(422),
            "idempotency_key_reused",
            "{name} {text} {metadata}"
        );
    }
    let made = app.post("/v1/keys", json!({"name": "another", "scopes": ["read", "write"]})).await;
    let other = app.with_key(made.expect(StatusCode::CREATED)["key"].as_str().unwrap());
    assert_eq!(send(&other, "a.txt", "words", "{}").await.problem(422), "idempotency_key_reused");
    assert_eq!(send(&app.neighbour().await, "a.txt", "words", "{}").await.problem(404), "not_found");
    assert_eq!(app.get(&path).await.json()["data"].as_array().unwrap().len(), 1);
    soon("forms that were refused or replayed leave no file", async || {
        files_below(&app.data_dir.join("originals")).len() == 1
    })
    .await;
    // A form that is refused when it is whole is refused again, and one that never became whole is not remembered.
    let title = || part("a.txt", b"x".to_vec()).text("title", "\u{7}");
    let refused = || app.send(app.request(Method::POST, &path).header("idempotency-key", "bad").multipart(title()));
    assert_eq!(refused().await.problem(422), "invalid_request");
    assert_eq!(refused().await.headers["idempotency-replayed"], "true");
}

#[tokio::test]
async fn while_a_form_is_received_its_idempotency_key_is_taken() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
    let (before, after) = wire_form("a.txt");
    let length = before.len() + SENTENCE.len() + after.len();
    let mut stream = begin_upload(&app, &path, Some("slow"), length, before.as_bytes()).await;
    let database = app.app.config.database_url.as_ref().unwrap().expose_secret();
    let mut rows = PgConnection::connect(database).await.unwrap();
    soon("the key is taken", async || {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from idempotency_keys").fetch_one(&mut rows).await;
        count.unwrap() == 1
    })
    .await;
    let second = || {
        let file = multipart::Part::bytes(SENTENCE.as_bytes()).file_name("a.txt").mime_str("text/plain").unwrap();
        let form = multipart::Form::new().part("file", file);
        app.send(app.request(Method::POST, &path).header("idempotency-key", "slow").multipart(form))
    };
    assert_eq!(second().await.problem(409), "idempotency_key_in_use");
    stream.write_all(SENTENCE.as_bytes()).await.unwrap();
    stream.write_all(after.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let replayed = second().await;
    assert_eq!(
        (replayed.status, &replayed.headers["idempotency-replayed"]),
        (StatusCode::ACCEPTED, &"true".parse().unwrap())
    );
}

#[tokio::test]
async fn a_file_name_is_only_ever_a_title() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
    let root = app.data_dir.join("originals");
    let long = "n".repeat(10_000) + ".txt";
    let names = [
        "../../../../etc/passwd.txt",
        "/etc/cron.d/x.txt",
        "..\\..\\windows\\system.txt",
        "%2e%2e%2f%2e%2e%2fescape.txt",
        "invoice\u{202e}txt.exe.txt",
        "\u{200f}\u{2066}right to left\u{2069}.txt",
        "tab\tbell\u{7}escape\u{1b}[31m.txt",
        "nul\0byte.txt",
        "'; drop table documents; --.txt",
        "$(touch x)`touch y`.txt",
        "drafts",
        ".",
        "..",
        "#1",
        &long,
        "",
    ];
    for (index, name) in names.iter().enumerate() {
        let text = format!("{SENTENCE} {index}");
        // As the bytes that a client of our own would not send.
        let (before, after) = wire_form(name);
        let body = [before.as_bytes(), text.as_bytes(), after.as_bytes()].concat();
        let request = app.request(Method::POST, &path).header("content-type", "multipart/form-data; boundary=wire");
        let answer = app.send(request.body(body)).await;
        if answer.status == StatusCode::BAD_REQUEST {
            assert_eq!(answer.problem(400), "malformed_request", "{name:?}");
            continue;
        }
        let document = answer.expect(StatusCode::ACCEPTED)["documents"][0].clone();
        let title = document["title"].as_str().unwrap();
        assert!(!title.chars().any(char::is_control), "{title:?}");
        assert!((1..=500).contains(&title.chars().count()), "{title:?}");
        assert_eq!(content(&app, &document, None).await.unwrap(), (StatusCode::OK, text.into_bytes()), "{name:?}");
    }
    let secret_key = app.data_dir.join("secret.key");
    for file in files_below(&app.data_dir).into_iter().filter(|file| *file != secret_key) {
        let inside = file.strip_prefix(&root).unwrap_or_else(|_| panic!("{} is outside", file.display()));
        let ids: Vec<_> = inside.iter().map(|part| part.to_str().unwrap().parse::<Uuid>()).collect();
        assert!(ids.len() == 3 && ids.iter().all(Result::is_ok), "{} is not made of ids", inside.display());
    }
}

#[tokio::test]
async fn a_document_in_json_has_a_limit_of_its_own() {
    let app = TestApp::with(&[("max_upload_mb", "200")]).await;
    let knowledge_base = app.knowledge_base().await;
    let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
    for key in [None, Some("large")] {
        let mut request = app.request(Method::POST, &path).json(&json!({"content": "a".repeat(65 << 20)}));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        // A server that has heard enough may close the connection before a client has sent all.
        if let Ok(response) = request.send().await {
            assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
            let said = response.text().await.unwrap_or_default();
            assert!(key.is_some() || said.contains("40 MiB") && said.contains("as a file"), "{said}");
        }
    }
    assert!(files_below(&app.data_dir.join("originals")).is_empty());
}

#[tokio::test]
async fn a_folder_by_url_is_a_storage_too() {
    let folder = crate::support::scratch_dir().join("files");
    let url = format!("file://{}", folder.display());
    let app = TestApp::with(&[("storage_url", &url)]).await;
    let knowledge_base = app.knowledge_base().await;
    let document = app.upload(&knowledge_base, "a.txt", SENTENCE.as_bytes().to_vec()).await;
    assert_eq!(document["status"], "indexed");
    assert_eq!(files_below(&folder).len(), 1);
    assert!(!app.data_dir.join("originals").exists());
    let path = format!("/v1/documents/{}?purge=true", document["id"].as_str().unwrap());
    assert_eq!(app.delete(&path).await.status, StatusCode::NO_CONTENT);
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["installation"], "empty folders go as well");
}
