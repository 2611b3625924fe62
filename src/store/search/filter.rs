//! Filters on metadata and built-in keys: one tree, the same on every path that takes one, compiled to SQL with bound
//! values only.

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
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

    /// Appends a statement that gives the ids of the documents of the knowledge bases in `$1` that pass, perhaps some of
    /// them twice; call [`Filter::check`] before.
    pub(super) fn push_sql(&self, sql: &mut Sql) {
        match self {
            Filter::Eq { key, value } => push_comparison(sql, key, Comparison::Equal, value),
            Filter::Ne { .. } | Filter::Nin { .. } => push_others(sql, |sql| self.push_excluded(sql)),
            Filter::Gt { key, value } => push_comparison(sql, key, Comparison::Greater, value),
            Filter::Gte { key, value } => push_comparison(sql, key, Comparison::GreaterOrEqual, value),
            Filter::Lt { key, value } => push_comparison(sql, key, Comparison::Less, value),
            Filter::Lte { key, value } => push_comparison(sql, key, Comparison::LessOrEqual, value),
            Filter::In { key, value } => push_any(sql, key, value),
            Filter::And { filters } => push_all_of(sql, filters),
            Filter::Or { filters } => push_any_of(sql, filters),
        }
    }

    /// Whether its documents are found by what they are not.
    fn is_negative(&self) -> bool {
        matches!(self, Filter::Ne { .. } | Filter::Nin { .. })
    }

    /// Appends a statement that gives what a negative filter does not pass.
    fn push_excluded(&self, sql: &mut Sql) {
        match self {
            Filter::Ne { key, value } => push_comparison(sql, key, Comparison::Equal, value),
            Filter::Nin { key, value } => push_any(sql, key, value),
            positive => positive.push_sql(sql),
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

const ALL: &str = "select document_id from document_contents where knowledge_base_id = any ($1)";
const METADATA: &str =
    "select document_id from document_metadata where knowledge_base_id = any ($1) and key = metadata_text(";

fn push_others(sql: &mut Sql, excluded: impl FnOnce(&mut Sql)) {
    sql.push("select document_id from (").push(ALL).push(") every where true");
    push_but_not(sql, "every", excluded);
}

/// `not exists` is an anti-join whatever the sizes; `not in` walks a list that does not fit into memory for every row.
fn push_but_not(sql: &mut Sql, of: &str, excluded: impl FnOnce(&mut Sql)) {
    sql.push(" and not exists (select from (");
    excluded(sql);
    sql.push(format_args!(") excluded where excluded.document_id = {of}.document_id)"));
}

/// Begins with a condition that an index finds, where there is one.
fn push_all_of(sql: &mut Sql, filters: &[Filter]) {
    let (negative, positive): (Vec<&Filter>, Vec<&Filter>) = filters.iter().partition(|filter| filter.is_negative());
    let mut positive = positive.into_iter();
    sql.push("select document_id from (");
    match positive.next() {
        Some(first) => first.push_sql(sql),
        None => _ = sql.push(ALL),
    }
    sql.push(") first where true");
    for filter in positive {
        sql.push(" and document_id in (");
        filter.push_sql(sql);
        sql.push(")");
    }
    for filter in negative {
        push_but_not(sql, "first", |sql| filter.push_excluded(sql));
    }
}

fn push_any_of(sql: &mut Sql, filters: &[Filter]) {
    sql.push("select document_id from (").push(ALL).push(" and false");
    for filter in filters {
        sql.push(" union all (");
        filter.push_sql(sql);
        sql.push(")");
    }
    sql.push(") any_of");
}

fn push_comparison(sql: &mut Sql, key: &str, comparison: Comparison, value: &Value) {
    let operator = comparison.operator();
    match Key::of(key) {
        Key::DocumentId => {
            sql.push(ALL).push(format_args!(" and document_id {operator} ")).push_bind(uuid(value));
        }
        Key::CreatedAt => {
            sql.push(ALL).push(format_args!(" and document_created_at {operator} ")).push_bind(time(value));
        }
        Key::Text(column) => {
            sql.push(ALL).push(format_args!(" and {column} collate \"C\" {operator} "));
            sql.push_bind(value.as_str().map(str::to_owned));
        }
        Key::Metadata(key) => push_metadata(sql, key, comparison, value),
    }
}

fn push_metadata(sql: &mut Sql, key: &str, comparison: Comparison, value: &Value) {
    let operator = comparison.operator();
    match value {
        // A document that has no such key equals null as one whose value is null, or an empty list.
        Value::Null => push_others(sql, |sql| {
            sql.push(METADATA).push_bind(key.to_owned()).push(")");
        }),
        Value::Number(number) => {
            sql.push(METADATA).push_bind(key.to_owned()).push(")");
            push_number(sql, operator, number);
        }
        _ => {
            sql.push(METADATA).push_bind(key.to_owned());
            sql.push(format_args!(") and text {operator} metadata_text(")).push_bind(text(value));
            sql.push(") and kind = ").push_bind(kind(value));
        }
    }
}

/// The index keeps numbers as double precision, whose order is that of the numbers; then the numbers decide.
fn push_number(sql: &mut Sql, operator: &str, number: &Number) {
    let loose = match operator {
        ">" => ">=",
        "<" => "<=",
        same => same,
    };
    sql.push(format_args!(" and approximate {loose} ("))
        .push_bind(number.to_string())
        .push("::numeric)::double precision");
    sql.push(format_args!(" and number {operator} ")).push_bind(number.to_string()).push("::numeric");
}

fn push_any(sql: &mut Sql, key: &str, values: &[Value]) {
    match Key::of(key) {
        Key::DocumentId => {
            sql.push(ALL).push(" and document_id = any (").push_bind(values.iter().filter_map(uuid).collect::<Vec<_>>())
        }
        Key::CreatedAt => {
            let times = values.iter().filter_map(time).collect::<Vec<_>>();
            sql.push(ALL).push(" and document_created_at = any (").push_bind(times)
        }
        Key::Text(column) => {
            let texts = values.iter().map(text).collect::<Vec<_>>();
            sql.push(ALL).push(format_args!(" and {column} collate \"C\" = any (")).push_bind(texts)
        }
        Key::Metadata(key) => return push_any_metadata(sql, key, values),
    };
    sql.push(")");
}

/// One search of the index for the values of each kind.
fn push_any_metadata(sql: &mut Sql, key: &str, values: &[Value]) {
    sql.push("select document_id from (").push(ALL).push(" and false");
    for kind in [KIND_STRING, KIND_BOOLEAN] {
        let texts: Vec<String> = values.iter().filter(|value| self::kind(value) == kind).map(text).collect();
        if !texts.is_empty() {
            sql.push(" union all (").push(METADATA).push_bind(key.to_owned());
            sql.push(") and text = any (array(select metadata_text(t) from unnest(").push_bind(texts);
            sql.push("::text[]) t)) and kind = ").push_bind(kind).push(")");
        }
    }
    let numbers: Vec<String> = values.iter().filter(|value| value.is_number()).map(Value::to_string).collect();
    if !numbers.is_empty() {
        sql.push(" union all (").push(METADATA).push_bind(key.to_owned());
        sql.push(") and approximate = any (")
            .push_bind(numbers.clone())
            .push("::numeric[]::double precision[]) and number = any (");
        sql.push_bind(numbers).push("::numeric[]))");
    }
    if values.iter().any(Value::is_null) {
        sql.push(" union all (");
        push_metadata(sql, key, Comparison::Equal, &Value::Null);
        sql.push(")");
    }
    sql.push(") any_of");
}

const KIND_STRING: &str = "string";
const KIND_BOOLEAN: &str = "boolean";

/// As `document_metadata` names it, of the values that it keeps as text.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => KIND_STRING,
        Value::Bool(_) => KIND_BOOLEAN,
        _ => "",
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
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
