//! On a real server, mostly as its superuser and with statements that no guard would let through: what must hold even
//! then. What the guard lets through is tested in `tests/it`.

mod introspection;
mod privileges;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Instant;

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection};
use tokio::net::{TcpListener, UnixStream};
use uuid::Uuid;

use super::target::Place;
use super::*;
use crate::postgres::{EmbeddedPostgres, Install, SUPERUSER};
use crate::text_to_sql::engine::sessions::SESSIONS;

#[tokio::test]
async fn every_type_becomes_json_by_the_stated_rule() {
    let database = Database::new(
        "create type mood as enum ('sad', 'ok'); create domain score as numeric(5, 2); create domain moods as mood[];
         create type pair as (name text, score score)",
    )
    .await;
    let matrix = [
        ("true", "bool", json!(true)),
        ("42::int2", "int2", json!(42)),
        ("-7::int4", "int4", json!(-7)),
        ("9007199254740992::int8", "int8", json!(9_007_199_254_740_992_i64)),
        ("9007199254740993::int8", "int8", json!("9007199254740993")),
        ("0.1::float4", "float4", json!(0.1)),
        ("1e300::float8", "float8", json!(1e300)),
        ("'NaN'::float8", "float8", json!("NaN")),
        ("'-Infinity'::float8", "float8", json!("-Infinity")),
        ("12.50::numeric", "numeric", json!(12.5)),
        ("1::numeric / 3", "numeric", json!("0.33333333333333333333")),
        ("'NaN'::numeric", "numeric", json!("NaN")),
        ("1234.5::money", "money", json!(1234.5)),
        ("(-0.07)::numeric::money", "money", json!(-0.07)),
        ("'naïve'::text", "text", json!("naïve")),
        ("'ab'::char(4)", "char", json!("ab  ")),
        ("date '2024-02-29'", "date", json!("2024-02-29")),
        ("time '10:30:00.5'", "time", json!("10:30:00.5")),
        ("timestamp '2024-02-29 10:30:00'", "timestamp", json!("2024-02-29T10:30:00")),
        ("timestamptz '2024-02-29 10:30:00.25+02'", "timestamptz", json!("2024-02-29T08:30:00.25Z")),
        ("'infinity'::timestamptz", "timestamptz", json!("infinity")),
        ("interval '1 year 2 days 3 hours'", "interval", json!("P1Y2DT3H")),
        ("'\\xdeadbeef'::bytea", "bytea", json!("3q2+7w==")),
        ("'{\"a\": [1, null]}'::jsonb", "jsonb", json!({"a": [1, null]})),
        ("'[1, 2]'::json", "json", json!([1, 2])),
        ("array[1, null, 3]", "int4[]", json!([1, null, 3])),
        ("array[['a', 'b'], ['c', 'd, \"e\"']]", "text[]", json!([["a", "b"], ["c", "d, \"e\""]])),
        ("array[1.5, 2.25]::numeric[]", "numeric[]", json!([1.5, 2.25])),
        ("'ok'::mood", "mood", json!("ok")),
        ("array['ok', 'sad']::mood[]", "mood[]", json!(["ok", "sad"])),
        ("7.25::score", "numeric", json!(7.25)),
        ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "uuid", json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("'10.1.0.0/16'::inet", "inet", json!("10.1.0.0/16")),
        ("int4range(1, 5)", "int4range", json!("[1,5)")),
        ("point(1, 2)", "point", json!("(1,2)")),
        ("to_tsvector('simple', 'a b')", "tsvector", json!("'a':1 'b':2")),
        ("b'101'", "bit", json!("101")),
        ("row(1, 'x')", "record", json!("(1,x)")),
        ("xmlparse(content '<a/>')", "xml", json!("<a/>")),
        ("'pg_class'::regclass", "regclass", json!("pg_class")),
        ("'1 2'::int2vector", "int2vector", json!("1 2")),
        ("null::text", "text", Value::Null),
        ("'-9223372036854775808'::int8", "int8", json!("-9223372036854775808")),
        ("array[9007199254740993, -1]", "int8[]", json!(["9007199254740993", -1])),
        ("4294967295::oid", "oid", json!(4_294_967_295_u32)),
        ("'-0'::float8", "float8", json!(-0.0)),
        ("1e-320::float8", "float8", json!(1e-320)),
        ("array['NaN', 'Infinity', null]::float8[]", "float8[]", json!(["NaN", "Infinity", null])),
        ("'Infinity'::numeric", "numeric", json!("Infinity")),
        ("'-Infinity'::numeric", "numeric", json!("-Infinity")),
        ("1e-20::numeric", "numeric", json!(1e-20)),
        ("99999999999999999999.99::numeric", "numeric", json!("99999999999999999999.99")),
        ("array[1, 2]::money[]", "money[]", json!([1.0, 2.0])),
        ("'-infinity'::date", "date", json!("-infinity")),
        ("'0044-03-15 BC'::date", "date", json!("0044-03-15 BC")),
        ("timetz '10:30:00+02'", "timetz", json!("10:30:00+02")),
        ("array[timestamptz '2024-02-29 10:30:00+02']", "timestamptz[]", json!(["2024-02-29T08:30:00Z"])),
        ("interval '-1 month +2 days 0.5 seconds'", "interval", json!("P-1M2DT0.5S")),
        ("interval '0'", "interval", json!("PT0S")),
        ("array['\\x00ff'::bytea, null]", "bytea[]", json!(["AP8=", null])),
        ("''::bytea", "bytea", json!("")),
        ("'null'::jsonb", "jsonb", Value::Null),
        ("'\"x\"'::jsonb", "jsonb", json!("x")),
        ("array['{\"a\": 1}'::jsonb]", "jsonb[]", json!([{"a": 1}])),
        ("'{}'::int4[]", "int4[]", json!([])),
        ("'[0:1][2:3]={{1,2},{3,4}}'::int4[]", "int4[]", json!([[1, 2], [3, 4]])),
        ("'{ok,sad}'::moods", "mood[]", json!(["ok", "sad"])),
        ("array[7.25, 1]::score[]", "score[]", json!([7.25, 1.0])),
        ("row('a, b', 7.25)::pair", "pair", json!("(\"a, b\",7.25)")),
        ("array[row('a', 1)::pair]", "pair[]", json!(["(a,1.00)"])),
        ("'10.1.0.0/16'::cidr", "cidr", json!("10.1.0.0/16")),
        ("'08:00:2b:01:02:03'::macaddr", "macaddr", json!("08:00:2b:01:02:03")),
        ("'{[1,3),[5,7)}'::int4multirange::text", "text", json!("{[1,3),[5,7)}")),
        ("daterange('2024-01-01', null)", "daterange", json!("[2024-01-01,)")),
        ("'empty'::numrange", "numrange", json!("empty")),
        ("b'101'::bit varying(5)", "varbit", json!("101")),
        ("array[box '((1,2),(3,4))', box '((0,0),(1,1))']", "box[]", json!(["(3,4),(1,2)", "(1,1),(0,0)"])),
        ("'{1,2,3}'::line", "line", json!("{1,2,3}")),
        ("'a & !b'::tsquery", "tsquery", json!("'a' & !'b'")),
        ("'0/16B3748'::pg_lsn", "pg_lsn", json!("0/16B3748")),
        ("'a'::\"char\"", "\"char\"", json!("a")),
        ("'a'::name", "name", json!("a")),
        ("'$.a'::jsonpath", "jsonpath", json!("$.\"a\"")),
    ];
    for (expression, type_name, expected) in matrix {
        let rows = match database.run(&format!("select {expression} as v")).await {
            // The server's build decides whether it knows XML.
            Err(EngineError::Rejected { message }) if message.contains("XML") => continue,
            rows => rows.unwrap_or_else(|error| panic!("{expression}: {error:?}")),
        };
        assert_eq!(rows.rows, [[expected]], "{expression}");
        assert_eq!(rows.columns[0].type_name, type_name, "{expression}");
    }
}

#[tokio::test]
async fn a_type_that_the_driver_does_not_know_is_a_clear_answer_and_the_session_lives_on() {
    let database = Database::new("create type pair as (a int, b int4multirange)").await;
    for unknown in ["'{[1,3)}'::int4multirange", "array['{[1,3)}'::int4multirange]", "row(1, '{}')::pair"] {
        let error = database.run(&format!("select {unknown}")).await.unwrap_err();
        assert!(
            matches!(&error, EngineError::Rejected { message } if message.contains("cast it to text")),
            "{error:?}"
        );
        assert_eq!(database.run("select 1").await.unwrap().rows, [[json!(1)]]);
        assert_eq!(database.run(&format!("select ({unknown})::text")).await.unwrap().row_count, 1);
    }
}

#[tokio::test]
async fn an_empty_result_still_has_its_columns() {
    let rows = Database::new("").await.run("select 1 as a, 'x'::text as b, 2 as a where false").await.unwrap();
    let names: Vec<&str> = rows.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "a"]);
    assert!(rows.rows.is_empty() && !rows.truncated);
}

#[tokio::test]
async fn a_result_ends_at_its_rows_and_nothing_runs_on() {
    let database = Database::new("").await;
    let caps = Caps { rows: 10, ..Caps::default() };
    let rows = database.engine.run_text("select n from generate_series(1, 100000000) n", &caps).await.unwrap();
    assert_eq!((rows.row_count, rows.truncated), (10, true));
    database.becomes_idle().await;
    let exact = database.engine.run_text("select n from generate_series(1, 10) n", &caps).await.unwrap();
    assert_eq!((exact.row_count, exact.truncated), (10, false));
}

#[tokio::test]
async fn a_result_ends_at_its_bytes() {
    let database = Database::new("").await;
    let rows = database.run("select repeat('x', 60000) from generate_series(1, 100000)").await.unwrap();
    assert!(rows.truncated && rows.row_count > 100);
    assert!(serde_json::to_string(&rows.rows).unwrap().len() <= Caps::BYTES);
    database.becomes_idle().await;
}

#[tokio::test]
async fn a_row_that_would_fill_the_memory_is_refused() {
    let database = Database::new("").await;
    let error = database.run("select repeat('x', 200 << 20)").await.unwrap_err();
    assert!(matches!(error, EngineError::TooLarge(_)), "{error:?}");
    assert_eq!(database.run("select 1").await.unwrap().rows, [[json!(1)]]);
}

/// Counts without end.
const ENDLESS: &str = "with recursive n(i) as (select 1 union all select i + 1 - 1 from n) select count(*) from n";

#[tokio::test]
async fn a_cell_of_a_gigabyte_is_refused_before_the_deadline_however_it_is_made() {
    let database = Database::new("").await;
    for huge in [
        "select repeat('x', 200 << 20)",
        "select repeat('x', (1 << 30) - 100)",
        "select repeat('x', (1 << 30) + 100)",
        "select array_agg(repeat('x', 1 << 20)) from generate_series(1, 300)",
        "select string_agg(repeat('x', 1 << 20), '') from generate_series(1, 2000)",
        "select convert_to(repeat('x', 600 << 20), 'utf8')",
    ] {
        let error = database.run(huge).await.unwrap_err();
        assert!(matches!(error, EngineError::TooLarge(_)), "{huge}: {error:?}");
    }
    database.becomes_idle().await;
    assert_eq!(database.run("select 1").await.unwrap().rows, [[json!(1)]]);
}

#[tokio::test]
async fn a_billion_rows_take_no_more_memory_than_the_caps() {
    let database = Database::new("").await;
    let before = resident_bytes();
    let endless = "select generate_series(1, 1000000000), repeat('x', 20000)";
    let began = Instant::now();
    for rows in futures::future::join_all((0..SESSIONS).map(|_| database.run(endless))).await {
        let rows = rows.unwrap();
        assert!(rows.truncated && rows.row_count > 100);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // Tests beside this one hold some of it too.
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 512 << 20, "{} MiB", grown >> 20);
    database.becomes_idle().await;
}

fn resident_bytes() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn a_statement_ends_at_its_deadline_and_the_session_lives_on() {
    let database = Database::new("").await;
    let caps = Caps { deadline: Duration::from_millis(400), ..Caps::default() };
    for slow in [ENDLESS, "select pg_sleep(60)", "select count(*) from generate_series(1, 1e12)"] {
        let began = Instant::now();
        let error = database.engine.run_text(slow, &caps).await.unwrap_err();
        assert_eq!(error, EngineError::Timeout(caps.deadline), "{slow}");
        assert!(began.elapsed() < caps.deadline * 2, "{slow} took {:?}", began.elapsed());
    }
    database.becomes_idle().await;
    assert_eq!(database.run("select 1").await.unwrap().rows, [[json!(1)]]);
}

#[tokio::test]
async fn dropping_the_future_stops_the_statement_in_the_server() {
    let database = Database::new("").await;
    let caps = Caps::default();
    let ran = timeout(Duration::from_millis(300), database.engine.run_text("select pg_sleep(30)", &caps)).await;
    assert!(ran.is_err());
    let began = Instant::now();
    database.becomes_idle().await;
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_backend_that_is_killed_is_told_and_the_next_statement_runs() {
    let database = Database::new("").await;
    let caps = Caps::default();
    let killer = async {
        database.wait_until("exists (select from others where state = 'active' and query like '%pg_sleep%')").await;
        database.execute("select pg_terminate_backend(pid) from others").await;
    };
    let (error, ()) = tokio::join!(database.engine.run_text("select pg_sleep(30)", &caps), killer);
    assert_eq!(error.unwrap_err(), EngineError::Vanished);
    assert_eq!(database.run("select 1").await.unwrap().rows, [[json!(1)]]);
}

/// Takes connections on, says `hello` if it is asked anything, and nothing more.
async fn mute(hello: &'static [u8]) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 8];
                client.read_exact(&mut request).await.unwrap();
                client.write_all(hello).await.unwrap();
                // Until the other side has had enough.
                tokio::io::copy(&mut client, &mut tokio::io::sink()).await
            });
        }
    });
    port
}

#[tokio::test]
async fn a_server_that_hangs_at_tls_at_startup_or_at_the_password_is_given_up() {
    let password_wanted = b"R\0\0\0\x08\0\0\0\x03";
    let ports = [mute(b"").await, mute(b"").await, mute(b"S").await, mute(b"N").await, mute(password_wanted).await];
    let modes = ["disable", "prefer", "require", "prefer", "disable"];
    let began = Instant::now();
    let access = Access::default();
    let refused = ports.iter().zip(modes).map(async |(port, mode)| {
        let url = format!("postgres://u:p@127.0.0.1:{port}/d?sslmode={mode}");
        Postgres::connect(&url, &access).await.err().unwrap()
    });
    for error in futures::future::join_all(refused).await {
        assert_eq!(error, EngineError::Unreachable("it did not answer in time".into()));
    }
    assert!(began.elapsed() < CONNECT + Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_pool_recovers_from_a_network_that_stood_still() {
    let database = Database::new("").await;
    let socket = database.server.postgres().socket_dir().join(".s.PGSQL.5432");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stands_still = Arc::new(AtomicBool::new(false));
    let still = Arc::clone(&stands_still);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            if still.load(Ordering::Relaxed) {
                held.push(client);
                continue;
            }
            let mut server = UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let url = format!("postgres://{SUPERUSER}@127.0.0.1:{port}/{}", database.name);
    let engine = Postgres::connect(&url, &Access::default()).await.unwrap();
    database.becomes_idle().await;
    stands_still.store(true, Ordering::Relaxed);
    database.execute("select pg_terminate_backend(pid) from others").await;
    let caps = Caps { deadline: Duration::from_millis(400), ..Caps::default() };
    for error in futures::future::join_all((0..2 * SESSIONS).map(|_| engine.run_text("select 1", &caps))).await {
        let error = error.unwrap_err();
        assert!(matches!(error, EngineError::Unreachable(_) | EngineError::Busy(_)), "{error:?}");
    }
    stands_still.store(false, Ordering::Relaxed);
    let patient = Caps::default();
    for rows in futures::future::join_all((0..2 * SESSIONS).map(|_| engine.run_text("select 1", &patient))).await {
        assert_eq!(rows.unwrap().rows, [[json!(1)]]);
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_in_a_database_without_an_encoding_are_a_clear_answer() {
    let database = Database::new("").await;
    let name = format!("{}_ascii", database.name);
    let create = format!("create database {name} encoding 'SQL_ASCII' locale 'C' template template0");
    execute(&database.server, "postgres", &create).await;
    let setup = "create table t (id int, a text); insert into t values (1, 'plain'), (2, E'caf\\xe9')";
    execute(&database.server, &name, setup).await;
    let engine =
        Postgres::connect(&database.server.postgres().url(SUPERUSER, &name), &Access::default()).await.unwrap();
    let schema = engine.introspect(&Samples::all()).await.unwrap();
    assert_eq!(schema.tables[0].columns.len(), 2);
    let plain = engine.run_text("select a from t where id = 1", &Caps::default()).await.unwrap();
    assert_eq!(plain.rows, [[json!("plain")]]);
    let error = engine.run_text("select a from t", &Caps::default()).await.unwrap_err();
    assert_eq!(error, EngineError::rejected("invalid byte sequence for encoding "));
}

#[tokio::test]
async fn an_idle_session_that_the_server_closed_is_no_reason_to_fail() {
    let database = Database::new("").await;
    database.run("select 1").await.unwrap();
    database.becomes_idle().await;
    database.execute("select pg_terminate_backend(pid) from others").await;
    assert_eq!(database.run("select 1").await.unwrap().rows, [[json!(1)]]);
}

#[tokio::test]
async fn nothing_is_written_even_by_a_superuser_and_past_the_guard() {
    let database = Database::new("create table t (a int); insert into t values (1); create sequence s").await;
    let writes = [
        "insert into t values (2)",
        "update t set a = 2",
        "delete from t",
        "truncate t",
        "drop table t",
        "create table u as select 1",
        "select 1 into u",
        "with w as (insert into t values (2) returning a) select * from w",
        "with w as (delete from t returning a) select * from w",
        "select nextval('s')",
        "select * from t for update",
        "copy t from program 'true'",
        "select 1; drop table t",
        "select 1; commit; drop table t",
        "commit; drop table t",
        "set transaction read write",
        "select set_config('transaction_read_only', 'off', true)",
        "call p()",
        "do $$ begin drop table t; end $$",
        "vacuum",
    ];
    for write in writes {
        let error = database.run(write).await.expect_err(write);
        assert!(matches!(error, EngineError::Rejected { .. }), "{write}: {error:?}");
    }
    assert_eq!(database.run("select a from t").await.unwrap().rows, [[json!(1)]]);
    assert_eq!(database.run("select to_regclass('u')::text").await.unwrap().rows, [[Value::Null]]);
}

#[tokio::test]
async fn one_statement_never_sees_what_another_left_in_the_session() {
    let database = Database::new("").await;
    let leave = [
        "select set_config('app.tenant', 'other', false)",
        "select set_config('statement_timeout', '0', false)",
        "select set_config('search_path', 'pg_catalog', false)",
        "select pg_advisory_lock(7)",
        "listen news",
        "prepare p as select 1",
        "declare c cursor with hold for select 1",
        "create temporary table left_over (a int)",
    ];
    for statement in leave {
        let _ = database.run(statement).await;
        database.becomes_idle().await;
        let session = "select coalesce(current_setting('app.tenant', true), ''), current_setting('search_path'),
                              current_setting('statement_timeout'), current_setting('transaction_read_only'),
                              (select count(*) from pg_locks where locktype = 'advisory')::int4,
                              (select count(*) from pg_listening_channels())::int4,
                              (select count(*) from pg_prepared_statements where from_sql)::int4,
                              (select count(*) from pg_cursors)::int4, to_regclass('left_over') is null";
        let seen = database.run(session).await.unwrap();
        let clean = json!([["", "pg_catalog, public, pg_temp", "30s", "on", 0, 0, 0, 0, true]]);
        assert_eq!(json!(seen.rows), clean, "{statement}");
    }
}

#[tokio::test]
async fn settings_of_the_role_do_not_change_how_a_statement_is_read_or_written() {
    let database = Database::new("").await;
    for setting in [
        "standard_conforming_strings = off",
        "intervalstyle = 'postgres_verbose'",
        "bytea_output = 'escape'",
        "datestyle = 'German'",
        "timezone = 'Asia/Tokyo'",
        "extra_float_digits = -5",
    ] {
        database.execute(&format!("alter role {SUPERUSER} in database {} set {setting}", database.name)).await;
    }
    let engine = database.connect().await;
    let rows = engine
        .run_text(r"select '\', interval '1 day', '\x00'::bytea, date '2024-02-29', now() at time zone 'UTC' = now()::timestamp, 0.1::float8 + 0.2", &Caps::default())
        .await
        .unwrap();
    assert_eq!(json!(rows.rows), json!([["\\", "P1D", "AA==", "2024-02-29", true, 0.300_000_000_000_000_04]]));
}

#[tokio::test]
async fn an_error_over_a_value_does_not_tell_the_value() {
    let database = Database::new("create table t (a text); insert into t values ('secret-value')").await;
    let error = database.run("select a::int from t").await.unwrap_err();
    assert_eq!(error, EngineError::rejected("invalid input syntax for type integer"));
    let error = database.run("select b from t").await.unwrap_err();
    assert_eq!(error, EngineError::rejected("column \"b\" does not exist"));
}

#[tokio::test]
async fn more_statements_than_sessions_wait_for_their_turn() {
    let database = Database::new("").await;
    let statements = (0..3 * SESSIONS).map(|_| database.run("select 1 from pg_sleep(0.05)"));
    for rows in futures::future::join_all(statements).await {
        assert_eq!(rows.unwrap().row_count, 1);
    }
    let caps = Caps { deadline: Duration::from_millis(300), ..Caps::default() };
    let hogs = (0..SESSIONS).map(|_| database.run("select 1 from pg_sleep(1)"));
    let late = async {
        database.wait_until(&format!("(select count(*) from others where state = 'active') = {SESSIONS}")).await;
        database.engine.run_text("select 1", &caps).await
    };
    let (_, late) = tokio::join!(futures::future::join_all(hogs), late);
    assert!(matches!(late, Err(EngineError::Busy(_))), "{late:?}");
}

#[tokio::test]
async fn a_closed_engine_holds_no_connection() {
    let database = Database::new("").await;
    database.run("select 1").await.unwrap();
    database.engine.close().await;
    database.wait_until("not exists (select from others)").await;
    assert!(database.run("select 1").await.is_err());
}

#[tokio::test]
async fn what_is_wrong_with_a_connection_is_told_by_what_mends_it() {
    let database = Database::new("").await;
    let refusal = async |user: &str, name: &str| {
        let url = database.server.postgres().url(user, name);
        Postgres::connect(&url, &Access::default()).await.err().unwrap()
    };
    assert_eq!(refusal("nobody_here", &database.name).await, EngineError::Authentication);
    assert!(matches!(refusal(SUPERUSER, "no_such_database").await, EngineError::InvalidUrl(_)));
    let closed = Postgres::connect("postgres://u:p@127.0.0.1:1/d", &Access::default()).await.err().unwrap();
    assert_eq!(closed, EngineError::Unreachable("connection refused".into()));
}

#[test]
fn urls_cannot_read_files_or_change_the_session() {
    for parameter in [
        "sslkey=/etc/shadow",
        "sslcert=/a",
        "sslrootcert=/a",
        "options=-c%20a=b",
        "options[a]=b",
        "hostaddr=1.2.3.4",
        "passfile=/a",
        "service=x",
        "statement-cache-capacity=1",
        "sslmode=nonsense",
        "port=x",
    ] {
        let parsed = Target::parse(&format!("postgres://u:secret@h/d?{parameter}"));
        let Err(EngineError::InvalidUrl(message)) = parsed else { panic!("{parameter} must be refused") };
        assert!(!message.contains("secret") && !message.contains("/etc"), "{message}");
    }
    for incomplete in [
        "postgres://h/d",
        "postgres://u@/d",
        "postgres://u:p@",
        "postgres://u@?host=h",
        "postgres://u@h",
        "postgres:///d?user=u",
    ] {
        assert!(Target::parse(incomplete).is_err(), "{incomplete}");
    }
}

#[test]
fn a_url_is_read_with_its_escapes() {
    let target = Target::parse("postgresql://a%40b:p%2Fw%3A@db.example:6543/my%20db?sslmode=verify-full").unwrap();
    assert_eq!(
        (target.user.as_str(), target.password.expose_secret(), target.database.as_str()),
        ("a@b", "p/w:", "my db")
    );
    assert!(matches!(target.place, Place::Host { host, port: 6543 } if host == "db.example"));
    assert!(matches!(target.tls, PgSslMode::VerifyFull));
    for socket in ["postgres://u@%2Frun%2Fpg/d", "postgres://u@/d?host=/run/pg", "postgres:///d?user=u&host=/run/pg"] {
        let target = Target::parse(socket).unwrap();
        assert!(matches!(target.place, Place::Socket { dir, port: 5432 } if dir.as_os_str() == "/run/pg"), "{socket}");
    }
}

#[tokio::test]
async fn our_own_server_is_refused_by_its_socket() {
    let database = Database::new("").await;
    let socket = database.server.postgres().socket_dir().join(".s.PGSQL.5432");
    let own =
        Access { own_postgres: vec![crate::text_to_sql::engine::OwnPostgres::Socket(socket)], ..Access::default() };
    let refused = Postgres::connect(&database.url(), &own).await.err().unwrap();
    assert!(matches!(refused, EngineError::NotAllowed(_)), "{refused:?}");
}

#[tokio::test]
async fn a_server_is_reached_over_the_network_by_name() {
    let database = Database::new("").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let socket = database.server.postgres().socket_dir().join(".s.PGSQL.5432");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let url = format!("postgres://{SUPERUSER}@localhost:{port}/{}", database.name);
    let engine = Postgres::connect(&url, &Access::default()).await.unwrap();
    let rows = engine.run_text("select current_database()", &Caps::default()).await.unwrap();
    assert_eq!(rows.rows, [[json!(database.name)]]);

    let elsewhere = Access { database_hosts: vec!["10.0.0.0/8".parse().unwrap()], ..Access::default() };
    assert!(matches!(Postgres::connect(&url, &elsewhere).await.err().unwrap(), EngineError::NotAllowed(_)));
}

/// A server that wants TLS sees the name from the URL, although the driver was handed a socket of ours.
#[tokio::test]
async fn tls_is_asked_for_by_the_name_in_the_url() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://u:p@localhost:{}/d?sslmode=verify-full", listener.local_addr().unwrap().port());
    let hello = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut request = [0; 8];
        client.read_exact(&mut request).await.unwrap();
        client.write_all(b"S").await.unwrap();
        let mut hello = vec![0; 2048];
        let read = client.read(&mut hello).await.unwrap();
        hello.truncate(read);
        hello
    });
    let refused = Postgres::connect(&url, &Access::default()).await.err().unwrap();
    assert!(matches!(refused, EngineError::Unreachable(_)), "{refused:?}");
    let hello = hello.await.unwrap();
    assert!(hello.windows(9).any(|bytes| bytes == b"localhost"), "no server name in {hello:?}");
}

/// Greets as PostgreSQL does, then answers with a row that is shorter than it says.
#[tokio::test]
async fn a_server_that_lies_is_an_error_and_no_panic() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://u:p@127.0.0.1:{}/d?sslmode=disable", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut startup = [0; 1024];
        assert!(client.read(&mut startup).await.unwrap() > 0);
        client.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await.unwrap();
        assert!(client.read(&mut startup).await.unwrap() > 0);
        client.write_all(b"T\0\0\0\x06\0\x01D\0\0\0\x05\x7f").await.unwrap();
        let _ = client.read(&mut startup).await;
    });
    let error = Postgres::connect(&url, &Access::default()).await.err().unwrap();
    assert!(matches!(error, EngineError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn an_estimate_tells_rows_and_cost_and_runs_nothing() {
    let database = Database::new(
        "create table t as select n as a from generate_series(1, 1000) n; analyze t;
         create function boom() returns int language plpgsql volatile as $$ begin raise 'it ran'; end $$",
    )
    .await;
    let estimate = async |sql: &str| database.engine.estimate_text(sql, Duration::from_secs(5)).await;
    let whole = estimate("select count(*) from public.t").await.unwrap().unwrap();
    assert_eq!(whole.rows, 1000.0);
    let product = estimate("select count(*) from public.t a, public.t b, public.t c").await.unwrap().unwrap();
    assert_eq!(product.rows, 1e9);
    assert!(product.cost > whole.cost && whole.cost > Some(0.0));
    let deep = (0..100).fold("select a from public.t".to_owned(), |sql, _| format!("select a from ({sql} limit 5) q"));
    assert_eq!(estimate(&deep).await.unwrap().map(|deep| deep.rows), Some(1000.0));

    let ran = database.run("select public.boom()").await.unwrap_err();
    assert_eq!(ran, EngineError::rejected("it ran"));
    for unrun in [
        "select public.boom()",
        "select a from public.t where a = public.boom()",
        "select pg_sleep(60)",
        "with w as (insert into public.t values (0) returning a) select a from w",
        "with w as (delete from public.t returning a) select a from w",
    ] {
        assert!(estimate(unrun).await.unwrap().is_some(), "{unrun}");
    }
    for refused in ["select 1; drop table t", "analyze select 1", "select no_such_column from public.t", ""] {
        assert!(matches!(estimate(refused).await, Err(EngineError::Rejected { .. })), "{refused}");
    }
    assert_eq!(database.run("select count(*) from t").await.unwrap().rows, [[json!(1000)]]);
}

/// One server for the tests that run at a time.
struct Server {
    postgres: Option<EmbeddedPostgres>,
    root: PathBuf,
}

impl Server {
    fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    fn start() -> Self {
        let install = Install::find(env::var_os("ALMANAC_POSTGRES_DIR").map(PathBuf::from).as_deref()).unwrap();
        let root = env::temp_dir().join(format!("almanac-engines-{}", Uuid::now_v7().simple()));
        let postgres = EmbeddedPostgres::start_without_fsync(&install, &root).unwrap();
        Self { postgres: Some(postgres), root }
    }

    fn postgres(&self) -> &EmbeddedPostgres {
        self.postgres.as_ref().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.postgres.take());
        fs::remove_dir_all(&self.root).unwrap();
    }
}

/// A database of its own for a test, and an engine on it as superuser.
struct Database {
    server: Arc<Server>,
    name: String,
    engine: Postgres,
}

impl Database {
    async fn new(setup: &str) -> Self {
        let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
        let name = format!("t_{}", Uuid::now_v7().simple());
        execute(&server, "postgres", &format!("create database {name}")).await;
        execute(&server, &name, "create view others as select * from pg_stat_activity where application_name = 'almanac' and datname = current_database()").await;
        execute(&server, &name, setup).await;
        execute(&server, &name, "alter view others set schema pg_catalog").await;
        let engine = Postgres::connect(&server.postgres().url(SUPERUSER, &name), &Access::default()).await.unwrap();
        Self { server, name, engine }
    }

    fn url(&self) -> String {
        self.server.postgres().url(SUPERUSER, &self.name)
    }

    async fn connect(&self) -> Postgres {
        Postgres::connect(&self.url(), &Access::default()).await.unwrap()
    }

    async fn run(&self, sql: &str) -> Result<Rows, EngineError> {
        self.engine.run_text(sql, &Caps::default()).await
    }

    /// As somebody else, unbound by the engine.
    async fn execute(&self, sql: &str) {
        execute(&self.server, &self.name, sql).await;
    }

    async fn becomes_idle(&self) {
        self.wait_until("not exists (select from others where state <> 'idle')").await;
    }

    async fn wait_until(&self, condition: &str) {
        let mut connection = connection(&self.server, &self.name).await;
        let began = Instant::now();
        let statement = format!("select {condition}");
        while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(statement.clone())).fetch_one(&mut connection).await.unwrap()
        {
            assert!(began.elapsed() < Duration::from_secs(20), "never: {condition}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn execute(server: &Server, database: &str, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection(server, database).await).await.unwrap();
}

async fn connection(server: &Server, database: &str) -> PgConnection {
    PgConnection::connect(&server.postgres().url(SUPERUSER, database)).await.unwrap()
}
