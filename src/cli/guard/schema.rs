//! The schema that statements are judged by: the server's JSON, or what a file of CREATE statements declares.

use anyhow::{Context, anyhow, bail};
use sqlparser::parser::Parser;

use super::{
    ddl::Declared,
    statements::{Form, Statement, read as split},
};
use crate::text_to_sql::{
    schema::{Engine, Schema},
    terms::dialect,
};

/// Reads either form; the JSON says its engine itself.
pub fn read(bytes: &[u8], dialect: Option<Engine>) -> anyhow::Result<Schema> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        return serde_json::from_slice(bytes).context("this is not the JSON of GET /v1/databases/{id}/schema");
    }
    let engine = dialect.context("--dialect says how CREATE statements are written")?;
    let mut declared = Declared::new(engine);
    for statement in split(bytes, Form::Chunks, engine)? {
        declare(&mut declared, &statement, engine).with_context(|| format!("line {}", statement.line))?;
    }
    let schema = declared.finish();
    if schema.tables.is_empty() {
        bail!("no CREATE TABLE or CREATE VIEW is in it");
    }
    Ok(schema)
}

/// Statements that declare nothing a query could name (INSERT, CREATE INDEX, SET…) are passed over.
fn declare(declared: &mut Declared, statement: &Statement, engine: Engine) -> anyhow::Result<()> {
    if let Some(schema) = used_schema(&statement.sql) {
        declared.used(schema);
        return Ok(());
    }
    if !is_declaration(&statement.sql) {
        return Ok(());
    }
    let parsed = Parser::parse_sql(dialect(engine), &statement.sql).map_err(|error| anyhow!("{error}"))?;
    parsed.into_iter().try_for_each(|parsed| declared.add(parsed))
}

/// `CREATE [OR REPLACE] [TEMPORARY] [MATERIALIZED] … TABLE | VIEW | TYPE`.
fn is_declaration(sql: &str) -> bool {
    const MODIFIERS: [&str; 17] = [
        "or",
        "replace",
        "alter",
        "temp",
        "temporary",
        "global",
        "local",
        "unlogged",
        "foreign",
        "external",
        "virtual",
        "materialized",
        "recursive",
        "sql",
        "security",
        "definer",
        "invoker",
    ];
    let mut words = sql.split_whitespace().map(str::to_lowercase);
    let created = words.next().is_some_and(|word| word == "create");
    // MySQL's views may say `ALGORITHM = MERGE DEFINER = …` first, written without spaces by its own dumps.
    let kind = words.find(|word| !MODIFIERS.contains(&word.as_str()) && !word.contains('='));
    created && kind.is_some_and(|kind| ["table", "view", "type"].contains(&kind.as_str()))
}

/// The name in `USE name`, which not every dialect of the parser knows.
fn used_schema(sql: &str) -> Option<String> {
    let (keyword, name) = sql.split_once(char::is_whitespace)?;
    let name = name.trim().trim_matches(['`', '"', '[', ']']);
    keyword.eq_ignore_ascii_case("use").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text_to_sql::schema::{ColumnKind, TableKind};

    fn postgres(sql: &str) -> anyhow::Result<Schema> {
        read(sql.as_bytes(), Some(Engine::Postgres))
    }

    fn columns(schema: &Schema, table: usize) -> Vec<&str> {
        schema.tables[table].columns.iter().map(|column| column.name.as_str()).collect()
    }

    #[test]
    fn tables_views_and_enumerations_are_declared_and_the_rest_is_passed_over() {
        let schema = postgres(
            "set search_path = x; create type mood as enum ('sad', 'ok');
             create table Shop (Id integer primary key, \"Note\" text not null, m mood);
             insert into shop values (1, 'create table x;', 'ok');
             create view sales.sold (a, b) as select 1, 2;
             create view recent as select s.id, \"Note\" as n from shop s; create index on shop (id);",
        )
        .unwrap();
        let names: Vec<_> = schema.tables.iter().map(|it| (it.schema.as_str(), it.name.as_str(), it.kind)).collect();
        let expected = [
            ("public", "shop", TableKind::Table),
            ("sales", "sold", TableKind::View),
            ("public", "recent", TableKind::View),
        ];
        assert_eq!(names, expected);
        assert_eq!(columns(&schema, 0), ["id", "Note", "m"]);
        assert_eq!(columns(&schema, 2), ["id", "n"]);
        let shop = &schema.tables[0];
        assert_eq!((shop.primary_key.as_slice(), shop.columns[1].nullable), (["id".to_owned()].as_slice(), false));
        assert_eq!((shop.columns[0].kind, shop.columns[2].enum_values.len()), (ColumnKind::Integer, 2));
    }

    #[test]
    fn functions_and_triggers_declare_nothing() {
        let schema = postgres(
            "create function f() returns table (a int) language plpgsql as $$ begin return; end $$;
             create trigger view before insert on t execute function g();
             create or replace temporary view v as select 1 as a;",
        );
        assert_eq!(schema.unwrap().tables.len(), 1);
    }

    #[test]
    fn each_engine_has_its_own_default_schema_and_use_names_another() {
        let declared = "create table t (a int, primary key (a)); use shop; create table u (a int);";
        for (engine, first) in [(Engine::Sqlite, "main"), (Engine::Mssql, "dbo"), (Engine::Mysql, "main")] {
            let schema = read(declared.as_bytes(), Some(engine)).unwrap();
            let schemas: Vec<_> = schema.tables.iter().map(|table| table.schema.as_str()).collect();
            assert_eq!(schemas, [first, "shop"], "{engine:?}");
            assert_eq!(schema.search_path, ["shop"]);
            assert_eq!(schema.tables[0].primary_key, ["a"]);
        }
    }

    #[test]
    fn the_json_of_the_server_is_taken_as_it_is() {
        let schema = postgres("create table t (a int)").unwrap();
        let json = serde_json::to_vec(&schema).unwrap();
        assert_eq!(read(&json, None).unwrap(), schema);
        assert!(read(b" {\"tables\": 1}", None).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line() {
        let said = |sql: &str| format!("{:#}", postgres(sql).unwrap_err());
        assert!(said("select 1;\ncreate table t (a int").starts_with("line 2: "), "{}", said("create table t (a int"));
        assert!(said("create view v as select 1").contains("name the columns"));
        assert!(said("select 1").contains("no CREATE TABLE"));
        assert!(format!("{:#}", read(b"create table t (a int)", None).unwrap_err()).contains("--dialect"));
    }
}
