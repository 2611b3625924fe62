//! The real program: served with its embedded PostgreSQL, used through its own client commands, stopped by a signal.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::io::AsyncWriteExt;

use crate::support::{TestApp, cache_dir, embedding_dir, scratch_dir};

const ALMANAC: &str = env!("CARGO_BIN_EXE_almanac");
const PATIENCE: Duration = Duration::from_secs(60);

/// A server on a data folder; killed if a test forgets to stop it.
struct Server {
    child: Child,
    data_dir: PathBuf,
}

impl Server {
    fn start(data_dir: &Path) -> Server {
        let mut child =
            command(data_dir).args(["serve", "--bind", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = lines.find(|line| line.as_ref().unwrap().starts_with("Almanac listens on"));
        assert!(listening.is_some(), "the server ended before it listened");
        Server { child, data_dir: data_dir.to_owned() }
    }

    fn client(&self, arguments: &[&str]) -> Output {
        command(&self.data_dir).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
    }

    /// Ctrl-C, as a terminal sends it.
    fn interrupt(mut self) -> bool {
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(data_dir: &Path) -> Command {
    let mut command = Command::new(ALMANAC);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ALMANAC_")) {
        command.env_remove(name);
    }
    command
        .env("ALMANAC_DATA_DIR", data_dir)
        .env("ALMANAC_POSTGRES_DIR", cache_dir().join("postgresql"))
        .env("ALMANAC_EMBEDDING_DIR", embedding_dir())
        .env("ALMANAC_LOG", "warn");
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_newcomer_serves_ingests_searches_asks_and_stops() {
    let data_dir = scratch_dir();
    let server = Server::start(&data_dir);
    let ingest = ["ingest", "fixtures/documents", "fixtures/broken/empty.txt", "--knowledge-base", "handbook"];
    let first = server.client(&ingest);
    assert!(text(&first).contains("13 indexed, 0 unchanged, 1 failed"), "{}", text(&first));
    assert!(!first.status.success(), "a failed document makes the command fail");
    let again = server.client(&ingest[..2].iter().chain(&ingest[3..]).copied().collect::<Vec<_>>());
    assert!(text(&again).contains("0 indexed, 13 unchanged, 0 failed"), "{}", text(&again));
    assert!(again.status.success());

    let found = server.client(&["search", "how", "long", "is", "the", "warranty", "--knowledge-base", "handbook"]);
    assert!(text(&found).contains("Returns and warranty policy"), "{}", text(&found));
    let answer = server.client(&["ask", "What is an active customer?"]);
    assert!(text(&answer).contains("[1] "), "{}", text(&answer));

    std::fs::create_dir_all(data_dir.join("databases")).unwrap();
    let sales = data_dir.join("databases/sales.sqlite");
    let made =
        Command::new("python3").args(["fixtures/make/sales_database.py", "--sqlite"]).arg(&sales).status().unwrap();
    assert!(made.success());
    assert!(server.client(&["database", "add", "sales", "sqlite:sales.sqlite"]).status.success());
    let asked = server.client(&["ask", "--database", "sales", "How many customers are there?"]);
    assert!(text(&asked).contains("(1 row)"), "{}", text(&asked));
    let csv =
        server.client(&["sql", "--database", "sales", "--csv", "select name from categories order by name limit 1"]);
    assert_eq!(text(&csv).lines().next(), Some("name"), "{}", text(&csv));
    let refused = server.client(&["sql", "--database", "sales", "delete from orders"]);
    assert!(!refused.status.success() && text(&refused).contains("was not run"), "{}", text(&refused));

    let key = server.client(&["key", "create", "reporting", "--scopes", "read"]);
    assert!(text(&key).starts_with("alm_"), "{}", text(&key));
    assert!(text(&server.client(&["key", "list"])).contains("reporting"));
    let doctor = server.client(&["doctor"]);
    assert!(doctor.status.success() && text(&doctor).contains("running at"), "{}", text(&doctor));
    assert!(server.interrupt(), "the server stops in order");
    assert!(!data_dir.join("postgres/data/postmaster.pid").exists(), "PostgreSQL has stopped too");

    let server = Server::start(&data_dir);
    let kept = server.client(&["search", "warranty"]);
    assert!(text(&kept).contains("Returns and warranty policy"), "{}", text(&kept));
    assert!(server.interrupt());
}

#[test]
fn a_document_in_hand_when_the_server_is_killed_is_finished_after_a_restart() {
    let data_dir = scratch_dir();
    let mut server = Server::start(&data_dir);
    let long = data_dir.join("long.txt");
    let sentence =
        |number: usize| format!("Sentence number {number} says that station {number} measures wind and rain.\n");
    std::fs::write(&long, (0..4_000).map(sentence).collect::<String>()).unwrap();
    let mut ingesting = command(&data_dir).args(["ingest", "-k", "long"]).arg(&long).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    ingesting.kill().unwrap();
    ingesting.wait().unwrap();
    let server = Server::start(&data_dir);
    let again = server.client(&["ingest", "-k", "long", long.to_str().unwrap()]);
    assert!(again.status.success(), "{}", text(&again));
    let found = server.client(&["search", "station 3999", "--mode", "text", "-n", "1", "--json"]);
    assert!(text(&found).contains("3999"), "{}", text(&found));
    assert!(server.interrupt());
}

#[test]
fn wrong_settings_are_all_listed_and_nothing_starts() {
    let output = command(&scratch_dir()).args(["serve", "--bind", "nowhere", "--set", "colour=red"]).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("bind:") && text(&output).contains("colour:"), "{}", text(&output));
    let shown = command(&scratch_dir())
        .env("ALMANAC_ADMIN_KEY", "a-key-that-must-not-be-shown")
        .arg("config")
        .output()
        .unwrap();
    assert!(text(&shown).contains("[redacted]") && !text(&shown).contains("must-not"), "{}", text(&shown));
}

#[test]
fn clients_without_a_server_say_what_to_set() {
    let output = command(&scratch_dir()).args(["search", "anything"]).output().unwrap();
    assert!(!output.status.success() && text(&output).contains("ALMANAC_URL"), "{}", text(&output));
}

/// `almanac ingest` against a server of this process.
fn ingest(app: &TestApp, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::from(command(&app.data_dir));
    command.env("ALMANAC_URL", &app.url).env("ALMANAC_API_KEY", &app.key).kill_on_drop(true);
    command.arg("ingest").args(arguments).args(["-k", "kb"]);
    command
}

async fn ingested(app: &TestApp, arguments: &[&str]) -> (Option<i32>, String) {
    let output = ingest(app, arguments).output().await.unwrap();
    (output.status.code(), text(&output))
}

/// The documents of the only knowledge base, by name.
async fn documents(app: &TestApp) -> Vec<Value> {
    let listed = app.get("/v1/knowledge-bases").await.expect(StatusCode::OK);
    let path = format!("/v1/knowledge-bases/{}/documents?limit=100", listed["data"][0]["id"].as_str().unwrap());
    let mut documents = app.get(&path).await.expect(StatusCode::OK)["data"].as_array().unwrap().clone();
    documents.sort_by_key(|document| document["external_id"].to_string());
    documents
}

async fn count(app: &TestApp, table: &str) -> i64 {
    let url = secrecy::ExposeSecret::expose_secret(app.app.config.database_url.as_ref().unwrap()).to_owned();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let statement = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
    sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn ingesting_again_sends_only_what_is_new_changed_or_failed_before() {
    let app = TestApp::start().await;
    let folder = scratch_dir();
    let root = folder.to_str().unwrap();
    fs::create_dir_all(folder.join("drafts")).unwrap();
    for (name, words) in
        [("a.md", "Alpha words."), ("b.md", "Beta words."), ("drafts/c.md", "A draft."), ("d.log", "Noise.")]
    {
        fs::write(folder.join(name), words).unwrap();
    }
    fs::write(folder.join(".almanacignore"), "drafts/\n").unwrap();
    fs::write(folder.join(OsStr::from_bytes(b"caf\xe9.md")), "Coffee words.").unwrap();
    fs::write(folder.join("empty.txt"), "").unwrap();
    fs::write(folder.join("picture.png"), include_bytes!("../../fixtures/broken/picture.png")).unwrap();

    let missing = folder.join("missing");
    let paths = [root, missing.to_str().unwrap(), "--exclude", "*.log", "--metadata", "team=ops"];
    let (code, said) = ingested(&app, &paths).await;
    assert!(said.contains("\n3 indexed, 0 unchanged, 3 failed\n"), "{said}");
    assert_eq!(code, Some(1), "{said}");
    for failed in ["missing: ", "empty.txt: ", "picture.png: "] {
        assert!(said.lines().any(|line| line.starts_with("failed ") && line.contains(failed)), "{failed}: {said}");
    }
    let first = documents(&app).await;
    let names: Vec<_> = first.iter().map(|document| document["external_id"].as_str().unwrap()).collect();
    let expected = ["a.md", "b.md", "caf\\xe9.md", "empty.txt"].map(|name| format!("{root}/{name}"));
    assert_eq!(names, expected);
    assert!(first.iter().all(|document| document["metadata"] == json!({"team": "ops"})), "{first:#?}");

    fs::remove_file(folder.join("empty.txt")).unwrap();
    fs::remove_file(folder.join("picture.png")).unwrap();
    let (batches, files) = (count(&app, "batches").await, count(&app, "batch_documents").await);
    let (code, said) = ingested(&app, &[root, "--exclude", "*.log"]).await;
    assert!(code == Some(0) && said.contains("0 indexed, 3 unchanged, 0 failed"), "{said}");
    assert_eq!(
        (count(&app, "batches").await, count(&app, "batch_documents").await),
        (batches, files),
        "nothing is sent"
    );

    fs::write(folder.join("b.md"), "Gamma words.").unwrap();
    let (code, said) = ingested(&app, &[root, "--include", "*.md"]).await;
    assert!(code == Some(0) && said.contains("1 indexed, 2 unchanged, 0 failed"), "{said}");
    assert_eq!(count(&app, "batch_documents").await, files + 1);
    let found = app.search(json!({"query": "gamma", "mode": "text"})).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(app.search(json!({"query": "beta", "mode": "text"})).await.is_empty(), "the old version is replaced");
    assert_eq!(documents(&app).await[1]["version"], 2);
}

#[tokio::test]
async fn an_interrupted_run_is_resumed_by_running_it_again() {
    let app = TestApp::start().await;
    let folder = scratch_dir();
    let root = folder.to_str().unwrap();
    for number in 0..40 {
        let words = format!("Station {number} measures wind and rain.\n").repeat(8);
        fs::write(folder.join(format!("{number:02}.txt")), words).unwrap();
    }
    let child =
        ingest(&app, &[root, "--concurrency", "2"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + PATIENCE;
    while count(&app, "batch_documents").await < 5 {
        assert!(Instant::now() < end, "nothing is sent");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().unwrap().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    assert!(text(&output).contains("Run the same command again"), "{}", text(&output));
    assert_eq!(count(&app, "batches where closed_at is null").await, 0, "nothing is left open");

    let output = ingest(&app, &[root]).output().await.unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let summary = said.lines().find(|line| line.contains(" unchanged, ")).unwrap();
    let counts: Vec<u64> = summary.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    assert_eq!((counts[0] + counts[1], counts[2]), (40, 0), "{said}");
    let documents = documents(&app).await;
    assert_eq!(documents.len(), 40);
    assert!(documents.iter().all(|document| document["status"] == "indexed" && document["version"] == 1));
    assert!(count(&app, "batch_documents").await <= 42, "what the server had was not sent again");
}

#[tokio::test]
async fn a_busy_server_is_waited_for_and_a_file_that_is_too_large_stops_nothing() {
    let app = TestApp::with(&[("requests_per_minute", "60"), ("max_upload_mb", "1")]).await;
    let folder = scratch_dir();
    let root = folder.to_str().unwrap();
    for number in 0..60 {
        fs::write(folder.join(format!("{number}.txt")), format!("Station {number} measures rain.")).unwrap();
    }
    fs::write(folder.join("large.txt"), "large ".repeat(1 << 20)).unwrap();
    let (code, said) = ingested(&app, &[root, "--concurrency", "8"]).await;
    assert!(said.contains("60 indexed, 0 unchanged, 1 failed"), "{said}");
    assert!(code == Some(1) && said.contains("large.txt: "), "{said}");
}

#[tokio::test]
async fn standard_input_is_one_document_and_nobody_need_wait_for_it() {
    let app = TestApp::start().await;
    for expected in ["1 sent, 0 unchanged, 0 failed", "0 sent, 1 unchanged, 0 failed"] {
        let mut child = ingest(&app, &["-", "--no-wait"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"# Piped\n\nWords from a pipe.").await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success() && text(&output).contains(expected), "{}", text(&output));
        while app.search(json!({"query": "pipe", "mode": "text"})).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_watched_folder_is_ingested_as_it_changes_until_interrupted() {
    let app = TestApp::start().await;
    let folder = scratch_dir();
    fs::write(folder.join("a.md"), "Alpha words.").unwrap();
    let mut watching = ingest(&app, &[folder.to_str().unwrap(), "--watch"]);
    let child = watching.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let find = async |word: &str| {
        let end = Instant::now() + PATIENCE;
        while app.search(json!({"query": word, "mode": "text"})).await.is_empty() {
            assert!(Instant::now() < end, "{word} is not found");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    find("alpha").await;
    fs::write(folder.join("b.md"), "Beta words.").unwrap();
    find("beta").await;
    fs::write(folder.join("a.md"), "Gamma words.").unwrap();
    find("gamma").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(Command::new("kill").args(["-INT", &child.id().unwrap().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(text(&output).matches("1 indexed, 0 unchanged, 0 failed").count(), 3, "{}", text(&output));
}

#[tokio::test]
async fn runs_at_the_same_time_share_a_knowledge_base_that_none_of_them_found() {
    let app = TestApp::start().await;
    let folder = scratch_dir();
    let run = async |number: usize| {
        let file = folder.join(format!("{number}.md"));
        fs::write(&file, format!("Words of run {number}.")).unwrap();
        ingested(&app, &[file.to_str().unwrap(), "--no-wait"]).await
    };
    let ended = tokio::join!(run(1), run(2), run(3), run(4));
    for (code, said) in [ended.0, ended.1, ended.2, ended.3] {
        assert!(code == Some(0) && said.contains("1 sent"), "{said}");
    }
    assert_eq!(documents(&app).await.len(), 4);
}

#[tokio::test]
async fn a_run_waits_for_a_server_that_just_restarts() {
    let app = TestApp::start().await;
    let file = scratch_dir().join("a.md");
    fs::write(&file, "Words for a server that is away.").unwrap();
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut run = ingest(&app, &[file.to_str().unwrap()]);
    let run = run.env("ALMANAC_URL", format!("http://{port}")).output();
    let server = app.url.strip_prefix("http://").unwrap().to_owned();
    let back = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let listener = tokio::net::TcpListener::bind(port).await.unwrap();
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = tokio::net::TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await.ok() });
        }
    };
    let output = tokio::select! {
        output = run => output.unwrap(),
        () = back => unreachable!("it goes on for ever"),
    };
    assert!(output.status.success() && text(&output).contains("1 indexed"), "{}", text(&output));
}
