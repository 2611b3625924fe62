//! Where sentences begin and end: by the rules of Unicode within a block, and never across blocks.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// The sentences of a text as byte ranges, without the white space around them. A block (a paragraph, a heading, a list
/// item, a table row) ends a sentence; a line within a paragraph does not. A few words on their own, like the bold term
/// of a definition, go with what follows them.
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    blocks(text).into_iter().flat_map(|block| sentences_of_block(text, block)).collect()
}

/// Sentences with fewer words say too little by themselves.
const FEW_WORDS: usize = 4;

fn blocks(text: &str) -> Vec<Range<usize>> {
    let mut blocks: Vec<Range<usize>> = Vec::new();
    let mut continues = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let words = line.trim();
        match blocks.last_mut() {
            Some(block) if continues && !begins_block(words) => block.end = end,
            _ if words.is_empty() => {}
            _ => blocks.push(start..end),
        }
        continues = !words.is_empty() && !words.starts_with(['#', '|']);
        start = end;
    }
    blocks
}

/// Blank lines, headings, list items, quotes and table rows.
fn begins_block(line: &str) -> bool {
    line.is_empty() || line.starts_with(['#', '|', '>']) || begins_item(line)
}

/// Whether a text begins with the mark of a list item, as Markdown has it.
pub fn begins_item(text: &str) -> bool {
    let after_number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered =
        after_number.len() < text.len() && (after_number.starts_with(". ") || after_number.starts_with(") "));
    numbered || ["- ", "* ", "+ "].iter().any(|mark| text.starts_with(mark))
}

fn sentences_of_block(text: &str, block: Range<usize>) -> Vec<Range<usize>> {
    // To the rules of Unicode (UAX 29) a line end is a paragraph's end; a space is as long and is none.
    let flat = text[block.clone()].replace(['\n', '\r'], " ");
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut few_words = false;
    for (offset, sentence) in flat.split_sentence_bound_indices() {
        let start = block.start + offset + (sentence.len() - sentence.trim_start().len());
        let end = block.start + offset + sentence.trim_end().len();
        match found.last_mut() {
            Some(previous) if few_words => previous.end = end.max(previous.end),
            _ if sentence.chars().any(char::is_alphanumeric) => found.push(start..end),
            _ => continue,
        }
        few_words = found.last().is_some_and(|range| text[range.clone()].unicode_words().count() < FEW_WORDS);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn sentences_end_with_their_block_and_not_with_a_line() {
        let text = "# Heading of it\n\nOne sentence\nis over here. Two of them “follow”!  \n- an item with words\n- next\n\n---\nÄ third, naïve one?";
        let expected = [
            "# Heading of it",
            "One sentence\nis over here.",
            "Two of them “follow”!",
            "- an item with words",
            "- next",
            "---\nÄ third, naïve one?",
        ];
        assert_eq!(found(text), expected);
    }

    #[test]
    fn a_term_goes_with_its_definition() {
        let text = "**Net revenue.** What customers paid, less what went back. It is monthly.";
        assert_eq!(found(text)[0], "**Net revenue.** What customers paid, less what went back.");
    }

    #[test]
    fn nothing_is_no_sentence() {
        assert!(found("").is_empty());
        assert!(found("\n\n | --- |\n***\n").is_empty());
    }
}
