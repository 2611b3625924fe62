//! Canonical text to exactly one query tree, on a stack that hostile nesting cannot exhaust.
//!
//! The tree never leaves this module: walking and dropping it recurse as deep as parsing it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sqlparser::ast::{Query, Statement};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::dialect::{Dialect, contains};
use super::lexical::{Canonical, Kind};
use super::violation::{Violation, ViolationCode};
use super::words::locations;

/// Each level of a tree takes at least one token; measured in a debug build, several times over.
const STACK_BYTES_A_TOKEN: usize = 8 * 1024;
const STACK_BYTES: usize = 512 * 1024;
/// In the parser's own count; above what the lexical depth allows for expressions that people write.
const RECURSION_LIMIT: usize = 200;

/// Parses the text and hands the query to `then`. A panic on the way is a refusal.
pub fn with_query<T>(
    canonical: &Canonical,
    dialect: &Dialect,
    then: impl FnOnce(&Query) -> T,
) -> Result<T, Vec<Violation>> {
    let stack = STACK_BYTES + STACK_BYTES_A_TOKEN * canonical.lexemes.len();
    let work = move || query(canonical, dialect).map(|query| then(&query));
    // Most statements fit into the stack that is there; a new one costs more than all the rest of a check.
    let outcome = catch_unwind(AssertUnwindSafe(|| stacker::maybe_grow(stack, stack, work)));
    match outcome {
        Ok(result) => result.map_err(|violation| vec![violation]),
        Err(_panic) => Err(vec![gap("The statement could not be analysed.")]),
    }
}

fn query(canonical: &Canonical, dialect: &Dialect) -> Result<Box<Query>, Violation> {
    starts_a_query(canonical)?;
    let tokens = agreed_tokens(canonical, dialect)?;
    let tokens = shown(tokens, canonical, dialect);
    let mut parser =
        Parser::new(dialect.parser).with_recursion_limit(RECURSION_LIMIT).with_tokens_with_locations(tokens);
    let statement = parser.parse_statement().map_err(|error| refusal(&error, canonical, dialect))?;
    let rest = parser.peek_token_ref();
    if rest.token != Token::EOF {
        return Err(unparsed(format!("`{}` is not expected{}.", rest.token, rest.span.start), canonical, dialect));
    }
    match statement {
        Statement::Query(query) => Ok(query),
        _ => Err(not_a_query("This statement")),
    }
}

/// Says early, and in plain words, that a statement is of another kind.
fn starts_a_query(canonical: &Canonical) -> Result<(), Violation> {
    const WRITES: [&str; 21] = [
        "insert", "update", "delete", "merge", "replace", "truncate", "create", "alter", "drop", "grant", "revoke",
        "copy", "comment", "vacuum", "reindex", "refresh", "security", "import", "analyze", "attach", "detach",
    ];
    let first = canonical.lexemes.iter().map(|lexeme| canonical.slice(lexeme)).find(|word| *word != "(");
    let is = |keyword: &&str| first.is_some_and(|word| word.eq_ignore_ascii_case(keyword));
    match first {
        None => Err(not_a_query("An empty statement")),
        Some(_) if ["select", "with", "values"].iter().any(is) => Ok(()),
        Some(word) if WRITES.iter().any(is) => Err(Violation::new(
            ViolationCode::Writes,
            format!("`{}` is not allowed: statements may only read.", word.to_uppercase()),
        )),
        Some(word) if is(&"table") => Err(not_a_query(&format!("`{word}` (write SELECT * FROM …)"))),
        Some(word) => Err(not_a_query(&format!("`{}`", word.chars().take(30).collect::<String>()))),
    }
}

/// The parser's tokens, if they lie exactly where ours do.
fn agreed_tokens(canonical: &Canonical, dialect: &Dialect) -> Result<Vec<TokenWithSpan>, Violation> {
    let tokens = Tokenizer::new(dialect.parser, &canonical.text).with_unescape(false).tokenize_with_location();
    let tokens = tokens.map_err(|error| Violation::new(ViolationCode::Lexical, format!("{error}.")))?;
    let mut ours = locations(canonical).zip(&canonical.lexemes);
    for token in tokens.iter().filter(|token| !is_space(&token.token)) {
        match ours.next() {
            Some((span, lexeme)) if span == token.span && agrees(lexeme.kind, &token.token) => {}
            _ => return Err(disagreement(token)),
        }
    }
    if ours.next().is_some() { Err(gap("The end of the statement could not be read.")) } else { Ok(tokens) }
}

/// What the parser is shown: some words that change nothing about what is read are passed over, or shown as a word that
/// it knows. The text that runs keeps them, and their words are accounted for like all others.
fn shown(tokens: Vec<TokenWithSpan>, canonical: &Canonical, dialect: &Dialect) -> Vec<TokenWithSpan> {
    let words: Vec<&str> = canonical.lexemes.iter().map(|lexeme| canonical.slice(lexeme)).collect();
    let (mut at, mut passed_until) = (0, 0);
    let mut shown = Vec::with_capacity(tokens.len());
    for mut token in tokens {
        if is_space(&token.token) || at >= words.len() {
            shown.push(token);
            continue;
        }
        if at >= passed_until && at > 0 {
            passed_until = at + (dialect.passed_over)(words[at - 1], &words[at..]);
            if let Some(other) = (dialect.shown_as)(&words[..at], words[at]) {
                token.token = other;
            }
        }
        if at >= passed_until {
            shown.push(token);
        }
        at += 1;
    }
    shown
}

fn is_space(token: &Token) -> bool {
    use sqlparser::tokenizer::Whitespace::{Newline, Space, Tab};
    matches!(token, Token::Whitespace(Space | Tab | Newline))
}

fn agrees(kind: Kind, token: &Token) -> bool {
    match token {
        Token::Word(word) => kind == if word.quote_style.is_some() { Kind::Quoted } else { Kind::Word },
        Token::Number(_, long) => kind == Kind::Number && !long,
        // SQL Server's `$12.50`; what our lexer takes for a parameter never comes here.
        Token::Placeholder(_) => kind == Kind::Number,
        Token::SingleQuotedString(_)
        | Token::NationalStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::DoubleQuotedString(_)
        | Token::HexStringLiteral(_)
        | Token::SingleQuotedByteStringLiteral(_)
        | Token::DollarQuotedString(_) => kind == Kind::Text,
        _ => matches!(kind, Kind::Operator | Kind::Punctuation),
    }
}

fn refusal(error: &ParserError, canonical: &Canonical, dialect: &Dialect) -> Violation {
    match error {
        ParserError::RecursionLimitExceeded => {
            Violation::new(ViolationCode::TooComplex, "The statement nests too deeply.")
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => {
            unparsed(format!("{message}."), canonical, dialect)
        }
    }
}

fn unparsed(detail: String, canonical: &Canonical, dialect: &Dialect) -> Violation {
    let words =
        canonical.lexemes.iter().filter(|lexeme| lexeme.kind == Kind::Word).map(|lexeme| canonical.slice(lexeme));
    let gap = words.into_iter().any(|word| contains(&dialect.parser_gaps, word));
    Violation::new(if gap { ViolationCode::ParserGap } else { ViolationCode::Syntax }, detail)
}

fn disagreement(token: &TokenWithSpan) -> Violation {
    gap(&format!("`{}`{} can be read in two ways.", token.token, token.span.start))
}

fn not_a_query(what: &str) -> Violation {
    Violation::new(ViolationCode::NotAQuery, format!("{what} is not a query; write one SELECT."))
}

fn gap(detail: &str) -> Violation {
    Violation::new(ViolationCode::ParserGap, detail)
}
