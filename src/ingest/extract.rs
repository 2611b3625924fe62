//! From bytes to canonical text. Every format becomes Markdown-like text with its pages and title.
//!
//! The steps are [`detect`] (which format is this?) and [`extract_here`] (one file a format below this one). The server
//! never calls the latter itself: real files make parsers hang, overflow the stack and eat memory, so [`worker::Worker`] runs it
//! in a child process with limits. Promises: the text is canonical (see [`Extracted::text`]), never blank, at most
//! [`MAX_TEXT_BYTES`] long; whatever goes wrong is an [`ExtractFailure`] with a stable code.

mod archive;
mod blocks;
mod canonical;
mod csv;
mod detect;
mod docx;
mod drawing;
mod email;
mod encrypted;
mod epub;
mod formula;
mod grid;
mod html;
mod legacy;
pub mod limits;
mod markdown;
mod mathml;
#[cfg(test)]
mod mutations;
pub mod ocr;
mod odf;
#[cfg(test)]
mod office_tests;
mod opc;
mod password;
mod pdf;
mod pipe;
mod pptx;
mod rtf;
mod spreadsheet;
mod table;
mod text;
pub mod worker;
mod xml;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use detect::{ContentType, HEAD_BYTES, UnsupportedType, detect};
pub use password::Password;

/// The most text of one document: a book of ten thousand pages has about 20 MB; more is a mistake or a bomb.
pub const MAX_TEXT_BYTES: usize = 32 * 1024 * 1024;

/// The text that offsets refer to, and where its pages start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extracted {
    /// What the document calls itself, where it does.
    pub title: Option<String>,
    /// Canonical text: `\n` line ends, no NUL or other control characters. Markdown-like when `markdown`, else plain.
    pub text: String,
    /// Whether `#` headings, lists and tables in `text` are structure.
    pub markdown: bool,
    /// Where each page starts, ascending; empty for formats without pages.
    pub pages: Vec<PageStart>,
    /// What the file shows and the text lacks.
    pub warnings: Vec<Warning>,
}

/// Something of a file that was left out, though the rest was read. Its `Display` is a sentence or two for users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Warning {
    /// Pages that show pictures, or letters of fonts that do not name them, and no text recognition was tried.
    UnreadPages { pages: Vec<u32> },
    /// The same pages, and why text recognition did not read them either.
    OcrFailed { pages: Vec<u32>, why: String },
    /// Pages whose content cannot be read.
    DamagedPages { pages: Vec<u32> },
    /// Something of what is attached to a mail.
    Attachment { name: String, why: String },
}

impl Warning {
    fn is_about_nothing(&self) -> bool {
        match self {
            Warning::UnreadPages { pages } | Warning::DamagedPages { pages } => pages.is_empty(),
            Warning::OcrFailed { .. } | Warning::Attachment { .. } => false,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pages, why) = match self {
            Warning::UnreadPages { pages } => (pages, "Run text recognition (OCR) on the file and upload the result."),
            Warning::OcrFailed { pages, why } => (pages, why.as_str()),
            Warning::DamagedPages { pages } => {
                return write!(f, "Left out, because their content is damaged or too large: {}.", page_list(pages));
            }
            Warning::Attachment { name, why } => {
                return write!(f, "Of the attachment {name}: {}.", why.trim_end_matches('.'));
            }
        };
        let reason = "only pictures or letters that are not named";
        write!(f, "Left out, because they hold no readable text, {reason}: {}. {why}", page_list(pages))
    }
}

/// `page 3`, `pages 3, 5 to 9`.
fn page_list(pages: &[u32]) -> String {
    let runs = pages.chunk_by(|before, after| before.checked_add(1) == Some(*after));
    let runs = runs.filter_map(|run| match (run.first()?, run.last()?) {
        (first, last) if first == last => Some(first.to_string()),
        (first, last) => Some(format!("{first} to {last}")),
    });
    let word = if pages.len() == 1 { "page" } else { "pages" };
    format!("{word} {}", runs.collect::<Vec<_>>().join(", "))
}

/// Page `number` (from 1) starts at byte `start` of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageStart {
    pub number: u32,
    pub start: usize,
}

/// How a file is to be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtractOptions {
    #[serde(default)]
    pub pdf_engine: PdfEngine,
    /// What the uploader says opens the file.
    #[serde(default)]
    pub password: Option<Password>,
}

/// Which library reads PDF files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PdfEngine {
    /// Headings, lists and tables; the best text of the libraries that were compared.
    #[default]
    Pdfboss,
    /// Plain text; what is encrypted is left to the other.
    PdfExtract,
}

/// Why a file gave no text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct ExtractFailure {
    pub code: ExtractCode,
    /// One sentence that a user can act on.
    pub detail: String,
    /// Whether the same file may succeed later, unchanged.
    pub retryable: bool,
}

/// The stable names of what can go wrong; they are part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtractCode {
    /// No text in it.
    Empty,
    /// A password is needed, or another than the one that was given.
    Encrypted,
    /// Too damaged to read.
    Broken,
    /// Pictures of text, no text.
    NeedsOcr,
    /// More text than one document may have.
    TooLarge,
    /// Took too long.
    Timeout,
    /// Took too much memory.
    OutOfMemory,
    /// The parser failed.
    Crashed,
    /// Not a format that is read.
    Unsupported,
    /// The worker process could not be run; nothing is known about the file.
    Unavailable,
}

impl ExtractCode {
    /// The name in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            ExtractCode::Empty => "empty",
            ExtractCode::Encrypted => "encrypted",
            ExtractCode::Broken => "broken",
            ExtractCode::NeedsOcr => "needs_ocr",
            ExtractCode::TooLarge => "too_large",
            ExtractCode::Timeout => "timeout",
            ExtractCode::OutOfMemory => "out_of_memory",
            ExtractCode::Crashed => "crashed",
            ExtractCode::Unsupported => "unsupported",
            ExtractCode::Unavailable => "unavailable",
        }
    }
}

impl ExtractFailure {
    /// A failure that the file itself is the reason of.
    fn of_file(code: ExtractCode, detail: impl Into<String>) -> ExtractFailure {
        ExtractFailure { code, detail: detail.into(), retryable: false }
    }

    /// `what` (as `The spreadsheet`) cannot be read, for a reason in a few words.
    fn broken(what: &str, reason: impl fmt::Display) -> ExtractFailure {
        let detail =
            format!("{what} is damaged and cannot be read ({reason}). Export it again and upload the new file.");
        ExtractFailure::of_file(ExtractCode::Broken, detail)
    }

    /// `what` wants a password, or another one than `given`.
    fn encrypted(what: &str, given: Option<&Password>) -> ExtractFailure {
        let detail = match given {
            None => format!(
                "{what} is protected by a password. Upload it again with its password, or save a copy without one."
            ),
            Some(_) => format!("{what} is protected by another password than the one that was given."),
        };
        ExtractFailure::of_file(ExtractCode::Encrypted, detail)
    }

    /// `what` wants a password, and is of a format that is not opened with one.
    fn locked(what: &str) -> ExtractFailure {
        let detail = format!("{what} is protected by a password. Save a copy without the password and upload that.");
        ExtractFailure::of_file(ExtractCode::Encrypted, detail)
    }

    /// More text than a document may have.
    pub(super) fn too_much_text(bytes: u64) -> ExtractFailure {
        let (megabytes, most) = (bytes / 1_000_000, MAX_TEXT_BYTES / 1_000_000);
        let detail =
            format!("The file holds {megabytes} MB of text; a document may hold {most} MB. Split it into several.");
        ExtractFailure::of_file(ExtractCode::TooLarge, detail)
    }

    /// A failure that may pass.
    fn passing(code: ExtractCode, detail: impl Into<String>) -> ExtractFailure {
        ExtractFailure { code, detail: detail.into(), retryable: true }
    }
}

impl From<UnsupportedType> for ExtractFailure {
    fn from(unsupported: UnsupportedType) -> ExtractFailure {
        ExtractFailure::of_file(ExtractCode::Unsupported, unsupported.to_string())
    }
}

/// Extracts in this process. Only the worker process calls this: a hostile file may end the process that does.
pub fn extract_here(
    bytes: &[u8],
    content_type: ContentType,
    options: &ExtractOptions,
) -> Result<Extracted, ExtractFailure> {
    if bytes.is_empty() {
        return Err(ExtractFailure::of_file(ExtractCode::Empty, "The file is empty."));
    }
    let content_type = detect::refine(bytes, content_type);
    let extracted = match read(bytes, content_type, options) {
        Err(failure) if failure.code == ExtractCode::Encrypted && encrypted::can_be_opened(bytes, content_type) => {
            let (opened, content_type) = encrypted::open(bytes, content_type, options.password.as_ref())?;
            read(&opened, content_type, options)
        }
        read => read,
    };
    check(extracted?)
}

fn read(bytes: &[u8], content_type: ContentType, options: &ExtractOptions) -> Result<Extracted, ExtractFailure> {
    Ok(match content_type {
        ContentType::Text | ContentType::Json => text::extract(bytes),
        ContentType::Csv => csv::extract(bytes),
        ContentType::Markdown => markdown::extract(bytes),
        ContentType::Html => html::extract(bytes),
        ContentType::Pdf => pdf::extract(bytes, options)?,
        ContentType::Docx => docx::extract(bytes)?,
        ContentType::Pptx => pptx::extract(bytes)?,
        ContentType::Odt | ContentType::Odp => odf::extract(bytes)?,
        ContentType::Xlsx | ContentType::Xlsb | ContentType::Xls | ContentType::Ods => {
            spreadsheet::extract(bytes, content_type)?
        }
        ContentType::Doc | ContentType::Ppt => legacy::extract(bytes, content_type)?,
        ContentType::Rtf => rtf::extract(bytes)?,
        ContentType::Epub => epub::extract(bytes)?,
        ContentType::Email => email::extract(bytes, options)?,
    })
}

fn check(extracted: Extracted) -> Result<Extracted, ExtractFailure> {
    if extracted.text.trim().is_empty() {
        return Err(ExtractFailure::of_file(ExtractCode::Empty, "There is no text in the file."));
    }
    if extracted.text.len() > MAX_TEXT_BYTES {
        return Err(ExtractFailure::too_much_text(extracted.text.len() as u64));
    }
    Ok(extracted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(bytes: &[u8], content_type: ContentType) -> ExtractCode {
        extract_here(bytes, content_type, &ExtractOptions::default()).unwrap_err().code
    }

    #[test]
    fn a_file_without_text_is_a_typed_failure_in_every_format() {
        for content_type in ContentType::ALL {
            assert_eq!(code(b"", content_type), ExtractCode::Empty, "{content_type:?}");
        }
        assert_eq!(code(b" \r\n\t \n", ContentType::Text), ExtractCode::Empty);
        assert_eq!(code(b"\n\n", ContentType::Markdown), ExtractCode::Empty);
        assert_eq!(code(b"<html><body><p> </p></body></html>", ContentType::Html), ExtractCode::Empty);
    }

    #[test]
    fn more_text_than_a_document_may_have_is_a_typed_failure() {
        let bytes = vec![b'a'; MAX_TEXT_BYTES + 1];
        assert_eq!(code(&bytes, ContentType::Text), ExtractCode::TooLarge);
    }

    #[test]
    fn warnings_name_pages_in_runs() {
        assert_eq!(page_list(&[3]), "page 3");
        assert_eq!(page_list(&[1, 3, 4, 5, 9, 10]), "pages 1, 3 to 5, 9 to 10");
    }

    #[test]
    fn the_names_of_codes_are_the_same_in_rust_and_json() {
        for code in [ExtractCode::Empty, ExtractCode::Encrypted, ExtractCode::OutOfMemory, ExtractCode::NeedsOcr] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
