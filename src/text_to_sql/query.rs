//! An answer, with all that it takes to check it and to get it again.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Target;
use super::engine::EngineError;
use super::explain::restate;
use super::guard::{ReadOnlySql, Violation};
use super::lint::Lint;
use super::run::Rows;
use crate::models::Usage;

/// An answer from a database: to a question, or to SQL that somebody sent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Query {
    pub id: Uuid,
    pub database_id: Uuid,
    pub question: Option<String>,
    /// As it ran, or would run. Null: the question cannot be answered, and `explanation` says why.
    pub sql: Option<String>,
    /// What the question was taken to mean, when it went on from the one before: "orders by month in 2024".
    #[serde(default)]
    pub read_as: Option<String>,
    /// The answer that the question went on from.
    #[serde(default)]
    pub previous_query_id: Option<Uuid>,
    /// As it was drafted, before the guard wrote it anew and row filters went in.
    #[serde(default)]
    pub drafted_sql: Option<String>,
    /// Null when the SQL was sent.
    pub generator: Option<Generator>,
    /// The language model that drafted, or was asked to.
    #[serde(default)]
    pub model: Option<String>,
    /// Tokens that it took, as its server counted them.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// The verified example that answers.
    #[serde(default)]
    pub example_id: Option<Uuid>,
    /// 0 to 1.
    pub confidence: f32,
    /// What the answer had to reach to be run.
    #[serde(default)]
    pub min_confidence: Option<f32>,
    /// Asked back when the question can be read in ways that are equally good; `choices` are the ways.
    #[serde(default)]
    pub clarification: Option<String>,
    /// Up to three drafts that differ in result, when none is sure enough to be run.
    pub choices: Vec<Choice>,
    /// Up to two more drafts that differ from the answer in result, when it was sure enough.
    #[serde(default)]
    pub alternatives: Vec<Choice>,
    /// What the SQL does, in plain words.
    pub explanation: String,
    pub assumptions: Vec<String>,
    /// Words of the question that nothing was made of.
    pub unused_words: Vec<String>,
    /// What to beware of in the SQL or in its result.
    #[serde(default)]
    pub lints: Vec<Lint>,
    /// How the rows may be drawn: a Vega-Lite specification over the data set `result`, without data and without code.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub chart: Option<serde_json::Value>,
    pub validation: Verdict,
    pub executed: bool,
    pub result: Option<Rows>,
    /// Why the run failed.
    pub error: Option<QueryError>,
    /// Drafts that were made, repairs included.
    pub attempts: u32,
    pub generation_ms: f64,
    pub execution_ms: f64,
    /// What was left out, and why.
    pub degraded: Vec<String>,
    /// Of the schema that was asked: it counts every change by syncs and by people.
    #[serde(default)]
    pub schema_version: i64,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Generator {
    Example,
    Model,
    Builtin,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Choice {
    pub sql: String,
    pub explanation: String,
    pub confidence: f32,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Verdict {
    pub safe: bool,
    pub violations: Vec<Violation>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct QueryError {
    pub code: String,
    pub detail: String,
}

impl Query {
    pub(super) fn new(target: &Target, question: Option<String>) -> Query {
        Query {
            id: Uuid::now_v7(),
            database_id: target.database_id,
            question,
            sql: None,
            read_as: None,
            previous_query_id: None,
            drafted_sql: None,
            generator: None,
            model: None,
            usage: None,
            example_id: None,
            confidence: 0.0,
            min_confidence: None,
            clarification: None,
            choices: Vec::new(),
            alternatives: Vec::new(),
            explanation: String::new(),
            assumptions: Vec::new(),
            unused_words: Vec::new(),
            lints: Vec::new(),
            chart: None,
            validation: Verdict { safe: false, violations: Vec::new() },
            executed: false,
            result: None,
            error: None,
            attempts: 0,
            generation_ms: 0.0,
            execution_ms: 0.0,
            degraded: Vec::new(),
            schema_version: target.schema_version,
            created_at: Utc::now(),
        }
    }
}

impl Query {
    /// The question, with what it meant after the one before.
    pub fn whole_question(&self) -> Option<&str> {
        self.read_as.as_deref().or(self.question.as_deref())
    }
}

impl Choice {
    /// The same statement about a value that is known.
    pub(super) fn mended(mended: &ReadOnlySql, confidence: f32) -> Choice {
        let sql = mended.text().to_owned();
        Choice { explanation: restate(&sql, mended.engine()), sql, confidence }
    }
}

impl From<&EngineError> for QueryError {
    fn from(error: &EngineError) -> QueryError {
        QueryError { code: error.code().to_owned(), detail: error.to_string() }
    }
}
