//! Cuts a document's text into chunks: the pieces that are embedded, searched and cited.
//!
//! Markdown is cut along its structure (`structure`), plain text by `text-splitter` (`plain`). Promises, whatever the
//! input: `text[chunk.bytes]` is the stored content and `chunk.chars` the same range in characters; no passage has more
//! than `max_tokens` tokens; every character that is not white space is in a chunk; chunks come in order; the document
//! is tokenised once, and the cost grows with its length and with nothing else.
//!
//! What is stored is a range of the text. What is embedded, the passage, has more around it: the document's title and the
//! headings above it, and for a later part of a table its header row, of a code block its opening line. Their tokens
//! count too.

mod cut;
mod measure;
mod outline;
mod plain;
mod structure;

use std::ops::Range;

use self::measure::Measure;
use self::outline::Outline;
use super::extract::{Extracted, PageStart};
use crate::models::{Passage, Tokenizer};

/// Passages are never asked to be smaller: below it, title and headings leave no room for content.
const MIN_TOKENS: usize = 32;

/// How large chunks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSizes {
    /// The most tokens of a passage; at most the embedding model's window. At least 32 are taken.
    pub max_tokens: usize,
    /// How many tokens of a block that is longer than a chunk are repeated in its next part; at most an eighth of
    /// `max_tokens` is taken.
    pub overlap: usize,
}

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where the content lies in the text.
    pub bytes: Range<usize>,
    /// The same in characters (Unicode scalar values).
    pub chars: Range<usize>,
    /// The page it starts on.
    pub page: Option<u32>,
    /// The headings that all of it stands under, outermost first.
    pub heading_path: Vec<String>,
    /// Of the content, without what the passage adds.
    pub token_count: usize,
    /// What is embedded and indexed.
    pub passage: Passage,
}

/// A range of the text that becomes a chunk, before it has its passage.
#[derive(Debug)]
struct Piece {
    bytes: Range<usize>,
    /// The headings it stands under, as places in the outline.
    path: Vec<usize>,
    /// What of the text is repeated before it in the passage.
    lead: Option<Range<usize>>,
}

/// Cuts `extracted` into chunks, in order.
pub fn chunk(extracted: &Extracted, title: &str, tokenizer: &Tokenizer, sizes: ChunkSizes) -> Vec<Chunk> {
    let text = extracted.text.as_str();
    let measure = Measure::new(text, tokenizer.encode(text));
    let sizes = taken(sizes);
    let (outline, pieces) = match extracted.markdown {
        true => structure::pieces(text, title, tokenizer, &measure, sizes),
        false => plain::pieces(text, title, tokenizer, &measure, sizes),
    };
    finish(text, &extracted.pages, &outline, &measure, pieces)
}

fn taken(sizes: ChunkSizes) -> ChunkSizes {
    let max_tokens = sizes.max_tokens.max(MIN_TOKENS);
    ChunkSizes { max_tokens, overlap: sizes.overlap.min(max_tokens / 4) }
}

fn finish(text: &str, pages: &[PageStart], outline: &Outline, measure: &Measure, pieces: Vec<Piece>) -> Vec<Chunk> {
    let mut chars = CharCount { text, byte: 0, chars: 0 };
    let trimmed = pieces.into_iter().map(|piece| Piece { bytes: trim(text, piece.bytes.clone()), ..piece });
    let kept = trimmed.filter(|piece| !piece.bytes.is_empty());
    kept.map(|piece| {
        let start = chars.up_to(piece.bytes.start);
        let content = &text[piece.bytes.clone()];
        Chunk {
            chars: start..start + content.chars().count(),
            page: page_at(pages, piece.bytes.start),
            heading_path: outline.names(&piece.path),
            token_count: measure.tokens(piece.bytes.clone()),
            passage: passage(text, outline, measure, &piece),
            bytes: piece.bytes,
        }
    })
    .collect()
}

fn passage(text: &str, outline: &Outline, measure: &Measure, piece: &Piece) -> Passage {
    let mut passage = outline.context(&piece.path, piece.bytes.start);
    for range in piece.lead.iter().chain([&piece.bytes]) {
        passage.text.push_str(&text[range.clone()]);
        passage.token_ids.extend_from_slice(measure.ids(range.clone()));
    }
    passage
}

fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let content = &text[range.clone()];
    let start = range.start + (content.len() - content.trim_start().len());
    start..start + content.trim().len()
}

fn page_at(pages: &[PageStart], byte: usize) -> Option<u32> {
    let after = pages.partition_point(|page| page.start <= byte);
    pages[..after].last().map(|page| page.number)
}

/// Counts characters up to ascending places, each once.
struct CharCount<'a> {
    text: &'a str,
    byte: usize,
    chars: usize,
}

impl CharCount<'_> {
    fn up_to(&mut self, byte: usize) -> usize {
        self.chars += self.text[self.byte..byte].chars().count();
        self.byte = byte;
        self.chars
    }
}

#[cfg(test)]
mod tests;
