//! A model's text as it comes, checked on the way: what a reader sees grow is, to the letter, what is returned.
//!
//! Marks of passages that were not shown are taken out, other forms of marks become `[1][2]`, white space around the text
//! goes, and the words that mean "nothing" never show. Text that may still become one of these is held back.

use super::marks::{Bracket, OPENING, bracket, without_marks};

/// What the model replies when the passages do not answer.
const NO_ANSWER: &str = "NO ANSWER";
/// Around it, models put these.
const AROUND: [char; 7] = ['*', '"', '\'', '.', '`', ' ', '\n'];
/// An answer is a screen of text: four bytes each of its 800 tokens, three times over. What goes on longer is cut.
const MAX_BYTES: usize = 10_000;

#[derive(Debug, Default)]
pub struct Checked {
    /// Passages that marks may name: 1 to this.
    shown: usize,
    pending: String,
    text: String,
    refused: bool,
    full: bool,
}

impl Checked {
    pub fn new(shown: usize) -> Checked {
        Checked { shown, ..Checked::default() }
    }

    /// What can be handed on after `piece`.
    pub fn push(&mut self, piece: &str) -> String {
        if self.refused || self.full {
            return String::new();
        }
        self.pending.push_str(piece);
        self.bound();
        if self.text.is_empty() && self.may_still_be_nothing() {
            return String::new();
        }
        let rest = self.pending.split_off(held_from(&self.pending, self.shown));
        self.hand_on(rest)
    }

    /// What is left at the end.
    pub fn finish(&mut self) -> String {
        let nothing = self.text.is_empty()
            && (!says_something(&self.pending) || unwrapped(&self.pending).eq_ignore_ascii_case(NO_ANSWER));
        if self.refused || nothing {
            self.refused |= says_something(&self.pending);
            return String::new();
        }
        self.pending.truncate(self.pending.trim_end().len());
        self.hand_on(String::new())
    }

    /// Whether the model said that the passages do not answer.
    pub fn is_refusal(&self) -> bool {
        self.refused
    }

    /// Whether there is no room for more.
    pub fn is_full(&self) -> bool {
        self.full
    }

    pub fn has_text(&self) -> bool {
        !self.text.is_empty()
    }

    pub fn into_text(self) -> String {
        self.text
    }

    fn bound(&mut self) {
        let room = MAX_BYTES.saturating_sub(self.text.len());
        if self.pending.len() > room {
            self.pending.truncate(self.pending.floor_char_boundary(room));
            self.full = true;
        }
    }

    /// Before the first word, and while it may be the first of "no answer".
    fn may_still_be_nothing(&mut self) -> bool {
        let start = self.pending.trim_start_matches(AROUND);
        if let Some(rest) = start.strip_prefix(NO_ANSWER) {
            // What follows it explains it; a letter makes it another word.
            self.refused = rest.chars().next().is_some_and(|c| !c.is_alphanumeric());
            return self.refused || rest.is_empty();
        }
        let start = unwrapped(start).to_uppercase();
        // A mark that is not whole yet would pass for a word.
        NO_ANSWER.starts_with(&start) || !says_something(&self.pending[..held_from(&self.pending, self.shown)])
    }

    fn hand_on(&mut self, rest: String) -> String {
        let ready = std::mem::replace(&mut self.pending, rest);
        let ready = if self.text.is_empty() { ready.trim_start() } else { &ready };
        let new = existing(ready, self.shown);
        self.text.push_str(&new);
        new
    }
}

fn unwrapped(text: &str) -> &str {
    text.trim_matches(AROUND)
}

/// Marks alone say nothing.
fn says_something(text: &str) -> bool {
    without_marks(text).chars().any(char::is_alphanumeric)
}

/// What must wait at the end of a text: a mark that is not whole, marks that are taken out unless another one follows at
/// once, and white space, which goes with them or ends the text.
fn held_from(text: &str, shown: usize) -> usize {
    let open = text.rfind(OPENING).filter(|at| bracket(&text[*at..]) == Bracket::Open);
    let mut held = text[..open.unwrap_or(text.len())].trim_end().len();
    while let Some(at) = text[..held].rfind(OPENING) {
        match bracket(&text[at..held]) {
            Bracket::Mark(numbers, length) if at + length == held && known(&numbers, shown).is_empty() => {
                held = text[..at].trim_end().len();
            }
            _ => break,
        }
    }
    held
}

/// The text with its marks as `[1][2]`, without those of passages beyond the `shown` ones and the blanks before them.
fn existing(text: &str, shown: usize) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(OPENING) {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        let (marks, length) = marks_at_once(rest, shown);
        if length == 0 {
            let bracket = rest.chars().next().map_or(0, char::len_utf8);
            kept.push_str(&rest[..bracket]);
            rest = &rest[bracket..];
            continue;
        }
        if marks.is_empty() {
            kept.truncate(kept.trim_end_matches(' ').len());
        }
        kept.push_str(&marks);
        rest = &rest[length..];
    }
    kept + rest
}

/// The marks that `text` begins with, one right after the other, without unknown ones; and how many bytes they were.
fn marks_at_once(text: &str, shown: usize) -> (String, usize) {
    let (mut marks, mut length) = (String::new(), 0);
    while let Bracket::Mark(numbers, bytes) = bracket(&text[length..]) {
        marks.push_str(&known(&numbers, shown));
        length += bytes;
    }
    (marks, length)
}

fn known(numbers: &[usize], shown: usize) -> String {
    numbers.iter().filter(|number| (1..=shown).contains(*number)).map(|number| format!("[{number}]")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streamed(text: &str, size: usize, shown: usize) -> (String, Checked) {
        let characters: Vec<char> = text.chars().collect();
        let mut checked = Checked::new(shown);
        let pieces = characters.chunks(size).map(|piece| piece.iter().collect::<String>());
        let mut seen: String = pieces.map(|piece| checked.push(&piece)).collect();
        seen.push_str(&checked.finish());
        (seen, checked)
    }

    #[test]
    fn marks_that_do_not_exist_are_taken_out_however_the_text_is_cut() {
        let text = " \n[1] Meals are 40 euros [2]. The moon is far [7][0]. It is round [9][1]. See [a], [1, 9] and 【2】. Open [ \n";
        let expected = "[1] Meals are 40 euros [2]. The moon is far. It is round [1]. See [a], [1] and [2]. Open [";
        for size in 1..12 {
            let (seen, checked) = streamed(text, size, 2);
            assert_eq!((seen.as_str(), checked.text.as_str()), (expected, expected), "pieces of {size}");
        }
    }

    #[test]
    fn no_answer_is_no_text_and_is_never_streamed() {
        for text in
            ["NO ANSWER", " No answer.", "no ANSWER.\n", "**NO ANSWER**", "NO ANSWER. The passages are about tea."]
        {
            for size in 1..5 {
                let (seen, checked) = streamed(text, size, 3);
                assert_eq!((seen.as_str(), checked.is_refusal()), ("", true), "{text:?} in pieces of {size}");
            }
        }
        assert_eq!(streamed("No answers are late [1].", 3, 1).0, "No answers are late [1].");
        assert_eq!(streamed("NO ANSWERING machine [1].", 1, 1).0, "NO ANSWERING machine [1].");
    }

    #[test]
    fn marks_and_blanks_alone_are_nothing() {
        for text in ["", "  \n", "[1][2] [1, 2]\n", "[1]. 【3】"] {
            let (seen, checked) = streamed(text, 2, 3);
            assert_eq!((seen.as_str(), checked.is_refusal()), ("", false), "{text:?}");
        }
    }

    #[test]
    fn a_flood_is_cut() {
        let (seen, checked) = streamed(&"äh [1] ".repeat(20_000), 1_000, 1);
        assert!(seen.len() <= MAX_BYTES && checked.is_full(), "{}", seen.len());
        assert_eq!(seen, checked.text);
        let (seen, checked) = streamed(&" ".repeat(100_000), 1_000, 1);
        assert!(seen.is_empty() && checked.is_full());
    }
}
