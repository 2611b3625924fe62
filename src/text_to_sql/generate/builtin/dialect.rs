//! What the dialects write differently, and what they must quote. The one place with such facts.

use chrono::NaiveDate;

use super::plan::Unit;
use crate::text_to_sql::schema::Engine;

/// Words that are reserved in SQLite or in PostgreSQL, and common column names that are functions or types there.
const RESERVED: &[&str] = &[
    "abort",
    "add",
    "all",
    "alter",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "autoincrement",
    "begin",
    "between",
    "binary",
    "both",
    "by",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "commit",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "deferred",
    "delete",
    "desc",
    "distinct",
    "do",
    "drop",
    "else",
    "end",
    "escape",
    "except",
    "exclude",
    "exists",
    "explain",
    "false",
    "fetch",
    "filter",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "glob",
    "grant",
    "group",
    "groups",
    "having",
    "if",
    "ilike",
    "in",
    "index",
    "indexed",
    "initially",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "key",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "match",
    "materialized",
    "natural",
    "not",
    "nothing",
    "notnull",
    "null",
    "of",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "over",
    "overlaps",
    "partition",
    "placing",
    "plan",
    "pragma",
    "primary",
    "query",
    "raise",
    "range",
    "recursive",
    "references",
    "regexp",
    "reindex",
    "release",
    "rename",
    "replace",
    "restrict",
    "returning",
    "right",
    "rollback",
    "row",
    "rows",
    "savepoint",
    "select",
    "session_user",
    "set",
    "similar",
    "some",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "temp",
    "temporary",
    "then",
    "to",
    "trailing",
    "transaction",
    "trigger",
    "true",
    "unbounded",
    "union",
    "unique",
    "update",
    "user",
    "using",
    "vacuum",
    "values",
    "variadic",
    "verbose",
    "view",
    "virtual",
    "when",
    "where",
    "window",
    "with",
    "without",
];

/// An identifier, quoted only where it must be; always where the list of reserved words is another one.
pub fn identifier(engine: Engine, name: &str) -> String {
    match engine {
        Engine::Mysql => return format!("`{}`", name.replace('`', "``")),
        Engine::Mssql => return format!("[{}]", name.replace(']', "]]")),
        Engine::Postgres | Engine::Sqlite => {}
    }
    let folds = engine == Engine::Postgres;
    let fits = |c: char| c == '_' || c.is_ascii_digit() || c.is_ascii_lowercase() || (!folds && c.is_ascii_uppercase());
    let plain = name.chars().all(fits) && name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    if plain && !RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal.
pub fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A day, in a form that compares with date and timestamp columns; SQLite keeps ISO text, and SQL Server reads only the
/// form without hyphens in the same way under every language setting.
pub fn day(engine: Engine, date: NaiveDate) -> String {
    match engine {
        Engine::Postgres => format!("date '{date}'"),
        Engine::Mysql | Engine::Sqlite => format!("'{date}'"),
        Engine::Mssql => format!("'{}'", date.format("%Y%m%d")),
    }
}

/// The year (`2024`) or month (`2024-05`) of a date.
pub fn period(engine: Engine, unit: Unit, column: &str) -> String {
    match (engine, unit) {
        (Engine::Postgres, Unit::Year) => format!("extract(year from {column})"),
        (Engine::Mysql | Engine::Mssql, Unit::Year) => format!("year({column})"),
        (Engine::Mysql, Unit::Month) => format!("date_format({column}, '%Y-%m')"),
        (Engine::Mssql, Unit::Month) => format!("convert(char(7), {column}, 126)"),
        (Engine::Postgres, Unit::Month) => format!("to_char({column}, 'YYYY-MM')"),
        (Engine::Sqlite, Unit::Year) => format!("strftime('%Y', {column})"),
        (Engine::Sqlite, Unit::Month) => format!("strftime('%Y-%m', {column})"),
    }
}

/// Matching text whatever its case: SQLite's LIKE already does so for ASCII, and the others' under their usual collations.
pub fn like(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "ilike",
        Engine::Mysql | Engine::Sqlite | Engine::Mssql => "like",
    }
}

/// A sort key with the rows that have no value at the end. Where the words for it are missing, null sorts lowest.
pub fn nulls_last(engine: Engine, key: &str, descending: bool) -> String {
    let direction = if descending { " desc" } else { "" };
    match engine {
        Engine::Postgres | Engine::Sqlite => format!("{key}{direction} nulls last"),
        Engine::Mysql | Engine::Mssql if descending => format!("{key} desc"),
        Engine::Mysql => format!("{key} is null, {key}"),
        Engine::Mssql => format!("case when {key} is null then 1 else 0 end, {key}"),
    }
}

pub fn truth(engine: Engine, column: &str) -> String {
    match engine {
        Engine::Postgres | Engine::Mysql => column.to_owned(),
        Engine::Sqlite | Engine::Mssql => format!("{column} = 1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_quoted_only_where_they_must_be() {
        assert_eq!(identifier(Engine::Postgres, "unit_price"), "unit_price");
        assert_eq!(identifier(Engine::Postgres, "UnitPrice"), "\"UnitPrice\"");
        assert_eq!(identifier(Engine::Sqlite, "UnitPrice"), "UnitPrice");
        assert_eq!(identifier(Engine::Sqlite, "Order"), "\"Order\"");
        assert_eq!(identifier(Engine::Sqlite, "2nd"), "\"2nd\"");
        assert_eq!(identifier(Engine::Postgres, "a \"b\""), "\"a \"\"b\"\"\"");
    }

    #[test]
    fn texts_cannot_leave_their_quotes() {
        assert_eq!(text("O'Hara"), "'O''Hara'");
    }
}
