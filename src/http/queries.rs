//! `/v1/queries`: what was asked, and what the answers were. A key sees its own, an administrator's key all: answers hold
//! rows that a row filter keeps from other keys.

use axum::{Json, http::HeaderMap, response::Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Id, Page, PageParams, Params, default_limit},
    problem::Problem,
    session::{CanAsk, Session},
    statements::respond,
};
use crate::{app::App, text_to_sql::Query};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(queries)).routes(routes!(query))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct QueryParams {
    database_id: Option<Uuid>,
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: i64,
    cursor: Option<String>,
}

/// List what was asked, without the rows
#[utoipa::path(get, path = "/v1/queries", tag = "databases", params(QueryParams),
    responses((status = 200, body = Page<Query>), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn queries(session: Session<CanAsk>, Params(params): Params<QueryParams>) -> Result<Json<Page<Query>>, Problem> {
    let page = PageParams { limit: params.limit, cursor: params.cursor };
    let reader = session.only_own();
    let rows = session.workspace().await?.queries(reader, params.database_id, page.after()?, page.rows()?).await?;
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
