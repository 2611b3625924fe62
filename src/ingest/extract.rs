//! From bytes to canonical text. Every format becomes Markdown-like text with its pages and title.

use serde::{Deserialize, Serialize};

/// The text that offsets refer to, and where its pages start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extracted {
    /// What the document calls itself, where it does.
    pub title: Option<String>,
    /// Canonical text: `\n` line ends, no NUL. Markdown-like when `markdown`, else plain.
    pub text: String,
    /// Whether `#` headings, lists and tables in `text` are structure.
    pub markdown: bool,
    /// Where each page starts, ascending; empty for formats without pages.
    pub pages: Vec<PageStart>,
}

/// Page `number` (from 1) starts at byte `start` of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageStart {
    pub number: u32,
    pub start: usize,
}
