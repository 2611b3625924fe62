//! Statements that are bad, dear, slow, or whose database or caller goes away: a clear answer each, and nothing is left
//! running.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    databases::{sales, sales_on_postgres},
    support::{TestApp, new_user_database, run_at, text_at},
};

/// The guard lets it through, and no engine ends it within the deadline.
const ENDLESS: &str =
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000000000) select sum(i) from n";
const PATIENCE: Duration = Duration::from_secs(20);

/// Until `what` answers with `wanted`.
async fn eventually(wanted: &str, what: impl AsyncFn() -> String) {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let seen = what().await;
        if seen == wanted {
            return;
        }
        assert!(tokio::time::Instant::now() < end, "{seen}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Statements that run in a database, beside the one that asks.
async fn running(url: &str) -> String {
    text_at(
        url,
        "select count(*)::text from pg_stat_activity
         where datname = current_database() and state = 'active' and pid <> pg_backend_pid()",
    )
    .await
}

#[tokio::test]
async fn what_the_engine_refuses_is_an_answer_with_an_error_in_ask_and_execute_alike() {
    let app = TestApp::start().await;
    let url = new_user_database().await;
    run_at(&url, "create table things (id integer, divisor integer); insert into things values (1, 0)").await;
    let database = app.connect(&url).await;
    let path = format!("/v1/databases/{database}");
    let sql = json!({"sql": "select id / divisor from things"});
    let failed = app.post(&format!("{path}/execute"), sql.clone()).await.expect(StatusCode::OK);
    assert_eq!((&failed["executed"], &failed["result"]), (&json!(false), &Value::Null), "{failed:#}");
    assert_eq!(failed["error"]["code"], "rejected");
    assert!(failed["error"]["detail"].as_str().unwrap().contains("division by zero"), "{failed:#}");
    assert_eq!(failed["validation"]["safe"], true);
    let csv = app.request(Method::POST, &format!("{path}/execute")).header("accept", "text/csv").json(&sql);
    let csv = app.send(csv).await;
    assert_eq!(csv.expect(StatusCode::OK)["error"]["code"], "rejected", "there are no rows to print");

    // Dropped under our feet, with the sessions in it.
    let name = text_at(&url, "select current_database()::text").await;
    run_at(&url.replace(&name, "postgres"), &format!("drop database {name} with (force)")).await;
    for body in [
        json!({"question": "How many things are there?", "min_confidence": 0}),
        json!({"sql": "select id from things"}),
    ] {
        let call = if body.get("sql").is_some() { "execute" } else { "ask" };
        for _ in 0..2 {
            let gone = app.post(&format!("{path}/{call}"), body.clone()).await.expect(StatusCode::OK);
            assert_eq!(gone["executed"], false, "{gone:#}");
            let code = gone["error"]["code"].as_str().unwrap();
            assert!(["vanished", "unreachable", "invalid_url"].contains(&code), "{call}: {gone:#}");
            assert!(gone["sql"].is_string(), "what would have run is shown: {gone:#}");
        }
    }
}

#[tokio::test]
async fn a_sqlite_file_that_is_gone_is_unreachable_and_one_that_is_back_answers() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let path = format!("/v1/databases/{database}/execute");
    let (file, aside) = (app.data_dir.join("databases/sales.sqlite"), app.data_dir.join("aside"));
    app.app.databases.close_idle(Duration::ZERO).await;
    std::fs::rename(&file, &aside).unwrap();
    let gone = app.post(&path, json!({"sql": "select count(*) from orders"})).await.expect(StatusCode::OK);
    assert_eq!(gone["error"]["code"], "unreachable", "{gone:#}");
    std::fs::rename(&aside, &file).unwrap();
    let back = app.post(&path, json!({"sql": "select count(*) from orders"})).await.expect(StatusCode::OK);
    assert_eq!(back["executed"], true, "{back:#}");
}

#[tokio::test]
async fn a_statement_that_would_cost_too_much_is_refused_with_the_figure() {
    let app = TestApp::start().await;
    let url = new_user_database().await;
    run_at(&url, "create table events (id integer); insert into events select generate_series(1, 20000); analyze")
        .await;
    let database = app.connect(&url).await;
    let path = format!("/v1/databases/{database}");
    let cross = json!({"sql": "select count(*) from events a cross join events b"});
    let small = json!({"sql": "select count(*) from events"});
    app.patch(&path, json!({"max_estimated_rows": 1e6})).await.expect(StatusCode::OK);
    let refused = app.post(&format!("{path}/execute"), cross.clone()).await;
    assert_eq!(refused.problem(422), "sql_rejected");
    let violation = refused.json()["violations"][0].clone();
    assert_eq!(violation["code"], "too_costly", "{violation:#}");
    assert!(violation["detail"].as_str().unwrap().contains("1000000"), "{violation:#}");
    app.post(&format!("{path}/execute"), small.clone()).await.expect(StatusCode::OK);

    app.patch(&path, json!({"max_estimated_rows": 0, "max_estimated_cost": 10})).await.expect(StatusCode::OK);
    let refused = app.post(&format!("{path}/execute"), small.clone()).await;
    assert_eq!(refused.json()["violations"][0]["code"], "too_costly", "{}", refused.text);
    let question = json!({"question": "How many events are there?", "min_confidence": 0});
    let asked = app.post(&format!("{path}/ask"), question).await.expect(StatusCode::OK);
    assert_eq!((&asked["executed"], &asked["validation"]["safe"]), (&json!(false), &json!(false)), "{asked:#}");
    assert_eq!(asked["validation"]["violations"][0]["code"], "too_costly");
    assert!(asked["sql"].is_string());

    app.patch(&path, json!({"max_estimated_cost": 0})).await.expect(StatusCode::OK);
    app.post(&format!("{path}/execute"), small).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn bytes_that_are_no_text_and_texts_that_are_too_long_are_clear_problems() {
    let app = TestApp::start().await;
    for database in [sales(&app).await, sales_on_postgres(&app).await] {
        for call in ["validate", "execute"] {
            let path = format!("/v1/databases/{database}/{call}");
            let bytes = b"{\"sql\": \"select '\xff\xfe'\"}".to_vec();
            let request = app.request(Method::POST, &path).header("content-type", "application/json").body(bytes);
            assert_eq!(app.send(request).await.problem(400), "malformed_json");
            let megabyte = app.post(&path, json!({"sql": format!("select '{}'", "x".repeat(1 << 20))})).await;
            assert_eq!(megabyte.problem(413), "too_large");
        }
        let long = json!({"sql": format!("select '{}'", "x".repeat(900_000))});
        let refused = app.post(&format!("/v1/databases/{database}/execute"), long.clone()).await;
        assert_eq!(refused.problem(422), "sql_rejected");
        assert_eq!(refused.json()["violations"][0]["code"], "too_complex", "{}", &refused.text[..300]);
        assert!(refused.text.len() < 2_000, "the statement is not sent back");
        let verdict = app.post(&format!("/v1/databases/{database}/validate"), long).await.expect(StatusCode::OK);
        assert_eq!(verdict["violations"][0]["code"], "too_complex");
    }
}

#[tokio::test]
async fn a_statement_whose_caller_has_left_is_stopped_in_the_engine_and_audited_as_cancelled() {
    let app = TestApp::start().await;
    let url = new_user_database().await;
    let database = app.connect(&url).await;
    let slow = || {
        let path = format!("/v1/databases/{database}/execute");
        app.request(Method::POST, &path).json(&json!({"sql": ENDLESS})).send()
    };
    let watch = async || running(&url).await;
    for round in 1..=2 {
        tokio::select! {
            answered = slow() => panic!("it ended: {answered:?}"),
            () = eventually("1", watch) => {}
        }
        eventually("0", watch).await;
        let logged =
            "select count(*)::text from audit_logs where error_code = 'cancelled' and completed_at is not null";
        eventually(&round.to_string(), async || text_at(app.store_url(), logged).await).await;
    }
    let after = app.post(&format!("/v1/databases/{database}/execute"), json!({"sql": "select 1"})).await;
    assert_eq!(after.expect(StatusCode::OK)["executed"], true, "the database is not worse for it");
}

#[tokio::test]
async fn a_key_with_too_many_statements_waiting_is_told_to_come_back_and_others_are_not() {
    let app = TestApp::start().await;
    let url = new_user_database().await;
    let database = app.connect(&url).await;
    let path = format!("/v1/databases/{database}/execute");
    let flood: Vec<_> =
        (0..20).map(|_| tokio::spawn(app.request(Method::POST, &path).json(&json!({"sql": ENDLESS})).send())).collect();
    eventually("4", async || running(&url).await).await;
    // The rest are waiting as soon as their decisions are written.
    eventually("20", async || text_at(app.store_url(), "select count(*)::text from audit_logs").await).await;
    let refused = app.post(&path, json!({"sql": "select 1"})).await;
    assert_eq!(refused.problem(429), "too_many_requests");
    assert_eq!(refused.headers["retry-after"], "2");
    let key = app.post("/v1/keys", json!({"name": "other"})).await.expect(StatusCode::CREATED);
    let other = app.with_key(key["key"].as_str().unwrap());
    let (answered, ()) = tokio::join!(other.post(&path, json!({"sql": "select 1"})), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        flood.iter().for_each(tokio::task::JoinHandle::abort);
    });
    assert_eq!(answered.expect(StatusCode::OK)["executed"], true);
    eventually("0", async || running(&url).await).await;
}

#[tokio::test]
async fn a_database_that_nobody_asks_is_let_go_of_and_taken_up_again() {
    let app = TestApp::start().await;
    let url = new_user_database().await;
    let database = app.connect(&url).await;
    let sessions = async || {
        text_at(
            &url,
            "select count(*)::text from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
        )
        .await
    };
    let one = json!({"sql": "select 1"});
    app.post(&format!("/v1/databases/{database}/execute"), one.clone()).await.expect(StatusCode::OK);
    app.app.databases.close_idle(Duration::from_secs(600)).await;
    assert_ne!(sessions().await, "0", "it was used just now");
    app.app.databases.close_idle(Duration::ZERO).await;
    eventually("0", sessions).await;
    app.post(&format!("/v1/databases/{database}/execute"), one).await.expect(StatusCode::OK);
}
