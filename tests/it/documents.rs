//! Documents through the API: uploaded, read back, replaced, deleted, and every way in which they can be bad.

use reqwest::{Method, StatusCode, multipart};
use serde_json::{Value, json};

use crate::support::{TestApp, files_below, fixture};

const SENTENCE: &str = "The frost warning is sent at two degrees.";

#[tokio::test]
async fn every_sample_document_is_indexed_and_its_chunks_are_verbatim() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    for entry in std::fs::read_dir("fixtures/documents").unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let bytes = fixture(&format!("documents/{name}"));
        let document = app.upload(&knowledge_base, &name, bytes.clone()).await;
        assert_eq!(document["status"], "indexed", "{document:#}");
        assert_eq!(document["page_count"].is_number(), name.ends_with(".pdf"), "{document:#}");
        let id = document["id"].as_str().unwrap();
        let content = app.request(Method::GET, &format!("/v1/documents/{id}/content")).send().await.unwrap();
        assert_eq!(content.bytes().await.unwrap(), bytes, "{name}");
        assert_chunks_are_verbatim(&app, id, document["chunk_count"].as_u64().unwrap()).await;
    }
}

async fn assert_chunks_are_verbatim(app: &TestApp, id: &str, count: u64) {
    let text: Vec<char> = app.get(&format!("/v1/documents/{id}/text")).await.text.chars().collect();
    let chunks = app.get(&format!("/v1/documents/{id}/chunks?limit=100")).await.expect(StatusCode::OK);
    let chunks = chunks["data"].as_array().unwrap();
    assert_eq!(chunks.len() as u64, count);
    for (index, chunk) in chunks.iter().enumerate() {
        let offset = |name: &str| usize::try_from(chunk[name].as_u64().unwrap()).unwrap();
        let said: String = text[offset("start")..offset("end")].iter().collect();
        assert_eq!(chunk["content"], said);
        assert_eq!(chunk["index"], index);
        assert!(chunk["token_count"].as_u64().unwrap() <= 256, "{chunk:#}");
    }
}

#[tokio::test]
async fn the_same_bytes_are_the_same_document() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let first = app.upload(&knowledge_base, "a.md", b"# One\n\nThe same words.".to_vec()).await;
    let second = app.upload(&knowledge_base, "b.md", b"# One\n\nThe same words.".to_vec()).await;
    assert_eq!((&first["id"], &first["unchanged"]), (&second["id"], &json!(false)));
    assert_eq!(second["unchanged"], true);
    let stats = app.get(&format!("/v1/knowledge-bases/{knowledge_base}")).await.json();
    assert_eq!(stats["document_counts"]["indexed"], 1, "{stats:#}");
}

#[tokio::test]
async fn a_new_version_replaces_the_old_one_in_search_and_in_the_statistics() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let body = |content: &str| json!({"content": content, "external_id": "policy", "title": "Policy"});
    let first = app.index(&knowledge_base, body("Refunds take twenty days.")).await;
    let second = app.index(&knowledge_base, body("Refunds take thirty days.")).await;
    assert_eq!(first["id"], second["id"]);
    assert_eq!(second["version"], 2);
    let found = app.search(json!({"query": "refunds", "knowledge_base_ids": [knowledge_base]})).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["content"], "Refunds take thirty days.");
    let twenty = app.search(json!({"query": "twenty", "mode": "text", "knowledge_base_ids": [knowledge_base]})).await;
    assert!(twenty.is_empty(), "words of the old version are forgotten: {twenty:#?}");
}

#[tokio::test]
async fn a_deleted_document_is_hidden_at_once_can_be_restored_and_be_purged() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let document = app.index(&knowledge_base, json!({"content": "Soil probes measure moisture."})).await;
    let path = format!("/v1/documents/{}", document["id"].as_str().unwrap());
    let search = || app.search(json!({"query": "soil moisture", "knowledge_base_ids": [knowledge_base]}));
    assert_eq!(search().await.len(), 1);
    assert_eq!(app.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert!(search().await.is_empty());
    assert_eq!(app.get(&path).await.problem(404), "not_found");
    let listed = async |query: &str| {
        let list = app.get(&format!("/v1/knowledge-bases/{knowledge_base}/documents?{query}")).await;
        list.expect(StatusCode::OK)["data"].as_array().unwrap().len()
    };
    assert_eq!([listed("").await, listed("deleted=true").await, listed("deleted=true&status=failed").await], [0, 1, 0]);
    app.post(&format!("{path}/restore"), json!({})).await.expect(StatusCode::OK);
    assert_eq!(search().await.len(), 1);
    assert_eq!(app.delete(&format!("{path}?purge=true")).await.status, StatusCode::NO_CONTENT);
    assert!(search().await.is_empty());
    assert_eq!(app.post(&format!("{path}/restore"), json!({})).await.problem(404), "not_found");
    let stats = app.get(&format!("/v1/knowledge-bases/{knowledge_base}")).await.json();
    assert_eq!((&stats["chunk_count"], &stats["storage_bytes"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn bad_files_fail_with_a_code_and_disturb_nothing() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let expectations = [
        ("empty.txt", Some("empty")),
        ("whitespace.txt", Some("empty")),
        ("encrypted.pdf", Some("encrypted")),
        ("image-only.pdf", Some("needs_ocr")),
        ("owner-password.pdf", None),
        ("not-a-pdf.pdf", None),
        ("utf-16le.txt", None),
        ("nested-lists.md", None),
    ];
    for (name, code) in expectations {
        let document = app.upload(&knowledge_base, name, fixture(&format!("broken/{name}"))).await;
        match code {
            Some(code) => {
                assert_eq!(
                    (&document["status"], &document["error"]["code"]),
                    (&json!("failed"), &json!(code)),
                    "{name}: {document:#}"
                );
                assert!(document["error"]["detail"].as_str().unwrap().len() > 10, "{document:#}");
            }
            None => {
                assert_eq!(document["status"], "indexed", "{name}: {document:#}");
                let text = app.get(&format!("/v1/documents/{}/text", document["id"].as_str().unwrap())).await.text;
                assert!(text.contains(SENTENCE), "{name}: {text}");
            }
        }
    }
    let truncated = app.upload(&knowledge_base, "truncated.pdf", fixture("broken/truncated.pdf")).await;
    assert!(matches!(truncated["status"].as_str(), Some("indexed" | "failed")), "{truncated:#}");
    for name in ["picture.png", "archive.zip"] {
        let form = multipart::Form::new()
            .part("file", multipart::Part::bytes(fixture(&format!("broken/{name}"))).file_name(name));
        let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
        let refused = app.send(app.request(Method::POST, &path).multipart(form)).await;
        assert_eq!(refused.problem(415), "unsupported_media_type");
    }
}

#[tokio::test]
async fn a_failed_document_can_be_retried_and_deleted() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let document = app.upload(&knowledge_base, "empty.txt", Vec::new()).await;
    let path = format!("/v1/documents/{}", document["id"].as_str().unwrap());
    app.post(&format!("{path}/retry"), json!({})).await.expect(StatusCode::ACCEPTED);
    let mut retried = json!(null);
    for _ in 0..200 {
        retried = app.get(&path).await.json();
        if retried["status"] == "failed" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!((&retried["status"], &retried["attempts"]), (&json!("failed"), &json!(1)), "{retried:#}");
    assert_eq!(app.delete(&path).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_upload_over_the_limit_is_refused_and_leaves_nothing() {
    let app = TestApp::with(&[("max_upload_mb", "1")]).await;
    let knowledge_base = app.knowledge_base().await;
    let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
    for megabytes in [2, 100] {
        let form =
            multipart::Form::new().part("file", multipart::Part::bytes(vec![b'a'; megabytes << 20]).file_name("a.txt"));
        // A server that has heard enough may close the connection before a client has sent all.
        if let Ok(response) = app.request(Method::POST, &path).multipart(form).send().await {
            assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        }
    }
    let stats = app.get(&format!("/v1/knowledge-bases/{knowledge_base}")).await.json();
    assert_eq!(stats["storage_bytes"], 0);
    let left = files_below(&app.data_dir.join("originals"));
    assert!(left.is_empty(), "what was stored of refused uploads is removed: {left:?}");
}

#[tokio::test]
async fn several_files_are_a_batch_that_can_be_watched() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let part = |text: &str| multipart::Part::bytes(text.as_bytes().to_vec()).file_name(format!("{text}.txt"));
    let form = multipart::Form::new()
        .part("file", part("first words"))
        .part("file", part("second words"))
        .text("metadata", r#"{"region": "north"}"#);
    let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
    let uploaded = app.send(app.request(Method::POST, &path).multipart(form)).await.expect(StatusCode::ACCEPTED);
    assert_eq!(uploaded["documents"].as_array().unwrap().len(), 2);
    let batch = uploaded["batch_id"].as_str().unwrap();
    let events = app.get(&format!("/v1/batches/{batch}/events")).await;
    assert_eq!(events.headers["content-type"], "text/event-stream");
    let last = events.text.trim().rsplit("\n\n").next().unwrap().to_owned();
    assert!(last.starts_with("event: done"), "{}", events.text);
    let counts = app.get(&format!("/v1/batches/{batch}")).await.json();
    assert_eq!((&counts["done"], &counts["document_counts"]["indexed"]), (&json!(true), &json!(2)));
    let listed = app.get(&format!("{path}?status=indexed&limit=1")).await.json();
    assert_eq!(listed["data"][0]["metadata"], json!({"region": "north"}));
    let next = listed["next_cursor"].as_str().unwrap();
    let rest = app.get(&format!("{path}?status=indexed&limit=1&cursor={next}")).await.json();
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
}
