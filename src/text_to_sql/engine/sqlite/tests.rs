//! On real files, with statements that no guard would let through: what must hold even then.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};
use sqlx::Connection;
use uuid::Uuid;

use super::*;
use crate::text_to_sql::schema::{ColumnKind, ForeignKey, Index, Table, TableKind};

#[tokio::test]
async fn values_are_what_they_are_stored_as() {
    let file = File::new("create table t (n integer, d decimal(10, 2), s text, b blob, flag boolean, x)").await;
    file.execute("insert into t values (9007199254740993, 1.5, 'naïve', x'deadbeef', 1, cast(x'ff61' as text)), (null, null, null, null, null, null)").await;
    let rows = file.run("select *, 1 + 1 as sum, 'a' || 'b', 0.5 from t").await.unwrap();
    let types: Vec<&str> = rows.columns.iter().map(|column| column.type_name.as_str()).collect();
    assert_eq!(types, ["INTEGER", "decimal(10, 2)", "TEXT", "BLOB", "boolean", "TEXT", "INTEGER", "TEXT", "REAL"]);
    assert_eq!(
        json!(rows.rows),
        json!([
            ["9007199254740993", 1.5, "naïve", "3q2+7w==", 1, "\u{fffd}a", 2, "ab", 0.5],
            [null, null, null, null, null, null, 2, "ab", 0.5]
        ])
    );
    let infinite = file.run("select 9e999, -9e999").await.unwrap();
    assert_eq!(json!(infinite.rows), json!([["Infinity", "-Infinity"]]));
}

#[tokio::test]
async fn every_storage_class_becomes_json_by_the_stated_rule() {
    let file = File::new("create table t (a)").await;
    for (expression, expected) in [
        ("9007199254740992", json!(9_007_199_254_740_992_i64)),
        ("-9223372036854775807 - 1", json!("-9223372036854775808")),
        ("9223372036854775807 + 1", json!(9_223_372_036_854_775_808.0)),
        ("0.1 + 0.2", json!(0.300_000_000_000_000_04)),
        ("-0.0", json!(0.0)),
        ("1e308 * 10", json!("Infinity")),
        ("9e999 - 9e999", Value::Null),
        ("true", json!(1)),
        ("x''", json!("")),
        ("x'00ff'", json!("AP8=")),
        ("'a' || char(0) || 'b'", json!("a\u{0}b")),
        ("cast(x'c328' as text)", json!("\u{fffd}(")),
        ("date('2024-02-29')", json!("2024-02-29")),
        ("json('{\"a\": [1, null]}')", json!("{\"a\":[1,null]}")),
        ("null", Value::Null),
    ] {
        let rows = file.run(&format!("select {expression} as v")).await.unwrap();
        assert_eq!(rows.rows, [[expected]], "{expression}");
    }
}

#[tokio::test]
async fn an_empty_result_still_has_its_columns() {
    let rows = File::new("").await.run("select 1 as a, 'x' as b where 0").await.unwrap();
    let names: Vec<&str> = rows.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(rows.rows.is_empty() && !rows.truncated);
}

#[tokio::test]
async fn a_result_ends_at_its_rows_and_bytes() {
    let file = File::new("").await;
    let series = "with recursive n(i) as (select 1 union all select i + 1 from n)";
    let caps = Caps { rows: 10, ..Caps::default() };
    let rows = file.engine.run_text(&format!("{series} select i from n"), &caps).await.unwrap();
    assert_eq!((rows.row_count, rows.truncated), (10, true));
    let rows = file
        .run(&format!("{series} select printf('%.*c', 60000, 'x') from n"))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(rows.truncated && rows.row_count > 100);
    assert!(serde_json::to_string(&rows.rows).unwrap().len() <= Caps::BYTES);
}

/// Counts without end.
const ENDLESS: &str = "with recursive n(i) as (select 1 union all select i from n) select count(*) from n";

#[tokio::test]
async fn a_statement_ends_at_its_deadline() {
    let file = File::new("").await;
    let caps = Caps { deadline: Duration::from_millis(300), ..Caps::default() };
    let joined =
        "with n(i) as (select value from json_each(json_array(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20)))
                  select count(*) from n a, n b, n c, n d, n e, n f, n g, n h";
    for slow in [ENDLESS, joined] {
        let began = Instant::now();
        assert_eq!(file.engine.run_text(slow, &caps).await.unwrap_err(), EngineError::Timeout(caps.deadline));
        assert!(began.elapsed() < caps.deadline * 2, "{slow} took {:?}", began.elapsed());
    }
    assert_eq!(file.run("select 1").await.unwrap().row_count, 1);
}

#[tokio::test]
async fn dropping_the_future_stops_the_statement() {
    let file = File::new("").await;
    let caps = Caps::default();
    assert!(timeout(Duration::from_millis(200), file.engine.run_text(ENDLESS, &caps)).await.is_err());
    file.is_closed().await;
}

#[tokio::test]
async fn memory_is_bounded() {
    let file = File::new("").await;
    for hungry in [
        "select replace(printf('%.*c', 30000000, 'x'), 'x', 'xxxxxxxxxx')",
        "with recursive n(s) as (select 'x' union all select s || s from n) select max(length(s)) from n",
        "with recursive n(i) as (select 1 union all select i + 1 from n limit 1000)
         select group_concat(printf('%.*c', 1000000, 'x')) from n",
        "with recursive n(i) as (select 1 union all select i + 1 from n)
         select count(*) over (order by s) from (select printf('%.*c', 1000000, 'x') || i as s from n limit 5000)",
    ] {
        let caps = Caps { deadline: Duration::from_secs(5), ..Caps::default() };
        let error = file.engine.run_text(hungry, &caps).await.unwrap_err();
        assert!(matches!(error, EngineError::TooLarge(_) | EngineError::Timeout(_)), "{hungry}: {error:?}");
    }
    assert_eq!(file.run("select 1").await.unwrap().row_count, 1);
}

#[tokio::test]
async fn a_cell_of_a_gigabyte_is_refused_quickly_however_it_is_made() {
    let file = File::new("").await;
    let tenfold = |inner: String| format!("replace({inner}, 'x', 'xxxxxxxxxx')");
    let chain = (0..9).fold("'x'".to_owned(), |inner, _| tenfold(inner));
    let began = Instant::now();
    let nothing = file.run("select printf('%.*c', 1000000000, 'x'), format('%1000000000d', 1)").await.unwrap();
    assert_eq!(nothing.rows, [[Value::Null, Value::Null]], "SQLite's own answer to a text that is too long");
    for huge in [
        chain,
        "hex(hex(hex(hex(hex(hex(printf('%.*c', 20000000, 'x')))))))".to_owned(),
        "json_array(printf('%.*c', 20000000, 'x'), printf('%.*c', 20000000, 'x'))".to_owned(),
    ] {
        let error = file.run(&format!("select {huge}")).await.unwrap_err();
        let malformed = matches!(&error, EngineError::Rejected { message } if message.contains("malformed JSON"));
        assert!(matches!(error, EngineError::TooLarge(_)) && !malformed, "{huge}: {error:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(file.run("select 1").await.unwrap().row_count, 1);
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_is_told_as_such() {
    let file = File::new(
        "create table t (a text);
         insert into t with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
             select printf('%.*c', 1000, 'x') from n",
    )
    .await;
    let slow = file.run("select sum(length(a.a) + length(b.a)) from t a, t b");
    let shrink = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        fs::OpenOptions::new().write(true).open(&file.path).unwrap().set_len(100_000).unwrap();
    };
    let (error, ()) = tokio::join!(slow, shrink);
    let error = error.unwrap_err();
    assert!(matches!(error, EngineError::Unreachable(_) | EngineError::Vanished), "{error:?}");
}

#[tokio::test]
async fn a_file_has_no_login_and_no_estimate() {
    let file = File::new("create table t (a)").await;
    let privileges = file.engine.privileges().await.unwrap();
    assert_eq!((privileges.login.as_str(), privileges.read_only()), ("", true));
    let schema = file.engine.introspect(&Samples::none()).await.unwrap();
    let statement = crate::text_to_sql::guard::check("select a from t", &schema, &Default::default()).unwrap();
    assert_eq!(file.engine.estimate(&statement, Duration::from_secs(1)).await.unwrap(), None);
}

#[tokio::test]
async fn nothing_but_reading_passes_even_past_the_guard() {
    let file =
        File::new("create table t (a int); insert into t values (1); create virtual table docs using fts5(title)")
            .await;
    let elsewhere = file.dir.join("elsewhere.db");
    let attacks = [
        "insert into t values (2)".to_owned(),
        "update t set a = 2".to_owned(),
        "delete from t".to_owned(),
        "drop table t".to_owned(),
        "create table u (a)".to_owned(),
        "create temp table u (a)".to_owned(),
        "with x as (select 1) insert into t select * from x".to_owned(),
        format!("attach '{}' as other", elsewhere.display()),
        format!("vacuum into '{}'", elsewhere.display()),
        "vacuum".to_owned(),
        "begin immediate".to_owned(),
        "savepoint s".to_owned(),
        "analyze".to_owned(),
        "reindex".to_owned(),
        "pragma query_only = off".to_owned(),
        "pragma table_info(t)".to_owned(),
        "select * from pragma_table_info('t')".to_owned(),
        "select * from sqlite_master".to_owned(),
        "select * from sqlite_schema".to_owned(),
        "select * from sqlite_temp_master".to_owned(),
        "select * from dbstat".to_owned(),
        "select load_extension('x')".to_owned(),
        "select readfile('/etc/hostname')".to_owned(),
        "select fts3_tokenizer('simple')".to_owned(),
        "select randomblob(10)".to_owned(),
        "select zeroblob(1000000000)".to_owned(),
        "select sqlite_compileoption_get(1)".to_owned(),
        "insert into docs(docs) values ('optimize')".to_owned(),
        "select 1; select 2".to_owned(),
        "select 1; insert into t values (2)".to_owned(),
        "explain select 1; drop table t".to_owned(),
        "".to_owned(),
        "-- nothing".to_owned(),
    ];
    for attack in attacks {
        let error = file.run(&attack).await.expect_err(&attack);
        assert!(matches!(error, EngineError::Rejected { .. }), "{attack}: {error:?}");
    }
    assert!(!elsewhere.exists());
    assert_eq!(file.run("select a from t").await.unwrap().rows, [[json!(1)]]);
}

#[tokio::test]
async fn honest_statements_pass_the_second_net() {
    let file = File::new(
        "create table t (id integer primary key, a text, at text, j text);
         insert into t values (1, 'x', '2024-01-01', '{\"k\": [1, 2]}'), (2, 'y', '2024-02-01', '{}');
         create view v as select upper(a) as a from t;
         create virtual table docs using fts5(title); insert into docs values ('red shoes'), ('blue hat')",
    )
    .await;
    let honest = [
        ("select count(*) from t", json!([[2]])),
        ("select count(*) from T", json!([[2]])),
        ("select a from v order by 1", json!([["X"], ["Y"]])),
        ("select strftime('%Y-%m', at), count(*) from t group by 1", json!([["2024-01", 1], ["2024-02", 1]])),
        ("select value from t, json_each(t.j, '$.k')", json!([[1], [2]])),
        ("select j ->> '$.k[0]' from t where id = 1", json!([[1]])),
        (
            "select row_number() over (order by id desc), lag(a) over (order by id) from t order by id desc",
            json!([[1, "x"], [2, null]]),
        ),
        (
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3) select sum(i) from n",
            json!([[6]]),
        ),
        ("select a from t where a like 'X%' and a glob '*' union select 'z'", json!([["x"], ["z"]])),
        ("select title from docs where docs match 'red AND shoes'", json!([["red shoes"]])),
        (
            "select iif(1, 'a', 'b'), round(2.5), coalesce(null, 1), date('2024-03-01', '-1 day')",
            json!([["a", 3.0, 1, "2024-02-29"]]),
        ),
        ("select 1;", json!([[1]])),
        ("select 1 -- the end", json!([[1]])),
    ];
    for (statement, expected) in honest {
        let rows = file.run(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        assert_eq!(json!(rows.rows), expected, "{statement}");
    }
}

#[tokio::test]
async fn a_hostile_file_cannot_make_a_read_do_more() {
    let file = File::new(
        "create table t (a);
         create view harmless as select load_extension('x') as a;
         create view deep as select randomblob(1000000000) as a;
         create view gone as select * from no_such_table",
    )
    .await;
    for statement in ["select * from harmless", "select * from deep", "select * from gone"] {
        assert!(matches!(file.run(statement).await, Err(EngineError::Rejected { .. })), "{statement}");
    }
    let schema = file.engine.introspect(&Samples::all()).await.unwrap();
    assert_eq!(schema.tables.len(), 4, "a broken view is listed and takes nothing else with it");
}

#[tokio::test]
async fn a_file_that_is_locked_gone_or_no_database_is_told_as_such() {
    let file = File::new("create table t (a)").await;
    let mut writer = file.writer().await;
    sqlx::raw_sql("begin exclusive").execute(&mut writer).await.unwrap();
    let busy = file.run("select * from t").await.unwrap_err();
    assert!(matches!(busy, EngineError::Busy(_)), "{busy:?}");
    sqlx::raw_sql("rollback").execute(&mut writer).await.unwrap();
    writer.close().await.unwrap();
    assert!(file.run("select * from t").await.is_ok());

    fs::write(
        &file.path,
        b"this is no database, however long it may be for a header of one hundred bytes, which it must have".repeat(20),
    )
    .unwrap();
    assert_eq!(
        file.run("select 1 from t").await.unwrap_err(),
        EngineError::Unreachable("the file is not a sound SQLite database".into())
    );
    fs::remove_file(&file.path).unwrap();
    assert_eq!(file.run("select 1").await.unwrap_err(), EngineError::Unreachable("there is no such file".into()));
}

#[tokio::test]
async fn a_link_that_begins_to_lead_elsewhere_is_refused_at_the_next_statement() {
    let (file, other) = (File::new("create table t (a)").await, File::new("create table t (a)").await);
    fs::remove_file(&file.path).unwrap();
    std::os::unix::fs::symlink(&other.path, &file.path).unwrap();
    assert!(matches!(file.run("select * from t").await, Err(EngineError::NotAllowed(_))));
}

#[tokio::test]
async fn urls_name_a_plain_path() {
    let file = File::new("").await;
    let access = file.access();
    let path = file.path.display();
    for url in [format!("sqlite:{path}"), format!("sqlite://{path}"), "sqlite:test file.db".to_owned()] {
        assert!(Sqlite::connect(&url, &access).await.is_ok(), "{url}");
    }
    for url in [
        "sqlite:",
        "sqlite::memory:",
        "sqlite:file:test.db?mode=rwc",
        "sqlite:test file.db?mode=rwc",
        "sqlite:test file.db\0",
    ] {
        let error = Sqlite::connect(url, &access).await.err().expect(url);
        assert!(matches!(error, EngineError::InvalidUrl(_) | EngineError::Unreachable(_)), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn introspection_finds_what_the_catalog_says_and_what_the_values_show() {
    let file = File::new(
        "create table customers (id integer primary key, name varchar(40) not null, country text, since text, score);
         create unique index customers_name on customers (name);
         create index customers_lower on customers (lower(name));
         create unique index customers_some on customers (country) where country = 'none';
         create table orders (customer int references customers, line int, at datetime, total numeric, gross as (total * 2),
                              primary key (customer, line)) without rowid;
         create table \"Odd \"\"Name\" (a int, b int, foreign key (a, b) references orders (customer, line));
         create view totals as select customer, sum(total) as total from orders group by 1;
         create virtual table docs using fts5(title);
         insert into customers values (1, 'Ann', 'DE', '2024-01-01', 1), (2, 'Bob', 'DE', '2024-02-02', 2), (3, 'Cid', 'FR', null, 3);
         insert into orders values (1, 1, '2024-01-01 10:00:00', 9.5)",
    )
    .await;
    let schema = file.engine.introspect(&Samples::all()).await.unwrap();
    let names: Vec<&str> = schema.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["Odd \"Name", "customers", "docs", "orders", "totals"]);
    let table = |name: &str| schema.tables.iter().find(|table| table.name == name).unwrap();
    let kinds = |table: &Table| table.columns.iter().map(|column| column.kind).collect::<Vec<_>>();
    use ColumnKind::*;

    let customers = table("customers");
    assert_eq!(kinds(customers), [Integer, Text, Text, Date, Integer]);
    assert_eq!((customers.row_count, &customers.primary_key), (Some(3), &vec!["id".to_owned()]));
    assert_eq!(customers.columns[2].sample_values, ["DE", "FR"]);
    assert!(!customers.columns[1].nullable && customers.columns[2].nullable);
    let index = |name: &str, column: &str, unique| Index { name: name.into(), columns: vec![column.into()], unique };
    assert_eq!(customers.indexes, [index("customers_name", "name", true), index("customers_some", "country", false)]);

    let orders = table("orders");
    assert_eq!(kinds(orders), [Integer, Integer, Timestamp, Decimal, Decimal]);
    assert_eq!(orders.primary_key, ["customer", "line"]);
    let key = |columns: [&str; 2], table: &str, referenced: [&str; 2], count: usize| ForeignKey {
        columns: columns[..count].iter().map(|name| (*name).into()).collect(),
        referenced_schema: "main".into(),
        referenced_table: table.into(),
        referenced_columns: referenced[..count].iter().map(|name| (*name).into()).collect(),
    };
    assert_eq!(orders.foreign_keys, [key(["customer", ""], "customers", ["id", ""], 1)]);
    assert_eq!(table("Odd \"Name").foreign_keys, [key(["a", "b"], "orders", ["customer", "line"], 2)]);
    assert_eq!((table("totals").kind, kinds(table("totals"))), (TableKind::View, vec![Integer, Decimal]));
    assert_eq!(schema.search_path, ["main"]);
}

#[tokio::test]
async fn introspection_finds_lists_of_checks_and_the_version() {
    let file = File::new(
        "create table t (id integer primary key, status TEXT not null CHECK (Status IN ('open', 'it''s')), \"odd name\" text,
                         n int check (n > 0), constraint c check (\"odd name\" = 'p' or \"odd name\" is null)) strict;
         create virtual table docs using fts5(title); create virtual table area using rtree(id, x0, x1);
         insert into t values (1, 'open', 'p', 1)",
    )
    .await;
    let schema = file.engine.introspect(&Samples::all()).await.unwrap();
    assert!(schema.server_version.starts_with("3."), "{}", schema.server_version);
    let names: Vec<&str> = schema.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["area", "docs", "t"], "no shadow tables");
    let lists: Vec<String> = schema.tables[2].columns.iter().map(|column| column.enum_values.join("|")).collect();
    assert_eq!(lists, ["", "open|it's", "p", ""]);
}

#[tokio::test]
async fn the_kind_of_a_column_is_what_it_holds() {
    use ColumnKind::*;
    for (declared, values, kind) in [
        ("text", "'2024-02-29', '1999-12-31', null", Date),
        ("datetime", "'2024-02-29', '2024-02-29 10:30:00'", Timestamp),
        ("text", "'2024-02-29T10:30:00.123Z', '2024-02-29 10:30'", Timestamp),
        ("text", "'2024-02-29', 'unknown'", Text),
        ("text", "'2024-02-29 10:3', '2024-02-29'", Text),
        ("date", "'2024-02-30'", Text),
        ("date", "'29.02.2024'", Text),
        ("text", "'now', '2451545'", Text),
        ("", "1, 2, null", Integer),
        ("", "1, 2.5", Decimal),
        ("", "x'00'", Binary),
        ("", "'a', 1", Text),
        ("timestamp", "1700000000", Integer),
        ("int", "'n/a'", Text),
        ("boolean", "'yes'", Boolean),
        ("json", "'{}'", Json),
    ] {
        let rows: String = values.split(", ").map(|value| format!("insert into t values ({value});")).collect();
        let file = File::new(&format!("create table t (a {declared}); {rows}")).await;
        let schema = file.engine.introspect(&Samples::all()).await.unwrap();
        assert_eq!(schema.tables[0].columns[0].kind, kind, "{declared} holding {values}");
        assert_eq!(schema.tables[0].row_count, Some(values.split(", ").count().try_into().unwrap()));
    }
}

#[tokio::test]
async fn closed_columns_are_never_read() {
    let file = File::new(
        "create table t (open text, closed text); insert into t values ('x', 'secret');
         create view risky as select open, json('{') as closed from t",
    )
    .await;
    let closed_columns = |table: &str| [("main".to_owned(), table.to_owned(), "closed".to_owned())].into();
    let found = async |samples: &Samples, table: &str| {
        let schema = file.engine.introspect(samples).await.unwrap();
        schema.tables.into_iter().find(|found| found.name == table).unwrap().columns
    };
    let columns = found(&Samples { closed_columns: closed_columns("t"), ..Samples::all() }, "t").await;
    assert_eq!((columns[0].sample_values.len(), columns[1].sample_values.len()), (1, 0));
    // The view's columns declare nothing: what they hold is only known when the view can be read.
    assert_eq!(found(&Samples::all(), "risky").await[1].kind, ColumnKind::Other);
    let columns = found(&Samples { closed_columns: closed_columns("risky"), ..Samples::all() }, "risky").await;
    assert_eq!((columns[0].kind, columns[0].sample_values.len()), (ColumnKind::Text, 1));
    let unread = found(&Samples::none(), "t").await;
    assert!(unread.iter().all(|column| column.kind == ColumnKind::Text && column.sample_values.is_empty()));
}

#[tokio::test]
async fn a_column_that_calls_itself_rowid_is_not_taken_for_the_number_of_rows() {
    let file = File::new(
        "create table t (rowid integer);
         insert into t with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000001)
             select 123456789 from n",
    )
    .await;
    assert_eq!(file.engine.introspect(&Samples::none()).await.unwrap().tables[0].row_count, Some(1_000_001));
}

#[tokio::test]
async fn a_thousand_tables_are_introspected_in_seconds() {
    let tables = (1..=1000).map(|n| {
        let other = (n - 1).max(1);
        format!(
            "create table t{n} (id integer primary key, name text, city text, other int references t{other}, at text);
             insert into t{n} with recursive i(i) as (select 1 union all select i + 1 from i where i < 20)
                 select i, 'name ' || i, 'city ' || (i % 5), null, '2024-01-01' from i;"
        )
    });
    let file = File::new(&format!("begin; {} commit", tables.collect::<String>())).await;
    let began = Instant::now();
    let schema = file.engine.introspect(&Samples::all()).await.unwrap();
    eprintln!("introspected {} tables in {:?}", schema.tables.len(), began.elapsed());
    assert!(schema.tables.iter().all(|table| table.columns[2].sample_values.len() == 5 && table.row_count == Some(20)));
    let began = Instant::now();
    for _ in 0..20 {
        file.run("select count(*) from t500").await.unwrap();
    }
    eprintln!("a statement on this file takes {:?}", began.elapsed() / 20);
}

#[tokio::test]
async fn nothing_outlives_a_statement_and_a_closed_engine_runs_none() {
    let file = File::new("create table t (a)").await;
    let first = file.run("select 1").await.unwrap();
    assert_eq!(first.rows, [[Value::from(1)]]);
    file.is_closed().await;
    file.engine.close().await;
    assert!(file.run("select 1").await.is_err());
}

fn open_files(path: &std::path::Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link == path).count()
}

/// A database file of its own for a test, and an engine on it.
struct File {
    dir: PathBuf,
    path: PathBuf,
    engine: Sqlite,
}

impl File {
    async fn new(setup: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("almanac-sqlite-{}", Uuid::now_v7().simple()));
        fs::create_dir_all(&dir).unwrap();
        let path = fs::canonicalize(&dir).unwrap().join("test file.db");
        let mut connection = writer(&path).await;
        sqlx::raw_sql(AssertSqlSafe(setup.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let access = Access { sqlite_dirs: vec![dir.clone()], ..Access::default() };
        let engine = Sqlite::connect(&format!("sqlite:{}", path.display()), &access).await.unwrap();
        Self { dir, path, engine }
    }

    fn access(&self) -> Access {
        Access { sqlite_dirs: vec![self.dir.clone()], ..Access::default() }
    }

    async fn run(&self, sql: &str) -> Result<Rows, EngineError> {
        self.engine.run_text(sql, &Caps::default()).await
    }

    async fn writer(&self) -> SqliteConnection {
        writer(&self.path).await
    }

    /// The driver's thread has the file open for as long as a statement runs.
    async fn is_closed(&self) {
        let began = Instant::now();
        while open_files(&self.path) > 0 {
            assert!(began.elapsed() < Duration::from_secs(5), "a statement still runs");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn execute(&self, sql: &str) {
        let mut connection = self.writer().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

async fn writer(path: &std::path::Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}
