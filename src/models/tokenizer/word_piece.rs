//! WordPiece: a word is cut into the longest pieces that the vocabulary has, from the left (Schuster and Nakajima,
//! "Japanese and Korean Voice Search", 2012; Devlin et al., "BERT", 2019).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The pieces that words are made of.
pub struct WordPiece {
    /// What a word may begin with.
    first: Pieces,
    /// What may follow, without the prefix that marks it in the vocabulary.
    next: Pieces,
    /// What a word is that cannot be cut.
    unknown: u32,
    /// A word of more characters is not cut.
    max_chars: usize,
}

#[derive(Default)]
struct Pieces {
    ids: HashMap<Box<[u8]>, u32, BuildHasherDefault<Mix>>,
    /// The length of the longest in bytes.
    longest: usize,
}

/// A piece of a word: its id, and where it ends in the word.
pub struct Piece {
    pub id: u32,
    pub end: usize,
}

impl WordPiece {
    pub fn new(vocabulary: &HashMap<String, u32>, prefix: &str, unknown: u32, max_chars: usize) -> WordPiece {
        let (mut first, mut next) = (Pieces::default(), Pieces::default());
        for (piece, id) in vocabulary {
            first.add(piece, *id);
            piece.strip_prefix(prefix).into_iter().for_each(|piece| next.add(piece, *id));
        }
        WordPiece { first, next, unknown, max_chars }
    }

    /// The pieces of `word` in `pieces`, in order: the whole of it is the unknown one if it cannot be cut.
    pub fn cut(&self, word: &str, pieces: &mut Vec<Piece>) {
        pieces.clear();
        if !self.is_cut(word, pieces) {
            pieces.clear();
            pieces.push(Piece { id: self.unknown, end: word.len() });
        }
    }

    fn is_cut(&self, word: &str, pieces: &mut Vec<Piece>) -> bool {
        if word.len() > self.max_chars && word.chars().count() > self.max_chars {
            return false;
        }
        let mut rest = word.as_bytes();
        let mut vocabulary = &self.first;
        while !rest.is_empty() {
            let Some((id, length)) = vocabulary.longest(rest) else { return false };
            rest = &rest[length..];
            pieces.push(Piece { id, end: word.len() - rest.len() });
            vocabulary = &self.next;
        }
        true
    }
}

impl Pieces {
    fn add(&mut self, piece: &str, id: u32) {
        self.longest = self.longest.max(piece.len());
        self.ids.insert(piece.as_bytes().into(), id);
    }

    /// The longest piece that `bytes` begin with, and its length.
    fn longest(&self, bytes: &[u8]) -> Option<(u32, usize)> {
        let lengths = (1..=bytes.len().min(self.longest)).rev();
        lengths.filter_map(|length| Some((*self.ids.get(&bytes[..length])?, length))).next()
    }
}

/// A hash for short keys that nobody chooses against us: eight bytes at a time are multiplied in and folded (the mixing
/// step of wyhash).
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        const MULTIPLIER: u128 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.0 ^ word ^ 0xa076_1d64_78bd_642f) * MULTIPLIER;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn write_usize(&mut self, length: usize) {
        self.write_u64(length as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(word: &str) -> Vec<(u32, usize)> {
        let names = ["[UNK]", "un", "##aff", "##able", "##a", "unaffordable", "##ß"];
        let vocabulary = names.iter().zip(0..).map(|(name, id)| ((*name).to_owned(), id)).collect();
        let mut pieces = Vec::new();
        WordPiece::new(&vocabulary, "##", 0, 12).cut(word, &mut pieces);
        pieces.iter().map(|piece| (piece.id, piece.end)).collect()
    }

    #[test]
    fn a_word_is_cut_into_the_longest_pieces_from_the_left() {
        assert_eq!(cut("unaffable"), [(1, 2), (2, 5), (3, 9)]);
        assert_eq!(cut("unaffordable"), [(5, 12)]);
        assert_eq!(cut("unß"), [(1, 2), (6, 4)]);
    }

    #[test]
    fn a_word_that_cannot_be_cut_or_is_too_long_is_one_unknown_piece() {
        assert_eq!(cut("unaffx"), [(0, 6)]);
        assert_eq!(cut("affable"), [(0, 7)]);
        assert_eq!(cut("unaaaaaaaaaaa"), [(0, 13)]);
        assert_eq!(cut(&"ß".repeat(13)), [(0, 26)]);
    }
}
