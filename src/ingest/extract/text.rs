//! Plain text in any encoding: a byte order mark decides, then the pattern of UTF-16, then the escapes of ISO-2022-JP, then
//! valid UTF-8, then a guess from the bytes as browsers make it (chardetng), mended where browsers never guess: old Macs
//! and DOS (`western`).

mod western;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::Extracted;
use super::canonical::canonical;

/// Enough to guess an encoding from; the detector runs over thirty candidates a byte.
const GUESS_BYTES: usize = 256 * 1024;

/// Enough to know UTF-16 by.
const UTF_16_BYTES: usize = 4096;

/// Of so many characters of a text at least one parts words or sentences, and at most one of so many is none of a text.
const UNITS_FOR_SIGN: usize = 200;
const UNITS_FOR_STRANGE: usize = 50;

/// The file as it is, decoded.
pub fn extract(bytes: &[u8]) -> Extracted {
    Extracted { title: None, text: canonical(&decode(bytes)), markdown: false, ..Extracted::default() }
}

/// `bytes` as text. What cannot be decoded becomes U+FFFD.
pub fn decode(bytes: &[u8]) -> String {
    let encoding = encoding_of(bytes);
    if encoding == WINDOWS_1252 && Encoding::for_bom(bytes).is_none() {
        return western::decode(bytes);
    }
    // `decode` obeys a byte order mark before what it is called on.
    encoding.decode(bytes).0.into_owned()
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
    // UTF-16 of ASCII letters is valid UTF-8, too: with a NUL at every other place. And ISO-2022-JP is ASCII.
    let by_pattern = utf16(bytes).or_else(|| has_japanese_escape(bytes).then_some(ISO_2022_JP));
    by_pattern.unwrap_or_else(|| match std::str::from_utf8(bytes) {
        Ok(_) => UTF_8,
        Err(_) => guess(bytes),
    })
}

/// UTF-16 without a mark: no other text has NULs, and in any script there are spaces, line ends or full stops in one of the
/// two byte orders and hardly anything that is no character.
fn utf16(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(UTF_16_BYTES) & !1];
    if !head.contains(&0) {
        return None;
    }
    let orders = [(UTF_16LE, u16::from_le_bytes as fn([u8; 2]) -> u16), (UTF_16BE, u16::from_be_bytes)];
    let signs = orders.map(|(encoding, unit)| (signs_of_text(head, unit), encoding));
    let likelier = signs.into_iter().reduce(|one, other| if other.0 > one.0 { other } else { one });
    likelier.and_then(|(signs, encoding)| signs.map(|_| encoding))
}

/// How many units part words or sentences; none where too few do, or too many units are no characters of a text.
fn signs_of_text(head: &[u8], unit: fn([u8; 2]) -> u16) -> Option<usize> {
    let units = || head.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let (mut signs, mut strange) = (0usize, 0usize);
    for char in char::decode_utf16(units()) {
        match char {
            Ok(' ' | '\n' | '\r' | '\t' | ',' | '.' | '0'..='9' | '\u{3001}' | '\u{3002}' | '\u{ff0c}') => signs += 1,
            Ok('\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}') | Err(_) => {
                strange += 1
            }
            Ok(_) => {}
        }
    }
    let count = head.len() / 2;
    (signs * UNITS_FOR_SIGN >= count && strange * UNITS_FOR_STRANGE <= count).then_some(signs)
}

/// How Japanese mail says that two-byte characters begin (RFC 1468).
fn has_japanese_escape(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(GUESS_BYTES)];
    start.is_ascii() && start.windows(3).any(|three| matches!(three, b"\x1b$B" | b"\x1b$@"))
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
    fn utf_16_without_a_mark_is_found_in_every_script() {
        for text in [
            "Это обычный русский текст. Все люди рождаются свободными.\n",
            "これは日本語の文章です。文字コードを推測します。\n",
            "这是一个简体中文的测试文件。一季度销售额增长了百分之十。\n",
            "이것은 한국어 문장입니다. 분기별 매출액이 증가했습니다.\n",
            "هذا نص باللغة العربية. يولد جميع الناس أحراراً.\n",
            "Αυτό είναι ένα κείμενο στα ελληνικά.\n",
        ] {
            let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            assert_eq!((decode(&little).as_str(), decode(&big).as_str()), (text, text));
            assert!(is_text(&little) && is_text(&big));
        }
        let numbers: Vec<u8> = (0..2000u32).flat_map(|number| (number * 77).to_le_bytes()).collect();
        assert!(!is_text(&numbers));
    }

    #[test]
    fn japanese_escapes_are_known() {
        assert_eq!(decode(b"\x1b$B$3$l$O\x1b(B OK"), "これは OK");
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
