//! Where a day begins and ends: moments compared with bare dates, and days that are cut in another time zone than the
//! asker's.

use chrono::NaiveDate;
use sqlparser::ast::{BinaryOperator, DataType, Expr, Function, FunctionArguments, Value};

use super::scope::Scope;
use super::scope::label;
use super::tree::{arguments, bare, name, text};
use super::walk::Looked;
use super::{LintCode, Linter};
use crate::text_to_sql::schema::{Column, ColumnKind, Engine};

pub fn check(looked: &Looked, linter: &mut Linter) {
    let engine = looked.names.schema.engine;
    for expr in &looked.parts.exprs {
        let said = [last_day(looked.scope, expr), zoned_day(looked.scope, engine, expr), today(engine, expr)];
        said.into_iter().flatten().for_each(|detail| linter.say(LintCode::TimeZoneEdge, detail));
    }
}

/// A moment compared with a date in a way that takes the date for the whole day, though it is its first instant.
fn last_day(scope: &Scope, expr: &Expr) -> Option<String> {
    let (compared, operator, date) = match expr {
        Expr::Between { expr, negated: false, high, .. } => (&**expr, BinaryOperator::LtEq, high),
        Expr::BinaryOp { left, op, right } => match moment(scope, left) {
            Some(_) => (&**left, op.clone(), right),
            None => (&**right, mirrored(op)?, left),
        },
        _ => return None,
    };
    let (named, column) = moment(scope, compared)?;
    let date = bare_date(date)?;
    if holds_only_days(column) {
        return None;
    }
    let next = date.succ_opt()?;
    let detail = match operator {
        BinaryOperator::LtEq => format!(
            "{date} is taken for its first instant, so the rest of that day is left out; write {named} < '{next}'."
        ),
        BinaryOperator::Gt => format!(
            "{date} is taken for its first instant, so the rest of that day is included; write {named} >= '{next}' to begin after it."
        ),
        BinaryOperator::Eq => format!(
            "{date} is taken for its first instant, so the rest of that day is not found; write {named} >= '{date}' AND {named} < '{next}'."
        ),
        _ => return None,
    };
    Some(detail)
}

fn mirrored(operator: &BinaryOperator) -> Option<BinaryOperator> {
    match operator {
        BinaryOperator::GtEq => Some(BinaryOperator::LtEq),
        BinaryOperator::Lt => Some(BinaryOperator::Gt),
        BinaryOperator::Eq => Some(BinaryOperator::Eq),
        _ => None,
    }
}

/// A column of moments, and what to call it.
fn moment<'a>(scope: &Scope<'a>, expr: &Expr) -> Option<(String, &'a Column)> {
    let output = scope.column(expr)?;
    let column = output.column.filter(|column| column.kind == ColumnKind::Timestamp)?;
    Some((label(output), column))
}

/// Values that are known, all of them at midnight.
fn holds_only_days(column: &Column) -> bool {
    let values = column.sample_values.iter().chain(&column.example_values);
    let midnight = |value: &String| value.len() <= 10 || value.contains("00:00:00") || value.ends_with("00:00");
    values.clone().next().is_some() && values.into_iter().all(midnight)
}

fn bare_date(expr: &Expr) -> Option<NaiveDate> {
    let date = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == 10);
    match bare(expr) {
        Expr::TypedString(typed) if typed.data_type == DataType::Date => match &typed.value.value {
            Value::SingleQuotedString(text) => date(text),
            _ => None,
        },
        Expr::Cast { expr, data_type: DataType::Date, .. } => text(expr).and_then(date),
        other => text(other).and_then(date),
    }
}

/// A moment that has a time zone, cut into days.
fn zoned_day(scope: &Scope, engine: Engine, expr: &Expr) -> Option<String> {
    let cut = match expr {
        Expr::Cast { expr, data_type: DataType::Date, .. } | Expr::Extract { expr, .. } => expr,
        Expr::Function(function) if cuts(function) => {
            let FunctionArguments::List(list) = &function.args else { return None };
            arguments(list).find(|argument| moment(scope, argument).is_some())?
        }
        Expr::BinaryOp { left, op: BinaryOperator::GtEq | BinaryOperator::Lt, right } if bare_date(right).is_some() => {
            left
        }
        _ => return None,
    };
    let (named, column) = moment(scope, cut)?;
    let kind = column.data_type.to_lowercase();
    let mended = "convert to the asker's time zone first where days matter";
    match engine {
        Engine::Postgres if kind.contains("with time zone") || kind.contains("timestamptz") => Some(format!(
            "{named} is a moment in time, and its days are those of the connection's time zone; {mended} ({named} AT TIME ZONE 'Europe/Berlin', say)."
        )),
        Engine::Mysql if kind.starts_with("timestamp") => {
            Some(format!("{named} is a moment in time, and its days are cut at midnight UTC; {mended} (CONVERT_TZ)."))
        }
        Engine::Mssql if kind.starts_with("datetimeoffset") => Some(format!(
            "{named} is a moment in time, and its days are those of the offset stored with each value; {mended} (AT TIME ZONE)."
        )),
        _ => None,
    }
}

fn cuts(function: &Function) -> bool {
    const CUTS: [&str; 14] = [
        "date_trunc",
        "date_part",
        "to_char",
        "date",
        "year",
        "month",
        "day",
        "dayofmonth",
        "dayofweek",
        "week",
        "quarter",
        "date_format",
        "datepart",
        "extract",
    ];
    CUTS.contains(&name(function).as_str())
}

/// Functions that give today's date as the server sees it.
fn today(engine: Engine, expr: &Expr) -> Option<String> {
    let Expr::Function(function) = expr else { return None };
    let called = name(function);
    let utc = match (engine, called.as_str()) {
        (Engine::Postgres, "current_date") => false,
        (Engine::Mysql, "current_date" | "curdate" | "utc_date") => true,
        (Engine::Sqlite, "current_date") => true,
        (Engine::Sqlite, "date" | "strftime") => is_now_in_utc(function),
        _ => return None,
    };
    let sqlite_other = engine == Engine::Sqlite && called != "current_date" && !utc;
    (!sqlite_other).then(|| {
        let zone = if utc { "UTC" } else { "the connection's time zone" };
        format!(
            "Today is the day in {zone}, which near midnight is not the asker's; name the date instead if that matters."
        )
    })
}

/// SQLite's `date('now')`.
fn is_now_in_utc(function: &Function) -> bool {
    let FunctionArguments::List(list) = &function.args else { return false };
    let texts: Vec<String> = arguments(list).filter_map(text).map(str::to_lowercase).collect();
    texts.iter().any(|text| text == "now") && !texts.iter().any(|text| text == "localtime")
}
