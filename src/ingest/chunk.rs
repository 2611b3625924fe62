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

mod blocks;
mod cut;
mod measure;
mod outline;
mod plain;
mod structure;

use std::ops::Range;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use self::measure::Measure;
use self::outline::{Outline, Path};
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

/// A piece of a document, without what is embedded of it.
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
}

/// A document cut into chunks: ranges of its text. Passages are made when they are asked for, so that a document takes
/// little more than its text and its tokens, however long it is.
#[derive(Debug)]
pub struct Chunked {
    text: String,
    pages: Vec<PageStart>,
    outline: Outline,
    /// The tokens of the whole text.
    ids: Vec<u32>,
    places: Vec<Place>,
}

/// Where a chunk lies in the text and among its tokens.
#[derive(Debug)]
struct Place {
    piece: Piece,
    chars: Range<usize>,
    tokens: Range<usize>,
    lead_tokens: Range<usize>,
}

/// A range of the text that becomes a chunk.
#[derive(Debug)]
struct Piece {
    bytes: Range<usize>,
    /// The headings it stands under.
    path: Path,
    /// What of the text is repeated before it in the passage.
    lead: Option<Range<usize>>,
}

/// Cuts `extracted` into chunks, in order.
pub fn chunk(extracted: Extracted, title: &str, tokenizer: &Tokenizer, sizes: ChunkSizes) -> Chunked {
    let Extracted { text, markdown, pages, .. } = extracted;
    let sizes = taken(sizes);
    let measure = Measure::new(&text, tokenizer);
    let outline = Outline::new(title, tokenizer, sizes.max_tokens);
    let pieces = match markdown {
        true => structure::pieces(&text, &outline, &measure, sizes),
        false => plain::pieces(&text, &outline, &measure, sizes),
    };
    let places = places(&text, &measure, pieces);
    let ids = measure.into_ids();
    Chunked { text, pages, outline, ids, places }
}

/// Names what is embedded, so that the same passage is not embedded twice: the first half of SHA-256 over its text.
pub fn fingerprint(passage: &Passage) -> Uuid {
    let digest = Sha256::digest(&passage.text);
    Uuid::from_slice(&digest[..16]).expect("a digest has 32 bytes")
}

impl Chunked {
    /// What the chunks' offsets refer to.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many chunks there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether the text was blank.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The number of the last page, for formats with pages.
    pub fn page_count(&self) -> Option<u32> {
        self.pages.last().map(|page| page.number)
    }

    /// The chunks from `range.start` on, up to `range.end` or the last.
    pub fn chunks(&self, range: Range<usize>) -> impl Iterator<Item = Chunk> {
        self.places(range).map(|place| Chunk {
            bytes: place.piece.bytes.clone(),
            chars: place.chars.clone(),
            page: page_at(&self.pages, place.piece.bytes.start),
            heading_path: place.piece.path.iter().map(|heading| heading.name.clone()).collect(),
            token_count: place.tokens.len(),
        })
    }

    /// What is embedded and indexed of the same chunks.
    pub fn passages(&self, range: Range<usize>) -> impl Iterator<Item = Passage> {
        self.places(range).map(|Place { piece, tokens, lead_tokens, .. }| {
            let mut passage = self.outline.context(&piece.path, piece.bytes.start);
            for (bytes, tokens) in piece.lead.iter().map(|lead| (lead, lead_tokens)).chain([(&piece.bytes, tokens)]) {
                passage.text.push_str(&self.text[bytes.clone()]);
                passage.token_ids.extend_from_slice(&self.ids[tokens.clone()]);
            }
            passage
        })
    }

    fn places(&self, range: Range<usize>) -> impl Iterator<Item = &Place> {
        self.places.iter().take(range.end).skip(range.start)
    }
}

fn taken(sizes: ChunkSizes) -> ChunkSizes {
    let max_tokens = sizes.max_tokens.max(MIN_TOKENS);
    ChunkSizes { max_tokens, overlap: sizes.overlap.min(max_tokens / 4) }
}

fn places(text: &str, measure: &Measure, pieces: Vec<Piece>) -> Vec<Place> {
    let mut chars = CharCount { text, byte: 0, chars: 0 };
    let trimmed = pieces.into_iter().map(|piece| Piece { bytes: trim(text, piece.bytes.clone()), ..piece });
    let kept = trimmed.filter(|piece| !piece.bytes.is_empty());
    kept.map(|piece| {
        let start = chars.up_to(piece.bytes.start);
        Place {
            chars: start..start + text[piece.bytes.clone()].chars().count(),
            tokens: measure.range(piece.bytes.clone()),
            lead_tokens: piece.lead.clone().map_or(0..0, |lead| measure.range(lead)),
            piece,
        }
    })
    .collect()
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
