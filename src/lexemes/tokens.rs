//! The parts of a text that become lexemes: words of Unicode (UAX 29), and pairs of characters where no spaces stand
//! between words. Lexemes, questions and highlights all read a text through here, so that they agree.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};
use unicode_segmentation::UnicodeSegmentation;

use super::cjk::{Run, pairs, runs};
use super::{Language, MAX_LEXEME_BYTES, stop_words};

/// A part of a text in its [`normal`] form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    Pair(&'a str),
    Word(&'a str),
}

/// Text as tokens are taken from: lower-case NFKC.
pub fn normal(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    match is_nfkc_quick(text.chars()) {
        IsNormalized::Yes => text.to_lowercase(),
        IsNormalized::No | IsNormalized::Maybe => text.nfkc().collect::<String>().to_lowercase(),
    }
}

/// The tokens of a text in its [`normal`] form, in order, each with its place in bytes.
pub fn tokens(normal: &str) -> impl Iterator<Item = (usize, Token<'_>)> {
    runs(normal).flat_map(|(start, run)| {
        let (cjk, other) = match run {
            Run::Cjk(run) => (Some(run), None),
            Run::Other(run) => (None, Some(run)),
        };
        let pairs = cjk.into_iter().flat_map(pairs).map(move |(at, pair)| (start + at, Token::Pair(pair)));
        let words = other.into_iter().flat_map(UnicodeSegmentation::unicode_word_indices);
        pairs.chain(words.map(move |(at, word)| (start + at, Token::Word(word))))
    })
}

impl<'a> Token<'a> {
    pub fn text(self) -> &'a str {
        match self {
            Token::Pair(text) | Token::Word(text) => text,
        }
    }

    pub fn is_stop_word(self, language: Language) -> bool {
        matches!(self, Token::Word(word) if stop_words::of(language).contains(&*straight(word)))
    }

    /// What is indexed of it, whether or not it is a stop word.
    pub fn lexeme(self, language: Language) -> Cow<'a, str> {
        let word = match self {
            Token::Pair(pair) => return Cow::Borrowed(pair),
            Token::Word(word) => straight(word),
        };
        // A word as long as a blob has no stem.
        let mut lexeme = if word.len() <= MAX_LEXEME_BYTES { language.stem(word) } else { word };
        if lexeme.len() > MAX_LEXEME_BYTES {
            let end = lexeme.floor_char_boundary(MAX_LEXEME_BYTES);
            lexeme.to_mut().truncate(end);
        }
        lexeme
    }
}

/// With the apostrophe that lists of stop words and stemmers know.
fn straight(word: &str) -> Cow<'_, str> {
    match word.is_ascii() {
        true => Cow::Borrowed(word),
        false if word.contains('\u{2019}') => Cow::Owned(word.replace('\u{2019}', "'")),
        false => Cow::Borrowed(word),
    }
}
