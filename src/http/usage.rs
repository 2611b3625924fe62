//! `GET /v1/usage`: what language models were asked and what it cost.

use axum::Json;
use chrono::{Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    body::Params,
    problem::Problem,
    session::{CanRead, Session},
};
use crate::{
    app::App,
    store::usage::{KEPT_DAYS, UsageDay},
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(usage))
}

/// Days that are summed when nobody says.
const DEFAULT_DAYS: u64 = 30;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UsageParams {
    /// The first day (UTC), like 2026-01-31; 30 days up to `to` when it is absent.
    from: Option<NaiveDate>,
    /// The last day; today when it is absent.
    to: Option<NaiveDate>,
}

#[derive(Debug, Serialize, ToSchema)]
struct UsageReport {
    from: NaiveDate,
    to: NaiveDate,
    /// One for each day, kind and model, newest first.
    data: Vec<UsageDay>,
}

/// Sum the tokens of language models by day and model
///
/// Calls are kept for 400 days.
#[utoipa::path(get, path = "/v1/usage", tag = "operations", params(UsageParams),
    responses((status = 200, body = UsageReport), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn usage(session: Session<CanRead>, Params(params): Params<UsageParams>) -> Result<Json<UsageReport>, Problem> {
    let to = params.to.unwrap_or_else(|| Utc::now().date_naive());
    let from = params.from.or_else(|| to.checked_sub_days(Days::new(DEFAULT_DAYS - 1))).unwrap_or(to);
    let days = to.signed_duration_since(from).num_days();
    if !(0..=i64::from(KEPT_DAYS)).contains(&days) {
        return Err(Problem::invalid(
            "from",
            format!("must be no later than to, and at most {KEPT_DAYS} days before it"),
        ));
    }
    let data = session.store.usage(session.workspace_id(), from, to).await?;
    Ok(Json(UsageReport { from, to, data }))
}
