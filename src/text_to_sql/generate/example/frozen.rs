//! Whether SQL answers a question only on the day that it was written: "last month", with the month's dates in it.

use sqlparser::tokenizer::{Token as SqlToken, Tokenizer};

use super::pieces::{Kind, Said};
use crate::text_to_sql::schema::Engine;
use crate::text_to_sql::terms::dialect;

/// Words that mean another day every day.
const TODAY: &[&str] = &[
    "today",
    "yesterday",
    "tomorrow",
    "tonight",
    "now",
    "ago",
    "ytd",
    "mtd",
    "qtd",
    "currently",
    "recent",
    "recently",
    "lately",
    "upcoming",
    "overdue",
    "nowadays",
    "today's",
    "yesterday's",
    "tomorrow's",
];
/// With a unit of time soon after them.
const POINTING: &[&str] =
    &["this", "last", "next", "past", "previous", "prior", "current", "coming", "running", "these"];
const UNITS: &[&str] = &[
    "minute",
    "hour",
    "day",
    "night",
    "week",
    "weekend",
    "fortnight",
    "month",
    "quarter",
    "semester",
    "season",
    "year",
    "decade",
    "century",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "spring",
    "summer",
    "autumn",
    "fall",
    "winter",
    "christmas",
    "easter",
];
/// "the last 12 full calendar months"
const BETWEEN: usize = 4;
/// What gives the day of the question in one of our engines.
const CLOCKS: &[&str] = &[
    "current_date",
    "current_timestamp",
    "localtimestamp",
    "now",
    "curdate",
    "getdate",
    "getutcdate",
    "sysdate",
    "sysdatetime",
    "sysutcdatetime",
    "utc_date",
    "utc_timestamp",
    "unix_timestamp",
];

/// Whether `sql` has a fixed date in the place of a period that `question` counts from the day it is asked on. Such an
/// example would be right once and wrong for ever after. What cannot be read counts as frozen.
pub fn freezes(question: &str, sql: &str, engine: Engine) -> bool {
    if !is_relative(question) {
        return false;
    }
    let Ok(tokens) = Tokenizer::new(dialect(engine), sql).with_unescape(false).tokenize() else { return true };
    let clock = |token: &SqlToken| match token {
        SqlToken::Word(word) => CLOCKS.contains(&word.value.to_lowercase().as_str()),
        SqlToken::SingleQuotedString(text) => text.eq_ignore_ascii_case("now"),
        _ => false,
    };
    let has_clock = tokens.iter().any(clock);
    tokens.iter().any(|token| match token {
        // Without a clock any number may be a month or a week.
        SqlToken::Number(text, _) => !has_clock || is_dated(text),
        SqlToken::Word(_) | SqlToken::Whitespace(_) => false,
        other => is_dated(&other.to_string()),
    })
}

fn is_relative(question: &str) -> bool {
    let Some(said) = Said::of(question) else { return true };
    let words: Vec<&str> =
        said.pieces.iter().filter(|piece| piece.kind != Kind::Sign).map(|p| p.lower.as_str()).collect();
    words.iter().enumerate().any(|(at, word)| {
        let soon = words[at + 1..].iter().take(BETWEEN);
        TODAY.contains(word)
            || (POINTING.contains(word) && soon.into_iter().any(|word| is_unit(word)))
            || (*word == "to" && words.get(at + 1) == Some(&"date"))
    })
}

fn is_unit(word: &str) -> bool {
    let word = word.trim_end_matches("'s");
    UNITS.iter().any(|unit| word.strip_prefix(unit).is_some_and(|rest| matches!(rest, "" | "s")))
}

/// Whether a literal has a year or a date in it.
pub fn is_dated(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|run| match run.len() {
        4 => is_year(run),
        // 20251101, and moments as numbers
        8 | 14 => is_year(&run[..4]),
        6 => is_year(&run[..4]),
        10 | 13 => run.starts_with('1'),
        _ => false,
    })
}

fn is_year(digits: &str) -> bool {
    digits.parse::<u32>().is_ok_and(|year| YEARS.contains(&year))
}

/// A number from here to there is taken for a year.
pub const YEARS: std::ops::RangeInclusive<u32> = 1900..=2100;
