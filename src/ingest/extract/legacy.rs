//! Word and PowerPoint documents of the binary kind (MS-DOC, MS-PPT), by `office_oxide`: the one library in Rust that reads
//! both, with headings, lists, tables and notes. It bounds what a file can make it take, and runs in the worker like all.

use std::io::Cursor;

use office_oxide::cfb::SummaryProperties;
use office_oxide::doc::{DocDocument, DocError};
use office_oxide::ppt::{PptDocument, PptError};

use super::canonical::canonical;
use super::{ContentType, ExtractFailure, Extracted, html};

/// The document as Markdown.
pub fn extract(bytes: &[u8], content_type: ContentType) -> Result<Extracted, ExtractFailure> {
    match content_type {
        ContentType::Ppt => presentation(bytes),
        _ => document(bytes),
    }
}

fn document(bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    const WHAT: &str = "The Word document";
    let document = DocDocument::from_reader(Cursor::new(bytes)).map_err(|error| match error {
        DocError::Encrypted => ExtractFailure::encrypted(WHAT, None),
        error => ExtractFailure::broken(WHAT, error),
    })?;
    Ok(extracted(document.summary_properties(), &document.to_markdown()))
}

fn presentation(bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    const WHAT: &str = "The presentation";
    let deck = PptDocument::from_reader(Cursor::new(bytes)).map_err(|error| match error {
        PptError::Encrypted => ExtractFailure::encrypted(WHAT, None),
        error => ExtractFailure::broken(WHAT, error),
    })?;
    Ok(extracted(deck.summary_properties(), &deck.to_markdown()))
}

/// What the library writes for an object that it cannot show.
const PLACEHOLDER: &str = "*Embedded OLE Object*";

fn extracted(properties: Option<&SummaryProperties>, markdown: &str) -> Extracted {
    let title = properties.and_then(|properties| properties.title.as_deref()).map(canonical);
    let title = title.map(|title| title.split_whitespace().collect::<Vec<_>>().join(" "));
    let markdown: Vec<&str> = markdown.lines().filter(|line| line.trim() != PLACEHOLDER).collect();
    Extracted {
        title: title.filter(|title| !title.is_empty()),
        text: canonical(&html::unescape(&markdown.join("\n"))),
        markdown: true,
        pages: Vec::new(),
    }
}
