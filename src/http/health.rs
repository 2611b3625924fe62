//! Whether the server is alive and ready, and its metrics: without a key, and without anything worth one.

use axum::{Json, extract::State, http::header, response::IntoResponse};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::problem::{Code, Problem};
use crate::app::App;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

#[derive(Serialize, ToSchema)]
struct Health {
    status: &'static str,
    version: &'static str,
}

/// Whether the process is alive
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()), responses((status = 200, body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "alive", version: env!("CARGO_PKG_VERSION") })
}

/// Whether requests can be served: PostgreSQL answers, migrations are applied, the embedding model is loaded
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = 200, body = Health), (status = 503, body = Problem, content_type = "application/problem+json")))]
async fn readyz(State(app): State<App>) -> Result<Json<Health>, Problem> {
    // Migrations and the model come before the first request is taken: what can be missing later is PostgreSQL.
    app.store.ping().await.map_err(|error| {
        tracing::warn!(%error, "not ready");
        Problem::new(Code::StoreUnavailable, "PostgreSQL does not answer.").retry_after(2)
    })?;
    Ok(Json(Health { status: "ready", version: env!("CARGO_PKG_VERSION") }))
}

/// Metrics in Prometheus' text format
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn metrics(State(app): State<App>) -> impl IntoResponse {
    if let Ok(gauges) = app.store.queue_gauges().await {
        for gauge in gauges {
            metrics::gauge!("almanac_documents", "status" => gauge.status.clone()).set(gauge.documents as f64);
            if let Some(seconds) = gauge.oldest_seconds {
                metrics::gauge!("almanac_documents_oldest_seconds", "status" => gauge.status).set(seconds);
            }
        }
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render())
}
