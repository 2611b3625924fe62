//! Questions to a database: what a question means after the one before, which examples are like it, who drafts; and the
//! answer, which goes into the history.

use axum::{http::HeaderMap, response::Response};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Body, Id, check_share},
    problem::Problem,
    session::{CanAsk, Session},
    statements::{keep, respond, target},
};
use crate::{
    app::{App, examples},
    store::usage::ModelCallKind,
    text_to_sql::{self, Ask, Modelling, Previous, Query, Target, follow_up, generate::example::Example},
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(ask))
}

const MAX_QUESTION: usize = 10_000;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AskBody {
    #[schema(min_length = 1, max_length = 10000)]
    question: String,
    execute: Option<bool>,
    /// Rows to return.
    #[schema(minimum = 1, maximum = 10000, default = 1000)]
    limit: Option<usize>,
    /// Below it nothing runs, and `choices` offers up to three; 0: always the best guess.
    #[schema(minimum = 0, maximum = 1)]
    min_confidence: Option<f32>,
    /// The answer that this question goes on from: "and by month?". Of this database, and the same key's.
    previous_query_id: Option<Uuid>,
}

/// Ask a question
#[utoipa::path(post, path = "/v1/databases/{id}/ask", tag = "databases", params(("id" = Uuid, Path)), request_body = AskBody,
    responses((status = 200, content((Query = "application/json"), (String = "text/csv"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn ask(
    session: Session<CanAsk>,
    Id(id): Id,
    headers: HeaderMap,
    Body(body): Body<AskBody>,
) -> Result<Response, Problem> {
    let question = body.question.trim().replace('\0', " ");
    if question.is_empty() || question.chars().count() > MAX_QUESTION {
        return Err(Problem::invalid("/question", format!("must be 1 to {MAX_QUESTION} characters")));
    }
    let min_confidence = check_share("/min_confidence", body.min_confidence)?.unwrap_or(session.config.min_confidence);
    let target = target(&session, id, body.limit).await?;
    let previous = match body.previous_query_id {
        Some(previous) => Some(previous_answer(&session, &target, previous, &question).await?),
        None => None,
    };
    let mut ask =
        Ask { question, previous, examples: Vec::new(), execute: body.execute.unwrap_or(true), min_confidence };
    ask.examples = near_examples(&session, id, ask.whole_question()).await?;
    let query = text_to_sql::ask(&target, modelling(&session).as_ref(), &ask).await?;
    if let Some(model) = &query.model {
        session.count_model_call(&session.caller, ModelCallKind::Question, model, query.usage).await;
    }
    keep(&session, &query).await;
    Ok(respond(query, &headers))
}

fn modelling(session: &Session<CanAsk>) -> Option<Modelling> {
    let language_model = session.language_model.clone()?;
    let (window, candidates) = (session.config.llm_context_tokens, session.config.llm_candidates);
    Some(Modelling { language_model, window, candidates, deadline: session.config.llm_deadline })
}

/// The answer that a question goes on from, and what it means after that.
async fn previous_answer(
    session: &Session<CanAsk>,
    target: &Target,
    id: Uuid,
    question: &str,
) -> Result<Previous, Problem> {
    let (answer, _) = session.workspace().await?.query(id, session.only_own()).await?;
    let answer: Query = serde_json::from_value(answer).map_err(Problem::internal)?;
    if answer.database_id != target.database_id {
        return Err(Problem::invalid("/previous_query_id", "is a query of another database"));
    }
    let before = answer.whole_question().unwrap_or_default().to_owned();
    let read_as = follow_up::read(&before, question, target.known.catalog());
    Ok(Previous { id, question: before, sql: answer.drafted_sql, read_as })
}

/// Verified examples that are like a question. Most databases have none, and cost nothing.
async fn near_examples(session: &Session<CanAsk>, id: Uuid, question: &str) -> Result<Vec<Example>, Problem> {
    if !session.workspace().await?.has_examples(id).await? {
        return Ok(Vec::new());
    }
    let words = examples::words(session, session.workspace_id(), question).await;
    Ok(examples::near(&mut session.workspace().await?, id, &words).await?)
}
