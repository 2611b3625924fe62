//! Where a block that is longer than a chunk is best cut: between paragraphs, lines, sentences, words, in this order.

use std::ops::Range;

/// What the text of a block is, as far as cutting is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Prose,
    List,
    Code,
    Table,
}

/// How good a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    /// In the midst of a word.
    Nothing,
    Word,
    Sentence,
    /// A line of code, a row of a table, an item of a list.
    Line,
    Paragraph,
}

/// The strongest place in `range` to end a piece, the last of its kind; the end of the range where it has none.
pub fn last(text: &str, kind: Kind, range: Range<usize>) -> usize {
    let mut best = (Strength::Nothing, range.end);
    for at in boundaries(text, range.start..range.end + 1).rev() {
        let strength = strength(text, kind, at);
        if strength > best.0 {
            best = (strength, at);
        }
        if strength == Strength::Paragraph {
            break;
        }
    }
    best.1
}

/// The first place in `range` to begin a piece at that repeats the end of the one before: a sentence, else a word.
pub fn first(text: &str, kind: Kind, range: Range<usize>) -> Option<usize> {
    let at_least = |wanted: Strength| boundaries(text, range.clone()).find(|at| strength(text, kind, *at) >= wanted);
    at_least(Strength::Sentence).or_else(|| at_least(Strength::Word))
}

fn boundaries(text: &str, range: Range<usize>) -> impl DoubleEndedIterator<Item = usize> {
    range.filter(|at| text.is_char_boundary(*at))
}

fn strength(text: &str, kind: Kind, at: usize) -> Strength {
    let before = &text[..at];
    let Some(previous) = before.chars().next_back() else { return Strength::Nothing };
    let word = &before[..before.len() - previous.len_utf8()];
    match previous {
        '\n' if word.ends_with('\n') => Strength::Paragraph,
        '\n' if starts_line(kind, &text[at..]) => Strength::Line,
        // Full stops of Chinese and Japanese need no space after them.
        '。' | '！' | '？' => Strength::Sentence,
        _ if !previous.is_whitespace() => Strength::Nothing,
        _ if word.ends_with(['.', '!', '?', '…']) => Strength::Sentence,
        _ => Strength::Word,
    }
}

fn starts_line(kind: Kind, line: &str) -> bool {
    match kind {
        // A line end within prose is where the page was full.
        Kind::Prose => false,
        Kind::Code | Kind::Table => true,
        Kind::List => {
            let item = line.trim_start_matches([' ', '\t']).trim_start_matches(|char: char| char.is_ascii_digit());
            item.starts_with("- ") || item.starts_with("* ") || item.starts_with("+ ") || item.starts_with(". ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_of(text: &str, kind: Kind) -> (&str, &str) {
        text.split_at(last(text, kind, 1..text.len() - 1))
    }

    #[test]
    fn prose_is_cut_after_a_sentence_rather_than_at_a_line_end() {
        assert_eq!(last_of("One two. Three\nfour five", Kind::Prose), ("One two. ", "Three\nfour five"));
        assert_eq!(last_of("一二三。四五六", Kind::Prose), ("一二三。", "四五六"));
        assert_eq!(last_of("one two three", Kind::Prose), ("one two ", "three"));
        assert_eq!(last_of("onetwo", Kind::Prose), ("onetw", "o"));
    }

    #[test]
    fn code_is_cut_at_lines_and_lists_at_items() {
        assert_eq!(last_of("a. b\nc d", Kind::Code), ("a. b\n", "c d"));
        assert_eq!(last_of("- one. two\n- three. four\n  five", Kind::List), ("- one. two\n", "- three. four\n  five"));
        assert_eq!(last_of("a b\n\nc\nd", Kind::Code), ("a b\n\n", "c\nd"));
    }
}
