//! A chart for a result, as a Vega-Lite specification that names columns and holds nothing else: no data, no code.
//!
//! It is made from the types and the shape of the result alone. The rows are the data set `result`, one object a row, by
//! column name. Where a chart would say less than the table, or something else (a single figure, repeated categories,
//! rows that were cut), there is none. Whatever a column is called, it is only ever the name of a field or a title: no
//! part of the specification that Vega-Lite evaluates (`expr`, `calculate`, `href`, …) is written.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde_json::{Map, Value, json};

use super::run::{ResultColumn, Rows};

const SCHEMA: &str = "https://vega.github.io/schema/vega-lite/v6.json";
/// Of more bars, people read the table.
const MAX_BARS: usize = 30;
/// Lines that colours tell apart.
const MAX_LINES: usize = 10;
/// An axis is labelled with this much of a name.
const MAX_TITLE: usize = 80;

/// A chart if the result has the shape of one: figures over time, by category, or against each other.
pub fn chart(rows: &Rows) -> Option<Value> {
    if rows.truncated || rows.rows.len() < 2 {
        return None;
    }
    let mut names = HashSet::new();
    if !rows.columns.iter().all(|column| !column.name.is_empty() && names.insert(&column.name)) {
        return None;
    }
    let fields: Vec<Field> = (0..rows.columns.len()).map(|place| Field::of(rows, place)).collect::<Option<_>>()?;
    let (numbers, others): (Vec<&Field>, Vec<&Field>) = fields.iter().partition(|field| field.holds == Holds::Numbers);
    match (&others[..], &numbers[..]) {
        ([], [x, y]) => Some(against(x, y)),
        ([over], [figure]) if over.is_ordered() => Some(over_time(over, figure)),
        ([category], [figure]) => bars(category, figure),
        ([one, other], [figure]) if one.is_ordered() && other.holds == Holds::Names => lines(rows, one, other, figure),
        ([one, other], [figure]) if other.is_ordered() && one.holds == Holds::Names => lines(rows, other, one, figure),
        _ => None,
    }
}

fn against(x: &Field, y: &Field) -> Value {
    let axis = |field: &Field| field.channel(&json!({ "scale": { "zero": false } }));
    specification("point", [x, y], &json!({ "x": axis(x), "y": axis(y) }))
}

/// Where a time comes twice, points: a line would run up and down between them.
fn over_time(over: &Field, figure: &Field) -> Value {
    let mark = if over.repeats() { "point" } else { "line" };
    specification(mark, [over, figure], &json!({ "x": over.channel(&json!({})), "y": figure.channel(&json!({})) }))
}

fn bars(category: &Field, figure: &Field) -> Option<Value> {
    if category.values.len() > MAX_BARS || category.repeats() {
        return None;
    }
    let encoding = json!({ "y": category.channel(&json!({ "sort": "-x" })), "x": figure.channel(&json!({})) });
    Some(specification("bar", [category, figure], &encoding))
}

fn lines(rows: &Rows, over: &Field, category: &Field, figure: &Field) -> Option<Value> {
    let kinds: HashSet<String> = category.values.iter().map(|value| value.to_string()).collect();
    let mut seen = HashSet::new();
    let mut points = rows.rows.iter().map(|row| (row.get(over.place), row.get(category.place)));
    let once = points.all(|(time, kind)| seen.insert((text_of(time), text_of(kind))));
    if kinds.len() > MAX_LINES || !once {
        return None;
    }
    let encoding = json!({
        "x": over.channel(&json!({})),
        "y": figure.channel(&json!({})),
        "color": category.channel(&json!({})),
    });
    Some(specification("line", [over, category, figure], &encoding))
}

fn text_of(cell: Option<&Value>) -> String {
    cell.map(Value::to_string).unwrap_or_default()
}

fn specification<const N: usize>(mark: &str, fields: [&Field; N], encoding: &Value) -> Value {
    let parsed: Map<String, Value> =
        fields.iter().filter(|field| field.digits).map(|field| (field.path(), json!("number"))).collect();
    let data = match parsed.is_empty() {
        true => json!({ "name": "result" }),
        false => json!({ "name": "result", "format": { "parse": parsed } }),
    };
    let mark = match mark {
        "line" => json!({ "type": mark, "point": true, "tooltip": true }),
        _ => json!({ "type": mark, "tooltip": true }),
    };
    json!({ "$schema": SCHEMA, "data": data, "mark": mark, "encoding": encoding })
}

/// A column as a chart sees it.
struct Field<'a> {
    place: usize,
    name: &'a str,
    holds: Holds,
    /// Numbers that came as text because they have more digits than a float.
    digits: bool,
    values: Vec<&'a Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Numbers,
    /// Days or moments; whether they count in UTC, which is where days without a time begin in JavaScript.
    Times {
        utc: bool,
    },
    /// Years as numbers or digits.
    Years,
    Names,
}

impl<'a> Field<'a> {
    /// None: it holds what no chart shows, or nothing.
    fn of(rows: &'a Rows, place: usize) -> Option<Field<'a>> {
        let column = rows.columns.get(place)?;
        let values: Vec<&Value> = rows.rows.iter().filter_map(|row| row.get(place)).collect();
        let known: Vec<&Value> = values.iter().copied().filter(|value| !value.is_null()).collect();
        let holds = holds(column, &known)?;
        let digits = holds == Holds::Numbers && known.iter().any(|value| value.is_string());
        Some(Field { place, name: &column.name, holds, digits, values })
    }

    fn is_ordered(&self) -> bool {
        matches!(self.holds, Holds::Times { .. } | Holds::Years)
    }

    fn repeats(&self) -> bool {
        let mut seen = HashSet::new();
        !self.values.iter().all(|value| seen.insert(value.to_string()))
    }

    fn channel(&self, more: &Value) -> Value {
        let kind = match self.holds {
            Holds::Numbers => "quantitative",
            Holds::Times { .. } => "temporal",
            Holds::Years => "ordinal",
            Holds::Names => "nominal",
        };
        let title: String = self.name.chars().take(MAX_TITLE).collect();
        let mut channel = json!({ "field": self.path(), "type": kind, "title": title });
        if self.holds == (Holds::Times { utc: true }) {
            channel["scale"] = json!({ "type": "utc" });
        }
        for (key, value) in more.as_object().into_iter().flatten() {
            channel[key] = value.clone();
        }
        channel
    }

    /// The name as Vega-Lite reads a field: points and brackets reach into objects unless a backslash is before them.
    fn path(&self) -> String {
        let mut path = String::with_capacity(self.name.len());
        for letter in self.name.chars() {
            if matches!(letter, '\\' | '.' | '[' | ']' | '\'' | '"') {
                path.push('\\');
            }
            path.push(letter);
        }
        path
    }
}

fn holds(column: &ResultColumn, known: &[&Value]) -> Option<Holds> {
    if known.is_empty() {
        return None;
    }
    let all = |is: fn(&Value) -> bool| known.iter().all(|value| is(value));
    if all(is_year) && column.name.to_lowercase().contains("year") || all(|value| value.is_string() && is_year(value)) {
        return Some(Holds::Years);
    }
    if all(Value::is_number) || is_numeric(&column.type_name) && all(is_number) {
        return Some(Holds::Numbers);
    }
    let times: Option<Vec<bool>> = known.iter().map(|value| value.as_str().and_then(counts_in_utc)).collect();
    if let Some(utc) = times {
        return Some(Holds::Times { utc: utc.iter().all(|utc| *utc) });
    }
    all(|value| value.is_string() || value.is_boolean()).then_some(Holds::Names)
}

fn is_year(value: &Value) -> bool {
    let year = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) if text.len() == 4 => text.parse().ok(),
        _ => None,
    };
    year.is_some_and(|year| (1000..3000).contains(&year))
}

/// Types of which `run` gives long values as text.
fn is_numeric(type_name: &str) -> bool {
    let name = type_name.to_lowercase();
    ["numeric", "decimal", "int", "money", "number"].iter().any(|part| name.contains(part))
}

fn is_number(value: &Value) -> bool {
    value.is_number() || value.as_str().is_some_and(|text| text.parse::<f64>().is_ok_and(f64::is_finite))
}

/// For a day, a month or a moment as ISO 8601 writes it: whether JavaScript reads it in UTC.
fn counts_in_utc(text: &str) -> Option<bool> {
    let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok();
    let moment = |form: &str| text.len() >= 16 && NaiveDateTime::parse_from_str(text, form).is_ok();
    match text.len() {
        7 if day(&format!("{text}-01")) => Some(true),
        10 if day(text) => Some(true),
        _ if DateTime::parse_from_rfc3339(text).is_ok() => Some(true),
        _ if ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"].iter().any(|form| moment(form)) => {
            Some(false)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(columns: &[(&str, &str)], rows: Value) -> Rows {
        let columns = columns
            .iter()
            .map(|(name, type_name)| ResultColumn { name: (*name).to_owned(), type_name: (*type_name).to_owned() });
        let rows: Vec<Vec<Value>> = serde_json::from_value(rows).unwrap();
        Rows { columns: columns.collect(), row_count: rows.len(), rows, truncated: false }
    }

    #[test]
    fn a_date_and_a_number_are_a_line() {
        let result = rows(&[("day", "date"), ("n", "bigint")], json!([["2024-01-01", 3], ["2024-01-02", 5]]));
        let expected = json!({
            "$schema": SCHEMA,
            "data": { "name": "result" },
            "mark": { "type": "line", "point": true, "tooltip": true },
            "encoding": {
                "x": { "field": "day", "type": "temporal", "title": "day", "scale": { "type": "utc" } },
                "y": { "field": "n", "type": "quantitative", "title": "n" },
            },
        });
        assert_eq!(chart(&result), Some(expected));
        let twice = rows(&[("n", "bigint"), ("day", "TEXT")], json!([[3, "2024-01"], [5, "2024-01"]]));
        assert_eq!(chart(&twice).unwrap()["mark"]["type"], "point", "a time that repeats is no line");
    }

    #[test]
    fn months_years_and_moments_are_times() {
        let kind = |name: &str, values: [Value; 2]| {
            let [one, other] = values;
            let chart = chart(&rows(&[(name, ""), ("n", "int")], json!([[one, 1], [other, 2]]))).unwrap();
            (chart["encoding"]["x"]["type"].clone(), chart["encoding"]["x"]["scale"]["type"].clone())
        };
        assert_eq!(kind("m", [json!("2024-01"), json!("2024-02")]), (json!("temporal"), json!("utc")));
        assert_eq!(
            kind("t", [json!("2024-01-01T10:00:00Z"), json!("2024-01-02T10:00:00.5Z")]),
            (json!("temporal"), json!("utc"))
        );
        assert_eq!(kind("t", [json!("2024-01-01 10:00:00"), json!("2024-01-02T10:00:00")]).1, Value::Null);
        assert_eq!(kind("order_year", [json!(2023), json!(2024)]), (json!("ordinal"), Value::Null));
        assert_eq!(kind("y", [json!("2023"), json!("2024")]).0, "ordinal");
    }

    #[test]
    fn a_category_and_a_number_are_bars_from_long_to_short() {
        let chart = |number: usize| {
            let data: Vec<Value> = (0..number).map(|each| json!([format!("c{each}"), each])).collect();
            chart(&rows(&[("country", "text"), ("total", "bigint")], json!(data)))
        };
        let few = chart(30).unwrap();
        assert_eq!(few["mark"]["type"], "bar");
        let y = json!({ "field": "country", "type": "nominal", "title": "country", "sort": "-x" });
        assert_eq!((&few["encoding"]["y"], &few["encoding"]["x"]["field"]), (&y, &json!("total")));
        assert_eq!(chart(31), None, "more is a table");
    }

    #[test]
    fn two_numbers_are_points_and_three_columns_with_a_date_are_lines() {
        let points = rows(&[("a", "real"), ("b", "int")], json!([[1.5, 2], [2.5, null], [3, 4]]));
        assert_eq!(chart(&points).unwrap()["mark"]["type"], "point");
        let several = json!([["x", "2024-01-01", 1], ["y", "2024-01-01", 2], ["x", "2024-01-02", 3]]);
        let several = chart(&rows(&[("kind", "text"), ("day", "date"), ("n", "int")], several)).unwrap();
        assert_eq!(several["mark"]["type"], "line");
        let fields = ["x", "y", "color"].map(|channel| several["encoding"][channel]["field"].clone());
        assert_eq!(fields, [json!("day"), json!("n"), json!("kind")]);
    }

    #[test]
    fn what_a_chart_would_not_show_has_none() {
        let none = |columns: &[(&str, &str)], data: Value| assert_eq!(chart(&rows(columns, data)), None);
        none(&[("n", "int")], json!([[1], [2]]));
        none(&[("n", "int")], json!([[1]]));
        none(&[("c", "text"), ("n", "int")], json!([["x", 1]]));
        none(&[("c", "text"), ("n", "int")], json!([["x", 1], ["x", 2]]));
        none(&[("c", "text"), ("n", "int")], json!([["x", null], ["y", null]]));
        none(&[("c", "text"), ("d", "text")], json!([["x", "y"], ["z", "y"]]));
        none(&[("n", "int"), ("n", "int")], json!([[1, 2], [2, 3]]));
        none(&[("", "int"), ("n", "int")], json!([[1, 2], [2, 3]]));
        none(&[("c", "json"), ("n", "int")], json!([[{ "a": 1 }, 2], [[], 3]]));
        let day = |kind: &str| json!(["2024-01-01", kind, 1]);
        none(&[("d", "date"), ("c", "text"), ("n", "int")], json!([day("x"), day("x")]));
        let cut = Rows { truncated: true, ..rows(&[("a", "int"), ("b", "int")], json!([[1, 2], [3, 4]])) };
        assert_eq!(chart(&cut), None, "a part looks like the whole");
    }

    #[test]
    fn decimals_that_came_as_text_are_read_as_numbers() {
        let data = json!([["x", "3.3333333333333333"], ["y", 2]]);
        let chart = chart(&rows(&[("c", "text"), ("avg.price", "numeric")], data)).unwrap();
        assert_eq!(chart["data"], json!({ "name": "result", "format": { "parse": { "avg\\.price": "number" } } }));
        assert_eq!(chart["encoding"]["x"]["type"], "quantitative");
    }

    #[test]
    fn whatever_a_column_is_called_it_is_a_field_and_a_title() {
        let hostile = "a.b[0]['x']\\\"; {expr: alert(1)}";
        let chart = chart(&rows(&[(hostile, "text"), ("href", "int")], json!([["x", 1], ["y", 2]]))).unwrap();
        let y = &chart["encoding"]["y"];
        assert_eq!(y["field"], "a\\.b\\[0\\]\\[\\'x\\'\\]\\\\\\\"; {expr: alert(1)}");
        assert_eq!(y["title"], hostile);
        let mut keys = Vec::new();
        let mut waiting = vec![&chart];
        while let Some(value) = waiting.pop() {
            if let Some(object) = value.as_object() {
                keys.extend(object.keys().cloned());
                waiting.extend(object.values());
            }
        }
        for code in ["expr", "calculate", "href", "url", "transform", "params", "signal", "values"] {
            assert!(!keys.iter().any(|key| key == code), "{code}");
        }
    }
}
