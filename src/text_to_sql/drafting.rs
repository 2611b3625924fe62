//! Drafts for a question, from the generators in their order: a verified example that is the same question, the language
//! model where there is one, the builtin generator. Each is proven; where they may run, they are told apart by what they
//! return.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::generate::{Draft, Generated, builtin, example, model};
use super::guard::{self, ReadOnlySql, Violation};
use super::journal::{Action, Decision, NotKept};
use super::query::{Choice, Generator, Query, Verdict};
use super::run::{Caps, Rows};
use super::{Ask, Stopped, Target};
use crate::models::{LanguageModel, ModelError};

/// A draft that the guard accepted.
pub struct Proven {
    pub draft: Draft,
    pub proven: ReadOnlySql,
    pub generator: Generator,
    pub example_id: Option<Uuid>,
    /// Nothing where it was not tried.
    pub tried: Option<Tried>,
}

/// What came of running a draft under a small cap.
pub enum Tried {
    Rows(Rows),
    /// In words that a language model can mend it by.
    Failed(String),
}

/// A model gets the guard's objections this often.
const MAX_REPAIRS: u32 = 2;
/// All drafts together may take this share of what one statement may take, and each of them a third of that.
const COMPARED_SHARE: u32 = 3;
/// Drafts are compared by this many rows.
const COMPARED_ROWS: usize = 100;

/// The drafts that the guard accepts, best first. What is missing goes into the query's explanation.
pub async fn draft(
    target: &Target,
    language_model: Option<&dyn LanguageModel>,
    ask: &Ask,
    query: &mut Query,
) -> Result<Vec<Proven>, NotKept> {
    if let Some(known) = from_examples(target, ask, query) {
        return Ok(vec![known]);
    }
    if let Some(language_model) = language_model {
        query.model = Some(language_model.name().to_owned());
        match from_model(target, language_model, ask, query).await {
            Ok(drafts) => return Ok(drafts),
            Err(error) => query.degraded.push(format!("language_model: {error}")),
        }
    }
    from_rules(target, ask, query).await
}

/// The example that is the same question, if the guard lets this caller run it.
fn from_examples(target: &Target, ask: &Ask, query: &mut Query) -> Option<Proven> {
    let question = ask.whole_question();
    ask.examples.iter().find_map(|known| {
        let draft = example::reuse(question, known, &target.schema)?;
        query.attempts += 1;
        let proven = prove(target, vec![draft], Generator::Example, query).into_iter().next()?;
        Some(Proven { example_id: Some(known.id), ..proven })
    })
}

/// The builtin generator's drafts, and examples that are alike.
async fn from_rules(target: &Target, ask: &Ask, query: &mut Query) -> Result<Vec<Proven>, NotKept> {
    query.attempts += 1;
    let drafted = match builtin::generate(ask.whole_question(), target.known.catalog(), today()) {
        Generated::Drafts(drafts) => prove(target, drafts, Generator::Builtin, query),
        Generated::Declined(missing) => {
            query.explanation = missing;
            Vec::new()
        }
    };
    let mut drafted = drafted;
    if ask.execute {
        try_out(target, query.id, &mut drafted).await?;
    }
    Ok(drafted)
}

/// Hands the guard's objections back to the model, a bounded number of times.
async fn from_model(
    target: &Target,
    language_model: &dyn LanguageModel,
    ask: &Ask,
    query: &mut Query,
) -> Result<Vec<Proven>, ModelError> {
    let mut repair = None;
    loop {
        query.attempts += 1;
        let question = ask.whole_question();
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
            Ok(proven) => accepted.push(Proven { draft, proven, generator, example_id: None, tried: None }),
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

/// The drafts whose results differ, as far as they were tried. One that cannot be run is no choice.
pub fn different(drafted: &[Proven]) -> impl Iterator<Item = &Proven> {
    let mut seen: Vec<&Rows> = Vec::new();
    drafted.iter().filter(move |candidate| match &candidate.tried {
        None => true,
        Some(Tried::Failed(_)) => false,
        Some(Tried::Rows(rows)) => {
            let new = seen.iter().all(|other| other.rows != rows.rows);
            seen.push(rows);
            new
        }
    })
}

impl Proven {
    pub fn choice(&self) -> Choice {
        Choice {
            sql: self.proven.text().to_owned(),
            explanation: self.draft.explanation.clone(),
            confidence: self.draft.confidence,
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
