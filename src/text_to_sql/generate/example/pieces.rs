//! A question as pieces of which none is lost: words, numbers, quoted texts, and every other sign by itself.
//!
//! Linking may overlook a sign; whoever says that two questions are the same may not. Only the marks at the end of a
//! question and blanks are left out.

use crate::text_to_sql::link::tokens::MAX_TOKENS;
use crate::text_to_sql::link::words::is_function_word;

#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    pub kind: Kind,
    /// As it was written, without quotes; a number without the commas of its groups.
    pub text: String,
    pub lower: String,
    /// Where it stands in the question, by characters.
    start: usize,
    end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Word,
    Number,
    Quoted,
    Sign,
}

/// A question without its politeness.
pub struct Said {
    chars: Vec<char>,
    pub pieces: Vec<Piece>,
}

/// What a question may begin with and mean nothing by. Verbs that are nouns too ("list price") need an article or a
/// pronoun after them, and "us" an article, because it is a country as well.
const OPENINGS: &[&[&str]] = &[
    &["please"],
    &["can", "you"],
    &["could", "you"],
    &["would", "you"],
    &["will", "you"],
    &["i", "want", "to", "see"],
    &["i", "want", "to", "know"],
    &["we", "want", "to", "see"],
    &["we", "want", "to", "know"],
    &["i", "would", "like", "to", "see"],
    &["i", "would", "like", "to", "know"],
    &["let", "me", "know"],
    &["show", "me"],
    &["give", "me"],
    &["tell", "me"],
    &["find", "me"],
    &["get", "me"],
    &["show", "us", "the"],
    &["give", "us", "the"],
    &["tell", "us", "the"],
    &["list", "the"],
    &["show", "the"],
    &["display", "the"],
    &["return", "the"],
    &["find"],
    &["get"],
    &["what", "is"],
    &["what", "are"],
    &["what", "was"],
    &["what", "were"],
];

impl Said {
    /// Nothing where the question is longer than any that is read.
    pub fn of(question: &str) -> Option<Said> {
        let chars: Vec<char> = question.chars().collect();
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < chars.len() && pieces.len() <= MAX_TOKENS {
            at = scan(&chars, at, &mut pieces);
        }
        if pieces.len() > MAX_TOKENS {
            return None;
        }
        trim_end(&mut pieces);
        let opening = opening(&pieces);
        pieces.drain(..opening);
        Some(Said { chars, pieces })
    }

    /// The words of `length` pieces as they were written, with single blanks.
    pub fn text(&self, at: usize, length: usize) -> String {
        let pieces = &self.pieces[at..at + length];
        match pieces {
            [piece] => piece.text.clone(),
            [first, .., last] => {
                let written: String = self.chars[first.start..last.end].iter().collect();
                written.split_whitespace().collect::<Vec<_>>().join(" ")
            }
            [] => String::new(),
        }
    }

    /// An article before something. "A" names a grade as often, so it must stand where only an article can.
    pub fn is_article(&self, at: usize) -> bool {
        let followed = self.pieces.get(at + 1).is_some_and(|next| next.kind != Kind::Sign);
        let piece = &self.pieces[at];
        let article = match piece.text.as_str() {
            "the" => true,
            "The" => piece.start == 0,
            "a" | "an" => at == 0 || is_function_word(&self.pieces[at - 1].text),
            _ => false,
        };
        piece.kind == Kind::Word && followed && article
    }
}

impl Piece {
    /// The same word, but for case and, where `plurals` fold, for its number. Names do not fold.
    pub fn is(&self, other: &Piece, plurals: bool) -> bool {
        if self.kind != other.kind {
            return false;
        }
        match self.kind {
            Kind::Word => {
                let folds = plurals && !self.is_name() && !other.is_name();
                self.lower == other.lower || (folds && singular(&self.lower) == singular(&other.lower))
            }
            _ => self.text == other.text,
        }
    }

    fn is_name(&self) -> bool {
        self.start > 0 && self.text.starts_with(char::is_uppercase)
    }
}

/// Shorter words than this have no plural that is sure: "new" and "news".
const SHORTEST: usize = 4;

fn singular(word: &str) -> String {
    let long = |stem: &str| stem.chars().count() >= SHORTEST;
    if let Some(stem) = word.strip_suffix("ies").filter(|stem| stem.chars().count() >= SHORTEST - 1) {
        return format!("{stem}y");
    }
    let es = ["sses", "xes", "ches", "shes"].iter().any(|ending| word.ends_with(ending));
    let ends = |ending: &str| word.ends_with(ending);
    match word.strip_suffix(if es { "es" } else { "s" }).filter(|stem| long(stem)) {
        Some(stem) if es || !(ends("ss") || ends("us") || ends("is")) => stem.to_owned(),
        _ => word.to_owned(),
    }
}

fn trim_end(pieces: &mut Vec<Piece>) {
    let mark = |piece: &Piece| piece.kind == Kind::Sign && matches!(piece.text.as_str(), "." | "?" | "!");
    while pieces.last().is_some_and(mark) {
        pieces.pop();
    }
    if pieces.last().is_some_and(|last| last.kind == Kind::Word && last.text == "please") {
        pieces.pop();
        if pieces.last().is_some_and(|last| last.text == "," && last.kind == Kind::Sign) {
            pieces.pop();
        }
    }
}

/// How many pieces only ask.
fn opening(pieces: &[Piece]) -> usize {
    let mut at = 0;
    let says = |at: usize, word: &str| {
        pieces.get(at).is_some_and(|piece| {
            let written = if piece.start == 0 || word == "i" { &piece.lower } else { &piece.text };
            piece.kind == Kind::Word && written == word
        })
    };
    let whole = |at: usize, words: &[&str]| words.iter().zip(at..).all(|(word, at)| says(at, word));
    while let Some(words) = OPENINGS.iter().find(|words| whole(at, words)) {
        at += words.len();
    }
    at
}

/// Reads one piece at `at`, or skips a blank; answers where the next begins.
fn scan(chars: &[char], at: usize, pieces: &mut Vec<Piece>) -> usize {
    let here = chars[at];
    if here.is_whitespace() {
        return at + 1;
    }
    let (kind, end) = match here {
        _ if here.is_ascii_digit() => number(chars, at),
        _ if here.is_alphanumeric() => (Kind::Word, word(chars, at)),
        _ => quoted(chars, at).map_or((Kind::Sign, at + 1), |end| (Kind::Quoted, end)),
    };
    let written = match kind {
        Kind::Quoted => &chars[at + 1..end - 1],
        _ => &chars[at..end],
    };
    let text: String = match kind {
        Kind::Number => written.iter().filter(|c| **c != ',').collect(),
        Kind::Quoted => written.iter().collect::<String>().trim().to_owned(),
        Kind::Word | Kind::Sign => written.iter().map(|c| if *c == '’' { '\'' } else { *c }).collect(),
    };
    pieces.push(Piece { kind, lower: text.to_lowercase(), text, start: at, end });
    end
}

/// Letters and digits, and apostrophes between them.
fn word(chars: &[char], at: usize) -> usize {
    let letter = |at: usize| chars.get(at).is_some_and(|c| c.is_alphanumeric());
    let mut end = at + 1;
    while letter(end) || (matches!(chars.get(end), Some('\'' | '’')) && letter(end + 1)) {
        end += 1;
    }
    end
}

/// Digits, commas before groups of three, and a decimal point. With letters at its end ("3rd", "5k") it is a word.
fn number(chars: &[char], at: usize) -> (Kind, usize) {
    let digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    let mut end = at + 1;
    loop {
        let group = digit(end + 1) && digit(end + 2) && digit(end + 3) && !digit(end + 4);
        match chars.get(end) {
            Some(c) if c.is_ascii_digit() => {}
            Some('.') if digit(end + 1) && !chars[at..end].contains(&'.') => {}
            Some(',') if group && !chars[at..end].contains(&'.') => {}
            _ => break,
        }
        end += 1;
    }
    match chars.get(end) {
        Some(c) if c.is_alphanumeric() => (Kind::Word, word(chars, end)),
        _ => (Kind::Number, end),
    }
}

/// Where the quote that begins here is over; a single one only counts between words.
fn quoted(chars: &[char], at: usize) -> Option<usize> {
    let (closing, single): (&[char], bool) = match chars[at] {
        '"' => (&['"'], false),
        '“' | '”' => (&['”', '"'], false),
        '`' => (&['`', '\''], false),
        '\'' | '‘' => (&['\'', '’'], true),
        _ => return None,
    };
    let after = |end: usize| chars.get(end + 1).is_none_or(|c| !c.is_alphanumeric());
    let end = (at + 1..chars.len()).find(|end| closing.contains(&chars[*end]) && (!single || after(*end)))?;
    chars[at + 1..end].iter().any(|c| !c.is_whitespace()).then_some(end + 1)
}
