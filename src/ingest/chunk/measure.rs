//! How large a range of the text is, from the tokens of the whole text.

use std::ops::Range;

use crate::models::Tokens;

/// A range counts at least one token for so many bytes: a word that the tokenizer does not know is a single token however
/// long it is (encoded files, rows of dashes), and a chunk must not be.
const BYTES_A_TOKEN: usize = 16;

/// Looks up token counts; a token belongs to the range that has its last byte, because some tokenizers put the space
/// before a word into its token.
pub struct Measure<'a> {
    text: &'a str,
    tokens: Tokens,
}

impl<'a> Measure<'a> {
    pub fn new(text: &'a str, tokens: Tokens) -> Measure<'a> {
        Measure { text, tokens }
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
        self.tokens.ids
    }

    /// The number of tokens, or more where these are too few for the bytes.
    pub fn size(&self, range: Range<usize>) -> usize {
        self.tokens(range.clone()).max(range.len().div_ceil(BYTES_A_TOKEN))
    }

    /// The furthest end of a range from `start` that is not larger than `size`, but at least a character.
    pub fn furthest(&self, start: usize, size: usize) -> usize {
        let by_tokens =
            self.tokens.offsets.get(self.before(start) + size).map_or(self.text.len(), |next| next.0 as usize);
        let by_bytes = self.text.floor_char_boundary(start + size * BYTES_A_TOKEN);
        by_tokens.min(by_bytes).max(self.text.ceil_char_boundary(start + 1))
    }

    /// Where the last `count` tokens before `end` start.
    pub fn back(&self, end: usize, count: usize) -> usize {
        let first = self.before(end).saturating_sub(count);
        self.tokens.offsets.get(first).map_or(end, |offset| offset.0 as usize)
    }

    fn before(&self, byte: usize) -> usize {
        self.tokens.offsets.partition_point(|offset| offset.1 as usize <= byte)
    }
}
