//! The guard from the outside: the corpora of `fixtures/guard` through `almanac guard` and on real engines.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use almanac::text_to_sql::engine::{Access, SqlEngine, connect};
use almanac::text_to_sql::guard::{self, Policy};
use almanac::text_to_sql::introspect::Samples;
use almanac::text_to_sql::run::Caps;
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row, SqlSafeStr, SqliteConnection,
    sqlite::SqliteConnectOptions,
};

use crate::mariadb;
use crate::support::{new_database, scratch_dir};

const ALMANAC: &str = env!("CARGO_BIN_EXE_almanac");
const DIALECTS: [&str; 4] = ["postgres", "mysql", "sqlite", "mssql"];

/// No round trip is made: `guard::check` takes text, a schema and a policy, and has no connection to make one with.
#[test]
fn every_attack_is_refused_in_every_dialect() {
    for dialect in DIALECTS {
        let report = judged(dialect, "attacks", "refused");
        assert!(report["total"].as_u64().unwrap() >= 120, "{dialect}");
        assert_eq!(report["refused"], report["total"], "{dialect}");
    }
}

#[test]
fn every_honest_line_is_accepted_in_every_dialect() {
    for dialect in DIALECTS {
        let report = judged(dialect, "benign", "accepted");
        assert!(report["total"].as_u64().unwrap() >= 40, "{dialect}");
        assert_eq!(report["refused"], 0, "{dialect}");
    }
}

#[test]
fn a_report_has_a_line_a_statement_and_counts_by_category() {
    let lines = "SELECT id FROM sites -- fine\nSELECT nmae FROM sites -- slip\nDELETE FROM sites -- write\n";
    let output = on_input(lines.as_bytes(), &["--lines", "--verbose"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = "\
-:1: accepted: SELECT id FROM sites
    SELECT id FROM sites
-:2: refused (unknown_column): SELECT nmae FROM sites
    unknown_column: There is no column `nmae` here. Did you mean `name`?
-:3: refused (writes): DELETE FROM sites
    writes: `DELETE` is not allowed: statements may only read.

category  refused  total
────────  ───────  ─────
fine      0        1
slip      1        1
write     1        1

2 of 3 statements refused
";
    assert_eq!(text, expected);
}

#[test]
fn the_exit_code_says_whether_all_was_as_expected() {
    let code = |sql: &str, arguments: &[&str]| on_input(sql.as_bytes(), arguments).status.code();
    let (read, write) = ("SELECT ';' FROM sites; SELECT 1;", "DELETE FROM sites;");
    assert_eq!(code(read, &[]), Some(0));
    assert_eq!(code(write, &[]), Some(1));
    assert_eq!(code(write, &["--expect", "refused"]), Some(0));
    assert_eq!(code(read, &["--expect", "refused"]), Some(1));
    assert_eq!(code(&format!("{read}{write}"), &["--expect", "accepted"]), Some(1));
    assert_eq!(code("SELECT soundex(name), margin(id) FROM sites", &["--approve", "MARGIN"]), Some(0));
}

#[test]
fn bad_input_is_said_plainly() {
    let said = |output: Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said(on_input(b"SELECT 1;\nSELECT '\xff';", &[])).contains("line 2 is not UTF-8"));
    assert!(said(on_input(b" -- nothing\n", &[])).contains("no statement"));
    assert!(said(on_input(b"SELECT 1", &["--dialect", "oracle"])).contains("postgres"));
    let missing = Command::new(ALMANAC).args(["guard", "-", "--schema", "no-such-file.sql"]).output().unwrap();
    assert!(said(missing).contains("no-such-file.sql"));
}

#[tokio::test]
async fn honest_lines_return_the_rows_of_their_original_on_postgresql() {
    let url = new_database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(fixture("postgres", "schema"))).execute(&mut connection).await.unwrap();
    let engine = connect(&url.into(), &Access::default()).await.unwrap();
    same_rows("postgres", engine.as_ref(), async |sql| {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        texts(&rows)
    })
    .await;
}

#[tokio::test]
async fn honest_lines_return_the_rows_of_their_original_on_sqlite() {
    let (engine, mut connection) = sqlite().await;
    same_rows("sqlite", engine.as_ref(), async |sql| {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        texts(&rows)
    })
    .await;
}

#[tokio::test]
async fn honest_lines_return_the_rows_of_their_original_on_mariadb() {
    let server = mariadb::Mariadb::shared();
    let name = server.new_database(&fixture("mysql", "schema")).await;
    let mut connection = server.admin(&name).await;
    sqlx::raw_sql("set sql_mode = '', time_zone = '+00:00'").execute(&mut connection).await.unwrap();
    let engine = connect(&server.url(mariadb::ADMIN, &name, "").into(), &Access::default()).await.unwrap();
    same_rows("mysql", engine.as_ref(), async |sql| {
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        texts(&rows)
    })
    .await;
}

/// Holds the guard to it that what it lets through means what was written. `fetch` runs any text, past the guard, and
/// gives each row as text.
async fn same_rows(dialect: &str, engine: &dyn SqlEngine, mut fetch: impl AsyncFnMut(String) -> Vec<String>) {
    let schema = engine.introspect(&Samples::none()).await.unwrap();
    for sql in statements(dialect, "benign") {
        let passed = guard::check(&sql, &schema, &Policy::default()).unwrap_or_else(|why| panic!("{sql}: {why:?}"));
        let original = fetch(sql.clone()).await;
        assert_eq!(fetch(passed.text().to_owned()).await, original, "{sql}");
        let ran = engine.run(&passed, &Caps::default()).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(ran.row_count, original.len(), "{sql}");
    }
}

/// SQLite's own reading, as a second opinion: what the guard lets through can be prepared inside parentheses too, which
/// a text with a second statement, or one that closes what it did not open, cannot.
#[tokio::test]
async fn whatever_passes_is_exactly_one_query_to_sqlite_itself() {
    let (engine, mut connection) = sqlite().await;
    let schema = engine.introspect(&Samples::none()).await.unwrap();
    let honest = pieces("benign");
    let all: Vec<Vec<String>> = honest.iter().cloned().chain(pieces("attacks")).collect();
    let mut chance = Chance(0x5eed);
    let (mut passed, mut prepared) = (0, 0);
    for _ in 0..SPLICES {
        let sql = chance.spliced(&honest, &all);
        let Ok(accepted) = guard::check(&sql, &schema, &Policy::default()) else { continue };
        passed += 1;
        // SQLite may still refuse it for its types or its number of arguments.
        if can_prepare(&mut connection, accepted.text()).await {
            prepared += 1;
            let inside = format!("SELECT 1 FROM ({})", accepted.text());
            assert!(can_prepare(&mut connection, &inside).await, "{}", accepted.text());
        }
    }
    assert!(passed > 100 && prepared * 2 > passed, "{prepared} of {passed}");
    assert!(!can_prepare(&mut connection, "SELECT 1 FROM (SELECT 1; SELECT 2)").await);
}

const SPLICES: usize = 4_000;

async fn can_prepare(connection: &mut SqliteConnection, sql: &str) -> bool {
    connection.prepare(AssertSqlSafe(sql).into_sql_str()).await.is_ok()
}

/// Marsaglia's xorshift: the same statements in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    /// An honest statement with some of its pieces replaced by pieces of any other.
    fn spliced(&mut self, honest: &[Vec<String>], all: &[Vec<String>]) -> String {
        let mut line = honest[self.below(honest.len())].clone();
        let other = &all[self.below(all.len())];
        let (start, from) = (self.below(line.len()), self.below(other.len()));
        let (taken, put) = (self.below(4), self.below(4));
        let end = (start + taken).min(line.len());
        line.splice(start..end, other[from..].iter().take(put).cloned());
        line.join(" ")
    }
}

/// Each line's words and signs.
fn pieces(file: &str) -> Vec<Vec<String>> {
    let spaced =
        |sql: String| ["(", ")", ",", ";"].iter().fold(sql, |sql, sign| sql.replace(sign, &format!(" {sign} ")));
    let lines = statements("sqlite", file).into_iter().map(spaced);
    lines.map(|sql| sql.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()).collect()
}

async fn sqlite() -> (std::sync::Arc<dyn SqlEngine>, SqliteConnection) {
    let dir = scratch_dir();
    let file = SqliteConnectOptions::new().filename(dir.join("stations.db")).create_if_missing(true);
    let mut connection = file.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(fixture("sqlite", "schema"))).execute(&mut connection).await.unwrap();
    let access = Access { sqlite_dirs: vec![dir], ..Access::default() };
    (connect(&"sqlite:stations.db".to_owned().into(), &access).await.unwrap(), connection)
}

/// Rows as the engine writes them, sorted: without ORDER BY any order is right.
fn texts<R: Row>(rows: &[R]) -> Vec<String>
where
    usize: sqlx::ColumnIndex<R>,
    for<'r> Option<String>: sqlx::Decode<'r, R::Database>,
{
    let cell = |row: &R, place| format!("{:?}", row.try_get_unchecked::<Option<String>, _>(place).unwrap());
    let text = |row: &R| (0..row.len()).map(|place| cell(row, place)).collect::<Vec<_>>().join(" | ");
    let mut texts: Vec<String> = rows.iter().map(text).collect();
    texts.sort();
    texts
}

/// What the program says about a file of the corpus.
fn judged(dialect: &str, file: &str, expected: &str) -> Value {
    let output = Command::new(ALMANAC)
        .arg("guard")
        .arg(path(dialect, file))
        .args(["--lines", "--json", "--expect", expected, "--dialect", dialect, "--schema"])
        .arg(path(dialect, "schema"))
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{dialect}: {}", String::from_utf8_lossy(&output.stderr)));
    let accepted = expected == "accepted";
    let wrong: Vec<&Value> =
        report["statements"].as_array().unwrap().iter().filter(|it| it["accepted"] != accepted).collect();
    assert!(wrong.is_empty(), "{dialect}: {wrong:#?}");
    assert!(output.status.success(), "{dialect}");
    report
}

/// The program with statements on its standard input, and the SQLite schema unless told otherwise.
fn on_input(input: &[u8], arguments: &[&str]) -> Output {
    let dialect = if arguments.contains(&"--dialect") { &[][..] } else { &["--dialect", "sqlite"] };
    let mut child = Command::new(ALMANAC)
        .args(["guard", "-", "--schema"])
        .arg(path("sqlite", "schema"))
        .args(dialect)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments does not read on.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn statements(dialect: &str, file: &str) -> Vec<String> {
    let text = fixture(dialect, file);
    let lines = text.split('\n').filter_map(|line| line.rsplit_once(" -- "));
    lines.map(|(sql, _)| sql.replace('⏎', "\n")).collect()
}

fn fixture(dialect: &str, file: &str) -> String {
    fs::read_to_string(path(dialect, file)).unwrap()
}

fn path(dialect: &str, file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/guard").join(dialect).join(format!("{file}.sql"))
}
