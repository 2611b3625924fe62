//! Counts and cuts tokens: exactly, where the embedding model's tokenizer is at hand, else by a rule that rather counts
//! too many than too few.
//!
//! Offsets are bytes of the text as it was given, whatever the model's normaliser did to it. The cost grows with the
//! length of the text and with nothing else.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;

use super::LoadError;

/// Texts are encoded in blocks that end at white space, because the tokenizer keeps some forty bytes of bookkeeping for
/// every byte of its input.
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
    Exact(Arc<tokenizers::Tokenizer>),
    Approximate,
}

impl Tokenizer {
    /// Reads a `tokenizer.json` of the BERT kind; its own truncation and padding do not count.
    pub fn load(path: &Path) -> Result<Tokenizer, LoadError> {
        let bytes = std::fs::read(path).map_err(|error| LoadError::unreadable(path, error))?;
        let mut tokenizer =
            tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| LoadError::malformed(path, error.to_string()))?;
        if !is_bert(&tokenizer) {
            return Err(LoadError::unsupported(path, "only BERT's normaliser, words and word pieces are known"));
        }
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| LoadError::malformed(path, error.to_string()))?;
        Ok(Tokenizer(Kind::Exact(Arc::new(tokenizer))))
    }

    /// For a remote model whose tokenizer is not at hand: pieces of up to four ASCII letters or three digits, and every
    /// other character a piece of its own. Real tokenizers make fewer tokens of nearly every text. All ids are 0.
    pub fn approximate() -> Tokenizer {
        Tokenizer(Kind::Approximate)
    }

    /// All tokens of `text`, without special tokens.
    pub fn encode(&self, text: &str) -> Tokens {
        self.encode_start(text, usize::MAX)
    }

    /// How many tokens [`Tokenizer::encode`] would give.
    pub fn count(&self, text: &str) -> usize {
        match &self.0 {
            Kind::Exact(exact) => blocks(text).map(|(_, block)| encode_block(exact, block).get_ids().len()).sum(),
            Kind::Approximate => pieces(text).count(),
        }
    }

    /// The first `limit` tokens of `text`; reads no further than it must.
    pub(super) fn encode_start(&self, text: &str, limit: usize) -> Tokens {
        let mut tokens = Tokens::default();
        match &self.0 {
            Kind::Exact(exact) => {
                for (start, block) in blocks(text) {
                    if tokens.ids.len() >= limit {
                        break;
                    }
                    tokens.extend(start, &encode_block(exact, block));
                }
                tokens.truncate(limit);
            }
            Kind::Approximate => pieces(text).take(limit).for_each(|(start, end)| tokens.push(0, start, end)),
        }
        tokens
    }

    /// The id of a token by its name, `[CLS]` say.
    pub(super) fn id_of(&self, token: &str) -> Option<u32> {
        match &self.0 {
            Kind::Exact(exact) => exact.token_to_id(token),
            Kind::Approximate => None,
        }
    }

    /// The largest id that can come out.
    pub(super) fn largest_id(&self) -> Option<u32> {
        match &self.0 {
            Kind::Exact(exact) => exact.get_vocab(true).into_values().max(),
            Kind::Approximate => Some(0),
        }
    }
}

impl Tokens {
    fn push(&mut self, id: u32, start: usize, end: usize) {
        self.ids.push(id);
        self.offsets.push((offset(start), offset(end)));
    }

    fn extend(&mut self, start: usize, block: &tokenizers::Encoding) {
        for (id, (from, to)) in block.get_ids().iter().zip(block.get_offsets()) {
            self.push(*id, start + from, start + to);
        }
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

/// Whether every step is one that cannot fail and sees no further than white space, on which the blocks rely.
fn is_bert(tokenizer: &tokenizers::Tokenizer) -> bool {
    let normaliser = matches!(tokenizer.get_normalizer(), Some(NormalizerWrapper::BertNormalizer(_)));
    let words = matches!(tokenizer.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)));
    let pieces = match tokenizer.get_model() {
        tokenizers::ModelWrapper::WordPiece(model) => tokenizer.token_to_id(&model.unk_token).is_some(),
        _ => false,
    };
    normaliser && words && pieces
}

fn encode_block(tokenizer: &tokenizers::Tokenizer, block: &str) -> tokenizers::Encoding {
    tokenizer.encode(block, false).expect("word pieces with an unknown token encode any text, which `is_bert` checked")
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
    let space = rest[..end].char_indices().rfind(|(_, c)| c.is_whitespace());
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
mod tests {
    use super::*;

    fn approximate(text: &str) -> Vec<&str> {
        let tokens = Tokenizer::approximate().encode(text);
        tokens.offsets.iter().map(|(start, end)| &text[*start as usize..*end as usize]).collect()
    }

    #[test]
    fn approximate_pieces_are_short_and_lose_nothing_but_white_space() {
        assert_eq!(
            approximate("Internationale 12345, 日本 naïve\n"),
            ["Inte", "rnat", "iona", "le", "123", "45", ",", "日", "本", "na", "ï", "ve"]
        );
        assert!(approximate(" \n\t").is_empty());
    }

    #[test]
    fn blocks_cover_the_text_and_end_at_white_space() {
        let words = "día de lluvia en Ōsaka ".repeat(5_000);
        let unbroken = "漢".repeat(20_000);
        for text in [words.as_str(), &unbroken, "", "a"] {
            assert_eq!(blocks(text).map(|(_, block)| block).collect::<String>(), text);
            assert!(blocks(text).all(|(at, block)| text[at..].starts_with(block) && block.len() <= BLOCK_BYTES));
        }
        assert!(blocks(&words).all(|(_, block)| block.ends_with(' ')));
    }
}
