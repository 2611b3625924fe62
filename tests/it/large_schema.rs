//! A made schema of a thousand tables, and questions about it with the tables that they need: fixtures/linking.
//!
//! The tables of a company group, and for each one what warehouses of data gather around it: its history, a staging copy,
//! an archived copy of the same name, for some an audit. Deterministic but for the tables' ids, which nothing reads.

use std::path::Path;

use almanac::text_to_sql::schema::{Column, ColumnKind, Engine, ForeignKey, Schema, Table, TableKind};

/// A question and the tables that its SQL needs, each as `schema.table`.
pub struct Question {
    pub text: String,
    pub tables: Vec<String>,
}

/// How many tables there are.
pub const TABLES: usize = 1_000;

pub fn questions() -> Vec<Question> {
    let question = |line: &str| {
        let (text, tables) = line.split_once(" | ").expect("a question and its tables");
        Question { text: text.to_owned(), tables: tables.split_whitespace().map(str::to_owned).collect() }
    };
    read("questions.txt").lines().filter(|line| !line.starts_with('#')).map(question).collect()
}

pub fn schema() -> Schema {
    let text = read("tables.txt");
    let mut tables: Vec<Table> = Vec::new();
    let mut home = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("schema ") {
            Some(name) => home = name.to_owned(),
            None => tables.push(table(&home, line)),
        }
    }
    let copies: Vec<Table> = tables
        .iter()
        .map(history)
        .chain(tables.iter().map(staging))
        .chain(tables.iter().map(archive))
        .chain(tables.iter().map(audit))
        .take(TABLES - tables.len())
        .collect();
    // The copies come first: nothing may depend on the order.
    let tables = copies.into_iter().chain(tables).collect();
    Schema { engine: Engine::Postgres, search_path: vec!["hr".to_owned()], server_version: "17.2".to_owned(), tables }
}

fn read(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/linking").join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn table(home: &str, line: &str) -> Table {
    let fields: Vec<&str> = line.split('|').map(str::trim).collect();
    let [name, columns, references, synonyms, description, values] = fields[..] else { panic!("six fields: {line}") };
    let mut table = Table::found(home.to_owned(), name.to_owned(), TableKind::Table);
    let upper = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let camel = name.starts_with(|c: char| c.is_ascii_uppercase()) && !upper;
    let id = |base: &str| match (upper, camel) {
        (true, _) => format!("{base}_ID"),
        (_, true) => format!("{base}Id"),
        _ => format!("{base}_id"),
    };
    let key = if upper {
        "ID"
    } else if camel {
        "Id"
    } else {
        "id"
    };
    table.columns.push(column(key));
    table.primary_key = vec![key.to_owned()];
    table.columns.extend(columns.split_whitespace().map(column));
    for reference in references.split_whitespace() {
        let (own, other) = reference.split_once('=').unwrap_or((reference, reference));
        let (other_home, other) = other.split_once('.').unwrap_or((home, other));
        let name = id(own);
        table.columns.push(column(&name));
        let key = match other.chars().next().is_some_and(|c| c.is_ascii_uppercase()) {
            true if other.chars().all(|c| c.is_ascii_uppercase() || c == '_') => "ID",
            true => "Id",
            false => "id",
        };
        table.foreign_keys.push(ForeignKey {
            columns: vec![name],
            referenced_schema: other_home.to_owned(),
            referenced_table: other.to_owned(),
            referenced_columns: vec![key.to_owned()],
        });
    }
    table.synonyms = synonyms.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect();
    table.description = Some(description.to_owned()).filter(|text| !text.is_empty());
    give_values(&mut table, values);
    table.row_count = Some(10_000);
    table
}

/// `name=A,B other=C`: values go on up to the next name and equals sign.
fn give_values(table: &mut Table, values: &str) {
    let mut rest = values;
    while let Some((name, after)) = rest.split_once('=') {
        let end = after.find('=').and_then(|at| after[..at].rfind(' ')).unwrap_or(after.len());
        let column = table.columns.iter_mut().find(|column| column.name == name.trim());
        let column = column.unwrap_or_else(|| panic!("no column {name} in {}", table.name));
        column.sample_values = after[..end].split(',').map(|value| value.trim().to_owned()).collect();
        rest = &after[end..];
    }
}

fn column(name: &str) -> Column {
    let lower = name.to_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| lower.ends_with(ending));
    let (data_type, kind) = match () {
        () if lower == "id"
            || ends(&["_id", "quantity", "days", "year", "count", "points"])
            || name.ends_with("Id") =>
        {
            ("bigint", ColumnKind::Integer)
        }
        () if ends(&["_on", "date", "createdon"]) => ("date", ColumnKind::Date),
        () if ends(&["_at"]) || name.ends_with("At") => ("timestamp", ColumnKind::Timestamp),
        () if ends(&["amount", "price", "total", "cost", "rate", "amt", "budget", "fee", "kwh", "mwh"]) => {
            ("numeric(12,2)", ColumnKind::Decimal)
        }
        () => ("text", ColumnKind::Text),
    };
    Column::found(name.to_owned(), data_type.to_owned(), kind, lower != "id")
}

/// A copy that nobody documented and no key leads to.
fn copy(table: &Table, home: &str, name: String) -> Table {
    let mut copy = Table::found(home.to_owned(), name, TableKind::Table);
    copy.columns = table.columns.clone();
    copy
}

fn history(table: &Table) -> Table {
    let mut copy = copy(table, &table.schema, format!("{}_history", table.name));
    copy.columns.extend(["valid_from_ts", "valid_to_ts", "changed_by"].map(column));
    copy.foreign_keys = table.foreign_keys.clone();
    copy
}

fn staging(table: &Table) -> Table {
    let mut copy = copy(table, "staging", format!("stg_{}", table.name.to_lowercase()));
    copy.columns.extend(["load_id", "loaded_from"].map(column));
    copy.columns.iter_mut().for_each(|column| column.sample_values.clear());
    copy
}

fn archive(table: &Table) -> Table {
    copy(table, "archive_2019", table.name.clone())
}

fn audit(table: &Table) -> Table {
    copy(table, "audit", format!("{}_audit_trail", table.name))
}
