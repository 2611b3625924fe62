//! The marks `[1]` in an answer, as models write them: `[1]`, `[1, 2]`, `【1】`.

use std::ops::Range;

/// Marks are no longer, in bytes: more than this in brackets is something else.
const LONGEST: usize = 32;
/// No prompt has more passages: longer numbers are years and the like.
const MOST_DIGITS: usize = 3;

/// What begins with a bracket.
#[derive(Debug, PartialEq, Eq)]
pub enum Bracket {
    /// A mark of these passages, so many bytes long.
    Mark(Vec<usize>, usize),
    /// Nothing yet, but what follows may make it a mark.
    Open,
    Other,
}

/// Reads `text` from its first character.
pub fn bracket(text: &str) -> Bracket {
    let (Some(open), Some(close)) = (text.chars().next(), closing(text)) else { return Bracket::Other };
    let rest = &text[open.len_utf8()..];
    let inner = rest.find(|c: char| !is_inner(c)).unwrap_or(rest.len());
    let fits = inner <= LONGEST && rest[..inner].split(is_separator).all(|part| part.trim().len() <= MOST_DIGITS);
    match rest[inner..].chars().next() {
        _ if !fits => Bracket::Other,
        None => Bracket::Open,
        Some(c) if c == close => match numbers(&rest[..inner]) {
            Some(numbers) => Bracket::Mark(numbers, open.len_utf8() + inner + close.len_utf8()),
            None => Bracket::Other,
        },
        Some(_) => Bracket::Other,
    }
}

/// Where a bracket may open.
pub const OPENING: [char; 2] = ['[', '【'];

fn closing(text: &str) -> Option<char> {
    match text.chars().next()? {
        '[' => Some(']'),
        '【' => Some('】'),
        _ => None,
    }
}

fn is_inner(c: char) -> bool {
    c.is_ascii_digit() || is_separator(c) || c == ' '
}

fn is_separator(c: char) -> bool {
    matches!(c, ',' | ';')
}

fn numbers(inner: &str) -> Option<Vec<usize>> {
    inner.split(is_separator).map(|part| part.trim().parse().ok()).collect()
}

/// Every mark of `text`, in order.
pub fn marks(text: &str) -> Vec<(Range<usize>, Vec<usize>)> {
    let mut found: Vec<(Range<usize>, Vec<usize>)> = Vec::new();
    for (at, _) in text.match_indices(OPENING) {
        if let Bracket::Mark(numbers, length) = bracket(&text[at..]) {
            found.push((at..at + length, numbers));
        }
    }
    found
}

/// `text` with blanks in the place of its marks, byte for byte.
pub fn without_marks(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for (range, _) in marks(text) {
        plain.push_str(&text[plain.len()..range.start]);
        plain.extend(std::iter::repeat_n(' ', range.len()));
    }
    plain.push_str(&text[plain.len()..]);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_in_the_forms_that_models_write() {
        assert_eq!(bracket("[12] x"), Bracket::Mark(vec![12], 4));
        assert_eq!(bracket("[1, 2;3]"), Bracket::Mark(vec![1, 2, 3], 8));
        assert_eq!(bracket("【7】"), Bracket::Mark(vec![7], 7));
        for open in ["[", "[1", "[1, ", "【2"] {
            assert_eq!(bracket(open), Bracket::Open, "{open}");
        }
        for other in ["", "x", "[a]", "[]", "[2026]", "[1}", "[1-3]", "[,]"] {
            assert_eq!(bracket(other), Bracket::Other, "{other}");
        }
    }

    #[test]
    fn a_text_without_its_marks_has_the_same_length() {
        let text = "Ä [1]. B【2】 [x]";
        assert_eq!(without_marks(text), "Ä    . B        [x]");
        assert_eq!(without_marks(text).len(), text.len());
    }
}
