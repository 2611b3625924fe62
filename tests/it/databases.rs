//! Users' databases through the API: connected, described, asked, and never written.

use std::path::Path;

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    fake_openai::{FakeOpenAi, KEY},
    mariadb::{self, Mariadb},
    support::{TestApp, fixture, new_user_database},
};

/// The sample company's sales database as a SQLite file of this test's own.
pub async fn sales(app: &TestApp) -> String {
    let path = app.data_dir.join("databases/sales.sqlite");
    let url = format!("sqlite:{}?mode=rwc", path.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let script = String::from_utf8(fixture("database/sales.sql")).unwrap();
    connection.execute(sqlx::AssertSqlSafe(script)).await.unwrap();
    connection.close().await.unwrap();
    app.connect("sqlite:sales.sqlite").await
}

/// The same database on PostgreSQL.
pub async fn sales_on_postgres(app: &TestApp) -> String {
    let url = new_user_database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let script = String::from_utf8(fixture("database/sales.postgres.sql")).unwrap();
    connection.execute(sqlx::AssertSqlSafe(script)).await.unwrap();
    connection.close().await.unwrap();
    app.connect(&url).await
}

async fn execute(app: &TestApp, database: &str, sql: &str) -> Value {
    let answer = app.post(&format!("/v1/databases/{database}/execute"), json!({"sql": sql})).await;
    answer.expect(StatusCode::OK)
}

#[tokio::test]
async fn a_database_is_described_with_keys_and_samples() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let schema = app.get(&format!("/v1/databases/{database}/schema")).await.expect(StatusCode::OK);
    assert_eq!(schema["engine"], "sqlite");
    let tables = schema["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 14);
    let orders = tables.iter().find(|table| table["name"] == "orders").unwrap();
    assert_eq!(orders["primary_key"].as_array().unwrap().len(), 1, "{orders:#}");
    let keys = orders["foreign_keys"].as_array().unwrap();
    assert!(keys.iter().any(|key| key["referenced_table"] == "customers"), "{orders:#}");
    let status = orders["columns"].as_array().unwrap().iter().find(|column| column["name"] == "status").unwrap();
    assert!(status.to_string().contains("in_production"), "its check lists them, or samples do: {status:#}");
}

#[tokio::test]
async fn every_sample_question_with_sql_gives_the_same_rows_on_both_engines() {
    let app = TestApp::start().await;
    let (sqlite, postgres) = (sales(&app).await, sales_on_postgres(&app).await);
    let figures: Value = serde_json::from_slice(&fixture("database/figures.json")).unwrap();
    let figures = figures.as_object().unwrap();
    assert!(figures.len() > 100);
    for (name, figure) in figures.iter().take(40) {
        let sql = figure["sql"].as_str().unwrap();
        let (left, right) = (execute(&app, &sqlite, sql).await, execute(&app, &postgres, sql).await);
        let number = |query: &Value| {
            let cell = &query["result"]["rows"][0][0];
            cell.as_f64().or_else(|| cell.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{name}: {query:#}"))
        };
        assert!((number(&left) - number(&right)).abs() < 0.005, "{name}: {left:#} {right:#}");
    }
}

#[tokio::test]
async fn questions_are_answered_with_sql_and_rows_or_declined() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let path = format!("/v1/databases/{database}/ask");
    let query = app.post(&path, json!({"question": "How many customers are there?"})).await.expect(StatusCode::OK);
    assert_eq!((&query["executed"], &query["generator"]), (&json!(true), &json!("builtin")), "{query:#}");
    let expected = execute(&app, &database, "select count(*) from customers").await;
    assert_eq!(query["result"]["rows"], expected["result"]["rows"]);
    assert!(!query["explanation"].as_str().unwrap().is_empty());
    let again = app.get(&format!("/v1/queries/{}", query["id"].as_str().unwrap())).await.expect(StatusCode::OK);
    assert_eq!(again, query, "the history holds the whole answer");

    for question in ["What is the meaning of life?", "qwertz uiop asdf", "🦀🦀", &"very ".repeat(1_900)] {
        let declined = app.post(&path, json!({"question": question})).await.expect(StatusCode::OK);
        assert_eq!((&declined["executed"], &declined["result"]), (&json!(false), &Value::Null), "{declined:#}");
        assert!(!declined["explanation"].as_str().unwrap().is_empty(), "{declined:#}");
    }
    let unsure = app.post(&path, json!({"question": "customers by country", "min_confidence": 1.0})).await.json();
    assert_eq!(unsure["executed"], false, "below min_confidence nothing runs: {unsure:#}");
    assert!(unsure["choices"].as_array().unwrap().len() <= 3);
}

#[tokio::test]
async fn a_model_writes_sql_and_the_guard_has_the_last_word() {
    let fake = FakeOpenAi::start().await;
    let app = TestApp::with(&[("llm_url", &fake.url()), ("llm_key", KEY), ("llm_model", "test-chat")]).await;
    let database = sales(&app).await;
    let path = format!("/v1/databases/{database}/ask");
    let question = json!({"question": "How many orders are there?"});
    fake.say(
        "Here you are:\n```json\n{\"sql\": \"SELECT count(*) FROM orders\", \"explanation\": \"Counts orders.\"}\n```",
    );
    let query = app.post(&path, question.clone()).await.expect(StatusCode::OK);
    assert_eq!((&query["generator"], &query["executed"]), (&json!("model"), &json!(true)), "{query:#}");

    for hostile in ["DROP TABLE orders", "SELECT * FROM sqlite_master", "DELETE FROM orders; SELECT 1"] {
        fake.say(&json!({"sql": hostile, "explanation": "Trust me."}).to_string());
        let refused = app.post(&path, question.clone()).await.expect(StatusCode::OK);
        assert_eq!((&refused["executed"], &refused["result"]), (&json!(false), &Value::Null), "{refused:#}");
        assert!(refused["attempts"].as_u64().unwrap() <= 3, "{refused:#}");
    }
    let orders = execute(&app, &database, "select count(*) from orders").await;
    assert_eq!(orders["result"]["rows"], query["result"]["rows"], "nothing was written");
    assert_eq!(fake.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn sql_that_does_more_than_read_is_refused_with_reasons_and_never_runs() {
    let app = TestApp::start().await;
    for database in [sales(&app).await, sales_on_postgres(&app).await] {
        let before = execute(&app, &database, "select count(*), sum(quantity) from order_items").await;
        for sql in [
            "delete from orders",
            "update orders set status = 'x'",
            "insert into regions values ('x', 'y')",
            "drop table orders",
            "select 1; drop table orders",
            "with gone as (delete from orders returning *) select * from gone",
            "attach database 'x' as y",
            "pragma writable_schema = 1",
            "select pg_sleep(100)",
            "select * from pg_catalog.pg_shadow",
            "select load_extension('x')",
            "select * from orders for update",
            "",
            "this is no sql",
        ] {
            let answer = app.post(&format!("/v1/databases/{database}/execute"), json!({"sql": sql})).await;
            assert_eq!(answer.problem(422), "sql_rejected", "{sql}");
            assert!(answer.json()["violations"][0]["code"].is_string(), "{sql}: {}", answer.text);
            let verdict = app.post(&format!("/v1/databases/{database}/validate"), json!({"sql": sql})).await;
            assert_eq!(verdict.expect(StatusCode::OK)["safe"], false, "{sql}");
        }
        let after = execute(&app, &database, "select count(*), sum(quantity) from order_items").await;
        assert_eq!(before["result"]["rows"], after["result"]["rows"]);
    }
}

#[tokio::test]
async fn what_is_hidden_does_not_exist() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let schema = app.get(&format!("/v1/databases/{database}/schema")).await.json();
    let table = schema["tables"].as_array().unwrap().iter().find(|table| table["name"] == "employees").unwrap();
    let path = format!("/v1/databases/{database}/tables/{}", table["id"].as_str().unwrap());
    let hidden =
        app.patch(&path, json!({"hidden": true, "description": "Not for everybody."})).await.expect(StatusCode::OK);
    assert_eq!((&hidden["hidden"], &hidden["description"]), (&json!(true), &json!("Not for everybody.")));
    let refused =
        app.post(&format!("/v1/databases/{database}/execute"), json!({"sql": "select * from employees"})).await;
    assert_eq!(refused.json()["violations"][0]["code"], "unknown_table", "{}", refused.text);
    app.post(&format!("/v1/databases/{database}/sync"), json!({})).await.expect(StatusCode::ACCEPTED);
    app.synced(&database).await;
    let schema = app.get(&format!("/v1/databases/{database}/schema")).await.json();
    let again = schema["tables"].as_array().unwrap().iter().find(|found| found["id"] == table["id"]).unwrap();
    assert_eq!(again["hidden"], true, "a sync keeps ids and what people said");
    let unknown = app.patch(&path, json!({"columns": {"no_such_column": {"hidden": true}}})).await;
    assert_eq!(unknown.problem(422), "invalid_request");
}

#[tokio::test]
async fn rows_come_as_csv_and_are_capped() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let path = format!("/v1/databases/{database}/execute");
    let body = json!({"sql": "select name from categories order by name", "limit": 2});
    let capped = app.post(&path, body.clone()).await.expect(StatusCode::OK);
    assert_eq!((&capped["result"]["row_count"], &capped["result"]["truncated"]), (&json!(2), &json!(true)));
    let csv = app.send(app.request(Method::POST, &path).header(header::ACCEPT, "text/csv").json(&body)).await;
    assert!(csv.headers["content-type"].to_str().unwrap().starts_with("text/csv"));
    assert_eq!(csv.text.lines().count(), 3, "{}", csv.text);
    assert_eq!(app.post(&path, json!({"sql": "select 1", "limit": 0})).await.problem(422), "invalid_request");
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_or_may_not_be_is_a_clear_problem() {
    let app = TestApp::start().await;
    let create = |url: &str| app.post("/v1/databases", json!({"name": uuid::Uuid::now_v7(), "url": url}));
    for url in [
        "mysql://a:secret@169.254.169.254/b",
        "nonsense",
        "sqlite:/etc/passwd",
        "sqlite:../../secret.key",
        "postgres://a:secret@169.254.169.254/b",
    ] {
        let refused = create(url).await;
        assert_eq!(refused.problem(422), "database_not_allowed", "{url}");
        assert!(!refused.text.contains("secret@"), "{}", refused.text);
    }
    let own = app.app.config.database_url.as_ref().unwrap();
    assert_eq!(create(secrecy::ExposeSecret::expose_secret(own)).await.problem(422), "database_not_allowed");
    // A port on which nothing listens, and a file that is no database.
    std::fs::write(app.data_dir.join("databases/text.sqlite"), vec![b'x'; 5_000]).unwrap();
    for url in ["postgres://a:secret@127.0.0.1:9/b", "sqlite:text.sqlite"] {
        let made = create(url).await.expect(StatusCode::CREATED);
        let id = made["id"].as_str().unwrap();
        let failed = app.synced(id).await;
        assert_eq!(failed["status"], "failed", "{failed:#}");
        assert!(!failed.to_string().contains("secret"), "{failed:#}");
        let asked = app.post(&format!("/v1/databases/{id}/ask"), json!({"question": "How many?"})).await;
        assert_eq!(asked.problem(409), "database_not_ready");
    }
}

#[tokio::test]
async fn connection_strings_are_sealed_in_the_store() {
    let app = TestApp::start().await;
    sales(&app).await;
    let url = secrecy::ExposeSecret::expose_secret(app.app.config.database_url.as_ref().unwrap()).to_owned();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let sealed: Vec<u8> =
        sqlx::query_scalar("select url_sealed from databases").fetch_one(&mut connection).await.unwrap();
    assert!(!sealed.windows(6).any(|window| window == b"sqlite"), "the URL lies there in clear text");
    assert!(Path::new(&app.data_dir).join("secret.key").exists());
}

#[tokio::test]
async fn mariadb_is_described_asked_and_never_written() {
    let app = TestApp::start().await;
    let server = Mariadb::shared();
    let name = server
        .new_database(
            "create table customers (id int primary key, name varchar(40) not null, city varchar(40));
             create table orders (id int primary key, customer_id int, total decimal(10, 2), status enum('open', 'paid'),
                 foreign key (customer_id) references customers (id));
             insert into customers values (1, 'Ann', 'Berlin'), (2, 'Bob', 'Paris');
             insert into orders values (1, 1, 9.50, 'paid'), (2, 1, 20, 'open'), (3, 2, 0.25, 'paid')",
        )
        .await;
    let database = app.connect(&server.url(mariadb::ADMIN, &name, "")).await;
    let described = app.get(&format!("/v1/databases/{database}")).await.expect(StatusCode::OK);
    assert_eq!(described["engine"], "mysql");
    assert!(described["server_version"].as_str().unwrap().contains("MariaDB"), "{described:#}");
    assert!(!described["warnings"].as_array().unwrap().is_empty(), "an administrator can do more than read");

    let honest = "SELECT c.name, sum(o.total) AS s FROM Customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.name ORDER BY s DESC";
    let query = execute(&app, &database, honest).await;
    assert_eq!(query["result"]["rows"], json!([["Ann", 29.5], ["Bob", 0.25]]), "{query:#}");
    let asked = app
        .post(
            &format!("/v1/databases/{database}/ask"),
            json!({"question": "How many customers are in Berlin?", "min_confidence": 0}),
        )
        .await
        .expect(StatusCode::OK);
    assert_eq!(asked["result"]["rows"], json!([[1]]), "{asked:#}");
    for hostile in [
        "DELETE FROM orders",
        "SELECT * FROM mysql.user",
        "SELECT 1 /*!50000 INTO OUTFILE '/tmp/x' */",
        "SELECT load_file('/etc/passwd')",
        "SELECT sleep(10)",
        "SELECT @@version",
    ] {
        let refused = app.post(&format!("/v1/databases/{database}/execute"), json!({"sql": hostile})).await;
        let problem = refused.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem["code"], "sql_rejected", "{hostile}: {problem:#}");
    }
    let all = execute(&app, &database, "SELECT count(*) FROM orders").await;
    assert_eq!(all["result"]["rows"], json!([[3]]));
}
