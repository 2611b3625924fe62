//! The real executable, killed without warning: server, worker, PostgreSQL. Afterwards every document is in a terminal
//! state, none is lost, and nothing is there twice.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    ingestion::assert_consistent,
    support::{ADMIN_KEY, cache_dir, embedding_dir, new_database, scratch_dir},
};

/// Until every document has ended, killings and leases included.
const PATIENCE: Duration = Duration::from_secs(240);

/// An Almanac process on `data_dir`; killed when it is dropped.
struct Process(Child);

impl Process {
    fn start(command: &str, data_dir: &Path, database: Option<&str>, settings: &[&str]) -> Process {
        let mut process = Command::new(env!("CARGO_BIN_EXE_almanac"));
        process.arg(command).args(["--set", "lease_seconds=2"]);
        for setting in settings {
            process.args(["--set", setting]);
        }
        process
            .env("ALMANAC_BIND", "127.0.0.1:0")
            .env("ALMANAC_DATA_DIR", data_dir)
            .env("ALMANAC_ADMIN_KEY", ADMIN_KEY)
            .env("ALMANAC_EMBEDDING_DIR", embedding_dir())
            .env("ALMANAC_EMBEDDING_THREADS", "1")
            .env("ALMANAC_POSTGRES_DIR", cache_dir().join("postgresql"))
            .env("ALMANAC_LOG", "error")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(database) = database {
            process.env("ALMANAC_DATABASE_URL", database);
        }
        Process(process.spawn().unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server, and how to speak to it.
struct Server {
    process: Process,
    url: String,
    client: reqwest::Client,
}

impl Server {
    async fn start(data_dir: &Path, database: Option<&str>, settings: &[&str]) -> Server {
        let address = data_dir.join("server.url");
        let _ = std::fs::remove_file(&address);
        let process = Process::start("serve", data_dir, database, settings);
        let end = Instant::now() + PATIENCE;
        let url = loop {
            match std::fs::read_to_string(&address) {
                Ok(url) if !url.is_empty() => break url,
                _ => assert!(Instant::now() < end, "the server does not start"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        Server { process, url, client: reqwest::Client::new() }
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}{path}", self.url)).bearer_auth(ADMIN_KEY);
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(ADMIN_KEY).json(&body);
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn ready(&self) {
        let end = Instant::now() + PATIENCE;
        while self.client.get(format!("{}/readyz", self.url)).send().await.unwrap().status() != 200 {
            assert!(Instant::now() < end, "PostgreSQL is not back");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn knowledge_base(&self) -> String {
        let made = self.post("/v1/knowledge-bases", json!({ "name": "crash", "chunk_size": 64 })).await;
        made["id"].as_str().unwrap_or_else(|| panic!("{made:#}")).to_owned()
    }

    /// Puts `count` documents of a few dozen chunks into the queue.
    async fn upload(&self, knowledge_base: &str, count: usize) {
        for number in 0..count {
            let content: String = (0..40)
                .map(|line| format!("Paragraph {line} of document {number}, with words of its own.\n\n"))
                .collect();
            let body = json!({ "content": content, "external_id": number.to_string() });
            let answer = self.post(&format!("/v1/knowledge-bases/{knowledge_base}/documents"), body).await;
            assert!(answer["documents"][0]["id"].is_string(), "{answer:#}");
        }
    }

    /// Counts by status, once no document waits or is worked on.
    async fn end(&self, knowledge_base: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let counts = self.get(&format!("/v1/knowledge-bases/{knowledge_base}")).await["document_counts"].clone();
            if counts["uploaded"] == 0 && counts["processing"] == 0 {
                return counts;
            }
            assert!(Instant::now() < end, "stuck: {counts}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_is_killed_again_and_again_loses_nothing() {
    let (data_dir, database) = (scratch_dir(), new_database().await);
    let mut server = Server::start(&data_dir, Some(&database), &[]).await;
    let knowledge_base = server.knowledge_base().await;
    server.upload(&knowledge_base, 30).await;
    for milliseconds in [50, 300, 700, 1100, 200, 900, 1500, 400] {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        server.process.kill();
        server = Server::start(&data_dir, Some(&database), &[]).await;
    }
    assert_eq!(server.end(&knowledge_base).await, json!({"uploaded": 0, "processing": 0, "indexed": 30, "failed": 0}));
    assert_consistent(&database).await;
}

#[tokio::test]
async fn of_two_workers_one_is_killed_and_the_other_finishes() {
    let (data_dir, database) = (scratch_dir(), new_database().await);
    let server = Server::start(&data_dir, Some(&database), &["ingest_workers=0"]).await;
    let knowledge_base = server.knowledge_base().await;
    server.upload(&knowledge_base, 30).await;
    let worker = || Process::start("worker", &data_dir, Some(&database), &["ingest_workers=2"]);
    let (first, second) = (worker(), worker());
    let end = Instant::now() + PATIENCE;
    while server.get(&format!("/v1/knowledge-bases/{knowledge_base}")).await["document_counts"]["indexed"] == 0 {
        assert!(Instant::now() < end, "the workers do not work");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.kill();
    assert_eq!(server.end(&knowledge_base).await["indexed"], 30);
    drop(second);
    assert_consistent(&database).await;
}

#[tokio::test]
async fn a_postgresql_that_is_killed_comes_back_and_so_do_the_documents() {
    let data_dir = scratch_dir();
    let server = Server::start(&data_dir, None, &[]).await;
    let knowledge_base = server.knowledge_base().await;
    server.upload(&knowledge_base, 20).await;
    let worker = Process::start("worker", &data_dir, None, &["ingest_workers=1"]);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        kill_postgres(&data_dir.join("postgres/data"));
        server.ready().await;
    }
    assert_eq!(server.end(&knowledge_base).await["indexed"], 20);
    drop(worker);
    let database = almanac::postgres::url_of_running(&data_dir.join("postgres"), "postgres", "almanac").unwrap();
    assert_consistent(&database).await;
}

fn kill_postgres(data: &Path) {
    let pid = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
    assert!(Command::new("kill").args(["-9", pid.lines().next().unwrap()]).status().unwrap().success());
}

#[tokio::test]
async fn a_document_that_ends_every_process_fails_and_takes_no_other_with_it() {
    let (data_dir, database) = (scratch_dir(), new_database().await);
    let mut server = Server::start(&data_dir, Some(&database), &[]).await;
    let knowledge_base = server.knowledge_base().await;
    let documents = format!("/v1/knowledge-bases/{knowledge_base}/documents");
    let long: String = (0..3_000).map(|line| format!("Paragraph {line} of the long one.\n\n")).collect();
    let sent = server.post(&documents, json!({ "content": long, "external_id": "poison" })).await;
    let poison = format!("/v1/documents/{}", sent["documents"][0]["id"].as_str().unwrap());
    server.upload(&knowledge_base, 6).await;
    let (end, mut killed) = (Instant::now() + PATIENCE, 0);
    loop {
        let document = server.get(&poison).await;
        let attempt = document["attempts"].as_u64().unwrap();
        match document["status"].as_str().unwrap() {
            // Whoever works on it ends, and all that it has in hand.
            "processing" if document["stage"] != "claimed" && attempt > killed => {
                killed = attempt;
                server.process.kill();
                server = Server::start(&data_dir, Some(&database), &[]).await;
            }
            "failed" => break,
            "indexed" => panic!("it was not killed in time"),
            _ => {}
        }
        assert!(Instant::now() < end, "{document:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let failed = server.get(&poison).await;
    assert_eq!((&failed["error"]["code"], &failed["attempts"]), (&json!("gave_up"), &json!(5)), "{failed:#}");
    assert_eq!(server.end(&knowledge_base).await, json!({"uploaded": 0, "processing": 0, "indexed": 6, "failed": 1}));
    let retried = server.post(&format!("{poison}/retry"), json!({})).await;
    assert_eq!((&retried["status"], &retried["attempts"]), (&json!("uploaded"), &json!(0)), "{retried:#}");
    assert_eq!(server.end(&knowledge_base).await["indexed"], 7, "it was not its fault");
    assert_consistent(&database).await;
}

#[tokio::test]
async fn a_worker_on_another_storage_than_the_servers_does_not_start() {
    let (data_dir, elsewhere, database) = (scratch_dir(), scratch_dir(), new_database().await);
    let server = Server::start(&data_dir, Some(&database), &[]).await;
    std::fs::copy(data_dir.join("secret.key"), elsewhere.join("secret.key")).unwrap();
    let mut astray = Process::start("worker", &elsewhere, Some(&database), &[]);
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = astray.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < end, "it works");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(!status.success());
    drop(server);
}
