//! Questions to databases: what people teach, what was verified, how one question goes on from another.

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    databases::{sales, sales_on_postgres},
    support::{Answer, TestApp},
};

const CITIES: &str = "select count(*) from customers where city = 'Birkvale'";

async fn ask(app: &TestApp, database: &str, question: &str) -> Value {
    ask_with(app, database, json!({"question": question})).await
}

async fn ask_with(app: &TestApp, database: &str, body: Value) -> Value {
    app.post(&format!("/v1/databases/{database}/ask"), body).await.expect(StatusCode::OK)
}

async fn key(app: &TestApp, scopes: &[&str]) -> TestApp {
    let created = app.post("/v1/keys", json!({"name": "another", "scopes": scopes})).await.expect(StatusCode::CREATED);
    app.with_key(created["key"].as_str().unwrap())
}

async fn put_notes(app: &TestApp, database: &str, query: &str, yaml: &str) -> Answer {
    let path = format!("/v1/databases/{database}/notes{query}");
    app.send(app.request(Method::PUT, &path).header(header::CONTENT_TYPE, "application/yaml").body(yaml.to_owned()))
        .await
}

async fn yaml_notes(app: &TestApp, database: &str) -> String {
    let request = app.request(Method::GET, &format!("/v1/databases/{database}/notes"));
    let answer = app.send(request.header(header::ACCEPT, "application/yaml")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.text
}

#[tokio::test]
async fn notes_go_out_as_a_file_and_come_back_as_one() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let file = "
schemas:
  main:
    order_items:
      description: The lines of an order
      metrics:
      - name: net sales
        synonyms: [Nettoumsatz]
        expression: sum(line_total_eur)
        unit: EUR
      columns:
        quantity:
          unit: pieces
    orders:
      filters:
      - name: live
        condition: status <> 'cancelled'
      joins:
      - columns: [customer_id]
        referenced_schema: main
        referenced_table: customers
        referenced_columns: [id]
    payments:
      hidden: true
";
    let tried = put_notes(&app, &database, "?dry_run=true", file).await.expect(StatusCode::OK);
    assert_eq!(tried, json!({"changed": ["main.order_items", "main.orders", "main.payments"], "dry_run": true}));
    assert_eq!(app.table(&database, "payments").await["hidden"], false, "a dry run changes nothing");
    put_notes(&app, &database, "", file).await.expect(StatusCode::OK);
    assert_eq!(app.table(&database, "payments").await["hidden"], true);
    assert_eq!(app.table(&database, "order_items").await["metrics"][0]["synonyms"], json!(["Nettoumsatz"]));

    let exported = yaml_notes(&app, &database).await;
    assert!(exported.contains("expression: sum(line_total_eur)"), "{exported}");
    let again = put_notes(&app, &database, "", &exported).await.expect(StatusCode::OK);
    assert_eq!(again["changed"], json!([]), "what was exported is what is there");
    let fewer = exported.replace("hidden: true", "hidden: false");
    let changed = put_notes(&app, &database, "", &fewer).await.expect(StatusCode::OK);
    assert_eq!(changed["changed"], json!(["main.payments"]));
    let none = put_notes(&app, &database, "", "schemas: {}").await.expect(StatusCode::OK);
    assert_eq!(none["changed"], json!(["main.order_items", "main.orders", "main.payments"]));
    assert_eq!(app.table(&database, "order_items").await["description"], Value::Null);
}

#[tokio::test]
async fn notes_that_cannot_be_used_are_refused_where_they_stand_and_nothing_of_them_is_kept() {
    let app = TestApp::start().await;
    for database in [sales(&app).await, sales_on_postgres(&app).await] {
        let customers = app.table(&database, "customers").await;
        let path = format!("/v1/databases/{database}/tables/{}", customers["id"].as_str().unwrap());
        for (notes, pointer, code) in [
            (
                json!({"metrics": [{"name": "credit", "expression": "credit_limit_eur"}]}),
                "/metrics/0/expression",
                "invalid_request",
            ),
            (
                json!({"metrics": [{"name": "credit", "expression": "sum(nothing)"}]}),
                "/metrics/0/expression",
                "invalid_request",
            ),
            (
                json!({"metrics": [{"name": "credit", "expression": "sum(credit_limit_eur) + pg_sleep(1)"}]}),
                "/metrics/0/expression",
                "sql_rejected",
            ),
            (
                json!({"metrics": [{"name": " ", "expression": "sum(credit_limit_eur)"}]}),
                "/metrics/0/name/0",
                "invalid_request",
            ),
            (
                json!({"filters": [{"name": "big", "condition": "1 = 1) or (city = 'x'"}]}),
                "/filters/0/condition",
                "invalid_request",
            ),
            (
                json!({"filters": [{"name": "big", "condition": "city = 'x'"}, {"name": "Big", "condition": "city = 'y'"}]}),
                "/filters/1/name",
                "invalid_request",
            ),
            (
                json!({"joins": [{"columns": ["city"], "referenced_schema": "main", "referenced_table": "towns", "referenced_columns": ["name"]}]}),
                "/joins/0",
                "invalid_request",
            ),
            (json!({"columns": {"city": {"synonyms": [""]}}}), "/columns/city/synonyms/0", "invalid_request"),
        ] {
            let refused = app.patch(&path, notes.clone()).await;
            assert_eq!(refused.problem(422), code, "{notes}: {}", refused.text);
            assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{notes}: {}", refused.text);
        }
        assert_eq!(app.table(&database, "customers").await, customers);
    }
}

#[tokio::test]
async fn a_file_of_notes_that_is_no_such_file_says_why() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    for (file, words) in [
        ("schemas: [", ""),
        ("schemas: {main: {towns: {hidden: true}}}", "no such table"),
        ("schemas: {main: {orders: {colour: red}}}", "colour"),
        ("schemas: {main: {orders: {columns: {colour: {hidden: true}}}}}", "no such column"),
        ("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nschemas: {}", ""),
    ] {
        let refused = put_notes(&app, &database, "", file).await;
        assert_eq!(refused.problem(422), "invalid_request", "{file}: {}", refused.text);
        assert!(refused.text.contains(words), "{file}: {}", refused.text);
    }
    let path = format!("/v1/databases/{database}/notes");
    let form = app.send(app.request(Method::PUT, &path).header(header::CONTENT_TYPE, "text/plain").body("x")).await;
    assert_eq!(form.problem(415), "unsupported_media_type");
    let reader = key(&app, &["read", "write", "sql"]).await;
    assert_eq!(reader.get(&path).await.problem(403), "forbidden");
    assert_eq!(put_notes(&reader, &database, "", "schemas: {}").await.problem(403), "forbidden");
}

#[tokio::test]
async fn a_verified_example_answers_its_question_and_the_same_one_about_another_value() {
    let app = TestApp::start().await;
    for database in [sales(&app).await, sales_on_postgres(&app).await] {
        let path = format!("/v1/databases/{database}/examples");
        let question = "How many accounts do we have in Birkvale?";
        let refused = app.post(&path, json!({"question": question, "sql": "delete from customers"})).await;
        assert_eq!(refused.problem(422), "sql_rejected");
        let example = app.post(&path, json!({"question": question, "sql": CITIES})).await.expect(StatusCode::CREATED);
        assert_eq!(example["status"], "verified");
        let twice = app.post(&path, json!({"question": question, "sql": CITIES})).await;
        assert_eq!(twice.problem(409), "conflict");
        let long: String = (0..1_990).map(|at| char::from_u32(0x4e00 + at * 7).unwrap()).collect();
        app.post(&path, json!({"question": long, "sql": CITIES})).await.expect(StatusCode::CREATED);

        let same = ask(&app, &database, "how many accounts do we have in birkvale").await;
        assert_eq!((&same["generator"], &same["example_id"]), (&json!("example"), &example["id"]), "{same:#}");
        assert_eq!(same["executed"], true);
        let other = ask(&app, &database, "How many accounts do we have in Marrowick?").await;
        assert_eq!(other["generator"], "example", "{other:#}");
        assert!(other["sql"].as_str().unwrap().contains("'Marrowick'"), "{other:#}");
        assert!(other["assumptions"].to_string().contains("Marrowick"), "{other:#}");
        let more = ask(&app, &database, "How many accounts do we have in Marrowick without orders?").await;
        assert_ne!(more["generator"], "example", "{more:#}");

        let id = example["id"].as_str().unwrap();
        assert_eq!(app.delete(&format!("{path}/{id}")).await.status, StatusCode::NO_CONTENT);
        assert_eq!(app.delete(&format!("{path}/{id}")).await.problem(404), "not_found");
        assert_ne!(ask(&app, &database, question).await["generator"], "example");
    }
}

#[tokio::test]
async fn an_example_that_the_schema_no_longer_bears_is_flagged_and_not_used() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let path = format!("/v1/databases/{database}/examples");
    let question = "How many accounts do we have in Birkvale?";
    app.post(&path, json!({"question": question, "sql": CITIES})).await.expect(StatusCode::CREATED);
    let customers = app.table(&database, "customers").await["id"].as_str().unwrap().to_owned();
    let table = format!("/v1/databases/{database}/tables/{customers}");
    app.patch(&table, json!({"columns": {"city": {"hidden": true}}})).await.expect(StatusCode::OK);
    let broken = app.get(&format!("{path}?status=broken")).await.expect(StatusCode::OK);
    assert_eq!(broken["data"][0]["question"], question, "{broken:#}");
    assert!(!broken["data"][0]["violations"].as_array().unwrap().is_empty());
    let editor = key(&app, &["write"]).await;
    let closed = editor.get(&format!("{path}?status=broken")).await.expect(StatusCode::OK);
    assert!(!closed.to_string().contains("city"), "it may name what is hidden: {closed:#}");
    let asked = ask(&app, &database, question).await;
    assert_ne!(asked["generator"], "example", "{asked:#}");
    assert!(!asked.to_string().contains("city"), "a hidden column does not exist: {asked:#}");

    app.patch(&table, json!({"columns": {"city": {"hidden": false}}})).await.expect(StatusCode::OK);
    assert_eq!(ask(&app, &database, question).await["generator"], "example");
    let script = format!("sqlite:{}", app.data_dir.join("databases/sales.sqlite").display());
    run_on_sqlite(&script, "alter table customers rename column city to town").await;
    app.sync(&database).await;
    let broken = app.get(&format!("{path}?status=broken")).await.expect(StatusCode::OK);
    assert_eq!(broken["data"].as_array().unwrap().len(), 1, "every sync checks again");
}

async fn run_on_sqlite(url: &str, statement: &'static str) {
    use sqlx::{Connection, Executor};
    let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
    connection.execute(statement).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn feedback_proposes_an_example_that_answers_once_an_editor_approves_it() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let analyst = key(&app, &["read", "sql"]).await;
    let examples = format!("/v1/databases/{database}/examples");
    let asked =
        ask_with(&analyst, &database, json!({"question": "How many customers are there?", "min_confidence": 0})).await;
    let feedback = format!("/v1/queries/{}/feedback", asked["id"].as_str().unwrap());

    let wrong = json!({"rating": "down", "corrected_sql": "drop table customers"});
    assert_eq!(analyst.post(&feedback, wrong).await.problem(422), "sql_rejected");
    assert_eq!(analyst.post(&feedback, json!({"rating": "sideways"})).await.problem(422), "invalid_request");
    let up = analyst.post(&feedback, json!({"rating": "up", "comment": "right"})).await.expect(StatusCode::CREATED);
    let proposed = app.get(&format!("{examples}?status=proposed")).await.expect(StatusCode::OK);
    assert_eq!(proposed["data"][0]["id"], up["example_id"], "{proposed:#}");

    let corrected = "select count(*) as customers from customers";
    let down = json!({"rating": "down", "corrected_sql": corrected});
    let down = analyst.post(&feedback, down).await.expect(StatusCode::CREATED);
    assert_eq!(down["id"], up["id"], "a newer opinion replaces the older");
    assert_ne!(down["example_id"], up["example_id"], "what an editor may have read is never changed");
    let question = json!({"question": "How many customers are there?"});
    assert_ne!(ask_with(&analyst, &database, question.clone()).await["generator"], "example", "nobody has approved it");
    let first = format!("{examples}/{}/approve", up["example_id"].as_str().unwrap());
    assert_eq!(app.post(&first, json!({})).await.problem(404), "not_found");
    let approve = format!("{examples}/{}/approve", down["example_id"].as_str().unwrap());
    assert_eq!(analyst.post(&approve, json!({})).await.problem(403), "forbidden");
    let editor = key(&app, &["write"]).await;
    let approved = editor.post(&approve, json!({})).await.expect(StatusCode::OK);
    assert_eq!((&approved["status"], &approved["sql"]), (&json!("verified"), &json!(corrected)));
    let answer = ask_with(&analyst, &database, question).await;
    assert_eq!((&answer["generator"], &answer["sql"]), (&json!("example"), &json!(corrected)), "{answer:#}");

    let other = key(&app, &["sql"]).await;
    assert_eq!(other.post(&feedback, json!({"rating": "up"})).await.problem(404), "not_found", "another key's answer");

    let products = ask(&analyst, &database, "How many products are there?").await;
    let feedback = format!("/v1/queries/{}/feedback", products["id"].as_str().unwrap());
    analyst.post(&feedback, json!({"rating": "up"})).await.expect(StatusCode::CREATED);
    analyst.post(&feedback, json!({"rating": "down"})).await.expect(StatusCode::CREATED);
    let waiting = app.get(&format!("{examples}?status=proposed")).await.expect(StatusCode::OK);
    assert_eq!(waiting["data"], json!([]), "nobody stands for it any more");
}

#[tokio::test]
async fn a_question_goes_on_from_the_one_before() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let first = ask_with(&app, &database, json!({"question": "How many orders in 2024?", "min_confidence": 0})).await;
    let id = first["id"].as_str().unwrap().to_owned();
    let next = json!({"question": "and in 2025?", "previous_query_id": id, "min_confidence": 0});
    let next = ask_with(&app, &database, next).await;
    assert_eq!(next["read_as"], "How many orders in 2025", "{next:#}");
    assert_eq!(next["previous_query_id"], id);
    assert!(
        next["sql"].as_str().unwrap().contains("2025") && !next["sql"].as_str().unwrap().contains("2024"),
        "{next:#}"
    );
    let then = json!({"question": "and by month?", "previous_query_id": next["id"], "min_confidence": 0});
    let then = ask_with(&app, &database, then).await;
    assert_eq!(then["read_as"], "How many orders in 2025 by month", "{then:#}");
    assert_eq!(then["result"]["row_count"], 12, "{then:#}");
    let alone = json!({"question": "How many products are there?", "previous_query_id": id, "min_confidence": 0});
    assert_eq!(ask_with(&app, &database, alone).await["read_as"], Value::Null);

    let ask = format!("/v1/databases/{database}/ask");
    let other = key(&app, &["sql"]).await;
    let foreign = other.post(&ask, json!({"question": "and by month?", "previous_query_id": id})).await;
    assert_eq!(foreign.problem(404), "not_found", "another key's answer");
    let unknown = json!({"question": "and by month?", "previous_query_id": uuid::Uuid::now_v7()});
    assert_eq!(app.post(&ask, unknown).await.problem(404), "not_found");
}

#[tokio::test]
async fn the_history_is_searched_by_words_and_by_what_people_thought() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let customers = ask(&app, &database, "How many customers are there?").await;
    let products = ask(&app, &database, "How many products are there?").await;
    let found = async |query: &str| {
        let listed = app.get(&format!("/v1/queries?{query}")).await.expect(StatusCode::OK);
        listed["data"].as_array().unwrap().iter().map(|query| query["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(found("q=customers").await, std::slice::from_ref(&customers["id"]));
    assert_eq!(found("q=many -customers").await, std::slice::from_ref(&products["id"]));
    assert_eq!(found("q=from products").await, std::slice::from_ref(&products["id"]), "words of the SQL too");
    assert!(found("q=nonsense").await.is_empty());
    assert!(found("rating=up").await.is_empty());
    let feedback = format!("/v1/queries/{}/feedback", products["id"].as_str().unwrap());
    app.post(&feedback, json!({"rating": "up"})).await.expect(StatusCode::CREATED);
    assert_eq!(found("rating=up&q=products").await, std::slice::from_ref(&products["id"]));
    assert!(found("rating=down").await.is_empty());
    assert_eq!(app.get("/v1/queries?q=").await.problem(422), "invalid_request");
}

#[tokio::test]
async fn questions_take_up_what_people_declared() {
    let app = TestApp::start().await;
    for database in [sales(&app).await, sales_on_postgres(&app).await] {
        let id = async |table: &str| app.table(&database, table).await["id"].as_str().unwrap().to_owned();
        let tables = format!("/v1/databases/{database}/tables");
        let metric = json!({"name": "net sales", "synonyms": ["Nettoumsatz"], "expression": "sum(line_total_eur)"});
        let items = format!("{tables}/{}", id("order_items").await);
        app.patch(&items, json!({"metrics": [metric]})).await.expect(StatusCode::OK);
        let filter = json!({"name": "live", "condition": "status <> 'cancelled'", "default": true});
        let orders = format!("{tables}/{}", id("orders").await);
        app.patch(&orders, json!({"filters": [filter]})).await.expect(StatusCode::OK);
        let customers = format!("{tables}/{}", id("customers").await);
        app.patch(&customers, json!({"synonyms": ["Kunden", "客户"]})).await.expect(StatusCode::OK);

        let asked =
            async |question: &str| ask_with(&app, &database, json!({"question": question, "min_confidence": 0})).await;
        for question in ["What are the net sales?", "Wie hoch ist der Nettoumsatz?"] {
            let answer = asked(question).await;
            assert!(answer["sql"].as_str().unwrap().contains("sum(line_total_eur)"), "{answer:#}");
        }
        let grouped = asked("net sales by product").await;
        assert!(grouped["sql"].as_str().unwrap().contains("group by"), "{grouped:#}");
        for question in ["Wie viele Kunden gibt es?", "客户有多少?"] {
            let answer = asked(question).await;
            assert_eq!(answer["result"]["rows"], json!([[220]]), "{answer:#}");
        }
        let live = asked("How many orders are there?").await;
        assert!(live["sql"].as_str().unwrap().contains("<> 'cancelled'"), "{live:#}");
        assert_eq!(live["assumptions"], json!(["only live, by default"]));
        for all in ["How many cancelled orders are there?", "How many orders are there including cancelled ones?"] {
            let answer = asked(all).await;
            assert!(!answer["sql"].as_str().unwrap().contains("<> 'cancelled'"), "{all}: {answer:#}");
        }
    }
}

#[tokio::test]
async fn an_answer_says_what_to_beware_of_and_how_it_may_be_drawn() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let execute = format!("/v1/databases/{database}/execute");
    let run = async |sql: &str| app.post(&execute, json!({"sql": sql})).await.expect(StatusCode::OK);
    let twice = run("select sum(i.net_amount_eur) from invoices i join payments p on p.invoice_id = i.id").await;
    assert_eq!(twice["lints"][0]["code"], "fan_out", "{twice:#}");
    let misspelled = run("select count(*) from customers where city = 'Birkvle'").await;
    assert_eq!(misspelled["lints"][0]["code"], "unknown_value", "{misspelled:#}");
    assert!(misspelled["alternatives"][0]["sql"].as_str().unwrap().contains("'Birkvale'"), "{misspelled:#}");
    let drawn = run("select segment, count(*) as customers from customers group by segment").await;
    assert_eq!((&drawn["chart"]["mark"]["type"], &drawn["lints"]), (&json!("bar"), &json!([])), "{drawn:#}");
}

#[tokio::test]
async fn what_a_question_must_not_do_is_declined_in_words() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let customers = app.table(&database, "customers").await["id"].as_str().unwrap().to_owned();
    let table = format!("/v1/databases/{database}/tables/{customers}");
    app.patch(&table, json!({"columns": {"credit_limit_eur": {"hidden": true}}})).await.expect(StatusCode::OK);
    let long = "customers ".repeat(1_000);
    for question in ["Delete all customers", "asdf qwer zxcv", "Update the price of every product to 0", &long] {
        let answer = ask(&app, &database, question).await;
        assert_eq!((&answer["sql"], &answer["executed"]), (&Value::Null, &json!(false)), "{question}: {answer:#}");
        assert!(!answer["explanation"].as_str().unwrap().is_empty());
    }
    let hidden =
        ask_with(&app, &database, json!({"question": "highest credit limit of customers", "min_confidence": 0})).await;
    assert!(!hidden.to_string().contains("credit_limit"), "{hidden:#}");
    let path = format!("/v1/databases/{database}/ask");
    assert_eq!(app.post(&path, json!({"question": "x".repeat(10_001)})).await.problem(422), "invalid_request");
}
