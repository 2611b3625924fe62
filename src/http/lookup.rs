//! Which of these files are here already? Asked before uploading, so that only what is new or changed is sent.

use std::collections::HashMap;

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    body::{Body, Id},
    problem::Problem,
    session::{CanRead, Session},
};
use crate::{
    app::App,
    store::documents::{Document, DocumentRow},
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(lookup))
}

/// Files in one question.
const MAX_FILES: usize = 1_000;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Lookup {
    #[schema(min_items = 1, max_items = 1000)]
    documents: Vec<Wanted>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The name it would be uploaded under; without one, a document that has none is looked for.
    external_id: Option<String>,
    /// Of the file's bytes, in hex digits.
    #[schema(min_length = 64, max_length = 64)]
    sha256: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct Found {
    /// In the order of the question.
    documents: Vec<Option<Document>>,
}

/// Look files up by their bytes
///
/// For each: the document whose latest upload has that `external_id` and those very bytes, whatever its status, or null.
#[utoipa::path(post, path = "/v1/knowledge-bases/{id}/documents/lookup", tag = "documents", params(("id" = Uuid, Path)),
    request_body = Lookup,
    responses((status = 200, body = Found), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json")))]
async fn lookup(session: Session<CanRead>, Id(id): Id, Body(body): Body<Lookup>) -> Result<Json<Found>, Problem> {
    if !(1..=MAX_FILES).contains(&body.documents.len()) {
        return Err(Problem::invalid("/documents", format!("must hold 1 to {MAX_FILES} files")));
    }
    let wanted = body.documents.iter().enumerate().map(|(index, wanted)| wanted.key(index));
    let wanted: Vec<Key> = wanted.collect::<Result<_, _>>()?;
    let names: Vec<&str> = wanted.iter().filter_map(|(name, _)| *name).collect();
    let hashes: Vec<&[u8]> =
        wanted.iter().filter(|(name, _)| name.is_none()).map(|(_, hash)| hash.as_slice()).collect();
    let mut workspace = session.workspace().await?;
    workspace.find_knowledge_base(id).await?;
    let rows = workspace.documents_by_name_or_bytes(id, &names, &hashes).await?;
    let found: HashMap<Key, DocumentRow> =
        rows.iter().map(|row| ((row.external_id.as_deref(), row.sha256.clone()), row.clone())).collect();
    let document = |key: &Key| found.get(key).map(|row| row.clone().into_document(false));
    Ok(Json(Found { documents: wanted.iter().map(document).collect() }))
}

/// An external id, if there is one, and a hash.
type Key<'a> = (Option<&'a str>, Vec<u8>);

impl Wanted {
    fn key(&self, index: usize) -> Result<Key<'_>, Problem> {
        let sha256 = hex::decode(&self.sha256).ok().filter(|bytes| bytes.len() == 32);
        let sha256 = sha256.ok_or_else(|| {
            Problem::invalid(format!("/documents/{index}/sha256"), "must be the 64 hex digits of a SHA-256")
        })?;
        if self.external_id.as_ref().is_some_and(|name| name.contains('\0')) {
            return Err(Problem::invalid(format!("/documents/{index}/external_id"), "contains a NUL character"));
        }
        Ok((self.external_id.as_deref(), sha256))
    }
}
