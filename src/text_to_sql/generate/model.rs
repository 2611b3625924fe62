//! The generator that asks a language model: the part of the schema that a question is about goes into a prompt, drafts
//! come out.
//!
//! Everything in the prompt that came from data (names, descriptions, values, the question, refused SQL) stands between
//! fences, on lines of its own. Hidden tables and columns never appear, nor do the values of masked columns. Prompt and
//! answer together stay within the model's window. The answer is not trusted with anything: whatever comes back is one
//! statement of text that the guard checks. Asking again with what was wrong, running and choosing are the caller's.

mod answer;
mod describe;
mod fence;
mod prompt;
mod statements;
mod tables;

use std::time::{Duration, Instant};

use chrono::NaiveDate;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::timeout;

pub use describe::{ColumnDraft, Described, TableDraft, describe};

use super::{Draft, Features};
use crate::models::{Completion, LanguageModel, ModelError, Prompt, Usage};
use crate::text_to_sql::explain::restate;
use crate::text_to_sql::link::catalog::Catalog;
use crate::text_to_sql::link::relevant::Relevance;
use crate::text_to_sql::schema::{Engine, Schema};

/// What a first draft is worth before the guard has seen it; not measured, set to run by default.
const FIRST_CONFIDENCE: f32 = 0.8;
/// What a repaired one is worth: the model has been wrong once.
const REPAIRED_CONFIDENCE: f32 = 0.78;
/// Answers asked for at once.
pub const MAX_CANDIDATES: usize = 8;
/// Of all answers but the first: enough for them to differ where the model is unsure.
const SAMPLED_TEMPERATURE: f32 = 0.7;
/// Once an answer is there, the others get as long again, and this.
const GRACE: Duration = Duration::from_secs(2);

/// What a prompt is made of.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub schema: &'a Schema,
    /// Made of the schema.
    pub relevance: &'a Relevance,
    /// Made of the schema too: it knows values that the question misspells.
    pub catalog: &'a Catalog,
    pub question: &'a str,
    pub today: NaiveDate,
    /// As people call it: `UTC`, `Europe/Berlin`.
    pub time_zone: &'a str,
    /// Verified questions and their SQL, the nearest first, all of which the guard accepts.
    pub examples: &'a [(String, String)],
    /// The question that this one may continue, and its SQL.
    pub previous: Option<(&'a str, &'a str)>,
    /// Another generator's SQL: its tables and columns are shown, it is not.
    pub draft: Option<&'a str>,
    /// The model's window, prompt and answer together.
    pub window_tokens: usize,
}

/// SQL that the guard or the engine refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    pub sql: String,
    pub problems: Vec<String>,
}

/// What came of a prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// Distinct statements, the most frequent first, the surest of equals first.
    pub drafts: Vec<Voted>,
    /// Where there are none: the sentence with which the model declined, or what is wrong with its answer.
    pub missing: Option<Missing>,
    /// Of all answers that came in time.
    pub usage: Option<Usage>,
}

/// A draft, and how many answers it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Voted {
    pub draft: Draft,
    pub votes: usize,
}

/// Why there is no draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The schema does not answer the question, in the model's words.
    Declined(String),
    /// The answer holds no query, or several; worth another try with [`Repair`].
    Unreadable(Repair),
}

/// Up to `candidates` drafts by `deadline`, asked for at once. Fails only where no answer came at all.
pub async fn generate(
    context: &Context<'_>,
    language_model: &dyn LanguageModel,
    candidates: usize,
    repair: Option<&Repair>,
    deadline: Instant,
) -> Result<Answers, ModelError> {
    if context.schema.visible_tables().next().is_none() {
        let missing = "The database has no tables that questions may use.".to_owned();
        return Ok(Answers { missing: Some(Missing::Declined(missing)), ..Answers::default() });
    }
    let candidates = candidates.clamp(1, MAX_CANDIDATES);
    let completions = match ask(context, language_model, candidates, repair, deadline).await {
        // A server counts in tokens of its own, or gives the model less than it says.
        Err(ModelError::Shorten(_)) => {
            let less = Context { window_tokens: context.window_tokens / 2, ..*context };
            ask(&less, language_model, candidates, repair, deadline).await?
        }
        other => other?,
    };
    let confidence = if repair.is_some() { REPAIRED_CONFIDENCE } else { FIRST_CONFIDENCE };
    Ok(count(&completions, context.schema.engine, confidence))
}

async fn ask(
    context: &Context<'_>,
    language_model: &dyn LanguageModel,
    candidates: usize,
    repair: Option<&Repair>,
    deadline: Instant,
) -> Result<Vec<Completion>, ModelError> {
    let mark = fence::draw_mark().map_err(|error| ModelError::GiveUp(error.to_string()))?;
    let prompt = prompt::prompt(&mark, context, repair, left(deadline)?);
    complete(language_model, &prompt, candidates).await
}

fn left(deadline: Instant) -> Result<Duration, ModelError> {
    let left = deadline.saturating_duration_since(Instant::now());
    let none = || ModelError::Timeout("no time was left to ask".to_owned());
    (!left.is_zero()).then_some(left).ok_or_else(none)
}

/// The answers in the order of asking: the likeliest one, and others that may differ. Servers count their candidates in
/// ways of their own (`n` is refused by some and ignored by others), so each is a request.
async fn complete(
    language_model: &dyn LanguageModel,
    prompt: &Prompt,
    candidates: usize,
) -> Result<Vec<Completion>, ModelError> {
    let prompts: Vec<Prompt> = (0..candidates)
        .map(|at| Prompt { temperature: if at == 0 { 0.0 } else { SAMPLED_TEMPERATURE }, ..prompt.clone() })
        .collect();
    let asked =
        prompts.iter().enumerate().map(|(at, prompt)| async move { (at, language_model.complete(prompt).await) });
    let mut answers: FuturesUnordered<_> = asked.collect();
    let began = Instant::now();
    let (mut completions, mut failures) = (Vec::new(), Vec::new());
    let mut patience = prompt.deadline;
    while let Ok(Some((at, answer))) = timeout(patience.saturating_sub(began.elapsed()), answers.next()).await {
        match answer {
            Ok(completion) => {
                patience = patience.min(2 * began.elapsed() + GRACE);
                completions.push((at, completion));
            }
            Err(error) => failures.push((at, error)),
        }
    }
    completions.sort_by_key(|(at, _)| *at);
    failures.sort_by_key(|(at, _)| *at);
    match failures.into_iter().next() {
        _ if !completions.is_empty() => Ok(completions.into_iter().map(|(_, completion)| completion).collect()),
        Some((_, error)) => Err(error),
        None => Err(ModelError::Timeout("no answer by the deadline".to_owned())),
    }
}

/// Reads the answers and counts equal ones. Where more of them decline than agree on anything, nobody knows.
fn count(completions: &[Completion], engine: Engine, confidence: f32) -> Answers {
    let mut answers =
        Answers { usage: Usage::sum(completions.iter().map(|completion| completion.usage)), ..Answers::default() };
    let (mut declined, mut unreadable) = (Vec::new(), Vec::new());
    for completion in completions {
        match answer::read(&completion.text, completion.cut, engine) {
            Ok(answer::Read { sql: Some(sql), explanation }) => answers.take(sql, explanation, engine, confidence),
            Ok(answer::Read { sql: None, explanation }) => declined.push(explanation),
            Err(problem) => {
                unreadable.push(Repair { sql: completion.text.clone(), problems: vec![problem.to_owned()] })
            }
        }
    }
    answers.drafts.sort_by_key(|voted| std::cmp::Reverse(voted.votes));
    let most = answers.drafts.first().map_or(0, |voted| voted.votes);
    if declined.len() > most {
        answers.drafts.clear();
    }
    if answers.drafts.is_empty() {
        let words = || "The language model found no answer in this schema.".to_owned();
        answers.missing = match (declined.into_iter().next(), unreadable.into_iter().next()) {
            (Some(explanation), _) => Some(Missing::Declined(explanation.unwrap_or_else(words))),
            (None, unreadable) => unreadable.map(Missing::Unreadable),
        };
    }
    answers
}

impl Answers {
    fn take(&mut self, sql: String, explanation: Option<String>, engine: Engine, confidence: f32) {
        let same = |voted: &&mut Voted| voted.draft.sql.split_whitespace().eq(sql.split_whitespace());
        if let Some(known) = self.drafts.iter_mut().find(same) {
            known.votes += 1;
            return;
        }
        let draft = Draft {
            explanation: restate(&sql, engine),
            sql,
            confidence,
            assumptions: explanation.into_iter().collect(),
            unused_words: Vec::new(),
            clarification: None,
            features: Features::default(),
        };
        self.drafts.push(Voted { draft, votes: 1 });
    }
}

#[cfg(test)]
mod tests;
