use std::io::{Cursor, Write};

use zip::write::{SimpleFileOptions, ZipWriter};

use super::super::ExtractCode;
use super::*;

/// A book of one chapter, `c.xhtml`, and further parts.
fn book(chapter: &[u8], further: &[(&str, &str)]) -> Vec<u8> {
    let package = "<package><metadata/><manifest><item id='c' href='./c.xhtml' media-type='application/xhtml+xml'/></manifest>\
                   <spine><itemref idref='c'/><itemref idref='missing'/></spine></package>";
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, content: &[u8]| {
        writer.start_file(name, SimpleFileOptions::default().compression_level(Some(1))).unwrap();
        writer.write_all(content).unwrap();
    };
    add("book.opf", package.as_bytes());
    add("c.xhtml", chapter);
    further.iter().for_each(|(name, content)| add(name, content.as_bytes()));
    writer.finish().unwrap().into_inner()
}

#[test]
fn chapters_come_in_reading_order_each_on_its_page() {
    let extracted = extract(include_bytes!("../../../../fixtures/documents-office/manual.epub")).unwrap();
    assert_eq!(extracted.title.as_deref(), Some("The mast manual"));
    let starts: Vec<(u32, &str)> = extracted
        .pages
        .iter()
        .map(|page| (page.number, extracted.text[page.start..].lines().next().unwrap()))
        .collect();
    assert_eq!(starts, [(2, "# The mast foot"), (3, "# Wiring"), (4, "# Care")]);
    insta::assert_snapshot!(extracted.text, @"
    # The mast foot

    Pour 0.9 cubic metres of concrete.

    1. Dig.
    2. Pour.
    3. Wait 7 days.

    # Wiring

    | Wire | Signal |
    | --- | --- |
    | red | 12 V |
    | blue | ground |

    # Care

    Oil nothing. The bearings are sealed – for life.
    ");
}

#[test]
fn a_book_without_a_container_is_read_by_its_package() {
    assert_eq!(extract(&book(b"<html><title/><p>Hello</p>", &[])).unwrap().text, "Hello");
}

#[test]
fn a_book_whose_chapters_are_encrypted_wants_a_key() {
    let encrypted = |uri: &str, algorithm: &str| {
        let encryption = format!(
            "<encryption><EncryptedData><EncryptionMethod Algorithm='{algorithm}'/><CipherData><CipherReference URI='{uri}'/>\
             </CipherData></EncryptedData></encryption>"
        );
        extract(&book(b"<p>Hello</p>", &[("META-INF/encryption.xml", &encryption)]))
    };
    let aes = "http://www.w3.org/2001/04/xmlenc#aes128-cbc";
    assert_eq!(encrypted("c.xhtml", aes).unwrap_err().code, ExtractCode::Encrypted);
    assert_eq!(encrypted("font.otf", aes).unwrap().text, "Hello");
    assert_eq!(encrypted("c.xhtml", FONT_ALGORITHMS[0]).unwrap().text, "Hello");
}

#[test]
fn a_chapter_that_inflates_without_end_is_too_large() {
    let chapter = vec![b' '; 256 << 20];
    assert_eq!(extract(&book(&chapter, &[])).unwrap_err().code, ExtractCode::TooLarge);
}

#[test]
fn what_is_no_book_is_broken() {
    let whole = book(b"<p>Hello</p>", &[]);
    for bytes in [&whole[..whole.len() - 30], b"PK\x03\x04", b"no archive"] {
        assert_eq!(extract(bytes).unwrap_err().code, ExtractCode::Broken);
    }
}
