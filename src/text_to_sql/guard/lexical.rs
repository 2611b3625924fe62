//! Text to tokens, as the engine itself would split it, and the canonical text that is written from them.
//!
//! A strict lexer of our own, after PostgreSQL's `scan.l` and SQLite's `tokenize.c`: it knows the subset that every
//! supported version of the engine reads in the same way and refuses the rest. Canonical text has no comments, one
//! space where there was white space, and a space between touching operators; reading it again gives itself. [`super::parse`]
//! holds the parser's tokenizer to the same splits, so that two independent readings must agree before anything is believed.

use std::borrow::Cow;
use std::ops::Range;

use super::dialect::{Dialect, contains};
use super::violation::{Violation, ViolationCode};

/// Longer than any statement a person or model writes for a question.
const MAX_BYTES: usize = 64 * 1024;
/// Bounds the time of everything that follows; the longest of Spider's 2,569 gold statements has about 200.
const MAX_TOKENS: usize = 5_000;
/// Parentheses, brackets and CASE. Bounds recursion in our walk and in the engine's planner.
const MAX_DEPTH: usize = 40;
/// Set operations nest to the left in the tree, a frame for each arm.
const MAX_SET_OPERATIONS: usize = 49;
/// So do chains of operators.
const MAX_CHAIN: usize = 400;
/// Planners enumerate join orders.
const MAX_JOINS: usize = 100;

/// A statement as its tokens, spelled in the one way that is checked, stored and run.
#[derive(Debug)]
pub struct Canonical {
    pub text: String,
    pub lexemes: Vec<Lexeme>,
}

/// One token: its place in the canonical text and its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lexeme {
    pub kind: Kind,
    pub range: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or an unquoted name.
    Word,
    /// A quoted name.
    Quoted,
    /// A string or binary literal.
    Text,
    Number,
    Operator,
    Punctuation,
}

impl Canonical {
    pub fn slice(&self, lexeme: &Lexeme) -> &str {
        &self.text[lexeme.range.clone()]
    }
}

/// Reads a statement within the bounds, or says why it cannot be read safely.
pub fn read(sql: &str, dialect: &Dialect) -> Result<Canonical, Violation> {
    if sql.len() > MAX_BYTES {
        return Err(too_complex(format!("The statement is longer than {} KB.", MAX_BYTES / 1024)));
    }
    if let Some(odd) = sql.chars().find(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err(lexical(format!("The statement contains the control character U+{:04X}.", u32::from(odd))));
    }
    let canonical = Lexer { sql, at: 0, dialect }.run()?;
    within_bounds(&canonical)?;
    Ok(canonical)
}

struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    dialect: &'a Dialect,
}

impl<'a> Lexer<'a> {
    fn run(mut self) -> Result<Canonical, Violation> {
        let mut canonical = Canonical { text: String::with_capacity(self.sql.len()), lexemes: Vec::new() };
        let mut ended = false;
        loop {
            let gap = self.skip_gap()?;
            let start = self.at;
            let Some(kind) = self.token()? else { return Ok(canonical) };
            if ended {
                return Err(several_statements());
            }
            if &self.sql[start..self.at] == ";" {
                ended = true;
                continue;
            }
            let slice = self.spelled(kind, &self.sql[start..self.at]);
            let touches = slice == "(" && self.calls(&canonical);
            canonical.push(kind, &slice, gap && !touches);
            if canonical.lexemes.len() > MAX_TOKENS {
                return Err(too_complex(format!("The statement has more than {MAX_TOKENS} words and signs.")));
            }
        }
    }

    /// Whether the last word is a function that a parenthesis must touch.
    fn calls(&self, canonical: &Canonical) -> bool {
        self.dialect.calls_touch
            && canonical
                .lexemes
                .last()
                .is_some_and(|last| last.kind == Kind::Word && contains(&self.dialect.functions, canonical.slice(last)))
    }

    fn rest(&self) -> &'a str {
        &self.sql[self.at..]
    }

    /// White space and comments; tells whether there were any.
    fn skip_gap(&mut self) -> Result<bool, Violation> {
        let start = self.at;
        loop {
            let rest = self.rest();
            if rest.starts_with([' ', '\t', '\n', '\r']) {
                self.at += 1;
            } else if (self.dialect.line_comments)(rest) {
                self.at += rest.find(self.dialect.line_comment_ends).unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                self.plain_comment(rest)?;
                self.at += block_comment(rest, self.dialect.nested_comments)?;
            } else {
                return Ok(self.at > start);
            }
        }
    }

    /// MySQL runs `/*! … */`, MariaDB also `/*M! … */`, and both take orders from `/*+ … */`.
    fn plain_comment(&self, rest: &str) -> Result<(), Violation> {
        let runs = self.dialect.executable_comments && ["/*!", "/*M!", "/*+"].iter().any(|open| rest.starts_with(open));
        if runs {
            Err(lexical("Comments that the engine runs (`/*!`, `/*M!`, `/*+`) are not accepted."))
        } else {
            Ok(())
        }
    }

    /// The next token's kind, having moved past it; nothing at the end.
    fn token(&mut self) -> Result<Option<Kind>, Violation> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(None) };
        let (length, kind) = match first {
            '\'' => (self.text_length(rest, '\'')?, Kind::Text),
            '"' if self.dialect.double_quoted_text => (self.text_length(rest, '"')?, Kind::Text),
            'a'..='z' | 'A'..='Z' | '_' => self.word_or_prefixed_text(rest)?,
            '0' if self.dialect.hex_numbers && rest[1..].starts_with(['x', 'X']) => (hex_length(rest)?, Kind::Text),
            '0'..='9' => (self.number_length(rest)?, Kind::Number),
            '$' if self.dialect.money_numbers && rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                (1 + self.number_length(&rest[1..])?, Kind::Number)
            }
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => (self.number_length(rest)?, Kind::Number),
            '.' | ',' | '(' | ')' | ';' => (1, Kind::Punctuation),
            '$' if self.dialect.dollar_quotes => (dollar_quoted_length(rest)?, Kind::Text),
            _ if self.dialect.identifier_quotes.contains(&first) => {
                (self.quoted_name_length(rest, first)?, Kind::Quoted)
            }
            '[' | ']' | ':' if self.dialect.arrays => self.bracket_or_colon(rest)?,
            _ => (self.operator_length(rest, first)?, Kind::Operator),
        };
        self.at += length;
        Ok(Some(kind))
    }

    /// Where a backslash is an escape in one mode and a character in another, the text that runs must end at the same
    /// quote in both.
    fn text_length(&self, rest: &str, quote: char) -> Result<usize, Violation> {
        if !self.dialect.backslash_escapes {
            return quoted_length(rest, quote);
        }
        let length = escaped_length(rest, quote)?;
        let spelled = with_doubled_apostrophes(&rest[..length], quote);
        match (quoted_length(&spelled, quote), escaped_length(&spelled, quote)) {
            (Ok(one), Ok(other)) if one == other && one == spelled.len() => Ok(length),
            _ => Err(lexical("A backslash before a quote is read in two ways; write a quote inside a text twice.")),
        }
    }

    /// A token as it is written in the canonical text.
    fn spelled<'s>(&self, kind: Kind, slice: &'s str) -> Cow<'s, str> {
        match slice.chars().last() {
            Some(quote) if kind == Kind::Text && self.dialect.backslash_escapes => {
                with_doubled_apostrophes(slice, quote)
            }
            _ => slice.into(),
        }
    }

    fn word_or_prefixed_text(&self, rest: &str) -> Result<(usize, Kind), Violation> {
        let word = &rest[..length_while(rest, |c| {
            c.is_ascii_alphanumeric() || c == '_' || (c == '$' && self.dialect.dollar_in_names)
        })];
        let after = &rest[word.len()..];
        if let Some(odd) = after.chars().next().filter(|c| !c.is_ascii()) {
            return Err(non_ascii(odd));
        }
        if word.len() > self.dialect.max_name_bytes {
            return Err(name_too_long(word, self.dialect.max_name_bytes));
        }
        if after.starts_with('\'')
            && let Some(length) = self.prefixed_text(word, after)?
        {
            return Ok((word.len() + length, Kind::Text));
        }
        if word.eq_ignore_ascii_case("u")
            && self.dialect.unicode_escapes
            && (after.starts_with("&'") || after.starts_with("&\""))
        {
            return Err(lexical("Unicode escapes (`U&…`) are not accepted; write the characters themselves."));
        }
        Ok((word.len(), Kind::Word))
    }

    /// `E'…'`, `X'…'` and their kin, where the engine has them.
    fn prefixed_text(&self, prefix: &str, quoted: &str) -> Result<Option<usize>, Violation> {
        let prefix = prefix.to_ascii_lowercase();
        if !self.dialect.text_prefixes.contains(&prefix.as_str()) {
            return Ok(None);
        }
        let length = if prefix == "e" { escaped_length(quoted, '\'')? } else { self.text_length(quoted, '\'')? };
        let content = &quoted[1..length - 1];
        let well_formed = match prefix.as_str() {
            "x" => content.bytes().all(|b| b.is_ascii_hexdigit()),
            "b" => content.bytes().all(|b| matches!(b, b'0' | b'1')),
            _ => true,
        };
        well_formed
            .then_some(Some(length))
            .ok_or_else(|| lexical(format!("`{prefix}'…'` holds a character that is not a digit.")))
    }

    /// Names with quotes, backslashes or line ends in them are refused: they would put every layer that prints them to the test.
    fn quoted_name_length(&self, rest: &str, open: char) -> Result<usize, Violation> {
        let close = if open == '[' { ']' } else { open };
        let end = 1 + rest[1..].find(close).ok_or_else(|| lexical(format!("A quote {open} is not closed.")))?;
        let name = &rest[1..end];
        if name.is_empty() || name.contains(['"', '`', '\\', '\n', '\r']) || rest[end + 1..].starts_with(close) {
            return Err(lexical("A quoted name is empty, or contains a quote, a backslash or a line end."));
        }
        if name.len() > self.dialect.max_name_bytes {
            return Err(name_too_long(name, self.dialect.max_name_bytes));
        }
        Ok(end + 1)
    }

    /// Decimal numbers only: underscores and `0x…` mean different things in different versions.
    fn number_length(&self, rest: &str) -> Result<usize, Violation> {
        let digits = |s: &str| length_while(s, |c| c.is_ascii_digit());
        let mut length = digits(rest);
        if rest[length..].starts_with('.') {
            length += 1 + digits(&rest[length + 1..]);
        }
        if rest[length..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[length + 1..].starts_with(['+', '-']));
            let exponent = digits(&rest[length + 1 + sign..]);
            if exponent > 0 {
                length += 1 + sign + exponent;
            }
        }
        match rest[length..].chars().next() {
            Some(c) if c.is_alphanumeric() || matches!(c, '_' | '.' | '$') || !c.is_ascii() => {
                Err(lexical(format!("The number `{}` runs into `{c}`; write a plain decimal number.", &rest[..length])))
            }
            _ => Ok(length),
        }
    }

    fn bracket_or_colon(&self, rest: &str) -> Result<(usize, Kind), Violation> {
        if rest.starts_with("::") {
            return Ok((2, Kind::Operator));
        }
        if rest.starts_with(":=") {
            return Err(not_an_operator(":="));
        }
        Ok((1, Kind::Punctuation))
    }

    fn operator_length(&self, rest: &str, first: char) -> Result<usize, Violation> {
        let length = (self.dialect.operator_length)(rest);
        let operator = &rest[..length];
        if self.dialect.operators.contains(operator) {
            return Ok(length);
        }
        match first {
            '$' | '?' | ':' | '@' | '#' if length == 0 || operator == "@" || operator == "#" || operator == "?" => {
                Err(parameter(rest))
            }
            c if !c.is_ascii() => Err(non_ascii(c)),
            c if length == 0 => Err(lexical(format!("The character `{c}` has no meaning here."))),
            _ => Err(not_an_operator(operator)),
        }
    }
}

impl Canonical {
    fn push(&mut self, kind: Kind, slice: &str, gap: bool) {
        let touching_operators =
            kind == Kind::Operator && self.lexemes.last().is_some_and(|last| last.kind == Kind::Operator);
        if !self.text.is_empty() && (gap || touching_operators) {
            self.text.push(' ');
        }
        let start = self.text.len();
        self.text.push_str(slice);
        self.lexemes.push(Lexeme { kind, range: start..self.text.len() });
    }
}

fn length_while(text: &str, accept: impl Fn(char) -> bool) -> usize {
    text.find(|c| !accept(c)).unwrap_or(text.len())
}

fn block_comment(rest: &str, nested: bool) -> Result<usize, Violation> {
    let (mut depth, mut at) = (1, 2);
    while depth > 0 {
        let inner = &rest[at..];
        let close = inner.find("*/").ok_or_else(|| lexical("A comment `/*` is not closed."))?;
        match inner.find("/*").filter(|&open| nested && open < close) {
            Some(open) => (depth, at) = (depth + 1, at + open + 2),
            None => (depth, at) = (depth - 1, at + close + 2),
        }
    }
    Ok(at)
}

/// The length of a literal or name that starts with `quote`; a doubled quote stands for itself.
fn quoted_length(rest: &str, quote: char) -> Result<usize, Violation> {
    let mut at = 1;
    loop {
        at += rest[at..].find(quote).ok_or_else(|| lexical(format!("A quote {quote} is not closed.")))? + 1;
        if !rest[at..].starts_with(quote) {
            return Ok(at);
        }
        at += 1;
    }
}

/// A text in which a backslash takes the next character with it, and a doubled quote stands for itself.
fn escaped_length(text: &str, quote: char) -> Result<usize, Violation> {
    let mut at = 1;
    loop {
        at += text[at..].find([quote, '\\']).ok_or_else(|| lexical(format!("A quote {quote} is not closed.")))?;
        let rest = &text[at..];
        if rest.starts_with(quote) && rest[1..].starts_with(quote) {
            at += 2;
        } else if rest.starts_with(quote) {
            return Ok(at + 1);
        } else {
            at += 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
        }
    }
}

/// `'it\'s'` as `'it''s'`, which means the same in every mode. Only inside a word: elsewhere a backslash before a quote may
/// as well be the last character of a text.
fn with_doubled_apostrophes(text: &str, quote: char) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut spelled = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = if c == '\\' { chars.next() } else { None };
        match next {
            Some(next) if next == quote && chars.peek().is_some_and(|c| c.is_alphanumeric()) => {
                spelled.extend([quote, quote]);
            }
            next => {
                spelled.push(c);
                spelled.extend(next);
            }
        }
    }
    spelled.into()
}

/// `0x4A`
fn hex_length(rest: &str) -> Result<usize, Violation> {
    let digits = length_while(&rest[2..], |c| c.is_ascii_hexdigit());
    match rest[2 + digits..].chars().next() {
        Some(c) if c.is_alphanumeric() || matches!(c, '_' | '$' | '@' | '#') => {
            Err(lexical(format!("`0x…` holds `{c}`, which is not a digit.")))
        }
        _ if digits == 0 => Err(lexical("`0x` needs digits.")),
        _ => Ok(2 + digits),
    }
}

/// `$tag$…$tag$` with an ASCII tag; `$1` is a parameter.
fn dollar_quoted_length(rest: &str) -> Result<usize, Violation> {
    let tag = length_while(&rest[1..], |c| c.is_ascii_alphanumeric() || c == '_');
    if rest[1..].starts_with(|c: char| c.is_ascii_digit()) || !rest[1 + tag..].starts_with('$') {
        return Err(parameter(rest));
    }
    let delimiter = &rest[..tag + 2];
    let end = rest[delimiter.len()..].find(delimiter);
    let end = end.ok_or_else(|| lexical(format!("A quote {delimiter} is not closed.")))?;
    Ok(end + 2 * delimiter.len())
}

fn within_bounds(canonical: &Canonical) -> Result<(), Violation> {
    let (mut set_operations, mut joins) = (0, 0);
    let mut chains = vec![0usize];
    let mut cases = Vec::new();
    for lexeme in &canonical.lexemes {
        let word = canonical.slice(lexeme);
        match bound_class(lexeme.kind, word) {
            Bound::Opens => {
                chains.push(0);
                cases.push(lexeme.kind == Kind::Word);
            }
            // A column called `end` closes nothing.
            Bound::Closes if cases.last() == Some(&(lexeme.kind == Kind::Word)) => {
                chains.pop();
                cases.pop();
            }
            Bound::Closes | Bound::Plain => {}
            Bound::Separates => *current(&mut chains) = 0,
            Bound::Chains => *current(&mut chains) += 1,
            Bound::SetOperation => set_operations += 1,
            Bound::Join => joins += 1,
        }
        if chains.len() > MAX_DEPTH + 1 {
            return Err(too_complex(format!("Parentheses or CASE nest deeper than {MAX_DEPTH}.")));
        }
        if *current(&mut chains) > MAX_CHAIN {
            return Err(too_complex(format!(
                "An expression chains more than {MAX_CHAIN} operators; use IN (…) or a CTE."
            )));
        }
    }
    if set_operations > MAX_SET_OPERATIONS {
        return Err(too_complex(format!(
            "More than {} SELECTs are combined by UNION, INTERSECT or EXCEPT.",
            MAX_SET_OPERATIONS + 1
        )));
    }
    if joins > MAX_JOINS {
        return Err(too_complex(format!("More than {MAX_JOINS} joins.")));
    }
    Ok(())
}

enum Bound {
    Opens,
    Closes,
    Separates,
    Chains,
    SetOperation,
    Join,
    Plain,
}

fn bound_class(kind: Kind, word: &str) -> Bound {
    const CHAINS: [&str; 18] = [
        "and", "or", "not", "like", "ilike", "is", "in", "between", "collate", "glob", "at", "xor", "div", "mod",
        "rlike", "regexp", "isnull", "notnull",
    ];
    let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
    match kind {
        Kind::Operator => Bound::Chains,
        Kind::Punctuation if matches!(word, "(" | "[") => Bound::Opens,
        Kind::Punctuation if matches!(word, ")" | "]") => Bound::Closes,
        Kind::Punctuation if word == "," => Bound::Separates,
        Kind::Word if is("case") => Bound::Opens,
        Kind::Word if is("end") => Bound::Closes,
        Kind::Word if is("union") || is("intersect") || is("except") => Bound::SetOperation,
        Kind::Word if is("join") => Bound::Join,
        Kind::Word if CHAINS.iter().any(|keyword| is(keyword)) => Bound::Chains,
        _ => Bound::Plain,
    }
}

fn current(chains: &mut [usize]) -> &mut usize {
    chains.last_mut().expect("the outermost chain is never closed")
}

fn lexical(detail: impl Into<String>) -> Violation {
    Violation::new(ViolationCode::Lexical, detail)
}

fn too_complex(detail: String) -> Violation {
    Violation::new(ViolationCode::TooComplex, detail)
}

fn several_statements() -> Violation {
    Violation::new(ViolationCode::NotAQuery, "Only one statement is accepted; remove the `;` and what follows it.")
}

fn parameter(rest: &str) -> Violation {
    let name: String = rest.chars().take(12).take_while(|c| !c.is_whitespace()).collect();
    Violation::new(ViolationCode::Parameter, format!("`{name}` looks like a parameter; write the value itself."))
}

fn not_an_operator(operator: &str) -> Violation {
    Violation::new(
        ViolationCode::OperatorNotAllowed,
        format!("`{operator}` is not an operator that questions may use."),
    )
}

fn non_ascii(odd: char) -> Violation {
    lexical(format!("`{odd}` (U+{:04X}) may stand only inside quotes.", u32::from(odd)))
}

fn name_too_long(name: &str, limit: usize) -> Violation {
    lexical(format!("The name `{}…` is longer than {limit} bytes.", name.chars().take(20).collect::<String>()))
}
