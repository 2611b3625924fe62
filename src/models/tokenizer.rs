//! Counts and cuts tokens: exactly, where the embedding model's tokenizer is at hand, else by a rule that rather counts
//! too many than too few.
//!
//! Offsets are bytes of the text as it was given, whatever the model's normaliser did to it. The cost grows with the
//! length of the text and with nothing else.

mod bert;
mod file;
mod word_piece;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use self::bert::Bert;
use super::LoadError;

/// Texts are read in blocks that end at white space: what must be kept of a block is small, and a word without end is
/// cut into as many unknown ones.
const BLOCK_BYTES: usize = 16 * 1024;

/// A text's tokens: ids, and the byte range of each in the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    pub ids: Vec<u32>,
    /// `(start, end)` byte offsets, ascending, one a token.
    pub offsets: Vec<(u32, u32)>,
}

/// The tokenizer of an embedding model; cloned cheaply.
#[derive(Clone)]
pub struct Tokenizer(Kind);

#[derive(Clone)]
enum Kind {
    Exact(Arc<Exact>),
    Approximate,
}

/// What a `tokenizer.json` says.
struct Exact {
    bert: Bert,
    /// The ids of all tokens by their names.
    ids: HashMap<String, u32>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json` of the BERT kind; its own truncation and padding do not count.
    pub fn load(path: &Path) -> Result<Tokenizer, LoadError> {
        let bytes = std::fs::read(path).map_err(|error| LoadError::unreadable(path, error))?;
        Tokenizer::from_bytes(&bytes, path)
    }

    fn from_bytes(bytes: &[u8], path: &Path) -> Result<Tokenizer, LoadError> {
        Ok(Tokenizer(Kind::Exact(Arc::new(file::read(bytes, path)?))))
    }

    /// For a remote model whose tokenizer is not at hand: pieces of up to four ASCII letters or three digits, and every
    /// other character a piece of its own. Real tokenizers make fewer tokens of nearly every text. All ids are 0.
    pub fn approximate() -> Tokenizer {
        Tokenizer(Kind::Approximate)
    }

    /// Gives `found` the id of every token of `text` with its start and end, in order, without special tokens.
    pub fn each(&self, text: &str, mut found: impl FnMut(u32, usize, usize)) {
        match &self.0 {
            Kind::Exact(exact) => {
                for (at, block) in blocks(text) {
                    exact.bert.tokens(block, |id, start, end| found(id, at + start, at + end));
                }
            }
            Kind::Approximate => pieces(text).for_each(|(start, end)| found(0, start, end)),
        }
    }

    /// All tokens of `text`, without special tokens.
    pub fn encode(&self, text: &str) -> Tokens {
        let mut tokens = Tokens::default();
        self.each(text, |id, start, end| tokens.push(id, start, end));
        tokens
    }

    /// How many tokens [`Tokenizer::encode`] would give.
    pub fn count(&self, text: &str) -> usize {
        let mut count = 0;
        self.each(text, |_, _, _| count += 1);
        count
    }

    /// The first `limit` tokens of `text`; reads little further than it must.
    pub(super) fn encode_start(&self, text: &str, limit: usize) -> Tokens {
        let mut tokens = Tokens::default();
        for (at, block) in blocks(text) {
            if tokens.ids.len() >= limit {
                break;
            }
            self.each(block, |id, start, end| tokens.push(id, at + start, at + end));
        }
        tokens.truncate(limit);
        tokens
    }

    /// The id of a token by its name, `[CLS]` say.
    pub(super) fn id_of(&self, token: &str) -> Option<u32> {
        match &self.0 {
            Kind::Exact(exact) => exact.ids.get(token).copied(),
            Kind::Approximate => None,
        }
    }

    /// The largest id that can come out.
    pub(super) fn largest_id(&self) -> Option<u32> {
        match &self.0 {
            Kind::Exact(exact) => exact.ids.values().copied().max(),
            Kind::Approximate => Some(0),
        }
    }
}

impl Tokens {
    fn push(&mut self, id: u32, start: usize, end: usize) {
        self.ids.push(id);
        self.offsets.push((offset(start), offset(end)));
    }

    fn truncate(&mut self, limit: usize) {
        self.ids.truncate(limit);
        self.offsets.truncate(limit);
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Exact(_) => "Tokenizer(exact)",
            Kind::Approximate => "Tokenizer(approximate)",
        })
    }
}

/// `text` in pieces of at most [`BLOCK_BYTES`], each with its offset.
fn blocks(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let block = &rest[..block_end(rest)];
        let at = start;
        start += block.len();
        Some((at, block))
    })
}

/// After the last white space of the first block, or in the midst of a word that is longer than a block.
fn block_end(rest: &str) -> usize {
    if rest.len() <= BLOCK_BYTES {
        return rest.len();
    }
    let end = rest.floor_char_boundary(BLOCK_BYTES);
    // Other control characters are white space to Unicode, and nothing at all to BERT.
    let is_space = |c: char| c.is_whitespace() && (!c.is_control() || matches!(c, '\t' | '\n' | '\r'));
    let space = rest[..end].char_indices().rfind(|(_, c)| is_space(*c));
    space.map_or(end, |(at, c)| at + c.len_utf8())
}

/// The byte ranges of approximate tokens.
fn pieces(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut chars = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = chars.find(|(_, c)| !c.is_whitespace())?;
        let mut end = start + first.len_utf8();
        let (longest, same): (usize, fn(&char) -> bool) = match first {
            'a'..='z' | 'A'..='Z' => (4, char::is_ascii_alphabetic),
            '0'..='9' => (3, char::is_ascii_digit),
            _ => (1, char::is_ascii),
        };
        while end - start < longest && chars.next_if(|(_, c)| same(c)).is_some() {
            end += 1;
        }
        Some((start, end))
    })
}

fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a text is shorter than 4 GiB: uploads are bounded far below")
}

#[cfg(test)]
mod tests;
