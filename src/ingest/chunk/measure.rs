//! How large a range of the text is, from the tokens of the whole text.

use std::ops::Range;

use crate::models::Tokenizer;

/// A range counts at least one token for so many bytes: a word that the tokenizer does not know is a single token however
/// long it is (encoded files, rows of dashes), and a chunk must not be.
const BYTES_A_TOKEN: usize = 16;

/// Looks up token counts; a token belongs to the range that has its last byte, because some tokenizers put the space
/// before a word into its token.
pub struct Measure<'a> {
    text: &'a str,
    ids: Vec<u32>,
    /// Where each token ends, ascending.
    ends: Vec<u32>,
}

impl<'a> Measure<'a> {
    pub fn new(text: &'a str, tokenizer: &Tokenizer) -> Measure<'a> {
        let (mut ids, mut ends) = (Vec::new(), Vec::new());
        tokenizer.each(text, |id, _, end| {
            ids.push(id);
            ends.push(u32::try_from(end).expect("a text is shorter than 4 GiB: extraction bounds it far below"));
        });
        Measure { text, ids, ends }
    }

    /// The number of tokens in the range.
    pub fn tokens(&self, range: Range<usize>) -> usize {
        self.range(range).len()
    }

    /// The tokens in the range, as places among those of the text.
    pub fn range(&self, range: Range<usize>) -> Range<usize> {
        self.before(range.start)..self.before(range.end)
    }

    /// The tokens of the text.
    pub fn into_ids(self) -> Vec<u32> {
        self.ids
    }

    /// The number of tokens, or more where these are too few for the bytes.
    pub fn size(&self, range: Range<usize>) -> usize {
        self.tokens(range.clone()).max(range.len().div_ceil(BYTES_A_TOKEN))
    }

    /// The furthest end of a range from `start` that is not larger than `size`, but at least a character.
    pub fn furthest(&self, start: usize, size: usize) -> usize {
        let by_tokens = self.start(self.before(start) + size).unwrap_or(self.text.len());
        let by_bytes = self.text.floor_char_boundary(start + size * BYTES_A_TOKEN);
        by_tokens.min(by_bytes).max(self.text.ceil_char_boundary(start + 1))
    }

    /// Where the last `count` tokens before `end` start.
    pub fn back(&self, end: usize, count: usize) -> usize {
        let first = self.before(end).saturating_sub(count);
        self.start(first).map_or(end, |start| start.min(end))
    }

    /// Where a token starts, or what the tokenizer leaves out before it, white space excepted.
    fn start(&self, token: usize) -> Option<usize> {
        self.ends.get(token)?;
        let before = token.checked_sub(1).map_or(0, |previous| self.ends[previous] as usize);
        let skipped = self.text[before..].trim_start();
        Some(self.text.len() - skipped.len())
    }

    fn before(&self, byte: usize) -> usize {
        self.ends.partition_point(|end| *end as usize <= byte)
    }
}
