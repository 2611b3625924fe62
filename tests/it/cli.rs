//! The real program: served with its embedded PostgreSQL, used through its own client commands, stopped by a signal.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::support::{cache_dir, embedding_dir, scratch_dir};

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
