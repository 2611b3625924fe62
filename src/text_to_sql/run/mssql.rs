//! A statement on SQL Server, from its text to JSON.
//!
//! The text is the one parameter of `sp_executesql`. The wire has every type in binary, so what is written here is what
//! the server itself would write: unique identifiers in capitals, fractions of a second without trailing zeros. Spatial
//! and hierarchy values are bytes to the driver, thus base64; money is exact up to ±900,719,925,474 (the driver has it
//! as a float), and a rounded number beyond.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{Days, NaiveDate};
use futures::TryStreamExt;
use serde_json::Value;
use tiberius::error::Error;
use tiberius::numeric::Numeric;
use tiberius::time::{Date, DateTime, DateTime2, SmallDateTime, Time};
use tiberius::{Column, ColumnData, ColumnType, QueryItem, Row};

use super::{CELL_BYTES, Caps, Collector, Outcome, ResultColumn, SAFE_INTEGER, decimal, float, integer};
use crate::text_to_sql::engine::{Meter, MssqlConnection};

/// What the server sends of a long text or long bytes: enough in UTF-16 that the end of a cell that is cut is known to
/// be missing. One that could fill the memory never comes near it.
pub(in crate::text_to_sql) const TEXT_BYTES: usize = 2 * CELL_BYTES + 2;

/// Runs one statement in the transaction that the session is in.
pub(in crate::text_to_sql) async fn run(
    connection: &mut MssqlConnection,
    meter: &Meter,
    sql: &str,
    caps: &Caps,
) -> Result<Outcome, Error> {
    meter.refill();
    let mut answers = connection.query(sql, &[]).await?;
    let (mut collector, mut complete) = (None::<Collector>, true);
    while let Some(answer) = answers.try_next().await? {
        meter.refill();
        match (answer, &mut collector) {
            (QueryItem::Metadata(metadata), None) => {
                collector = Some(Collector::new(caps, metadata.columns().iter().map(described).collect()));
            }
            (QueryItem::Row(row), Some(collector)) => {
                if !collector.push(cells(&row)) {
                    complete = false;
                    break;
                }
            }
            // A second result: no statement that reads has one.
            (QueryItem::Metadata(_), Some(_)) | (QueryItem::Row(_), None) => {
                return Err(Error::Conversion("the statement has more than one result".into()));
            }
        }
    }
    let collector = collector.ok_or_else(|| Error::Conversion("the statement has no result".into()))?;
    Ok(Outcome { rows: collector.finish(), complete })
}

fn described(column: &Column) -> ResultColumn {
    ResultColumn { name: column.name().to_owned(), type_name: type_name(column.column_type()).to_owned() }
}

/// In SQL Server's words; the driver does not tell lengths, nor `smalldatetime` from `datetime`.
fn type_name(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Bit | ColumnType::Bitn => "bit",
        ColumnType::Int1 => "tinyint",
        ColumnType::Int2 => "smallint",
        ColumnType::Null | ColumnType::Int4 | ColumnType::Intn => "int",
        ColumnType::Int8 => "bigint",
        ColumnType::Float4 => "real",
        ColumnType::Float8 | ColumnType::Floatn => "float",
        ColumnType::Money => "money",
        ColumnType::Money4 => "smallmoney",
        ColumnType::Decimaln => "decimal",
        ColumnType::Numericn => "numeric",
        ColumnType::Datetime4 => "smalldatetime",
        ColumnType::Datetime | ColumnType::Datetimen => "datetime",
        ColumnType::Daten => "date",
        ColumnType::Timen => "time",
        ColumnType::Datetime2 => "datetime2",
        ColumnType::DatetimeOffsetn => "datetimeoffset",
        ColumnType::Guid => "uniqueidentifier",
        ColumnType::BigVarBin => "varbinary",
        ColumnType::BigBinary => "binary",
        ColumnType::BigVarChar => "varchar",
        ColumnType::BigChar => "char",
        ColumnType::NVarchar => "nvarchar",
        ColumnType::NChar => "nchar",
        ColumnType::Xml => "xml",
        ColumnType::Udt => "udt",
        ColumnType::Text => "text",
        ColumnType::Image => "image",
        ColumnType::NText => "ntext",
        ColumnType::SSVariant => "sql_variant",
    }
}

fn cells(row: &Row) -> Vec<Value> {
    row.cells().map(|(column, data)| cell(column.column_type(), data).unwrap_or_default()).collect()
}

/// Nothing for null, and for what no calendar holds.
fn cell(column_type: ColumnType, data: &ColumnData<'_>) -> Option<Value> {
    let value = match data {
        ColumnData::Bit(value) => (*value)?.into(),
        ColumnData::U8(value) => integer((*value)?.into()),
        ColumnData::I16(value) => integer((*value)?.into()),
        ColumnData::I32(value) => integer((*value)?.into()),
        ColumnData::I64(value) => integer((*value)?),
        // The shortest text of the single is the one to show; widened it would grow digits.
        ColumnData::F32(value) => float((*value)?.to_string().parse().ok()?),
        ColumnData::F64(value) if matches!(column_type, ColumnType::Money | ColumnType::Money4) => money((*value)?),
        ColumnData::F64(value) => float((*value)?),
        ColumnData::Numeric(value) => decimal(&plain((*value)?)),
        ColumnData::String(value) => value.as_deref()?.into(),
        ColumnData::Xml(value) => value.as_deref()?.clone().into_string().into(),
        ColumnData::Guid(value) => (*value)?.to_string().to_uppercase().into(),
        ColumnData::Binary(value) => BASE64_STANDARD.encode(value.as_deref()?).into(),
        ColumnData::Date(value) => date((*value)?)?.into(),
        ColumnData::Time(value) => time((*value)?)?.into(),
        ColumnData::DateTime(value) => datetime((*value)?)?.into(),
        ColumnData::SmallDateTime(value) => small_datetime((*value)?)?.into(),
        ColumnData::DateTime2(value) => datetime2((*value)?)?.into(),
        // The wire has it in UTC, and the offset beside it (MS-TDS 2.2.5.5.1.9).
        ColumnData::DateTimeOffset(value) => format!("{}Z", datetime2((*value)?.datetime2())?).into(),
    };
    Some(value)
}

/// Ten-thousandths, which a float has exactly as long as it can count them.
fn money(value: f64) -> Value {
    match (value * 1e4).abs() <= SAFE_INTEGER as f64 {
        true => decimal(&format!("{value:.4}")),
        false => float(value),
    }
}

fn plain(number: Numeric) -> String {
    let scale = usize::from(number.scale());
    let digits = format!("{:0>width$}", number.value().unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let (sign, point) = (if number.value() < 0 { "-" } else { "" }, if scale > 0 { "." } else { "" });
    format!("{sign}{whole}{point}{fraction}")
}

fn date(date: Date) -> Option<String> {
    day(1, i64::from(date.days()))
}

/// So many days after the first of January of a year.
fn day(year: i32, days: i64) -> Option<String> {
    let first = NaiveDate::from_ymd_opt(year, 1, 1)?;
    let day = match days < 0 {
        true => first.checked_sub_days(Days::new(days.unsigned_abs()))?,
        false => first.checked_add_days(Days::new(days.unsigned_abs()))?,
    };
    Some(day.format("%Y-%m-%d").to_string())
}

fn time(time: Time) -> Option<String> {
    let second = 10_u64.checked_pow(time.scale().into())?;
    let fraction = format!("{:0width$}", time.increments() % second, width = usize::from(time.scale()));
    Some(clock(time.increments() / second, &fraction))
}

fn clock(seconds: u64, fraction: &str) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{hours:02}:{minutes:02}:{seconds:02}{point}{fraction}")
}

fn datetime2(value: DateTime2) -> Option<String> {
    Some(format!("{}T{}", date(value.date())?, time(value.time())?))
}

/// Counts in three-hundredths of a second, which the server writes as milliseconds.
fn datetime(value: DateTime) -> Option<String> {
    let milliseconds = (u64::from(value.seconds_fragments()) * 10 + 1) / 3;
    let clock = clock(milliseconds / 1000, &format!("{:03}", milliseconds % 1000));
    Some(format!("{}T{clock}", day(1900, value.days().into())?))
}

/// Counts minutes.
fn small_datetime(value: SmallDateTime) -> Option<String> {
    let clock = clock(u64::from(value.seconds_fragments()) * 60, "");
    Some(format!("{}T{clock}", day(1900, value.days().into())?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exact_numbers_stay_exact() {
        let number = |value, scale| decimal(&plain(Numeric::new_with_scale(value, scale)));
        assert_eq!(number(1250, 2), json!(12.5));
        assert_eq!(number(-7, 3), json!(-0.007));
        assert_eq!(number(42, 0), json!(42));
        assert_eq!(
            number(12345678901234567890123456789012345678, 10),
            json!("1234567890123456789012345678.9012345678")
        );
        assert_eq!(number(i128::MIN, 38).as_str().map(|text| text.starts_with("-1.7014118")), Some(true));
    }

    #[test]
    fn money_is_exact_as_long_as_the_driver_has_it_exactly() {
        assert_eq!(money(1234.5), json!(1234.5));
        assert_eq!(money(-0.07), json!(-0.07));
        assert_eq!(money(900_719_925_474.099_2), json!("900719925474.0992"));
        assert_eq!(money(922_337_203_685_477.6), json!(922_337_203_685_477.6));
    }

    #[test]
    fn days_and_clocks_are_written_as_the_standard_does() {
        assert_eq!(date(Date::new(738_944)).as_deref(), Some("2024-02-29"));
        assert_eq!(date(Date::new(0)).as_deref(), Some("0001-01-01"));
        assert_eq!(time(Time::new(378_005, 1)).as_deref(), Some("10:30:00.5"));
        assert_eq!(time(Time::new(863_999_999_999, 7)).as_deref(), Some("23:59:59.9999999"));
        assert_eq!(time(Time::new(1, 99)), None);
        assert_eq!(datetime(DateTime::new(-53_690, 0)).as_deref(), Some("1753-01-01T00:00:00"));
        assert_eq!(datetime(DateTime::new(45_349, 11_340_001)).as_deref(), Some("2024-02-29T10:30:00.003"));
        assert_eq!(datetime(DateTime::new(45_349, 25_919_999)).as_deref(), Some("2024-02-29T23:59:59.997"));
        assert_eq!(small_datetime(SmallDateTime::new(45_349, 630)).as_deref(), Some("2024-02-29T10:30:00"));
        assert_eq!(datetime(DateTime::new(i32::MAX, 0)), None);
    }
}
