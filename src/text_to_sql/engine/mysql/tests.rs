//! On a real server, as an administrator and with statements that no guard would let through: what must hold even then.
//! What is reached through the public face is tested in `tests/it`.

use std::time::Instant;

use serde_json::{Value, json};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Row};
use tokio::net::TcpListener;

use self::mariadb::{ADMIN, Mariadb};
use super::*;
use crate::text_to_sql::engine::sessions::SESSIONS;

#[path = "../../../../tests/it/mariadb.rs"]
mod mariadb;

#[tokio::test]
async fn every_type_becomes_json_by_the_stated_rule() {
    let database = Database::new(
        "create table t (
             a tinyint, b tinyint unsigned, c bool, d smallint, e mediumint, f int unsigned, g bigint, h bigint unsigned,
             i decimal(10, 2), j decimal(40, 20), k float, l double, m bit(5), n year,
             o date, p datetime(6), q timestamp(3) null, r time(1), s char(4), t varchar(20) collate utf8mb4_bin,
             u text character set latin1, v binary(4), w varbinary(20), x blob, y enum('on', 'off'), z set('a', 'b'),
             aa json, ab point, ac uuid, ad inet6, ae longtext, af date);
         set sql_mode = '', time_zone = '+00:00';
         insert into t values (-128, 255, true, -32768, -8388608, 4294967295, 9007199254740993, 18446744073709551615,
             12.50, '0.33333333333333333333', 0.1, 1e300, b'10101', 2024,
             '2024-02-29', '2024-02-29 10:30:00.5', '2024-02-29 10:30:00.25', '-838:59:58.5', 'ab', 'naïve',
             'é', x'dead', x'beef', x'deadbeef', 'off', 'a,b',
             '{\"a\": [1, null]}', point(1, 2), 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::1', 'long', '0000-00-00')",
    )
    .await;
    let matrix = [
        ("a", "tinyint", json!(-128)),
        ("b", "tinyint unsigned", json!(255)),
        ("c", "tinyint", json!(1)),
        ("d", "smallint", json!(-32768)),
        ("e", "mediumint", json!(-8_388_608)),
        ("f", "int unsigned", json!(4_294_967_295_u32)),
        ("g", "bigint", json!("9007199254740993")),
        ("h", "bigint unsigned", json!("18446744073709551615")),
        ("i", "decimal", json!(12.5)),
        ("j", "decimal", json!("0.33333333333333333333")),
        ("k", "float", json!(0.1)),
        ("l", "double", json!(1e300)),
        ("m", "bit", json!(21)),
        ("n", "year", json!(2024)),
        ("o", "date", json!("2024-02-29")),
        ("p", "datetime", json!("2024-02-29T10:30:00.5")),
        ("q", "timestamp", json!("2024-02-29T10:30:00.25Z")),
        ("r", "time", json!("-838:59:58.5")),
        ("s", "char", json!("ab")),
        ("t", "varchar", json!("naïve")),
        ("u", "text", json!("é")),
        ("v", "binary", json!("3q0AAA==")),
        ("w", "varbinary", json!("vu8=")),
        ("x", "blob", json!("3q2+7w==")),
        ("y", "enum", json!("off")),
        ("z", "char", json!("a,b")),
        ("aa", "text", json!("{\"a\": [1, null]}")),
        ("ab", "geometry", json!("AAAAAAEBAAAAAAAAAAAA8D8AAAAAAAAAQA==")),
        ("ac", "char", json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("ad", "char", json!("::1")),
        ("ae", "text", json!("long")),
        ("af", "date", json!("0000-00-00")),
        ("null", "null", Value::Null),
        ("a + null", "double", Value::Null),
        ("1 / 0", "decimal", Value::Null),
        ("now() = utc_timestamp()", "int", json!(1)),
        ("'a' || 'b'", "int", json!(0)),
        ("\"x\"", "varchar", json!("x")),
        (r"'a\'b'", "varchar", json!("a'b")),
        ("'😀'", "varchar", json!("😀")),
    ];
    for (expression, type_name, expected) in matrix {
        let rows = database.run(&format!("select {expression} as v from t")).await.unwrap();
        assert_eq!(rows.rows, [[expected]], "{expression}");
        assert_eq!(rows.columns[0].type_name, type_name, "{expression}");
    }
}

#[tokio::test]
async fn an_empty_result_still_has_its_columns() {
    let rows = Database::new("").await.run("select 1 as a, 'x' as b, 2 as a from dual where false").await.unwrap();
    let names: Vec<&str> = rows.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "a"]);
    assert!(rows.rows.is_empty() && !rows.truncated);
}

#[tokio::test]
async fn a_result_of_a_billion_rows_ends_at_its_rows_and_nothing_runs_on() {
    let database = Database::new("").await;
    let caps = Caps { rows: 10, ..Caps::default() };
    let rows = database.engine.run_text("select seq from seq_1_to_1000000000", &caps).await.unwrap();
    assert_eq!((rows.row_count, rows.truncated), (10, true));
    database.becomes_idle().await;
    let exact = database.engine.run_text("select seq from seq_1_to_10", &caps).await.unwrap();
    assert_eq!((exact.row_count, exact.truncated), (10, false));
}

#[tokio::test]
async fn a_result_ends_at_its_bytes() {
    let database = Database::new("").await;
    let rows = database.run("select repeat('x', 60000) from seq_1_to_100000").await.unwrap();
    assert!(rows.truncated && rows.row_count > 100);
    assert!(serde_json::to_string(&rows.rows).unwrap().len() <= Caps::BYTES);
    database.becomes_idle().await;
}

#[tokio::test]
async fn a_cell_that_would_fill_the_memory_is_refused() {
    let database = Database::new("").await;
    for sql in ["select repeat('x', 100 << 20)", "select repeat('x', 1 << 30)"] {
        let error = database.run(sql).await;
        assert!(matches!(error, Err(EngineError::TooLarge(_))), "{sql}: {:?}", error.map(|rows| rows.row_count));
    }
    assert_eq!(database.run("select 1").await.unwrap().rows, [[json!(1)]]);
}

#[tokio::test]
async fn a_statement_ends_at_its_deadline() {
    let database = Database::new("").await;
    let caps = Caps { deadline: Duration::from_millis(400), ..Caps::default() };
    for slow in [
        "select sleep(60)",
        "select count(*) from seq_1_to_100000000000 where md5(seq) = 'x'",
        "with recursive n(i) as (select 1 union all select i + 1 - 1 from n) select count(*) from n",
    ] {
        let began = Instant::now();
        let error = database.engine.run_text(slow, &caps).await.unwrap_err();
        assert_eq!(error, EngineError::Timeout(caps.deadline), "{slow}");
        assert!(began.elapsed() < caps.deadline * 3, "{slow} took {:?}", began.elapsed());
    }
    database.becomes_idle().await;
    assert_eq!(database.run("select 1").await.unwrap().rows, [[json!(1)]]);
}

#[tokio::test]
async fn dropping_the_future_stops_the_statement_in_the_server() {
    let database = Database::new("").await;
    let caps = Caps::default();
    let running = async {
        database.wait_until("exists (select * from information_schema.processlist where db = database() and info like '%sleep(30)%' and id <> connection_id())").await;
    };
    tokio::select! {
        done = database.engine.run_text("select sleep(30)", &caps) => panic!("{done:?}"),
        () = running => (),
    }
    let began = Instant::now();
    database.becomes_idle().await;
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_connection_that_is_killed_is_told_and_the_next_statement_runs() {
    let database = Database::new("").await;
    let caps = Caps::default();
    let killer = async {
        database.wait_until("exists (select * from information_schema.processlist where db = database() and info like '%sleep(30)%' and id <> connection_id())").await;
        database.kill_all().await;
    };
    let (error, ()) = tokio::join!(database.engine.run_text("select sleep(30)", &caps), killer);
    assert_eq!(error.unwrap_err(), EngineError::Vanished);
    assert_eq!(database.run("select 1").await.unwrap().rows, [[json!(1)]]);
}

#[tokio::test]
async fn an_idle_session_that_the_server_closed_is_no_reason_to_fail() {
    let database = Database::new("").await;
    database.run("select 1").await.unwrap();
    database.becomes_idle().await;
    database.kill_all().await;
    assert_eq!(database.run("select 1").await.unwrap().rows, [[json!(1)]]);
}

#[tokio::test]
async fn a_server_that_dies_while_it_answers_is_told() {
    let server = tokio::task::spawn_blocking(Mariadb::start).await.unwrap();
    let name = server.new_database("").await;
    let engine = Mysql::connect(&server.url(ADMIN, &name, ""), &Access::default()).await.unwrap();
    let caps = Caps { rows: usize::MAX, bytes: usize::MAX, ..Caps::default() };
    let died = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::task::spawn_blocking(|| drop(server)).await.unwrap();
    };
    let (error, ()) = tokio::join!(engine.run_text("select seq, sleep(0.01) from seq_1_to_1000000", &caps), died);
    assert_eq!(error.map(|rows| rows.row_count), Err(EngineError::Vanished));
    let error = engine.run_text("select 1", &caps).await.unwrap_err();
    assert!(matches!(error, EngineError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn nothing_is_written_even_by_an_administrator_and_past_the_guard() {
    let database = Database::new(
        "create table t (a int); insert into t values (1); create sequence s;
         create function f() returns int begin insert into t values (2); return 1; end;
         create procedure p() begin insert into t values (2); select 1; end",
    )
    .await;
    let before =
        database.admin_value("select concat((select count(*) from mysql.global_priv), @@global.max_connections)");
    let before = before.await;
    for write in [
        "insert into t values (2)",
        "insert into t values (2) returning a",
        "replace into t values (2) returning a",
        "update t set a = 2",
        "delete from t",
        "delete from t returning a",
        "truncate t",
        "drop table t",
        "alter table t add b int",
        "create table u as select 1",
        "create temporary table u (a int)",
        "select 1 into @x",
        "select 'x' into outfile '/tmp/almanac-must-not-exist'",
        "select 'x' into dumpfile '/tmp/almanac-must-not-exist'",
        "select nextval(s)",
        "select next value for s",
        "select f()",
        "call p()",
        "do f()",
        "select 1; drop table t",
        "commit; drop table t",
        "commit",
        "start transaction read write",
        "set transaction read write",
        "set session transaction read write",
        "set global max_connections = 7",
        "set @a = 1",
        "create user x_almanac identified by 'x'",
        "grant all privileges on *.* to x_almanac",
        "flush tables",
        "lock tables t write",
        "handler t open",
        "kill 1",
        "shutdown",
        "install soname 'x'",
        "load data infile '/etc/passwd' into table t",
        "load data local infile '/etc/passwd' into table t",
        "begin not atomic insert into t values (2); end",
        "execute immediate 'drop table t'",
        "prepare x from 'drop table t'",
        "analyze table t",
        "optimize table t",
        "show tables",
        "explain select 1",
        "select ? from t",
        "select * from t where a = ?",
    ] {
        let error = database.run(write).await.map(|rows| rows.rows).expect_err(write);
        assert!(matches!(error, EngineError::Rejected { .. }), "{write}: {error:?}");
    }
    assert_eq!(database.run("select a from t").await.unwrap().rows, [[json!(1)]]);
    assert_eq!(
        database
            .run("select count(*) from information_schema.tables where table_name = 'u' and table_schema = database()")
            .await
            .unwrap()
            .rows,
        [[json!(0)]]
    );
    let after =
        database.admin_value("select concat((select count(*) from mysql.global_priv), @@global.max_connections)");
    assert_eq!(after.await, before);
    assert!(!std::path::Path::new("/tmp/almanac-must-not-exist").exists());
}

#[tokio::test]
async fn one_statement_never_sees_what_another_left_in_the_session() {
    let database = Database::new("").await;
    for statement in
        ["select @tenant := 'other'", "select get_lock('almanac', 0)", "select last_insert_id(42)", "show tables"]
    {
        let _ = database.run(statement).await;
        // The server lets go of a lock when it has noticed that the connection is closed.
        database.wait_until("is_used_lock('almanac') is null").await;
        let session =
            "select @tenant, is_used_lock('almanac'), last_insert_id(), @@sql_mode, @@autocommit, @@time_zone,
                              @@character_set_client, @@character_set_results, @@max_statement_time, @@tx_read_only";
        let seen = database.run(session).await.unwrap();
        let clean = json!([[null, null, 0, "NO_ENGINE_SUBSTITUTION", 1, "+00:00", "utf8mb4", "utf8mb4", 30.0, 1]]);
        assert_eq!(json!(seen.rows), clean, "{statement}");
    }
}

/// Past the way of prepared statements too: what is set in a session ends with its use.
#[tokio::test]
async fn a_session_is_used_once() {
    let database = Database::new("").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut busy = database.engine.sessions.begin(CONNECT).await.unwrap();
        let connection = &mut busy.session().connection;
        let changes = "set sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT', @a = 1; create temporary table left_over (a int)";
        let _ = sqlx::raw_sql(changes).execute(connection).await;
        busy.finish();
        let seen = database.run("select connection_id(), @@sql_mode, @a").await.unwrap().rows.remove(0);
        assert_eq!(seen[1..], [json!("NO_ENGINE_SUBSTITUTION"), Value::Null]);
        assert!(!ids.contains(&seen[0]));
        ids.push(seen[0].clone());
        assert!(database.run("select * from left_over").await.is_err());
    }
}

/// The login's own first statements, as `init_connect` would set them for everybody without SUPER.
#[tokio::test]
async fn a_session_is_the_same_whatever_the_server_is_set_to() {
    let server = tokio::task::spawn_blocking(Mariadb::start).await.unwrap();
    let name = server
        .new_database("create table t (a int, b int); create user u identified by 'p'; grant select on *.* to u")
        .await;
    let mut admin = server.admin(&name).await;
    let hostile = "set global sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,ONLY_FULL_GROUP_BY', global time_zone = '+09:00',
        global sql_select_limit = 1, global tx_isolation = 'SERIALIZABLE', global autocommit = 0,
        global character_set_server = latin1, global max_session_mem_used = 8388608, global init_connect = 'set sql_mode = ORACLE, names latin1'";
    sqlx::raw_sql(hostile).execute(&mut admin).await.unwrap();
    let engine = Mysql::connect(&server.url("u:p", &name, ""), &Access::default()).await.unwrap();
    let rows = engine
        .run_text(r#"select "x", 'a\'b', 1 || 0, @@sql_mode, timediff(now(), utc_timestamp()) + 0, 'é', @@tx_isolation from seq_1_to_2"#, &Caps::default())
        .await
        .unwrap();
    let mode = "ONLY_FULL_GROUP_BY,NO_ENGINE_SUBSTITUTION";
    let row = json!(["x", "a'b", 1, mode, 0, "é", "REPEATABLE-READ"]);
    assert_eq!(json!(rows.rows), json!([row, row]));
    let ungrouped = engine.run_text("select a, count(*) from t group by b", &Caps::default()).await;
    assert!(matches!(ungrouped, Err(EngineError::Rejected { .. })), "{ungrouped:?}");
    let hungry = "select md5(seq), count(*) from seq_1_to_300000 group by md5(seq) order by 2 limit 3";
    let error = engine.run_text(hungry, &Caps::default()).await.unwrap_err();
    assert_eq!(error, EngineError::TooLarge("it ran into the limit of a session's memory".into()));
}

#[tokio::test]
async fn a_statement_has_its_share_of_the_server_and_no_more() {
    let database = Database::new("").await;
    let bounds =
        "select @@tmp_disk_table_size, @@max_session_mem_used, @@tmp_table_size <= 64 << 20, @@group_concat_max_len";
    assert_eq!(json!(database.run(bounds).await.unwrap().rows), json!([[4_u64 << 30, 256 << 20, 1, 1 << 20]]));
}

#[tokio::test]
async fn an_error_over_a_value_does_not_tell_the_value() {
    let database = Database::new("create table t (a text); insert into t values ('secret-value')").await;
    for sql in ["select extractvalue(1, concat('~', a)) from t", "select updatexml(1, concat('~', a), 1) from t"] {
        let error = database.run(sql).await.unwrap_err();
        assert!(matches!(error, EngineError::Rejected { .. }) && !error.to_string().contains("secret"), "{error:?}");
    }
    let error = database.run("select b from t").await.unwrap_err();
    assert_eq!(error, EngineError::rejected("Unknown column 'b' in 'SELECT'"));
}

#[tokio::test]
async fn more_statements_than_sessions_wait_for_their_turn() {
    let database = Database::new("").await;
    let statements = (0..3 * SESSIONS).map(|_| database.run("select sleep(0.05)"));
    for rows in futures::future::join_all(statements).await {
        assert_eq!(rows.unwrap().row_count, 1);
    }
    let caps = Caps { deadline: Duration::from_millis(300), ..Caps::default() };
    let hogs = (0..SESSIONS).map(|_| database.run("select sleep(1)"));
    let late = async {
        database.wait_until(&format!("(select count(*) from information_schema.processlist where db = database() and info like '%sleep(1)%' and id <> connection_id()) = {SESSIONS}")).await;
        database.engine.run_text("select 1", &caps).await
    };
    let (_, late) = tokio::join!(futures::future::join_all(hogs), late);
    assert!(matches!(late, Err(EngineError::Busy(_))), "{late:?}");
}

#[tokio::test]
async fn a_locked_table_is_busy() {
    let database = Database::new("create table t (a int)").await;
    let mut admin = database.admin().await;
    sqlx::raw_sql("lock tables t write").execute(&mut admin).await.unwrap();
    let error = database.run("select a from t").await.unwrap_err();
    assert!(matches!(error, EngineError::Busy(_)), "{error:?}");
}

#[tokio::test]
async fn a_closed_engine_holds_no_connection() {
    let database = Database::new("").await;
    database.run("select 1").await.unwrap();
    database.engine.close().await;
    database
        .wait_until(
            "not exists (select * from information_schema.processlist where db = database() and id <> connection_id())",
        )
        .await;
    assert!(database.run("select 1").await.is_err());
}

#[tokio::test]
async fn a_plan_tells_the_rows_that_are_looked_at() {
    let database = Database::new(
        "create table a (id int primary key); create table b (a int);
         insert into a select seq from seq_1_to_1000; insert into b select seq from seq_1_to_200; analyze table a, b",
    )
    .await;
    let estimate = async |sql: &str| database.engine.estimate_text(sql, CONNECT).await;
    assert_eq!(estimate("select * from a where id = 7").await.unwrap().unwrap().rows, 1.0);
    let product = estimate("select count(*) from a, b b1, b b2").await.unwrap().unwrap().rows;
    assert!((20e6..80e6).contains(&product), "{product}");
    let union = estimate("select id from a union select a from b").await.unwrap().unwrap().rows;
    assert!((800.0..1200.0).contains(&union), "{union}");
    assert!(matches!(estimate("select no_such from a").await, Err(EngineError::Rejected { .. })));
    assert!(matches!(estimate("select 1; drop table a").await, Err(EngineError::Rejected { .. })));
}

#[tokio::test]
async fn a_view_without_the_right_to_see_into_it_has_no_estimate_and_is_read_all_the_same() {
    let database =
        Database::new("create table a (id int); insert into a values (7); create view v as select id from a").await;
    let server = Mariadb::shared();
    let (name, login) = (&database.name, format!("reader_{}", database.name));
    let engine = async |rights: &str| {
        let make = format!("create or replace user {login} identified by 'p'; grant {rights} on `{name}`.v to {login}");
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut database.admin().await).await.unwrap();
        Mysql::connect(&server.url(&format!("{login}:p"), name, ""), &Access::default()).await.unwrap()
    };
    let sql = "select id from v";
    let blind = engine("select").await;
    assert_eq!(blind.estimate_text(sql, CONNECT).await, Ok(None));
    assert_eq!(blind.run_text(sql, &Caps::default()).await.unwrap().rows, [[json!(7)]]);
    sqlx::raw_sql(AssertSqlSafe(format!("drop user {login}"))).execute(&mut database.admin().await).await.unwrap();
}

#[tokio::test]
async fn a_plan_as_deep_as_tables_inside_of_each_other_make_it_is_refused() {
    let database = Database::new("create table a (id int); insert into a select seq from seq_1_to_100").await;
    let nested = |depth: usize| {
        let (open, close) = ("select * from (select * from (".repeat(depth), ") t limit 9) u".repeat(depth));
        format!("{open}select * from a limit 9{close}")
    };
    let estimate = async |sql: &str| database.engine.estimate_text(sql, CONNECT).await;
    assert!(matches!(estimate(&nested(2)).await, Ok(Some(_))));
    let deep = estimate(&nested(25)).await;
    assert!(matches!(deep, Err(EngineError::TooLarge(_))), "{deep:?}");
}

/// MariaDB writes a text into its plan as it stands in the statement, quotes and all.
#[tokio::test]
async fn a_text_in_a_statement_is_no_part_of_its_plan() {
    let database =
        Database::new("create table a (id int, s text); insert into a select seq, seq from seq_1_to_100").await;
    for condition in [r#"s = '"' and x.id > 1"#, r#"s = 'x", "rows": 1, "y": "'"#, r#"s = '"}, "z": {"y": "'"#] {
        let sql = format!("select * from a x join a y join a z where x.{condition}");
        let rows = database.engine.estimate_text(&sql, CONNECT).await.map(|read| read.map(|estimate| estimate.rows));
        assert!(matches!(rows, Ok(Some(rows)) if rows > 9e5), "{condition}: {rows:?}");
    }
}

#[tokio::test]
async fn a_role_that_is_granted_and_not_active_counts() {
    let database = Database::new("create table a (id int)").await;
    let (server, name, login) = (Mariadb::shared(), &database.name, format!("user_{}", database.name));
    let (outer, inner) = (format!("outer_{name}"), format!("inner_{name}"));
    let make = format!(
        "create role {outer}; create role {inner}; grant insert on {name}.* to {inner}; grant {inner} to {outer};
         create user {login} identified by 'p'; grant select on `{name}`.* to {login}; grant {outer} to {login}"
    );
    sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut database.admin().await).await.unwrap();
    let engine = Mysql::connect(&server.url(&format!("{login}:p"), name, ""), &Access::default()).await.unwrap();
    let found = engine.privileges().await.unwrap();
    let codes: Vec<_> = found.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [crate::text_to_sql::engine::WarningCode::Writes], "{found:?}");
    let drop = format!("drop user {login}; drop role {outer}, {inner}");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut database.admin().await).await.unwrap();
}

/// Greets as MySQL does, then answers with what is no packet.
#[tokio::test]
async fn a_server_that_lies_is_an_error_and_no_panic() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for lie in [&b"\x01\0\0\x02\xff"[..], b"\0\0\0\x02", b"\x02\0\0\x02\xfe\x01", b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mysql://u:p@127.0.0.1:{}/d?ssl-mode=disabled", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            client.write_all(b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0aaaaaaaa\0\xff\xff\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0aaaaaaaaaaaa\0mysql_native_password\0").await.unwrap();
            let mut answer = [0; 1024];
            assert!(client.read(&mut answer).await.unwrap() > 0);
            client.write_all(lie).await.unwrap();
            let _ = client.shutdown().await;
        });
        let error = Mysql::connect(&url, &Access::default()).await.err().unwrap();
        assert!(matches!(error, EngineError::Unreachable(_)), "{error:?}");
    }
}

/// A database of its own for a test, and an engine on it as an administrator.
struct Database {
    name: String,
    engine: Mysql,
}

impl Database {
    async fn new(setup: &str) -> Self {
        let server = tokio::task::spawn_blocking(Mariadb::shared).await.unwrap();
        let name = server.new_database(setup).await;
        let engine = Mysql::connect(&server.url(ADMIN, &name, ""), &Access::default()).await.unwrap();
        Self { name, engine }
    }

    async fn run(&self, sql: &str) -> Result<Rows, EngineError> {
        self.engine.run_text(sql, &Caps::default()).await
    }

    async fn admin(&self) -> MySqlConnection {
        Mariadb::shared().admin(&self.name).await
    }

    async fn admin_value(&self, sql: &str) -> String {
        let row = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.admin().await).await.unwrap();
        row.try_get_unchecked(0).unwrap()
    }

    async fn kill_all(&self) {
        let ids = self.admin_value("select group_concat(id) from information_schema.processlist where db = database() and id <> connection_id()").await;
        for id in ids.split(',') {
            let kill = AssertSqlSafe(format!("kill {id}"));
            // One may have ended by itself meanwhile.
            let _ = sqlx::raw_sql(kill).execute(&mut self.admin().await).await;
        }
    }

    async fn becomes_idle(&self) {
        self.wait_until("not exists (select * from information_schema.processlist where db = database() and command <> 'Sleep' and id <> connection_id())").await;
    }

    async fn wait_until(&self, condition: &str) {
        let mut admin = self.admin().await;
        let began = Instant::now();
        let statement = format!("select {condition}");
        let is_so = async |admin: &mut MySqlConnection| {
            let row = sqlx::raw_sql(AssertSqlSafe(statement.clone())).fetch_one(admin).await.unwrap();
            row.try_get_unchecked::<i64, _>(0).unwrap() == 1
        };
        while !is_so(&mut admin).await {
            assert!(began.elapsed() < Duration::from_secs(20), "never: {condition}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
