//! Counts and cuts tokens: exactly, where the embedding model's tokenizer is at hand.

/// A text's tokens: ids, and the byte range of each in the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    pub ids: Vec<u32>,
    /// `(start, end)` byte offsets, ascending, one a token.
    pub offsets: Vec<(u32, u32)>,
}

/// The tokenizer of an embedding model.
#[derive(Debug)]
pub enum Tokenizer {}
