//! How long it takes to pick, out of a thousand tables, those that a question is about, and to write them into a prompt.
//!
//!     cargo bench --bench linking
//!
//! The schema and its questions are fixtures/linking; tests/it/linking.rs checks that the right tables are picked. Times
//! are of this process's CPU, as the kernel counts them, over all rounds: one core writes one prompt.
#![expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

#[path = "../tests/it/large_schema.rs"]
mod large_schema;

use std::sync::Arc;
use std::time::{Duration, Instant};

use almanac::models::{Completion, LanguageModel, ModelError, Prompt, Said};
use almanac::text_to_sql::generate::model::{self, Context};
use almanac::text_to_sql::link::catalog::Catalog;
use almanac::text_to_sql::link::relevant::Relevance;
use async_trait::async_trait;
use chrono::NaiveDate;
use futures::stream::BoxStream;

const ROUNDS: u32 = 20;
const WINDOW_TOKENS: usize = 8_192;

/// Answers at once, and nothing.
struct Silent;

#[async_trait]
impl LanguageModel for Silent {
    fn name(&self) -> &str {
        "silent"
    }

    async fn complete(&self, _: &Prompt) -> Result<Completion, ModelError> {
        Ok(Completion { text: String::new(), usage: None, cut: false })
    }

    async fn stream(&self, _: &Prompt) -> Result<BoxStream<'static, Result<Said, ModelError>>, ModelError> {
        Err(ModelError::GiveUp("it does not stream".to_owned()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (schema, questions) = (Arc::new(large_schema::schema()), large_schema::questions());
    let needed: usize = questions.iter().map(|question| question.tables.len()).sum();
    println!("{} tables, {} questions that need {needed} tables", large_schema::TABLES, questions.len());
    let started = cpu_time();
    let indexes: Vec<Relevance> = (0..ROUNDS).map(|_| Relevance::new(&schema)).collect();
    println!("index        {:>8.2} ms a schema", milliseconds(cpu_time() - started) / f64::from(ROUNDS));
    let relevance = &indexes[0];
    let started = cpu_time();
    let catalogs: Vec<Catalog> = (0..ROUNDS).map(|_| Catalog::new(Arc::clone(&schema))).collect();
    println!("catalog      {:>8.2} ms a schema", milliseconds(cpu_time() - started) / f64::from(ROUNDS));

    let asked = f64::from(ROUNDS) * questions.len() as f64;
    let started = cpu_time();
    for question in (0..ROUNDS).flat_map(|_| &questions) {
        assert!(!relevance.rank(&schema, &question.text).tables.is_empty(), "{}", question.text);
    }
    println!("ranking      {:>8.2} ms a question", milliseconds(cpu_time() - started) / asked);

    let started = cpu_time();
    let mut slowest = Duration::ZERO;
    for question in (0..ROUNDS).flat_map(|_| &questions) {
        let context = Context {
            schema: &schema,
            relevance,
            catalog: &catalogs[0],
            question: &question.text,
            today: NaiveDate::MIN,
            time_zone: "UTC",
            examples: &[],
            previous: None,
            draft: None,
            window_tokens: WINDOW_TOKENS,
        };
        let began = Instant::now();
        let answered = model::generate(&context, &Silent, 1, None, began + Duration::from_secs(60)).await;
        slowest = slowest.max(began.elapsed());
        assert!(answered.is_ok(), "{answered:?}");
    }
    println!("whole prompt {:>8.2} ms a question", milliseconds(cpu_time() - started) / asked);
    println!("the slowest  {:>8.2} ms on the clock", milliseconds(slowest));
}

/// What this process has run, to the kernel's hundredth of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
