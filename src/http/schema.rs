//! What is in a database.

use axum::Json;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    body::Id,
    problem::Problem,
    session::{CanRead, Session},
};
use crate::{app::App, text_to_sql::schema::Schema};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(schema))
}

/// The schema as it was found, with what people said about it
#[utoipa::path(get, path = "/v1/databases/{id}/schema", tag = "databases", params(("id" = Uuid, Path)),
    responses((status = 200, body = Schema), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn schema(session: Session<CanRead>, Id(id): Id) -> Result<Json<Schema>, Problem> {
    let mut workspace = session.workspace().await?;
    let database = workspace.database(id).await?;
    let schema = workspace.schema(&database).await?.for_reading();
    Ok(Json(if session.is_administrator() { schema } else { schema.for_callers() }))
}
