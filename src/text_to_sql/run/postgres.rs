//! A statement on PostgreSQL, from its text to JSON.
//!
//! The server first parses the text as a prepared statement, where two statements in one text are an error and where it
//! tells the columns and their types even if no row comes. Only what it accepted there runs, the same bytes, in the
//! text format: the server then writes every type there is as text, exactly, and may still use parallel workers, which
//! a cursor would forbid.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::TryStreamExt;
use serde_json::Value;
use sqlx::postgres::{PgConnection, PgRow, PgStatement, PgTypeInfo, PgTypeKind};
use sqlx::{AssertSqlSafe, Column, Either, Executor, Row, SqlSafeStr, Statement, TypeInfo};

use super::{Caps, Collector, EXACT_DIGITS, Outcome, PARSED_BYTES, ResultColumn, decimal, float, integer};
use crate::text_to_sql::engine::Meter;

/// Runs one statement in the transaction that the session is in.
pub(in crate::text_to_sql) async fn run(
    connection: &mut PgConnection,
    meter: &Meter,
    sql: &str,
    caps: &Caps,
) -> Result<Outcome, sqlx::Error> {
    let parsed = connection.prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await?;
    let shapes = shapes(connection, &parsed).await?;
    let mut collector = Collector::new(caps, columns(&parsed));
    let mut answers = connection.fetch_many(sqlx::raw_sql(parsed.into_sql()));
    while let Some(answer) = answers.try_next().await? {
        meter.refill();
        if let Either::Right(row) = answer
            && !collector.push(cells(&row, &shapes))
        {
            return Ok(Outcome { rows: collector.finish(), complete: false });
        }
    }
    Ok(Outcome { rows: collector.finish(), complete: true })
}

fn columns(parsed: &PgStatement) -> Vec<ResultColumn> {
    let type_name = |info: &PgTypeInfo| match info.oid() {
        // The driver shouts the names of built-in types.
        Some(oid) if oid.0 < FIRST_USER_OID => info.name().to_lowercase(),
        _ => info.name().to_owned(),
    };
    let column = |column: &sqlx::postgres::PgColumn| ResultColumn {
        name: column.name().to_owned(),
        type_name: type_name(column.type_info()),
    };
    parsed.columns().iter().map(column).collect()
}

/// `FirstNormalObjectId` in PostgreSQL's `access/transam.h`: whatever lies below came with the server.
const FIRST_USER_OID: u32 = 16384;

/// How the text of a type becomes JSON.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Boolean,
    Integer,
    Float,
    Decimal,
    /// With this many digits after the point, in the server's currency.
    Money(u32),
    Timestamp,
    TimestampUtc,
    Bytes,
    Json,
    Array(Box<Shape>, char),
    Text,
}

async fn shapes(connection: &mut PgConnection, parsed: &PgStatement) -> Result<Vec<Shape>, sqlx::Error> {
    let types = || parsed.columns().iter().map(Column::type_info);
    let money = match types().any(|info| info.name().starts_with("MONEY")) {
        true => money_digits(connection).await?,
        false => 0,
    };
    Ok(types().map(|info| shape(info, money)).collect())
}

/// The wire does not say how many digits follow the point in this server's currency.
async fn money_digits(connection: &mut PgConnection) -> Result<u32, sqlx::Error> {
    let row = sqlx::raw_sql("select scale(1::money::numeric)").fetch_one(connection).await?;
    Ok(u32::try_from(row.try_get::<i32, _>(0)?).unwrap_or_default())
}

fn shape(info: &PgTypeInfo, money: u32) -> Shape {
    match info.kind() {
        PgTypeKind::Domain(base) => shape(base, money),
        PgTypeKind::Array(element) => {
            Shape::Array(Box::new(shape(element, money)), if element.name() == "BOX" { ';' } else { ',' })
        }
        PgTypeKind::Simple => match info.name() {
            "BOOL" => Shape::Boolean,
            "INT2" | "INT4" | "INT8" | "OID" => Shape::Integer,
            "FLOAT4" | "FLOAT8" => Shape::Float,
            "NUMERIC" => Shape::Decimal,
            "MONEY" => Shape::Money(money),
            "TIMESTAMP" => Shape::Timestamp,
            "TIMESTAMPTZ" => Shape::TimestampUtc,
            "BYTEA" => Shape::Bytes,
            "JSON" | "JSONB" => Shape::Json,
            _ => Shape::Text,
        },
        _ => Shape::Text,
    }
}

fn cells(row: &PgRow, shapes: &[Shape]) -> Vec<Value> {
    shapes.iter().enumerate().map(|(index, shape)| cell(row, index, shape)).collect()
}

fn cell(row: &PgRow, index: usize, shape: &Shape) -> Value {
    match row.try_get_raw(index).map(|value| value.as_bytes()) {
        // A server in the encoding SQL_ASCII sends whatever was stored.
        Ok(Ok(bytes)) => value(&String::from_utf8_lossy(bytes), shape),
        _ => Value::Null,
    }
}

/// The JSON for what the server wrote; where the text is not what its type promises, or too long to be kept whole, the
/// text itself.
fn value(text: &str, shape: &Shape) -> Value {
    let parsed = match shape {
        Shape::Json | Shape::Array(..) if text.len() > PARSED_BYTES => None,
        Shape::Boolean => Some((text == "t").into()),
        Shape::Integer => text.parse().ok().map(integer),
        Shape::Float => text.parse().ok().map(float),
        Shape::Decimal => Some(decimal(text)),
        Shape::Money(digits) => Some(decimal(&plain_money(text, *digits))),
        Shape::Timestamp => Some(text.replacen(' ', "T", 1).into()),
        Shape::TimestampUtc => text.strip_suffix("+00").map(|utc| format!("{}Z", utc.replacen(' ', "T", 1)).into()),
        Shape::Bytes => {
            text.strip_prefix("\\x").and_then(|hex| hex::decode(hex).ok()).map(|b| BASE64_STANDARD.encode(b).into())
        }
        Shape::Json => serde_json::from_str(text).ok().filter(|json| !loses_digits(json, text)),
        Shape::Array(element, delimiter) => Array { rest: text, depth: 0, element, delimiter: *delimiter }.parse(),
        Shape::Text => None,
    };
    parsed.unwrap_or_else(|| text.into())
}

/// Whether a number of a JSON text has more digits than an `f64` keeps. Integers of 64 bits are kept as they are.
fn loses_digits(json: &Value, text: &str) -> bool {
    let long = |number: &str| {
        number.bytes().filter(u8::is_ascii_digit).count() > EXACT_DIGITS && number.parse::<i64>().is_err()
    };
    has_float(json) && numbers(text).any(long)
}

/// What may be a number in a JSON text, outside of its strings.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let (mut inside, mut escaped) = (false, false);
    text.split(move |c: char| {
        let quote = c == '"' && !escaped;
        inside ^= quote;
        escaped = inside && c == '\\' && !escaped;
        inside || quote || !(c.is_ascii_digit() || ['.', '-', '+', 'e', 'E'].contains(&c))
    })
}

/// As deep as the parser goes: 128 levels.
fn has_float(json: &Value) -> bool {
    match json {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_float),
        Value::Object(fields) => fields.values().any(has_float),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// `-$1,234.50` and `(1.234,50 €)` are -1234.50: the currency's signs go, the digits stay.
fn plain_money(text: &str, digits: u32) -> String {
    let negative = text.contains(['-', '(']);
    let all: String = text.chars().filter(char::is_ascii_digit).collect();
    let padded = format!("{all:0>width$}", width = digits as usize + 1);
    let (whole, fraction) = padded.split_at(padded.len() - digits as usize);
    let (sign, point) = (if negative { "-" } else { "" }, if digits > 0 { "." } else { "" });
    format!("{sign}{whole}{point}{fraction}")
}

/// PostgreSQL's MAXDIM. A server that is none may nest deeper than the stack goes.
const MAX_DIMENSIONS: usize = 6;

/// An array as PostgreSQL writes it: `{1,NULL,"a \"b\""}`, nested by dimension.
/// <https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO>
struct Array<'a> {
    rest: &'a str,
    depth: usize,
    element: &'a Shape,
    delimiter: char,
}

impl Array<'_> {
    fn parse(mut self) -> Option<Value> {
        // Bounds that do not begin at one come first: `[0:1]={1,2}`.
        if self.rest.starts_with('[') {
            self.rest = self.rest.split_once('=')?.1;
        }
        let array = self.items()?;
        self.rest.is_empty().then_some(array)
    }

    fn items(&mut self) -> Option<Value> {
        self.rest = self.rest.strip_prefix('{').filter(|_| self.depth < MAX_DIMENSIONS)?;
        self.depth += 1;
        let mut items = Vec::new();
        while !self.rest.starts_with('}') {
            items.push(self.item()?);
            self.rest = self.rest.strip_prefix(self.delimiter).unwrap_or(self.rest);
        }
        self.rest = &self.rest[1..];
        self.depth -= 1;
        Some(items.into())
    }

    fn item(&mut self) -> Option<Value> {
        match self.rest.chars().next()? {
            '{' => self.items(),
            '"' => self.quoted().map(|text| value(&text, self.element)),
            _ => {
                let end = self.rest.find([self.delimiter, '}'])?;
                let (text, rest) = self.rest.split_at(end);
                self.rest = rest;
                Some(if text == "NULL" { Value::Null } else { value(text, self.element) })
            }
        }
    }

    fn quoted(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(text);
                }
                '\\' => text.push(chars.next()?.1),
                char => text.push(char),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn array(text: &str, element: Shape) -> Value {
        value(text, &Shape::Array(Box::new(element), ','))
    }

    #[test]
    fn arrays_keep_their_dimensions_nulls_and_quotes() {
        assert_eq!(array("{}", Shape::Integer), json!([]));
        assert_eq!(array("{1,NULL,3}", Shape::Integer), json!([1, null, 3]));
        assert_eq!(array("{{1,2},{3,4}}", Shape::Integer), json!([[1, 2], [3, 4]]));
        assert_eq!(array("[0:1]={7,8}", Shape::Integer), json!([7, 8]));
        assert_eq!(array(r#"{a,"b, \"c\" \\ }","NULL",""}"#, Shape::Text), json!(["a", "b, \"c\" \\ }", "NULL", ""]));
        assert_eq!(array(r#"{"{\"a\": 1}"}"#, Shape::Json), json!([{"a": 1}]));
    }

    #[test]
    fn what_is_not_an_array_stays_text() {
        for text in ["", "1 2 3", "{1,2", "{1}x", "{\"a}", "[0:1]"] {
            assert_eq!(array(text, Shape::Integer), json!(text));
        }
    }

    #[test]
    fn an_array_of_more_dimensions_than_there_can_be_stays_text() {
        let nested = |depth: usize| format!("{}1{}", "{".repeat(depth), "}".repeat(depth));
        assert_eq!(array(&nested(6), Shape::Integer), json!([[[[[[1]]]]]]));
        for text in [nested(7), "{".repeat(PARSED_BYTES), format!("{{{{1}},{}}}", nested(6))] {
            assert_eq!(array(&text, Shape::Integer), json!(text));
        }
    }

    #[test]
    fn what_is_too_long_to_be_kept_whole_is_not_parsed() {
        let text = format!("[{}1]", "1,".repeat(PARSED_BYTES / 2));
        assert_eq!(value(&text, &Shape::Json), json!(text));
        let text = text.replace('[', "{").replace(']', "}");
        assert_eq!(array(&text, Shape::Integer), json!(text));
    }

    #[test]
    fn json_is_json_unless_a_number_would_lose_digits() {
        for (text, json) in [
            (r#"{"a": [1, 2.50, null]}"#, json!({"a": [1, 2.5, null]})),
            ("9007199254740993", json!(9_007_199_254_740_993_i64)),
            (r#"{"i\"d": "\\\\", "n": 1.5}"#, json!({"i\"d": "\\\\", "n": 1.5})),
            (r#"{"id": "\"12345678901234567890", "n": 1.5}"#, json!({"id": "\"12345678901234567890", "n": 1.5})),
        ] {
            assert_eq!(value(text, &Shape::Json), json);
        }
        for text in
            ["123456789012345678901234567890", r#"{"a": 0.12345678901234567890}"#, "1e400", "[-1234567890.12345678]"]
        {
            assert_eq!(value(text, &Shape::Json), json!(text));
        }
    }

    #[test]
    fn money_is_read_in_any_currency() {
        assert_eq!(value("$1,234.50", &Shape::Money(2)), json!(1234.5));
        assert_eq!(value("-$0.07", &Shape::Money(2)), json!(-0.07));
        assert_eq!(value("(1.234,50 €)", &Shape::Money(2)), json!(-1234.5));
        assert_eq!(value("¥1,235", &Shape::Money(0)), json!(1235));
        assert_eq!(value("$92,233,720,368,547,758.07", &Shape::Money(2)), json!("92233720368547758.07"));
    }

    #[test]
    fn times_outside_the_calendar_stay_as_the_server_writes_them() {
        assert_eq!(value("2024-02-29 23:59:60.5", &Shape::Timestamp), json!("2024-02-29T23:59:60.5"));
        assert_eq!(value("2024-02-29 10:00:00+00", &Shape::TimestampUtc), json!("2024-02-29T10:00:00Z"));
        assert_eq!(value("infinity", &Shape::TimestampUtc), json!("infinity"));
        assert_eq!(value("-infinity", &Shape::Timestamp), json!("-infinity"));
    }
}
