//! From a question to SQL that is proven read-only, its rows, and what it means in plain words.
//!
//! [`ask`] drafts with the language model where one is configured, else with the builtin generator; every draft goes
//! through the [`guard`], and only what it returns can be run, once the decision is in the [`journal`] and if the engine
//! does not expect too much of it. A question that the schema cannot answer is declined.

pub mod engine;
pub mod explain;
pub mod generate;
pub mod guard;
pub mod introspect;
pub mod journal;
pub mod link;
pub mod run;
pub mod schema;
pub mod terms;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use engine::{EngineError, Estimate, SqlEngine};
use generate::{Draft, Generated, builtin, model};
use guard::{ColumnRef, Policy, ReadOnlySql, TableRef, Violation};
use journal::{Action, Decision, Journal, NotKept};
use run::{Caps, Rows};
use schema::Schema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::models::{LanguageModel, ModelError};

/// An answer from a database: to a question, or to SQL that somebody sent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Query {
    pub id: Uuid,
    pub database_id: Uuid,
    pub question: Option<String>,
    /// As it ran, or would run. Null: the question cannot be answered, and `explanation` says why.
    pub sql: Option<String>,
    /// Null when the SQL was sent.
    pub generator: Option<Generator>,
    /// 0 to 1.
    pub confidence: f32,
    /// Up to three drafts that differ in result, when none is sure enough to be run.
    pub choices: Vec<Choice>,
    /// What the SQL does, in plain words.
    pub explanation: String,
    pub assumptions: Vec<String>,
    /// Words of the question that nothing was made of.
    pub unused_words: Vec<String>,
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

/// What `validate` says of a statement.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Validation {
    pub safe: bool,
    pub violations: Vec<Violation>,
    /// As it would run; null when it is refused.
    pub sql: Option<String>,
    pub tables: Vec<TableRef>,
    pub columns: Vec<ColumnRef>,
}

/// A user's database, ready to be asked.
#[derive(Clone)]
pub struct Target {
    pub database_id: Uuid,
    pub engine: Arc<dyn SqlEngine>,
    pub schema: Arc<Schema>,
    pub policy: Policy,
    pub caps: Caps,
    pub cost: CostLimits,
    pub journal: Journal,
}

/// What the engine may expect a statement to take, in its own figures.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CostLimits {
    /// Rows that the busiest step of the plan handles.
    pub rows: Option<f64>,
    pub cost: Option<f64>,
}

/// Why a statement that somebody sent was not run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    #[error("the guard refused it")]
    Violations(Vec<Violation>),
    #[error(transparent)]
    NotKept(#[from] NotKept),
}

/// A question, and how sure an answer must be to be run.
#[derive(Debug, Clone)]
pub struct Ask {
    pub question: String,
    pub execute: bool,
    pub min_confidence: f32,
}

/// A model gets the guard's objections this often.
const MAX_REPAIRS: u32 = 2;
/// Choices offered when no draft is sure enough.
const MAX_CHOICES: usize = 3;
/// All drafts together may take as long as one statement: there are at most ten.
const COMPARED_SHARE: u32 = 10;
/// Drafts are compared by this many rows.
const COMPARED_ROWS: usize = 100;
/// Planning a statement takes milliseconds; a plan that takes seconds is trouble of its own.
const EXPLAIN: Duration = Duration::from_secs(5);

/// Answers a question: drafts, proves, and runs the best draft if it is sure enough; else offers choices.
pub async fn ask(target: &Target, language_model: Option<&dyn LanguageModel>, ask: &Ask) -> Result<Query, NotKept> {
    let began = Instant::now();
    let mut query = Query::new(target.database_id, Some(ask.question.clone()));
    let drafted = draft(target, language_model, &ask.question, &mut query).await;
    query.generation_ms = milliseconds(began);
    let Some(best) = drafted.first() else { return Ok(query) };
    query.take(best);
    let sure = best.draft.confidence >= ask.min_confidence;
    if sure && ask.execute {
        query.run(target, Action::Ask, &best.draft.sql, &best.proven).await?;
        return Ok(query);
    }
    target.journal.decided(Decision::allowed(Some(query.id), Action::Ask, &best.draft.sql, &best.proven)).await?;
    if !sure {
        query.choices =
            if ask.execute { choices(target, query.id, &drafted).await? } else { untried_choices(&drafted) };
    }
    Ok(query)
}

/// Proves SQL that somebody sent, then runs it.
pub async fn execute(target: &Target, sql: &str) -> Result<Query, Refusal> {
    let mut query = Query::new(target.database_id, None);
    let proven = match guard::check(sql, &target.schema, &target.policy) {
        Ok(proven) => proven,
        Err(violations) => {
            target.journal.decided(Decision::refused(None, Action::Execute, sql, &violations)).await?;
            return Err(Refusal::Violations(violations));
        }
    };
    query.sql = Some(proven.text().to_owned());
    query.explanation = explain::restate(proven.text(), proven.engine());
    query.validation = Verdict { safe: true, violations: Vec::new() };
    query.confidence = 1.0;
    query.run(target, Action::Execute, sql, &proven).await?;
    match query.validation.safe {
        true => Ok(query),
        false => Err(Refusal::Violations(query.validation.violations)),
    }
}

/// What the guard says of a statement; nothing reaches the database.
pub async fn validate(schema: &Schema, policy: &Policy, journal: &Journal, sql: &str) -> Result<Validation, NotKept> {
    let checked = guard::check(sql, schema, policy);
    let decision = match &checked {
        Ok(proven) => Decision::allowed(None, Action::Validate, sql, proven),
        Err(violations) => Decision::refused(None, Action::Validate, sql, violations),
    };
    journal.decided(decision).await?;
    Ok(match checked {
        Ok(proven) => Validation {
            safe: true,
            violations: Vec::new(),
            sql: Some(proven.text().to_owned()),
            tables: proven.tables().to_vec(),
            columns: proven.columns().to_vec(),
        },
        Err(violations) => Validation { safe: false, violations, sql: None, tables: Vec::new(), columns: Vec::new() },
    })
}

/// A draft that the guard accepted.
struct Proven {
    draft: Draft,
    proven: ReadOnlySql,
    generator: Generator,
}

/// The model's draft where there is a model that can be used, else the builtin generator's, best first. What is missing
/// goes into the query's explanation.
async fn draft(
    target: &Target,
    language_model: Option<&dyn LanguageModel>,
    question: &str,
    query: &mut Query,
) -> Vec<Proven> {
    if let Some(language_model) = language_model {
        match draft_by_model(target, language_model, question, query).await {
            Ok(drafts) if !drafts.is_empty() => return drafts,
            Ok(_) => return Vec::new(),
            Err(error) => query.degraded.push(format!("language_model: {error}")),
        }
    }
    query.attempts += 1;
    match builtin::generate(question, &target.schema) {
        Generated::Drafts(drafts) => prove(target, drafts, Generator::Builtin, query),
        Generated::Declined(missing) => {
            query.explanation = missing;
            Vec::new()
        }
    }
}

/// Hands the guard's objections back to the model, a bounded number of times.
async fn draft_by_model(
    target: &Target,
    language_model: &dyn LanguageModel,
    question: &str,
    query: &mut Query,
) -> Result<Vec<Proven>, ModelError> {
    let mut repair = None;
    loop {
        query.attempts += 1;
        let drafts = match model::generate(question, &target.schema, language_model, repair.as_ref()).await? {
            Generated::Declined(missing) => {
                query.explanation = missing;
                return Ok(Vec::new());
            }
            Generated::Drafts(drafts) => drafts,
        };
        let refused = drafts.first().map(|draft| draft.sql.clone()).unwrap_or_default();
        let proven = prove(target, drafts, Generator::Model, query);
        if !proven.is_empty() || query.attempts > MAX_REPAIRS {
            return Ok(proven);
        }
        let problems = query.validation.violations.iter().map(|violation| violation.detail.clone()).collect();
        repair = Some(model::Repair { sql: refused, problems });
    }
}

/// The drafts that the guard accepts. When it accepts none, the first one's violations go into the query.
fn prove(target: &Target, drafts: Vec<Draft>, generator: Generator, query: &mut Query) -> Vec<Proven> {
    let mut accepted = Vec::new();
    let mut refused: Option<Vec<Violation>> = None;
    for draft in drafts {
        match guard::check(&draft.sql, &target.schema, &target.policy) {
            Ok(proven) => accepted.push(Proven { draft, proven, generator }),
            Err(violations) => {
                // Nothing of it runs, so nobody waits.
                drop(target.journal.tell(Decision::refused(Some(query.id), Action::Ask, &draft.sql, &violations)));
                refused.get_or_insert(violations);
            }
        }
    }
    if accepted.is_empty() {
        let violations = refused.unwrap_or_default();
        query.explanation = "No SQL could be made for this question that is allowed to run.".to_owned();
        query.validation = Verdict { safe: false, violations };
    }
    accepted
}

/// Up to three drafts whose results differ. A draft that cannot be run is no choice.
async fn choices(target: &Target, query_id: Uuid, drafted: &[Proven]) -> Result<Vec<Choice>, NotKept> {
    let caps = Caps { rows: COMPARED_ROWS, deadline: target.caps.deadline / COMPARED_SHARE, ..target.caps };
    let mut seen: Vec<Rows> = Vec::new();
    let mut choices = Vec::new();
    for candidate in drafted {
        let decision = Decision::allowed(Some(query_id), Action::Candidate, &candidate.draft.sql, &candidate.proven);
        let Ok(rows) = target.run(decision, &candidate.proven, &caps).await? else { continue };
        if seen.iter().any(|other| other.rows == rows.rows) {
            continue;
        }
        seen.push(rows);
        choices.push(candidate.choice());
        if choices.len() == MAX_CHOICES {
            break;
        }
    }
    Ok(choices)
}

/// Where nothing may run: the best drafts, which may give the same result.
fn untried_choices(drafted: &[Proven]) -> Vec<Choice> {
    drafted.iter().take(MAX_CHOICES).map(Proven::choice).collect()
}

impl Proven {
    fn choice(&self) -> Choice {
        Choice {
            sql: self.proven.text().to_owned(),
            explanation: self.draft.explanation.clone(),
            confidence: self.draft.confidence,
        }
    }
}

impl Query {
    fn new(database_id: Uuid, question: Option<String>) -> Query {
        Query {
            id: Uuid::now_v7(),
            database_id,
            question,
            sql: None,
            generator: None,
            confidence: 0.0,
            choices: Vec::new(),
            explanation: String::new(),
            assumptions: Vec::new(),
            unused_words: Vec::new(),
            validation: Verdict { safe: false, violations: Vec::new() },
            executed: false,
            result: None,
            error: None,
            attempts: 0,
            generation_ms: 0.0,
            execution_ms: 0.0,
            degraded: Vec::new(),
            created_at: Utc::now(),
        }
    }

    fn take(&mut self, best: &Proven) {
        self.sql = Some(best.proven.text().to_owned());
        self.generator = Some(best.generator);
        self.confidence = best.draft.confidence;
        self.explanation = best.draft.explanation.clone();
        self.assumptions = best.draft.assumptions.clone();
        self.unused_words = best.draft.unused_words.clone();
        self.validation = Verdict { safe: true, violations: Vec::new() };
    }

    async fn run(
        &mut self,
        target: &Target,
        action: Action,
        sql_sent: &str,
        proven: &ReadOnlySql,
    ) -> Result<(), NotKept> {
        let began = Instant::now();
        let decision = Decision::allowed(Some(self.id), action, sql_sent, proven);
        match target.run(decision, proven, &target.caps).await? {
            Ok(rows) => {
                self.executed = true;
                self.result = Some(rows);
            }
            Err(Stopped::TooCostly(violation)) => {
                self.validation = Verdict { safe: false, violations: vec![violation] };
            }
            Err(Stopped::Failed(error)) => self.error = Some(QueryError::from(&error)),
        }
        self.execution_ms = milliseconds(began);
        metrics::histogram!("almanac_sql_seconds").record(began.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Why a statement that the guard let through has no rows.
enum Stopped {
    TooCostly(Violation),
    Failed(EngineError),
}

impl Target {
    /// Runs a statement, once that is written down, unless the engine expects it to take too much.
    async fn run(
        &self,
        decision: Decision,
        proven: &ReadOnlySql,
        caps: &Caps,
    ) -> Result<Result<Rows, Stopped>, NotKept> {
        let mut run = self.journal.begin(decision).await?;
        let ran = async {
            if self.cost != CostLimits::default() {
                run.estimate =
                    self.engine.estimate(proven, EXPLAIN.min(caps.deadline)).await.map_err(Stopped::Failed)?;
            }
            if let Some(violation) = run.estimate.and_then(|estimate| self.cost.over(estimate)) {
                return Err(Stopped::TooCostly(violation));
            }
            self.engine.run(proven, caps).await.map_err(Stopped::Failed)
        };
        let ran = ran.await;
        match &ran {
            Ok(rows) => run.finish(rows),
            Err(Stopped::TooCostly(violation)) => run.refuse(violation.code),
            Err(Stopped::Failed(error)) => run.fail(error.code()),
        }
        Ok(ran)
    }
}

impl CostLimits {
    /// What is wrong with a statement of which this is expected.
    fn over(&self, estimate: Estimate) -> Option<Violation> {
        let exceeds = |figure: Option<f64>, limit: Option<f64>| match (figure, limit) {
            (Some(figure), Some(limit)) if figure > limit => Some((figure, limit)),
            _ => None,
        };
        let detail = match (exceeds(Some(estimate.rows), self.rows), exceeds(estimate.cost, self.cost)) {
            (Some((rows, limit)), _) => format!(
                "The database expects to handle about {rows:.0} rows for it, and at most {limit:.0} are allowed. Join on keys, and narrow down the rows with WHERE."
            ),
            (None, Some((cost, limit))) => format!(
                "The database expects it to cost {cost:.0} of its units, and at most {limit:.0} are allowed. Join on keys, and narrow down the rows with WHERE."
            ),
            (None, None) => return None,
        };
        Some(Violation::too_costly(detail))
    }
}

impl From<&EngineError> for QueryError {
    fn from(error: &EngineError) -> QueryError {
        QueryError { code: error.code().to_owned(), detail: error.to_string() }
    }
}

fn milliseconds(began: Instant) -> f64 {
    (began.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_over_a_limit_in_force_is_too_costly_and_the_figure_is_named() {
        let limits = CostLimits { rows: Some(1_000.0), cost: Some(50.0) };
        let over =
            |limits: CostLimits, rows, cost| limits.over(Estimate { rows, cost }).map(|violation| violation.detail);
        assert_eq!(over(limits, 1_000.0, Some(50.0)), None);
        assert_eq!(over(limits, 999.0, None), None);
        assert_eq!(over(CostLimits::default(), 1e300, Some(1e300)), None);
        let rows = over(limits, 12_345.6, Some(1.0)).unwrap();
        assert!(rows.contains("12346 rows") && rows.contains("at most 1000"), "{rows}");
        let cost = over(limits, 1.0, Some(51.0)).unwrap();
        assert!(cost.contains("cost 51") && cost.contains("at most 50"), "{cost}");
    }
}
