//! Asks a question, runs what it is measured by, and compares the two.

use std::collections::HashMap;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    compare::{Table, same},
    questions::Question,
};
use crate::cli::{
    client::{Client, is_away},
    eval::progress::Progress,
};

/// Rows that are compared, the most that the server gives.
pub const LIMIT: usize = 10_000;
/// With the answer itself, as many as are offered where nothing is sure.
const OFFERED: usize = 3;

/// What became of a question.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Why the expected statement gave no rows; such a question says nothing.
    pub broken: Option<String>,
    /// The expected result is empty: any other empty one counts as the same.
    pub expected_nothing: bool,
    /// None: declined.
    pub sql: Option<String>,
    pub generator: Option<String>,
    pub confidence: f64,
    /// The best guess gives the expected result.
    pub right: bool,
    /// One of the offered three does, the best guess included.
    pub offered: bool,
    /// Why there is no answer, or why it did not run.
    pub reason: Option<String>,
    /// A compared result was cut.
    pub cut: bool,
    pub generation_ms: f64,
    pub degraded: Vec<String>,
}

/// The confidence from which the server answers if nothing else is asked for.
pub async fn threshold(client: &Client, database: &str, question: &str) -> anyhow::Result<f64> {
    let answer = post(client, database, "ask", &json!({ "question": question, "execute": false })).await?;
    answer["min_confidence"]
        .as_f64()
        .context("the server does not say from which confidence it answers: give --min-confidence")
}

/// The outcomes, in the order of the questions. `databases` has the id of each.
pub async fn all(
    client: &Client,
    databases: &HashMap<String, String>,
    questions: &[Question],
    at_a_time: usize,
    progress: &Progress,
) -> anyhow::Result<Vec<Outcome>> {
    stream::iter(questions)
        .map(|question| async move {
            let database = databases.get(&question.database).context("its database is unknown")?;
            let outcome = one(client, database, question).await;
            progress.one_more();
            outcome.with_context(|| question.id.clone())
        })
        .buffered(at_a_time)
        .try_collect()
        .await
}

async fn one(client: &Client, database: &str, question: &Question) -> anyhow::Result<Outcome> {
    let expected = match rows_of(client, database, &question.gold).await? {
        Ok(expected) => expected,
        Err(reason) => return Ok(Outcome { broken: Some(reason), ..Outcome::default() }),
    };
    let body = json!({ "question": question.text, "min_confidence": 0, "limit": LIMIT });
    let answer = post(client, database, "ask", &body).await?;
    let mut outcome = Outcome::of(&answer);
    outcome.expected_nothing = expected.rows.is_empty();
    outcome.cut = expected.truncated;
    if let Some(given) = Table::read(&answer["result"]) {
        outcome.cut |= given.truncated;
        outcome.right = same(&expected, &given, question.kind.ordered);
    }
    outcome.offered = outcome.right;
    for sql in others(&answer) {
        if outcome.offered {
            break;
        }
        let given = rows_of(client, database, sql).await?;
        outcome.offered = given.is_ok_and(|given| same(&expected, &given, question.kind.ordered));
    }
    Ok(outcome)
}

/// What else was offered.
fn others(answer: &Value) -> Vec<&str> {
    let statements = |field: &str| answer[field].as_array().into_iter().flatten().filter_map(|it| it["sql"].as_str());
    let all: Vec<&str> = statements("alternatives").chain(statements("choices")).collect();
    let ran = usize::from(answer["executed"] == true);
    all.into_iter().take(OFFERED - ran).collect()
}

/// The rows, or why there are none. An error is one of the way to the server.
async fn rows_of(client: &Client, database: &str, sql: &str) -> anyhow::Result<Result<Table, String>> {
    match post(client, database, "execute", &json!({ "sql": sql, "limit": LIMIT })).await {
        Ok(answer) => Ok(Table::read(&answer["result"]).ok_or_else(|| failure(&answer).unwrap_or_default())),
        Err(error) if is_away(&error) => Err(error),
        Err(error) => Ok(Err(format!("{error:#}"))),
    }
}

async fn post(client: &Client, database: &str, what: &str, body: &Value) -> anyhow::Result<Value> {
    let path = format!("/v1/databases/{database}/{what}");
    client.patiently(async || Ok(client.request(Method::POST, &path).json(body))).await
}

fn failure(answer: &Value) -> Option<String> {
    let violation = answer["validation"]["violations"].as_array().into_iter().flatten().next();
    let detail = answer["error"]["detail"].as_str().or(violation.and_then(|it| it["detail"].as_str()));
    detail.map(str::to_owned)
}

impl Outcome {
    fn of(answer: &Value) -> Outcome {
        let text = |field: &str| answer[field].as_str().map(str::to_owned);
        let sql = text("sql");
        let reason = match sql {
            Some(_) => failure(answer),
            None => text("explanation"),
        };
        let degraded = answer["degraded"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Outcome {
            generator: text("generator"),
            confidence: answer["confidence"].as_f64().unwrap_or(0.0),
            reason,
            generation_ms: answer["generation_ms"].as_f64().unwrap_or(0.0),
            degraded: degraded.map(str::to_owned).collect(),
            sql,
            ..Outcome::default()
        }
    }

    /// Whether it is sure enough to be answered unasked.
    pub fn is_answered(&self, threshold: f64) -> bool {
        self.sql.is_some() && self.confidence >= threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_are_offered_with_the_answer_and_without_it() {
        let choice = |sql: &str| json!({ "sql": sql });
        let alternatives = json!([choice("a"), choice("b"), choice("c")]);
        let ran = json!({ "executed": true, "alternatives": alternatives, "choices": [] });
        assert_eq!(others(&ran), ["a", "b"]);
        let undecided = json!({ "executed": false, "choices": alternatives });
        assert_eq!(others(&undecided), ["a", "b", "c"]);
        assert!(others(&json!({ "sql": null })).is_empty());
    }

    #[test]
    fn an_answer_says_why_it_has_no_rows() {
        let declined = Outcome::of(&json!({ "sql": null, "explanation": "There is no revenue.", "confidence": 0.9 }));
        assert_eq!((declined.reason.as_deref(), declined.is_answered(0.5)), (Some("There is no revenue."), false));
        let failed = json!({ "sql": "select 1", "confidence": 0.7, "explanation": "x", "error": { "detail": "slow" } });
        assert_eq!(Outcome::of(&failed).reason.as_deref(), Some("slow"));
        assert!(Outcome::of(&failed).is_answered(0.7) && !Outcome::of(&failed).is_answered(0.71));
        let costly = json!({ "sql": "select 1", "validation": { "violations": [{ "detail": "costly" }] } });
        assert_eq!(Outcome::of(&costly).reason.as_deref(), Some("costly"));
    }
}
