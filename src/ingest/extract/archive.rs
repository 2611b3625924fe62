//! ZIP archives as containers of documents: OOXML, OpenDocument and EPUB files.
//!
//! Promises: a header is never believed; a part is inflated up to what the limits below leave, and no further. Whatever
//! goes wrong is a typed failure: too large, encrypted (the archive, or the OLE container that Office wraps an
//! encrypted document in), or broken. A part whose checksum is wrong is broken.

use std::collections::HashMap;
use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::{ExtractCode, ExtractFailure};

/// A presentation of a thousand slides has about five thousand parts.
const MAX_ENTRIES: usize = 20_000;

/// The text of the longest books is under 10 MiB of XML; sheets are what comes near.
const MAX_PART_BYTES: u64 = 64 * 1024 * 1024;

/// All parts that are read of one file, together.
const MAX_TOTAL_BYTES: u64 = 256 * 1024 * 1024;

/// Office's XML deflates to a twentieth, a sheet of equal cells to a hundredth; deflate itself ends at a thousandth.
const MAX_RATIO: u64 = 200;

/// Below this much, no ratio is suspicious.
const FREE_BYTES: u64 = 1024 * 1024;

/// Begins every entry of an archive's directory (APPNOTE.TXT, 4.3.12).
const ENTRY_SIGNATURE: &[u8] = b"PK\x01\x02";

/// The first bytes of a compound file (MS-CFB, 2.2).
const OLE_SIGNATURE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// An archive that is read part by part.
pub struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    names: Vec<String>,
    /// Names as [`folded`], and which entry each is; the last of several equal ones, as in `zip`.
    by_name: HashMap<String, usize>,
    /// As `The Word document`, for failures.
    what: &'a str,
    file_bytes: u64,
    budget: u64,
}

impl<'a> Archive<'a> {
    /// Opens the archive that `bytes` are, which a user knows as `what` (`The Word document`).
    pub fn open(bytes: &'a [u8], what: &'a str) -> Result<Archive<'a>, ExtractFailure> {
        if bytes.starts_with(OLE_SIGNATURE) {
            return Err(of_compound_file(bytes, what));
        }
        entries_within_limit(bytes, what)?;
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken(what, &error))?;
        let names: Vec<String> = zip.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let by_name = names.iter().enumerate().map(|(index, name)| (folded(name), index)).collect();
        Ok(Archive { zip, names, by_name, what, file_bytes: bytes.len() as u64, budget: MAX_TOTAL_BYTES })
    }

    /// The names of all parts, as they are in the archive.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The inflated bytes of the part called `name`, where there is one. Case, a leading slash and the direction of
    /// slashes make no difference (ECMA-376 part 2, 6.2.2.3; and some writers' backslashes).
    pub fn part(&mut self, name: &str) -> Result<Option<Vec<u8>>, ExtractFailure> {
        let Some(index) = self.zip.index_for_name(name).or_else(|| self.by_name.get(&folded(name)).copied()) else {
            return Ok(None);
        };
        let entry = self.zip.by_index_data(index).map_err(|error| broken(self.what, &error))?;
        if entry.encrypted() {
            return Err(ExtractFailure::locked(self.what));
        }
        let compressed = entry.compressed_size().min(self.file_bytes);
        let allowed = MAX_PART_BYTES.min(self.budget).min(FREE_BYTES.max(compressed.saturating_mul(MAX_RATIO)));
        let bytes = inflate(&mut self.zip, index, allowed).map_err(|error| broken(self.what, &error))?;
        if bytes.len() as u64 > allowed {
            return Err(too_large(self.what));
        }
        self.budget = self.budget.saturating_sub(bytes.len() as u64);
        Ok(Some(bytes))
    }
}

/// At most one byte more than allowed, which tells that there is more.
fn inflate(zip: &mut ZipArchive<Cursor<&[u8]>>, index: usize, allowed: u64) -> Result<Vec<u8>, ZipError> {
    let mut bytes = Vec::new();
    zip.by_index(index)?.take(allowed + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn folded(name: &str) -> String {
    name.replace('\\', "/").trim_start_matches('/').to_lowercase()
}

/// Counts the signatures that every entry of the directory has, before memory is spent on entries. Archives that are
/// stored in the archive count, too.
fn entries_within_limit(bytes: &[u8], what: &str) -> Result<(), ExtractFailure> {
    let count = bytes.windows(ENTRY_SIGNATURE.len()).filter(|window| *window == ENTRY_SIGNATURE).count();
    match count <= MAX_ENTRIES {
        true => Ok(()),
        false => {
            let detail = format!("{what} has {count} parts inside; {MAX_ENTRIES} are read at most.");
            Err(ExtractFailure::of_file(ExtractCode::TooLarge, detail))
        }
    }
}

/// Office encrypts a document by putting it whole into a stream of this name (MS-OFFCRYPTO, 1.3.3); names are UTF-16.
fn of_compound_file(bytes: &[u8], what: &str) -> ExtractFailure {
    let name: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
    match bytes.windows(name.len()).any(|window| window == name) {
        true => ExtractFailure::locked(what),
        false => ExtractFailure::broken(what, "it is a file of Office 2003 or older under a newer name"),
    }
}

fn too_large(what: &str) -> ExtractFailure {
    let detail = format!(
        "{what} unpacks to more than is read: {} MiB a part, {} MiB in all, {MAX_RATIO} times what is stored. Split it.",
        MAX_PART_BYTES / (1024 * 1024),
        MAX_TOTAL_BYTES / (1024 * 1024)
    );
    ExtractFailure::of_file(ExtractCode::TooLarge, detail)
}

fn broken(what: &str, error: &ZipError) -> ExtractFailure {
    match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => ExtractFailure::locked(what),
        // These name the file format where a user knows none.
        ZipError::InvalidArchive(reason) => ExtractFailure::broken(what, reason),
        ZipError::Io(reason) => ExtractFailure::broken(what, reason),
        other => ExtractFailure::broken(what, other),
    }
}

/// An archive of these parts, deflated.
#[cfg(test)]
pub fn zipped<B: AsRef<[u8]>>(parts: &[(&str, B)]) -> Vec<u8> {
    written(parts, zip::CompressionMethod::Deflated)
}

/// An archive of these parts as they are, which no ratio stops.
#[cfg(test)]
pub fn stored<B: AsRef<[u8]>>(parts: &[(&str, B)]) -> Vec<u8> {
    written(parts, zip::CompressionMethod::Stored)
}

#[cfg(test)]
fn written<B: AsRef<[u8]>>(parts: &[(&str, B)], method: zip::CompressionMethod) -> Vec<u8> {
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        writer.start_file(*name, options).unwrap();
        std::io::Write::write_all(&mut writer, bytes.as_ref()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;

    fn code(bytes: &[u8], part: &str) -> ExtractCode {
        let failure = match Archive::open(bytes, "The file") {
            Ok(mut archive) => archive.part(part).unwrap_err(),
            Err(failure) => failure,
        };
        assert!(failure.detail.starts_with("The file"), "{failure:?}");
        failure.code
    }

    /// Overwrites the number `was` with `is` wherever it stands: sizes stand in the local and the central header.
    fn replace_u32(bytes: &mut [u8], was: u32, is: u32) {
        let places: Vec<usize> = (0..bytes.len() - 3).filter(|at| bytes[*at..at + 4] == was.to_le_bytes()).collect();
        assert_eq!(places.len(), 2);
        places.into_iter().for_each(|at| bytes[at..at + 4].copy_from_slice(&is.to_le_bytes()));
    }

    #[test]
    fn parts_are_found_by_name_whatever_the_case_and_slashes() {
        let bytes = zipped(&[("word\\Document.xml", b"<a/>"), ("docProps/core.xml", b"<b/>")]);
        let mut archive = Archive::open(&bytes, "The file").unwrap();
        assert_eq!(archive.names().collect::<Vec<_>>(), ["word\\Document.xml", "docProps/core.xml"]);
        assert_eq!(archive.part("/word/document.xml").unwrap().unwrap(), b"<a/>");
        assert_eq!(archive.part("docProps/core.xml").unwrap().unwrap(), b"<b/>");
        assert_eq!(archive.part("word/styles.xml").unwrap(), None);
    }

    #[test]
    fn a_part_that_inflates_to_a_gigabyte_is_too_large() {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file("bomb", SimpleFileOptions::default().compression_level(Some(1))).unwrap();
        let zeros = vec![0; 1 << 20];
        (0..1024).for_each(|_| writer.write_all(&zeros).unwrap());
        assert_eq!(code(&writer.finish().unwrap().into_inner(), "bomb"), ExtractCode::TooLarge);
    }

    #[test]
    fn parts_that_are_large_together_are_too_large() {
        // Noise, which no ratio stops: every part is allowed, the fifth is over the sum.
        let mut state = 1u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        let noise: Vec<u8> = Iterator::take(noise, 60 << 20).collect();
        let bytes = stored(&[("part", &noise)]);
        let mut archive = Archive::open(&bytes, "The file").unwrap();
        (0..4).for_each(|_| assert_eq!(archive.part("part").unwrap().unwrap().len(), noise.len()));
        assert_eq!(archive.part("part").unwrap_err().code, ExtractCode::TooLarge);
    }

    #[test]
    fn a_header_that_lies_about_sizes_changes_nothing() {
        let megabytes = vec![b'x'; 3 << 20];
        let mut small = zipped(&[("part", &megabytes)]);
        replace_u32(&mut small, 3 << 20, 10);
        assert!(matches!(code(&small, "part"), ExtractCode::TooLarge | ExtractCode::Broken));
        let mut huge = zipped(&[("part", b"a few bytes, and a few bytes more")]);
        replace_u32(&mut huge, 33, 0xffff_fff0);
        let mut archive = Archive::open(&huge, "The file").unwrap();
        assert!(archive.part("part").map_or(true, |part| part.unwrap().len() == 33));
    }

    #[test]
    fn too_many_entries_are_a_typed_failure() {
        let names: Vec<String> = (0..30_000).map(|number| format!("part{number}")).collect();
        let parts: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), b"".as_slice())).collect();
        assert_eq!(code(&zipped(&parts), "part1"), ExtractCode::TooLarge);
    }

    #[test]
    fn an_encrypted_entry_is_encrypted() {
        let mut bytes = zipped(&[("part", b"secret")]);
        // The lowest bit of the general purpose flags, in the local and the central header (APPNOTE.TXT, 4.4.4).
        bytes[6] |= 1;
        let central = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        bytes[central + 8] |= 1;
        assert_eq!(code(&bytes, "part"), ExtractCode::Encrypted);
    }

    #[test]
    fn an_encrypted_office_document_in_its_container_is_encrypted() {
        let name: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let container = [OLE_SIGNATURE, &[0; 1000], &name].concat();
        assert_eq!(code(&container, ""), ExtractCode::Encrypted);
        assert_eq!(code(&[OLE_SIGNATURE, &[0; 1000]].concat(), ""), ExtractCode::Broken);
    }

    #[test]
    fn a_damaged_archive_is_broken() {
        let whole = zipped(&[("part", "some text that is long enough to be cut".repeat(20).as_bytes())]);
        assert_eq!(code(&whole[..whole.len() / 2], "part"), ExtractCode::Broken);
        assert_eq!(code(b"PK\x03\x04 and no more", "part"), ExtractCode::Broken);
        let mut flipped = whole;
        flipped[45] ^= 0xff;
        assert_eq!(code(&flipped, "part"), ExtractCode::Broken);
    }
}
