//! Rich text (RTF 1.9.1).

use super::{ExtractCode, ExtractFailure, Extracted};

pub fn extract(_bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    Err(ExtractFailure::of_file(ExtractCode::Unsupported, "Files of this kind cannot be read yet."))
}
