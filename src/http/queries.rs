//! `/v1/queries`: what was asked, and what the answers were. A key sees its own, an administrator's key all: answers hold
//! rows that a row filter keeps from other keys.

use axum::{
    Json,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Body, Id, Page, PageParams, Params, default_limit},
    examples::{MAX_QUESTION, MAX_SQL, propose, prove, text},
    problem::Problem,
    session::{CanAsk, Session},
    statements::respond,
};
use crate::{
    app::{App, examples},
    store::{
        examples::{NewExample, Words},
        feedback::{Feedback, NewFeedback, Rating},
        queries::WantedQueries,
    },
    text_to_sql::{Query, generate::example},
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(queries)).routes(routes!(query))
}

/// What an `Idempotency-Key` repeats.
pub fn creating_router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(feedback))
}

/// Characters of a comment, and of what the history is searched by.
const MAX_COMMENT: usize = 4_000;
const MAX_WORDS: usize = 1_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct QueryParams {
    database_id: Option<Uuid>,
    /// Words of the question or of the SQL; "in quotes" together, -without.
    #[param(max_length = 1000)]
    q: Option<String>,
    /// Only the answers that this key was given, whoever asks.
    #[serde(default)]
    mine: bool,
    /// What somebody thought of the answer.
    rating: Option<Rating>,
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: i64,
    cursor: Option<String>,
}

/// List what was asked, without the rows; or search in it
#[utoipa::path(get, path = "/v1/queries", tag = "databases", params(QueryParams),
    responses((status = 200, body = Page<Query>), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn queries(session: Session<CanAsk>, Params(params): Params<QueryParams>) -> Result<Json<Page<Query>>, Problem> {
    let page = PageParams { limit: params.limit, cursor: params.cursor };
    let words = params.q.as_deref().map(|words| text("?q", words, MAX_WORDS)).transpose()?;
    let own = Some(session.caller.key_id).filter(|_| params.mine);
    let key_id = own.or_else(|| session.only_own());
    let wanted = WantedQueries { database_id: params.database_id, key_id, words, rating: params.rating };
    let rows = session.workspace().await?.queries(&wanted, page.after()?, page.rows()?).await?;
    let queries = rows
        .into_iter()
        .map(|(_, answer)| serde_json::from_value(answer))
        .collect::<Result<Vec<Query>, _>>()
        .map_err(Problem::internal)?;
    Ok(page.page(queries, |query| query.id.to_string()))
}

/// Read an answer again
#[utoipa::path(get, path = "/v1/queries/{id}", tag = "databases", params(("id" = Uuid, Path)),
    responses((status = 200, content((Query = "application/json"), (String = "text/csv"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn query(session: Session<CanAsk>, Id(id): Id, headers: HeaderMap) -> Result<Response, Problem> {
    let (mut answer, result) = session.workspace().await?.query(id, session.only_own()).await?;
    answer["result"] = result;
    let query: Query = serde_json::from_value(answer).map_err(Problem::internal)?;
    Ok(respond(query, &headers))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FeedbackBody {
    rating: Rating,
    #[schema(max_length = 4000)]
    comment: Option<String>,
    /// What should have been run; it must pass validation.
    #[schema(max_length = 20000)]
    corrected_sql: Option<String>,
}

/// Say whether an answer was right, and what would have been
///
/// A confirmed answer to a question, or a corrected one, is proposed as an example: it answers questions once whoever may
/// write approves it.
#[utoipa::path(post, path = "/v1/queries/{id}/feedback", tag = "databases", params(("id" = Uuid, Path)),
    request_body = FeedbackBody,
    responses((status = 201, body = Feedback), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn feedback(
    session: Session<CanAsk>,
    Id(id): Id,
    Body(body): Body<FeedbackBody>,
) -> Result<(StatusCode, Json<Feedback>), Problem> {
    let comment = body.comment.as_deref().map(|comment| text("/comment", comment, MAX_COMMENT)).transpose()?;
    let corrected = body.corrected_sql.as_deref().map(|sql| text("/corrected_sql", sql, MAX_SQL)).transpose()?;
    let mut workspace = session.workspace().await?;
    let (answer, _) = workspace.query(id, session.only_own()).await?;
    let answer: Query = serde_json::from_value(answer).map_err(Problem::internal)?;
    let database = workspace.database(answer.database_id).await?;
    if let Some(sql) = corrected {
        prove(&session.app, &mut workspace, &database, sql).await?;
    }
    // Embedding may wait for a model: no connection waits with it.
    workspace.commit().await?;
    let proposed = proposal(&answer, body.rating, corrected)
        .filter(|(question, sql)| !example::freezes(question, sql, database.engine));
    let words = match proposed {
        Some((question, _)) => examples::words(&session, session.workspace_id(), question).await,
        None => Words::default(),
    };
    let mut workspace = session.workspace().await?;
    let key_id = session.caller.key_id;
    let mut example_id = None;
    if let Some((question, sql)) = proposed {
        let (database_id, query_id) = (answer.database_id, Some(id));
        let new = NewExample { database_id, question, sql, query_id, key_id, words: &words };
        example_id = propose(&mut workspace, &new).await?;
    } else if let Some(question) = answer.whole_question() {
        // Who thinks otherwise now does not stand for the proposal any more.
        workspace.withdraw_proposal(answer.database_id, question, key_id).await?;
    }
    let new = NewFeedback { query_id: id, key_id, rating: body.rating, comment, corrected_sql: corrected, example_id };
    let feedback = workspace.save_feedback(&new).await?;
    workspace.commit().await?;
    Ok((StatusCode::CREATED, Json(feedback)))
}

/// The question and the SQL that the feedback stands for, where there are both.
fn proposal<'a>(answer: &'a Query, rating: Rating, corrected: Option<&'a str>) -> Option<(&'a str, &'a str)> {
    let question = answer.whole_question()?;
    let confirmed = answer.drafted_sql.as_deref().filter(|_| rating == Rating::Up);
    let sql = corrected.or(confirmed)?;
    (question.chars().count() <= MAX_QUESTION && sql.chars().count() <= MAX_SQL).then_some((question, sql))
}
