//! What full-text search sees of a text: its words, stemmed, and how often each occurs; and the weights of BM25.
//!
//! The same function reads chunks and questions, so that they meet. What it promises must not change, because what it
//! gave is stored: the lexemes of a text, [`index_of`] and the constants of [`bm25_weights`]. A change means a new index.
//! Words are those of Unicode (UAX 29) in lower-case NFKC, without stop words, stemmed by Snowball; Chinese, Japanese and
//! Korean, which put no space between words, become pairs of characters and single ones.

mod asked;
mod cjk;
mod counts;
mod detect;
mod language;
mod matches;
mod stop_words;
mod tokens;

use std::collections::BTreeMap;

use pgvector::SparseVector;

use self::counts::counted;
use self::tokens::{normal, tokens};
pub use self::{asked::asked, detect::detect, language::Language, matches::matches};

/// A lexeme is no longer, in bytes: nobody searches for more, and PostgreSQL takes 2,046.
const MAX_LEXEME_BYTES: usize = 64;

/// A text has no more different lexemes: pgvector's `sparsevec` takes 16,000 elements. The first words count,
/// then characters.
pub const MAX_LEXEMES: usize = 16_000;

/// How soon a lexeme that occurs again stops to matter more (Robertson and Zaragoza, "The Probabilistic Relevance
/// Framework: BM25 and Beyond", 2009).
const K1: f32 = 1.2;

/// How much a long text is held against it.
const B: f32 = 0.75;

/// The length in words that counts as average: that of chunks of 254 tokens, 70 to 90 in English, German and Chinese.
/// Frozen, so that a stored weight stays true while documents come and go.
const AVERAGE_LENGTH: f32 = 80.0;

/// The number of dimensions of pgvector's `sparsevec`.
pub const DIMENSIONS: u32 = 1_000_000_000;

/// The lexemes of `text`, each with its count.
pub fn lexemes(text: &str, language: Language) -> BTreeMap<String, u32> {
    let text = normal(text);
    let kept = tokens(&text).map(|(_, token)| token).filter(|token| !token.is_stop_word(language));
    counted(kept, language)
}

/// The lexemes of a part of a document. Its title, though `passage` begins with it unless it is only the name of a file,
/// counts once more: a word of the title says more of what a text is about than a word of the text (Robertson, Zaragoza and
/// Taylor, "Simple BM25 Extension to Multiple Weighted Fields", 2004).
pub fn titled(title: &str, passage: &str, language: Language) -> BTreeMap<String, u32> {
    let mut counts = lexemes(passage, language);
    for (lexeme, found) in lexemes(title, language) {
        *counts.entry(lexeme).or_default() += found;
    }
    counts
}

/// The length of a text as BM25 counts it: its words without stop words, two characters of a script without spaces being
/// one.
pub fn length(lexemes: &BTreeMap<String, u32>) -> u32 {
    let (mut words, mut halves) = (0u32, 0u32);
    for (lexeme, count) in lexemes {
        match cjk::half_words(lexeme) {
            None => words = words.saturating_add(*count),
            Some(half) => halves = halves.saturating_add(count.saturating_mul(half)),
        }
    }
    words.saturating_add(halves / 2)
}

/// The weight of each lexeme in a text of this length, for a `sparsevec`: ascending places from 1, as in its text form. A
/// score is the sum of weight × inverse document frequency over the question's lexemes.
pub fn bm25_weights(lexemes: &BTreeMap<String, u32>, length: u32) -> Vec<(u32, f32)> {
    let penalty = K1 * (1.0 - B + B * length as f32 / AVERAGE_LENGTH);
    let mut weights = BTreeMap::new();
    for (lexeme, count) in lexemes {
        let count = *count as f32;
        // Two lexemes in one place are one dimension; that happens to one pair in a million chunks.
        *weights.entry(index_of(lexeme)).or_insert(0.0) += count * (K1 + 1.0) / (count + penalty);
    }
    weights.into_iter().collect()
}

/// Weights by place, as pgvector keeps them.
pub fn sparse(weights: &[(u32, f32)]) -> SparseVector {
    let place = |index: u32| i32::try_from(index - 1).expect("a place is smaller than the number of dimensions");
    let entries: Vec<(i32, f32)> = weights.iter().map(|(index, weight)| (place(*index), *weight)).collect();
    let dimensions = i32::try_from(DIMENSIONS).expect("pgvector counts dimensions in an i32");
    SparseVector::from_map(entries.iter().map(|(index, weight)| (index, weight)), dimensions)
}

/// The place of a lexeme among the dimensions, from 1 to [`DIMENSIONS`]: FNV-1a of 64 bits (Fowler, Noll, Vo) over its UTF-8 bytes,
/// folded by the remainder. It is stored in every index and must never change.
pub fn index_of(lexeme: &str) -> u32 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = lexeme.bytes().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let folded = u32::try_from(hash % u64::from(DIMENSIONS)).expect("a remainder is smaller than its divisor");
    folded + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, language: Language) -> Vec<(String, u32)> {
        lexemes(text, language).into_iter().collect()
    }

    fn of(pairs: &[(&str, u32)]) -> Vec<(String, u32)> {
        pairs.iter().map(|(lexeme, count)| ((*lexeme).to_owned(), *count)).collect()
    }

    #[test]
    fn english_words_meet_in_their_stem_and_stop_words_vanish() {
        assert_eq!(words("The Connected connections don't CONNECT!", Language::English), of(&[("connect", 3)]));
        assert_eq!(words("Wing’s wings", Language::English), of(&[("wing", 2)]));
        assert_eq!(words("The and of", Language::Simple), of(&[("and", 1), ("of", 1), ("the", 1)]));
    }

    #[test]
    fn german_words_meet_in_their_stem() {
        assert_eq!(words("Die Häuser und das Haus", Language::German), of(&[("haus", 2)]));
    }

    #[test]
    fn compatibility_forms_are_the_letters_they_show() {
        assert_eq!(words("ﬁle ＡＢＣ x²", Language::Simple), of(&[("abc", 1), ("file", 1), ("x2", 1)]));
    }

    #[test]
    fn numbers_and_identifiers_stay_whole() {
        assert_eq!(words("max_tokens = 3.14", Language::English), of(&[("3.14", 1), ("max_token", 1)]));
    }

    #[test]
    fn chinese_japanese_and_korean_become_pairs_and_single_characters() {
        let parts =
            |text| words(text, Language::Chinese).into_iter().map(|(part, _)| part).collect::<Vec<_>>().join(" ");
        assert_eq!(parts("北京大学"), "京 京大 北 北京 大 大学 学");
        assert_eq!(parts("東京タワー"), "タワ ワー 京 京タ 東 東京");
        assert_eq!(parts("한국어 책"), "국 국어 어 책 한 한국");
        assert_eq!(parts("Rust入門, 水"), "rust 入 入門 水 門");
        assert_eq!(lexemes("北京大学 wings", Language::English), lexemes("wings 北京大学", Language::English));
    }

    #[test]
    fn two_characters_are_as_long_as_a_word() {
        assert_eq!(length(&lexemes("北京大学的", Language::Chinese)), 2);
        assert_eq!(length(&lexemes("wing wing flutter 北京大", Language::English)), 4);
    }

    #[test]
    fn the_title_counts_twice() {
        let counts = titled("Wing flutter", "Wing flutter\n\nWings of steel", Language::English);
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), of(&[("flutter", 2), ("steel", 1), ("wing", 3)]));
    }

    #[test]
    fn long_words_and_many_words_are_bounded() {
        let blob = "ä".repeat(1_000);
        assert_eq!(words(&blob, Language::English), of(&[("ä".repeat(32).as_str(), 1)]));
        let many: String = (0..20_000).map(|n| format!("w{n} ")).collect();
        assert_eq!(lexemes(&many, Language::Simple).len(), MAX_LEXEMES);
    }

    #[test]
    fn weights_are_those_of_the_formula() {
        let lexemes = lexemes("wing wing flutter", Language::English);
        assert_eq!(length(&lexemes), 3);
        let weights = bm25_weights(&lexemes, 80);
        let weight = |lexeme: &str| weights.iter().find(|(place, _)| *place == index_of(lexeme)).unwrap().1;
        // At the average length the formula is tf × 2.2 / (tf + 1.2).
        assert!((weight("flutter") - 1.0).abs() < 1e-6);
        assert!((weight("wing") - 4.4 / 3.2).abs() < 1e-6);
        assert!(weights.is_sorted_by_key(|(place, _)| *place));
    }

    /// Stored indexes hold these numbers.
    #[test]
    fn the_place_of_a_lexeme_never_changes() {
        assert_eq!(["", "a", "foobar", "北京"].map(index_of), [346_656_038, 555_641_997, 332_436_969, 443_314_018]);
    }
}
