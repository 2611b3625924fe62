//! OpenDocument texts and presentations (OASIS OpenDocument 1.3).

use super::{ExtractCode, ExtractFailure, Extracted};

pub fn extract(_bytes: &[u8]) -> Result<Extracted, ExtractFailure> {
    Err(ExtractFailure::of_file(ExtractCode::Unsupported, "Files of this kind cannot be read yet."))
}
