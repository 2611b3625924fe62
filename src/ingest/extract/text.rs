//! Plain text in any encoding: a byte order mark decides, then the pattern of UTF-16, then valid UTF-8, then a guess from
//! the bytes as browsers make it (chardetng).

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::Extracted;
use super::canonical::canonical;

/// Enough to guess an encoding from; the detector runs over thirty candidates a byte.
const GUESS_BYTES: usize = 256 * 1024;

/// The file as it is, decoded.
pub fn extract(bytes: &[u8]) -> Extracted {
    Extracted { title: None, text: canonical(&decode(bytes)), markdown: false, ..Extracted::default() }
}

/// `bytes` as text. What cannot be decoded becomes U+FFFD.
pub fn decode(bytes: &[u8]) -> String {
    // `decode` obeys a byte order mark before what it is called on.
    encoding_of(bytes).decode(bytes).0.into_owned()
}

/// Whether the start of a file can be text: no NUL, unless it is UTF-16, and hardly any control characters.
pub fn is_text(head: &[u8]) -> bool {
    if Encoding::for_bom(head).is_some() || utf16(head).is_some() {
        return true;
    }
    let controls = head.iter().filter(|byte| matches!(byte, 1..=8 | 14..=26 | 28..=31 | 127)).count();
    !head.contains(&0) && controls * 50 <= head.len()
}

fn encoding_of(bytes: &[u8]) -> &'static Encoding {
    // UTF-16 of ASCII letters is valid UTF-8, too: with a NUL at every other place.
    utf16(bytes).unwrap_or_else(|| match std::str::from_utf8(bytes) {
        Ok(_) => UTF_8,
        Err(_) => guess(bytes),
    })
}

/// UTF-16 without a mark: text of most scripts then has a NUL, or the same high byte, in every other place; we look for
/// NULs only, in the start of the file.
fn utf16(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(1024) & !1];
    let zeros = |offset: usize| head.iter().skip(offset).step_by(2).filter(|byte| **byte == 0).count();
    let (first, second, pairs) = (zeros(0), zeros(1), head.len() / 2);
    match pairs {
        0 => None,
        _ if first == 0 && second * 3 > pairs * 2 => Some(UTF_16LE),
        _ if second == 0 && first * 3 > pairs * 2 => Some(UTF_16BE),
        _ => None,
    }
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    let start = &bytes[..bytes.len().min(GUESS_BYTES)];
    detector.feed(start, start.len() == bytes.len());
    detector.guess(None, Utf8Detection::Allow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_decides() {
        assert_eq!(decode(b"\xef\xbb\xbfh\xc3\xa9"), "hé");
        assert_eq!(decode(b"\xff\xfeh\0\xe9\0"), "hé");
        assert_eq!(decode(b"\xfe\xff\0h\0\xe9"), "hé");
    }

    #[test]
    fn utf_16_without_a_mark_is_found_by_its_pattern() {
        let little: Vec<u8> = "Quarterly report".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "Quarterly report".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(decode(&little), "Quarterly report");
        assert_eq!(decode(&big), "Quarterly report");
        assert!(is_text(&little));
    }

    #[test]
    fn old_encodings_are_guessed_from_the_bytes() {
        let german = "Die Größe der Fläche wächst; schöne Grüße aus Köln.";
        let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(german);
        assert_eq!(decode(&bytes), german);
        let japanese = "これは日本語の文章です。文字コードを推測します。";
        let (bytes, _, _) = encoding_rs::SHIFT_JIS.encode(japanese);
        assert_eq!(decode(&bytes), japanese);
        let russian = "Это обычный русский текст, записанный в старой кодировке.";
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(russian);
        assert_eq!(decode(&bytes), russian);
    }

    #[test]
    fn what_cannot_be_decoded_is_marked_and_never_an_error() {
        let mut bytes = b"plain text then ".to_vec();
        bytes.extend((0..=255u8).cycle().take(2048));
        assert!(decode(&bytes).starts_with("plain text then "));
    }
}
