//! Writes what the builtin generator's ranker learns from: `ranker SCHEMAS QUESTIONS OUT [ROWS]`.
//!
//! SCHEMAS is a JSON object of schemas by database, QUESTIONS an array of objects with `db_id` and `question`, ROWS what
//! the drafts of an earlier OUT gave: for each question, for each draft, its first rows or null. OUT is one array a
//! question, of drafts with their SQL, their numbers before and, with ROWS, after they ran.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use almanac::text_to_sql::generate::builtin::{self, ResultFacts};
use almanac::text_to_sql::generate::{Draft, Generated};
use almanac::text_to_sql::link::catalog::Catalog;
use almanac::text_to_sql::schema::Schema;
use chrono::NaiveDate;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Question {
    db_id: String,
    question: String,
}

/// For each draft of a question, its rows where it ran.
type Ran = Vec<Option<Vec<Vec<Value>>>>;

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = std::env::args().skip(1).filter(|path| path != "--bench").collect();
    let [schemas, questions, out, rows @ ..] = &paths[..] else {
        eprintln!("usage: ranker SCHEMAS QUESTIONS OUT [ROWS]");
        return Ok(());
    };
    let schemas: HashMap<String, Schema> = read(schemas)?;
    let catalogs: HashMap<String, Catalog> =
        schemas.into_iter().map(|(name, schema)| (name, Catalog::new(Arc::new(schema)))).collect();
    let questions: Vec<Question> = read(questions)?;
    let rows: Option<Vec<Ran>> = rows.first().map(|path| read(path)).transpose()?;
    let today = NaiveDate::from_ymd_opt(2026, 1, 1).ok_or("no such day")?;
    let mut all = Vec::with_capacity(questions.len());
    for (at, question) in questions.iter().enumerate() {
        let catalog = catalogs.get(&question.db_id).ok_or("no schema of that name")?;
        let drafts = match builtin::generate(&question.question, catalog, today) {
            Generated::Drafts(drafts) => drafts,
            Generated::Declined(_) => Vec::new(),
        };
        all.push(numbers(&drafts, rows.as_ref().and_then(|rows| rows.get(at))));
    }
    Ok(std::fs::write(out, serde_json::to_string(&all)?)?)
}

fn read<T: DeserializeOwned>(path: &str) -> Result<T, Box<dyn Error>> {
    Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
}

fn numbers(drafts: &[Draft], ran: Option<&Ran>) -> Vec<Value> {
    let facts: Vec<Option<ResultFacts>> = match ran {
        Some(ran) => ran.iter().map(|rows| rows.as_deref().map(ResultFacts::of)).collect(),
        None => Vec::new(),
    };
    let numbers = builtin::features(drafts, &facts);
    let entry = |(draft, numbers): (&Draft, Vec<f32>)| {
        let held = draft.clarification.is_some() || draft.features.doubtful;
        json!({"sql": draft.sql, "features": numbers, "held": held})
    };
    drafts.iter().zip(numbers).map(entry).collect()
}
