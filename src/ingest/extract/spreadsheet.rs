//! Spreadsheets: Excel, old and new, and OpenDocument.

use super::{ContentType, ExtractCode, ExtractFailure, Extracted};

pub fn extract(_bytes: &[u8], _content_type: ContentType) -> Result<Extracted, ExtractFailure> {
    Err(ExtractFailure::of_file(ExtractCode::Unsupported, "Files of this kind cannot be read yet."))
}
