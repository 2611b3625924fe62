//! What is in a user's database: tables, columns, keys and comments from the catalog in a handful of statements, then
//! sizes and the frequent values of text columns, table by table within a budget.
//!
//! The values are what questions are matched against ("orders from Berlin"). They are a help, not a promise: a column
//! whose values take too long to read has none. [`Samples`] says which values are not to be read at all.

pub(in crate::text_to_sql) mod mssql;
pub(in crate::text_to_sql) mod mysql;
pub(in crate::text_to_sql) mod postgres;
pub(in crate::text_to_sql) mod sqlite;

mod checks;
mod samples;

use std::collections::HashMap;
use std::time::{Duration, Instant};

pub use self::samples::Samples;

/// Distinct values kept of a column: enough for cities and products, too few for free text to fill the memory.
const VALUES: usize = 3000;
/// A longer value is no name that somebody would say in a question.
const VALUE_CHARS: usize = 80;
/// Rows that are looked at for the values of one table.
const VALUE_ROWS: i64 = 200_000;
/// For the values of one table.
pub(in crate::text_to_sql) const TABLE_TIME: Duration = Duration::from_secs(3);
/// For the values of all tables.
const TIME: Duration = Duration::from_secs(40);
/// The values of all tables together, as they will be held in memory.
const BYTES: usize = 32 << 20;

/// What the rows of a catalog may take as they come in, each with some hundred bytes of its own: two million of them,
/// more than the tables, columns and keys of the largest business software. What a hostile server sends without end, ends.
const CATALOG_BYTES: usize = 512 << 20;

/// A name as an SQL identifier, in every engine that follows the standard.
pub(in crate::text_to_sql) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What is left for reading values.
struct Budget {
    ends: Instant,
    bytes: usize,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self { ends: now + TIME, bytes: BYTES }
    }

    fn is_spent(&self, now: Instant) -> bool {
        now >= self.ends || self.bytes == 0
    }

    /// Keeps as many of the values as there is room for.
    fn keep(&mut self, mut values: Vec<String>) -> Vec<String> {
        let mut left = self.bytes;
        let fitting = values
            .iter()
            .take_while(|value| left.checked_sub(value.len() + size_of::<String>()).map(|rest| left = rest).is_some());
        let fitting = fitting.count();
        self.bytes = if fitting < values.len() { 0 } else { left };
        values.truncate(fitting);
        values
    }
}

/// The values of one table as they come in, with what is known of each: no more of them, no longer ones, and of no other
/// column than was asked for, whatever the server sends.
struct Gathered<T> {
    columns: HashMap<usize, Vec<T>>,
    bytes: usize,
}

impl<T> Gathered<T> {
    fn of(columns: &[usize]) -> Self {
        Self { columns: columns.iter().map(|at| (*at, Vec::new())).collect(), bytes: 0 }
    }

    fn add(&mut self, at: usize, length: usize, value: T) {
        let bytes = length + size_of::<T>();
        if let Some(values) = self.columns.get_mut(&at)
            && values.len() < VALUES
            && length <= VALUE_CHARS * char::MAX_LEN_UTF8
            && self.bytes + bytes <= BYTES
        {
            self.bytes += bytes;
            values.push(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_one_identifier() {
        assert_eq!(quoted(r#"x" union select "y"#), r#""x"" union select ""y""#);
    }

    #[test]
    fn a_server_that_sends_more_than_was_asked_for_does_not_fill_the_memory() {
        let columns: Vec<usize> = (0..1000).collect();
        let mut gathered = Gathered::of(&columns);
        gathered.add(1000, 0, String::new());
        gathered.add(0, 2 * VALUE_CHARS, "é".repeat(VALUE_CHARS));
        gathered.add(1, 4 * VALUE_CHARS + 1, "x".repeat(4 * VALUE_CHARS + 1));
        let kept = |gathered: &Gathered<String>, at| gathered.columns.get(&at).map(Vec::len);
        assert_eq!([0, 1, 1000].map(|at| kept(&gathered, at)), [Some(1), Some(0), None]);
        for at in 0..1000 {
            (0..VALUES + 1).for_each(|_| gathered.add(at, 100, "x".repeat(100)));
        }
        assert_eq!((kept(&gathered, 0), kept(&gathered, 999)), (Some(VALUES), Some(0)));
        assert!(gathered.columns.values().flatten().map(String::len).sum::<usize>() < BYTES);
    }

    #[test]
    fn values_end_when_the_memory_for_them_does() {
        let mut budget = Budget { ends: Instant::now() + TIME, bytes: 100 };
        assert_eq!(budget.keep(vec!["a".repeat(70), "b".repeat(70)]).len(), 1);
        assert!(budget.is_spent(Instant::now()));
    }
}
