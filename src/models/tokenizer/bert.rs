//! The tokenizer of BERT models, with the ids and offsets of the `tokenizers` crate in a small part of its time: text is
//! cleaned, cut at white space and punctuation, stripped of accents, put into lower case, and cut into word pieces.
//!
//! Which characters are control characters, marks and punctuation, and what accented letters are made of, comes from the
//! very tables that the crate reads, old as they are (Unicode 9): models were trained on what they say.

use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::UnicodeNormalization;

use super::file::{Added, Normalizer};
use super::word_piece::{Piece, WordPiece};

/// Characters below have their class in a table: the Basic Multilingual Plane.
const TABLE: u32 = 0x1_0000;

/// What BERT does to text.
pub struct Bert {
    pub normalizer: Normalizer,
    classes: Vec<Class>,
    pub words: WordPiece,
    pub added: Vec<Added>,
}

/// What a character is to words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Left out, as if the characters beside it touched.
    Removed,
    Space,
    /// A word of its own.
    Punctuation,
    /// A word of its own too, after normalisation.
    Chinese,
    /// Part of a word, as it is; an ASCII letter may still have to be put into lower case.
    Plain,
    /// Anything else: it has to be normalised to know.
    Other,
}

impl Bert {
    pub fn new(normalizer: Normalizer, words: WordPiece, added: Vec<Added>) -> Bert {
        let class = |code| char::from_u32(code).map_or(Class::Other, |c| class(&normalizer, c));
        let classes = (0..TABLE).map(class).collect();
        Bert { normalizer, classes, words, added }
    }

    /// Gives `found` every token of `text` with its start and end, in order.
    pub fn tokens(&self, text: &str, found: impl FnMut(u32, usize, usize)) {
        let scan =
            Scan { bert: self, text, at: 0, word: Word::default(), run: Run::default(), pieces: Vec::new(), found };
        scan.all();
    }

    fn class(&self, c: char) -> Class {
        self.classes.get(c as usize).copied().unwrap_or_else(|| class(&self.normalizer, c))
    }

    fn added_at(&self, text: &str) -> Option<&Added> {
        let found = self.added.iter().filter(|added| text.starts_with(&added.content));
        found.max_by_key(|added| added.content.len())
    }
}

fn class(normalizer: &Normalizer, c: char) -> Class {
    let control = || !matches!(c, '\t' | '\n' | '\r') && (matches!(c, '\0' | '\u{fffd}') || c.is_other());
    if normalizer.clean_text && control() {
        Class::Removed
    } else if c.is_whitespace() {
        Class::Space
    } else if normalizer.handle_chinese_chars && is_chinese(c) {
        Class::Chinese
    } else if !c.is_ascii() && changes(normalizer, c) {
        Class::Other
    } else if is_punctuation(c) {
        Class::Punctuation
    } else {
        Class::Plain
    }
}

fn changes(normalizer: &Normalizer, c: char) -> bool {
    let lowered = normalizer.lowercase && !c.to_lowercase().eq([c]);
    let decomposed = || {
        let marks = unicode_normalization_alignments::char::canonical_combining_class(c) != 0;
        marks || c.is_mark_nonspacing() || !std::iter::once(c).nfd().map(|(part, _)| part).eq([c])
    };
    lowered || normalizer.strips_accents() && decomposed()
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || c.is_punctuation()
}

/// The blocks that BERT's authors call Chinese: unified and compatibility ideographs.
fn is_chinese(c: char) -> bool {
    matches!(u32::from(c),
        0x4e00..=0x9fff | 0x3400..=0x4dbf | 0x2_0000..=0x2_a6df | 0x2_a700..=0x2_b73f | 0x2_b740..=0x2_b81f
        | 0x2_b920..=0x2_ceaf | 0xf900..=0xfaff | 0x2_f800..=0x2_fa1f)
}

/// A text while it is read.
struct Scan<'a, F> {
    bert: &'a Bert,
    text: &'a str,
    at: usize,
    word: Word,
    run: Run,
    pieces: Vec<Piece>,
    found: F,
}

/// A word as the vocabulary spells it, and for each of its bytes where its character stands in the text.
#[derive(Default)]
struct Word {
    spelt: String,
    spans: Vec<(usize, usize)>,
}

/// Characters that have to be normalised together, because marks may change places, with where they stand.
#[derive(Default)]
struct Run {
    chars: Vec<char>,
    spans: Vec<(usize, usize)>,
}

impl<F: FnMut(u32, usize, usize)> Scan<'_, F> {
    fn all(mut self) {
        while let Some(c) = self.next() {
            match self.bert.class(c) {
                Class::Removed | Class::Space => self.at += c.len_utf8(),
                Class::Punctuation if c.is_ascii() && self.takes_added() => {}
                Class::Plain if c.is_ascii() && self.takes_ascii_word() => {}
                _ => self.word(),
            }
        }
    }

    fn next(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    /// A special token that is written out in the text.
    fn takes_added(&mut self) -> bool {
        let Some(added) = self.bert.added_at(&self.text[self.at..]) else { return false };
        (self.found)(added.id, self.at, self.at + added.content.len());
        self.at += added.content.len();
        true
    }

    /// The common case: a word of plain ASCII characters, up to another ASCII character that ends it.
    fn takes_ascii_word(&mut self) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        let class = |byte: u8| self.bert.class(char::from(byte));
        let length =
            rest.iter().position(|byte| class(*byte) != Class::Plain || !byte.is_ascii()).unwrap_or(rest.len());
        let ends = rest.get(length).is_none_or(|byte| matches!(class(*byte), Class::Space | Class::Punctuation));
        if !ends || rest.get(length).is_some_and(|byte| !byte.is_ascii()) {
            return false;
        }
        self.word.spelt.push_str(&self.text[self.at..self.at + length]);
        if self.bert.normalizer.lowercase {
            self.word.spelt.make_ascii_lowercase();
        }
        self.bert.words.cut(&self.word.spelt, &mut self.pieces);
        let mut start = self.at;
        for piece in &self.pieces {
            (self.found)(piece.id, start, self.at + piece.end);
            start = self.at + piece.end;
        }
        self.word.spelt.clear();
        self.at += length;
        true
    }

    /// Words of any characters, up to white space or punctuation that stands for itself, which is taken too.
    fn word(&mut self) {
        while let Some(c) = self.next() {
            let span = (self.at, self.at + c.len_utf8());
            let class = self.bert.class(c);
            match class {
                Class::Space => break,
                Class::Punctuation if c.is_ascii() && self.bert.added_at(&self.text[self.at..]).is_some() => break,
                Class::Other => self.run.push(c, span),
                Class::Removed => {}
                Class::Plain | Class::Punctuation | Class::Chinese => self.normalise(),
            }
            self.at = span.1;
            match class {
                Class::Plain if self.bert.normalizer.lowercase => self.word.push(c.to_ascii_lowercase(), span),
                Class::Plain => self.word.push(c, span),
                Class::Punctuation => return self.alone(c, span),
                Class::Chinese => self.chinese(c, span),
                Class::Other | Class::Removed | Class::Space => {}
            }
        }
        self.normalise();
        self.cut();
    }

    fn alone(&mut self, c: char, span: (usize, usize)) {
        self.cut();
        self.word.push(c, span);
        self.cut();
    }

    fn chinese(&mut self, c: char, span: (usize, usize)) {
        self.cut();
        self.run.push(c, span);
        self.normalise();
        self.cut();
    }

    /// Takes the run into words. A mark that a letter is made of, or that changed places with another, stands where the
    /// crate puts it: characters are given the places of the run in turn.
    fn normalise(&mut self) {
        let run = std::mem::take(&mut self.run);
        if self.bert.normalizer.strips_accents() {
            let mut place = 0;
            for (c, added) in run.chars.iter().copied().nfd() {
                place += usize::from(added == 0);
                let span = run.spans[place.saturating_sub(1)];
                if !c.is_mark_nonspacing() {
                    self.normalised(c, span);
                }
            }
        } else {
            run.chars.iter().zip(&run.spans).for_each(|(c, span)| self.normalised(*c, *span));
        }
        self.run = run.emptied();
    }

    fn normalised(&mut self, c: char, span: (usize, usize)) {
        if self.bert.normalizer.lowercase {
            c.to_lowercase().for_each(|c| self.take(c, span));
        } else {
            self.take(c, span);
        }
    }

    fn take(&mut self, c: char, span: (usize, usize)) {
        match is_punctuation(c) {
            true => self.alone(c, span),
            false => self.word.push(c, span),
        }
    }

    /// Ends the word.
    fn cut(&mut self) {
        let Word { spelt, spans } = &mut self.word;
        if spelt.is_empty() {
            return;
        }
        self.bert.words.cut(spelt, &mut self.pieces);
        let mut start = 0;
        for piece in &self.pieces {
            (self.found)(piece.id, spans[start].0, spans[piece.end - 1].1);
            start = piece.end;
        }
        spelt.clear();
        spans.clear();
    }
}

impl Word {
    fn push(&mut self, c: char, span: (usize, usize)) {
        self.spelt.push(c);
        self.spans.resize(self.spelt.len(), span);
    }
}

impl Run {
    fn push(&mut self, c: char, span: (usize, usize)) {
        self.chars.push(c);
        self.spans.push(span);
    }

    fn emptied(mut self) -> Run {
        self.chars.clear();
        self.spans.clear();
        self
    }
}
