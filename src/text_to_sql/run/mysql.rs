//! A statement on MySQL or MariaDB, from its text to JSON.
//!
//! The server first prepares the text, where two statements in one text are an error and where it tells the columns: a
//! statement without columns is no question, and never runs. The rows come in the binary format of prepared statements
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>, which is read here byte by
//! byte, because the server knows dates (`2024-00-00`) and times (`838:59:59`) that a calendar does not.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::TryStreamExt;
use serde_json::Value;
use sqlx::mysql::{MySqlConnection, MySqlRow, MySqlTypeInfo};
use sqlx::{AssertSqlSafe, Column, Decode, Either, Executor, MySql, Row, SqlSafeStr, Statement, Type, TypeInfo};

use super::{Caps, Collector, Outcome, PARSED_BYTES, ResultColumn, decimal, float, integer};
use crate::text_to_sql::engine::Meter;

/// Runs one statement in the transaction that the session is in; nothing if it is no query, or has placeholders.
pub(in crate::text_to_sql) async fn run(
    connection: &mut MySqlConnection,
    meter: &Meter,
    sql: &str,
    caps: &Caps,
) -> Result<Option<Outcome>, sqlx::Error> {
    if !begins_as_query(sql) {
        return Ok(None);
    }
    let prepared = (&mut *connection).prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await?;
    if prepared.columns().is_empty() || !matches!(prepared.parameters(), Some(Either::Right(0))) {
        return Ok(None);
    }
    let mut collector = Collector::new(caps, prepared.columns().iter().map(result_column).collect());
    let mut answers = connection.fetch_many(prepared.query());
    while let Some(answer) = answers.try_next().await? {
        meter.refill();
        if let Either::Right(row) = answer
            && !collector.push((0..row.len()).map(|index| cell(&row, index)).collect())
        {
            return Ok(Some(Outcome { rows: collector.finish(), complete: false }));
        }
    }
    Ok(Some(Outcome { rows: collector.finish(), complete: true }))
}

/// `analyze table` and the like have columns too, and no transaction holds them back.
fn begins_as_query(sql: &str) -> bool {
    let start = sql.trim_start().trim_start_matches(['(', ' ']);
    let word = start.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    ["select", "with", "values"].iter().any(|query| word.eq_ignore_ascii_case(query))
}

/// What a row holds as text, whatever its column says; catalogs of different versions type their columns differently.
pub(in crate::text_to_sql) fn text(row: &MySqlRow, index: usize) -> Option<String> {
    bytes(row, index).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn bytes(row: &MySqlRow, index: usize) -> Option<&[u8]> {
    row.try_get_raw(index).ok().and_then(|value| Decode::<MySql>::decode(value).ok())
}

fn result_column(column: &sqlx::mysql::MySqlColumn) -> ResultColumn {
    ResultColumn { name: column.name().to_owned(), type_name: type_name(column.type_info()) }
}

/// As the server's people write it. The driver takes text that sorts by its bytes for bytes, and every `tinyint(1)` for
/// a truth.
fn type_name(info: &MySqlTypeInfo) -> String {
    let name = match info.name() {
        "BOOLEAN" if is_unsigned(info) => "tinyint unsigned",
        "BOOLEAN" => "tinyint",
        "BINARY" if is_text(info) => "char",
        "VARBINARY" if is_text(info) => "varchar",
        name if is_text(info) => return name.to_lowercase().replace("blob", "text"),
        name => name,
    };
    name.to_lowercase()
}

/// All but the collation `binary` is text, and comes in the session's UTF-8.
fn is_text(info: &MySqlTypeInfo) -> bool {
    <str as Type<MySql>>::compatible(info)
}

fn is_unsigned(info: &MySqlTypeInfo) -> bool {
    <u64 as Type<MySql>>::compatible(info)
}

fn cell(row: &MySqlRow, index: usize) -> Value {
    match bytes(row, index) {
        Some(bytes) => value(bytes, row.column(index).type_info()),
        None => Value::Null,
    }
}

/// The JSON for a value of the binary protocol; where the bytes are not what their type promises, as much of them as is
/// text.
fn value(bytes: &[u8], info: &MySqlTypeInfo) -> Value {
    let known = match info.name() {
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" | "TINYINT UNSIGNED"
        | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED" | "BIGINT UNSIGNED" | "YEAR" => {
            whole(bytes, is_unsigned(info))
        }
        // `b'101'` counts from its last bit, as the server does in `b + 0`.
        "BIT" => (bytes.len() <= 8).then(|| unsigned(bytes.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte)))),
        // As many digits as tell this float from the next one.
        "FLOAT" => bytes.try_into().ok().and_then(|b| f32::from_le_bytes(b).to_string().parse().ok()).map(float),
        "DOUBLE" => bytes.try_into().ok().map(|bytes| float(f64::from_le_bytes(bytes))),
        "DECIMAL" => std::str::from_utf8(bytes).ok().map(decimal),
        "DATE" => calendar(bytes).map(|(date, _)| date.into()),
        "DATETIME" => calendar(bytes).map(|(date, time)| format!("{date}T{time}").into()),
        // The session's time zone is UTC.
        "TIMESTAMP" => calendar(bytes).map(|(date, time)| format!("{date}T{time}Z").into()),
        "TIME" => time(bytes).map(Value::from),
        "JSON" if bytes.len() > PARSED_BYTES => None,
        "JSON" => serde_json::from_slice(bytes).ok(),
        _ if is_text(info) => None,
        _ => Some(BASE64_STANDARD.encode(bytes).into()),
    };
    known.unwrap_or_else(|| String::from_utf8_lossy(bytes).into())
}

fn whole(bytes: &[u8], is_unsigned: bool) -> Option<Value> {
    Some(match (bytes, is_unsigned) {
        (&[a], false) => i64::from(i8::from_le_bytes([a])).into(),
        (&[a], true) => a.into(),
        (&[a, b], false) => i64::from(i16::from_le_bytes([a, b])).into(),
        (&[a, b], true) => u16::from_le_bytes([a, b]).into(),
        (&[a, b, c, d], false) => i64::from(i32::from_le_bytes([a, b, c, d])).into(),
        (&[a, b, c, d], true) => u32::from_le_bytes([a, b, c, d]).into(),
        (bytes, false) => integer(i64::from_le_bytes(bytes.try_into().ok()?)),
        (bytes, true) => unsigned(u64::from_le_bytes(bytes.try_into().ok()?)),
    })
}

fn unsigned(value: u64) -> Value {
    i64::try_from(value).map_or_else(|_| value.to_string().into(), integer)
}

/// The date, and the time of day, of `DATE`, `DATETIME` and `TIMESTAMP`; parts that are all zero are not sent.
fn calendar(bytes: &[u8]) -> Option<(String, String)> {
    let part = |at: usize| bytes.get(at).copied().unwrap_or_default();
    if bytes.len() != 1 + usize::from(part(0)) {
        return None;
    }
    let date = format!("{:04}-{:02}-{:02}", u16::from_le_bytes([part(1), part(2)]), part(3), part(4));
    let micros = u32::from_le_bytes([part(8), part(9), part(10), part(11)]);
    Some((date, format!("{:02}:{:02}:{:02}{}", part(5), part(6), part(7), fraction(micros))))
}

/// `-838:59:59.5`: a time of day, or a span of up to five weeks.
fn time(bytes: &[u8]) -> Option<String> {
    let part = |at: usize| bytes.get(at).copied().unwrap_or_default();
    if bytes.len() != 1 + usize::from(part(0)) {
        return None;
    }
    let sign = if part(1) == 1 { "-" } else { "" };
    let days = u32::from_le_bytes([part(2), part(3), part(4), part(5)]);
    let hours = u64::from(days) * 24 + u64::from(part(6));
    let micros = u32::from_le_bytes([part(9), part(10), part(11), part(12)]);
    Some(format!("{sign}{hours:02}:{:02}:{:02}{}", part(7), part(8), fraction(micros)))
}

fn fraction(micros: u32) -> String {
    match micros {
        0 => String::new(),
        micros => format!(".{micros:06}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dates_that_no_calendar_has_are_written_as_they_are() {
        assert_eq!(calendar(&[0]).unwrap(), ("0000-00-00".into(), "00:00:00".into()));
        assert_eq!(calendar(&[4, 0xe8, 7, 0, 0]).unwrap().0, "2024-00-00");
        let (date, time) = calendar(&[11, 0xe8, 7, 2, 29, 23, 59, 58, 0x20, 0xa1, 7, 0]).unwrap();
        assert_eq!((date.as_str(), time.as_str()), ("2024-02-29", "23:59:58.5"));
        assert!(calendar(&[]).is_none() && calendar(&[4, 1]).is_none());
    }

    #[test]
    fn times_are_spans_with_a_sign() {
        assert_eq!(time(&[0]).unwrap(), "00:00:00");
        assert_eq!(time(&[8, 1, 34, 0, 0, 0, 22, 59, 59]).unwrap(), "-838:59:59");
        assert_eq!(time(&[12, 0, 0, 0, 0, 0, 10, 30, 0, 1, 0, 0, 0]).unwrap(), "10:30:00.000001");
        assert!(time(&[8, 1]).is_none());
    }

    #[test]
    fn whole_numbers_stay_exact_with_and_without_a_sign() {
        assert_eq!(whole(&[0xff], false), Some(json!(-1)));
        assert_eq!(whole(&[0xff], true), Some(json!(255)));
        assert_eq!(whole(&u64::MAX.to_le_bytes(), true), Some(json!("18446744073709551615")));
        assert_eq!(whole(&i64::MIN.to_le_bytes(), false), Some(json!("-9223372036854775808")));
        assert_eq!(whole(&[1, 2, 3], true), None);
    }
}
