//! SQL Server as the engine speaks to it, against a strict fake: what is sent, in which order, what becomes of every
//! answer, and what happens when the server misbehaves. No test here runs on a real SQL Server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use almanac::text_to_sql::engine::{Access, EngineError, Estimate, SqlEngine, WarningCode, connect};
use almanac::text_to_sql::guard::{self, Policy, ReadOnlySql};
use almanac::text_to_sql::introspect::Samples;
use almanac::text_to_sql::run::{Caps, Rows};
use almanac::text_to_sql::schema::{Column, ColumnKind, Engine, Schema, Table, TableKind};
use serde_json::{Value, json};

use crate::fake_mssql::tokens::{Cell, Kind, columns, utf16};
use crate::fake_mssql::{DATABASE, Encryption, FakeMssql, Greeting, PASSWORD, Reply, Request, USER};
use crate::row;

async fn engine(fake: &FakeMssql) -> Arc<dyn SqlEngine> {
    let engine = connect(&fake.url().into(), &Access::default()).await.unwrap();
    fake.rested().await;
    engine
}

async fn refusal(url: String) -> EngineError {
    connect(&url.into(), &Access::default()).await.err().expect("this connection must fail")
}

/// A statement that the guard let through, which is what the server must be asked.
fn proven(sql: &str) -> ReadOnlySql {
    let mut table = Table::found("dbo".into(), "orders".into(), TableKind::Table);
    let column = |name: &str, kind| Column::found(name.into(), "x".into(), kind, true);
    table.columns = vec![column("id", ColumnKind::Integer), column("customer", ColumnKind::Text)];
    let schema = Schema {
        engine: Engine::Mssql,
        search_path: vec!["dbo".into()],
        server_version: "16.0".into(),
        tables: vec![table],
    };
    guard::check(sql, &schema, &Policy::default()).unwrap()
}

fn select() -> ReadOnlySql {
    proven("select id from orders")
}

impl FakeMssql {
    fn answers(&self, statement: &ReadOnlySql, reply: Reply) {
        self.expect(Request::Call(statement.text().to_owned()), reply);
    }
}

fn one_row() -> Reply {
    Reply::Rows(columns(&[("id", Kind::Int(4))]), vec![row![1]])
}

async fn run(engine: &dyn SqlEngine, statement: &ReadOnlySql) -> Result<Rows, EngineError> {
    engine.run(statement, &Caps::default()).await
}

/// The next statement has a session and an answer, whatever happened before.
async fn recovers(fake: &FakeMssql, engine: &dyn SqlEngine) {
    fake.answers(&select(), one_row());
    assert_eq!(run(engine, &select()).await.unwrap().rows, [[json!(1)]]);
    fake.rested().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_connection_is_told_by_what_mends_it() {
    let fake = FakeMssql::start().await;
    let at = fake.address;
    assert_eq!(
        refusal(format!("mssql://{USER}:secret@{at}/{DATABASE}?encrypt=off")).await,
        EngineError::Authentication
    );
    assert_eq!(refusal(format!("mssql://sa:{}@{at}/{DATABASE}?encrypt=off", "x")).await, EngineError::Authentication);
    let elsewhere = refusal(fake.url().replace("/shop", "/other")).await;
    assert!(matches!(elsewhere, EngineError::InvalidUrl(_)), "{elsewhere:?}");
    let closed = refusal("mssql://u:p@127.0.0.1:1/d".into()).await;
    assert_eq!(closed, EngineError::Unreachable("connection refused".into()));
    let forbidden = refusal("mssql://u:p@169.254.169.254/d".into()).await;
    assert!(matches!(forbidden, EngineError::NotAllowed(_)), "{forbidden:?}");
    assert_eq!(fake.logins(), 0);
    assert!(!format!("{elsewhere:?}{closed:?}{forbidden:?}").contains(PASSWORD));
}

#[tokio::test]
async fn every_use_begins_with_its_settings_in_a_session_that_was_reset() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    recovers(&fake, &*engine).await;
    recovers(&fake, &*engine).await;
    let settings = fake.settings();
    assert_eq!((settings.len(), fake.logins()), (3, 1));
    let order = [
        "set quoted_identifier on;",
        "set ansi_nulls on;",
        "set ansi_warnings on;",
        "set arithabort on;",
        "set rowcount 0;",
        "set language us_english;",
        "set dateformat ymd;",
        "set datefirst 7;",
        "set lock_timeout 5000;",
        "set deadlock_priority low;",
        "set query_governor_cost_limit",
        "set textsize 131074;",
        "set transaction isolation level snapshot",
        "set transaction isolation level read committed;",
        "begin transaction;",
    ];
    for text in &settings {
        let places: Vec<Option<usize>> = order.iter().map(|setting| text.find(setting)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
        assert!(!text.contains("uncommitted"), "{text}");
    }
    assert_eq!(fake.resets(), 2, "every use but a session's first");
}

#[tokio::test]
async fn the_users_text_arrives_unchanged_and_only_as_a_parameter() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    let long = format!("select id from orders where customer = N'{}'", "ä🦀'' -- /* ".repeat(900));
    for sql in ["select id from orders where customer = N'O''Hara; drop table x --'", &long] {
        let statement = proven(sql);
        fake.answers(&statement, one_row());
        assert_eq!(run(&*engine, &statement).await.unwrap().row_count, 1);
    }
}

#[tokio::test]
async fn every_type_becomes_json_by_the_stated_rule() {
    let bytes = |bytes: &[u8]| -> Cell { Some(bytes.to_vec()) };
    let narrow = |bytes: &[u8]| [&[0xa7, 7, 9, 4, 0xd0, 0, 0x34, 10, 0], bytes].concat();
    let date = [0x80, 0x46, 0x0b]; // 738944 days after the first of January of the year 1: 2024-02-29
    let half_past_ten = |scale: &[u8]| [scale, &date].concat();
    let money = |units: i64| [(units >> 32) as i32, units as i32].map(i32::to_le_bytes).concat();
    let matrix: Vec<(Kind, Cell, &str, Value)> = vec![
        (Kind::Bit, bytes(&[1]), "bit", json!(true)),
        (Kind::Int(1), bytes(&[255]), "tinyint", json!(255)),
        (Kind::Int(2), bytes(&(-7_i16).to_le_bytes()), "smallint", json!(-7)),
        (Kind::Int(4), bytes(&42_i32.to_le_bytes()), "int", json!(42)),
        (Kind::Int(8), bytes(&9_007_199_254_740_993_i64.to_le_bytes()), "bigint", json!("9007199254740993")),
        (Kind::Float(4), bytes(&0.1_f32.to_le_bytes()), "real", json!(0.1)),
        (Kind::Float(8), bytes(&1e300_f64.to_le_bytes()), "float", json!(1e300)),
        (Kind::Money(8), bytes(&money(12_345_000)), "money", json!(1234.5)),
        (Kind::Money(8), bytes(&money(-700)), "money", json!(-0.07)),
        (Kind::Money(4), bytes(&99_999_i32.to_le_bytes()), "money", json!(9.9999)),
        (Kind::Decimal(38, 2), bytes(&[1, 0xe2, 0x04, 0, 0]), "decimal", json!(12.5)),
        (
            Kind::Decimal(38, 20),
            bytes(&[&[0][..], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]].concat()),
            "decimal",
            json!("-3094850.09821345068724781057"),
        ),
        (Kind::Text, bytes(&utf16("naïve 🦀")), "nvarchar", json!("naïve 🦀")),
        (Kind::LongText, bytes(&utf16("long")), "nvarchar", json!("long")),
        (Kind::LongText, bytes(&[]), "nvarchar", json!("")),
        (Kind::LongText, bytes(&[0x00, 0xd8]), "nvarchar", json!("\u{fffd}")),
        (Kind::NarrowText, bytes(b"na\xefve"), "varchar", json!("naïve")),
        (Kind::Date, bytes(&date), "date", json!("2024-02-29")),
        (Kind::Time(1), bytes(&378_005_u32.to_le_bytes()[..3]), "time", json!("10:30:00.5")),
        (Kind::DateTime2(0), bytes(&half_past_ten(&[0xa8, 0x93, 0])), "datetime2", json!("2024-02-29T10:30:00")),
        (
            Kind::DateTimeOffset(0),
            bytes(&[&half_past_ten(&[0xa8, 0x93, 0])[..], &120_i16.to_le_bytes()].concat()),
            "datetimeoffset",
            json!("2024-02-29T10:30:00Z"),
        ),
        (
            Kind::DateTime(8),
            bytes(&[45_349_i32.to_le_bytes(), 11_340_001_i32.to_le_bytes()].concat()),
            "datetime",
            json!("2024-02-29T10:30:00.003"),
        ),
        (
            Kind::DateTime(4),
            bytes(&[45_349_u16.to_le_bytes(), 630_u16.to_le_bytes()].concat()),
            "datetime",
            json!("2024-02-29T10:30:00"),
        ),
        (
            Kind::Guid,
            bytes(&[0x99, 0xbc, 0xee, 0xa0, 0x0b, 0x9c, 0xf8, 0x4e, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11]),
            "uniqueidentifier",
            json!("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
        ),
        (Kind::Binary, bytes(&[0xde, 0xad, 0xbe, 0xef]), "varbinary", json!("3q2+7w==")),
        (Kind::LongBinary, bytes(&[0]), "varbinary", json!("AA==")),
        (Kind::Xml, bytes(&utf16("<a b=\"c\"/>")), "xml", json!("<a b=\"c\"/>")),
        (Kind::Variant, bytes(&[0x38, 0, 42, 0, 0, 0]), "sql_variant", json!(42)),
        (Kind::Variant, bytes(&narrow(b"text")), "sql_variant", json!("text")),
        (Kind::Variant, bytes(&[0x6a, 2, 38, 1, 1, 15, 0, 0, 0]), "sql_variant", json!(1.5)),
    ];
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    for (kind, cell, type_name, expected) in matrix {
        fake.answers(&select(), Reply::Rows(columns(&[("v", kind)]), vec![vec![cell.clone()], vec![None]]));
        let rows = run(&*engine, &select()).await.unwrap();
        assert_eq!(rows.rows, [[expected], [Value::Null]], "{kind:?} {cell:?}");
        assert_eq!(rows.columns[0].type_name, type_name);
    }
}

#[tokio::test]
async fn an_empty_result_still_has_its_columns_and_no_statement_has_two_results() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    let wide = columns(&[("a", Kind::Int(4)), ("b", Kind::Text), ("a", Kind::Xml)]);
    fake.answers(&select(), Reply::Rows(wide, vec![]));
    let rows = run(&*engine, &select()).await.unwrap();
    let names: Vec<&str> = rows.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!((names.as_slice(), rows.row_count, rows.truncated), (&["a", "b", "a"][..], 0, false));
    fake.answers(&select(), Reply::Twice(columns(&[("id", Kind::Int(4))]), vec![row![1]]));
    let twice = run(&*engine, &select()).await.unwrap_err();
    assert_eq!(twice, EngineError::Rejected { message: "the statement has more than one result".into() });
    recovers(&fake, &*engine).await;
}

#[tokio::test]
async fn a_result_ends_at_its_rows_and_the_server_is_told_to_stop() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    let endless = Reply::Endless(columns(&[("id", Kind::Int(4))]), row![7], Duration::ZERO);
    fake.answers(&select(), endless);
    let caps = Caps { rows: 10, ..Caps::default() };
    let rows = engine.run(&select(), &caps).await.unwrap();
    assert_eq!((rows.row_count, rows.truncated), (10, true));
    fake.closed(1).await;
    assert_eq!(fake.attentions(), 1);
    recovers(&fake, &*engine).await;
    assert_eq!(fake.logins(), 2, "a session that was cut is never used again");
}

#[tokio::test]
async fn a_result_ends_at_its_bytes_and_a_long_cell_is_cut() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    let text = "x".repeat(3_900);
    fake.answers(&select(), Reply::Endless(columns(&[("t", Kind::Text)]), row![text.as_str()], Duration::ZERO));
    let rows = run(&*engine, &select()).await.unwrap();
    assert!(rows.truncated && rows.row_count > 100);
    assert!(serde_json::to_string(&rows.rows).unwrap().len() <= Caps::BYTES);
    // As much as the server sends of a long text after `set textsize`.
    let text = "x".repeat(65_537);
    fake.answers(&select(), Reply::Rows(columns(&[("t", Kind::LongText)]), vec![row![text.as_str()]]));
    let rows = run(&*engine, &select()).await.unwrap();
    assert!(rows.truncated && rows.rows[0][0].as_str().unwrap().len() == 65_536);
}

#[tokio::test]
async fn a_row_that_would_fill_the_memory_is_refused() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    fake.answers(&select(), Reply::Huge(200 << 20));
    let error = run(&*engine, &select()).await.unwrap_err();
    assert!(matches!(error, EngineError::TooLarge(_)), "{error:?}");
    recovers(&fake, &*engine).await;
}

#[tokio::test]
async fn a_statement_ends_at_its_deadline_and_the_server_is_told_to_stop() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    let caps = Caps { deadline: Duration::from_millis(400), ..Caps::default() };
    let slow = Reply::Endless(columns(&[("id", Kind::Int(4))]), row![7], Duration::from_millis(30));
    for (times, reply) in [(1, Reply::Silence), (2, slow)] {
        fake.answers(&select(), reply);
        let began = Instant::now();
        assert_eq!(engine.run(&select(), &caps).await.unwrap_err(), EngineError::Timeout(caps.deadline));
        assert!(began.elapsed() < caps.deadline * 3, "{:?}", began.elapsed());
        fake.closed(times).await;
        assert_eq!(fake.attentions(), times);
    }
    recovers(&fake, &*engine).await;
}

#[tokio::test]
async fn dropping_the_future_stops_the_statement_in_the_server() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    fake.answers(&select(), Reply::Silence);
    let statement = select();
    let ran = tokio::time::timeout(Duration::from_millis(200), run(&*engine, &statement)).await;
    assert!(ran.is_err());
    fake.closed(1).await;
    assert_eq!(fake.attentions(), 1);
    recovers(&fake, &*engine).await;
}

#[tokio::test]
async fn a_server_that_goes_away_or_talks_nonsense_is_a_clear_problem_and_the_pool_recovers() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    let cut = Reply::CutInRow(columns(&[("t", Kind::Text)]), row!["a text that breaks off"]);
    let nonsense: [&'static [u8]; 4] = [&[0x81, 0xff, 0xfe, 1, 2, 3], &[0xd1, 1, 2], &[0x00], &[0xaa, 0xff, 0xff, 1]];
    let replies = [Reply::Vanish, cut, Reply::Error(596, 21, "Cannot continue: 'secret'.")];
    for reply in replies.into_iter().chain(nonsense.map(Reply::Bytes)) {
        fake.answers(&select(), reply.clone());
        let caps = Caps { deadline: Duration::from_secs(2), ..Caps::default() };
        let error = engine.run(&select(), &caps).await.expect_err(&format!("{reply:?}"));
        let clear = matches!(
            error,
            EngineError::Vanished
                | EngineError::Unreachable(_)
                | EngineError::Timeout(_)
                | EngineError::Rejected { .. }
        );
        assert!(clear && !error.to_string().contains("secret"), "{reply:?}: {error:?}");
        recovers(&fake, &*engine).await;
    }
}

#[tokio::test]
async fn an_idle_session_that_the_server_closed_is_no_reason_to_fail() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    recovers(&fake, &*engine).await;
    fake.hang_up();
    fake.closed(1).await;
    recovers(&fake, &*engine).await;
    assert_eq!(fake.logins(), 2);
}

#[tokio::test]
async fn errors_are_told_by_what_to_do_and_never_tell_a_value() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    let rejected = |message: &str| EngineError::Rejected { message: message.to_owned() };
    for (number, words, expected) in [
        (208, "Invalid object name 'dbo.orders'.", rejected("Invalid object name 'dbo.orders'.")),
        (
            245,
            "Conversion failed when converting the varchar value 'secret' to data type int.",
            rejected("Conversion failed when converting the varchar value"),
        ),
        (8134, "Divide by zero error encountered.", rejected("Divide by zero error encountered.")),
        (1222, "Lock request time out period exceeded.", EngineError::Busy("a table is locked".into())),
        (1205, "Transaction (Process ID 52) was deadlocked.", EngineError::Busy("another statement went first".into())),
        (
            3961,
            "Snapshot isolation transaction failed.",
            EngineError::Busy("the tables changed while they were read".into()),
        ),
        (
            701,
            "There is insufficient system memory.",
            EngineError::TooLarge("There is insufficient system memory.".into()),
        ),
    ] {
        let rows = (columns(&[("id", Kind::Int(4))]), vec![row![1], row![2]]);
        for reply in [Reply::Error(number, 16, words), Reply::RowsThenError(rows.0, rows.1, number, words)] {
            fake.answers(&select(), reply);
            assert_eq!(run(&*engine, &select()).await.unwrap_err(), expected, "{number}");
            fake.rested().await;
        }
    }
    recovers(&fake, &*engine).await;
    assert_eq!(fake.logins(), 1, "a refused statement does not cost its session");
}

#[tokio::test]
async fn more_statements_than_sessions_wait_for_their_turn() {
    const SESSIONS: usize = 5;
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    (0..SESSIONS).for_each(|_| fake.answers(&select(), Reply::Silence));
    let (hogs, hurried) = [2_000, 300].map(|ms| Caps { deadline: Duration::from_millis(ms), ..Caps::default() }).into();
    let statement = select();
    let hogging = futures::future::join_all((0..SESSIONS).map(|_| engine.run(&statement, &hogs)));
    let late = async {
        tokio::time::sleep(Duration::from_millis(800)).await;
        engine.run(&statement, &hurried).await
    };
    let (_, late) = tokio::join!(hogging, late);
    assert!(matches!(late, Err(EngineError::Busy(_))), "{late:?}");
    recovers(&fake, &*engine).await;
}

#[tokio::test]
async fn a_closed_engine_holds_no_connection() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    engine.close().await;
    fake.closed(1).await;
    assert!(run(&*engine, &select()).await.is_err());
}

#[tokio::test]
async fn a_connection_that_hangs_or_is_no_sql_server_ends_in_time() {
    let silent = async {
        let fake = FakeMssql::greeting(Greeting::Silence).await;
        (refusal(fake.url()).await, "it did not answer in time")
    };
    let silent_at_tls = async {
        let fake = FakeMssql::greeting(Greeting::SilenceAtTls).await;
        (refusal(fake.url_with("encrypt=on")).await, "it did not answer in time")
    };
    let web_server = async {
        let fake = FakeMssql::greeting(Greeting::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n")).await;
        (refusal(fake.url()).await, "it did not answer in time")
    };
    let foreign = async {
        let fake = FakeMssql::greeting(Greeting::Bytes(&[4, 1, 0, 10, 0, 0, 1, 0, 0xff, 0xff])).await;
        (refusal(fake.url()).await, "it does not answer as SQL Server does")
    };
    let began = Instant::now();
    for (error, words) in futures::future::join_all::<[std::pin::Pin<Box<dyn Future<Output = _>>>; 4]>([
        Box::pin(silent),
        Box::pin(silent_at_tls),
        Box::pin(web_server),
        Box::pin(foreign),
    ])
    .await
    {
        assert_eq!(error, EngineError::Unreachable(words.into()));
    }
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
}

#[tokio::test]
async fn encryption_is_what_the_url_says_or_there_is_no_connection() {
    for (server, url) in [
        (Encryption::On, "encrypt=on&trust_server_certificate=true"),
        (Encryption::Required, "trustServerCertificate=true"),
        (Encryption::Off, "encrypt=login&trust_server_certificate=true"),
        (Encryption::On, "encrypt=login&trust_server_certificate=true"),
        (Encryption::Strict, "encrypt=strict&trust_server_certificate=true"),
    ] {
        let fake = FakeMssql::greeting(Greeting::Well(server)).await;
        let engine = connect(&fake.url_with(url).into(), &Access::default()).await;
        fake.rested().await;
        recovers(&fake, &*engine.unwrap_or_else(|error| panic!("{server:?} {url}: {error}"))).await;
        assert_eq!(fake.logins(), 1);
    }
    for (server, url, words) in [
        (Encryption::On, "encrypt=on", "TLS: invalid peer certificate"),
        (Encryption::Off, "encrypt=login", "TLS: invalid peer certificate"),
        (Encryption::Strict, "encrypt=strict", "TLS: invalid peer certificate"),
        (Encryption::NotSupported, "encrypt=on", "it does not encrypt"),
        (Encryption::Off, "encrypt=on", "it does not encrypt"),
        (Encryption::NotSupported, "encrypt=login", "it does not encrypt"),
        (Encryption::Required, "encrypt=off", "it insists on encryption"),
    ] {
        let fake = FakeMssql::greeting(Greeting::Well(server)).await;
        let error = refusal(fake.url_with(url)).await;
        let EngineError::Unreachable(message) = &error else { panic!("{server:?} {url}: {error:?}") };
        assert!(message.starts_with(words), "{server:?} {url}: {message}");
        assert_eq!(fake.logins(), 0, "no password was sent");
    }
}

#[tokio::test]
async fn where_a_server_sends_us_is_judged_like_where_the_url_does() {
    let copy = FakeMssql::start().await;
    let gateway = FakeMssql::greeting(Greeting::Route("127.0.0.1".into(), copy.address.port())).await;
    let engine = engine(&gateway).await;
    copy.rested().await;
    recovers(&copy, &*engine).await;
    assert_eq!((gateway.logins(), copy.logins()), (1, 1));

    let trap = FakeMssql::greeting(Greeting::Route("169.254.169.254".into(), 80)).await;
    let refused = refusal(trap.url()).await;
    assert!(matches!(refused, EngineError::NotAllowed(_)), "{refused:?}");
    let circle = FakeMssql::start().await;
    let round = FakeMssql::greeting(Greeting::Route("127.0.0.1".into(), trap.address.port())).await;
    assert!(matches!(refusal(round.url()).await, EngineError::NotAllowed(_)));
    drop(circle);
}

#[tokio::test]
async fn the_x_ray_says_what_a_login_could_do() {
    let text = |name| columns(&[(name, Kind::Text)]);
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    let two = columns(&[("login", Kind::Text), ("role", Kind::Text)]);
    let ask = |roles: Vec<Vec<Cell>>, server: Reply, database: Vec<Vec<Cell>>| {
        fake.expect(
            Request::Batch(&["suser_sname()", "is_srvrolemember('sysadmin')"]),
            Reply::Rows(two.clone(), roles),
        );
        fake.expect(Request::Batch(&["fn_my_permissions(null, 'SERVER')", "xp_cmdshell"]), server);
        fake.expect(Request::Batch(&["fn_my_permissions(null, 'DATABASE')"]), Reply::Rows(text("name"), database));
    };
    let harmless = Reply::Rows(text("name"), vec![row!["CONNECT SQL"], row!["VIEW ANY DATABASE"]]);
    ask(vec![row![USER, ""]], harmless, vec![row!["CONNECT"], row!["SELECT"], row!["SHOWPLAN"]]);
    let reader = engine.privileges().await.unwrap();
    assert_eq!((reader.login.as_str(), reader.warnings.len(), reader.read_only()), (USER, 0, true));

    let server = Reply::Rows(text("name"), vec![row!["VIEW SERVER STATE"], row!["ADMINISTER BULK OPERATIONS"]]);
    ask(vec![row!["boss", "db_datawriter"], row!["boss", ""]], server, vec![row!["CREATE TABLE"]]);
    let boss = engine.privileges().await.unwrap();
    let codes: Vec<WarningCode> = boss.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::Writes, WarningCode::Creates, WarningCode::ReadsFiles, WarningCode::SeesOthers]);
    assert!(boss.warnings.iter().all(|warning| warning.detail.contains("evoke")) && !boss.read_only());

    // Azure SQL has no server to have rights on.
    ask(vec![row![USER, ""]], Reply::Error(40515, 16, "not supported in this version"), vec![row!["SELECT"]]);
    assert!(engine.privileges().await.unwrap().read_only());
}

#[tokio::test]
async fn an_estimate_comes_from_the_plan_and_nothing_runs() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    let seconds = Duration::from_secs(5);
    let statement = select();
    let show = || Request::Text("set showplan_xml on".into());
    let plan = r#"<ShowPlanXML><StmtSimple StatementEstRows="10" StatementSubTreeCost="2.5"><RelOp EstimateRows="4e+06"/></StmtSimple></ShowPlanXML>"#;
    fake.expect(show(), Reply::Done);
    fake.expect(
        Request::Text(statement.text().to_owned()),
        Reply::Rows(columns(&[("plan", Kind::Xml)]), vec![row![plan]]),
    );
    fake.expect(Request::Text("set showplan_xml off".into()), Reply::Done);
    let estimate = engine.estimate(&statement, seconds).await.unwrap();
    assert_eq!(estimate, Some(Estimate { rows: 4e6, cost: Some(2.5) }));

    fake.expect(show(), Reply::Error(262, 14, "SHOWPLAN permission denied in database 'shop'."));
    assert_eq!(engine.estimate(&statement, seconds).await.unwrap(), None);
    // Whatever else goes wrong: the statement must not be sent where it would run.
    fake.expect(show(), Reply::Error(50000, 16, "no"));
    assert!(engine.estimate(&statement, seconds).await.is_err());

    fake.expect(show(), Reply::Done);
    fake.expect(Request::Text(statement.text().to_owned()), Reply::Error(207, 16, "Invalid column name 'x'."));
    fake.expect(Request::Text("set showplan_xml off".into()), Reply::Done);
    let error = engine.estimate(&statement, seconds).await.unwrap_err();
    assert_eq!(error, EngineError::Rejected { message: "Invalid column name 'x'.".into() });
    recovers(&fake, &*engine).await;
    let last = fake.settings().last().cloned().unwrap();
    assert!(last.trim_end().ends_with("begin transaction;"));
    assert!(
        fake.settings()
            .iter()
            .any(|text| !text.contains("begin transaction") && text.contains("set textsize 4194304;"))
    );
}

/// The catalog of a small shop, as the statements ask for it.
fn expect_catalog(fake: &FakeMssql, big: i64) {
    use Kind::{Bit, Int, Text};
    let answer = |words: &'static [&'static str], list: &[(&'static str, Kind)], rows: Vec<Vec<Cell>>| {
        fake.expect(Request::Batch(words), Reply::Rows(columns(list), rows));
    };
    answer(
        &["schema_name()", "serverproperty('ProductVersion')"],
        &[("schema", Text), ("version", Text)],
        vec![row!["sales", "16.0.4135.4"]],
    );
    answer(
        &["from sys.objects", "MS_Description"],
        &[("id", Int(4)), ("schema", Text), ("name", Text), ("view", Bit), ("ext", Bit), ("d", Text), ("rows", Int(8))],
        vec![
            row![11, "dbo", "orders", false, false, "What was ordered", big],
            row![12, "dbo", "customers", false, false, (), 2_i64],
            row![13, "dbo", "recent", true, false, (), ()],
            row![14, "dbo", "secrets", false, false, (), 9_i64],
            row![15, "dbo", "remote", false, true, (), 5_i64],
        ],
    );
    let column = [
        ("id", Int(4)),
        ("number", Int(4)),
        ("name", Text),
        ("type", Text),
        ("length", Int(2)),
        ("precision", Int(1)),
        ("scale", Int(1)),
        ("nullable", Bit),
        ("masked", Bit),
        ("d", Text),
    ];
    answer(
        &["from sys.columns", "is_hidden = 0", "has_perms_by_name"],
        &column,
        vec![
            row![11, 1, "id", "int", 4_i16, 10_u8, 0_u8, false, false, ()],
            row![11, 2, "customer_id", "int", 4_i16, 10_u8, 0_u8, false, false, ()],
            row![11, 3, "status", "varchar", 8_i16, 0_u8, 0_u8, false, false, "Where it is"],
            row![11, 4, "total", "decimal", 9_i16, 10_u8, 2_u8, true, false, ()],
            row![11, 6, "city", "nvarchar", 160_i16, 0_u8, 0_u8, true, false, ()],
            row![12, 1, "id", "int", 4_i16, 10_u8, 0_u8, false, false, ()],
            row![12, 2, "name", "nvarchar", -1_i16, 0_u8, 0_u8, false, false, ()],
            row![12, 3, "email", "nvarchar", 160_i16, 0_u8, 0_u8, false, true, ()],
            row![12, 4, "phone", "nvarchar", 160_i16, 0_u8, 0_u8, false, false, ()],
            row![13, 1, "label", "nvarchar", 20_i16, 0_u8, 0_u8, true, false, ()],
            row![15, 1, "name", "nvarchar", 20_i16, 0_u8, 0_u8, true, false, ()],
        ],
    );
    answer(
        &["from sys.foreign_keys"],
        &[("id", Int(4)), ("key", Int(4)), ("other", Int(4)), ("column", Int(4)), ("other_column", Int(4))],
        vec![row![11, 100, 12, 2, 1], row![11, 101, 14, 2, 1], row![12, 102, 11, 99, 1]],
    );
    answer(
        &["from sys.indexes"],
        &[("id", Int(4)), ("index", Int(4)), ("name", Text), ("primary", Bit), ("unique", Bit), ("column", Int(4))],
        vec![
            row![11, 1, "pk_orders", true, true, 1],
            row![11, 2, "ix_city_status", false, false, 6],
            row![11, 2, "ix_city_status", false, false, 3],
            row![11, 3, "ix_unseen", false, false, 5],
            row![12, 1, "pk_customers", true, true, 1],
        ],
    );
    answer(
        &["from sys.check_constraints"],
        &[("id", Int(4)), ("definition", Text)],
        vec![row![11, "([status]='paid' OR [status]='open')"], row![11, "([total]>=(0))"]],
    );
}

const VALUES: [(&str, Kind); 3] = [("place", Kind::Int(4)), ("value", Kind::Text), ("times", Kind::Int(8))];

#[tokio::test]
async fn introspection_finds_tables_columns_keys_comments_lists_and_values() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    expect_catalog(&fake, 400_000);
    let cities = vec![row![4, "Bern", 2_i64], row![4, "Aachen", 2_i64], row![4, "Paris", 9_i64]];
    fake.expect(
        Request::Batch(&[
            "cast(\"city\" as nvarchar(81))",
            "\"dbo\".\"orders\" tablesample system (50.000000 percent)",
        ]),
        Reply::Rows(columns(&VALUES), cities),
    );
    fake.expect(
        Request::Batch(&["cast(\"name\"", "from \"dbo\".\"customers\""]),
        Reply::Rows(columns(&VALUES), vec![row![1, "Ann", 1_i64]]),
    );
    fake.expect(
        Request::Batch(&["select top (10000) \"label\" from \"dbo\".\"recent\""]),
        Reply::Error(245, 16, "a broken view"),
    );
    let samples = Samples {
        closed_columns: [("dbo".to_owned(), "customers".to_owned(), "phone".to_owned())].into(),
        ..Samples::all()
    };
    let schema = engine.introspect(&samples).await.unwrap();
    assert_eq!((schema.engine, schema.server_version.as_str()), (Engine::Mssql, "16.0.4135.4"));
    assert_eq!(schema.search_path, ["sales", "dbo"]);
    let names: Vec<&str> = schema.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["orders", "customers", "recent", "remote"], "a table without a column to read is none");
    let orders = &schema.tables[0];
    assert_eq!((orders.description.as_deref(), orders.row_count), (Some("What was ordered"), Some(400_000)));
    let types: Vec<&str> = orders.columns.iter().map(|column| column.data_type.as_str()).collect();
    assert_eq!(types, ["int", "int", "varchar(8)", "decimal(10,2)", "nvarchar(80)"]);
    assert_eq!(orders.primary_key, ["id"]);
    assert_eq!(orders.columns[2].description.as_deref(), Some("Where it is"));
    assert_eq!(orders.columns[2].enum_values, ["open", "paid"]);
    assert_eq!((orders.columns[3].nullable, orders.columns[3].kind), (true, ColumnKind::Decimal));
    assert_eq!(orders.columns[4].sample_values, ["Paris", "Aachen", "Bern"], "the most frequent first");
    assert_eq!(orders.foreign_keys.len(), 1, "keys to what the login cannot see are none");
    assert_eq!(orders.foreign_keys[0].referenced_table, "customers");
    let indexes: Vec<(&str, usize)> =
        orders.indexes.iter().map(|index| (index.name.as_str(), index.columns.len())).collect();
    assert_eq!(indexes, [("pk_orders", 1), ("ix_city_status", 2)]);
    let customers = &schema.tables[1];
    assert_eq!(
        (customers.columns[1].data_type.as_str(), customers.columns[1].sample_values.as_slice()),
        ("nvarchar(max)", &["Ann".to_owned()][..])
    );
    assert_eq!(schema.tables[2].kind, TableKind::View);
}

#[tokio::test]
async fn values_that_nobody_may_see_are_not_even_asked_for() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    expect_catalog(&fake, 3);
    let schema = engine.introspect(&Samples::none()).await.unwrap();
    assert!(schema.tables.iter().flat_map(|table| &table.columns).all(|column| column.sample_values.is_empty()));
}

#[tokio::test]
async fn a_table_whose_values_take_too_long_has_none_and_the_next_ones_do() {
    let fake = FakeMssql::start().await;
    let engine = engine(&fake).await;
    expect_catalog(&fake, 3);
    fake.expect(Request::Batch(&["\"orders\""]), Reply::Silence);
    fake.expect(Request::Batch(&["\"customers\""]), Reply::Rows(columns(&VALUES), vec![row![1, "Ann", 1_i64]]));
    fake.expect(Request::Batch(&["\"recent\""]), Reply::Rows(columns(&VALUES), vec![]));
    let schema = engine.introspect(&Samples::all()).await.unwrap();
    assert_eq!(schema.tables[1].columns[1].sample_values, ["Ann"]);
    assert_eq!((fake.attentions(), fake.logins()), (1, 2));
}
