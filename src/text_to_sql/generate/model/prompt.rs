//! What the model is asked: instructions of ours, and fences with the schema, values, examples and the question, all
//! of it within the model's window.

use std::time::Duration;

use serde_json::json;

use super::fence::{clean, fenced, rule};
use super::tables::{Shown, table_lines};
use super::{Context, Repair};
use crate::models::{AnswerFormat, Prompt};
use crate::text_to_sql::link::relevant::Ranking;
use crate::text_to_sql::link::tokens::{MAX_TOKENS, tokenize};
use crate::text_to_sql::link::{Meaning, link};
use crate::text_to_sql::schema::{Column, Engine, Schema, Table};

/// Identifiers and values cost about a token every three bytes; an estimate that errs on the safe side.
pub const BYTES_PER_TOKEN: usize = 3;
/// Long enough for a query of a screen, and for the thoughts of a model that thinks aloud.
const MAX_ANSWER_TOKENS: usize = 4_000;
/// A small window is not filled by the answer alone.
const ANSWER_SHARE: usize = 4;
/// One part in so many of the window stays empty: a model counts in other tokens than ours.
const MARGIN_SHARE: usize = 8;
/// For the schema: more tables than this holds help nobody and cost everybody.
const MAX_SCHEMA_TOKENS: usize = 8_000;
/// One part in so many of the room goes to examples, to the question, and to a statement each, at most.
const PIECE_SHARE: usize = 6;
/// Questions and statements are cut here, in bytes.
const MAX_PIECE: usize = 4_000;
/// Examples shown; the nearest ones say it.
const MAX_EXAMPLES: usize = 4;
/// Values of the question shown with where they are stored.
const MAX_VALUES: usize = 12;
/// Descriptions and values are cut here, in characters.
pub const MAX_TEXT: usize = 120;

pub fn prompt(mark: &str, context: &Context<'_>, repair: Option<&Repair>, deadline: Duration) -> Prompt {
    let system = instructions(mark, context.schema);
    let answer = MAX_ANSWER_TOKENS.min(context.window_tokens / ANSWER_SHARE);
    let spent = answer + context.window_tokens / MARGIN_SHARE;
    let room = (context.window_tokens.saturating_sub(spent) * BYTES_PER_TOKEN).saturating_sub(system.len());
    Prompt {
        user: user(mark, context, repair, room),
        system,
        max_tokens: u32::try_from(answer).unwrap_or(u32::MAX),
        temperature: 0.0,
        deadline,
        format: Some(format()),
    }
}

/// The form of an answer. The explanation comes first: a model that says how it reads the question writes better SQL.
fn format() -> AnswerFormat {
    let schema = json!({
        "type": "object",
        "properties": {
            "explanation": { "type": "string" },
            "sql": { "type": ["string", "null"] }
        },
        "required": ["explanation", "sql"],
        "additionalProperties": false
    });
    AnswerFormat { name: "query", schema }
}

fn instructions(mark: &str, schema: &Schema) -> String {
    format!(
        "You write one read-only {dialect} query that answers a question about a database.\n\
         {rule}\n\
         Use only the tables and columns of the schema. Never write anything but a single SELECT (WITH is allowed). \
         Qualify columns when several tables take part. Compare dates as half-open ranges. {habits}\n\
         Write values as the schema and the values show them. Where the question names a metric, use its expression. A \
         filter that applies by default goes into every query on its table unless the question speaks against it.\n\
         If the schema cannot answer the question, do not guess.\n\
         Answer with one JSON object and nothing else: {{\"explanation\": \"how you read the question\", \"sql\": \"…\"}}, \
         or {{\"explanation\": \"what is missing\", \"sql\": null}}.",
        dialect = dialect(schema),
        rule = rule(mark),
        habits = habits(schema.engine),
    )
}

/// The engine and its version; of what the server says, digits and dots alone.
fn dialect(schema: &Schema) -> String {
    let name = match schema.engine {
        Engine::Postgres => "PostgreSQL",
        Engine::Mysql if schema.server_version.contains("MariaDB") => "MariaDB",
        Engine::Mysql => "MySQL",
        Engine::Sqlite => "SQLite",
        Engine::Mssql => "SQL Server (T-SQL)",
    };
    let version: String =
        schema.server_version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').take(MAX_VERSION).collect();
    if version.is_empty() { name.to_owned() } else { format!("{name} {version}") }
}

/// `16.0.4135.4` and no more.
const MAX_VERSION: usize = 16;

/// What models get wrong most often.
fn habits(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            "Double quotes are for names, single quotes for texts; names that are not lower case need quotes."
        }
        Engine::Mysql => "Backticks are for names, single quotes for texts.",
        Engine::Sqlite => "Dates are texts: use date() and strftime(); dividing integers cuts the fraction off.",
        Engine::Mssql => "Use TOP or OFFSET … FETCH, never LIMIT; brackets are for names.",
    }
}

/// The fences, the last of which must fit taken first: the question, then what was refused, then the rest.
fn user(mark: &str, context: &Context<'_>, repair: Option<&Repair>, room: usize) -> String {
    let ranking = context.relevance.rank(context.schema, context.question);
    let piece = (room / PIECE_SHARE).min(MAX_PIECE);
    let said = bytes(context.question, piece);
    let question = fenced(mark, "question", &[said]);
    let refused = repair.map(|repair| refused(mark, repair, piece)).unwrap_or_default();
    let previous = context.previous.map(|previous| before(mark, previous, piece)).unwrap_or_default();
    let values = optional(mark, "values", &value_lines(context, &ranking));
    let today = format!(
        "Today is {}, time zone {}.\n",
        context.today.format("%A, %Y-%m-%d"),
        clean(context.time_zone, MAX_TEXT)
    );
    let spent = |pieces: &[&String]| pieces.iter().map(|piece| piece.len()).sum::<usize>();
    let mut left = room.saturating_sub(spent(&[&question, &refused, &previous, &values, &today]));
    let examples = examples(mark, context.examples, left / PIECE_SHARE);
    left = left.saturating_sub(examples.len() + fenced(mark, "schema", &[]).len());
    let shown = Shown::choose(context, &ranking, repair.map(|repair| repair.sql.as_str()));
    let lines = table_lines(context.schema, &ranking, &shown, left.min(MAX_SCHEMA_TOKENS * BYTES_PER_TOKEN));
    let schema = fenced(mark, "schema", &lines);
    format!("{today}{schema}{values}{examples}{previous}{question}{refused}")
}

fn refused(mark: &str, repair: &Repair, limit: usize) -> String {
    let problems: Vec<String> =
        repair.problems.iter().map(|problem| bytes(problem, limit / PROBLEMS)).take(PROBLEMS).collect();
    format!(
        "Your last answer was refused. Write a better one.\n{}{}",
        fenced(mark, "refused", &[bytes(&repair.sql, limit)]),
        fenced(mark, "problems", &problems)
    )
}

/// Problems told of one statement; the first ones explain the others.
const PROBLEMS: usize = 6;

fn before(mark: &str, (question, sql): (&str, &str), limit: usize) -> String {
    let lines = [bytes(question, limit / 2), bytes(sql, limit / 2)];
    format!("The question may continue the one before; its words and its query:\n{}", fenced(mark, "previous", &lines))
}

fn examples(mark: &str, examples: &[(String, String)], room: usize) -> String {
    const TITLE: &str = "Verified queries for other questions about this database:\n";
    let mut left = room.saturating_sub(TITLE.len() + fenced(mark, "examples", &[]).len());
    let mut lines = Vec::new();
    for (question, sql) in examples.iter().take(MAX_EXAMPLES) {
        let pair = [format!("question: {}", clean(question, MAX_PIECE)), format!("sql: {}", clean(sql, MAX_PIECE))];
        let size: usize = pair.iter().map(|line| line.len() + 2).sum();
        if size > left {
            continue;
        }
        left -= size;
        lines.extend(pair);
    }
    if lines.is_empty() { String::new() } else { format!("{TITLE}{}", fenced(mark, "examples", &lines)) }
}

/// Words of the question that are stored values, and where; those that are spelled otherwise come last.
fn value_lines(context: &Context<'_>, ranking: &Ranking) -> Vec<String> {
    let exact = ranking.values.iter().map(|hit| {
        let table = &context.schema.tables[hit.table];
        value_line(&hit.said, &hit.value, table, &table.columns[hit.column])
    });
    let mut words = tokenize(context.question);
    words.truncate(MAX_TOKENS);
    let mut lines: Vec<String> = exact.collect();
    for mention in link(&words, context.catalog) {
        let said: Vec<&str> = words[mention.start..mention.end].iter().map(|word| word.text.as_str()).collect();
        for candidate in mention.candidates.iter().take(MAX_READINGS) {
            if let Meaning::Value(column, value) = &candidate.meaning {
                let entry = context.catalog.column(*column);
                let line = value_line(&said.join(" "), value, context.catalog.table(entry.table).table, entry.column);
                lines.extend((!lines.contains(&line)).then_some(line));
            }
        }
    }
    lines.truncate(MAX_VALUES);
    lines
}

/// Columns told of one misspelled value.
const MAX_READINGS: usize = 3;

fn value_line(said: &str, value: &str, table: &Table, column: &Column) -> String {
    clean(&format!("\"{said}\" is '{value}' in {}.{}", table.name, column.name), 2 * MAX_TEXT)
}

fn optional(mark: &str, name: &str, lines: &[String]) -> String {
    if lines.is_empty() { String::new() } else { fenced(mark, name, lines) }
}

/// One clean line of at most so many bytes.
fn bytes(text: &str, limit: usize) -> String {
    let line = clean(text, limit);
    let end = (0..=limit.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or_default();
    if end < line.len() { format!("{}…", line[..end].trim_end_matches('…')) } else { line }
}
