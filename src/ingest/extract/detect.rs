//! Which format a file has: the bytes first, then the file name, then what the client says. Bytes cannot lie about being
//! a PDF, a container of parts or a picture (`containers`, `signatures`); between the kinds of text only the name tells
//! (`names`).
//!
//! [`detect`] sees the start of a file, before it is stored; [`refine`] sees all of it, before it is read, and mends what
//! a start could not tell. Neither reads more of a container than its directory.

mod containers;
mod names;
mod signatures;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

pub use self::containers::{OLE, ZIP};
use self::names::{by_mime, by_name};
use super::csv::begins_like_table;
use super::text::{decode, is_text};

/// A format that can be extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ContentType {
    #[serde(rename = "text/plain")]
    Text,
    #[serde(rename = "text/markdown")]
    Markdown,
    #[serde(rename = "text/html")]
    Html,
    #[serde(rename = "text/csv")]
    Csv,
    #[serde(rename = "application/json")]
    Json,
    #[serde(rename = "application/pdf")]
    Pdf,
    #[serde(rename = "application/vnd.openxmlformats-officedocument.wordprocessingml.document")]
    Docx,
    #[serde(rename = "application/vnd.openxmlformats-officedocument.presentationml.presentation")]
    Pptx,
    #[serde(rename = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")]
    Xlsx,
    #[serde(rename = "application/vnd.ms-excel.sheet.binary.macroenabled.12")]
    Xlsb,
    #[serde(rename = "application/vnd.oasis.opendocument.text")]
    Odt,
    #[serde(rename = "application/vnd.oasis.opendocument.spreadsheet")]
    Ods,
    #[serde(rename = "application/vnd.oasis.opendocument.presentation")]
    Odp,
    #[serde(rename = "application/msword")]
    Doc,
    #[serde(rename = "application/vnd.ms-powerpoint")]
    Ppt,
    #[serde(rename = "application/vnd.ms-excel")]
    Xls,
    #[serde(rename = "application/rtf")]
    Rtf,
    #[serde(rename = "application/epub+zip")]
    Epub,
    #[serde(rename = "message/rfc822")]
    Email,
}

impl ContentType {
    pub const ALL: [ContentType; 19] = [
        ContentType::Text,
        ContentType::Markdown,
        ContentType::Html,
        ContentType::Csv,
        ContentType::Json,
        ContentType::Pdf,
        ContentType::Docx,
        ContentType::Pptx,
        ContentType::Xlsx,
        ContentType::Xlsb,
        ContentType::Odt,
        ContentType::Ods,
        ContentType::Odp,
        ContentType::Doc,
        ContentType::Ppt,
        ContentType::Xls,
        ContentType::Rtf,
        ContentType::Epub,
        ContentType::Email,
    ];

    /// The MIME type.
    pub fn as_str(self) -> &'static str {
        match self {
            ContentType::Text => "text/plain",
            ContentType::Markdown => "text/markdown",
            ContentType::Html => "text/html",
            ContentType::Csv => "text/csv",
            ContentType::Json => "application/json",
            ContentType::Pdf => "application/pdf",
            ContentType::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ContentType::Pptx => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            ContentType::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            ContentType::Xlsb => "application/vnd.ms-excel.sheet.binary.macroenabled.12",
            ContentType::Odt => "application/vnd.oasis.opendocument.text",
            ContentType::Ods => "application/vnd.oasis.opendocument.spreadsheet",
            ContentType::Odp => "application/vnd.oasis.opendocument.presentation",
            ContentType::Doc => "application/msword",
            ContentType::Ppt => "application/vnd.ms-powerpoint",
            ContentType::Xls => "application/vnd.ms-excel",
            ContentType::Rtf => "application/rtf",
            ContentType::Epub => "application/epub+zip",
            ContentType::Email => "message/rfc822",
        }
    }

    /// Whether files of the format are text, so that only a name tells them from other text.
    fn is_textual(self) -> bool {
        use ContentType::{Csv, Email, Html, Json, Markdown, Text};
        matches!(self, Text | Markdown | Html | Csv | Json | Email)
    }
}

/// A file that is not a format Almanac reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} cannot be read; send PDF, Word, PowerPoint, Excel, OpenDocument, RTF, EPUB, mail (eml, mht), HTML, Markdown, \
     CSV, JSON or plain text"
)]
pub struct UnsupportedType {
    /// What the file is, as a noun phrase.
    pub what: &'static str,
}

/// How many bytes from the start [`detect`] wants to see: the names of an Office document's first parts stand in them.
pub const HEAD_BYTES: usize = 64 * 1024;

/// Of which so many must look like text, for a text.
const TEXT_BYTES: usize = 8 * 1024;

/// Of which so many are looked at for what the text begins with.
const OPENING_BYTES: usize = 1024;

/// Begin the header of a mail, and hardly anything else (RFC 5322, 3.6; RFC 2045, 4).
const MAIL_HEADERS: [&str; 16] = [
    "from",
    "received",
    "mime-version",
    "subject",
    "to",
    "cc",
    "date",
    "message-id",
    "return-path",
    "reply-to",
    "sender",
    "delivered-to",
    "in-reply-to",
    "references",
    "content-type",
    "dkim-signature",
];

/// The format of a file that starts with `head`.
pub fn detect(head: &[u8], file_name: Option<&str>, declared: Option<&str>) -> Result<ContentType, UnsupportedType> {
    let head = &head[..head.len().min(HEAD_BYTES)];
    let (named, declared) = (file_name.and_then(by_name), declared.and_then(by_mime));
    match by_bytes(head, [named, declared])? {
        Some(content_type) => Ok(content_type),
        None => by_words(head, named.or(declared)),
    }
}

/// The format of a whole file that was taken for `claimed` by its start: a workbook named `.docx`, a web page named
/// `.doc`.
pub fn refine(bytes: &[u8], claimed: ContentType) -> ContentType {
    match by_bytes(bytes, [Some(claimed), None]) {
        Ok(Some(content_type)) => content_type,
        Ok(None) if !claimed.is_textual() => by_words(bytes, Some(claimed)).unwrap_or(claimed),
        // A refusal comes too late: the reader says what is wrong.
        _ => claimed,
    }
}

/// What the bytes prove, with the help of what is claimed where they prove only the kind of container.
fn by_bytes(bytes: &[u8], claims: [Option<ContentType>; 2]) -> Result<Option<ContentType>, UnsupportedType> {
    if bytes.starts_with(containers::ZIP) {
        return containers::in_zip(bytes, claims).map(Some);
    }
    if bytes.starts_with(containers::OLE) {
        return containers::in_ole(bytes, claims).map(Some);
    }
    if bytes.starts_with(b"{\\rtf") {
        return Ok(Some(ContentType::Rtf));
    }
    if is_pdf(bytes) {
        return Ok(Some(ContentType::Pdf));
    }
    signatures::of_unsupported(bytes).map_or(Ok(None), |what| Err(UnsupportedType { what }))
}

/// What the name says, where it can be, and else what the text begins like.
fn by_words(bytes: &[u8], named: Option<ContentType>) -> Result<ContentType, UnsupportedType> {
    let opening = decode(&bytes[..bytes.len().min(OPENING_BYTES)]);
    let is_text = is_text(&bytes[..bytes.len().min(TEXT_BYTES)]);
    match named {
        // A damaged header still says PDF by its name: the reader then says how damaged it is. Mail may hold bytes.
        Some(named) if !is_text && (!named.is_textual() || named == ContentType::Email) => Ok(named),
        _ if !is_text => Err(UnsupportedType { what: "a binary file of unknown kind" }),
        Some(named) if named.is_textual() => Ok(named),
        _ if is_html(&opening) => Ok(ContentType::Html),
        _ if is_mail(bytes) => Ok(ContentType::Email),
        Some(ContentType::Rtf) if opening.trim_start().starts_with("{\\") => Ok(ContentType::Rtf),
        None if begins_like_table(&opening) => Ok(ContentType::Csv),
        Some(ContentType::Pdf) | None => Ok(ContentType::Text),
        // Excel and Word of 2003 also wrote XML, whose words a reader of HTML finds.
        Some(_) if opening.starts_with("<?xml") => Ok(ContentType::Html),
        // Programs that name a table `.xls` so that Excel opens it.
        Some(ContentType::Xls | ContentType::Xlsx) => Ok(ContentType::Csv),
        Some(_) => Ok(ContentType::Text),
    }
}

/// Readers accept the header anywhere in the first kilobyte (ISO 32000-1, annex H, note 13).
fn is_pdf(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(1024)].windows(5).any(|window| window == b"%PDF-")
}

fn is_html(opening: &str) -> bool {
    let mut start = opening.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    while let Some((_, rest)) = before_html(start).and_then(|end| start.split_once(end)) {
        start = rest.trim_start();
    }
    let start = start.to_lowercase();
    ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| start.starts_with(tag))
}

/// How a declaration or a comment that precedes the page ends.
fn before_html(start: &str) -> Option<&'static str> {
    match start {
        _ if start.starts_with("<?xml") => Some("?>"),
        _ if start.starts_with("<!--") => Some("-->"),
        _ => None,
    }
}

/// Header lines and nothing else up to the first empty line, two of them well known.
fn is_mail(bytes: &[u8]) -> bool {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_BYTES)]);
    let complete = start.rsplit_once('\n').map_or("", |(complete, _)| complete);
    // Programs that keep mails one after the other in a file begin each with such a line.
    let separator = usize::from(complete.starts_with("From "));
    let header = complete.lines().skip(separator).take_while(|line| !line.trim().is_empty());
    let mut known: HashSet<&str> = HashSet::new();
    for line in header.filter(|line| !line.starts_with([' ', '\t'])) {
        let Some((name, _)) = line.split_once(':') else { return false };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return false;
        }
        known.extend(MAIL_HEADERS.iter().find(|header| header.eq_ignore_ascii_case(name)));
    }
    known.len() >= 2
}

#[cfg(test)]
mod tests;
