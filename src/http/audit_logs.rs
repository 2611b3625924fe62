//! `GET /v1/audit-logs`: what was decided about every statement, and what came of it.

use axum::Json;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Page, PageParams, Params, default_limit},
    problem::Problem,
    session::{CanAdminister, Session},
};
use crate::{
    app::App,
    store::audit_logs::{AuditFilter, AuditLog},
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(audit_logs))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditParams {
    database_id: Option<Uuid>,
    key_id: Option<Uuid>,
    /// Only what was allowed, or only what was refused.
    allowed: Option<bool>,
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: i64,
    cursor: Option<String>,
}

/// List what was decided about statements, newest first
#[utoipa::path(get, path = "/v1/audit-logs", tag = "databases", params(AuditParams),
    responses((status = 200, body = Page<AuditLog>), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn audit_logs(
    session: Session<CanAdminister>,
    Params(params): Params<AuditParams>,
) -> Result<Json<Page<AuditLog>>, Problem> {
    let page = PageParams { limit: params.limit, cursor: params.cursor };
    let filter = AuditFilter { database_id: params.database_id, key_id: params.key_id, allowed: params.allowed };
    let rows = session.workspace().await?.audit_logs(&filter, page.after()?, page.rows()?).await?;
    Ok(page.page(rows, |row| row.id.to_string()))
}
