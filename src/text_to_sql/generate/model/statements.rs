//! The one query among the statements of a text.

use sqlparser::ast::Statement;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use crate::text_to_sql::schema::Engine;
use crate::text_to_sql::terms::dialect;

const QUERY: [&str; 3] = ["select", "with", "values"];
const SESSION: [&str; 5] = ["set", "begin", "start", "commit", "use"];
/// Longer texts are no query that a parser's stack should be spent on; the guard has bounds of its own.
const MAX_PARSED_BYTES: usize = 8_192;

/// The query, without its semicolon. Models like to set up a session around it, which costs nothing to leave out; beside
/// a statement that does anything else, the query is only half of what was meant.
pub fn only_query(sql: &str, engine: Engine) -> Option<String> {
    let statements = statements(sql, engine)?.into_iter();
    let (mut queries, others): (Vec<_>, Vec<_>) = statements.partition(|statement| begins(statement, engine, &QUERY));
    let harmless = others.iter().all(|statement| begins(statement, engine, &SESSION));
    (harmless && queries.len() == 1).then(|| queries.remove(0))
}

/// Whether a line may begin a query: prose begins with "select" or "with" as well.
pub fn begins_query(line: &str) -> bool {
    let line = line.trim_start().trim_start_matches('(').trim_start();
    let word: String = line.chars().take_while(char::is_ascii_alphabetic).collect();
    let ended = line[word.len()..]
        .chars()
        .next()
        .is_none_or(|c| c.is_whitespace() || matches!(c, '*' | '(' | '"' | '\'' | '['));
    ended && (word.eq_ignore_ascii_case("select") || word.eq_ignore_ascii_case("with"))
}

/// Whether the text parses as one query.
pub fn is_query(sql: &str, engine: Engine) -> bool {
    let parsed = (sql.len() <= MAX_PARSED_BYTES).then(|| Parser::parse_sql(dialect(engine), sql));
    matches!(parsed, Some(Ok(statements)) if matches!(statements[..], [Statement::Query(_)]))
}

/// Split at semicolons that are outside of quotes and comments.
fn statements(sql: &str, engine: Engine) -> Option<Vec<String>> {
    let tokens = Tokenizer::new(dialect(engine), sql).with_unescape(false).tokenize_with_location().ok()?;
    let mut out = Vec::new();
    let mut start = 0;
    for token in tokens.iter().filter(|token| token.token == Token::SemiColon) {
        let end = byte_at(sql, token.span.start.line, token.span.start.column)?;
        out.push(sql.get(start..end)?.trim().to_owned());
        start = end + 1;
    }
    out.push(sql.get(start..)?.trim().to_owned());
    out.retain(|statement| !statement.is_empty());
    Some(out)
}

/// The tokenizer counts lines and characters from one.
fn byte_at(sql: &str, line: u64, column: u64) -> Option<usize> {
    let line_start = match line {
        1 => 0,
        line => sql.match_indices('\n').nth(usize::try_from(line - 2).ok()?)?.0 + 1,
    };
    let column = usize::try_from(column.checked_sub(1)?).ok()?;
    sql.get(line_start..)?.char_indices().nth(column).map(|(at, _)| line_start + at)
}

fn begins(statement: &str, engine: Engine, verbs: &[&str]) -> bool {
    let tokens = Tokenizer::new(dialect(engine), statement).tokenize().unwrap_or_default();
    let first = tokens.iter().find(|token| !matches!(token, Token::Whitespace(_) | Token::LParen));
    matches!(first, Some(Token::Word(word)) if verbs.iter().any(|verb| word.value.eq_ignore_ascii_case(verb)))
}
