//! Tables as text: comma-, semicolon-, tab- or bar-separated values, in any encoding, as a Markdown table.
//!
//! The delimiter is what parts the first rows most evenly; a file that none parts, as prose under the name of a table, stays
//! plain text. Lines of one cell before the table are its caption. The file is read twice and written once: beside it there
//! is never more than its decoded text, where it is not UTF-8, and the result.

use std::borrow::Cow;

use csv::{Reader, ReaderBuilder, StringRecord};

use super::canonical::canonical;
use super::table::{Columns, Writer};
use super::{Extracted, MAX_TEXT_BYTES, text};

/// What columns are parted by; of equally good ones the first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// How many rows, within how many bytes, tell the delimiter.
const SAMPLE_ROWS: usize = 200;
const SAMPLE_BYTES: usize = 256 * 1024;

/// So much of a sample's rows must have equally many cells. Real tables have short rows and notes.
const EVEN_SHARE: f64 = 0.5;

/// At most so much of them may have one cell: sentences have a comma here and there.
const SINGLE_SHARE: f64 = 0.25;

/// A text of unknown kind is a table if it begins with so many alike.
const SURE_ROWS: usize = 4;

/// The table as Markdown, or the text as it is.
pub fn extract(bytes: &[u8]) -> Extracted {
    let decoded = decode(bytes);
    let (delimiter, body) = match declared(&decoded) {
        Some((delimiter, body)) => (Some(delimiter), body),
        None => (sniffed(&decoded), &*decoded),
    };
    match delimiter.and_then(|delimiter| table(body, delimiter)) {
        Some(text) => Extracted { text, markdown: true, ..Extracted::default() },
        None => Extracted { text: canonical(&decoded), markdown: false, ..Extracted::default() },
    }
}

/// Whether a text of unknown kind begins as tables do: with a row of names, and rows that all have as many cells.
pub fn begins_like_table(opening: &str) -> bool {
    let complete = opening.rsplit_once('\n').map_or("", |(complete, _)| complete);
    let Some(delimiter) = sniffed(complete) else { return false };
    let mut rows: Vec<StringRecord> = Vec::new();
    for_each_row(complete, delimiter, SAMPLE_ROWS, |row| {
        rows.push(row.clone());
        true
    });
    let Some(names) = rows.first() else { return false };
    let least = if delimiter == b',' { 3 } else { 2 };
    rows.len() >= SURE_ROWS
        && names.len() >= least
        && names.iter().all(|name| !name.trim().is_empty())
        && rows.iter().all(|row| row.len() == names.len())
}

/// Valid UTF-8 is not copied, unless its NULs say UTF-16.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Cow::Borrowed(text.trim_start_matches('\u{feff}')),
        _ => Cow::Owned(text::decode(bytes)),
    }
}

/// Excel obeys, and some programs write, a first line that names the delimiter.
fn declared(text: &str) -> Option<(u8, &str)> {
    let (first, rest) = text.split_once('\n')?;
    let delimiter = first.trim_end_matches('\r').trim_matches('"').strip_prefix("sep=")?;
    match delimiter.as_bytes() {
        [delimiter] if delimiter.is_ascii() => Some((*delimiter, rest)),
        _ => None,
    }
}

/// The delimiter that gives the most rows of equally many cells, and of those the most cells.
fn sniffed(text: &str) -> Option<u8> {
    let sample = &text[..text.floor_char_boundary(SAMPLE_BYTES)];
    let fits = DELIMITERS.into_iter().filter_map(|delimiter| Some((evenness(sample, delimiter)?, delimiter)));
    let best = fits.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    Some(best.1)
}

/// The share of rows that have as many cells as most have, in hundredths, and how many that is.
fn evenness(sample: &str, delimiter: u8) -> Option<(usize, usize)> {
    let mut widths = Vec::new();
    for_each_row(sample, delimiter, SAMPLE_ROWS, |row| {
        widths.push(row.len());
        true
    });
    let share = |width: usize| widths.iter().filter(|other| **other == width).count() as f64 / widths.len() as f64;
    let width =
        widths.iter().copied().filter(|width| *width > 1).max_by_key(|width| (share(*width) * 100.0) as usize)?;
    let fits = widths.len() > 1 && share(width) >= EVEN_SHARE && share(1) <= SINGLE_SHARE;
    fits.then_some(((share(width) * 100.0) as usize, width))
}

/// The Markdown of the whole file; none where it would be longer than a document may be, as the text may not.
fn table(text: &str, delimiter: u8) -> Option<String> {
    let (mut columns, mut caption_rows, mut seen_table) = (Columns::default(), 0, false);
    for_each_row(text, delimiter, usize::MAX, |row| {
        seen_table |= cells(row).filter(|cell| !cell.trim().is_empty()).nth(1).is_some();
        match seen_table {
            true => columns.see(cells(row)),
            false => caption_rows += 1,
        }
        true
    });
    let mut out = String::new();
    let mut writer = Writer::new(&columns);
    let mut row_number = 0;
    for_each_row(text, delimiter, usize::MAX, |row| {
        match row_number < caption_rows {
            true => caption(row, &mut out),
            false => writer.row(cells(row), &mut out),
        }
        row_number += 1;
        out.len() <= MAX_TEXT_BYTES
    });
    let out = clean(out);
    (seen_table && out.len() <= MAX_TEXT_BYTES).then_some(out)
}

/// A paragraph of its own, so that no row of the table joins it.
fn caption(row: &StringRecord, out: &mut String) {
    for cell in cells(row).map(str::trim).filter(|cell| !cell.is_empty()) {
        out.push_str(cell);
        out.push_str("\n\n");
    }
}

/// Cells have no line ends any more, so only what is invisible is left to take out, which few files have.
fn clean(markdown: String) -> String {
    let is_clean = |char: char| char == '\n' || !(char.is_control() || matches!(char, '\u{ad}' | '\u{feff}'));
    if markdown.chars().all(is_clean) { markdown } else { canonical(&markdown) }
}

fn cells(row: &StringRecord) -> impl Iterator<Item = &str> + Clone {
    row.iter()
}

/// Calls `visit` with at most `count` rows, until it says no.
fn for_each_row(text: &str, delimiter: u8, count: usize, mut visit: impl FnMut(&StringRecord) -> bool) {
    let mut reader: Reader<&[u8]> =
        ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text.as_bytes());
    let mut row = StringRecord::new();
    let mut left = count;
    // Text cannot fail to be read or to be UTF-8.
    while left > 0 && reader.read_record(&mut row).unwrap_or(false) && visit(&row) {
        left -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markdown(csv: &[u8]) -> String {
        let extracted = extract(csv);
        assert!(extracted.markdown, "{}", extracted.text);
        extracted.text
    }

    #[test]
    fn every_usual_delimiter_is_found() {
        let expected = "| Item | Price, EUR |\n| --- | --- |\n| Vane | 1,200 |\n| Mast; long | 30 |\n";
        assert_eq!(markdown(b"Item,\"Price, EUR\"\r\nVane,\"1,200\"\r\nMast; long,30\r\n"), expected);
        assert_eq!(markdown(b"Item;Price, EUR\nVane;1,200\n\"Mast; long\";30\n"), expected);
        assert_eq!(markdown(b"Item\tPrice, EUR\nVane\t1,200\nMast; long\t30"), expected);
        assert_eq!(markdown(b"Item|Price, EUR\nVane|1,200\nMast; long|30"), expected);
        assert_eq!(markdown(b"sep=:\nItem:Price, EUR\nVane:1,200\nMast; long:30"), expected);
    }

    #[test]
    fn a_table_is_known_without_a_name() {
        for table in ["a,b,c\n1,2,3\n4,5,6\n,,\n7", "a\tb\n1\t2\n\"3\n4\"\t4\n5\t6\n"] {
            assert!(begins_like_table(table), "{table}");
        }
        for other in [
            "Dear all, it is cold.\nWe close, now.\nBye, all.\nA, B\n",
            "int a;\nint b;\nint c;\nint d;\n",
            "a,b,c\n1,2,3\n",
        ] {
            assert!(!begins_like_table(other), "{other}");
        }
    }

    #[test]
    fn any_encoding_is_read() {
        let expected = "| Stadt | Höhe |\n| --- | --- |\n| Köln | 53 |\n";
        assert_eq!(markdown("\u{feff}Stadt;Höhe\nKöln;53\n".as_bytes()), expected);
        assert_eq!(markdown(b"Stadt;H\xf6he\nK\xf6ln;53\n"), expected);
        let utf_16: Vec<u8> = "Stadt;Höhe\nKöln;53\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(markdown(&utf_16), expected);
    }

    #[test]
    fn ragged_rows_captions_quotes_and_bars_survive() {
        let csv = b"Stock of June\n\nItem,Note,,Left\n\"Vane \"\"A\"\"\",\"two\nlines\",,3\nMast,a|b\nWire,,,7,extra\nCup,x,,1\n";
        insta::assert_snapshot!(markdown(csv), @r#"
        Stock of June

        | Item | Note | Left |  |
        | --- | --- | --- | --- |
        | Vane "A" | two lines | 3 |  |
        | Mast | a\|b |  |  |
        | Wire |  | 7 | extra |
        | Cup | x | 1 |  |
        "#);
    }

    #[test]
    fn prose_and_single_columns_stay_plain_text() {
        for text in
            ["name\nVane\nMast\n", "Dear all, it is cold.\nWe close.\nPlease, close, too, all of you.\nBye\n", "x,y"]
        {
            let extracted = extract(text.as_bytes());
            assert_eq!((extracted.text.as_str(), extracted.markdown), (text, false));
        }
    }

    #[test]
    fn a_table_that_would_outgrow_a_document_stays_as_it_is() {
        let wide = format!("{}\n{}", vec!["x"; 40_000].join(","), "a,b\n".repeat(2_000));
        let extracted = extract(wide.as_bytes());
        assert!(!extracted.markdown);
        let sparse = format!("a,b\nc,d\n{}\n{}", vec!["x"; 40_000].join(","), "a,b\n".repeat(20_000));
        assert_eq!(extract(sparse.as_bytes()).text, sparse);
    }

    #[test]
    fn control_characters_are_no_text() {
        assert_eq!(markdown(b"a\x01,b\nc,d\xc2\xad\n"), "| a | b |\n| --- | --- |\n| c | d |\n");
    }
}
