//! Hostile office files: bombs, and thousands of mutations of the fixtures. Each must end in text or a typed failure,
//! without a panic and within the memory that a test thread's small stack allows.

use super::archive::{Archive, stored, zipped};
use super::{ContentType, ExtractCode, ExtractFailure, ExtractOptions, Extracted, extract_here};

const FIXTURES: [(ContentType, &[u8]); 4] = [
    (ContentType::Docx, include_bytes!("../../../fixtures/documents-office/calibration-procedure.docx")),
    (ContentType::Pptx, include_bytes!("../../../fixtures/documents-office/sensor-roadmap.pptx")),
    (ContentType::Odt, include_bytes!("../../../fixtures/documents-office/depot-checklist.odt")),
    (ContentType::Odp, include_bytes!("../../../fixtures/documents-office/training-course.odp")),
];

/// Of each fixture, half of them inside the parts, where checksums do not stop them.
const MUTATIONS: usize = 500;

/// What mutations put in: markup in the wrong place, and numbers at the edge.
const INSERTS: [&str; 16] = [
    "<w:p>",
    "</w:p>",
    "<w:tbl><w:tr><w:tc>",
    "<w:r><w:t>",
    "<text:list>",
    "</text:list-item>",
    "<a:p>",
    "<text:note>",
    "&#0;",
    "&amp;",
    "&",
    "\"",
    "'-1'",
    "'4294967296'",
    "<![CDATA[",
    "\u{0}\u{1f600}",
];

fn extract(bytes: &[u8], content_type: ContentType) -> Result<Extracted, ExtractFailure> {
    extract_here(bytes, content_type, &ExtractOptions::default())
}

/// A document whose text is this XML.
fn document(content_type: ContentType, inside: &str) -> Vec<u8> {
    match content_type {
        ContentType::Docx => {
            let document = format!("<w:document><w:body>{inside}</w:body></w:document>");
            stored(&[("word/document.xml", document.as_bytes())])
        }
        _ => {
            let content = format!(
                "<office:document-content><office:body><office:text>{inside}</office:text></office:body>\
                 </office:document-content>"
            );
            stored(&[("content.xml", content.as_bytes())])
        }
    }
}

#[test]
fn parts_that_unpack_to_far_more_than_is_stored_are_too_large() {
    let blank = vec![b' '; 32 << 20];
    for (content_type, name) in [
        (ContentType::Docx, "word/document.xml"),
        (ContentType::Pptx, "ppt/presentation.xml"),
        (ContentType::Odt, "content.xml"),
        (ContentType::Odp, "content.xml"),
    ] {
        let bytes = zipped(&[(name, &blank)]);
        assert_eq!(extract(&bytes, content_type).unwrap_err().code, ExtractCode::TooLarge, "{name}");
    }
}

#[test]
fn deep_nesting_is_broken_whatever_is_nested() {
    let nested = |open: &str, count| document(ContentType::Docx, &open.repeat(count));
    let in_odt = |open: &str, count| document(ContentType::Odt, &open.repeat(count));
    for (bytes, content_type) in [
        (nested("<w:tbl><w:tr><w:tc>", 60_000), ContentType::Docx),
        (nested("<a>", 200_000), ContentType::Docx),
        (nested("<w:p><w:r><w:txbxContent>", 60_000), ContentType::Docx),
        (nested("<w:p><m:oMath><m:f><m:num>", 60_000), ContentType::Docx),
        (in_odt("<table:table><table:table-row><table:table-cell>", 60_000), ContentType::Odt),
        (in_odt("<text:list><text:list-item>", 60_000), ContentType::Odt),
        (in_odt("<text:p><draw:frame><draw:text-box>", 60_000), ContentType::Odt),
    ] {
        assert_eq!(extract(&bytes, content_type).unwrap_err().code, ExtractCode::Broken);
    }
}

#[test]
fn nesting_up_to_the_limit_is_read_on_a_small_stack() {
    let cell = |depth: usize| {
        let (open, close) = ("<w:tbl><w:tr><w:tc>".repeat(depth), "</w:tc></w:tr></w:tbl>".repeat(depth));
        format!("{open}<w:p><w:r><w:t>deep</w:t></w:r></w:p>{close}")
    };
    let text = extract(&document(ContentType::Docx, &cell(168)), ContentType::Docx).unwrap().text;
    assert_eq!(text, "deep\n");
    let boxes = format!(
        "{}<w:p><w:r><w:t>deep</w:t></w:r></w:p>{}",
        "<w:p><w:r><w:txbxContent>".repeat(168),
        "</w:txbxContent></w:r></w:p>".repeat(168)
    );
    assert_eq!(extract(&document(ContentType::Docx, &boxes), ContentType::Docx).unwrap().text, "deep\n");
    let list = format!(
        "{}<text:p>deep</text:p>{}",
        "<text:list><text:list-item>".repeat(250),
        "</text:list-item></text:list>".repeat(250)
    );
    assert_eq!(extract(&document(ContentType::Odt, &list), ContentType::Odt).unwrap().text, "- deep\n");
}

#[test]
fn numbers_that_stand_for_memory_are_bounded() {
    let wide = "<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val='4000000000'/></w:tcPr>\
                <w:p><w:r><w:t>wide</w:t></w:r></w:p></w:tc></w:tr></w:tbl>";
    let text = extract(&document(ContentType::Docx, &wide.repeat(100)), ContentType::Docx).unwrap().text;
    assert_eq!(text.matches("wide").count(), 100);
    assert!(text.len() < 10_000);
}

#[test]
fn mutated_files_end_in_text_or_a_typed_failure() {
    let mut random = Random(0x5eed);
    let (mut read, mut failed) = (0, 0);
    for (content_type, bytes) in FIXTURES {
        let parts = parts_of(bytes);
        for round in 0..MUTATIONS {
            let mutated = match round % 2 {
                0 => random.mutated(bytes, bytes),
                _ => stored(&random.one_mutated(&parts)),
            };
            match extract(&mutated, content_type) {
                Ok(extracted) => {
                    read += 1;
                    check(&extracted);
                }
                Err(_) => failed += 1,
            }
        }
    }
    // Both must happen often, or the mutations are too tame or too wild to test anything.
    assert!(read > 200 && failed > 200, "{read} read, {failed} failed");
}

/// What a reader promises of its text.
fn check(extracted: &Extracted) {
    let text = &extracted.text;
    assert!(!text.contains(|char: char| char.is_control() && char != '\n' && char != '\t'));
    assert!(extracted.pages.iter().all(|page| text.is_char_boundary(page.start)));
    assert!(extracted.pages.is_sorted_by(|one, next| one.start < next.start && one.number < next.number));
}

/// The XML parts, without which most of a file's bytes are themes and pictures.
fn parts_of(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = Archive::open(bytes, "The file").unwrap();
    let names: Vec<String> = archive.names().map(str::to_owned).collect();
    let matters = |name: &String| {
        (name.ends_with(".xml") || name.ends_with(".rels")) && !name.contains("theme") && !name.contains("slideLayouts")
    };
    let parts = names.into_iter().filter(matters);
    parts.map(|name| (name.clone(), archive.part(&name).unwrap().unwrap())).collect()
}

/// A linear congruential generator (Knuth's MMIX): the same mutations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }

    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len);
        start..(start + 1 + self.below(64)).min(len)
    }

    /// `bytes` with up to four changes; `donor` gives pieces.
    fn mutated(&mut self, bytes: &[u8], donor: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.range(out.len());
            match self.below(6) {
                0 => out.truncate(at.start),
                1 => out[at].iter_mut().for_each(|byte| *byte ^= 0x55),
                2 => drop(out.drain(at)),
                3 => {
                    let piece = donor[self.range(donor.len())].to_vec();
                    drop(out.splice(at, piece));
                }
                4 => drop(out.splice(at.start..at.start, INSERTS[self.below(INSERTS.len())].bytes())),
                _ => out[at.start] = u8::try_from(self.below(256)).unwrap(),
            }
            if out.is_empty() {
                break;
            }
        }
        out
    }

    /// All parts, one of them changed.
    fn one_mutated<'a>(&mut self, parts: &'a [(String, Vec<u8>)]) -> Vec<(&'a str, Vec<u8>)> {
        let (changed, donor) = (self.below(parts.len()), self.below(parts.len()));
        let part = |(index, (name, bytes)): (usize, &'a (String, Vec<u8>))| match index == changed {
            true => (name.as_str(), self.mutated(bytes, &parts[donor].1)),
            false => (name.as_str(), bytes.clone()),
        };
        parts.iter().enumerate().map(part).collect()
    }
}
