//! When schemas are read: when somebody asks, again and again, never twice at once, and also after a crash.

use std::time::Duration;

use almanac::store::{databases::DatabaseError, databases::syncs::SyncClaim};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    databases::sales,
    support::{TestApp, run_at, text_at},
};

const LEASE: Duration = Duration::from_secs(30);

async fn workspace(app: &TestApp) -> Uuid {
    text_at(app.store_url(), "select workspace_id::text from databases").await.parse().unwrap()
}

async fn claim(app: &TestApp, workspace: Uuid, id: Uuid) -> Option<SyncClaim> {
    let mut workspace = app.app.store.workspace(workspace).await.unwrap();
    let claim = workspace.claim_sync(id, LEASE).await.unwrap();
    workspace.commit().await.unwrap();
    claim
}

async fn request(app: &TestApp, workspace: Uuid, id: Uuid) {
    let mut workspace = app.app.store.workspace(workspace).await.unwrap();
    workspace.request_sync(id).await.unwrap();
    workspace.commit().await.unwrap();
}

#[tokio::test]
async fn a_database_is_read_by_one_at_a_time_and_what_is_asked_meanwhile_is_done_after() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let (workspace_id, id) = (workspace(&app).await, database.parse::<Uuid>().unwrap());
    assert!(claim(&app, workspace_id, id).await.is_none(), "nobody asked");
    request(&app, workspace_id, id).await;
    let (first, second) = tokio::join!(claim(&app, workspace_id, id), claim(&app, workspace_id, id));
    let held = first.xor(second).expect("one of two has it");
    request(&app, workspace_id, id).await;
    assert!(claim(&app, workspace_id, id).await.is_none(), "one runs");
    assert!(app.app.store.claim_due_syncs(1, LEASE, 10).await.unwrap().is_empty());

    let mut workspace = app.app.store.workspace(workspace_id).await.unwrap();
    assert!(workspace.renew_sync(&held, LEASE).await.unwrap());
    let error = DatabaseError { code: "test".to_owned(), detail: "ended".to_owned() };
    workspace.fail_sync(&held, None, &error).await.unwrap();
    workspace.commit().await.unwrap();
    let path = format!("/v1/databases/{database}");
    assert_eq!(app.get(&path).await.json()["status"], "syncing", "another is still asked for");
    let next = claim(&app, workspace_id, id).await.expect("the one that was asked for meanwhile");

    // A sync that fell silent has lost its claim, and stores nothing any more.
    run_at(app.store_url(), "update databases set sync_until = now() - interval '1 second'").await;
    let taken = app.app.store.claim_due_syncs(0, LEASE, 10).await.unwrap();
    assert_eq!(taken.len(), 1);
    let mut workspace = app.app.store.workspace(workspace_id).await.unwrap();
    assert!(!workspace.renew_sync(&next, LEASE).await.unwrap());
    assert!(workspace.sync_plan(&next).await.unwrap().is_none());
    workspace.fail_sync(&next, None, &error).await.unwrap();
    workspace.commit().await.unwrap();
    assert_eq!(app.get(&path).await.json()["status"], "syncing");
}

#[tokio::test]
async fn another_url_ends_the_claim_of_a_sync_that_runs() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let (workspace_id, id) = (workspace(&app).await, database.parse::<Uuid>().unwrap());
    request(&app, workspace_id, id).await;
    let held = claim(&app, workspace_id, id).await.unwrap();
    let path = format!("/v1/databases/{database}");
    let moved = app.patch(&path, json!({"url": "sqlite:sales.sqlite"})).await.expect(StatusCode::OK);
    assert_eq!((&moved["last_synced_at"], &moved["login"]), (&Value::Null, &Value::Null), "{moved:#}");
    let synced = app.synced(&database).await;
    assert_eq!(synced["status"], "ready", "it did not wait for the one before: {synced:#}");
    let mut workspace = app.app.store.workspace(workspace_id).await.unwrap();
    assert!(workspace.sync_plan(&held).await.unwrap().is_none());
}

#[tokio::test]
async fn many_who_ask_at_once_wait_for_one_or_two_readings() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let path = format!("/v1/databases/{database}/sync");
    let asked = futures::future::join_all((0..10).map(|_| app.post(&path, json!({})))).await;
    assert!(asked.iter().all(|answer| answer.status == StatusCode::ACCEPTED));
    let synced = app.synced(&database).await;
    assert_eq!((&synced["status"], &synced["table_count"]), (&json!("ready"), &json!(14)));
}

#[tokio::test]
async fn schemas_are_read_again_on_schedule_also_after_a_failure_or_a_crash() {
    let app = TestApp::start().await;
    let database = sales(&app).await;
    let path = format!("/v1/databases/{database}");
    let ago = |hours: u32| format!("update databases set sync_ended_at = now() - interval '{hours} hours'");
    let due = async |hours: i32| app.app.store.claim_due_syncs(hours, LEASE, 10).await.unwrap().len();
    run_at(app.store_url(), &ago(23)).await;
    assert_eq!(due(24).await, 0, "not yet");
    run_at(app.store_url(), &ago(27)).await;
    assert_eq!(due(0).await, 0, "never by itself");
    app.patch(&path, json!({"sync_interval_hours": 0})).await.expect(StatusCode::OK);
    assert_eq!(due(24).await, 0, "this one never by itself");
    app.patch(&path, json!({"sync_interval_hours": 100})).await.expect(StatusCode::OK);
    assert_eq!(due(24).await, 0, "this one less often");
    app.patch(&path, json!({"sync_interval_hours": null})).await.expect(StatusCode::OK);

    // The first look of a server is at once.
    let tending = tokio::spawn({
        let app = app.app.clone();
        async move { app.sync_databases().await }
    });
    let before = app.get(&path).await.json()["last_synced_at"].clone();
    changed(&app, &path, "last_synced_at", &before).await;
    tending.abort();

    let crashed = "update databases set status = 'syncing', sync_token = gen_random_uuid(), sync_until = now() - interval '1 second'";
    let failed = "update databases set status = 'failed', error_code = 'unreachable', error_detail = 'x', sync_ended_at = now() - interval '27 hours'";
    for state in [crashed, failed] {
        run_at(app.store_url(), state).await;
        let now = app.get(&path).await.json()["status"].clone();
        assert_ne!(now, "ready");
        let tending = tokio::spawn({
            let app = app.app.clone();
            async move { app.sync_databases().await }
        });
        changed(&app, &path, "status", &now).await;
        assert_eq!(app.synced(&database).await["status"], "ready");
        tending.abort();
    }
}

async fn changed(app: &TestApp, path: &str, field: &str, from: &Value) {
    for _ in 0..500 {
        if app.get(path).await.json()[field] != *from {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{field} stays {from}");
}
