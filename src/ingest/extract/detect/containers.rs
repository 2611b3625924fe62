//! What a ZIP archive (APPNOTE.TXT) or a compound file (MS-CFB) holds, by the names inside of it.

use super::names::by_mime;
use super::{ContentType, UnsupportedType};

/// Begins a local header of an archive.
pub const ZIP: &[u8] = b"PK\x03\x04";

/// Begins a compound file.
pub const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// A local header without its name (APPNOTE.TXT, 4.3.7).
const LOCAL_HEADER_BYTES: usize = 30;

/// As many as are read of an archive later.
const MAX_ENTRIES: usize = 20_000;

/// A directory entry of a compound file; sectors are multiples of it, so every entry stands at one (MS-CFB, 2.6).
const DIRECTORY_ENTRY_BYTES: usize = 128;

/// Where the entry's name length stands: in bytes, with its closing NUL.
const NAME_LENGTH_AT: usize = 64;

type Claims = [Option<ContentType>; 2];

/// The format of the document that an archive is. `bytes` may be its start only.
pub fn in_zip(bytes: &[u8], claims: Claims) -> Result<ContentType, UnsupportedType> {
    let claimed = || claims.into_iter().flatten().find_map(as_zip);
    by_parts(bytes).or_else(claimed).ok_or(UnsupportedType { what: "a ZIP archive" })
}

fn by_parts(bytes: &[u8]) -> Option<ContentType> {
    let mut workbook = None;
    for part in (Parts { bytes, at: 0 }).take(MAX_ENTRIES) {
        match part.name.to_ascii_lowercase().as_slice() {
            // The first entry of an OpenDocument file or a book, stored (ODF 1.3 part 2, 3.3; EPUB OCF 3.3, 4.3).
            b"mimetype" => return by_mime(std::str::from_utf8(part.start_of_content).ok()?.trim()),
            b"meta-inf/container.xml" => return Some(ContentType::Epub),
            name if name.starts_with(b"word/") => return Some(ContentType::Docx),
            name if name.starts_with(b"ppt/") => return Some(ContentType::Pptx),
            b"xl/workbook.bin" => return Some(ContentType::Xlsb),
            name if name.starts_with(b"xl/worksheets/") && name.ends_with(b".bin") => return Some(ContentType::Xlsb),
            b"xl/workbook.xml" => return Some(ContentType::Xlsx),
            name if name.starts_with(b"xl/") => workbook = Some(ContentType::Xlsx),
            _ => {}
        }
    }
    workbook
}

/// What the claim can mean of an archive: Word writes what it is told to call `.doc`.
fn as_zip(claim: ContentType) -> Option<ContentType> {
    use ContentType::{Doc, Docx, Epub, Odp, Ods, Odt, Ppt, Pptx, Xls, Xlsb, Xlsx};
    match claim {
        Doc => Some(Docx),
        Ppt => Some(Pptx),
        Xls => Some(Xlsx),
        Docx | Pptx | Xlsx | Xlsb | Odt | Ods | Odp | Epub => Some(claim),
        _ => None,
    }
}

/// The entries of an archive, from its start, by their local headers.
struct Parts<'a> {
    bytes: &'a [u8],
    at: usize,
}

struct Part<'a> {
    name: &'a [u8],
    /// What is stored of it, as far as it is known.
    start_of_content: &'a [u8],
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let rest = self.bytes.get(self.at..)?;
        let header = rest.get(..LOCAL_HEADER_BYTES)?;
        if !header.starts_with(ZIP) {
            return None;
        }
        let number = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let size = usize::from(number(18)) | usize::from(number(20)) << 16;
        let name_end = LOCAL_HEADER_BYTES + usize::from(number(26));
        let name = rest.get(LOCAL_HEADER_BYTES..name_end)?;
        let content = rest.get(name_end + usize::from(number(28))..).unwrap_or_default();
        // A streamed entry has its size behind it (4.4.4, bit 3).
        let streamed = number(6) & 8 != 0;
        let size = if streamed { content.windows(ZIP.len()).position(|at| at == ZIP)? } else { size };
        self.at = self.bytes.len() - content.len() + size;
        Some(Part { name, start_of_content: &content[..size.min(content.len())] })
    }
}

/// The format of the document that a compound file is. `bytes` may be its start only.
pub fn in_ole(bytes: &[u8], claims: Claims) -> Result<ContentType, UnsupportedType> {
    use ContentType::{Doc, Docx, Ppt, Xls};
    let has = |name| has_entry(bytes, name);
    let claimed = |content_type| claims.contains(&Some(content_type));
    if has("EncryptedPackage") {
        // An encrypted document of the new kind: its reader says so.
        return Ok(claims.into_iter().flatten().find_map(as_zip).unwrap_or(Docx));
    }
    let streams = [(Ppt, "PowerPoint Document"), (Doc, "WordDocument"), (Xls, "Workbook"), (Xls, "Book")];
    let found = streams.map(|(content_type, name)| has(name).then_some(content_type));
    let mut found = found.into_iter().flatten();
    // A workbook may hold a document, and a document a workbook: then the name tells which is within which.
    let first = found.clone().next();
    if let Some(content_type) = found.find(|content_type| claimed(*content_type)).or(first) {
        return Ok(content_type);
    }
    if has("__properties_version1.0") {
        return Err(UnsupportedType { what: "an Outlook message (msg)" });
    }
    let claimed = claims.into_iter().flatten().find(|claim| matches!(claim, Doc | Ppt | Xls));
    claimed.ok_or(UnsupportedType { what: "an Office file of the old kind that is not doc, xls or ppt" })
}

fn has_entry(bytes: &[u8], name: &str) -> bool {
    let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    bytes.chunks_exact(DIRECTORY_ENTRY_BYTES).any(|entry| {
        entry.starts_with(&name) && usize::from(entry[NAME_LENGTH_AT]) == name.len() && entry[NAME_LENGTH_AT + 1] == 0
    })
}
