//! Whether two results say the same: execution accuracy as the Spider test suite counts it.
//!
//! R. Zhong, T. Yu, D. Klein, "Semantic Evaluation for Text-to-SQL with Distilled Test Suites", EMNLP 2020, and their
//! `exec_eval.py`: rows are multisets, the order of columns does not matter, the order of rows only where the expected
//! statement asks for one, two empty results are the same whatever their columns. Beyond theirs, numbers are the same
//! within 10⁻⁶ of their size, and decimals that came as text are numbers, since one engine writes one figure in several
//! ways. 1, 1.0 and true are the same.

use std::collections::HashMap;

use serde_json::Value;

/// The rows of a statement, as the API gives them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    pub columns: usize,
    pub rows: Vec<Vec<Value>>,
    /// There were more rows than were asked for.
    pub truncated: bool,
}

/// Numbers that differ by less, in parts of the larger, are the same.
const TOLERANCE: f64 = 1e-6;
/// Rows that are looked at, again for each way of matching columns, when many columns hold the same values.
const MAX_LOOKED_AT: usize = 2_000_000;

impl Table {
    pub fn read(result: &Value) -> Option<Table> {
        let rows = result["rows"].as_array()?.iter().map(|row| row.as_array().cloned().unwrap_or_default()).collect();
        Some(Table { columns: result["columns"].as_array()?.len(), rows, truncated: result["truncated"] == true })
    }
}

/// `ordered`: the order of the expected rows counts.
pub fn same(expected: &Table, given: &Table, ordered: bool) -> bool {
    if expected.rows.is_empty() && given.rows.is_empty() {
        return true;
    }
    if expected.columns != given.columns || expected.rows.len() != given.rows.len() {
        return false;
    }
    let mut names = Names::of([expected, given]);
    let (expected, given) = (names.columns(expected), names.columns(given));
    match ordered {
        // Columns that are equal row by row can be matched in any way.
        true => sorted(expected) == sorted(given),
        false => some_match(&expected, &given),
    }
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

/// A name for each value, so that values are the same if and only if their names are.
struct Names {
    /// Every number of both tables, in order; those within tolerance of the one before share a name.
    numbers: Vec<(f64, usize)>,
    texts: HashMap<String, usize>,
}

impl Names {
    fn of(tables: [&Table; 2]) -> Names {
        let cells = tables.into_iter().flat_map(|table| table.rows.iter().flatten());
        let numbers: Vec<f64> = sorted_numbers(cells.filter_map(number).collect());
        let mut named: Vec<(f64, usize)> = Vec::with_capacity(numbers.len());
        for number in numbers {
            let name = match named.last() {
                Some((before, name)) if is_near(*before, number) => *name,
                Some((_, name)) => name + 1,
                None => 0,
            };
            named.push((number, name));
        }
        Names { numbers: named, texts: HashMap::new() }
    }

    fn name(&mut self, cell: &Value) -> (u8, usize) {
        if cell.is_null() {
            return (0, 0);
        }
        if let Some(number) = number(cell) {
            let place = self.numbers.partition_point(|(other, _)| *other < number);
            return (1, self.numbers.get(place).map_or(usize::MAX, |(_, name)| *name));
        }
        let text = cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
        let next = self.texts.len();
        (2, *self.texts.entry(text).or_insert(next))
    }

    /// By column, then by row.
    fn columns(&mut self, table: &Table) -> Vec<Vec<(u8, usize)>> {
        let column = |place: usize| {
            table.rows.iter().map(|row| self.name(row.get(place).unwrap_or(&Value::Null))).collect::<Vec<_>>()
        };
        (0..table.columns).map(column).collect()
    }
}

fn sorted_numbers(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
}

fn is_near(one: f64, other: f64) -> bool {
    one == other || (one - other).abs() <= TOLERANCE * one.abs().max(other.abs())
}

/// Numbers, booleans, and decimals with so many digits that the API writes them as text.
fn number(cell: &Value) -> Option<f64> {
    const EXACT_DIGITS: usize = 15;
    match cell {
        Value::Bool(yes) => Some(f64::from(u8::from(*yes))),
        // Nothing is to be smaller than zero and equal to it.
        Value::Number(number) => number.as_f64().map(|number| number + 0.0),
        Value::String(text) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let plain = digits.len() > EXACT_DIGITS
                && digits.bytes().filter(|byte| *byte == b'.').count() <= 1
                && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            text.parse::<f64>().ok().filter(|number| plain && number.is_finite())
        }
        _ => None,
    }
}

/// Whether the columns can be matched so that the rows are the same multiset.
fn some_match(expected: &[Vec<(u8, usize)>], given: &[Vec<(u8, usize)>]) -> bool {
    let signature = |column: &Vec<(u8, usize)>| sorted(column.clone());
    let signatures: Vec<_> = given.iter().map(signature).collect();
    let fitting: Vec<Vec<usize>> = expected
        .iter()
        .map(signature)
        .map(|wanted| (0..given.len()).filter(|place| signatures[*place] == wanted).collect())
        .collect();
    let mut search = Search { expected, given, fitting, taken: Vec::new(), looked_at: 0 };
    search.goes_on()
}

struct Search<'a> {
    expected: &'a [Vec<(u8, usize)>],
    given: &'a [Vec<(u8, usize)>],
    /// For each expected column, those that hold the same values in whatever order.
    fitting: Vec<Vec<usize>>,
    taken: Vec<usize>,
    looked_at: usize,
}

impl Search<'_> {
    /// Matches one column after the other, and goes back where the rows so far are not the same.
    fn goes_on(&mut self) -> bool {
        self.looked_at += self.expected.first().map_or(0, Vec::len);
        if self.looked_at > MAX_LOOKED_AT || !self.rows_agree() {
            return false;
        }
        let place = self.taken.len();
        let Some(fitting) = self.fitting.get(place).cloned() else { return true };
        for column in fitting {
            if !self.taken.contains(&column) {
                self.taken.push(column);
                if self.goes_on() {
                    return true;
                }
                self.taken.pop();
            }
        }
        false
    }

    fn rows_agree(&self) -> bool {
        let Some(first) = self.expected.first() else { return true };
        let row = |columns: &[&Vec<(u8, usize)>], place: usize| columns.iter().map(|it| it[place]).collect::<Vec<_>>();
        let rows =
            |columns: Vec<&Vec<(u8, usize)>>| sorted((0..first.len()).map(|place| row(&columns, place)).collect());
        rows(self.expected.iter().take(self.taken.len()).collect())
            == rows(self.taken.iter().map(|place| &self.given[*place]).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(rows: Value) -> Table {
        let rows: Vec<Vec<Value>> = serde_json::from_value(rows).unwrap();
        Table { columns: rows.first().map_or(1, Vec::len), rows, truncated: false }
    }

    fn is_same(one: Value, other: Value, ordered: bool) -> bool {
        same(&table(one), &table(other), ordered)
    }

    #[test]
    fn rows_are_multisets_unless_an_order_is_asked_for() {
        let (one, other) = (json!([["a", 1], ["b", 2], ["b", 2]]), json!([["b", 2], ["a", 1], ["b", 2]]));
        assert!(is_same(one.clone(), other.clone(), false));
        assert!(!is_same(one.clone(), other, true));
        assert!(is_same(one.clone(), one.clone(), true));
        assert!(!is_same(one.clone(), json!([["a", 1], ["a", 1], ["b", 2]]), false));
        assert!(!is_same(one, json!([["a", 1], ["b", 2]]), false));
    }

    #[test]
    fn columns_may_come_in_any_order_but_rows_must_hold_together() {
        assert!(is_same(json!([["a", 1, null], ["b", 2, null]]), json!([[null, 2, "b"], [null, 1, "a"]]), false));
        assert!(is_same(json!([["a", 1], ["b", 2]]), json!([[1, "a"], [2, "b"]]), true));
        assert!(!is_same(json!([["a", 1], ["b", 2]]), json!([["a", 2], ["b", 1]]), false), "other pairs");
        assert!(!is_same(json!([["a", 1]]), json!([["a"]]), false));
        // The columns hold the same values, and only one way of matching them is right.
        let (one, other) = (json!([[1, 2, 3], [2, 3, 1], [3, 1, 2]]), json!([[2, 1, 3], [3, 2, 1], [1, 3, 2]]));
        assert!(is_same(one.clone(), other, false));
        assert!(!is_same(one, json!([[2, 1, 3], [3, 2, 1], [1, 2, 3]]), false));
    }

    #[test]
    fn numbers_are_the_same_within_a_millionth() {
        assert!(is_same(json!([[1]]), json!([[1.0]]), true));
        assert!(is_same(json!([[true]]), json!([[1]]), true));
        assert!(is_same(json!([[3.333_333_3]]), json!([["3.3333333333333333"]]), false));
        assert!(is_same(json!([[-0.0], [5]]), json!([[0], [5]]), true));
        assert!(is_same(json!([[123_456_789.1]]), json!([[123_456_789.2]]), false));
        assert!(!is_same(json!([[1.0]]), json!([[1.000_01]]), false));
        assert!(!is_same(json!([[0]]), json!([[1e-9]]), false));
        assert!(!is_same(json!([["1"]]), json!([[1]]), false), "a text is not a number");
        assert!(!is_same(json!([[null]]), json!([[0]]), false));
        // Sorted by one column, near numbers come in another order.
        let (one, other) = (json!([[1.000_000_01, "a"], [1.0, "b"]]), json!([[1.0, "a"], [1.000_000_01, "b"]]));
        assert!(is_same(one, other, false));
    }

    #[test]
    fn two_empty_results_are_the_same_and_many_like_columns_end() {
        assert!(same(&Table::default(), &Table { columns: 3, ..Table::default() }, true));
        let (mut wide, mut other) = (vec![vec![json!(1); 40]; 2], vec![vec![json!(1); 40]; 2]);
        assert!(is_same(json!(wide), json!(other), false));
        // Forty columns with the same values each, and no way to match them.
        for place in 0..40 {
            wide[place % 2][place] = json!(2);
            other[(place / 2) % 2][place] = json!(2);
        }
        other[0][0] = json!(2);
        other[1][0] = json!(2);
        assert!(!is_same(json!(wide), json!(other), false));
    }
}
