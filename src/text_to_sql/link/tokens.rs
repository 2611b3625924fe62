//! A question as tokens: words, numbers, quoted texts, dates and the marks between them.
//!
//! Dates and periods become half-open ranges of days here, so that nobody below thinks about months. Relative dates
//! ("last month") are words like any other until [`relative`] is told what day it is.

pub mod relative;

use chrono::{Months, NaiveDate};

use super::words::{is_function_word, stem};

/// Longer questions are declined: a question of a person is far below, and linking costs grow with the square.
pub const MAX_TOKENS: usize = 120;

#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// As it was written, quotes taken off.
    pub text: String,
    pub lower: String,
    pub stem: String,
    pub kind: TokenKind,
    /// Begins with an upper-case letter.
    pub capital: bool,
    /// Joins others and names nothing.
    pub function: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TokenKind {
    Word,
    Number(Number),
    Quoted,
    Dates(Dates),
    Mark,
}

/// A number as SQL writes it, and its size.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    pub text: String,
    pub value: f64,
    /// The year it could also be: four bare digits from 1000 to 2999.
    pub year: Option<i32>,
}

/// The days from `from` up to, not including, `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dates {
    pub from: NaiveDate,
    pub until: NaiveDate,
}

impl Token {
    pub fn number(&self) -> Option<&Number> {
        match &self.kind {
            TokenKind::Number(number) => Some(number),
            _ => None,
        }
    }

    pub fn dates(&self) -> Option<Dates> {
        match self.kind {
            TokenKind::Dates(dates) => Some(dates),
            _ => None,
        }
    }

    pub fn is_mark(&self) -> bool {
        self.kind == TokenKind::Mark
    }

    pub fn is_quoted(&self) -> bool {
        self.kind == TokenKind::Quoted
    }

    fn new(text: String, kind: TokenKind) -> Self {
        let lower = text.to_lowercase();
        let plain = matches!(kind, TokenKind::Word);
        let capital = text.chars().next().is_some_and(char::is_uppercase);
        let function = plain && is_function_word(&lower);
        let stem = if plain { stem(&lower) } else { String::new() };
        Self { text, lower, stem, kind, capital, function }
    }

    fn word(text: &str) -> Self {
        let number = NUMBER_WORDS.iter().find(|(word, _)| *word == text.to_lowercase());
        match number {
            Some((_, value)) => Self::new(
                text.to_owned(),
                TokenKind::Number(Number { text: value.to_string(), value: f64::from(*value), year: None }),
            ),
            None => Self::new(text.to_owned(), TokenKind::Word),
        }
    }
}

impl Dates {
    pub fn day(date: NaiveDate) -> Option<Self> {
        Some(Self { from: date, until: date.succ_opt()? })
    }

    pub fn months(year: i32, first_month: u32, months: u32) -> Option<Self> {
        let from = NaiveDate::from_ymd_opt(year, first_month, 1)?;
        Some(Self { from, until: from.checked_add_months(Months::new(months))? })
    }

    pub fn year(year: i32) -> Option<Self> {
        Self::months(year, 1, 12)
    }
}

/// The tokens of a question; at most [`MAX_TOKENS`] and one more, by which the caller knows that it was cut.
pub fn tokenize(question: &str) -> Vec<Token> {
    let chars: Vec<char> = question.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() && tokens.len() <= MAX_TOKENS {
        at = scan(&chars, at, &mut tokens);
    }
    quote_letters(&mut tokens);
    multiply(&mut tokens);
    mark_nouns(&mut tokens);
    merge_dates(&tokens)
}

/// Words after which one or two letters, or capitals, are meant as they stand.
const BEFORE_LETTERS: &[&str] =
    &["letter", "letters", "substring", "string", "character", "characters", "initial", "contain", "contains"];
/// Words of one or two letters that are still words there.
const SHORT_WORDS: &[&str] = &["a", "an", "as", "at", "by", "i", "in", "is", "it", "no", "of", "on", "or", "to"];

/// "the letter M", "contains WY"
fn quote_letters(tokens: &mut [Token]) {
    for at in 1..tokens.len() {
        let text = &tokens[at].text;
        let capitals = text.chars().all(char::is_uppercase);
        let short = text.chars().count() <= 2 && text.chars().all(char::is_alphabetic);
        let after = tokens[at - 1].lower.as_str();
        let whole = if after.starts_with("contain") { capitals && text.len() > 1 } else { short || capitals };
        let word = SHORT_WORDS.contains(&text.as_str());
        let letters = BEFORE_LETTERS.contains(&after) && whole && !word && tokens[at].kind == TokenKind::Word;
        if letters {
            tokens[at] = Token::new(text.clone(), TokenKind::Quoted);
        }
    }
}

/// Words that ask when they begin a clause and name something after these: "the list price", "average return time".
const NOUNS_TOO: &[&str] = &["list", "return", "display", "show"];
const BEFORE_NOUNS: &[&str] = &[
    "the", "a", "an", "its", "their", "whose", "our", "average", "mean", "total", "highest", "lowest", "maximum",
    "minimum", "of", "by", "with", "per", "each", "than",
];

fn mark_nouns(tokens: &mut [Token]) {
    for at in 1..tokens.len().saturating_sub(1) {
        let named = BEFORE_NOUNS.contains(&tokens[at - 1].lower.as_str());
        let continued = tokens[at + 1].kind == TokenKind::Word && !tokens[at + 1].function;
        if named && continued && NOUNS_TOO.contains(&tokens[at].lower.as_str()) {
            tokens[at].function = false;
        }
    }
}

const NUMBER_WORDS: &[(&str, i32)] = &[
    ("zero", 0),
    ("one", 1),
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("eight", 8),
    ("nine", 9),
    ("ten", 10),
    ("eleven", 11),
    ("twelve", 12),
    ("fifteen", 15),
    ("twenty", 20),
    ("thirty", 30),
    ("fifty", 50),
    ("once", 1),
    ("twice", 2),
];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Reads one token at `at`, or skips what is none; answers where the next begins.
fn scan(chars: &[char], at: usize, tokens: &mut Vec<Token>) -> usize {
    let here = chars[at];
    match here {
        '"' | '“' | '”' | '`' => scan_quoted(chars, at, tokens),
        '\'' | '’' | '‘' => scan_apostrophe(chars, at, tokens),
        ',' | '.' | '?' | ';' | ':' | '!' => {
            tokens.push(Token::new(here.to_string(), TokenKind::Mark));
            at + 1
        }
        _ if here.is_ascii_digit() || starts_negative(chars, at) => scan_number(chars, at, tokens),
        _ if here.is_alphanumeric() => scan_word(chars, at, tokens),
        _ => at + 1,
    }
}

fn scan_quoted(chars: &[char], at: usize, tokens: &mut Vec<Token>) -> usize {
    let closes = |c: char| matches!((chars[at], c), ('"', '"') | ('“' | '”', '”' | '"') | ('`', '`' | '\''));
    match chars[at + 1..].iter().position(|&c| closes(c)) {
        Some(length) => {
            push_quoted(&chars[at + 1..at + 1 + length], tokens);
            at + length + 2
        }
        None => at + 1,
    }
}

/// `'text'`, the `n't` of a negation, or an apostrophe that means nothing here.
fn scan_apostrophe(chars: &[char], at: usize, tokens: &mut Vec<Token>) -> usize {
    let letter = |at: usize| chars.get(at).is_some_and(|c| c.is_alphanumeric());
    let after_letter = at > 0 && letter(at - 1);
    if !after_letter {
        let quote = |c: char| matches!(c, '\'' | '’');
        let close = (at + 2..chars.len()).find(|&end| quote(chars[end]) && !letter(end + 1));
        if let Some(end) = close {
            push_quoted(&chars[at + 1..end], tokens);
            return end + 1;
        }
        return at + 1;
    }
    match chars.get(at + 1) {
        Some('s' | 'S') if !letter(at + 2) => at + 2,
        Some('t') if !letter(at + 2) => {
            tokens.push(Token::word("not"));
            at + 2
        }
        _ => at + 1,
    }
}

fn push_quoted(chars: &[char], tokens: &mut Vec<Token>) {
    let text: String = chars.iter().collect();
    let text = text.trim();
    if text.is_empty() {
        return;
    }
    let kind = iso_date(text).and_then(Dates::day).map_or(TokenKind::Quoted, TokenKind::Dates);
    tokens.push(Token::new(text.to_owned(), kind));
}

fn starts_negative(chars: &[char], at: usize) -> bool {
    chars[at] == '-'
        && chars.get(at + 1).is_some_and(char::is_ascii_digit)
        && (at == 0 || chars[at - 1].is_whitespace())
}

fn scan_number(chars: &[char], at: usize, tokens: &mut Vec<Token>) -> usize {
    let text: String = chars[at..].iter().take(10).collect();
    if let Some(dates) = iso_date(&text).and_then(Dates::day) {
        tokens.push(Token::new(text, TokenKind::Dates(dates)));
        return at + 10;
    }
    let mut end = at + 1;
    while continues_number(chars, at, end) {
        end += 1;
    }
    let letters = chars[end..].iter().take_while(|c| c.is_alphanumeric()).count();
    let text: String = chars[at..end + letters].iter().filter(|c| **c != ',').collect();
    let number = number(&text, chars[at..end].contains(&','));
    tokens.push(match number {
        Some(number) => Token::new(chars[at..end + letters].iter().collect(), TokenKind::Number(number)),
        None => Token::new(text, TokenKind::Word),
    });
    end + letters
}

/// Digits, one decimal point before a digit, and commas before groups of three.
fn continues_number(chars: &[char], start: usize, at: usize) -> bool {
    let digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    match chars.get(at) {
        Some(c) if c.is_ascii_digit() => true,
        Some('.') => digit(at + 1) && !chars[start..at].contains(&'.'),
        Some(',') => digit(at + 1) && digit(at + 2) && digit(at + 3) && !digit(at + 4) && digit(at - 1),
        _ => false,
    }
}

/// `12`, `0.5`, `5k`, `3m`; not `3rd`.
fn number(text: &str, grouped: bool) -> Option<Number> {
    let (digits, factor) = match text.to_lowercase().strip_suffix(['k', 'm']) {
        Some(digits) if text.ends_with(['k', 'K']) => (digits.to_owned(), 1e3),
        Some(digits) => (digits.to_owned(), 1e6),
        None => (text.to_owned(), 1.0),
    };
    let value: f64 = digits.parse().ok().filter(|_| digits.starts_with(|c: char| c.is_ascii_digit() || c == '-'))?;
    let plain = factor == 1.0;
    let text = if plain { digits.clone() } else { (value * factor).to_string() };
    let is_year = plain && !grouped && digits.len() == 4 && digits.starts_with(['1', '2']) && !digits.contains('.');
    Some(Number { text, value: value * factor, year: is_year.then(|| digits.parse().ok()).flatten() })
}

fn scan_word(chars: &[char], at: usize, tokens: &mut Vec<Token>) -> usize {
    let length = chars[at..].iter().take_while(|c| c.is_alphanumeric()).count();
    let end = at + length;
    let negated = chars[end - 1] == 'n'
        && matches!(chars.get(end), Some('\'' | '’'))
        && chars.get(end + 1) == Some(&'t')
        && length > 1;
    let text: String = chars[at..if negated { end - 1 } else { end }].iter().collect();
    tokens.push(Token::word(match text.as_str() {
        "ca" if negated => "can",
        "wo" if negated => "will",
        other => other,
    }));
    end
}

/// "2 million" is one number.
fn multiply(tokens: &mut Vec<Token>) {
    let mut at = 1;
    while at < tokens.len() {
        let factor = match tokens[at].lower.as_str() {
            "hundred" => 1e2,
            "thousand" => 1e3,
            "million" => 1e6,
            "billion" => 1e9,
            _ => 0.0,
        };
        match tokens[at - 1].number().map(|number| number.value * factor) {
            Some(value) if factor > 0.0 => {
                let text = format!("{} {}", tokens[at - 1].text, tokens[at].text);
                let number = Number { text: value.to_string(), value, year: None };
                tokens[at - 1] = Token::new(text, TokenKind::Number(number));
                tokens.remove(at);
            }
            _ => at += 1,
        }
    }
}

/// "June 21, 2002", "21st of June 2002", "June 2002" and "Q2 2002" each become one token.
fn merge_dates(tokens: &[Token]) -> Vec<Token> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        match dates_at(&tokens[at..]) {
            Some((length, dates)) => {
                let text: Vec<&str> = tokens[at..at + length].iter().map(|token| token.text.as_str()).collect();
                out.push(Token::new(text.join(" "), TokenKind::Dates(dates)));
                at += length;
            }
            None => {
                out.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    out
}

fn dates_at(tokens: &[Token]) -> Option<(usize, Dates)> {
    let skip = |at: usize, word: &str| at + usize::from(tokens.get(at).is_some_and(|token| token.lower == word));
    let year_at = |at: usize| tokens.get(at).and_then(Token::number).and_then(|number| number.year);
    let day = |day: u32, month: u32, at: usize| {
        let at = skip(at, ",");
        Some((at + 1, Dates::day(NaiveDate::from_ymd_opt(year_at(at)?, month, day)?)?))
    };
    if let Some(month) = month(tokens.first()?) {
        if let Some(found) = tokens.get(1).and_then(day_of_month).and_then(|number| day(number, month, 2)) {
            return Some(found);
        }
        let at = skip(skip(1, ","), "of");
        return Some((at + 1, Dates::months(year_at(at)?, month, 1)?));
    }
    if let Some(number) = day_of_month(tokens.first()?) {
        let at = skip(1, "of");
        return day(number, month(tokens.get(at)?)?, at + 1);
    }
    let quarter =
        tokens.first()?.lower.strip_prefix('q')?.parse::<u32>().ok().filter(|quarter| (1..=4).contains(quarter))?;
    let at = skip(skip(1, ","), "of");
    Some((at + 1, Dates::months(year_at(at)?, quarter * 3 - 2, 3)?))
}

fn month(token: &Token) -> Option<u32> {
    let matches = |name: &&str| token.lower == **name || (token.lower.len() == 3 && name.starts_with(&token.lower));
    MONTHS.iter().zip(1..).find(|(name, _)| matches(name)).map(|(_, number)| number)
}

fn day_of_month(token: &Token) -> Option<u32> {
    let digits = token.lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = &token.lower[digits.len()..];
    let fits = matches!(suffix, "" | "st" | "nd" | "rd" | "th");
    digits.parse().ok().filter(|day| fits && (1..=31).contains(day))
}

fn iso_date(text: &str) -> Option<NaiveDate> {
    if text.len() != 10 {
        return None;
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(question: &str) -> Vec<String> {
        let show = |token: Token| match token.kind {
            TokenKind::Number(number) => format!("#{}", number.text),
            TokenKind::Quoted => format!("\"{}\"", token.text),
            TokenKind::Dates(dates) => format!("{}..{}", dates.from, dates.until),
            TokenKind::Word | TokenKind::Mark => token.lower,
        };
        tokenize(question).into_iter().map(show).collect()
    }

    #[test]
    fn numbers_are_read_with_groups_words_and_multipliers() {
        assert_eq!(
            shown("over 1,200.50, three or 2 million, 5k and -3"),
            ["over", "#1200.50", ",", "#3", "or", "#2000000", ",", "#5000", "and", "#-3"]
        );
    }

    #[test]
    fn dates_and_periods_become_half_open_ranges() {
        assert_eq!(
            shown("June 21, 2002 or 21st of June 2002"),
            ["2002-06-21..2002-06-22", "or", "2002-06-21..2002-06-22"]
        );
        assert_eq!(shown("in December 2023"), ["in", "2023-12-01..2024-01-01"]);
        assert_eq!(shown("Q4 2023"), ["2023-10-01..2024-01-01"]);
        assert_eq!(shown("on '2024-02-29'"), ["on", "2024-02-29..2024-03-01"]);
    }

    #[test]
    fn apostrophes_are_told_from_quotes() {
        assert_eq!(shown("Anna's 'big box' isn't"), ["anna", "\"big box\"", "is", "not"]);
    }

    #[test]
    fn a_long_question_is_cut_and_says_so() {
        assert_eq!(tokenize(&"word ".repeat(10_000)).len(), MAX_TOKENS + 1);
    }
}
