//! How long the guard takes for an analyst's statement, with a small and with a large catalogue.
//!
//!     cargo bench --bench guard [-- --json FILE]
//!
//! The statements are the honest lines of fixtures/guard. Each is checked in rounds; its time is the median of those, on
//! the clock, as a caller waits for it. The CPU time is the process's, over all rounds. With `--json` the schemas, the
//! statements and their times are written for benches/peers/guard.py, which gives sqlglot the same work.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::path::Path;
use std::time::{Duration, Instant};

use almanac::text_to_sql::guard::{Policy, check};
use almanac::text_to_sql::schema::{Column, ColumnKind, Engine, Schema, Table, TableKind};
use serde_json::{Value, json};

const ROUNDS: usize = 100;
/// Tables in the small and in the large catalogue; the further ones have this many columns.
const CATALOGUES: [usize; 2] = [10, 1_000];
const FURTHER_COLUMNS: usize = 20;

/// What fixtures/guard/*/schema.sql declares.
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

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--json").skip(1);
    println!("dialect   tables  statements  median µs  p95 µs  CPU µs");
    let mut measured = Vec::new();
    for engine in Engine::ALL {
        let statements = statements(engine);
        for tables in CATALOGUES {
            let schema = catalogue(engine, tables);
            let times = Times::of(&statements, &schema);
            let (median, p95, cpu) = (times.percentile(50), times.percentile(95), times.cpu);
            println!("{:<8} {tables:>7} {:>11} {median:>10.1} {p95:>7.1} {cpu:>7.1}", engine.name(), statements.len());
            measured.push(times.json(engine, &statements, &schema));
        }
    }
    if let Some(file) = arguments.next() {
        std::fs::write(file, json!(measured).to_string()).expect("the file can be written");
    }
}

/// Microseconds.
struct Times {
    /// In the order of the statements.
    each: Vec<f64>,
    /// Of one check, on average.
    cpu: f64,
}

impl Times {
    fn of(statements: &[String], schema: &Schema) -> Times {
        let policy = Policy::default();
        let mut rounds = vec![Vec::with_capacity(ROUNDS); statements.len()];
        let before = cpu_time();
        for _ in 0..ROUNDS {
            for (statement, times) in statements.iter().zip(&mut rounds) {
                let start = Instant::now();
                let passed = check(statement, schema, &policy);
                times.push(microseconds(start.elapsed()));
                assert!(passed.is_ok(), "{statement}: {passed:?}");
            }
        }
        let cpu = microseconds(cpu_time() - before) / (ROUNDS * statements.len()) as f64;
        Times { each: rounds.into_iter().map(|times| percentile(times, 50)).collect(), cpu }
    }

    fn percentile(&self, percent: usize) -> f64 {
        percentile(self.each.clone(), percent)
    }

    fn json(&self, engine: Engine, statements: &[String], schema: &Schema) -> Value {
        let columns = |table: &Table| {
            let names = table.columns.iter().map(|column| (column.name.clone(), json!("text")));
            (table.name.clone(), Value::Object(names.collect()))
        };
        let tables: serde_json::Map<String, Value> = schema.tables.iter().map(columns).collect();
        let judged = statements.iter().zip(&self.each).map(|(sql, time)| json!({ "sql": sql, "microseconds": time }));
        json!({
            "dialect": engine.name(),
            "tables": tables,
            "statements": judged.collect::<Vec<_>>(),
            "cpu_microseconds": self.cpu,
        })
    }
}

fn percentile(mut times: Vec<f64>, percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times[(times.len() - 1) * percent / 100]
}

fn statements(engine: Engine) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/guard").join(engine.name()).join("benign.sql");
    let text = std::fs::read_to_string(file).expect("the corpus");
    let lines = text.split('\n').filter_map(|line| line.rsplit_once(" -- "));
    lines.map(|(sql, _)| sql.replace('⏎', "\n")).collect()
}

/// The tables of the corpus behind as many others as make up the number: found last, should the order matter.
fn catalogue(engine: Engine, tables: usize) -> Schema {
    let home = match engine {
        Engine::Postgres => "public",
        Engine::Mssql => "dbo",
        Engine::Mysql | Engine::Sqlite => "main",
    };
    let table = |name: String, columns: Vec<String>| Table {
        columns: columns.into_iter().map(column).collect(),
        ..Table::found(home.into(), name, TableKind::Table)
    };
    let further = (0..tables - TABLES.len()).map(|place| {
        let columns = (0..FURTHER_COLUMNS).map(|column| format!("measure_{column}")).collect();
        table(format!("archive_{place}"), columns)
    });
    let own =
        TABLES.iter().map(|(name, columns)| table((*name).to_owned(), columns.split(' ').map(str::to_owned).collect()));
    let tables = further.chain(own).collect();
    Schema { engine, search_path: vec![home.into()], server_version: String::new(), tables }
}

fn column(name: String) -> Column {
    Column::found(name, "text".into(), ColumnKind::Text, true)
}

/// What this process has run, threads that have ended included, to the kernel's hundredth of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
