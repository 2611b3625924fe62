//! A statement on SQLite, from its text to JSON. A value is what it is stored as, whatever the column declares.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::TryStreamExt;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnection, SqliteRow, SqliteValueRef};
use sqlx::{AssertSqlSafe, Decode, Either, Executor, Row, Sqlite, TypeInfo, ValueRef};

use super::{Caps, Collector, ResultColumn, Rows, float, integer};

/// Runs the one statement that was compiled to `columns`: their names and declared types.
pub(in crate::text_to_sql) async fn run(
    connection: &mut SqliteConnection,
    columns: Vec<(String, Option<String>)>,
    sql: &str,
    caps: &Caps,
) -> Result<Rows, sqlx::Error> {
    let count = columns.len();
    let mut types: Vec<Option<String>> = columns.iter().map(|(_, declared)| declared.clone()).collect();
    let mut collector = Collector::new(caps, columns.into_iter().map(named).collect());
    let mut answers = connection.fetch_many(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())));
    loop {
        match answers.try_next().await? {
            Some(Either::Right(row)) => {
                note_types(&row, &mut types);
                if !collector.push((0..count).map(|index| cell(&row, index)).collect()) {
                    break;
                }
            }
            Some(Either::Left(_)) => break,
            // Rows that end without the word that they are complete are not a result.
            None => return Err(sqlx::Error::WorkerCrashed),
        }
    }
    let mut rows = collector.finish();
    for (column, type_name) in rows.columns.iter_mut().zip(types) {
        column.type_name = type_name.unwrap_or_default();
    }
    Ok(rows)
}

fn named((name, _): (String, Option<String>)) -> ResultColumn {
    ResultColumn { name, type_name: String::new() }
}

/// An expression declares no type; the first value that is not null tells one.
fn note_types(row: &SqliteRow, types: &mut [Option<String>]) {
    for (index, type_name) in types.iter_mut().enumerate().filter(|(_, type_name)| type_name.is_none()) {
        *type_name = row
            .try_get_raw(index)
            .ok()
            .filter(|value| !value.is_null())
            .map(|value| value.type_info().name().to_owned());
    }
}

fn cell(row: &SqliteRow, index: usize) -> Value {
    match row.try_get_raw(index) {
        Ok(value) if !value.is_null() => value_as_stored(value),
        _ => Value::Null,
    }
}

fn value_as_stored(value: SqliteValueRef<'_>) -> Value {
    let json = match value.type_info().name() {
        "INTEGER" => decoded(value).map(integer),
        "REAL" => decoded(value).map(float),
        "BLOB" => decoded(value).map(|bytes: &[u8]| BASE64_STANDARD.encode(bytes).into()),
        // SQLite stores any bytes as text, and text may hold what is no UTF-8.
        _ => decoded(value).map(|bytes: &[u8]| String::from_utf8_lossy(bytes).into()),
    };
    json.unwrap_or_default()
}

fn decoded<'r, T: Decode<'r, Sqlite>>(value: SqliteValueRef<'r>) -> Option<T> {
    T::decode(value).ok()
}
