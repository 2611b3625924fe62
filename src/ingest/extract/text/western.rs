//! What browsers guess to be Windows-1252, which old Macs and DOS may have written: they are taken where that makes words
//! of what is none as Windows-1252, with signs and capitals in the midst of them.

use encoding_rs::{ISO_8859_15, MACINTOSH, WINDOWS_1252};

use super::super::rtf::code_page::CodePage;

/// Enough to compare by.
const SAMPLE_BYTES: usize = 64 * 1024;

/// Microsoft's number of the code page that DOS had in Western Europe.
const DOS: i32 = 850;

/// `bytes` in the encoding that makes the most words of them.
pub fn decode(bytes: &[u8]) -> String {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    let all = [CodePage::Known(WINDOWS_1252), CodePage::Known(MACINTOSH), CodePage::numbered(DOS)];
    let [windows, others @ ..] = all.map(|page| (fitness(&decoded(page, sample)), page));
    let best = others.into_iter().reduce(|one, other| if other.0 > one.0 { other } else { one });
    match best {
        Some((fitness, page)) if windows.0 < 0 && fitness > 0 => decoded(page, bytes),
        _ if has_euro_of_iso(sample) => decoded(CodePage::Known(ISO_8859_15), bytes),
        _ => decoded(windows.1, bytes),
    }
}

/// The sign for any currency, which nobody writes, is the euro in ISO 8859-15; Windows has it where that has nothing.
fn has_euro_of_iso(sample: &[u8]) -> bool {
    sample.contains(&0xa4) && !sample.iter().any(|byte| (0x80..0xa0).contains(byte))
}

fn decoded(page: CodePage, bytes: &[u8]) -> String {
    let mut text = String::new();
    page.decode(bytes, &mut text);
    text
}

/// How many characters beyond ASCII are where such characters stand, less those that are not.
fn fitness(text: &str) -> i64 {
    let mut sum = 0;
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let after = chars.peek().copied().unwrap_or(' ');
        if !char.is_ascii() {
            sum += fits(before, char, after);
        }
        before = char;
    }
    sum
}

fn fits(before: char, char: char, after: char) -> i64 {
    let in_word = before.is_alphabetic() && after.is_alphabetic();
    let alone = !before.is_alphabetic() && !after.is_alphabetic();
    match char {
        '\u{80}'..='\u{9f}' => -2,
        '’' if in_word => 1,
        '“' | '„' | '«' if !before.is_alphabetic() => 1,
        '”' | '»' if !after.is_alphabetic() => 1,
        '€' | '–' | '—' | '•' if !in_word => 1,
        'à'..='ö' | 'ø'..='ÿ' | 'ß' | 'œ' if !alone => 1,
        'À'..='Ö' | 'Ø'..='Þ' | 'Œ' if !alone && !before.is_lowercase() => 1,
        'š' | 'ž' => 0,
        'Š' | 'Ž' if !before.is_alphabetic() => 0,
        _ if char.is_alphabetic() || in_word => -1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GERMAN: &str = "Die Größe der Fläche wächst; schöne Grüße aus Köln. Ärger, Öl.";
    const FRENCH: &str = "L'été, les élèves étudient à l'école près de la forêt où ça coûte.";

    #[test]
    fn macs_and_dos_are_known_by_the_words() {
        for text in [GERMAN, FRENCH] {
            let (mac, _, _) = MACINTOSH.encode(text);
            // encoding_rs writes what has no byte as an entity; there is none here.
            assert_eq!(decode(&mac), text);
            let (windows, _, _) = WINDOWS_1252.encode(text);
            assert_eq!(decode(&windows), text);
        }
        let dos = b"Die Gr\x94\xe1e der Fl\x84che w\x84chst; sch\x94ne Gr\x81\xe1e aus K\x94ln.";
        assert_eq!(decode(b"35 \xa4 im Caf\xe9"), "35 € im Café");
        assert_eq!(decode(dos), "Die Größe der Fläche wächst; schöne Grüße aus Köln.");
    }

    #[test]
    fn quotation_marks_dashes_and_signs_of_windows_stay() {
        for text in ["“Don’t wait,” she said – and left…", "35 € • 20 °C ± 1 «oui» §5 ©", "naïve café", "Šárka Žižka"]
        {
            let (windows, _, _) = WINDOWS_1252.encode(text);
            assert_eq!(decode(&windows), text);
        }
    }
}
