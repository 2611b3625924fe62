//! Linking a schema of a thousand tables: what of it a language model is shown.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use almanac::models::{Completion, LanguageModel, ModelError, Prompt, Said};
use almanac::text_to_sql::generate::model::{self, Context};
use almanac::text_to_sql::link::catalog::Catalog;
use almanac::text_to_sql::link::relevant::Relevance;
use almanac::text_to_sql::schema::Schema;
use async_trait::async_trait;
use chrono::NaiveDate;
use futures::stream::BoxStream;

use crate::large_schema::{Question, TABLES, questions, schema};

/// Remembers what it was asked, and has no answer.
#[derive(Default)]
struct Asked(Mutex<String>);

#[async_trait]
impl LanguageModel for Asked {
    fn name(&self) -> &str {
        "asked"
    }

    async fn complete(&self, prompt: &Prompt) -> Result<Completion, ModelError> {
        prompt.user.clone_into(&mut self.0.lock().unwrap());
        Ok(Completion { text: String::new(), usage: None, cut: false })
    }

    async fn stream(&self, _: &Prompt) -> Result<BoxStream<'static, Result<Said, ModelError>>, ModelError> {
        Err(ModelError::GiveUp("it does not stream".to_owned()))
    }
}

/// The schema, and what is made of it once.
struct Known {
    schema: Arc<Schema>,
    relevance: Relevance,
    catalog: Catalog,
}

/// The tables of a prompt in a window of so many tokens.
async fn shown(known: &Known, question: &Question, window_tokens: usize) -> Vec<String> {
    let context = Context {
        schema: &known.schema,
        relevance: &known.relevance,
        catalog: &known.catalog,
        question: &question.text,
        today: NaiveDate::from_ymd_opt(2026, 3, 1).unwrap(),
        time_zone: "UTC",
        examples: &[],
        previous: None,
        draft: None,
        window_tokens,
    };
    let asked = Asked::default();
    let deadline = Instant::now() + Duration::from_secs(60);
    model::generate(&context, &asked, 1, None, deadline).await.unwrap();
    let prompt = asked.0.into_inner().unwrap();
    assert!(prompt.len() < 3 * window_tokens, "{} bytes in a window of {window_tokens} tokens", prompt.len());
    let tables = prompt.lines().filter_map(|line| line.strip_prefix(" table "));
    tables.filter_map(|line| line.split([',', ' ']).next()).map(str::to_owned).collect()
}

/// The share of questions whose tables are all shown, in percent, and those of which some are not.
async fn recall(window_tokens: usize) -> (f64, Vec<String>) {
    let (schema, questions) = (Arc::new(schema()), questions());
    let (relevance, catalog) = (Relevance::new(&schema), Catalog::new(Arc::clone(&schema)));
    let known = Known { schema, relevance, catalog };
    let mut missed = Vec::new();
    for question in &questions {
        let shown = shown(&known, question, window_tokens).await;
        let missing: Vec<&String> = question.tables.iter().filter(|table| !shown.contains(table)).collect();
        if !missing.is_empty() {
            missed.push(format!("{} lacks {missing:?} of {shown:?}", question.text));
        }
    }
    (100.0 * (1.0 - missed.len() as f64 / questions.len() as f64), missed)
}

#[tokio::test]
async fn of_a_thousand_tables_a_prompt_shows_those_that_a_question_needs() {
    assert_eq!(schema().tables.len(), TABLES);
    assert!(questions().len() >= 60);
    let (share, missed) = recall(8_192).await;
    println!("{share:.1} % within 8,192 tokens");
    assert!(share >= 95.0, "{share:.1} %: {missed:#?}");
}

#[tokio::test]
async fn a_small_window_shows_most_of_them() {
    let (share, missed) = recall(4_096).await;
    println!("{share:.1} % within 4,096 tokens");
    assert!(share >= 90.0, "{share:.1} %: {missed:#?}");
}
