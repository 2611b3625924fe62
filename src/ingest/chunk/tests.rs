//! The laws of chunking over the sample documents, over documents put together at random, and over random text; then what
//! a reader would expect, case by case.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::ingest::extract::{ExtractOptions, detect, extract_here};

const SIZES: [ChunkSizes; 3] = [
    ChunkSizes { max_tokens: 256, overlap: 32 },
    ChunkSizes { max_tokens: 40, overlap: 0 },
    ChunkSizes { max_tokens: 32, overlap: 1_000 },
];

fn document(text: &str, markdown: bool) -> Extracted {
    Extracted { text: text.to_owned(), markdown, ..Extracted::default() }
}

fn cut(text: &str, markdown: bool, sizes: ChunkSizes) -> Chunked {
    chunk(document(text, markdown), "The title", &Tokenizer::approximate(), sizes)
}

impl Chunked {
    fn all(&self) -> Vec<Chunk> {
        self.chunks(0..self.len()).collect()
    }

    fn contents(&self) -> Vec<&str> {
        self.chunks(0..self.len()).map(|chunk| &self.text()[chunk.bytes]).collect()
    }

    fn passage(&self, index: usize) -> Passage {
        self.passages(index..index + 1).next().unwrap()
    }
}

/// What is promised of every document.
fn obeys_the_laws(extracted: &Extracted, sizes: ChunkSizes) -> Result<(), TestCaseError> {
    let text = &extracted.text;
    let tokenizer = Tokenizer::approximate();
    let chunked = chunk(extracted.clone(), "The title of the document", &tokenizer, sizes);
    prop_assert_eq!(chunked.text(), text);
    let all = 0..chunked.len();
    let mut covered = 0;
    let mut previous = 0;
    let mut stored = 0;
    for (chunk, passage) in chunked.chunks(all.clone()).zip(chunked.passages(all)) {
        let content = &text[chunk.bytes.clone()];
        stored += content.len();
        let by_chars: String = text.chars().skip(chunk.chars.start).take(chunk.chars.len()).collect();
        prop_assert_eq!(content, by_chars);
        prop_assert_eq!(content, content.trim());
        prop_assert!(chunk.token_count <= passage.token_ids.len());
        prop_assert!(passage.token_ids.len() <= sizes.max_tokens);
        prop_assert!(passage.text.ends_with(content));
        prop_assert!(chunk.bytes.start >= previous && chunk.bytes.end > covered, "in order, and each brings something");
        prop_assert!(text.get(covered..chunk.bytes.start).unwrap_or("").trim().is_empty(), "nothing is left out");
        previous = chunk.bytes.start;
        covered = chunk.bytes.end;
    }
    prop_assert!(text[covered..].trim().is_empty(), "nothing is left out at the end");
    // An eighth of overlap and half-full parts at worst: the work that comes after is linear in the text.
    prop_assert!(stored <= 2 * text.len(), "{} bytes stored of {}", stored, text.len());
    Ok(())
}

/// Building blocks of documents, some of them unpleasant.
fn block() -> impl Strategy<Value = String> {
    let words = "[a-zäß]{1,12}( [a-z]{1,9}[.,;]?){0,60}";
    prop_oneof![
        words.prop_map(|words| format!("{words}\n\n")),
        (1..=6usize, "[A-Z][a-z]{1,8}( [a-z]{1,8}){0,5}")
            .prop_map(|(level, name)| format!("{} {name}\n\n", "#".repeat(level))),
        prop::collection::vec("[a-z ]{1,60}", 1..30).prop_map(|items| format!("- {}\n\n", items.join("\n- "))),
        prop::collection::vec("[a-z0-9]{1,9}", 1..60)
            .prop_map(|rows| format!("| Name | Value |\n| --- | --- |\n| {} | 1 |\n\n", rows.join(" | 1 |\n| "))),
        prop::collection::vec("[ a-z(){};]{0,60}", 1..40)
            .prop_map(|lines| format!("```rust\n{}\n```\n\n", lines.join("\n"))),
        "[一-龠。]{1,300}".prop_map(|text| format!("{text}\n\n")),
        "[A-Za-z0-9+/]{1,2000}".prop_map(|blob| format!("{blob}\n\n")),
        "(> ){1,30}[a-z ]{1,40}\n\n",
        "\\PC{0,200}",
        "[ \n\t#|`\\-]{1,30}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn documents_put_together_at_random_obey_the_laws(
        blocks in prop::collection::vec(block(), 0..25),
        markdown: bool,
        sizes in prop::sample::select(&SIZES[..]),
    ) {
        obeys_the_laws(&document(&blocks.concat(), markdown), sizes)?;
    }

    #[test]
    fn random_text_obeys_the_laws(text in "(?s).{0,600}", markdown: bool, sizes in prop::sample::select(&SIZES[..])) {
        obeys_the_laws(&document(&text, markdown), sizes)?;
    }
}

#[test]
fn the_sample_documents_obey_the_laws() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/documents");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let content_type = detect(&bytes, path.file_name().and_then(|name| name.to_str()), None).unwrap();
        let extracted = extract_here(&bytes, content_type, &ExtractOptions::default()).unwrap();
        for sizes in SIZES {
            obeys_the_laws(&extracted, sizes).unwrap_or_else(|broken| panic!("{}: {broken}", path.display()));
        }
        seen += 1;
    }
    assert!(seen >= 10, "only {seen} documents");
}

#[test]
fn blobs_without_a_space_are_cut_too() {
    for markdown in [false, true] {
        let text = "x".repeat(300_000);
        obeys_the_laws(&document(&text, markdown), SIZES[0]).unwrap();
    }
}

#[test]
fn headings_stay_with_what_they_head_and_are_known_to_their_chunks() {
    let long = "Some sentence about the matter at hand. ".repeat(20);
    let text = format!("# Handbook\n\n{long}\n\n## Leave\n\n### Annual leave\n\n{long}\n\n## Travel\n\n{long}\n");
    let chunked = cut(&text, true, ChunkSizes { max_tokens: 300, overlap: 0 });
    let starts: Vec<&str> = chunked.contents().iter().map(|content| content.lines().next().unwrap()).collect();
    assert_eq!(starts, ["# Handbook", "## Leave", "## Travel"]);
    let paths: Vec<String> = chunked.all().iter().map(|chunk| chunk.heading_path.join(" > ")).collect();
    assert_eq!(paths, ["Handbook", "Handbook > Leave > Annual leave", "Handbook > Travel"]);
    assert!(chunked.passage(1).text.starts_with("The title\nHandbook\n\n## Leave\n\n### Annual leave\n"));
}

#[test]
fn small_sections_share_a_chunk_under_their_common_heading() {
    let text = "# Terms\n\n## Net sales\n\nGross less returns.\n\n## Churn\n\nCustomers lost.\n";
    let chunked = cut(text, true, SIZES[0]);
    assert_eq!(chunked.contents(), [text.trim()]);
    assert_eq!(chunked.all()[0].heading_path, ["Terms"]);
}

#[test]
fn a_heading_is_never_the_last_thing_of_a_chunk() {
    let text = (0..40).map(|n| format!("## Section {n}\n\n{}\n\n", "word ".repeat(n * 3 + 1))).collect::<String>();
    for content in cut(&text, true, ChunkSizes { max_tokens: 64, overlap: 0 }).contents() {
        assert!(!content.lines().last().unwrap().starts_with('#'), "{content}");
    }
}

#[test]
fn every_part_of_a_long_table_has_the_header_in_its_passage_and_not_in_its_range() {
    let rows: String = (0..60).map(|n| format!("| station {n} | {n} |\n")).collect();
    let text = format!("# Stations\n\n| Name | Depth |\n| --- | --- |\n{rows}");
    let chunked = cut(&text, true, ChunkSizes { max_tokens: 120, overlap: 30 });
    assert!(chunked.len() > 3);
    for (index, content) in chunked.contents().into_iter().enumerate().skip(1) {
        assert!(content.starts_with("| station"), "{content}");
        let passage = format!("The title\nStations\n\n| Name | Depth |\n| --- | --- |\n{content}");
        assert_eq!(chunked.passage(index).text, passage);
        assert_eq!(chunked.passage(index).token_ids.len(), Tokenizer::approximate().count(&passage));
    }
    assert!(chunked.all().windows(2).all(|pair| pair[0].bytes.end <= pair[1].bytes.start), "rows are not repeated");
}

#[test]
fn a_table_of_megabytes_has_its_header_in_every_passage() {
    let rows: String = (0..100_000).map(|n| format!("| # station {n} | {n} |\n")).collect();
    let text = format!("# Stations\n\n| Name | Depth |\n| --- | --- |\n{rows}\n# Then\n");
    let chunked = cut(&text, true, SIZES[0]);
    for (index, passage) in chunked.passages(0..chunked.len()).enumerate() {
        let has_header =
            passage.text.starts_with("The title\nStations\n\n| Name | Depth |\n| --- | --- |\n| # station");
        assert!(has_header || index == 0 || index + 1 == chunked.len(), "{}", passage.text);
    }
    assert!(chunked.passage(chunked.len() - 1).text.ends_with("# Then"));
}

#[test]
fn every_part_of_a_code_block_knows_its_language() {
    let lines: String = (0..60).map(|n| format!("let value_{n} = {n};\n")).collect();
    let text = format!("```rust\n{lines}```\n");
    let chunked = cut(&text, true, ChunkSizes { max_tokens: 100, overlap: 0 });
    assert!(chunked.len() > 3);
    for (index, content) in chunked.contents().into_iter().enumerate() {
        assert!(chunked.passage(index).text.contains("```rust\n") && content.starts_with(['l', '`']), "{content}");
    }
}

#[test]
fn only_a_block_that_is_cut_overlaps_with_itself() {
    let sentences: String = (0..40).map(|n| format!("This is sentence number {n} of the text. ")).collect();
    let text = format!("First paragraph.\n\n{sentences}\n\n# Next\n\n{sentences}\n");
    let chunked = cut(&text, true, ChunkSizes { max_tokens: 120, overlap: 15 });
    let (chunks, contents) = (chunked.all(), chunked.contents());
    let overlaps = chunks.windows(2).map(|pair| pair[1].bytes.start < pair[0].bytes.end);
    let at_heading = contents.iter().position(|content| content.starts_with('#')).unwrap();
    for (place, overlaps) in overlaps.enumerate().skip(1) {
        assert_eq!(overlaps, place + 1 != at_heading, "between {place} and the next");
        let content = contents[place];
        assert!(content.starts_with("This is sentence") || content.starts_with('#'), "{content}");
    }
}

#[test]
fn a_chunk_knows_the_page_it_starts_on() {
    let page = |number: usize| format!("Page {number} says this. {}", "More words follow here. ".repeat(12));
    let text = format!("{}\n\n{}\n\n{}", page(1), page(2), page(4));
    let start = |number: usize| text.find(&format!("Page {number} ")).unwrap();
    let pages = [(1, 0), (2, start(2)), (3, start(4)), (4, start(4))];
    let pages = pages.map(|(number, start)| PageStart { number, start }).to_vec();
    let extracted = Extracted { text: text.clone(), markdown: true, pages, ..Extracted::default() };
    let chunked = chunk(extracted, "", &Tokenizer::approximate(), ChunkSizes { max_tokens: 128, overlap: 0 });
    let on_page: Vec<Option<u32>> = chunked.all().iter().map(|chunk| chunk.page).collect();
    assert_eq!(on_page, [Some(1), Some(2), Some(4)]);
    assert!(chunked.passage(0).text.starts_with("Page 1"));
}

#[test]
fn a_title_that_is_endless_leaves_room_for_the_content() {
    let extracted = document("# A\n\nSome words of content that matter to somebody.", true);
    let title = "endless title ".repeat(10_000);
    let chunked = chunk(extracted, &title, &Tokenizer::approximate(), ChunkSizes { max_tokens: 64, overlap: 0 });
    assert_eq!(chunked.len(), 1);
    let passage = chunked.passage(0);
    assert!(passage.token_ids.len() <= 64 && passage.text.len() < 200);
}

#[test]
fn groups_of_chunks_and_passages_end_with_the_document() {
    let text = "One sentence of several words. ".repeat(100);
    let chunked = cut(&text, true, SIZES[1]);
    let count = chunked.len();
    assert!(count > 3);
    assert_eq!(chunked.chunks(count - 1..count + 7).count(), 1);
    assert_eq!(chunked.passages(0..2).count(), 2);
    assert_eq!(chunked.passages(count..count + 7).count(), 0);
}

#[test]
fn the_same_passage_has_the_same_fingerprint_wherever_it_stands() {
    let passage = |text: &str| Passage { text: text.to_owned(), token_ids: Vec::new() };
    assert_eq!(fingerprint(&passage("abc")).to_string(), "ba7816bf-8f01-cfea-4141-40de5dae2223");
    assert_ne!(fingerprint(&passage("abc")), fingerprint(&passage("abd")));
}
