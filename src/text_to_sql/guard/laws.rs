//! Laws that hold for every statement, tried on the lines of `fixtures/guard` and on what chance makes of them: whatever
//! passes is a fixed point, has the tree of its original, is one query, and has no word that acts; and whatever comes in,
//! an answer comes out, on a small stack.

use std::cell::Cell;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use sqlparser::ast::Statement;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

use super::*;
use crate::text_to_sql::schema::{Column, ColumnKind, Table, TableKind};

/// The lines of one dialect.
struct Corpus {
    engine: Engine,
    attacks: &'static str,
    benign: &'static str,
}

macro_rules! corpus {
    ($engine:expr, $folder:literal) => {
        Corpus {
            engine: $engine,
            attacks: include_str!(concat!("../../../fixtures/guard/", $folder, "/attacks.sql")),
            benign: include_str!(concat!("../../../fixtures/guard/", $folder, "/benign.sql")),
        }
    };
}

const CORPORA: [Corpus; 4] = [
    corpus!(Engine::Postgres, "postgres"),
    corpus!(Engine::Mysql, "mysql"),
    corpus!(Engine::Sqlite, "sqlite"),
    corpus!(Engine::Mssql, "mssql"),
];

/// What `fixtures/guard/*/schema.sql` declares.
const TABLES: [(&str, &str); 8] = [
    ("teams", "id parent_id title budget"),
    ("sites", "id name region opened active"),
    ("devices", "id site_id model serial price installed specs"),
    ("measurements", "id device_id taken_at kind value note"),
    ("invoices", "id site_id issued state amount tax"),
    ("invoice_lines", "invoice_id line_no device_id quantity unit_price"),
    ("journal", "id order select action details"),
    ("open_invoices", "id site_id issued amount"),
];

/// Words that must never stand in an accepted statement outside quotes.
const FORBIDDEN: [&str; 27] = [
    "insert",
    "update",
    "delete",
    "merge",
    "into",
    "drop",
    "alter",
    "create",
    "grant",
    "revoke",
    "exec",
    "execute",
    "call",
    "attach",
    "detach",
    "pragma",
    "vacuum",
    "copy",
    "shutdown",
    "waitfor",
    "load_extension",
    "pg_sleep",
    "pg_read_file",
    "load_file",
    "sleep",
    "openrowset",
    "xp_cmdshell",
];

impl Corpus {
    fn attacks(&self) -> Vec<String> {
        statements(self.attacks)
    }

    fn benign(&self) -> Vec<String> {
        statements(self.benign)
    }

    fn check(&self, sql: &str) -> Result<ReadOnlySql, Vec<Violation>> {
        check(sql, &stations(self.engine), &Policy::default())
    }
}

/// One a line, without its category; `⏎` is a line end.
fn statements(text: &str) -> Vec<String> {
    let lines = text.split('\n').filter_map(|line| line.rsplit_once(" -- "));
    lines.map(|(sql, _)| sql.replace('⏎', "\n")).collect()
}

fn stations(engine: Engine) -> Schema {
    let home = match engine {
        Engine::Postgres => "public",
        Engine::Mssql => "dbo",
        Engine::Mysql | Engine::Sqlite => "main",
    };
    let column = |name: &str| Column::found(name.into(), "text".into(), ColumnKind::Text, true);
    let table = |(name, columns): (&str, &str)| Table {
        columns: columns.split(' ').map(column).collect(),
        primary_key: vec!["id".into()],
        ..Table::found(home.into(), name.into(), TableKind::Table)
    };
    let tables = TABLES.map(table).into();
    Schema { engine, search_path: vec![home.into()], server_version: String::new(), tables }
}

/// What holds for every statement that passes.
fn obey(corpus: &Corpus, passed: &ReadOnlySql) -> Result<(), TestCaseError> {
    let text = passed.text();
    let again = corpus.check(text).map_err(|violations| {
        TestCaseError::fail(format!("{:?}: its own canonical text is refused: {text}: {violations:?}", corpus.engine))
    })?;
    prop_assert_eq!(again.text(), text);
    prop_assert_eq!(again.tables(), passed.tables());
    prop_assert_eq!(again.columns(), passed.columns());
    let canonical = lexical::read(text, Dialect::of(corpus.engine)).unwrap();
    let mut before = "";
    for lexeme in &canonical.lexemes {
        let slice = canonical.slice(lexeme);
        prop_assert!(slice != ";", "{}", text);
        // PostgreSQL and SQLite take any word behind AS for a name.
        let named = before.eq_ignore_ascii_case("as");
        let acts = lexeme.kind == lexical::Kind::Word && FORBIDDEN.contains(&slice.to_lowercase().as_str());
        prop_assert!(named || !acts, "{:?}: {} in {}", corpus.engine, slice, text);
        before = slice;
    }
    Ok(())
}

#[test]
fn every_attack_is_refused_and_every_honest_line_passes() {
    let mut wrong = Vec::new();
    for corpus in &CORPORA {
        let passed = corpus.attacks().into_iter().filter_map(|sql| Some(corpus.check(&sql).ok()?.text().to_owned()));
        wrong.extend(passed.map(|text| format!("{:?} passed: {text}", corpus.engine)));
        let refused = corpus.benign().into_iter().filter_map(|sql| Some((corpus.check(&sql).err()?, sql)));
        wrong.extend(refused.map(|(why, sql)| format!("{:?} refused: {sql}: {why:?}", corpus.engine)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn honest_lines_obey_the_laws() {
    for corpus in &CORPORA {
        for sql in corpus.benign() {
            let passed = corpus.check(&sql).unwrap_or_else(|why| panic!("{sql}: {why:?}"));
            obey(corpus, &passed).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }
}

/// The tree of a text as the parser alone reads it, without places; none where it cannot.
fn tree(sql: &str, engine: Engine) -> Option<Vec<Statement>> {
    let dialect = Dialect::of(engine);
    let tokens = Tokenizer::new(dialect.parser, sql).tokenize().ok()?;
    Parser::new(dialect.parser).with_tokens(tokens).parse_statements().ok()
}

#[test]
fn canonical_text_has_the_tree_of_its_original() {
    for corpus in &CORPORA {
        let (lines, mut compared) = (corpus.benign(), 0);
        for sql in &lines {
            let Some(original) = tree(sql, corpus.engine) else { continue };
            let canonical = lexical::read(sql, Dialect::of(corpus.engine)).unwrap().text;
            assert_eq!(tree(&canonical, corpus.engine), Some(original), "{:?}: {sql}", corpus.engine);
            compared += 1;
        }
        assert!(compared * 10 >= lines.len() * 9, "{:?}: {compared} of {}", corpus.engine, lines.len());
    }
}

/// A text's tokens with the gaps between them, as the parser splits it; in characters where it cannot.
fn pieces(sql: &str, engine: Engine) -> Vec<String> {
    let tokens = Tokenizer::new(Dialect::of(engine).parser, sql).with_unescape(false).tokenize();
    let shown = |token: Token| match token {
        Token::Whitespace(Whitespace::Space) => " ".to_owned(),
        other => other.to_string(),
    };
    match tokens {
        Ok(tokens) => tokens.into_iter().map(shown).collect(),
        Err(_) => sql.chars().map(String::from).collect(),
    }
}

/// Signs that begin or end what a tokenizer takes for one thing.
const SIGNS: [&str; 24] = [
    "'", "\"", "`", "[", "]", "\\", ";", "--", "/*", "*/", "/*!", "#", "$$", "$a$", "(", ")", ",", ".", "::", "@",
    "E'", "N'", "\n", "\u{a0}",
];

#[derive(Debug, Clone)]
enum Change {
    Remove(Index),
    Repeat(Index, Index),
    Sign(Index, &'static str),
    /// A run of tokens of another line, put in the place of a run of this one's; neither longer than this.
    Splice([Index; 5], usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<Index>().prop_map(Change::Remove),
        any::<(Index, Index)>().prop_map(|(from, to)| Change::Repeat(from, to)),
        (any::<Index>(), select(&SIGNS[..])).prop_map(|(at, sign)| Change::Sign(at, sign)),
        any::<[Index; 5]>().prop_map(|places| Change::Splice(places, usize::MAX)),
        any::<[Index; 5]>().prop_map(|places| Change::Splice(places, 1)),
        any::<[Index; 5]>().prop_map(|places| Change::Splice(places, 4)),
    ]
}

/// All lines of a dialect as tokens: splices pair honest lines with hostile ones.
struct Pool {
    lines: Vec<Vec<String>>,
    /// So many of them, at the beginning, are honest.
    honest: usize,
}

impl Pool {
    fn of(corpus: &Corpus) -> Pool {
        let benign = corpus.benign();
        let honest = benign.len();
        let lines = benign.into_iter().chain(corpus.attacks());
        Pool { lines: lines.map(|sql| pieces(&sql, corpus.engine)).collect(), honest }
    }

    fn changed(&self, first: Index, changes: &[Change]) -> String {
        let mut line = first.get(&self.lines[..self.honest]).clone();
        for change in changes {
            self.apply(&mut line, change);
        }
        line.concat()
    }

    fn apply(&self, line: &mut Vec<String>, change: &Change) {
        let places = line.len() + 1;
        match change {
            Change::Remove(at) if !line.is_empty() => drop(line.remove(at.index(line.len()))),
            Change::Remove(_) => {}
            Change::Repeat(from, to) => {
                let again = run(line, from, to);
                let at = from.index(places);
                line.splice(at..at, again);
            }
            Change::Sign(at, sign) => line.insert(at.index(places), (*sign).to_owned()),
            Change::Splice([other, from, to, start, end], longest) => {
                let other: &Vec<String> = other.get(&self.lines);
                let piece = run(other, from, to);
                let (start, end) = ordered(start.index(places), end.index(places));
                let end = end.min(start.saturating_add(*longest));
                line.splice(start..end, piece.into_iter().take(*longest));
            }
        }
    }
}

fn run(line: &[String], from: &Index, to: &Index) -> Vec<String> {
    let (from, to) = ordered(from.index(line.len() + 1), to.index(line.len() + 1));
    line[from..to].to_vec()
}

fn ordered(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

/// For each dialect; the four take a few seconds together.
const CASES: u32 = 2_500;
/// So many of them still pass: laws about what passes are tried in earnest.
const PASSING: usize = 100;
/// No statement of these lengths takes long to judge; far above what one takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn whatever_splices_and_slips_of_the_hand_make_obeys_the_laws() {
    for corpus in &CORPORA {
        let (pool, passing) = (Pool::of(corpus), Cell::new(0));
        let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let cases = (any::<Index>(), prop::collection::vec(change(), 1..3));
        let outcome = runner.run(&cases, |(first, changes)| {
            let sql = pool.changed(first, &changes);
            let begun = Instant::now();
            let verdict = corpus.check(&sql);
            prop_assert!(begun.elapsed() < PATIENCE, "{:?}: {}", corpus.engine, sql);
            let Ok(passed) = verdict else { return Ok(()) };
            passing.set(passing.get() + 1);
            obey(corpus, &passed)
        });
        outcome.unwrap_or_else(|error| panic!("{:?}: {error}", corpus.engine));
        assert!(passing.get() > PASSING, "{:?}: only {} of {CASES} passed", corpus.engine, passing.get());
    }
}

/// What must not bring the process down, whatever the stack of the thread that asks.
fn enormous() -> Vec<(&'static str, String)> {
    let nested = |open: &str, middle: &str, close: &str, n: usize| {
        format!("SELECT {}{middle}{}", open.repeat(n), close.repeat(n))
    };
    let columns: Vec<String> = (0..10_000).map(|place| format!("id AS c{place}")).collect();
    vec![
        ("600 arms of UNION", vec!["SELECT id FROM sites"; 600].join(" UNION ALL ")),
        ("2,000 terms", format!("SELECT {}", vec!["1"; 2_000].join(" + "))),
        ("2,000 conditions", format!("SELECT 1 FROM sites WHERE {}", vec!["id = 1"; 2_000].join(" OR "))),
        ("100 KB of spaces and a word", format!("SELECT{}1", " ".repeat(100_000))),
        ("100 KB of one text", format!("SELECT '{}'", "x".repeat(100_000))),
        ("5,000 parentheses", nested("(", "1", ")", 5_000)),
        ("5,000 open parentheses", nested("(", "1", "", 5_000)),
        ("5,000 subqueries", nested("(SELECT ", "1", ")", 5_000)),
        ("5,000 CASE", nested("CASE WHEN 1 = 1 THEN ", "1", " END", 5_000)),
        ("2,000 unfinished CASE", nested("CASE ", "1", "", 2_000)),
        ("10,000 columns", format!("SELECT {} FROM sites", columns.join(", "))),
        ("2,000 NOT", format!("SELECT 1 FROM sites WHERE {}active", "NOT ".repeat(2_000))),
        ("64 KB of apostrophes", format!("SELECT {}", "'".repeat(64 * 1024))),
        ("64 KB of double quotes", "\"".repeat(64 * 1024)),
        ("64 KB of grave accents", "`".repeat(64 * 1024)),
        ("64 KB of brackets", "[".repeat(64 * 1024)),
        ("64 KB of comment signs", "/*".repeat(32 * 1024)),
        ("64 KB of backslashes", format!("SELECT '{}", "\\".repeat(64 * 1024))),
        ("64 KB of dollars", format!("SELECT {}", "$".repeat(64 * 1024))),
        ("64 KB of minus signs", format!("SELECT {}1", "- ".repeat(32 * 1024 - 8))),
        ("1 MB", "SELECT 1 UNION ".repeat(70_000)),
    ]
}

/// Of the smallest stacks that threads are given anywhere.
const SMALL_STACK: usize = 256 * 1024;

#[test]
fn enormous_statements_end_in_a_refusal_on_a_small_stack() {
    for corpus in &CORPORA {
        for (what, sql) in enormous() {
            let judged = std::thread::scope(|scope| {
                let asking = std::thread::Builder::new().stack_size(SMALL_STACK);
                asking.spawn_scoped(scope, || corpus.check(&sql).is_err()).unwrap().join()
            });
            assert!(judged.unwrap(), "{:?}: {what} passed", corpus.engine);
        }
    }
}
