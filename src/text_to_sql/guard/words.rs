//! The account of words: when a statement has been walked, each word in it must be a name that was resolved on the way,
//! or a keyword of the dialect's list. What a parser overlooks, or reads in another way than the engine, is left over here.

use std::ops::Range;

use sqlparser::ast::Ident;
use sqlparser::tokenizer::{Location, Span};

use super::dialect::{Dialect, contains};
use super::lexical::{Canonical, Kind};
use super::violation::{Violation, ViolationCode};

pub struct Words<'a> {
    canonical: &'a Canonical,
    /// Where each token starts, in the parser's terms; sorted.
    starts: Vec<Location>,
    named: Vec<bool>,
}

impl<'a> Words<'a> {
    pub fn new(canonical: &'a Canonical) -> Self {
        let starts = locations(canonical).map(|span| span.start).collect();
        Self { canonical, starts, named: vec![false; canonical.lexemes.len()] }
    }

    /// Notes that a word is a name that was understood. False if it is not a word of the statement.
    #[must_use]
    pub fn name(&mut self, ident: &Ident) -> bool {
        match self.index(ident.span) {
            Some(index) => {
                self.named[index] = true;
                true
            }
            None => false,
        }
    }

    /// Whether a word ends where the token at `span` begins: `from"t"`.
    pub fn is_glued(&self, span: Span) -> bool {
        let range = self.range(span).unwrap_or_default();
        let before = self.canonical.text[..range.start].chars().last();
        before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
    }

    /// Notes that all words in these bytes are understood.
    pub fn name_all(&mut self, range: Range<usize>) {
        for (lexeme, named) in self.canonical.lexemes.iter().zip(&mut self.named) {
            *named |= range.start <= lexeme.range.start && lexeme.range.end <= range.end;
        }
    }

    /// The text from the token before the one at `span` on, and where it begins.
    pub fn text_from_before(&self, span: Span) -> Option<(usize, &'a str)> {
        let start = self.canonical.lexemes[self.index(span)?.checked_sub(1)?].range.start;
        Some((start, &self.canonical.text[start..]))
    }

    /// The bytes that a token takes in the canonical text.
    pub fn range(&self, span: Span) -> Option<Range<usize>> {
        self.index(span).map(|index| self.canonical.lexemes[index].range.clone())
    }

    /// The token before the one at `span`.
    pub fn before(&self, span: Span) -> Option<&'a str> {
        let index = self.index(span)?.checked_sub(1)?;
        Some(self.canonical.slice(&self.canonical.lexemes[index]))
    }

    /// The words that nothing accounts for.
    pub fn unaccounted(&self, dialect: &Dialect) -> Vec<Violation> {
        let lexemes = self.canonical.lexemes.iter().zip(&self.named);
        lexemes
            .filter(|(lexeme, named)| !**named && matches!(lexeme.kind, Kind::Word | Kind::Quoted))
            .map(|(lexeme, _)| (lexeme.kind, self.canonical.slice(lexeme)))
            .filter(|(kind, word)| *kind == Kind::Quoted || !contains(&dialect.keywords, word))
            .map(|(_, word)| leftover(word))
            .collect()
    }

    fn index(&self, span: Span) -> Option<usize> {
        self.starts.binary_search(&span.start).ok()
    }
}

/// Where each token lies, in lines and columns of the canonical text as the parser counts them.
pub fn locations(canonical: &Canonical) -> impl Iterator<Item = Span> {
    let (mut at, mut here) = (0, Location::new(1, 1));
    canonical.lexemes.iter().map(move |lexeme| {
        let mut advance_to = |end: usize| {
            for c in canonical.text[at..end].chars() {
                here =
                    if c == '\n' { Location::new(here.line + 1, 1) } else { Location::new(here.line, here.column + 1) };
            }
            at = end;
            here
        };
        let start = advance_to(lexeme.range.start);
        Span::new(start, advance_to(lexeme.range.end))
    })
}

fn leftover(word: &str) -> Violation {
    const WRITES: [&str; 9] = ["insert", "update", "delete", "merge", "replace", "truncate", "into", "drop", "create"];
    if WRITES.iter().any(|keyword| word.eq_ignore_ascii_case(keyword)) {
        return Violation::new(ViolationCode::Writes, format!("`{word}` is not allowed: statements may only read."));
    }
    Violation::new(ViolationCode::NotAllowed, format!("`{word}` is not allowed here."))
}
