//! The generator that remembers: a verified example whose question is the one that is asked, word for word but for
//! politeness and for values.
//!
//! A literal of the example's SQL that its question says too is a slot: what stands in its place in the new question takes
//! its place in the SQL. Nothing else may differ. Likeness of meaning alone never lets an example answer, because "highest"
//! and "lowest" are as like as words get; such examples are offered, and shown to a language model.

use sqlparser::tokenizer::{Token as SqlToken, Tokenizer};
use uuid::Uuid;

use super::{Draft, Features};
use crate::text_to_sql::explain::restate;
use crate::text_to_sql::link::tokens::{MAX_TOKENS, Token, tokenize};
use crate::text_to_sql::schema::{Engine, Schema};
use crate::text_to_sql::terms::dialect;

/// A question with SQL that somebody stands for, near the question that is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    pub id: Uuid,
    pub question: String,
    pub sql: String,
    /// From 0 to 1: how like the two questions are, by meaning or by words.
    pub likeness: f32,
}

/// The same question.
const SAME: f32 = 0.99;
/// The same question about other values that the database knows, or about other numbers.
const SWAPPED: f32 = 0.95;
/// About a value that nobody has seen yet.
const UNKNOWN_VALUE: f32 = 0.85;
/// A like question is worth offering from here on, and what such an offer is worth.
const OFFERED_LIKENESS: f32 = 0.75;
const OFFERED: f32 = 0.5;

/// Words that change nothing: they ask, or they are polite.
const IDLE: &[&str] = &[
    "a", "all", "an", "are", "can", "could", "did", "display", "do", "does", "find", "get", "give", "is", "i", "list",
    "me", "our", "please", "return", "show", "tell", "the", "there", "us", "want", "was", "we", "were", "what",
    "which", "would", "you", "of", "s",
];
/// A value of more tokens than this is no plain slot.
const MAX_VALUE_TOKENS: usize = 6;
/// More slots make too many ways to read a question.
const MAX_SLOTS: usize = 6;

/// The words by which examples are found: in order, stemmed, without those that change nothing.
pub fn lexemes(question: &str) -> Vec<String> {
    let tokens = tokenize(question);
    tokens.iter().take(MAX_TOKENS).filter(|token| !is_idle(token)).map(word).collect()
}

/// The example's SQL as an answer to `question`, if it is one.
pub fn reuse(question: &str, example: &Example, schema: &Schema) -> Option<Draft> {
    let asked = tokenize(question);
    let known = tokenize(&example.question);
    if asked.len().max(known.len()) > MAX_TOKENS {
        return None;
    }
    let literals = Literals::of(&example.sql, schema.engine)?;
    let pattern = pattern(&known, &literals);
    let asked: Vec<&Token> = asked.iter().filter(|token| !token.is_mark()).collect();
    let values = matched(&pattern, &asked)?;
    let swaps: Vec<Swap> =
        values.into_iter().filter_map(|(slot, value)| Swap::of(&literals, slot, &value, schema)).collect();
    if swaps.iter().any(|swap| swap.value.is_none()) {
        return None;
    }
    let sql = literals.with(&swaps);
    let mut assumptions = vec![format!("taken from the verified question “{}”", example.question)];
    assumptions.extend(swaps.iter().map(Swap::assumption));
    let confidence = match (swaps.is_empty(), swaps.iter().all(|swap| swap.known)) {
        (true, _) => SAME,
        (false, true) => SWAPPED,
        (false, false) => UNKNOWN_VALUE,
    };
    Some(draft(sql, schema.engine, confidence, assumptions))
}

/// The example as a choice: the question is like it, and not the same.
pub fn offer(example: &Example, schema: &Schema) -> Option<Draft> {
    let assumption = format!("answers the verified question “{}” instead", example.question);
    let likely = example.likeness >= OFFERED_LIKENESS;
    likely.then(|| draft(example.sql.clone(), schema.engine, OFFERED * example.likeness, vec![assumption]))
}

fn draft(sql: String, engine: Engine, confidence: f32, assumptions: Vec<String>) -> Draft {
    let explanation = restate(&sql, engine);
    Draft {
        sql,
        confidence,
        explanation,
        assumptions,
        unused_words: Vec::new(),
        clarification: None,
        features: Features::default(),
    }
}

/// A statement cut into tokens, and the literals among them.
struct Literals {
    tokens: Vec<SqlToken>,
    /// Places in `tokens`.
    places: Vec<usize>,
}

impl Literals {
    fn of(sql: &str, engine: Engine) -> Option<Literals> {
        let tokens = Tokenizer::new(dialect(engine), sql).with_unescape(false).tokenize().ok()?;
        let literal = |token: &SqlToken| matches!(token, SqlToken::SingleQuotedString(_) | SqlToken::Number(..));
        let places = tokens.iter().enumerate().filter(|(_, token)| literal(token)).map(|(place, _)| place).collect();
        Some(Literals { tokens, places })
    }

    fn text(&self, place: usize) -> &str {
        match &self.tokens[place] {
            SqlToken::SingleQuotedString(text) | SqlToken::Number(text, _) => text,
            _ => "",
        }
    }

    fn is_number(&self, place: usize) -> bool {
        matches!(self.tokens[place], SqlToken::Number(..))
    }

    fn with(&self, swaps: &[Swap]) -> String {
        let text = |(place, token): (usize, &SqlToken)| {
            let swap = swaps.iter().find(|swap| swap.place == place);
            swap.and_then(Swap::sql).unwrap_or_else(|| token.to_string())
        };
        self.tokens.iter().enumerate().map(text).collect()
    }
}

/// What must stand in a question, one after the other.
enum Part {
    Word(String),
    /// The value of the literal at this place.
    Number(usize),
    Text(usize),
}

/// The example's question with its slots. A literal that occurs more than once in the SQL, or in the question, is none.
fn pattern(known: &[Token], literals: &Literals) -> Vec<Part> {
    let tokens: Vec<&Token> = known.iter().filter(|token| !token.is_mark()).collect();
    let mut parts = Vec::new();
    let mut slots = 0;
    let mut at = 0;
    while at < tokens.len() {
        let slot = literals.places.iter().copied().find_map(|place| slot_at(&tokens, at, literals, place));
        match slot.filter(|_| slots < MAX_SLOTS) {
            Some((part, length)) => {
                parts.push(part);
                slots += 1;
                at += length;
            }
            None if is_idle(tokens[at]) => at += 1,
            None => {
                parts.push(Part::Word(word(tokens[at])));
                at += 1;
            }
        }
    }
    parts
}

fn slot_at(tokens: &[&Token], at: usize, literals: &Literals, place: usize) -> Option<(Part, usize)> {
    let text = literals.text(place);
    let alone = literals.places.iter().filter(|other| literals.text(**other) == text).count() == 1;
    if !alone || text.is_empty() {
        return None;
    }
    if literals.is_number(place) {
        let says = |token: &&Token| token.number().is_some_and(|number| number.text == text);
        let once = tokens.iter().copied().filter(|token| says(&token)).count() == 1;
        return (once && says(&tokens[at])).then_some((Part::Number(place), 1));
    }
    let length = value_length(&tokens[at..], text)?;
    let again = (at + length..tokens.len()).any(|later| value_length(&tokens[later..], text).is_some());
    (!again).then_some((Part::Text(place), length))
}

/// How many of the first tokens say `text`.
fn value_length(tokens: &[&Token], text: &str) -> Option<usize> {
    let text = text.trim_matches('%').replace("''", "'").to_lowercase();
    let most = MAX_VALUE_TOKENS.min(tokens.len());
    (1..=most).find(|length| {
        let said: Vec<&str> = tokens[..*length].iter().map(|token| token.lower.as_str()).collect();
        let numbers = tokens[..*length].iter().any(|token| token.dates().is_some());
        !numbers && said.join(" ") == text
    })
}

/// The value that the question says for each slot, if it says nothing else beside the pattern.
fn matched(pattern: &[Part], asked: &[&Token]) -> Option<Vec<(usize, Vec<Token>)>> {
    match (pattern, asked) {
        ([], []) => Some(Vec::new()),
        ([Part::Number(place), rest @ ..], [token, after @ ..]) if token.number().is_some() => {
            let mut values = matched(rest, after)?;
            values.push((*place, vec![(*token).clone()]));
            Some(values)
        }
        ([Part::Text(place), rest @ ..], [_, ..]) => {
            let most = MAX_VALUE_TOKENS.min(asked.len());
            // Idle words after a value may be part of it.
            let ends = |length: usize| !rest.is_empty() || asked[length..].iter().all(|token| token.lower == "please");
            let value = (1..=most)
                .filter(|length| ends(*length))
                .find_map(|length| Some((length, matched(rest, &asked[length..])?)));
            let skipped = || is_idle(asked[0]).then(|| matched(pattern, &asked[1..])).flatten();
            match value {
                Some((length, mut values)) => {
                    values.push((*place, asked[..length].iter().map(|token| (*token).clone()).collect()));
                    Some(values)
                }
                None => skipped(),
            }
        }
        ([Part::Word(expected), rest @ ..], [token, after @ ..]) if *expected == word(token) => matched(rest, after),
        (_, [token, after @ ..]) if is_idle(token) => matched(pattern, after),
        _ => None,
    }
}

/// Another value in the place of a literal.
struct Swap {
    place: usize,
    number: bool,
    from: String,
    /// As SQL holds it between quotes, or as a number; nothing where the question's words are no plain value.
    value: Option<String>,
    /// The database is known to hold it, or it is a number.
    known: bool,
}

impl Swap {
    /// Nothing where the question says what the SQL has already.
    fn of(literals: &Literals, place: usize, said: &[Token], schema: &Schema) -> Option<Swap> {
        let from = literals.text(place).to_owned();
        let number = literals.is_number(place);
        let (value, known) = match said {
            [token] if number => (token.number().map(|number| number.text.clone()), true),
            _ => text_value(&from, said, schema),
        };
        let unchanged = value.as_deref() == Some(from.as_str());
        (!unchanged).then_some(Swap { place, number, from, value, known })
    }

    fn sql(&self) -> Option<String> {
        let value = self.value.as_ref()?;
        Some(if self.number { value.clone() } else { format!("'{value}'") })
    }

    fn assumption(&self) -> String {
        let to = self.value.as_deref().unwrap_or_default().trim_matches('%');
        let unknown = if self.known { "" } else { ", as it was written: no such value is known" };
        format!("“{to}” takes the place of “{}”{unknown}", self.from.trim_matches('%'))
    }
}

/// The words as a value between quotes: as a column that holds the old one spells it, else as they were written if they
/// are plainly a name.
fn text_value(from: &str, said: &[Token], schema: &Schema) -> (Option<String>, bool) {
    let text = said.iter().map(|token| token.text.as_str()).collect::<Vec<_>>().join(" ");
    let (before, after) = (if from.starts_with('%') { "%" } else { "" }, if from.ends_with('%') { "%" } else { "" });
    let old = from.replace("''", "'");
    let spelled = schema
        .visible_tables()
        .flat_map(|table| table.visible_columns().filter(|column| !column.masked))
        .filter(|column| values(column).any(|value| *value == old))
        .find_map(|column| values(column).find(|value| value.to_lowercase() == text.to_lowercase()));
    let plain = match said {
        [token] => !is_idle(token) && !token.function && token.dates().is_none(),
        _ => said.iter().all(|token| token.capital || token.number().is_some()),
    };
    let safe =
        |text: &str| !text.contains(['\\', '%', '_', '\0']) || (before.is_empty() && !text.contains(['\\', '\0']));
    match spelled {
        Some(value) if safe(value) => (Some(value.replace('\'', "''")), true),
        None if plain && safe(&text) => {
            (Some(format!("{before}{}{after}", text.replace('\'', "''"))), !before.is_empty())
        }
        _ => (None, false),
    }
}

fn values(column: &crate::text_to_sql::schema::Column) -> impl Iterator<Item = &String> {
    column.sample_values.iter().chain(&column.enum_values).chain(&column.example_values)
}

fn is_idle(token: &Token) -> bool {
    token.is_mark() || IDLE.contains(&token.lower.as_str())
}

fn word(token: &Token) -> String {
    if token.stem.is_empty() { token.lower.clone() } else { token.stem.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text_to_sql::schema::{Column, ColumnKind, Table, TableKind};

    fn schema() -> Schema {
        let mut table = Table::found("main".to_owned(), "customers".to_owned(), TableKind::Table);
        let mut city = Column::found("city".to_owned(), "text".to_owned(), ColumnKind::Text, true);
        city.sample_values = ["Paris", "Rome", "New York", "Xi'an"].map(str::to_owned).to_vec();
        table.columns = vec![city];
        Schema {
            engine: Engine::Sqlite,
            search_path: vec!["main".to_owned()],
            server_version: String::new(),
            tables: vec![table],
        }
    }

    fn reused(known: &str, sql: &str, asked: &str) -> Option<(String, f32)> {
        let example = Example { id: Uuid::nil(), question: known.to_owned(), sql: sql.to_owned(), likeness: 1.0 };
        reuse(asked, &example, &schema()).map(|draft| (draft.sql, draft.confidence))
    }

    const PARIS: (&str, &str) =
        ("How many customers live in Paris?", "select count(*) from customers where city = 'Paris'");

    #[test]
    fn the_same_question_is_answered_as_it_is() {
        let same = |asked| reused(PARIS.0, PARIS.1, asked).unwrap();
        assert_eq!(same("how many customers live in paris"), (PARIS.1.to_owned(), SAME));
        assert_eq!(same("Please tell me how many of the customers live in Paris."), (PARIS.1.to_owned(), SAME));
    }

    #[test]
    fn a_value_takes_the_place_of_another_as_the_database_spells_it() {
        let swapped = |asked| reused(PARIS.0, PARIS.1, asked);
        let with = |city: &str| format!("select count(*) from customers where city = '{city}'");
        assert_eq!(swapped("How many customers live in rome?"), Some((with("Rome"), SWAPPED)));
        assert_eq!(swapped("How many customers live in new york?"), Some((with("New York"), SWAPPED)));
        assert_eq!(swapped("How many customers live in \"Xi'an\"?").unwrap().0, with("Xi''an"));
        assert_eq!(swapped("How many customers live in Lyon?"), Some((with("Lyon"), UNKNOWN_VALUE)));
        assert_eq!(swapped("How many customers live in “Le Mans”?").unwrap().0, with("Le Mans"));
    }

    #[test]
    fn whatever_else_the_question_says_keeps_the_example_out() {
        for other in [
            "How many customers do not live in Paris?",
            "How many customers live in Paris or Rome?",
            "How many customers live in Paris without orders?",
            "How many suppliers live in Paris?",
            "How many customers live in the north of Paris?",
            "How many customers live in a big city?",
            "How many customers live in Paris of all?",
            "customers in Paris",
            "",
        ] {
            assert_eq!(reused(PARIS.0, PARIS.1, other), None, "{other}");
        }
    }

    #[test]
    fn a_number_is_a_slot_where_the_sql_and_the_question_say_it_once() {
        let top = ("Show the top 5 customers", "select name from customers order by total desc limit 5");
        assert_eq!(
            reused(top.0, top.1, "show the top 10 customers").unwrap().0,
            "select name from customers order by total desc limit 10"
        );
        let twice = ("customers with 5 orders, top 5", "select name from c where n = 5 limit 5");
        assert_eq!(reused(twice.0, twice.1, "customers with 6 orders, top 5"), None);
        let year = ("orders in 2023", "select * from o where d >= '2023-01-01' and d < '2024-01-01'");
        assert_eq!(reused(year.0, year.1, "orders in 2024"), None, "the year is no literal of the SQL");
    }

    #[test]
    fn a_hostile_value_cannot_leave_its_literal() {
        let swapped = reused(PARIS.0, PARIS.1, r#"How many customers live in "Rome' or '1'='1"?"#).unwrap().0;
        assert_eq!(swapped, "select count(*) from customers where city = 'Rome'' or ''1''=''1'");
        assert_eq!(reused(PARIS.0, PARIS.1, r#"How many customers live in "Rome\"?"#), None);
    }

    #[test]
    fn part_of_a_value_stays_part_of_one() {
        let like = ("customers named like Ann", "select * from customers where name like '%Ann%'");
        let swapped = |asked| reused(like.0, like.1, asked).map(|(sql, _)| sql);
        assert_eq!(swapped("customers named like Bob").unwrap(), "select * from customers where name like '%Bob%'");
        assert_eq!(swapped("customers named like \"100%\""), None);
    }
}
