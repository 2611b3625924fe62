//! What comes back from a statement: bounded rows, as JSON by one stated rule for every engine.
//!
//! - Integers are numbers within ±2^53, where JavaScript still counts, else strings. Floats are numbers; NaN and the
//!   infinities are strings. Exact decimals are numbers when they have at most 15 significant digits (an `f64` keeps
//!   those unharmed), else strings.
//! - Timestamps are RFC 3339: with a zone in UTC with `Z`, without one without offset. Intervals are ISO 8601.
//! - Bytes are base64, JSON is JSON (its text, where a number in it would lose digits), arrays are arrays, booleans are
//!   booleans. Everything else (enums, UUIDs, network addresses, ranges, geometries, …) is the text that the engine
//!   itself writes for it.
//! - MySQL and MariaDB have no boolean: `tinyint(1)` is a number, as `bit` is. Their times can be spans of weeks and
//!   their dates have zeros (`0000-00-00`), and come as the text that they are.
//! - SQLite has no types but its storage classes, so its values are integers, floats, text, or base64.
//!
//! A result that was cut, by rows, by bytes or in a cell, says `truncated`.

mod csv;
pub(in crate::text_to_sql) mod mssql;
pub(in crate::text_to_sql) mod mysql;
pub(in crate::text_to_sql) mod postgres;
pub(in crate::text_to_sql) mod sqlite;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// How much of a result is wanted, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    pub rows: usize,
    /// Of the result as JSON.
    pub bytes: usize,
    pub deadline: Duration,
}

impl Caps {
    /// More than a person reads; what a chart or a model can use.
    pub const ROWS: usize = 1000;
    /// A result is held in memory and sent as one body.
    pub const BYTES: usize = 8 << 20;
    /// What somebody waits for an answer.
    pub const DEADLINE: Duration = Duration::from_secs(30);
}

impl Default for Caps {
    fn default() -> Self {
        Self { rows: Self::ROWS, bytes: Self::BYTES, deadline: Self::DEADLINE }
    }
}

/// The rows of one statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rows {
    pub columns: Vec<ResultColumn>,
    /// One array a row, in the order of `columns`.
    #[schema(value_type = Vec<Vec<Object>>)]
    pub rows: Vec<Vec<Value>>,
    pub row_count: usize,
    /// Rows, or the end of a long cell, were left out.
    pub truncated: bool,
}

impl Rows {
    /// No rows, or one of nulls and zeros: what a condition gives that nothing meets.
    pub fn says_nothing(&self) -> bool {
        let nothing = |value: &Value| value.is_null() || value.as_f64() == Some(0.0);
        match &self.rows[..] {
            [] => true,
            [row] => row.iter().all(nothing),
            _ => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResultColumn {
    pub name: String,
    /// In the engine's own words: `numeric`, `text[]`, `INTEGER`.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// The rows, and whether the server has said all it had to say.
pub(in crate::text_to_sql) struct Outcome {
    pub rows: Rows,
    pub complete: bool,
}

/// A longer cell is cut: nobody reads it, and one must not crowd out a thousand rows. A multiple of four, so that cut
/// base64 still decodes.
const CELL_BYTES: usize = 64 << 10;

/// JSON and arrays that are longer are not parsed but cut as the text they are: as values they would take many times
/// their length. Between the two they are parsed, since what was written with spaces may be short enough without them.
const PARSED_BYTES: usize = 4 * CELL_BYTES;

/// Rows as they come in, until the caps are reached.
struct Collector {
    caps: Caps,
    bytes: usize,
    result: Rows,
}

impl Collector {
    fn new(caps: &Caps, columns: Vec<ResultColumn>) -> Self {
        Self { caps: *caps, bytes: 0, result: Rows { columns, rows: Vec::new(), row_count: 0, truncated: false } }
    }

    /// Takes a row if it fits; `false` when it did not, and nothing more will.
    fn push(&mut self, mut row: Vec<Value>) -> bool {
        for cell in &mut row {
            self.result.truncated |= cut(cell);
        }
        let bytes = 2 + row.iter().map(|cell| json_size(cell) + 1).sum::<usize>();
        if self.result.rows.len() == self.caps.rows || self.bytes + bytes > self.caps.bytes {
            self.result.truncated = true;
            return false;
        }
        self.bytes += bytes;
        self.result.rows.push(row);
        true
    }

    fn finish(mut self) -> Rows {
        self.result.row_count = self.result.rows.len();
        self.result
    }
}

/// Cuts a long cell; `true` if there was something to cut. A long array or object becomes the beginning of its text.
fn cut(cell: &mut Value) -> bool {
    if let Value::Array(_) | Value::Object(_) = cell
        && json_size(cell) > CELL_BYTES
    {
        *cell = Value::String(cell.to_string());
    }
    match cell {
        Value::String(text) if text.len() > CELL_BYTES => {
            text.truncate(text.floor_char_boundary(CELL_BYTES));
            true
        }
        _ => false,
    }
}

/// About how long a value is as JSON, without writing it.
fn json_size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 12,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| json_size(item) + 1).sum::<usize>(),
        Value::Object(fields) => 2 + fields.iter().map(|(key, item)| key.len() + 4 + json_size(item)).sum::<usize>(),
    }
}

/// The largest magnitude up to which every integer is itself in JavaScript.
const SAFE_INTEGER: u64 = 1 << 53;

fn integer(value: i64) -> Value {
    match value.unsigned_abs() <= SAFE_INTEGER {
        true => value.into(),
        false => value.to_string().into(),
    }
}

fn float(value: f64) -> Value {
    match serde_json::Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// Every decimal with this many significant digits survives the way into an `f64` and back (IEEE 754, `DBL_DIG`).
const EXACT_DIGITS: usize = 15;

/// An exact decimal as the engine writes it: a number where nothing is lost, else the same text.
fn decimal(text: &str) -> Value {
    if let Ok(whole) = text.parse::<i64>() {
        return integer(whole);
    }
    let digits = text.trim_start_matches('-').replacen('.', "", 1);
    let significant = digits.trim_start_matches('0').trim_end_matches('0').len();
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    match text.parse::<f64>() {
        Ok(value) if plain && significant <= EXACT_DIGITS && value.is_finite() => float(value),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn integers_stay_exact_in_javascript() {
        assert_eq!(integer(9_007_199_254_740_992), json!(9_007_199_254_740_992_i64));
        assert_eq!(integer(9_007_199_254_740_993), json!("9007199254740993"));
        assert_eq!(integer(i64::MIN), json!("-9223372036854775808"));
    }

    #[test]
    fn decimals_are_numbers_only_while_nothing_is_lost() {
        assert_eq!(decimal("12.50"), json!(12.5));
        assert_eq!(decimal("-0.000001"), json!(-0.000001));
        assert_eq!(decimal("42"), json!(42));
        assert_eq!(decimal("2.5000000000000000"), json!(2.5));
        assert_eq!(decimal("3.3333333333333333"), json!("3.3333333333333333"));
        assert_eq!(decimal("123456789012345678901234567890"), json!("123456789012345678901234567890"));
        for word in ["NaN", "Infinity", "-Infinity", "", "-", "."] {
            assert_eq!(decimal(word), json!(word));
        }
    }

    #[test]
    fn floats_that_json_lacks_are_words() {
        assert_eq!(float(0.1), json!(0.1));
        assert_eq!(float(f64::NAN), json!("NaN"));
        assert_eq!(float(f64::NEG_INFINITY), json!("-Infinity"));
    }

    fn collected(caps: Caps, rows: Vec<Vec<Value>>) -> Rows {
        let mut collector = Collector::new(&caps, Vec::new());
        rows.into_iter().all(|row| collector.push(row));
        collector.finish()
    }

    #[test]
    fn exactly_as_many_rows_as_allowed_are_not_a_truncated_result() {
        let caps = Caps { rows: 2, ..Caps::default() };
        assert!(!collected(caps, vec![vec![json!(1)], vec![json!(2)]]).truncated);
        let over = collected(caps, vec![vec![json!(1)], vec![json!(2)], vec![json!(3)]]);
        assert!(over.truncated);
        assert_eq!(over.row_count, 2);
    }

    #[test]
    fn a_result_never_outgrows_its_bytes() {
        let caps = Caps { bytes: 1000, ..Caps::default() };
        let rows = collected(caps, vec![vec![json!("x".repeat(100))]; 100]);
        assert!(rows.truncated && rows.row_count > 1);
        assert!(serde_json::to_string(&rows.rows).unwrap().len() <= 1000);
    }

    #[test]
    fn a_long_cell_is_cut_between_characters_and_said_so() {
        let rows =
            collected(Caps::default(), vec![vec![json!("é".repeat(CELL_BYTES)), json!([["é".repeat(CELL_BYTES)]])]]);
        assert!(rows.truncated);
        for cell in &rows.rows[0] {
            assert!(cell.as_str().is_some_and(|text| (CELL_BYTES - 1..=CELL_BYTES).contains(&text.len())));
        }
    }
}
