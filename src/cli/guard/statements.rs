//! A file's bytes to the statements in it, each with the line it starts on.
//!
//! Splitting is a convenience, not a check: what the guard then makes of each piece does not depend on it. A quote or a
//! comment that is never closed takes the rest of the file with it, which the guard refuses.

use anyhow::anyhow;

use crate::text_to_sql::schema::Engine;

/// How statements follow each other in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Each ended by a semicolon.
    Chunks,
    /// One a line, with its category behind the last ` -- `.
    Lines,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Statement {
    pub line: usize,
    pub category: Option<String>,
    pub sql: String,
}

/// What stands for a line end in a file of one statement a line.
const LINE_END: char = '⏎';

/// The statements of a file.
pub fn read(bytes: &[u8], form: Form, engine: Engine) -> anyhow::Result<Vec<Statement>> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        anyhow!("line {line} is not UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(match form {
        Form::Chunks => chunks(text, engine),
        Form::Lines => lines(text),
    })
}

fn lines(text: &str) -> Vec<Statement> {
    let numbered = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let statement = |(place, line): (usize, &str)| {
        let (sql, category) = line.rsplit_once(" -- ").map_or((line, None), |(sql, category)| (sql, Some(category)));
        let category = category.map(|category| category.trim().to_owned());
        Statement { line: place + 1, category, sql: sql.replace(LINE_END, "\n") }
    };
    numbered.map(statement).collect()
}

/// The pieces between semicolons that stand outside quotes and comments; pieces of comments alone are left out.
pub fn chunks(text: &str, engine: Engine) -> Vec<Statement> {
    let mut found = Vec::new();
    let (mut at, mut start) = (0, None);
    let mut line = 1;
    while let Some(piece) = next_piece(&text[at..], engine) {
        let end = at + piece.length;
        match piece.kind {
            PieceKind::Gap => {}
            PieceKind::End => found.extend(start.take().map(|(line, from)| whole(line, &text[from..at]))),
            PieceKind::Other => start = start.or(Some((line, at))),
        }
        line += text[at..end].matches('\n').count();
        at = end;
    }
    found.extend(start.map(|(line, from)| whole(line, &text[from..])));
    found
}

fn whole(line: usize, sql: &str) -> Statement {
    Statement { line, category: None, sql: sql.trim_end().to_owned() }
}

struct Piece {
    length: usize,
    kind: PieceKind,
}

enum PieceKind {
    /// White space or a comment.
    Gap,
    /// A semicolon.
    End,
    Other,
}

fn next_piece(rest: &str, engine: Engine) -> Option<Piece> {
    let first = rest.chars().next()?;
    let hash_comments = engine == Engine::Mysql;
    let (length, kind) = match first {
        _ if rest.starts_with("--") || (first == '#' && hash_comments) => (line_length(rest), PieceKind::Gap),
        _ if rest.starts_with("/*") => (comment_length(rest, engine), PieceKind::Gap),
        ';' => (1, PieceKind::End),
        c if c.is_whitespace() => (c.len_utf8(), PieceKind::Gap),
        '\'' | '"' | '`' => (quoted_length(rest, first, engine == Engine::Mysql), PieceKind::Other),
        '[' if matches!(engine, Engine::Mssql | Engine::Sqlite) => (quoted_length(rest, ']', false), PieceKind::Other),
        'e' | 'E' if engine == Engine::Postgres && rest[1..].starts_with('\'') => {
            (1 + quoted_length(&rest[1..], '\'', true), PieceKind::Other)
        }
        '$' if engine == Engine::Postgres => (dollar_quoted_length(rest), PieceKind::Other),
        c if is_word(c) => (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), PieceKind::Other),
        c => (c.len_utf8(), PieceKind::Other),
    };
    Some(Piece { length, kind })
}

/// A word is one piece, so that the `e` of `name'…'` does not make it an escaped string.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_length(rest: &str) -> usize {
    rest.find('\n').unwrap_or(rest.len())
}

/// Comments nest in PostgreSQL and SQL Server.
fn comment_length(rest: &str, engine: Engine) -> usize {
    let nests = matches!(engine, Engine::Postgres | Engine::Mssql);
    let (mut depth, mut at) = (1, 2);
    while depth > 0 {
        let Some(close) = rest[at..].find("*/") else { return rest.len() };
        match rest[at..].find("/*").filter(|&open| nests && open < close) {
            Some(open) => (depth, at) = (depth + 1, at + open + 2),
            None => (depth, at) = (depth - 1, at + close + 2),
        }
    }
    at
}

/// Up to the closing quote. A doubled quote needs no care: it ends one piece and begins the next.
fn quoted_length(rest: &str, close: char, backslashes: bool) -> usize {
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        if c == close {
            return at + c.len_utf8();
        }
        if c == '\\' && backslashes {
            characters.next();
        }
    }
    rest.len()
}

/// `$tag$…$tag$`, or the `$` of a parameter.
fn dollar_quoted_length(rest: &str) -> usize {
    let tag = rest[1..].find(|c| !is_word(c)).filter(|&tag| rest[1 + tag..].starts_with('$'));
    let Some(delimiter) = tag.map(|tag| &rest[..tag + 2]) else { return 1 };
    let end = rest[delimiter.len()..].find(delimiter);
    end.map_or(rest.len(), |end| end + 2 * delimiter.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, engine: Engine) -> Vec<String> {
        chunks(text, engine).into_iter().map(|statement| statement.sql).collect()
    }

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        let text = "select ';' ; select \";\" /* ; */ -- ;\n, 1;;\n-- only a comment\n";
        for engine in Engine::ALL {
            assert_eq!(split(text, engine), ["select ';'", "select \";\" /* ; */ -- ;\n, 1"], "{engine:?}");
        }
    }

    #[test]
    fn each_dialect_has_its_own_quotes() {
        assert_eq!(split(r"select E'a\';b'; select $x$;$x$, $1; select name'\'; x", Engine::Postgres).len(), 4);
        assert_eq!(split("select 'a\\';b'; select `;` # ;\n, 1", Engine::Mysql).len(), 2);
        assert_eq!(split("select [;]; select 1", Engine::Sqlite).len(), 2);
        assert_eq!(split("select [;]]]; /* /* ; */ ; */ select 1", Engine::Mssql).len(), 2);
        assert_eq!(split("select 1 /* /* ; */ ; select 2", Engine::Sqlite).len(), 2);
    }

    #[test]
    fn what_is_never_closed_is_one_statement_to_the_end() {
        for text in ["select 'a; b", "select 1 /* ; b", "select $a$ ; b"] {
            assert_eq!(split(text, Engine::Postgres), [text]);
        }
    }

    #[test]
    fn statements_know_the_line_they_start_on() {
        let found = chunks("\n-- first\nselect 1\n;\n\n  select\n2;", Engine::Postgres);
        assert_eq!(found.iter().map(|it| it.line).collect::<Vec<_>>(), [3, 6]);
    }

    #[test]
    fn a_line_is_a_statement_with_its_category_behind_the_last_dashes() {
        let text = "\u{feff}select 1 -- a -- b c\r\n\nselect 1 --⏎, 2\n";
        let found = read(text.as_bytes(), Form::Lines, Engine::Postgres).unwrap();
        let expected = [(1, Some("b c"), "select 1 -- a"), (3, None, "select 1 --\n, 2")];
        let found: Vec<_> = found.iter().map(|it| (it.line, it.category.as_deref(), it.sql.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn bytes_that_are_no_text_are_named_by_their_line() {
        let error = read(b"select 1;\nselect '\xff';", Form::Chunks, Engine::Sqlite).unwrap_err();
        assert_eq!(error.to_string(), "line 2 is not UTF-8");
    }
}
