//! The parts of a text that become lexemes: words of Unicode (UAX 29), and pairs and single characters where no spaces
//! stand between words. Lexemes, questions and highlights all read a text through here, so that they agree.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};
use unicode_segmentation::UnicodeSegmentation;

use super::cjk::{Run, parts, runs};
use super::{Language, MAX_LEXEME_BYTES, stop_words};

/// A part of a text in its [`normal`] form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// One or two characters of a script without spaces.
    Chars(&'a str),
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
        let chars = cjk.into_iter().flat_map(parts).map(move |(at, chars)| (start + at, Token::Chars(chars)));
        let words = other.into_iter().flat_map(UnicodeSegmentation::unicode_word_indices);
        chars.chain(words.map(move |(at, word)| (start + at, Token::Word(word))))
    })
}

impl<'a> Token<'a> {
    pub fn text(self) -> &'a str {
        match self {
            Token::Chars(text) | Token::Word(text) => text,
        }
    }

    pub fn is_stop_word(self, language: Language) -> bool {
        matches!(self, Token::Word(word) if stop_words::of(language).contains(&*whole(word, language)))
    }

    /// What is indexed of it, whether or not it is a stop word.
    pub fn lexeme(self, language: Language) -> Cow<'a, str> {
        let word = match self {
            Token::Chars(chars) => return Cow::Borrowed(chars),
            Token::Word(word) => whole(word, language),
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

/// The word without what French and Italian write together with it ("l'école" is "école"), and with the apostrophe that
/// lists of stop words and stemmers know.
fn whole(word: &str, language: Language) -> Cow<'_, str> {
    let elided = match language {
        Language::French => &FRENCH_ELISIONS[..],
        Language::Italian => &ITALIAN_ELISIONS[..],
        _ => &[],
    };
    match word.split_once(['\'', '\u{2019}']) {
        Some((before, word)) if elided.contains(&before) => Cow::Borrowed(word),
        _ if !word.is_ascii() && word.contains('\u{2019}') => Cow::Owned(word.replace('\u{2019}', "'")),
        _ => Cow::Borrowed(word),
    }
}

const FRENCH_ELISIONS: [&str; 13] =
    ["l", "m", "t", "qu", "n", "s", "j", "d", "c", "jusqu", "lorsqu", "puisqu", "quoiqu"];

const ITALIAN_ELISIONS: [&str; 21] = [
    "c", "l", "all", "dall", "dell", "nell", "sull", "coll", "pell", "gl", "agl", "dagl", "degl", "negl", "sugl", "un",
    "m", "t", "s", "v", "d",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_french_and_italian_put_before_a_word_is_not_part_of_it() {
        for (word, language, lexeme) in [
            ("l'école", Language::French, "écol"),
            ("qu\u{2019}écoles", Language::French, "écol"),
            ("aujourd'hui", Language::French, "aujourd'hui"),
            ("dell'acqua", Language::Italian, "acqua"),
            ("l'école", Language::English, "l'école"),
        ] {
            assert_eq!(Token::Word(word).lexeme(language), lexeme, "{word}");
        }
        assert!(Token::Word("d'un").is_stop_word(Language::French));
    }
}
