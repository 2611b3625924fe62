//! Users' databases from the outside: a URL, what introspection finds, and statements that the guard let through.

use std::{sync::Arc, time::Duration};

use almanac::text_to_sql::engine::{Access, EngineError, SqlEngine, connect};
use almanac::text_to_sql::guard::{self, Policy};
use almanac::text_to_sql::introspect::Samples;
use almanac::text_to_sql::run::{Caps, Rows};
use almanac::text_to_sql::schema::Schema;
use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, sqlite::SqliteConnectOptions};

use crate::support::{new_database, scratch_dir};

/// The same tables for both engines.
const SHOP: &str = "
    create table customers (id integer primary key, name text not null, country text);
    create table orders (id integer primary key, customer_id integer references customers, day date, total numeric(10, 2));
    insert into customers values (1, 'Ann', 'DE'), (2, 'Bob', 'FR');
    insert into orders values (1, 1, '2024-01-02', 9.5), (2, 1, '2024-02-03', 20), (3, 2, '2024-02-04', 0.25)";

#[tokio::test]
async fn the_same_question_has_the_same_answer_on_every_engine() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let rows = database
            .run("select c.name, count(*), sum(o.total) from customers c join orders o on o.customer_id = c.id group by c.name order by 1")
            .await
            .unwrap();
        assert_eq!(json!(rows.rows), json!([["Ann", 2, 29.5], ["Bob", 1, 0.25]]), "{:?}", database.schema.engine);
        let rows = database.run("select day from orders where customer_id = 2").await.unwrap();
        assert_eq!(json!(rows.rows), json!([["2024-02-04"]]), "{:?}", database.schema.engine);
    }
}

#[tokio::test]
async fn introspection_and_guard_agree_on_names() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let schema = &database.schema.search_path[0];
        for sql in ["select * from orders", &format!("select o.total from {schema}.orders o")] {
            assert_eq!(database.run(sql).await.unwrap().row_count, 3, "{sql}");
        }
        let unknown = guard::check("select no_such_column from orders", &database.schema, &Policy::default());
        assert!(unknown.is_err());
        let values = |table: usize, column: usize| &database.schema.tables[table].columns[column].sample_values;
        assert_eq!(values(0, 2), &["DE", "FR"]);
    }
}

#[tokio::test]
async fn what_the_guard_let_through_is_estimated_without_being_run() {
    let deadline = Duration::from_secs(5);
    let database = Database::postgres().await;
    let estimated = async |sql: &str| {
        let statement = guard::check(sql, &database.schema, &Policy::default()).unwrap();
        database.engine.estimate(&statement, deadline).await.unwrap()
    };
    let (small, large) = (estimated("select * from orders").await, estimated("select * from orders a, orders b").await);
    let (small, large) = (small.unwrap(), large.unwrap());
    assert_eq!((small.rows, large.rows), (3.0, 9.0));
    assert!(small.cost < large.cost);
    let endless = "with recursive n(i) as (select 1 union all select i from n) select count(*) from n";
    assert!(estimated(endless).await.is_some());

    let database = Database::sqlite().await;
    let statement = guard::check("select * from orders", &database.schema, &Policy::default()).unwrap();
    assert_eq!(database.engine.estimate(&statement, deadline).await.unwrap(), None);
}

#[tokio::test]
async fn privileges_are_those_of_the_login() {
    let database = Database::postgres().await;
    let privileges = database.engine.privileges().await.unwrap();
    assert!(!privileges.login.is_empty());
    let mut owner = PgConnection::connect(&database.url).await.unwrap();
    let owns = sqlx::query_scalar("select tableowner::text from pg_tables where tablename = 'orders'");
    let owns: String = owns.fetch_one(&mut owner).await.unwrap();
    assert_eq!((owns, privileges.read_only()), (privileges.login, false));
    assert!(Database::sqlite().await.engine.privileges().await.unwrap().read_only());
}

#[tokio::test]
async fn a_slow_statement_that_the_guard_allows_ends_at_its_deadline() {
    let caps = Caps { deadline: Duration::from_millis(500), ..Caps::default() };
    for database in [Database::sqlite().await, Database::postgres().await] {
        let slow =
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000000000) select sum(i) from n";
        let statement = guard::check(slow, &database.schema, &Policy::default()).unwrap();
        let error = database.engine.run(&statement, &caps).await.unwrap_err();
        assert_eq!(error, EngineError::Timeout(caps.deadline), "{:?}", database.schema.engine);
    }
}

#[tokio::test]
async fn names_mean_what_they_meant_to_the_guard_when_the_logins_path_changes_later() {
    let database = Database::postgres().await;
    let statement = guard::check("select count(*) from customers", &database.schema, &Policy::default()).unwrap();
    let mut owner = PgConnection::connect(&database.url).await.unwrap();
    let moved = "create schema decoy; create table decoy.customers (id integer);
        do $$ begin execute format('alter database %I set search_path = decoy, public', current_database()); end $$";
    sqlx::raw_sql(moved).execute(&mut owner).await.unwrap();
    // A new engine has new sessions, which start under the new path.
    let later = connect(&database.url.clone().into(), &Access::default()).await.unwrap();
    let rows = later.run(&statement, &Caps::default()).await.unwrap();
    assert_eq!(json!(rows.rows), json!([[2]]));
}

#[tokio::test]
async fn functions_and_operators_of_the_user_never_stand_in_for_the_built_in_ones() {
    let database = Database::postgres().await;
    let mut owner = PgConnection::connect(&database.url).await.unwrap();
    // More exact matches than the built-in ones, which a wider search path would prefer.
    let decoys = "create function public.length(integer) returns text language sql as $$ select 'decoy' $$;
        create function public.round(text) returns text language sql as $$ select 'decoy' $$;
        create function public.plus(text, text) returns text language sql as $$ select 'decoy' $$;
        create operator public.+ (function = public.plus, leftarg = text, rightarg = text)";
    sqlx::raw_sql(decoys).execute(&mut owner).await.unwrap();
    for sql in
        ["select length(id) from customers", "select round(name) from customers", "select name + name from customers"]
    {
        let statement = guard::check(sql, &database.schema, &Policy::default()).unwrap();
        let ran = database.engine.run(&statement, &Caps::default()).await;
        assert!(matches!(ran, Err(EngineError::Rejected { .. })), "{sql}: {ran:?}");
    }
}

struct Database {
    url: String,
    engine: Arc<dyn SqlEngine>,
    schema: Schema,
}

impl Database {
    async fn sqlite() -> Self {
        let dir = scratch_dir();
        let file = SqliteConnectOptions::new().filename(dir.join("shop.db")).create_if_missing(true);
        let mut connection = file.connect().await.unwrap();
        sqlx::raw_sql(SHOP).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        Self::new("sqlite:shop.db".to_owned(), &Access { sqlite_dirs: vec![dir], ..Access::default() }).await
    }

    async fn postgres() -> Self {
        let url = new_database().await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("{SHOP}; analyze"))).execute(&mut connection).await.unwrap();
        Self::new(url, &Access::default()).await
    }

    async fn new(url: String, access: &Access) -> Self {
        let engine = connect(&url.clone().into(), access).await.unwrap();
        let schema = engine.introspect(&Samples::all()).await.unwrap();
        assert_eq!(schema.engine, engine.engine());
        Self { url, engine, schema }
    }

    async fn run(&self, sql: &str) -> Result<Rows, EngineError> {
        let statement = guard::check(sql, &self.schema, &Policy::default()).unwrap();
        self.engine.run(&statement, &Caps::default()).await
    }
}
