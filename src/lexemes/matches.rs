//! Where the lexemes of a question stand in a text, for highlights.

use std::collections::BTreeMap;
use std::ops::Range;

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};
use unicode_segmentation::UnicodeSegmentation;

use super::tokens::{normal, tokens};
use super::{Language, cjk};

/// The byte ranges of `text` as it was given that hold one of `lexemes`: ascending, apart, and the overlapping ones of
/// characters as one. A character that is asked for only as a part of others is shown with them, and alone only where
/// there is nothing else. There is a range exactly when [`super::lexemes`] of the text and `lexemes` have one in common.
pub fn matches(text: &str, language: Language, lexemes: &BTreeMap<String, u32>) -> Vec<Range<usize>> {
    let normal = normal(text);
    let places = Places::new(text, &normal);
    let (mut found, mut lesser) = (Vec::new(), Vec::new());
    for (at, token) in tokens(&normal) {
        let lexeme = token.lexeme(language);
        if lexemes.contains_key(&*lexeme) && !token.is_stop_word(language) {
            let range = places.original(at..at + token.text().len());
            add(if is_part(&lexeme, lexemes) { &mut lesser } else { &mut found }, range);
        }
    }
    if found.is_empty() { lesser } else { found }
}

fn add(found: &mut Vec<Range<usize>>, range: Range<usize>) {
    match found.last_mut() {
        Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
        _ => found.push(range),
    }
}

/// Whether a lexeme is a character of a pair that is asked for.
fn is_part(lexeme: &str, asked: &BTreeMap<String, u32>) -> bool {
    let pairs = || asked.keys().filter(|other| cjk::half_words(other) == Some(1));
    cjk::half_words(lexeme) == Some(0) && pairs().any(|pair| pair.contains(lexeme))
}

/// Which part of a text became which part of its normal form.
enum Places {
    /// Byte for byte.
    Same,
    /// Where each unit of the text starts in the normal form and in the text; ends of both last.
    Units(Vec<(usize, usize)>),
}

impl Places {
    fn new(text: &str, normal: &str) -> Places {
        if text.is_ascii() {
            return Places::Same;
        }
        let mut units = Vec::with_capacity(text.len() / 2);
        let mut place = 0;
        for (start, unit) in units_of(text) {
            units.push((place, start));
            place += lower_case_length(unit);
        }
        debug_assert_eq!(place, normal.len(), "the units of a text make its normal form");
        units.push((normal.len(), text.len()));
        Places::Units(units)
    }

    /// The units that hold the part `normal` of the normal form.
    fn original(&self, normal: Range<usize>) -> Range<usize> {
        let Places::Units(units) = self else { return normal };
        let first = units.partition_point(|(place, _)| *place <= normal.start).saturating_sub(1);
        let after = units.partition_point(|(place, _)| *place < normal.end);
        let start = |unit: usize| units.get(unit).or(units.last()).map_or(0, |(_, start)| *start);
        start(first)..start(after)
    }
}

/// The smallest parts of a text that are normalised on their own, with their starts.
fn units_of(text: &str) -> impl Iterator<Item = (usize, &str)> {
    segments(text).flat_map(|(at, segment)| {
        let mut whole = Some((at, segment)).filter(|_| !falls_apart(segment));
        let parts = if whole.is_some() { "" } else { segment };
        let graphemes = parts.grapheme_indices(true).map(move |(start, grapheme)| (at + start, grapheme));
        std::iter::from_fn(move || whole.take()).chain(graphemes)
    })
}

/// The text before each character that never joins one before it: of combining class 0, and allowed in NFKC (UAX 15,
/// section 9, "Detecting Normalization Forms" and "Concatenation").
fn segments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let end = rest.char_indices().skip(1).find(|(_, char)| starts_anew(*char)).map_or(rest.len(), |(at, _)| at);
        let at = start;
        start += end;
        Some((at, &rest[..end]))
    })
}

fn starts_anew(char: char) -> bool {
    let allowed = || is_nfkc_quick(std::iter::once(char)) == IsNormalized::Yes;
    char.is_ascii() || canonical_combining_class(char) == 0 && allowed()
}

/// Whether the characters of a segment as one sees them are normalised on their own: those of "ＡＢＣ" are, while Korean
/// letters on their own join to syllables.
fn falls_apart(segment: &str) -> bool {
    segment.graphemes(true).nth(1).is_some()
        && segment.graphemes(true).flat_map(|grapheme| grapheme.nfkc()).eq(segment.nfkc())
}

/// The length of a unit's normal form. The only letter whose lower case depends on its neighbours, the final sigma, has
/// the same length in both.
fn lower_case_length(unit: &str) -> usize {
    unit.nfkc().flat_map(char::to_lowercase).map(char::len_utf8).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{asked, lexemes};
    use super::*;

    fn shown<'a>(text: &'a str, language: Language, question: &str) -> Vec<&'a str> {
        let lexemes = lexemes(question, language);
        matches(text, language, &lexemes).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn words_that_share_a_stem_match() {
        let text = "Connected wings, and the connections.";
        assert_eq!(shown(text, Language::English, "connect the wing"), ["Connected", "wings", "connections"]);
        assert_eq!(shown(text, Language::English, "the and"), [""; 0]);
    }

    #[test]
    fn pairs_of_characters_that_overlap_are_one_match() {
        assert_eq!(shown("在北京大学学习。北京", Language::Chinese, "北京大学"), ["北京大学", "北京"]);
    }

    #[test]
    fn a_character_matches_alone_where_it_is_asked_for_alone_or_nothing_else_is_there() {
        assert_eq!(shown("大人在北京大学", Language::Chinese, "北京大学"), ["北京大学"]);
        assert_eq!(shown("大人喝茶", Language::Chinese, "茶 北京"), ["茶"]);
        assert_eq!(shown("大人喝茶", Language::Chinese, "大学"), ["大"]);
    }

    #[test]
    fn ranges_are_of_the_text_as_it_was_given() {
        assert_eq!(
            shown("x² İstanbul ﬁle, ＡＢＣ e\u{301}t", Language::Simple, "file abc ét"),
            ["ﬁle", "ＡＢＣ", "e\u{301}t"]
        );
        assert_eq!(shown("ΟΔΟΣ ΟΔΟΣ.", Language::Simple, "οδος"), ["ΟΔΟΣ", "ΟΔΟΣ"]);
        assert_eq!(shown("ｶﾞﾝﾀﾞﾑ", Language::Japanese, "ダム"), ["ﾀﾞﾑ"]);
        assert_eq!(shown("ㅎㅏ b", Language::Korean, "하"), ["ㅎㅏ"]);
    }

    /// Text of the characters that normal forms treat in a special way, among words.
    fn texts() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-dA-D '\u{2019}.½²ßİΣσﬁǅ]{1,4}",
            "[北京大学한국어ㅎㅏㄴ각가ｶﾞﾝﾀかが\u{3099}\u{1100}\u{1161}\u{11a8}]{1,4}",
            "[\u{300}\u{301}\u{323}\u{345}\u{200d}\u{0f71}\u{0f72}e]{1,3}",
            "\\PC{1,3}",
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn the_units_of_a_text_make_its_normal_form(text in texts()) {
            let lengths: usize = units_of(&text).map(|(_, unit)| lower_case_length(unit)).sum();
            prop_assert_eq!(lengths, normal(&text).len());
            let normalised: String = units_of(&text).flat_map(|(_, unit)| unit.nfkc()).collect();
            prop_assert_eq!(normalised.to_lowercase(), normal(&text));
            let joined: String = units_of(&text).map(|(_, unit)| unit).collect();
            prop_assert_eq!(joined, text);
        }

        #[test]
        fn there_is_a_match_exactly_when_a_lexeme_is_shared(text in texts(), question in texts()) {
            for language in [Language::English, Language::German, Language::Simple, Language::Chinese] {
                let asked = asked(&question, &[language, Language::English]);
                let held = lexemes(&text, language);
                let found = matches(&text, language, &asked);
                prop_assert_eq!(!found.is_empty(), held.keys().any(|lexeme| asked.contains_key(lexeme)));
                prop_assert!(found.windows(2).all(|two| two[0].end < two[1].start));
                prop_assert!(found.iter().all(|range| !text[range.clone()].is_empty()));
                if held.keys().all(|lexeme| asked.contains_key(lexeme)) {
                    prop_assert_eq!(found.is_empty(), held.is_empty());
                }
            }
        }
    }
}
