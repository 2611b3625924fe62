//! Citations: each a verbatim quote with its offsets in the document's text, so that a reader can check it.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::search::SearchError;
use crate::store::{Store, quotes::QuoteStart};

/// A sentence of a document that an answer relies on.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Citation {
    /// `[1]` in the answer. A passage that is cited for several things has a citation for each.
    pub index: usize,
    pub document_id: Uuid,
    pub chunk_id: Uuid,
    pub title: String,
    /// Where the quote begins, for documents with pages.
    pub page: Option<i32>,
    /// Offsets in characters into the document's text: `text[start..end]` is `quote`.
    pub start: i32,
    pub end: i32,
    pub quote: String,
}

/// Puts the page of its quote's start in the place of the page of its chunk's start.
pub async fn find_pages(store: &Store, workspace_id: Uuid, citations: &mut [Citation]) -> Result<(), SearchError> {
    let paged: Vec<&mut Citation> = citations.iter_mut().filter(|citation| citation.page.is_some()).collect();
    if paged.is_empty() {
        return Ok(());
    }
    let starts: Vec<QuoteStart> =
        paged.iter().map(|citation| QuoteStart { chunk_id: citation.chunk_id, start: citation.start }).collect();
    let mut workspace = store.workspace(workspace_id).await?;
    let pages = workspace.pages_of_quotes(&starts).await?;
    workspace.commit().await?;
    for (citation, page) in paged.into_iter().zip(pages) {
        citation.page = page.or(citation.page);
    }
    Ok(())
}
