//! Mail (RFC 5322, MIME), with its attachments.

use super::{ExtractCode, ExtractFailure, ExtractOptions, Extracted};

pub fn extract(_bytes: &[u8], _options: &ExtractOptions) -> Result<Extracted, ExtractFailure> {
    Err(ExtractFailure::of_file(ExtractCode::Unsupported, "Files of this kind cannot be read yet."))
}
