//! Word and PowerPoint documents of the binary kind (MS-DOC, MS-PPT), by `office_oxide`: the one library in Rust that reads
//! both, with headings, lists, tables and notes. It bounds what a file can make it take, and runs in the worker like all.

use std::io::Cursor;

use office_oxide::cfb::SummaryProperties;
use office_oxide::doc::{DocDocument, DocError};
use office_oxide::ppt::{PptDocument, PptError};

use super::canonical::canonical;
use super::{ContentType, ExtractFailure, Extracted};

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
        DocError::Encrypted => ExtractFailure::locked(WHAT),
        error => ExtractFailure::broken(WHAT, error),
    })?;
    Ok(extracted(document.summary_properties(), &document.to_markdown()))
}

fn presentation(bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    const WHAT: &str = "The presentation";
    let deck = PptDocument::from_reader(Cursor::new(bytes)).map_err(|error| match error {
        PptError::Encrypted => ExtractFailure::locked(WHAT),
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
        text: canonical(&markdown.join("\n")),
        markdown: true,
        ..Extracted::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ExtractCode;
    use super::*;

    const NOTICE: &[u8] = include_bytes!("../../../fixtures/documents-office/notice.doc");
    const SEASON: &[u8] = include_bytes!("../../../fixtures/documents-office/season.ppt");

    /// `file`, with what stands in it once replaced.
    fn patched(file: &[u8], was: &[u8], is: &[u8]) -> Vec<u8> {
        let at = file.windows(was.len()).position(|window| window == was).unwrap();
        [&file[..at], is, &file[at + was.len()..]].concat()
    }

    #[test]
    fn old_documents_and_decks_are_read() {
        insta::assert_snapshot!(extract(NOTICE, ContentType::Doc).unwrap().text, @"
        # Notice to the depots

        Count the bearings of lot Köln on Friday.

        Send the count to the service desk.
        ");
        insta::assert_snapshot!(extract(SEASON, ContentType::Ppt).unwrap().text, @"
        ## Slide 1

        ### Frost season

        Check the heaters

        Order bird spikes


        ## Slide 2

        ### Köln depot

        Closed in May
        ");
    }

    #[test]
    fn encrypted_and_damaged_ones_are_typed_failures() {
        let code = |bytes: &[u8], content_type| extract(bytes, content_type).unwrap_err().code;
        let encrypted =
            patched(NOTICE, b"\xec\xa5\xc1\0\0\0\x07\x04\0\0\0\x02", b"\xec\xa5\xc1\0\0\0\x07\x04\0\0\0\x03");
        assert_eq!(code(&encrypted, ContentType::Doc), ExtractCode::Encrypted);
        let encrypted = patched(SEASON, b"\x5f\xc0\x91\xe3", b"\xdf\xc4\xd1\xf3");
        assert_eq!(code(&encrypted, ContentType::Ppt), ExtractCode::Encrypted);
        for content_type in [ContentType::Doc, ContentType::Ppt] {
            assert_eq!(code(b"no document", content_type), ExtractCode::Broken);
            assert_eq!(code(&NOTICE[..1000], content_type), ExtractCode::Broken);
        }
    }
}
