//! A user's MySQL or MariaDB from the outside, on a private server: ways in, what introspection finds, what a login
//! may do. What must hold past the guard is tested beside the engine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use almanac::text_to_sql::engine::{Access, EngineError, SqlEngine, WarningCode, connect};
use almanac::text_to_sql::introspect::Samples;
use almanac::text_to_sql::schema::{Column, ColumnKind, ForeignKey, Table, TableKind};
use sqlx::AssertSqlSafe;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::mariadb::{ADMIN, Mariadb};

async fn server() -> &'static Mariadb {
    tokio::task::spawn_blocking(Mariadb::shared).await.unwrap()
}

async fn reach(url: String) -> Result<Arc<dyn SqlEngine>, EngineError> {
    connect(&url.into(), &Access::default()).await
}

async fn failure(url: String) -> EngineError {
    reach(url).await.err().expect("this URL must fail")
}

#[tokio::test]
async fn what_is_wrong_with_a_connection_is_told_by_what_mends_it() {
    let server = server().await;
    let name = server.new_database("").await;
    assert!(reach(server.url(ADMIN, &name, "")).await.is_ok());
    assert_eq!(failure(server.url("admin:wrong", &name, "")).await, EngineError::Authentication);
    assert_eq!(failure(server.url("nobody_here:x", &name, "")).await, EngineError::Authentication);
    assert!(matches!(failure(server.url(ADMIN, "no_such_database", "")).await, EngineError::InvalidUrl(_)));
    let closed = failure("mysql://u:secret@127.0.0.1:1/d".into()).await;
    assert_eq!(closed, EngineError::Unreachable("connection refused".into()));
}

#[tokio::test]
async fn tls_is_spoken_as_far_as_the_url_asks_for_it() {
    let server = server().await;
    let name = server.new_database("create table t (a int)").await;
    for mode in ["preferred", "REQUIRED"] {
        assert!(reach(server.url(ADMIN, &name, &format!("ssl-mode={mode}"))).await.is_ok(), "{mode}");
    }
    // Nobody has signed the server's certificate.
    for mode in ["verify_ca", "VERIFY_IDENTITY"] {
        let error = failure(server.url(ADMIN, &name, &format!("ssl-mode={mode}"))).await;
        assert!(matches!(&error, EngineError::Unreachable(why) if why.starts_with("TLS")), "{mode}: {error:?}");
    }
    let login = format!("u_{}", Uuid::now_v7().simple());
    let login = &login[..30];
    admin(
        server,
        &name,
        &format!("create user {login} identified by 'p' require ssl; grant select on {name}.* to {login}"),
    )
    .await;
    let user = format!("{login}:p");
    assert_eq!(failure(server.url(&user, &name, "ssl-mode=disabled")).await, EngineError::Authentication);
    assert!(reach(server.url(&user, &name, "ssl-mode=required")).await.is_ok());
}

#[tokio::test]
async fn a_server_that_cannot_speak_tls_is_refused_when_tls_is_asked_for() {
    use tokio::io::AsyncWriteExt;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mysql://u:p@127.0.0.1:{}/d?ssl-mode=required", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        // The greeting of a server without the capability CLIENT_SSL (0x800).
        client.write_all(b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0aaaaaaaa\0\xff\xf7\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0aaaaaaaaaaaa\0mysql_native_password\0").await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    });
    let error = failure(url).await;
    assert!(matches!(&error, EngineError::Unreachable(why) if why.contains("TLS")), "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let began = Instant::now();
    let error = failure(format!("mysql://u:p@127.0.0.1:{}/d", listener.local_addr().unwrap().port())).await;
    assert_eq!(error, EngineError::Unreachable("it did not answer in time".into()));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_is_reached_by_its_socket_where_that_is_allowed() {
    let server = server().await;
    let name = server.new_database("").await;
    let socket = server.socket();
    for path in [socket.to_str().unwrap(), socket.parent().unwrap().to_str().unwrap()] {
        assert!(reach(format!("mysql://{ADMIN}@localhost/{name}?socket={path}")).await.is_ok(), "{path}");
    }
    let elsewhere = Access { database_hosts: vec!["10.0.0.0/8".parse().unwrap()], ..Access::default() };
    for url in [format!("mysql://{ADMIN}@h/{name}?socket={}", socket.display()), server.url(ADMIN, &name, "")] {
        let refused = connect(&url.into(), &elsewhere).await.err().unwrap();
        assert!(matches!(refused, EngineError::NotAllowed(_)), "{refused:?}");
    }
}

const SHOP: &str = "
    create table customers (id bigint unsigned not null primary key, name varchar(100) not null,
        country char(2) comment 'ISO code', status varchar(10) check (status in ('open', 'it''s')), secret text,
        unique customers_name (name), key by_country (country, status)) comment = 'Who buys';
    create table `odd``name` (id int, `from` varchar(10), customer bigint unsigned, primary key (id, `from`),
        constraint of_whom foreign key (customer) references customers (id));
    create table orders (at timestamp null, day date, state enum('open', 'paid'), total decimal(10, 2), body json,
        raw blob, ok boolean, f double, id int, who varchar(10),
        foreign key (id, who) references `odd``name` (id, `from`));
    create view germans as select name, country from customers where country = 'DE';
    create table notes (t text character set latin1, b varchar(10) collate utf8mb4_bin);
    insert into customers values (1, 'Ann', 'DE', 'open', 'x'), (2, 'Bob', 'FR', 'open', 'y'), (3, 'Cid', 'DE', null, 'z');
    insert into notes values ('café', 'B'), ('', 'b');
    analyze table customers, orders, notes";

#[tokio::test]
async fn introspection_finds_tables_columns_keys_and_values() {
    let server = server().await;
    let name = server.new_database(SHOP).await;
    let engine = reach(server.url(ADMIN, &name, "")).await.unwrap();
    let schema = engine.introspect(&Samples::all()).await.unwrap();
    assert_eq!(schema.search_path, [name.as_str()]);
    assert!(schema.server_version.contains("MariaDB"), "{}", schema.server_version);
    let names: Vec<&str> = schema.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["customers", "germans", "notes", "odd`name", "orders"]);

    let customers = &schema.tables[0];
    assert_eq!((customers.schema.as_str(), customers.description.as_deref()), (name.as_str(), Some("Who buys")));
    assert_eq!((customers.primary_key.as_slice(), customers.row_count), (&["id".to_owned()][..], Some(3)));
    let indexes: Vec<(&str, bool, &[String])> =
        customers.indexes.iter().map(|index| (index.name.as_str(), index.unique, index.columns.as_slice())).collect();
    assert_eq!(
        indexes,
        [
            ("by_country", false, &["country".to_owned(), "status".to_owned()][..]),
            ("customers_name", true, &["name".to_owned()][..]),
            ("PRIMARY", true, &["id".to_owned()][..]),
        ]
    );
    let country = column(customers, "country");
    assert_eq!((country.data_type.as_str(), country.description.as_deref()), ("char(2)", Some("ISO code")));
    assert_eq!((country.sample_values.as_slice(), country.nullable), (&["DE".to_owned(), "FR".to_owned()][..], true));
    assert!(!column(customers, "name").nullable);
    assert_eq!(column(customers, "status").enum_values, ["open", "it's"]);

    assert_eq!(schema.tables[1].kind, TableKind::View);
    assert_eq!(column(&schema.tables[1], "name").sample_values, ["Ann", "Cid"]);
    assert_eq!(column(&schema.tables[2], "t").sample_values, ["café"]);
    let mut cases = column(&schema.tables[2], "b").sample_values.clone();
    cases.sort();
    assert_eq!(cases, ["B", "b"]);

    let odd = &schema.tables[3];
    assert_eq!(odd.primary_key, ["id", "from"]);
    assert_eq!(odd.foreign_keys, [key(&["customer"], &name, "customers", &["id"])]);
    let orders = &schema.tables[4];
    assert_eq!(orders.foreign_keys, [key(&["id", "who"], &name, "odd`name", &["id", "from"])]);
    assert_eq!(column(orders, "state").enum_values, ["open", "paid"]);
    let kinds: Vec<ColumnKind> = orders.columns.iter().map(|column| column.kind).collect();
    use ColumnKind::{Binary, Boolean, Date, Decimal, Integer, Json, Text, Timestamp};
    assert_eq!(kinds, [Timestamp, Date, Text, Decimal, Json, Binary, Boolean, Decimal, Integer, Text]);
}

#[tokio::test]
async fn samples_stay_out_of_what_is_closed() {
    let server = server().await;
    let name = server.new_database(SHOP).await;
    let engine = reach(server.url(ADMIN, &name, "")).await.unwrap();
    let none = engine.introspect(&Samples::none()).await.unwrap();
    assert!(none.tables.iter().flat_map(|table| &table.columns).all(|column| column.sample_values.is_empty()));
    let mut samples = Samples::all();
    samples.closed_columns.insert((name.clone(), "customers".into(), "secret".into()));
    samples.hidden_tables.insert((name.clone(), "notes".into()));
    let schema = engine.introspect(&samples).await.unwrap();
    assert!(column(&schema.tables[0], "secret").sample_values.is_empty());
    assert!(!column(&schema.tables[0], "country").sample_values.is_empty());
    assert!(schema.tables[2].columns.iter().all(|column| column.sample_values.is_empty()));
}

#[tokio::test]
async fn a_login_sees_only_what_it_may_select() {
    let server = server().await;
    let name = server.new_database(SHOP).await;
    let login = format!("v_{}", &name[20..]);
    admin(
        server,
        &name,
        &format!("create user {login} identified by 'p'; grant select (name, country) on customers to {login}"),
    )
    .await;
    let engine = reach(server.url(&format!("{login}:p"), &name, "")).await.unwrap();
    let schema = engine.introspect(&Samples::all()).await.unwrap();
    let names: Vec<&str> = schema.tables[0].columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!((schema.tables.len(), names.as_slice()), (1, &["name", "country"][..]));
    assert_eq!(column(&schema.tables[0], "country").sample_values, ["DE", "FR"]);
}

#[tokio::test]
async fn a_thousand_tables_are_introspected_in_seconds() {
    let server = server().await;
    let columns: String = (0..16).map(|n| format!(", c{n} int")).collect();
    let name = server
        .new_database(&format!(
            "begin not atomic for n in 1..1000 do
                 execute immediate concat('create table t', n, ' (id int primary key, name varchar(50), city varchar(50), other int{columns}, key (name), foreign key (other) references t', greatest(n - 1, 1), ' (id))');
                 execute immediate concat('insert into t', n, ' (id, name, city) select seq, concat(''name '', seq), concat(''city '', seq % 5) from seq_1_to_20');
             end for; end"
        ))
        .await;
    let engine = reach(server.url(ADMIN, &name, "")).await.unwrap();
    for samples in [Samples::none(), Samples::all()] {
        let began = Instant::now();
        let schema = engine.introspect(&samples).await.unwrap();
        eprintln!("introspected {} tables in {:?}, samples: {}", schema.tables.len(), began.elapsed(), samples.enabled);
        assert_eq!(schema.tables.len(), 1000);
        let whole =
            |table: &Table| table.columns.len() == 20 && table.primary_key == ["id"] && table.foreign_keys.len() == 1;
        assert!(schema.tables.iter().all(whole));
        let sampled = if samples.enabled { 5 } else { 0 };
        assert!(schema.tables.iter().all(|table| column(table, "city").sample_values.len() == sampled));
        assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn an_administrator_is_told_from_a_login_that_only_reads() {
    let server = server().await;
    let name = server.new_database(SHOP).await;
    let engine = reach(server.url(ADMIN, &name, "")).await.unwrap();
    let privileges = engine.privileges().await.unwrap();
    assert_eq!(privileges.login, "admin@%");
    use WarningCode::{Creates, ManagesLogins, ReadsFiles, SeesOthers, Superuser, Writes, WritesFiles};
    let codes: Vec<WarningCode> = privileges.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [Superuser, Writes, Creates, ManagesLogins, ReadsFiles, WritesFiles, SeesOthers]);
    assert!(!privileges.read_only());
    assert!(privileges.warnings.iter().all(|warning| warning.detail.contains("grant select, show view on")));
    assert!(!format!("{privileges:?}").contains("PASSWORD"));

    let (reader, writer) = (format!("r_{}", &name[20..]), format!("w_{}", &name[20..]));
    let role = format!("x_{}", &name[20..]);
    let logins = format!(
        "create user {reader} identified by 'p'; grant select on {name}.* to {reader};
         create role {role}; grant insert, update (name) on {name}.customers to {role};
         create user {writer} identified by 'p'; grant select on {name}.* to {writer}; grant {role} to {writer};
         set default role {role} for {writer}"
    );
    admin(server, &name, &logins).await;
    let of = async |login: &str| {
        reach(server.url(&format!("{login}:p"), &name, "")).await.unwrap().privileges().await.unwrap()
    };
    let privileges = of(&reader).await;
    assert!(privileges.warnings.is_empty() && privileges.read_only(), "{privileges:?}");
    let privileges = of(&writer).await;
    let codes: Vec<WarningCode> = privileges.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [Writes], "{privileges:?}");
    assert!(privileges.warnings[0].detail.contains("INSERT on"), "{privileges:?}");
}

async fn admin(server: &Mariadb, database: &str, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut server.admin(database).await).await.unwrap();
}

fn column<'a>(table: &'a Table, name: &str) -> &'a Column {
    table.columns.iter().find(|column| column.name == name).unwrap()
}

fn key(columns: &[&str], schema: &str, table: &str, referenced: &[&str]) -> ForeignKey {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    ForeignKey {
        columns: owned(columns),
        referenced_schema: schema.into(),
        referenced_table: table.into(),
        referenced_columns: owned(referenced),
    }
}
