//! Values as text.

use calamine::{DataRef, ExcelDateTime};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

/// 9999-12-31, the last day that Excel knows, counted from 1904; from 1900 it is four years more.
const LAST_DAY: f64 = 2_957_003.0;

/// How many digits Excel computes with and shows.
const DIGITS: usize = 15;

/// A cell's value; nothing for an empty one.
pub fn text(value: &DataRef) -> String {
    match value {
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(value) => number(*value),
        DataRef::String(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(value) => boolean(*value).to_owned(),
        DataRef::DateTime(value) => date_time(value),
        DataRef::DateTimeIso(text) => iso(text),
        DataRef::DurationIso(text) => text.clone(),
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}

/// As Excel shows it in English.
pub fn boolean(value: bool) -> &'static str {
    if value { "TRUE" } else { "FALSE" }
}

/// A number in fifteen digits, without what binary fractions add: `0.3`, not `0.30000000000000004`.
pub fn number(value: f64) -> String {
    let rounded: f64 = format!("{value:.*e}", DIGITS - 1).parse().unwrap_or(value);
    match rounded.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-9..1e21).contains(&size) => format!("{rounded:e}"),
        _ => rounded.to_string(),
    }
}

/// `2026-01-31`, `2026-01-31 14:30:00`.
pub fn iso(text: &str) -> String {
    match text.split_once('T') {
        Some((date, "00:00:00" | "00:00:00.000")) => date.to_owned(),
        Some((date, time)) => format!("{date} {time}"),
        None => text.to_owned(),
    }
}

/// A date, a time, or both, as far as the value has them; a duration in hours.
fn date_time(value: &ExcelDateTime) -> String {
    let days = value.as_f64();
    if !(0.0..LAST_DAY).contains(&days) {
        return number(days);
    }
    if value.is_duration() {
        let seconds = (days * 86_400.0).round() as u64;
        return format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    match to_the_second(value) {
        Some(moment) if days < 1.0 => moment.format("%H:%M:%S").to_string(),
        Some(moment) if moment.time() == NaiveTime::MIN => moment.format("%Y-%m-%d").to_string(),
        Some(moment) => moment.format("%Y-%m-%d %H:%M:%S").to_string(),
        // The 29th of February 1900, which Excel believes in.
        None => number(days),
    }
}

/// A moment before midnight is midnight: times are binary fractions of a day.
fn to_the_second(value: &ExcelDateTime) -> Option<NaiveDateTime> {
    let (year, month, day, hour, minute, second, milli) = value.to_ymd_hms_milli();
    let date = NaiveDate::from_ymd_opt(i32::from(year), u32::from(month), u32::from(day))?;
    let moment = date.and_hms_milli_opt(u32::from(hour), u32::from(minute), u32::from(second), u32::from(milli))?;
    moment.checked_add_signed(TimeDelta::milliseconds(500))?.with_nanosecond(0)
}

#[cfg(test)]
mod tests {
    use calamine::ExcelDateTimeType::{DateTime, TimeDelta};

    use super::*;

    #[test]
    fn numbers_have_no_noise() {
        for (value, expected) in [
            (0.1 + 0.2, "0.3"),
            (1290.0, "1290"),
            (-0.0, "0"),
            (1.0 / 3.0, "0.333333333333333"),
            (123_456_789_012.5, "123456789012.5"),
            (6.02e23, "6.02e23"),
            (1e-12, "1e-12"),
            (-2.50, "-2.5"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn dates_are_iso() {
        let text = |value, kind, is_1904| date_time(&ExcelDateTime::new(value, kind, is_1904));
        assert_eq!(text(46_053.0, DateTime, false), "2026-01-31");
        assert_eq!(text(44_591.0, DateTime, true), "2026-01-31");
        assert_eq!(text(46_053.604_166_666_664, DateTime, false), "2026-01-31 14:30:00");
        assert_eq!(text(46_052.999_999_999, DateTime, false), "2026-01-31");
        assert_eq!(text(0.75, DateTime, false), "18:00:00");
        assert_eq!(text(1.5, TimeDelta, false), "36:00:00");
        assert_eq!(text(60.0, DateTime, false), "60");
        assert_eq!(text(-3.0, DateTime, false), "-3");
        assert_eq!(text(f64::NAN, DateTime, false), "NaN");
        assert_eq!(
            (iso("2026-01-31T00:00:00"), iso("2026-01-31T14:30:00")),
            ("2026-01-31".into(), "2026-01-31 14:30:00".into())
        );
    }
}
