//! How a database may be used: with which login, by which functions, at what cost, with which samples; and what people
//! say about it.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::{
    databases::{sales, sales_on_postgres},
    support::{TestApp, new_user_database, run_at, text_at},
};

/// A city of a customer.
const SAMPLE: &str = "Birkvale";

/// The same database for another login without a password.
fn with_login(url: &str, login: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    let kept: Vec<(String, String)> =
        url.query_pairs().filter(|(name, _)| name != "user").map(|(name, value)| (name.into(), value.into())).collect();
    url.query_pairs_mut().clear().extend_pairs(kept).append_pair("user", login);
    url.to_string()
}

#[tokio::test]
async fn a_login_that_can_do_more_than_read_is_warned_about_and_refused_where_it_must_not() {
    let app = TestApp::start().await;
    let url = new_user_database().await;
    run_at(&url, "create table notes (text text); insert into notes values ('a')").await;
    let database = app.connect(&url).await;
    let path = format!("/v1/databases/{database}");
    let shown = app.get(&path).await.expect(StatusCode::OK);
    assert_eq!(shown["warnings"][0]["code"], "superuser", "{shown:#}");
    assert!(!shown["login"].as_str().unwrap().is_empty() && !shown["server_version"].as_str().unwrap().is_empty());

    let strict = json!({"name": "strict", "url": url, "require_read_only": true});
    let refused = app.post("/v1/databases", strict).await;
    assert_eq!(refused.problem(422), "login_not_read_only");
    assert_eq!(refused.json()["errors"][0]["pointer"], "/url", "{}", refused.text);

    app.patch(&path, json!({"require_read_only": true})).await.expect(StatusCode::OK);
    let execute = format!("{path}/execute");
    let asked = app.post(&execute, json!({"sql": "select text from notes"})).await;
    assert_eq!(asked.problem(409), "database_not_ready", "from the change on, not only from the sync");
    let failed = app.synced(&database).await;
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("login_not_read_only")));
    for call in ["execute", "validate"] {
        let asked = app.post(&format!("{path}/{call}"), json!({"sql": "select text from notes"})).await;
        assert_eq!(asked.problem(409), "database_not_ready");
    }

    let reader = format!("reader_{}", uuid::Uuid::now_v7().simple());
    run_at(&url, &format!("create role {reader} login; grant select on notes to {reader}")).await;
    app.patch(&path, json!({"url": with_login(&url, &reader)})).await.expect(StatusCode::OK);
    let ready = app.synced(&database).await;
    assert_eq!((&ready["status"], &ready["login"]), (&json!("ready"), &json!(reader)), "{ready:#}");
    let warnings = ready["warnings"].as_array().unwrap();
    assert!(warnings.iter().all(|warning| warning["code"] == "sees_others"), "seeing is still reading: {ready:#}");
    app.post(&execute, json!({"sql": "select text from notes"})).await.expect(StatusCode::OK);

    let back = app.patch(&path, json!({"url": url})).await;
    assert_eq!(back.problem(422), "login_not_read_only", "the rule that is stored holds for a new URL");
    app.patch(&path, json!({"url": url, "require_read_only": false})).await.expect(StatusCode::OK);
    assert_eq!(app.synced(&database).await["status"], "ready");
}

#[tokio::test]
async fn samples_of_what_is_closed_are_neither_read_nor_kept() {
    let app = TestApp::start().await;
    let stored = "select coalesce(sum(jsonb_array_length(c -> 'sample_values')), 0)::text
                  from tables t, jsonb_array_elements(t.found -> 'columns') c where t.name = 'customers'";
    for database in [sales(&app).await, sales_on_postgres(&app).await] {
        let text = &format!("select found::text from tables where name = 'customers' and database_id = '{database}'");
        let stored = &format!("{stored} and t.database_id = '{database}'");
        let customers = app.table(&database, "customers").await;
        assert!(customers.to_string().contains(SAMPLE), "{customers:#}");
        let path = format!("/v1/databases/{database}/tables/{}", customers["id"].as_str().unwrap());
        app.patch(
            &path,
            json!({"columns": {"segment": {"masked": true}, "city": {"masked": true}, "name": {"hidden": true}}}),
        )
        .await
        .expect(StatusCode::OK);
        assert!(!text_at(app.store_url(), text).await.contains(SAMPLE), "it was removed at once");
        app.sync(&database).await;
        assert!(!text_at(app.store_url(), text).await.contains(SAMPLE), "it was not read again");

        app.patch(&path, json!({"hidden": true})).await.expect(StatusCode::OK);
        assert_eq!(text_at(app.store_url(), stored).await, "0");
        app.patch(&path, json!({"hidden": false, "columns": {"city": {"masked": false}}})).await.expect(StatusCode::OK);
        app.sync(&database).await;
        assert!(text_at(app.store_url(), text).await.contains(SAMPLE), "what is open again is read again");

        let path = format!("/v1/databases/{database}");
        app.patch(&path, json!({"samples": false})).await.expect(StatusCode::OK);
        assert_eq!(text_at(app.store_url(), stored).await, "0");
        app.sync(&database).await;
        assert_eq!(text_at(app.store_url(), stored).await, "0");
    }
    let app = TestApp::with(&[("sample_values", "false")]).await;
    sales(&app).await;
    assert_eq!(text_at(app.store_url(), stored).await, "0");
}

#[tokio::test]
async fn what_people_said_survives_a_table_that_goes_and_comes_back() {
    let app = TestApp::start().await;
    let url = new_user_database().await;
    let make = "create table staff (id integer primary key, name text, salary integer)";
    run_at(&url, make).await;
    let database = app.connect(&url).await;
    let staff = app.table(&database, "staff").await;
    let path = format!("/v1/databases/{database}/tables/{}", staff["id"].as_str().unwrap());
    let notes =
        json!({"description": "Who works here.", "synonyms": ["people"], "columns": {"salary": {"hidden": true}}});
    app.patch(&path, notes).await.expect(StatusCode::OK);
    assert_eq!(app.get(&format!("/v1/databases/{database}")).await.json()["last_changes"], Value::Null);

    run_at(&url, "drop table staff; create table other (id integer)").await;
    let gone = app.sync(&database).await;
    assert_eq!((&gone["table_count"], &gone["last_changes"]["tables_removed"]), (&json!(1), &json!(["public.staff"])));
    assert_eq!(app.patch(&path, json!({"hidden": true})).await.problem(404), "not_found");
    let at = app.sync(&database).await["last_changes"]["at"].clone();
    assert_eq!(at, gone["last_changes"]["at"], "a sync that changes nothing leaves what the last one changed");

    run_at(&url, &format!("{make}; alter table other alter id type bigint, add day date")).await;
    let back = app.sync(&database).await;
    assert_eq!(back["last_changes"]["tables_added"], json!(["public.staff"]), "{back:#}");
    let other = &back["last_changes"]["tables_changed"][0];
    assert_eq!((&other["table"], &other["columns_added"]), (&json!("other"), &json!(["day"])));
    assert_eq!(other["columns_changed"], json!([{"name": "id", "from": "integer", "to": "bigint"}]));
    let again = app.table(&database, "staff").await;
    assert_eq!((&again["id"], &again["description"]), (&staff["id"], &json!("Who works here.")));
    assert_eq!(again["columns"][2]["hidden"], true, "{again:#}");

    // Ninety days later it is forgotten.
    run_at(&url, "drop table staff").await;
    app.sync(&database).await;
    run_at(app.store_url(), "update tables set gone_at = now() - interval '91 days' where gone_at is not null").await;
    app.sync(&database).await;
    assert_eq!(text_at(app.store_url(), "select count(*)::text from tables").await, "1");
}

#[tokio::test]
async fn rules_are_shown_changed_and_bounded() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let path = format!("/v1/databases/{database}");
    let rules = json!({
        "approved_functions": ["Sales.Margin", "levenshtein"], "max_estimated_rows": 5e6, "max_estimated_cost": 0,
        "sync_interval_hours": 1
    });
    let changed = app.patch(&path, rules).await.expect(StatusCode::OK);
    assert_eq!(changed["approved_functions"], json!(["sales.margin", "levenshtein"]));
    assert_eq!((&changed["max_estimated_rows"], &changed["sync_interval_hours"]), (&json!(5e6), &json!(1)));
    let changed = app.patch(&path, json!({"max_estimated_rows": null})).await.expect(StatusCode::OK);
    assert_eq!((&changed["max_estimated_rows"], &changed["max_estimated_cost"]), (&Value::Null, &json!(0.0)));
    assert_eq!(changed["sync_interval_hours"], 1, "what is not sent stays");
    for (field, value) in [
        ("approved_functions", json!(["a b"])),
        ("approved_functions", json!(["a.b.c"])),
        ("approved_functions", json!(["pg_sleep(1)"])),
        ("approved_functions", json!(vec!["f"; 201])),
        ("max_estimated_rows", json!(-1)),
        ("max_estimated_cost", json!("many")),
        ("sync_interval_hours", json!(8761)),
        ("samples", json!("no")),
    ] {
        let refused = app.patch(&path, json!({field: value})).await;
        assert_eq!(refused.problem(422), "invalid_request", "{field}");
        assert!(refused.json()["errors"][0]["pointer"].as_str().unwrap().starts_with(&format!("/{field}")));
    }
}

#[tokio::test]
async fn a_row_filter_is_set_shown_and_removed() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let orders = app.table(&database, "orders").await;
    let path = format!("/v1/databases/{database}/tables/{}", orders["id"].as_str().unwrap());
    let set = app.patch(&path, json!({"row_filter": "status = 'open'"})).await.expect(StatusCode::OK);
    assert_eq!(set["row_filter"], "status = 'open'");
    let kept = app.patch(&path, json!({"description": "Orders."})).await.expect(StatusCode::OK);
    assert_eq!(kept["row_filter"], "status = 'open'", "what is not sent stays");
    app.sync(&database).await;
    assert_eq!(app.table(&database, "orders").await["row_filter"], "status = 'open'");
    let removed = app.patch(&path, json!({"row_filter": null})).await.expect(StatusCode::OK);
    assert_eq!(removed["row_filter"], Value::Null);
    for filter in [json!(""), json!(" "), json!("x".repeat(4_001)), json!(7)] {
        assert_eq!(app.patch(&path, json!({"row_filter": filter})).await.problem(422), "invalid_request");
    }
}

#[tokio::test]
async fn a_key_says_a_few_short_things_about_its_caller() {
    let app = TestApp::start().await;
    let attributes = json!({"tenant": 42, "region": "EU", "internal": true});
    let made = app.post("/v1/keys", json!({"name": "tenant 42", "attributes": attributes})).await;
    assert_eq!(made.expect(StatusCode::CREATED)["attributes"], attributes);
    let listed = app.get("/v1/keys").await.expect(StatusCode::OK);
    assert_eq!(listed["data"][0]["attributes"], attributes);
    assert_eq!(listed["data"][1]["attributes"], json!({}));
    let many: Value = (0..21).map(|n| (format!("a{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
    for wrong in [
        json!({"Tenant": 1}),
        json!({"1st": 1}),
        json!({"": 1}),
        json!({"a".repeat(64): 1}),
        json!({"tenant": 1.5}),
        json!({"tenant": null}),
        json!({"tenant": [1]}),
        json!({"tenant": "x".repeat(201)}),
        json!({"tenant": "a\u{0}b"}),
        json!([]),
        many,
    ] {
        let refused = app.post("/v1/keys", json!({"name": "wrong", "attributes": wrong})).await;
        assert_eq!(refused.problem(422), "invalid_request", "{wrong}");
    }
}

#[tokio::test]
async fn a_key_reads_its_own_rows_and_its_own_answers_alone() {
    let app = TestApp::start().await;
    let url = new_user_database().await;
    let mut owner = PgConnection::connect(&url).await.unwrap();
    let setup = "create table orders (id integer primary key, tenant integer, buyer text, secret text);
        insert into orders values (1, 7, 'Ann', 'x'), (2, 42, 'Bob', 'y'), (3, 42, 'Cem', 'z');
        create schema sales;
        create function sales.twice(integer) returns integer language sql as 'select $1 * 2'";
    sqlx::raw_sql(setup).execute(&mut owner).await.unwrap();
    let database = app.connect(&url).await;
    let orders = app.table(&database, "orders").await;
    let rules =
        json!({"row_filter": "tenant = :tenant", "columns": {"secret": {"hidden": true}, "tenant": {"hidden": true}}});
    app.patch(&format!("/v1/databases/{database}/tables/{}", orders["id"].as_str().unwrap()), rules)
        .await
        .expect(StatusCode::OK);
    app.patch(&format!("/v1/databases/{database}"), json!({"approved_functions": ["sales.twice"]}))
        .await
        .expect(StatusCode::OK);
    let mut keys = Vec::new();
    for attributes in [json!({"tenant": 7}), json!({"tenant": 42}), json!({})] {
        let new = json!({"name": attributes.to_string(), "scopes": ["read", "sql"], "attributes": attributes});
        let made = app.post("/v1/keys", new).await.expect(StatusCode::CREATED);
        keys.push(app.with_key(made["key"].as_str().unwrap()));
    }
    let path = format!("/v1/databases/{database}/execute");
    let sql = json!({"sql": "SELECT buyer, sales.twice(id) FROM orders WHERE id > 0 OR 1 = 1 ORDER BY id"});
    let seven = keys[0].post(&path, sql.clone()).await.expect(StatusCode::OK);
    assert_eq!(seven["result"]["rows"], json!([["Ann", 2]]), "{seven:#}");
    let other = keys[1].post(&path, sql.clone()).await.expect(StatusCode::OK);
    assert_eq!(other["result"]["rows"], json!([["Bob", 4], ["Cem", 6]]), "{other:#}");
    let without = keys[2].post(&path, sql).await;
    assert_eq!(without.problem(422), "sql_rejected");
    assert_eq!(without.json()["violations"][0]["code"], "missing_attribute");
    for hidden in ["SELECT secret FROM orders", "SELECT tenant FROM orders", "SELECT * FROM orders WHERE tenant = 7"] {
        assert_eq!(keys[1].post(&path, json!({"sql": hidden})).await.problem(422), "sql_rejected", "{hidden}");
    }
    let star = keys[1].post(&path, json!({"sql": "SELECT * FROM orders ORDER BY 1"})).await.expect(StatusCode::OK);
    assert_eq!(star["result"]["rows"], json!([[2, "Bob"], [3, "Cem"]]));

    // What one key was answered, another never sees.
    let answer = format!("/v1/queries/{}", other["id"].as_str().unwrap());
    assert_eq!(keys[0].get(&answer).await.status, StatusCode::NOT_FOUND);
    assert_eq!(keys[0].get("/v1/queries").await.expect(StatusCode::OK)["data"].as_array().unwrap().len(), 1);
    keys[1].get(&answer).await.expect(StatusCode::OK);
    app.get(&answer).await.expect(StatusCode::OK);

    let schema = keys[1].get(&format!("/v1/databases/{database}/schema")).await.expect(StatusCode::OK);
    let text = schema.to_string();
    assert!(text.contains("buyer") && !text.contains("secret") && !text.contains(":tenant"), "{schema:#}");
    assert!(!text.contains("Ann"), "a filtered table gives no samples: {schema:#}");
    let bare = app.patch(&format!("/v1/databases/{database}"), json!({"approved_functions": ["twice"]})).await;
    assert_eq!(bare.problem(422), "invalid_request");
}
