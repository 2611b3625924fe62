//! Periods that depend on the day of the question: "last month", "the past 7 days", "yesterday", "this year".
//!
//! Each becomes a half-open range of days. "Last month" is the calendar month before this one; "the last 3 months" and
//! "the last 30 days" end with today.

use chrono::{Datelike, Days, Months, NaiveDate};

use super::{Dates, Number, Token, TokenKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// The tokens with every relative period in place of the words that say it.
pub fn resolve(tokens: &[Token], today: NaiveDate) -> Vec<Token> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        match period_at(tokens, at, today) {
            Some((length, kind)) => {
                let text: Vec<&str> = tokens[at..at + length].iter().map(|token| token.text.as_str()).collect();
                out.push(Token::new(text.join(" "), kind));
                at += length;
            }
            None => {
                out.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    out
}

/// How many tokens from `at` say a period, and which.
fn period_at(tokens: &[Token], at: usize, today: NaiveDate) -> Option<(usize, TokenKind)> {
    let word = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.lower.as_str());
    let day = |date: Option<NaiveDate>| date.and_then(Dates::day).map(TokenKind::Dates);
    match word(0) {
        "today" => return day(Some(today)).map(|kind| (1, kind)),
        "yesterday" => return day(today.pred_opt()).map(|kind| (1, kind)),
        "tomorrow" => return day(today.succ_opt()).map(|kind| (1, kind)),
        _ => {}
    }
    let number = |ahead: usize| tokens.get(at + ahead).and_then(Token::number).and_then(whole);
    if let (Some(count), Some(unit), "ago") = (number(0), unit(word(1)), word(2)) {
        return day(back(today, unit, count)).map(|kind| (3, kind));
    }
    let length = usize::from(matches!(word(0), "the" | "in"));
    let offset = offset(word(length))?;
    if let (Some(count), Some(unit)) = (number(length + 1), unit(word(length + 2))) {
        let range = if offset == -1 { past(today, unit, count) } else { future(today, unit, count) };
        return range.filter(|_| offset != 0).map(|range| (length + 3, TokenKind::Dates(range)));
    }
    let unit = unit(word(length + 1)).filter(|_| !word(length + 1).ends_with('s'))?;
    // "the first and last month" and "the last year of" name something else.
    let named = (1..=4).filter_map(|back| at.checked_sub(back)).any(|at| tokens[at].lower == "first");
    if named || word(length + 2) == "of" {
        return None;
    }
    // "in last year" keeps its "in", and a bare "the" belongs to what follows.
    (length == 0 || word(0) == "the").then_some(())?;
    Some((length + 2, calendar(today, unit, offset)?))
}

fn offset(word: &str) -> Option<i32> {
    match word {
        "last" | "past" | "previous" => Some(-1),
        "this" | "current" => Some(0),
        "next" | "coming" => Some(1),
        _ => None,
    }
}

fn unit(word: &str) -> Option<Unit> {
    match word {
        "day" | "days" => Some(Unit::Day),
        "week" | "weeks" => Some(Unit::Week),
        "month" | "months" => Some(Unit::Month),
        "quarter" | "quarters" => Some(Unit::Quarter),
        "year" | "years" => Some(Unit::Year),
        _ => None,
    }
}

fn whole(number: &Number) -> Option<u32> {
    let fits = number.value.fract() == 0.0 && (1.0..=10_000.0).contains(&number.value);
    fits.then_some(number.value as u32)
}

fn back(today: NaiveDate, unit: Unit, count: u32) -> Option<NaiveDate> {
    match unit {
        Unit::Day => today.checked_sub_days(Days::new(count.into())),
        Unit::Week => today.checked_sub_days(Days::new(u64::from(count) * 7)),
        Unit::Month => today.checked_sub_months(Months::new(count)),
        Unit::Quarter => today.checked_sub_months(Months::new(count * 3)),
        Unit::Year => today.checked_sub_months(Months::new(count * 12)),
    }
}

/// The days up to and with today.
fn past(today: NaiveDate, unit: Unit, count: u32) -> Option<Dates> {
    let from = back(today, unit, count)?.succ_opt()?;
    Some(Dates { from, until: today.succ_opt()? })
}

/// The days after today.
fn future(today: NaiveDate, unit: Unit, count: u32) -> Option<Dates> {
    let last = match unit {
        Unit::Day => today.checked_add_days(Days::new(count.into())),
        Unit::Week => today.checked_add_days(Days::new(u64::from(count) * 7)),
        Unit::Month => today.checked_add_months(Months::new(count)),
        Unit::Quarter => today.checked_add_months(Months::new(count * 3)),
        Unit::Year => today.checked_add_months(Months::new(count * 12)),
    };
    Some(Dates { from: today.succ_opt()?, until: last?.succ_opt()? })
}

/// The calendar period that is so many after the one of today. A year stays a number, for columns that hold years.
fn calendar(today: NaiveDate, unit: Unit, offset: i32) -> Option<TokenKind> {
    let monday = today.checked_sub_days(Days::new(today.weekday().num_days_from_monday().into()))?;
    let months = |length: i32| {
        let month = today.year() * 12 + i32::try_from(today.month0()).ok()? + offset * length;
        let first = month - month.rem_euclid(length);
        Dates::months(first.div_euclid(12), u32::try_from(first.rem_euclid(12)).ok()? + 1, u32::try_from(length).ok()?)
    };
    let days = |from: NaiveDate, length: i32| {
        let from = from.checked_add_signed(chrono::Duration::days((offset * length).into()))?;
        Some(Dates { from, until: from.checked_add_signed(chrono::Duration::days(length.into()))? })
    };
    let range = match unit {
        Unit::Day => days(today, 1),
        Unit::Week => days(monday, 7),
        Unit::Month => months(1),
        Unit::Quarter => months(3),
        Unit::Year => {
            let year = today.year() + offset;
            let number = Number { text: year.to_string(), value: f64::from(year), year: Some(year) };
            return Some(TokenKind::Number(number));
        }
    };
    range.map(TokenKind::Dates)
}

#[cfg(test)]
mod tests {
    use super::super::tokenize;
    use super::*;

    fn said(question: &str) -> Vec<String> {
        let today = NaiveDate::from_ymd_opt(2026, 1, 15).unwrap();
        let show = |token: Token| match token.kind {
            TokenKind::Dates(dates) => format!("{}..{}", dates.from, dates.until),
            TokenKind::Number(number) => format!("#{}", number.text),
            _ => token.lower,
        };
        resolve(&tokenize(question), today).into_iter().map(show).collect()
    }

    #[test]
    fn relative_periods_become_half_open_ranges() {
        assert_eq!(said("orders last month"), ["orders", "2025-12-01..2026-01-01"]);
        assert_eq!(said("orders of this quarter"), ["orders", "of", "2026-01-01..2026-04-01"]);
        assert_eq!(said("since last week"), ["since", "2026-01-05..2026-01-12"]);
        assert_eq!(said("in the last 7 days"), ["in", "2026-01-09..2026-01-16"]);
        assert_eq!(said("3 months ago or yesterday"), ["2025-10-15..2025-10-16", "or", "2026-01-14..2026-01-15"]);
    }

    #[test]
    fn a_year_stays_a_number() {
        assert_eq!(said("sold last year"), ["sold", "#2025"]);
    }

    #[test]
    fn words_of_other_meaning_stay_as_they_are() {
        assert_eq!(said("the last name this person"), ["the", "last", "name", "this", "person"]);
        assert_eq!(said("last years"), ["last", "years"]);
    }
}
