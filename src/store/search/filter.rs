//! Filters on metadata and built-in keys: one tree, the same on every path that takes one, compiled to SQL with bound
//! values only.

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

/// `{"type": "eq", "key": "region", "value": "north"}` or `{"type": "and", "filters": […]}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
#[schema(no_recursion)]
pub enum Filter {
    Eq { key: String, value: Value },
    Ne { key: String, value: Value },
    Gt { key: String, value: Value },
    Gte { key: String, value: Value },
    Lt { key: String, value: Value },
    Lte { key: String, value: Value },
    In { key: String, value: Vec<Value> },
    Nin { key: String, value: Vec<Value> },
    And { filters: Vec<Filter> },
    Or { filters: Vec<Filter> },
}

/// Where in the filter something is wrong (a JSON pointer), and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    pub pointer: String,
    pub detail: String,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// Deep enough for any rule a person writes, shallow enough for any stack.
const MAX_DEPTH: usize = 8;
/// Of the whole tree.
const MAX_CONDITIONS: usize = 200;
/// In one `in` or `nin`.
const MAX_VALUES: usize = 1_000;

type Sql = QueryBuilder<Postgres>;

impl Filter {
    /// Whether the tree is within bounds and every value fits its key; every problem is listed.
    pub fn check(&self) -> Result<(), Vec<FilterError>> {
        let mut checker = Checker { conditions: 0, errors: Vec::new() };
        checker.visit(self, "/filter", 0);
        if checker.conditions > MAX_CONDITIONS {
            checker.error("/filter", format!("has {} conditions; {MAX_CONDITIONS} are allowed", checker.conditions));
        }
        if checker.errors.is_empty() { Ok(()) } else { Err(checker.errors) }
    }

    /// Appends a condition over `document_contents`; call [`Filter::check`] before.
    pub(super) fn push_sql(&self, sql: &mut Sql) {
        match self {
            Filter::Eq { key, value } => push_comparison(sql, key, Comparison::Equal, value),
            Filter::Ne { key, value } => negated(sql, |sql| push_comparison(sql, key, Comparison::Equal, value)),
            Filter::Gt { key, value } => push_comparison(sql, key, Comparison::Greater, value),
            Filter::Gte { key, value } => push_comparison(sql, key, Comparison::GreaterOrEqual, value),
            Filter::Lt { key, value } => push_comparison(sql, key, Comparison::Less, value),
            Filter::Lte { key, value } => push_comparison(sql, key, Comparison::LessOrEqual, value),
            Filter::In { key, value } => push_any(sql, key, value),
            Filter::Nin { key, value } => negated(sql, |sql| push_any(sql, key, value)),
            Filter::And { filters } => push_joined(sql, filters, " and ", "true"),
            Filter::Or { filters } => push_joined(sql, filters, " or ", "false"),
        }
    }
}

/// The keys that every document has; any other key is one of its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key<'a> {
    DocumentId,
    CreatedAt,
    Text(&'static str),
    Metadata(&'a str),
}

impl Key<'_> {
    fn of(name: &str) -> Key<'_> {
        match name {
            "document_id" => Key::DocumentId,
            "created_at" => Key::CreatedAt,
            "title" => Key::Text("title"),
            "content_type" => Key::Text("content_type"),
            other => Key::Metadata(other),
        }
    }

    /// What is wrong with comparing this key with `value`, if anything.
    fn problem(self, value: &Value) -> Option<&'static str> {
        match self {
            Key::DocumentId if uuid(value).is_none() => Some("is compared with a document id, a UUID string"),
            Key::CreatedAt if time(value).is_none() => Some("is compared with a time, an RFC 3339 string"),
            Key::Text(_) if !value.is_string() => Some("is compared with a string"),
            Key::Metadata(_) if value.is_array() || value.is_object() => {
                Some("is compared with a string, a number, a boolean or null")
            }
            _ => None,
        }
    }
}

struct Checker {
    conditions: usize,
    errors: Vec<FilterError>,
}

impl Checker {
    fn visit(&mut self, filter: &Filter, pointer: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return self.error(pointer, format!("is nested deeper than {MAX_DEPTH}"));
        }
        match filter {
            Filter::Eq { key, value } | Filter::Ne { key, value } => {
                self.condition(pointer, key, std::slice::from_ref(value))
            }
            Filter::Gt { key, value }
            | Filter::Gte { key, value }
            | Filter::Lt { key, value }
            | Filter::Lte { key, value } => {
                self.condition(pointer, key, std::slice::from_ref(value));
                if !(value.is_number() || value.is_string()) {
                    self.error(&format!("{pointer}/value"), "has an order only as a number or a string".to_owned());
                }
            }
            Filter::In { key, value } | Filter::Nin { key, value } => self.condition(pointer, key, value),
            Filter::And { filters } | Filter::Or { filters } => {
                for (index, filter) in filters.iter().enumerate() {
                    self.visit(filter, &format!("{pointer}/filters/{index}"), depth + 1);
                }
            }
        }
    }

    fn condition(&mut self, pointer: &str, key: &str, values: &[Value]) {
        self.conditions += 1;
        if key.is_empty() || key.contains('\0') {
            self.error(&format!("{pointer}/key"), "is not a key".to_owned());
        }
        if values.len() > MAX_VALUES {
            self.error(&format!("{pointer}/value"), format!("has {} values; {MAX_VALUES} are allowed", values.len()));
        }
        for value in values.iter().take(MAX_VALUES) {
            if value.as_str().is_some_and(|text| text.contains('\0')) {
                self.error(&format!("{pointer}/value"), "contains a NUL character".to_owned());
            }
            if let Some(problem) = Key::of(key).problem(value) {
                self.error(&format!("{pointer}/value"), problem.to_owned());
            }
        }
    }

    fn error(&mut self, pointer: &str, detail: String) {
        self.errors.push(FilterError { pointer: pointer.to_owned(), detail });
    }
}

/// A missing key makes a condition null; its negation is true of such a document.
fn negated(sql: &mut Sql, condition: impl FnOnce(&mut Sql)) {
    sql.push("not coalesce(");
    condition(sql);
    sql.push(", false)");
}

fn push_joined(sql: &mut Sql, filters: &[Filter], word: &str, when_empty: &str) {
    sql.push("(");
    for (index, filter) in filters.iter().enumerate() {
        if index > 0 {
            sql.push(word);
        }
        filter.push_sql(sql);
    }
    sql.push(if filters.is_empty() { when_empty } else { "" }).push(")");
}

fn push_comparison(sql: &mut Sql, key: &str, comparison: Comparison, value: &Value) {
    let operator = comparison.operator();
    match Key::of(key) {
        Key::DocumentId => {
            sql.push(format_args!("document_id {operator} ")).push_bind(uuid(value));
        }
        Key::CreatedAt => {
            sql.push(format_args!("document_created_at {operator} ")).push_bind(time(value));
        }
        Key::Text(column) => {
            sql.push(format_args!("{column} collate \"C\" {operator} ")).push_bind(value.as_str().map(str::to_owned));
        }
        Key::Metadata(key) => push_metadata(sql, key, comparison, value),
    }
}

fn push_metadata(sql: &mut Sql, key: &str, comparison: Comparison, value: &Value) {
    let operator = comparison.operator();
    match value {
        Value::Null => {
            sql.push("coalesce(metadata -> ").push_bind(key.to_owned()).push(", 'null') = 'null'");
        }
        // Containment is what the GIN index on metadata serves.
        _ if comparison == Comparison::Equal => {
            sql.push("metadata @> ").push_bind(serde_json::json!({ key: value }));
        }
        Value::Number(_) => {
            sql.push("case jsonb_typeof(metadata -> ").push_bind(key.to_owned());
            sql.push(") when 'number' then metadata -> ").push_bind(key.to_owned());
            sql.push(format_args!(" {operator} ")).push_bind(value.clone()).push(" end");
        }
        _ => {
            sql.push("case jsonb_typeof(metadata -> ").push_bind(key.to_owned());
            sql.push(") when 'string' then (metadata ->> ").push_bind(key.to_owned());
            sql.push(format_args!(") collate \"C\" {operator} ")).push_bind(value.as_str().map(str::to_owned));
            sql.push(" end");
        }
    }
}

fn push_any(sql: &mut Sql, key: &str, values: &[Value]) {
    let strings = || values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect::<Vec<_>>();
    match Key::of(key) {
        Key::DocumentId => {
            sql.push("document_id = any (").push_bind(values.iter().filter_map(uuid).collect::<Vec<_>>())
        }
        Key::CreatedAt => {
            sql.push("document_created_at = any (").push_bind(values.iter().filter_map(time).collect::<Vec<_>>())
        }
        Key::Text(column) => sql.push(format_args!("{column} = any (")).push_bind(strings()),
        Key::Metadata(key) => {
            sql.push("metadata -> ").push_bind(key.to_owned()).push(" = any (").push_bind(values.to_vec())
        }
    };
    sql.push(")");
}

impl Comparison {
    fn operator(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
        }
    }
}

fn uuid(value: &Value) -> Option<Uuid> {
    value.as_str()?.parse().ok()
}

/// RFC 3339 has years of four digits; PostgreSQL's range is another.
fn time(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str()?.parse().ok().filter(|time: &DateTime<Utc>| (1..=9999).contains(&time.year()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: Value) -> Filter {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn values_are_bound_and_never_part_of_the_text() {
        let hostile = "'; drop table documents; --";
        let filter = parse(json!({"type": "and", "filters": [
            {"type": "eq", "key": hostile, "value": hostile},
            {"type": "nin", "key": hostile, "value": [hostile, 1]},
            {"type": "or", "filters": [{"type": "lt", "key": hostile, "value": 3}, {"type": "gte", "key": "title", "value": hostile}]},
        ]}));
        filter.check().unwrap();
        let mut sql = QueryBuilder::new("");
        filter.push_sql(&mut sql);
        assert!(!sql.sql().as_str().contains("drop"), "{}", sql.sql().as_str());
    }

    #[test]
    fn a_malformed_filter_says_where_it_is_wrong() {
        let filter = parse(json!({"type": "or", "filters": [
            {"type": "eq", "key": "document_id", "value": "7"},
            {"type": "gt", "key": "created_at", "value": "yesterday"},
            {"type": "lt", "key": "size", "value": true},
        ]}));
        let errors = filter.check().unwrap_err();
        let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/filter/filters/0/value", "/filter/filters/1/value", "/filter/filters/2/value"]);
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let leaf = json!({"type": "eq", "key": "a", "value": 1});
        let deep = (0..20).fold(leaf.clone(), |inner, _| json!({"type": "and", "filters": [inner]}));
        assert!(parse(deep).check().is_err());
        assert!(parse(json!({"type": "and", "filters": vec![leaf; 10_000]})).check().is_err());
        assert!(parse(json!({"type": "in", "key": "a", "value": vec![1; 1_001]})).check().is_err());
    }

    #[test]
    fn unknown_fields_and_operators_are_refused() {
        assert!(serde_json::from_value::<Filter>(json!({"type": "like", "key": "a", "value": "b"})).is_err());
        assert!(serde_json::from_value::<Filter>(json!({"type": "eq", "key": "a", "value": "b", "or": 1})).is_err());
        assert!(serde_json::from_value::<Filter>(json!({"type": "eq", "key": "a"})).is_err());
    }
}
