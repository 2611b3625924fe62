//! What people upload that is not read, so that the refusal names it.

use super::super::text::is_text;
use super::TEXT_BYTES;

/// What the file is, where it is a known kind that is not read.
pub fn of_unsupported(bytes: &[u8]) -> Option<&'static str> {
    SIGNATURES.iter().find(|(signature, _)| signature.is_of(bytes)).map(|(_, what)| *what)
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
        head.get(self.offset..).is_some_and(|rest| rest.starts_with(self.bytes))
            && (proves || !is_text(&head[..head.len().min(TEXT_BYTES)]))
    }
}

const fn at(offset: usize, bytes: &'static [u8]) -> Signature {
    Signature { offset, bytes }
}

const SIGNATURES: [(Signature, &str); 30] = [
    (at(0, b"\x89PNG\r\n"), "a picture (PNG)"),
    (at(0, b"\xff\xd8\xff"), "a picture (JPEG)"),
    (at(0, b"GIF8"), "a picture (GIF)"),
    (at(8, b"WEBP"), "a picture (WebP)"),
    (at(0, b"II*\0"), "a picture (TIFF)"),
    (at(0, b"MM\0*"), "a picture (TIFF)"),
    (at(0, b"\0\0\x01\0"), "a picture (icon)"),
    (at(0, b"PK\x05\x06"), "an empty ZIP archive"),
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
