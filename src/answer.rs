//! A question finds chunks, and an answer cites them.
//!
//! [`search()`](search::search) ranks by vector and by BM25 and fuses both. [`answer`] retrieves, then writes: with the language model
//! where one is configured, else by extracting the best sentences. Either way every citation is verbatim at its offsets.

mod cite;
mod extractive;
mod generate;
pub mod search;

use std::{sync::Arc, time::Instant};

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

pub use cite::Citation;
use search::{SearchError, SearchRequest, SearchResult};

use crate::{
    models::{LanguageModel, ModelError},
    store::search::Filter,
};

#[derive(Debug, Clone)]
pub struct AnswerRequest {
    pub question: String,
    pub knowledge_base_ids: Vec<Uuid>,
    pub limit: usize,
    pub filter: Option<Filter>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Answer {
    /// Null when nothing relevant was found; `explanation` says so.
    pub answer: Option<String>,
    pub explanation: Option<String>,
    pub citations: Vec<Citation>,
    pub mode: AnswerMode,
    /// The language model that wrote it.
    pub model: Option<String>,
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
}

/// What happens on the way to an answer, for a caller who watches.
#[derive(Debug, Clone)]
pub enum Progress {
    Retrieved(Vec<SearchResult>),
    Delta(String),
}

/// Answers a question from the documents of workspace `workspace_id`; `watch` hears of each step.
pub async fn answer(
    tools: &Tools,
    workspace_id: Uuid,
    request: &AnswerRequest,
    watch: &mut (dyn FnMut(Progress) + Send),
) -> Result<Answer, SearchError> {
    let began = Instant::now();
    let (passages, mut degraded) = passages(tools, workspace_id, request).await?;
    watch(Progress::Retrieved(passages.clone()));
    let extract =
        extractive::best_sentences(&**tools.search.embedders.default(), &request.question, &passages, &mut degraded)
            .await;
    if !extract.is_relevant() {
        return Ok(Answer::nothing(began, degraded));
    }
    let written = match &tools.language_model {
        Some(model) => generate::write(&**model, &request.question, &passages, watch).await,
        None => Err(generate::NotWritten::Nothing(None)),
    };
    let (written, mode) = match written {
        Ok(written) => (written, AnswerMode::Generated),
        // Half an answer is out already: another one behind it would be neither.
        Err(generate::NotWritten::Half(error)) => return Err(SearchError::Model(error)),
        Err(generate::NotWritten::Nothing(reason)) => {
            degraded.extend(reason.map(|error: ModelError| format!("language_model: {error}")));
            let written = extract.write();
            watch(Progress::Delta(written.text.clone()));
            (written, AnswerMode::Extractive)
        }
    };
    let model = tools.language_model.as_ref().filter(|_| mode == AnswerMode::Generated);
    let model = model.map(|model| model.name().to_owned());
    let explanation = written.explanation();
    let answer = (!written.text.is_empty()).then_some(written.text);
    let took_ms = milliseconds(began);
    Ok(Answer { answer, explanation, citations: written.citations, mode, model, took_ms, degraded })
}

/// The passages an answer may rely on.
async fn passages(
    tools: &Tools,
    workspace_id: Uuid,
    request: &AnswerRequest,
) -> Result<(Vec<SearchResult>, Vec<String>), SearchError> {
    let search_request = SearchRequest {
        query: request.question.clone(),
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

impl Answer {
    fn nothing(began: Instant, degraded: Vec<String>) -> Answer {
        Answer {
            answer: None,
            explanation: Some("Nothing relevant was found in the documents.".to_owned()),
            citations: Vec::new(),
            mode: AnswerMode::Extractive,
            model: None,
            took_ms: milliseconds(began),
            degraded,
        }
    }
}

fn milliseconds(began: Instant) -> f64 {
    (began.elapsed().as_secs_f64() * 1e6).round() / 1e3
}
