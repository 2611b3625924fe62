//! What a model wrote, read strictly where it kept to the form and with patience where it did not.
//!
//! Models think aloud, put fences and prose around what they were asked for, and break lines inside JSON. What was
//! meant as the answer is the last object with a `sql` field, else the last fence that holds a query, else a query in
//! the prose. An answer that was cut off is none: half a query may run and mean something else.

use serde_json::Value;

use super::fence::clean;
use super::statements::{begins_query, is_query, only_query};
use crate::text_to_sql::schema::Engine;

/// An explanation is cut here, in characters.
const MAX_EXPLANATION: usize = 1_000;
/// Places in an answer at which JSON is tried.
const MAX_OBJECTS: usize = 200;
/// Places at which a query is tried.
const MAX_QUERIES: usize = 50;
/// What thinking stands between where servers leave it in the answer.
const THOUGHTS: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<|channel|>analysis", "<|channel|>final<|message|>"),
];

/// An answer: a query, or none and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    pub sql: Option<String>,
    pub explanation: Option<String>,
}

/// The answer in a text, or what is wrong with it, in words for the model.
pub fn read(text: &str, cut: bool, engine: Engine) -> Result<Read, &'static str> {
    if cut {
        return Err("The answer was cut off because it was too long. Answer with a shorter query and fewer words.");
    }
    let text = without_thoughts(text);
    let none = "The answer held no query. Answer with one JSON object that has the fields explanation and sql.";
    let Some((sql, explanation)) = json_answer(&text).or_else(|| plain_answer(&text, engine).map(|sql| (sql, None)))
    else {
        return Err(none);
    };
    let explanation = explanation.map(|text| clean(text.trim(), MAX_EXPLANATION)).filter(|text| !text.is_empty());
    let sql = unfenced(&sql);
    if sql.trim().is_empty() || sql.trim().eq_ignore_ascii_case("null") {
        return Ok(Read { sql: None, explanation });
    }
    match only_query(sql, engine) {
        Some(sql) => Ok(Read { sql: Some(sql), explanation }),
        None => Err("The answer was not exactly one query. Answer with a single SELECT statement."),
    }
}

/// The text behind the last thought. One that does not end leaves nothing.
fn without_thoughts(text: &str) -> String {
    let mut rest = text.to_owned();
    for (open, close) in THOUGHTS {
        if let Some(at) = rest.rfind(close) {
            rest = rest[at + close.len()..].to_owned();
        }
        if let Some(at) = rest.find(open) {
            rest.truncate(at);
        }
    }
    rest
}

/// The last JSON object with this field in an answer, wherever it stands.
pub fn object(text: &str, field: &str) -> Option<Value> {
    last_object(&without_thoughts(text), |object| object.get(field).is_some())
}

/// The last JSON object with a `sql` field: its SQL (none is empty) and its explanation.
fn json_answer(text: &str) -> Option<(String, Option<String>)> {
    last_object(text, |object| fields(object).is_some()).as_ref().and_then(fields)
}

fn last_object(text: &str, fits: impl Fn(&Value) -> bool) -> Option<Value> {
    let mended = mended(text);
    let mut found = None;
    let mut from = 0;
    for _ in 0..MAX_OBJECTS {
        let Some(at) = mended[from..].find('{').map(|at| from + at) else { break };
        let mut objects = serde_json::Deserializer::from_str(&mended[at..]).into_iter::<Value>();
        from = match objects.next() {
            // Objects inside of it are its own.
            Some(Ok(object)) if fits(&object) => {
                found = Some(object);
                at + objects.byte_offset()
            }
            _ => at + 1,
        };
    }
    found
}

fn fields(object: &Value) -> Option<(String, Option<String>)> {
    let sql = ["sql", "SQL", "query"].iter().find_map(|name| object.get(*name))?;
    let sql = match sql {
        Value::Null => String::new(),
        Value::String(sql) => sql.clone(),
        _ => return None,
    };
    Some((sql, object.get("explanation").and_then(Value::as_str).map(str::to_owned)))
}

/// JSON whose texts hold bare line ends and tabs, as models write them, made whole.
fn mended(text: &str) -> String {
    let (mut out, mut inside, mut escaped) = (String::with_capacity(text.len()), false, false);
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            // Quotes in the prose around it open nothing.
            '"' if depth > 0 => inside = !inside,
            '{' if !inside => depth += 1,
            '}' if !inside => depth = depth.saturating_sub(1),
            _ => {}
        }
        match c {
            '\n' if inside => out.push_str("\\n"),
            '\r' if inside => {}
            '\t' if inside => out.push_str("\\t"),
            _ => out.push(c),
        }
    }
    out
}

/// SQL in the last code fence with a query in it, else in a line of its own up to the next blank line, else between
/// backticks.
fn plain_answer(text: &str, engine: Engine) -> Option<String> {
    let blocks: Vec<&str> = text.split("```").skip(1).step_by(2).map(without_language).collect();
    let mut fenced = blocks.iter().rev().filter(|block| holds_query(block));
    if let Some(block) = fenced.next() {
        return Some((*block).to_owned());
    }
    let lines: Vec<&str> = text.lines().collect();
    let written: Vec<String> = (0..lines.len()).filter_map(|at| from_line(&lines[at..])).take(MAX_QUERIES).collect();
    let inline = || text.split('`').skip(1).step_by(2).filter(|part| begins_query(part)).map(str::to_owned);
    let whole = written.iter().find(|sql| is_query(sql, engine)).cloned();
    let inline = || inline().find(|sql| is_query(sql, engine));
    whole.or_else(inline).or_else(|| written.into_iter().find(|sql| looks_like_one(sql)))
}

/// What a parser does not know, the guard will tell the model about; prose is none of its business.
fn looks_like_one(sql: &str) -> bool {
    let words = sql.to_lowercase();
    let mut words = words.split_whitespace();
    let mark = if words.next() == Some("with") { "as" } else { "from" };
    words.any(|word| word == mark || word.strip_prefix(mark).is_some_and(|rest| rest.starts_with('(')))
}

fn unfenced(sql: &str) -> &str {
    let mut blocks = sql.split("```").skip(1).step_by(2).map(without_language);
    if sql.trim_start().starts_with("```") { blocks.next().unwrap_or(sql) } else { sql }
}

/// A block without the word that says its language.
fn without_language(block: &str) -> &str {
    let first = block.lines().next().unwrap_or_default();
    let names = !first.trim().is_empty() && first.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if names && !begins_query(first) { &block[first.len()..] } else { block }
}

fn holds_query(block: &str) -> bool {
    block.lines().any(begins_query)
}

/// The query that begins in the first line, perhaps behind a label ("SQL: select …"), up to the next blank line.
fn from_line(lines: &[&str]) -> Option<String> {
    let first = lines.first()?;
    let start = match begins_query(first) {
        true => first,
        false => first.split_once(": ").map(|(_, rest)| rest).filter(|rest| begins_query(rest))?,
    };
    let more = lines[1..].iter().take_while(|line| !line.trim().is_empty());
    Some(std::iter::once(&start).chain(more).copied().collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> Option<String> {
        read(text, false, Engine::Postgres).ok().and_then(|read| read.sql)
    }

    #[test]
    fn the_answer_is_found_in_whatever_surrounds_it() {
        for text in [
            r#"{"sql": "select 1", "explanation": "one"}"#,
            "Sure!\n```json\n{\"sql\": \"select 1;\"}\n```\nHope that helps {really}.",
            "The set {a} first: {\"note\": 1} {\"sql\": \"select 1\"}",
            "He said \"yes\". {\"answer\": {\"sql\": \"select 1\"}}",
            "```sql\nselect 1;\n```",
            "```postgresql\nselect 1\n```\nThis is it.",
            "Try this:\n```sql\nselect 2\n```\nNo, better:\n```sql\nselect 1\n```",
            "``` select 1 ```",
            "Here it is:\n\nSELECT 1\n\nThis shows one.",
            "With pleasure, here you are.\n\nselect 1",
            "Select is what we need.\n\nselect 1",
            "SQL: select 1",
            "Use `select 1`, which is short.",
            r#"{"sql": "set search_path = x; select 1"}"#,
            "{\"sql\": \"```sql\\nselect 1\\n```\"}",
            "<think>Maybe {\"sql\": \"select 7\"}?\n```sql\nselect 8\n```</think>{\"sql\": \"select 1\"}",
            "Maybe select 9.\n</think>\n\nselect 1",
            "<|channel|>analysis<|message|>select 5<|end|><|channel|>final<|message|>{\"sql\": \"select 1\"}",
        ] {
            assert_eq!(sql(text).map(|sql| sql.to_lowercase()).as_deref(), Some("select 1"), "{text}");
        }
    }

    #[test]
    fn bare_line_ends_inside_json_are_line_ends() {
        let text = "{\"explanation\": \"two\tlines\", \"sql\": \"select 1 -- \\\"one\\\"\nfrom t\"}";
        assert_eq!(sql(text).as_deref(), Some("select 1 -- \"one\"\nfrom t"));
    }

    #[test]
    fn a_query_in_the_prose_keeps_all_of_its_lines() {
        let text = "The query is:\nselect a\nfrom t\nwhere b = 1\n\nIt lists them.";
        assert_eq!(sql(text).as_deref(), Some("select a\nfrom t\nwhere b = 1"));
    }

    #[test]
    fn an_answer_without_exactly_one_query_is_none() {
        for text in [
            "",
            "I cannot help with that.",
            "With regret, I cannot.",
            "<think>select 1",
            r#"{"sql": "select 1; select 2"}"#,
            r#"{"sql": "drop table customers"}"#,
            r#"{"sql": "delete from customers; select 1"}"#,
            r#"{"sql": 7}"#,
            r#"{"sql": "select 'open"#,
            r#"{"sql": "select 'open"}"#,
        ] {
            assert_eq!(sql(text), None, "{text}");
        }
    }

    #[test]
    fn an_answer_that_was_cut_off_is_none_even_if_it_could_run() {
        assert!(read("```sql\nselect sum(amount) from orders", true, Engine::Postgres).is_err());
        assert!(read("```sql\nselect sum(amount) from orders\n```", false, Engine::Postgres).is_ok());
    }

    #[test]
    fn a_semicolon_inside_a_literal_ends_nothing() {
        let text = r#"{"sql": "select ';'\nfrom \"a;b\" -- c;\n;"}"#;
        assert_eq!(sql(text).as_deref(), Some("select ';'\nfrom \"a;b\" -- c;"));
    }

    #[test]
    fn what_the_model_says_is_missing_is_passed_on() {
        let declined = read(r#"{"sql": null, "explanation": "There are no invoices."}"#, false, Engine::Sqlite);
        assert_eq!(declined, Ok(Read { sql: None, explanation: Some("There are no invoices.".to_owned()) }));
    }
}
