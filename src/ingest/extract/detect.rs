//! Which format a file has: the bytes first, then the file name, then what the client says. Bytes cannot lie about being
//! a PDF or a picture; between the kinds of text only the name tells.

use serde::{Deserialize, Serialize};

use super::text::is_text;

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
}

/// A file that is not a format Almanac reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be read; send PDF, HTML, Markdown, plain text, CSV or JSON")]
pub struct UnsupportedType {
    /// What the file is, as a noun phrase.
    pub what: &'static str,
}

/// How many bytes from the start [`detect`] wants to see.
pub const HEAD_BYTES: usize = 8 * 1024;

/// The format of a file that starts with `head`.
pub fn detect(head: &[u8], file_name: Option<&str>, declared: Option<&str>) -> Result<ContentType, UnsupportedType> {
    let head = &head[..head.len().min(HEAD_BYTES)];
    if is_pdf(head) {
        return Ok(ContentType::Pdf);
    }
    if let Some((_, what)) = SIGNATURES.iter().find(|(signature, _)| signature.is_of(head)) {
        return Err(UnsupportedType { what });
    }
    let named = file_name.and_then(by_name).or_else(|| declared.and_then(by_mime));
    match named {
        // A damaged header still says PDF by its name: the reader then says how damaged it is.
        Some(ContentType::Pdf) if !is_text(head) => Ok(ContentType::Pdf),
        _ if !is_text(head) => Err(UnsupportedType { what: "a binary file of unknown kind" }),
        Some(content_type) if content_type != ContentType::Pdf => Ok(content_type),
        _ if is_html(head) => Ok(ContentType::Html),
        _ => Ok(ContentType::Text),
    }
}

/// Readers accept the header anywhere in the first kilobyte (ISO 32000-1, annex H, note 13).
fn is_pdf(head: &[u8]) -> bool {
    head[..head.len().min(1024)].windows(5).any(|window| window == b"%PDF-")
}

fn is_html(head: &[u8]) -> bool {
    let start = String::from_utf8_lossy(head).trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).to_lowercase();
    ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| start.starts_with(tag))
}

fn by_name(name: &str) -> Option<ContentType> {
    let (_, extension) = name.rsplit_once('.')?;
    match extension.to_ascii_lowercase().as_str() {
        "pdf" => Some(ContentType::Pdf),
        "html" | "htm" | "xhtml" => Some(ContentType::Html),
        "md" | "markdown" | "mdown" | "mkd" => Some(ContentType::Markdown),
        "csv" | "tsv" => Some(ContentType::Csv),
        "json" | "jsonl" | "ndjson" => Some(ContentType::Json),
        "txt" | "text" | "log" => Some(ContentType::Text),
        _ => None,
    }
}

fn by_mime(declared: &str) -> Option<ContentType> {
    let mime = declared.split(';').next()?.trim().to_ascii_lowercase();
    match mime.as_str() {
        "application/xhtml+xml" => Some(ContentType::Html),
        "text/x-markdown" => Some(ContentType::Markdown),
        "text/tab-separated-values" => Some(ContentType::Csv),
        "application/x-ndjson" | "application/jsonl" => Some(ContentType::Json),
        mime => ContentType::ALL.into_iter().find(|known| known.as_str() == mime),
    }
}

/// Bytes at a fixed place.
struct Signature {
    offset: usize,
    bytes: &'static [u8],
}

impl Signature {
    /// A signature of letters only proves nothing in a text (`The NEW WAVE`), unless it is long.
    fn is_of(&self, head: &[u8]) -> bool {
        let proves = self.bytes.len() > 4 || self.bytes.iter().any(|byte| !byte.is_ascii_graphic());
        head.get(self.offset..).is_some_and(|rest| rest.starts_with(self.bytes)) && (proves || !is_text(head))
    }
}

const fn at(offset: usize, bytes: &'static [u8]) -> Signature {
    Signature { offset, bytes }
}

/// What people upload that is not read (yet), so that the refusal names it.
const SIGNATURES: [(Signature, &str); 33] = [
    (at(0, b"\x89PNG\r\n"), "a picture (PNG)"),
    (at(0, b"\xff\xd8\xff"), "a picture (JPEG)"),
    (at(0, b"GIF8"), "a picture (GIF)"),
    (at(8, b"WEBP"), "a picture (WebP)"),
    (at(0, b"II*\0"), "a picture (TIFF)"),
    (at(0, b"MM\0*"), "a picture (TIFF)"),
    (at(0, b"\0\0\x01\0"), "a picture (icon)"),
    (at(0, b"PK\x03\x04"), "a ZIP archive or an Office document"),
    (at(0, b"PK\x05\x06"), "an empty ZIP archive"),
    (at(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "an Office document of the old kind (doc, xls, ppt)"),
    (at(0, b"{\\rtf"), "a rich-text file (RTF)"),
    (at(0, b"%!PS-Adobe"), "a PostScript file"),
    (at(0, b"\x1f\x8b"), "a compressed file (gzip)"),
    (at(0, b"BZh"), "a compressed file (bzip2)"),
    (at(0, b"\xfd7zXZ\0"), "a compressed file (xz)"),
    (at(0, b"\x28\xb5\x2f\xfd"), "a compressed file (zstd)"),
    (at(0, b"7z\xbc\xaf\x27\x1c"), "an archive (7z)"),
    (at(0, b"Rar!\x1a\x07"), "an archive (RAR)"),
    (at(257, b"ustar"), "an archive (tar)"),
    (at(0, b"MZ\x90"), "a Windows program"),
    (at(0, b"\x7fELF"), "a Linux program"),
    (at(0, b"\xcf\xfa\xed\xfe"), "a macOS program"),
    (at(0, b"\0asm"), "a WebAssembly program"),
    (at(0, b"\xca\xfe\xba\xbe"), "a Java class or macOS program"),
    (at(0, b"SQLite format 3\0"), "an SQLite database"),
    (at(0, b"PAR1"), "a Parquet file"),
    (at(0, b"ID3"), "a sound recording (MP3)"),
    (at(0, b"OggS"), "a sound recording (Ogg)"),
    (at(0, b"fLaC"), "a sound recording (FLAC)"),
    (at(8, b"WAVE"), "a sound recording (WAV)"),
    (at(8, b"AVI "), "a film (AVI)"),
    (at(4, b"ftyp"), "a film or picture (MP4 or HEIF)"),
    (at(0, b"\x1a\x45\xdf\xa3"), "a film (Matroska or WebM)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_win_over_the_name_and_the_name_over_the_client() {
        assert_eq!(detect(b"%PDF-1.7\n", Some("notes.txt"), Some("text/plain")), Ok(ContentType::Pdf));
        assert_eq!(detect(b"junk first\n%PDF-1.4\n", None, None), Ok(ContentType::Pdf));
        assert_eq!(detect(b"# Notes", Some("Notes.MD"), Some("text/html")), Ok(ContentType::Markdown));
        assert_eq!(detect(b"a;b\n1;2", None, Some("text/csv; charset=utf-8")), Ok(ContentType::Csv));
        assert_eq!(detect(b"<p align=center>", Some("readme.md"), None), Ok(ContentType::Markdown));
    }

    #[test]
    fn text_without_a_name_is_html_when_it_begins_like_it_and_else_plain() {
        assert_eq!(
            detect(b"\n <!DOCTYPE HTML><p>hello", None, Some("application/octet-stream")),
            Ok(ContentType::Html)
        );
        assert_eq!(detect("Grüße".as_bytes(), None, None), Ok(ContentType::Text));
        assert_eq!(detect(b"caf\xe9 in latin-1", None, None), Ok(ContentType::Text));
        assert_eq!(detect(b"\xff\xfeh\0i\0", None, None), Ok(ContentType::Text));
        assert_eq!(detect(b"The NEW WAVE of the eighties", None, None), Ok(ContentType::Text));
        assert_eq!(detect(b"", None, None), Ok(ContentType::Text));
    }

    #[test]
    fn pictures_archives_and_programs_are_refused_by_name() {
        let refused = |head: &[u8], name| detect(head, Some(name), None).unwrap_err().what;
        assert_eq!(refused(b"\x89PNG\r\n\x1a\n....", "report.pdf"), "a picture (PNG)");
        assert_eq!(refused(b"PK\x03\x04....", "report.docx"), "a ZIP archive or an Office document");
        assert_eq!(refused(b"MZ\x90\0\x03", "setup.txt"), "a Windows program");
        assert_eq!(refused(&[1, 0, 7, 0, 0, 0, 2, 200], "data.txt"), "a binary file of unknown kind");
    }

    #[test]
    fn a_damaged_pdf_is_still_a_pdf_by_its_name() {
        assert_eq!(detect(b"\0\0\0\0", Some("scan.pdf"), None), Ok(ContentType::Pdf));
    }

    #[test]
    fn the_mime_type_is_the_same_in_rust_and_json() {
        for content_type in ContentType::ALL {
            assert_eq!(serde_json::to_value(content_type).unwrap(), content_type.as_str());
            assert_eq!(by_mime(content_type.as_str()), Some(content_type));
        }
    }
}
