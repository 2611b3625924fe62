//! `/v1/keys`: API keys of the caller's workspace.

use axum::{Json, http::StatusCode};
use chrono::{DateTime, Datelike, Utc};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    body::{Body, Id, Page, check_name},
    problem::Problem,
    session::{CanAdminister, Session},
};
use crate::{
    app::App,
    store::keys::{ApiKey, Attributes, NewKey, Scope, generate_key},
};

/// Creating a key is not under `Idempotency-Key`: an answer that holds a key is never kept.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(revoke))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateKey {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Default: read, write and sql.
    scopes: Option<Vec<Scope>>,
    /// What row filters compare with, like `{"tenant": 42}`: at most 20 texts of 200 characters, whole numbers or booleans.
    #[serde(default)]
    #[schema(value_type = Object)]
    attributes: Attributes,
    expires_at: Option<DateTime<Utc>>,
}

#[derive(Serialize, ToSchema)]
struct CreatedKey {
    #[serde(flatten)]
    details: ApiKey,
    /// The key itself, shown this once.
    key: String,
}

/// Create an API key
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = CreateKey,
    responses((status = 201, body = CreatedKey), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn create(
    session: Session<CanAdminister>,
    Body(body): Body<CreateKey>,
) -> Result<(StatusCode, Json<CreatedKey>), Problem> {
    check_name("/name", &body.name, 200)?;
    let scopes = body.scopes.unwrap_or_else(|| vec![Scope::Read, Scope::Write, Scope::Sql]);
    if scopes.is_empty() {
        return Err(Problem::invalid("/scopes", "must name at least one scope"));
    }
    if body.expires_at.is_some_and(|end| !(1..=9999).contains(&end.year())) {
        return Err(Problem::invalid("/expires_at", "must have a year of four digits"));
    }
    check_attributes(&body.attributes)?;
    let key = generate_key().map_err(Problem::internal)?;
    let mut workspace = session.workspace().await?;
    let new = NewKey { name: body.name, scopes, attributes: body.attributes, expires_at: body.expires_at };
    let details = workspace.create_key(&new, &key).await?;
    workspace.commit().await?;
    Ok((StatusCode::CREATED, Json(CreatedKey { details, key: key.expose_secret().to_owned() })))
}

/// Few and short: they go into statements.
const MAX_ATTRIBUTES: usize = 20;
const MAX_ATTRIBUTE_NAME: usize = 63;
const MAX_ATTRIBUTE: usize = 200;

fn check_attributes(attributes: &Attributes) -> Result<(), Problem> {
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(Problem::invalid("/attributes", format!("must be at most {MAX_ATTRIBUTES}")));
    }
    for (name, value) in attributes {
        let starts = name.starts_with(|first: char| first.is_ascii_lowercase());
        let word = name.chars().all(|next| next.is_ascii_lowercase() || next.is_ascii_digit() || next == '_');
        if !starts || !word || name.len() > MAX_ATTRIBUTE_NAME {
            return Err(Problem::invalid(
                "/attributes",
                format!("names must be 1 to {MAX_ATTRIBUTE_NAME} lower-case letters, digits and _, letters first"),
            ));
        }
        let fits = match value {
            Value::String(text) => text.chars().count() <= MAX_ATTRIBUTE && !text.contains('\0'),
            Value::Number(number) => number.is_i64(),
            Value::Bool(_) => true,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        };
        if !fits {
            let rule = format!("must be a text of at most {MAX_ATTRIBUTE} characters, a whole number or a boolean");
            return Err(Problem::invalid(format!("/attributes/{name}"), rule));
        }
    }
    Ok(())
}

/// List API keys
#[utoipa::path(get, path = "/v1/keys", tag = "keys",
    responses((status = 200, body = Page<ApiKey>), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn list(session: Session<CanAdminister>) -> Result<Json<Page<ApiKey>>, Problem> {
    Ok(Json(Page { data: session.workspace().await?.keys().await?, next_cursor: None }))
}

/// Revoke an API key at once
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", params(("id" = Uuid, Path)),
    responses((status = 200, body = ApiKey), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn revoke(session: Session<CanAdminister>, Id(id): Id) -> Result<Json<ApiKey>, Problem> {
    let mut workspace = session.workspace().await?;
    let revoked = workspace.revoke_key(id).await?;
    workspace.commit().await?;
    Ok(Json(revoked))
}
