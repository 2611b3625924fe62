//! A question finds chunks, and an answer cites them.
//!
//! [`search()`](search::search) ranks by vector and by BM25 and fuses both. [`answer`] retrieves, looks whether what was found is about
//! the question, writes (with the language model where one is configured, else by extracting the best sentences) and checks
//! what was written. Either way every citation is verbatim at its offsets, and sentences that nothing bears are marked.

mod check;
mod checked;
mod cite;
mod extractive;
mod generate;
mod marks;
mod meaning;
mod numbers;
mod passages;
mod prompt;
pub mod search;
mod sentences;
mod support;
mod table;
mod words;

use std::{sync::Arc, time::Instant};

pub use check::{Reason, Unsupported};
pub use cite::Citation;
use generate::{Generated, NotWritten, Writer};
use search::{SearchError, SearchRequest, SearchResult, query::Query};
use serde::Serialize;
use support::Question;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    models::{LanguageModel, Usage},
    store::{
        search::Filter,
        usage::{ModelCall, ModelCallKind},
    },
};

#[derive(Debug, Clone)]
pub struct AnswerRequest {
    pub question: String,
    pub knowledge_base_ids: Vec<Uuid>,
    pub limit: usize,
    pub filter: Option<Filter>,
    /// Below this support there is no answer, 0 to 1.
    pub min_support: f32,
    /// The key that asks, for the record of what models cost.
    pub key_id: Option<Uuid>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Answer {
    /// Null when nothing relevant was found; `explanation` says so.
    pub answer: Option<String>,
    pub explanation: Option<String>,
    pub citations: Vec<Citation>,
    /// Sentences of the answer that nothing cited bears.
    pub unsupported: Vec<Unsupported>,
    /// How well the best sentence found fits the question, 0 to 1. With a language model, at least this.
    pub support: f32,
    pub mode: AnswerMode,
    /// The language model that wrote it.
    pub model: Option<String>,
    /// What the language model's server counted; null where it does not say, and without one.
    pub usage: Option<Usage>,
    pub took_ms: f64,
    pub degraded: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnswerMode {
    Generated,
    Extractive,
}

/// What answers are written with.
#[derive(Clone)]
pub struct Tools {
    pub search: search::Tools,
    pub language_model: Option<Arc<dyn LanguageModel>>,
    /// Tokens of the language model's window.
    pub llm_context_tokens: usize,
}

/// What happens on the way to an answer, for a caller who watches.
#[derive(Debug, Clone)]
pub enum Progress {
    Retrieved(Vec<SearchResult>),
    Delta(String),
}

/// Answers a question from the documents of workspace `workspace_id`; `watch` hears of each step. Dropping it ends all work
/// on it, and what was not finished is not recorded.
pub async fn answer(
    tools: &Tools,
    workspace_id: Uuid,
    request: &AnswerRequest,
    watch: &mut (dyn FnMut(Progress) + Send),
) -> Result<Answer, SearchError> {
    let began = Instant::now();
    let (results, mut degraded) = retrieve(tools, workspace_id, request).await?;
    watch(Progress::Retrieved(results.clone()));
    let question = Question { workspace_id, text: &request.question };
    let embedders = &tools.search.embedders;

    let passages = passages::merge(passages::whole(&results));
    let mut candidates = support::candidates(question, &passages);
    // Without a model every sentence may become part of the answer.
    let enough = if tools.language_model.is_some() { request.min_support } else { f32::INFINITY };
    support::compare(embedders, question, &mut candidates, enough, &mut degraded).await;
    let support = support::best(&candidates);
    if results.is_empty() || support < request.min_support {
        return Ok(Answer { degraded, ..Answer::nothing(support, began) });
    }

    let generated = generate(tools, question, &results, watch, &mut degraded).await?;
    let mut answer = match generated {
        Some(generated) => {
            record(tools, question, request, generated.usage).await;
            checked(tools, generated, &mut degraded).await
        }
        None => {
            support::compare(embedders, question, &mut candidates, f32::INFINITY, &mut degraded).await;
            let answer = extracted(&candidates);
            watch(Progress::Delta(answer.answer.clone().unwrap_or_default()));
            answer
        }
    };
    cite::find_pages(&tools.search.store, workspace_id, &mut answer.citations).await?;
    metrics::counter!("almanac_answers_total", "mode" => answer.mode.name()).increment(1);
    Ok(Answer { support: support::best(&candidates), took_ms: milliseconds(began), degraded, ..answer })
}

/// The passages an answer may rely on.
async fn retrieve(
    tools: &Tools,
    workspace_id: Uuid,
    request: &AnswerRequest,
) -> Result<(Vec<SearchResult>, Vec<String>), SearchError> {
    let search_request = SearchRequest {
        // A question may hold anything; only a query is refused for its syntax.
        query: Query::parse(&request.question).unwrap_or_else(|_| Query::literal(&request.question)),
        knowledge_base_ids: request.knowledge_base_ids.clone(),
        limit: request.limit,
        filter: request.filter.clone(),
        // Two passages that say the same support no more than one.
        collapse: Some(true),
        explain: true,
        ..SearchRequest::default()
    };
    let found = search::search(&tools.search, workspace_id, &search_request).await?;
    Ok((found.results, found.degraded))
}

/// The language model's text; `None` when there is no model, or it gave nothing and another way can take over.
async fn generate<'a>(
    tools: &Tools,
    question: Question<'_>,
    results: &'a [SearchResult],
    watch: &mut (dyn FnMut(Progress) + Send),
    degraded: &mut Vec<String>,
) -> Result<Option<Generated<'a>>, SearchError> {
    let Some(model) = &tools.language_model else { return Ok(None) };
    let tokenizer = tools.search.embedders.default().tokenizer();
    let writer = Writer { model: &**model, window: tools.llm_context_tokens, tokenizer };
    match generate::write(writer, question.text, results, watch, degraded).await {
        Ok(generated) => Ok(Some(generated)),
        // Half an answer is out already: another one behind it would be neither.
        Err(NotWritten::Half(error)) => Err(SearchError::Model(error)),
        Err(NotWritten::Nothing(error)) => {
            degraded.push(format!("language_model: {error}"));
            Ok(None)
        }
    }
}

/// What the model wrote, with what it cites and where nothing bears it.
async fn checked(tools: &Tools, generated: Generated<'_>, degraded: &mut Vec<String>) -> Answer {
    let embedder = &**tools.search.embedders.default();
    let verdict = check::check(&generated.text, &generated.shown, embedder, degraded).await;
    let explanation = match (generated.text.is_empty(), verdict.citations.is_empty()) {
        (true, _) => Some("The passages that were found do not answer the question.".to_owned()),
        (false, true) => Some("The answer cites no passage: nothing in the documents supports it.".to_owned()),
        (false, false) => None,
    };
    Answer {
        answer: Some(generated.text).filter(|text| !text.is_empty()),
        explanation,
        citations: verdict.citations,
        unsupported: verdict.unsupported,
        model: tools.language_model.as_ref().map(|model| model.name().to_owned()),
        usage: generated.usage,
        ..Answer::empty(AnswerMode::Generated)
    }
}

fn extracted(candidates: &[support::Candidate<'_>]) -> Answer {
    let written = extractive::write(candidates);
    Answer { answer: Some(written.text), citations: written.citations, ..Answer::empty(AnswerMode::Extractive) }
}

/// What cannot be recorded has been answered all the same.
async fn record(tools: &Tools, question: Question<'_>, request: &AnswerRequest, usage: Option<Usage>) {
    let Some(model) = &tools.language_model else { return };
    let call = ModelCall {
        kind: ModelCallKind::Answer,
        model: model.name(),
        prompt_tokens: usage.map(|usage| usage.prompt_tokens),
        completion_tokens: usage.map(|usage| usage.completion_tokens),
        key_id: request.key_id,
    };
    if let Err(error) = tools.search.store.record_model_call(question.workspace_id, &call).await {
        tracing::warn!(%error, "what a model call cost could not be recorded");
    }
}

impl AnswerMode {
    fn name(self) -> &'static str {
        match self {
            AnswerMode::Generated => "generated",
            AnswerMode::Extractive => "extractive",
        }
    }
}

impl Answer {
    fn nothing(support: f32, began: Instant) -> Answer {
        metrics::counter!("almanac_answers_total", "mode" => "none").increment(1);
        Answer {
            explanation: Some("Nothing relevant was found in the documents.".to_owned()),
            support,
            took_ms: milliseconds(began),
            ..Answer::empty(AnswerMode::Extractive)
        }
    }

    fn empty(mode: AnswerMode) -> Answer {
        Answer {
            answer: None,
            explanation: None,
            citations: Vec::new(),
            unsupported: Vec::new(),
            support: 0.0,
            mode,
            model: None,
            usage: None,
            took_ms: 0.0,
            degraded: Vec::new(),
        }
    }
}

fn milliseconds(began: Instant) -> f64 {
    (began.elapsed().as_secs_f64() * 1e6).round() / 1e3
}
