//! Tables as text: comma-, semicolon- or tab-separated values.

use super::{Extracted, text};

pub fn extract(bytes: &[u8]) -> Extracted {
    text::extract(bytes)
}
