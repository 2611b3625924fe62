//! From a question to SQL that is proven read-only, its rows, and what it means in plain words.
//!
//! [`ask`] takes drafts from the generators ([`drafting`]); every draft goes through the [`guard`], and only what it
//! returns can be run, once the decision is in the [`journal`] and if the engine does not expect too much of it. Where no
//! draft is sure enough it offers those that differ in result; a question that the schema cannot answer is declined.

mod chart;
mod drafting;
pub mod engine;
pub mod explain;
pub mod follow_up;
pub mod generate;
pub mod guard;
pub mod introspect;
pub mod journal;
mod known;
pub mod link;
mod lint;
mod nearest;
mod query;
pub mod run;
pub mod schema;
pub mod terms;
mod vote;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use drafting::Proven;
use engine::{EngineError, Estimate, SqlEngine};
use generate::example::Example;
use guard::{ColumnRef, Policy, ReadOnlySql, TableRef, Violation};
use journal::{Action, Decision, Journal, NotKept};
pub use known::KnownSchema;
use lint::{Lint, LintCode};
pub use query::{Choice, Generator, Query, QueryError, Verdict};
use run::{Caps, Rows};
use schema::Schema;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::models::LanguageModel;

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
    pub known: Arc<KnownSchema>,
    /// Counts the changes of the schema.
    pub schema_version: i64,
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

/// A language model, and how it is asked.
#[derive(Clone)]
pub struct Modelling {
    pub language_model: Arc<dyn LanguageModel>,
    /// Prompt and answer together, in tokens.
    pub window: usize,
    /// Answers asked for at once.
    pub candidates: usize,
    /// For all drafts together, repairs included.
    pub deadline: Duration,
}

/// A question, and how sure an answer must be to be run.
#[derive(Debug, Clone)]
pub struct Ask {
    pub question: String,
    /// The question that it goes on from.
    pub previous: Option<Previous>,
    /// Verified examples whose questions are like it, most alike first.
    pub examples: Vec<Example>,
    pub execute: bool,
    pub min_confidence: f32,
}

/// A question that was answered before, and what the next one means after it.
#[derive(Debug, Clone)]
pub struct Previous {
    pub id: Uuid,
    pub question: String,
    pub sql: Option<String>,
    /// Nothing where the next question stands by itself.
    pub read_as: Option<String>,
}

/// Choices offered when no draft is sure enough.
const MAX_CHOICES: usize = 3;
/// Other readings offered beside an answer.
const MAX_ALTERNATIVES: usize = 2;
/// Beside a sure answer, less likely readings are noise.
const MIN_ALTERNATIVE: f32 = 0.05;
/// Planning a statement takes milliseconds; a plan that takes seconds is trouble of its own.
const EXPLAIN: Duration = Duration::from_secs(5);

/// Answers a question: drafts, proves, and runs the best draft if it is sure enough; else offers choices.
pub async fn ask(target: &Target, modelling: Option<&Modelling>, ask: &Ask) -> Result<Query, NotKept> {
    let began = Instant::now();
    let mut query = Query::asked(target, ask);
    let drafted = drafting::draft(target, modelling, ask, &mut query).await?;
    query.generation_ms = milliseconds(began);
    let Some(best) = drafted.first() else { return Ok(query) };
    let sure = best.draft.confidence >= ask.min_confidence;
    query.take(best);
    query.offer(&drafted, sure);
    if sure && ask.execute {
        query.run(target, Action::Ask, &best.draft.sql, &best.proven).await?;
    } else {
        target.journal.decided(Decision::allowed(Some(query.id), Action::Ask, &best.draft.sql, &best.proven)).await?;
    }
    query.remark(target, &best.draft.sql);
    Ok(query)
}

/// Proves SQL that somebody sent, then runs it.
pub async fn execute(target: &Target, sql: &str) -> Result<Query, Refusal> {
    let mut query = Query::new(target, None);
    let proven = match guard::check(sql, &target.known.schema, &target.policy) {
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
    query.remark(target, sql);
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

impl Query {
    fn asked(target: &Target, ask: &Ask) -> Query {
        Query {
            read_as: ask.previous.as_ref().and_then(|previous| previous.read_as.clone()),
            previous_query_id: ask.previous.as_ref().map(|previous| previous.id),
            min_confidence: Some(ask.min_confidence),
            ..Query::new(target, Some(ask.question.clone()))
        }
    }

    fn take(&mut self, best: &Proven) {
        self.sql = Some(best.proven.text().to_owned());
        self.drafted_sql = Some(best.draft.sql.clone());
        self.generator = Some(best.generator);
        self.example_id = best.example_id;
        self.confidence = best.draft.confidence;
        self.explanation = best.draft.explanation.clone();
        self.assumptions = best.draft.assumptions.clone();
        self.unused_words = best.draft.unused_words.clone();
        self.validation = Verdict { safe: true, violations: Vec::new() };
    }

    /// Drafts that differ in result, as far as that is known: beside an answer or in its place.
    fn offer(&mut self, drafted: &[Proven], sure: bool) {
        let mut different = drafting::different(drafted);
        if sure {
            let others = different.filter(|other| {
                other.proven.text() != drafted[0].proven.text() && other.draft.confidence >= MIN_ALTERNATIVE
            });
            self.alternatives = others.take(MAX_ALTERNATIVES).map(Proven::choice).collect();
        } else {
            self.choices = different.by_ref().take(MAX_CHOICES).map(Proven::choice).collect();
            self.clarification = drafted.iter().find_map(|other| other.draft.clarification.clone());
        }
    }

    /// What to beware of: traps in the statement as its author wrote it, and texts that nothing was found by.
    fn remark(&mut self, target: &Target, sql: &str) {
        let schema = &target.known.schema;
        self.lints = lint::lints(sql, schema);
        if !self.result.as_ref().is_some_and(Rows::says_nothing) {
            return;
        }
        let nearest = nearest::nearest(sql, schema);
        let unknown = |detail| Lint { code: LintCode::UnknownValue, detail };
        self.lints.extend(nearest.notes.into_iter().map(unknown));
        let mended = nearest.suggestion.and_then(|sql| guard::check(&sql, schema, &target.policy).ok());
        self.alternatives.splice(0..0, mended.map(|mended| Choice::mended(&mended, self.confidence)));
        self.alternatives.truncate(MAX_ALTERNATIVES);
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
                self.chart = chart::chart(&rows);
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
