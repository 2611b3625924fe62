//! How long it takes to find out what is in a database, through the same door as everything else.
//!
//!     cargo bench --bench introspection -- URL [repetitions, 5 unless given]
//!
//! Prints one line of JSON: what was found, and the times of each introspection without and with sample values, from an
//! engine that is connected to the schema. `benches/peers/introspection.py` makes the databases and compares.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::path::Path;
use std::time::Instant;

use almanac::text_to_sql::engine::{Access, SqlEngine, connect};
use almanac::text_to_sql::introspect::Samples;
use almanac::text_to_sql::schema::Schema;
use serde_json::{Value, json};

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let url = arguments.next().expect("an argument is the database's URL");
    let times: u32 = arguments.next().map_or(5, |times| times.parse().expect("a number of repetitions"));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("{}", runtime.block_on(measured(&url, times)));
}

async fn measured(url: &str, times: u32) -> Value {
    let file = url.strip_prefix("sqlite:").and_then(|path| Path::new(path).parent());
    let access = Access { sqlite_dirs: file.map(Path::to_owned).into_iter().collect(), ..Access::default() };
    let engine = connect(&url.to_owned().into(), &access).await.expect("a database");
    let (without, bare) = repeated(&*engine, &Samples::none(), times).await;
    let (with, schema) = repeated(&*engine, &Samples::all(), times).await;
    engine.close().await;
    let count = |of: fn(&Schema) -> usize| of(&schema);
    json!({
        "tables": bare.tables.len(),
        "columns": count(|schema| schema.tables.iter().map(|table| table.columns.len()).sum()),
        "foreign_keys": count(|schema| schema.tables.iter().map(|table| table.foreign_keys.len()).sum()),
        "indexes": count(|schema| schema.tables.iter().map(|table| table.indexes.len()).sum()),
        "samples": count(|schema| {
            schema.tables.iter().flat_map(|table| &table.columns).map(|column| column.sample_values.len()).sum()
        }),
        "without_samples": without,
        "with_samples": with,
    })
}

/// Seconds on the clock and of the processor, of each time.
async fn repeated(engine: &dyn SqlEngine, samples: &Samples, times: u32) -> (Value, Schema) {
    let mut schema = engine.introspect(samples).await.expect("a schema");
    let (began, processor) = (Instant::now(), processor_seconds());
    for _ in 0..times {
        schema = engine.introspect(samples).await.expect("a schema");
    }
    let (wall, processor) = (began.elapsed().as_secs_f64(), processor_seconds() - processor);
    (json!({ "wall_s": wall / f64::from(times), "processor_s": processor / f64::from(times) }), schema)
}

/// Of all threads of this process, those that have ended too. See proc_pid_stat(5); a tick is 10 ms on Linux.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok());
    f64::from(ticks.sum::<u32>()) / 100.0
}
