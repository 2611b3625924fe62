//! Drafts for a question, from the generators in their order: a verified example that is the same question, the language
//! model where there is one, the builtin generator. Each is proven; where they may run, they are told apart by what they
//! return.

mod by_model;
mod by_rules;

use std::time::{Duration, Instant};

use chrono::{NaiveDate, Utc};
use uuid::Uuid;

use super::generate::{Draft, example};
use super::guard::{self, ReadOnlySql, Violation};
use super::journal::{Action, Decision, NotKept};
use super::query::{Choice, Generator, Query, Verdict};
use super::run::{Caps, Rows};
use super::{Ask, Modelling, Stopped, Target};

/// A draft that the guard accepted.
pub struct Proven {
    pub draft: Draft,
    pub proven: ReadOnlySql,
    pub generator: Generator,
    pub example_id: Option<Uuid>,
    /// Nothing where it was not tried.
    tried: Option<Tried>,
}

/// What came of running a draft under a small cap.
enum Tried {
    Rows(Rows),
    /// In words that a language model can mend it by.
    Failed(String),
}

/// All drafts together may take this share of what one statement may take, and each of them that share of it again.
const COMPARED_SHARE: u32 = 3;
/// Drafts are compared by this many rows.
const COMPARED_ROWS: usize = 100;

/// The drafts that the guard accepts, best first. What is missing goes into the query's explanation.
pub async fn draft(
    target: &Target,
    modelling: Option<&Modelling>,
    ask: &Ask,
    query: &mut Query,
) -> Result<Vec<Proven>, NotKept> {
    if let Some(known) = by_example(target, ask, query) {
        return Ok(vec![known]);
    }
    if let Some(modelling) = modelling {
        query.model = Some(modelling.language_model.name().to_owned());
        match by_model::draft(target, modelling, ask, query).await? {
            Ok(drafts) => return Ok(drafts),
            Err(error) => query.degraded.push(format!("language_model: {error}")),
        }
    }
    by_rules::draft(target, ask, query).await
}

/// The example that is the same question, if the guard lets this caller run it.
fn by_example(target: &Target, ask: &Ask, query: &mut Query) -> Option<Proven> {
    ask.examples.iter().find_map(|known| {
        let draft = example::reuse(ask.whole_question(), known, &target.known.schema)?;
        query.attempts += 1;
        let proven = prove_one(target, draft, Generator::Example, query).ok()?;
        Some(Proven { example_id: Some(known.id), ..proven })
    })
}

/// The drafts that the guard accepts. When it accepts none, the first one's violations go into the query.
fn prove(target: &Target, drafts: Vec<Draft>, generator: Generator, query: &mut Query) -> Vec<Proven> {
    let mut accepted = Vec::new();
    let mut refused = None;
    for draft in drafts {
        match prove_one(target, draft, generator, query) {
            Ok(proven) => accepted.push(proven),
            Err(violations) => refused = refused.or(Some(violations)),
        }
    }
    if accepted.is_empty() {
        query.explanation = "No SQL could be made for this question that is allowed to run.".to_owned();
        query.validation = Verdict { safe: false, violations: refused.unwrap_or_default() };
    }
    accepted
}

fn prove_one(target: &Target, draft: Draft, generator: Generator, query: &Query) -> Result<Proven, Vec<Violation>> {
    match guard::check(&draft.sql, &target.known.schema, &target.policy) {
        Ok(proven) => Ok(Proven { draft, proven, generator, example_id: None, tried: None }),
        Err(violations) => {
            // Nothing of it runs, so nobody waits.
            drop(target.journal.tell(Decision::refused(Some(query.id), Action::Ask, &draft.sql, &violations)));
            Err(violations)
        }
    }
}

/// Runs drafts under a small cap, best first, until the time for all of them is over.
async fn try_out(target: &Target, query_id: Uuid, drafted: &mut [Proven]) -> Result<(), NotKept> {
    let all = target.caps.deadline / COMPARED_SHARE;
    let until = Instant::now() + all;
    for candidate in drafted {
        let left = until.saturating_duration_since(Instant::now());
        if left == Duration::ZERO {
            break;
        }
        let caps = Caps { rows: COMPARED_ROWS, deadline: left.min(all / COMPARED_SHARE), ..target.caps };
        let decision = Decision::allowed(Some(query_id), Action::Candidate, &candidate.draft.sql, &candidate.proven);
        candidate.tried = Some(match target.run(decision, &candidate.proven, &caps).await? {
            Ok(rows) => Tried::Rows(rows),
            Err(Stopped::Failed(error)) => Tried::Failed(error.to_string()),
            Err(Stopped::TooCostly(violation)) => Tried::Failed(violation.detail),
        });
    }
    Ok(())
}

/// The drafts whose results differ. One that cannot be run is no choice, nor is one that was not tried where others were.
pub fn different(drafted: &[Proven]) -> impl Iterator<Item = &Proven> {
    let mut seen: Vec<&Rows> = Vec::new();
    let untried = drafted.iter().all(|candidate| candidate.tried.is_none());
    drafted.iter().filter(move |candidate| match &candidate.tried {
        None => untried,
        Some(Tried::Failed(_)) => false,
        Some(Tried::Rows(rows)) => {
            let new = seen.iter().all(|other| other.rows != rows.rows);
            seen.push(rows);
            new
        }
    })
}

/// In UTC, like every time of ours.
fn today() -> NaiveDate {
    Utc::now().date_naive()
}

impl Proven {
    pub fn choice(&self) -> Choice {
        Choice {
            sql: self.proven.text().to_owned(),
            explanation: self.draft.explanation.clone(),
            confidence: self.draft.confidence,
        }
    }

    fn rows(&self) -> Option<&Rows> {
        match &self.tried {
            Some(Tried::Rows(rows)) => Some(rows),
            _ => None,
        }
    }

    fn failure(&self) -> Option<&str> {
        match &self.tried {
            Some(Tried::Failed(words)) => Some(words),
            _ => None,
        }
    }
}

impl Ask {
    /// The question, with what it means after the one before.
    pub fn whole_question(&self) -> &str {
        let read_as = self.previous.as_ref().and_then(|previous| previous.read_as.as_deref());
        read_as.unwrap_or(&self.question)
    }
}
