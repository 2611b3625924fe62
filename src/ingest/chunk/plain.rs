//! Plain text, by `text-splitter`: paragraphs, lines, sentences, words, whichever is the largest that fits.
//!
//! Left alone it would count the tokens of every candidate anew (seven to ten times the text) and take time that grows
//! faster than the text. So it counts by looking up the tokens of the whole text, and sees pieces of at most 16 KB.

use std::ops::Range;

use text_splitter::{ChunkConfig, ChunkSizer, TextSplitter};

use super::measure::Measure;
use super::outline::{Outline, Path};
use super::{ChunkSizes, Piece};

/// What the splitter sees at once. A quarter of 64 KB takes a quarter of the time on ten megabytes without a space, and
/// makes no more chunks (15,291 against 15,275 on ten megabytes of abstracts).
const SECTION_BYTES: usize = 16 * 1024;

/// The pieces of a text without headings.
pub fn pieces(text: &str, outline: &Outline, measure: &Measure, sizes: ChunkSizes) -> Vec<Piece> {
    let path = Path::default();
    let config = ChunkConfig::new(sizes.max_tokens - outline.bound(&path, 0)).with_sizer(Sizer { text, measure });
    let config = config.with_overlap(sizes.overlap).expect("the overlap is an eighth of the size at most");
    let splitter = TextSplitter::new(config);
    let mut pieces = Vec::new();
    for section in sections(text) {
        let found = splitter.chunk_indices(&text[section.clone()]);
        pieces.extend(found.map(|(at, content)| {
            let start = section.start + at;
            Piece { bytes: start..start + content.len(), path: Path::clone(&path), lead: None }
        }));
    }
    pieces
}

struct Sizer<'a> {
    text: &'a str,
    measure: &'a Measure<'a>,
}

impl ChunkSizer for Sizer<'_> {
    /// `chunk` is a part of the text, so that its address says where.
    fn size(&self, chunk: &str) -> usize {
        let start = chunk.as_ptr().addr() - self.text.as_ptr().addr();
        self.measure.size(start..start + chunk.len())
    }
}

/// The text in ranges of at most [`SECTION_BYTES`], cut at a blank line, else a line, else a word.
fn sections(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let from = start;
        start += section_length(&text[from..]);
        (from < text.len()).then_some(from..start)
    })
}

fn section_length(rest: &str) -> usize {
    if rest.len() <= SECTION_BYTES {
        return rest.len();
    }
    let section = &rest[..rest.floor_char_boundary(SECTION_BYTES)];
    let after = |separator: &str| section.rfind(separator).map(|at| at + separator.len());
    after("\n\n").or_else(|| after("\n")).or_else(|| after(" ")).unwrap_or(section.len())
}
