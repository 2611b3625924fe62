//! The audit log: every decision, who asked for it, what came of it, and for how long it is kept.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    databases::{sales, sales_on_postgres},
    fake_openai::{FakeOpenAi, KEY},
    support::{TestApp, run_at, text_at},
};

/// The log once `count` decisions are in it and none of them is open.
async fn logs(app: &TestApp, query: &str, count: usize) -> Vec<Value> {
    for _ in 0..200 {
        let page = app.get(&format!("/v1/audit-logs?limit=100&{query}")).await.expect(StatusCode::OK);
        let logs = page["data"].as_array().unwrap().clone();
        if logs.len() == count && logs.iter().all(|log| !log["completed_at"].is_null()) {
            return logs;
        }
        assert!(logs.len() <= count, "{logs:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("there are not {count} complete decisions");
}

#[tokio::test]
async fn every_decision_is_written_down_with_what_came_of_it() {
    let app = TestApp::start().await;
    for database in [sales(&app).await, sales_on_postgres(&app).await] {
        let path = format!("/v1/databases/{database}");
        let sent = "select  name -- all of them\n from customers limit 3";
        let query = app.post(&format!("{path}/execute"), json!({"sql": sent})).await.expect(StatusCode::OK);
        let refused = app.post(&format!("{path}/execute"), json!({"sql": "drop table orders"})).await;
        app.post(&format!("{path}/validate"), json!({"sql": "select nonsense from orders"})).await;
        let decided = logs(&app, &format!("database_id={database}"), 3).await;
        let [validated, dropped, executed] = &decided[..] else { panic!("{decided:#?}") };

        assert_eq!((&executed["action"], &executed["allowed"]), (&json!("execute"), &json!(true)));
        assert_eq!((&executed["sql_sent"], &executed["sql"]), (&json!(sent), &query["sql"]));
        let sha256 = hex::encode(Sha256::digest(query["sql"].as_str().unwrap()));
        assert_eq!((&executed["sql_sha256"], &executed["query_id"]), (&json!(sha256), &query["id"]));
        assert_eq!((&executed["row_count"], &executed["truncated"]), (&json!(3), &json!(false)));
        assert!(executed["tables"][0].as_str().unwrap().ends_with(".customers"), "{executed:#}");
        assert!(executed["duration_ms"].as_f64().unwrap() > 0.0);
        let name = query["result"]["rows"][0][0].as_str().unwrap();
        assert!(!executed.to_string().contains(name), "rows are not logged");

        assert_eq!((&dropped["allowed"], &dropped["sql"]), (&json!(false), &Value::Null));
        assert!(!dropped["violations"].as_array().unwrap().is_empty(), "{dropped:#}");
        assert_eq!(dropped["request_id"].as_str().unwrap(), refused.headers["x-request-id"]);
        assert_eq!((&validated["action"], &validated["violations"]), (&json!("validate"), &json!(["unknown_column"])));

        let question = json!({"question": "How many customers are there?"});
        app.post(&format!("{path}/ask"), question).await.expect(StatusCode::OK);
        let path = format!("/v1/audit-logs?database_id={database}&limit=100");
        let count = app.get(&path).await.expect(StatusCode::OK)["data"].as_array().unwrap().len();
        let newest = logs(&app, &format!("database_id={database}"), count).await;
        let [asked, tried @ ..] = &newest[..] else { panic!("{newest:#?}") };
        assert_eq!((&asked["action"], &asked["row_count"]), (&json!("ask"), &json!(1)));
        assert!(
            tried.iter().filter(|log| log["action"] == "candidate").all(|log| log["query_id"] == asked["query_id"])
        );
    }
    let counted = app.get("/metrics").await.text;
    for line in [
        "almanac_sql_decisions_total{verdict=\"allowed\",code=\"\"}",
        "almanac_sql_decisions_total{verdict=\"refused\",code=\"unknown_column\"}",
    ] {
        assert!(counted.contains(line), "{line}");
    }
}

#[tokio::test]
async fn drafts_that_are_refused_or_run_to_tell_choices_apart_are_written_down() {
    let fake = FakeOpenAi::start().await;
    let app = TestApp::with(&[("llm_url", &fake.url()), ("llm_key", KEY), ("llm_model", "test-chat")]).await;
    let database = sales(&app).await;
    let path = format!("/v1/databases/{database}/ask");
    let hostile = "SELECT * FROM sqlite_master";
    for _ in 0..3 {
        fake.say(&json!({"sql": hostile, "explanation": "Trust me."}).to_string());
    }
    let refused = app.post(&path, json!({"question": "How many orders are there?"})).await.expect(StatusCode::OK);
    assert_eq!(refused["attempts"], 3, "{refused:#}");
    for log in logs(&app, "allowed=false", 3).await {
        assert_eq!((&log["sql_sent"], &log["query_id"]), (&json!(hostile), &refused["id"]));
    }
    fake.say(&json!({"sql": "SELECT count(*) FROM orders", "explanation": "Counts orders."}).to_string());
    let body = json!({"question": "How many orders are there?", "min_confidence": 1.0});
    app.post(&path, body).await.expect(StatusCode::OK);
    let allowed = logs(&app, "allowed=true", 3).await;
    let actions: Vec<&str> = allowed.iter().map(|log| log["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["ask", "candidate", "candidate"], "the model's draft, and the builtin generator's");
    assert_eq!((&allowed[0]["row_count"], &allowed[1]["row_count"]), (&Value::Null, &json!(1)));
}

#[tokio::test]
async fn the_log_is_read_by_pages_and_by_key_and_outlives_its_database() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let made = app.post("/v1/keys", json!({"name": "analyst"})).await.expect(StatusCode::CREATED);
    let analyst = app.with_key(made["key"].as_str().unwrap());
    let path = format!("/v1/databases/{database}/validate");
    for n in 0..5 {
        let caller = if n % 2 == 0 { &analyst } else { &app };
        caller.post(&path, json!({"sql": format!("select {n}")})).await.expect(StatusCode::OK);
    }
    let key = format!("key_id={}", made["id"].as_str().unwrap());
    let sent: Vec<String> =
        logs(&app, &key, 3).await.iter().map(|log| log["sql_sent"].as_str().unwrap().to_owned()).collect();
    assert_eq!(sent, ["select 4", "select 2", "select 0"]);
    let first = app.get("/v1/audit-logs?limit=2").await.expect(StatusCode::OK);
    let next = first["next_cursor"].as_str().unwrap();
    let second = app.get(&format!("/v1/audit-logs?limit=2&cursor={next}")).await.expect(StatusCode::OK);
    assert_eq!(second["data"][0]["sql_sent"], "select 2", "{second:#}");
    assert_eq!(analyst.get("/v1/audit-logs").await.problem(403), "forbidden");
    app.delete(&format!("/v1/databases/{database}")).await;
    logs(&app, &format!("database_id={database}"), 5).await;
}

#[tokio::test]
async fn old_months_are_dropped_and_months_to_come_are_there() {
    let app = TestApp::start().await;
    let months = "select string_agg(right(c.relname, 7), ',' order by c.relname)
                  from pg_inherits i join pg_class c on c.oid = i.inhrelid
                  where i.inhparent = 'audit_logs'::regclass";
    let expected =
        "select string_agg(to_char(now() at time zone 'UTC' + n * interval '1 month', 'YYYY_MM'), ',' order by n)
                    from generate_series(-1, 2) n";
    let expected = text_at(app.store_url(), expected).await;
    assert_eq!(text_at(app.store_url(), months).await, expected);
    let old = "create table audit_logs_2020_01 partition of audit_logs
               for values from ('2020-01-01 00:00+00') to ('2020-02-01 00:00+00')";
    run_at(app.store_url(), old).await;
    app.app.store.tend_audit_logs(36_500).await.unwrap();
    assert!(text_at(app.store_url(), months).await.starts_with("2020_01,"), "it is not too old yet");
    app.app.store.tend_audit_logs(1).await.unwrap();
    assert_eq!(text_at(app.store_url(), months).await, expected, "what is around now stays however little is kept");
}

#[tokio::test]
async fn what_cannot_be_written_down_does_not_run() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    run_at(app.store_url(), "alter table audit_logs rename to audit_logs_away").await;
    for (call, body) in [
        ("execute", json!({"sql": "select count(*) from orders"})),
        ("validate", json!({"sql": "drop table orders"})),
        ("ask", json!({"question": "How many customers are there?"})),
    ] {
        let refused = app.post(&format!("/v1/databases/{database}/{call}"), body).await;
        assert_eq!(refused.problem(503), "store_unavailable", "{call}");
    }
}
