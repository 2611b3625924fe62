//! One workspace never sees another's: not over HTTP, not in the database.

use almanac::store::Store;
use reqwest::StatusCode;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection, Row};

use crate::support::{TestApp, new_database};

/// The workspace that every installation starts with.
const FIRST_WORKSPACE: &str = "01900000-0000-7000-8000-000000000001";

#[tokio::test]
async fn nothing_of_a_workspace_can_be_reached_from_another_by_any_endpoint() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    let document = app.index(&knowledge_base, json!({"content": "The secret recipe of the station."})).await;
    let document_id = document["id"].as_str().unwrap();
    std::fs::write(app.data_dir.join("databases/empty.sqlite"), b"").unwrap();
    let database = app.connect("sqlite:empty.sqlite").await;
    let query = app.post(&format!("/v1/databases/{database}/ask"), json!({"question": "How many?"})).await.json();
    let key = app.post("/v1/keys", json!({"name": "mine"})).await.json();
    let table = "01900000-0000-7000-8000-000000000000";

    let neighbour = app.neighbour().await;
    let gets = [
        format!("/v1/knowledge-bases/{knowledge_base}"),
        format!("/v1/knowledge-bases/{knowledge_base}/documents"),
        format!("/v1/documents/{document_id}"),
        format!("/v1/documents/{document_id}/content"),
        format!("/v1/documents/{document_id}/text"),
        format!("/v1/documents/{document_id}/chunks"),
        format!("/v1/batches/{}", document["batch_id"].as_str().unwrap()),
        format!("/v1/batches/{}/events", document["batch_id"].as_str().unwrap()),
        format!("/v1/databases/{database}"),
        format!("/v1/databases/{database}/schema"),
        format!("/v1/queries/{}", query["id"].as_str().unwrap()),
    ];
    for path in gets {
        assert_eq!(neighbour.get(&path).await.problem(404), "not_found", "{path}");
    }
    let posts = [
        (format!("/v1/knowledge-bases/{knowledge_base}/documents"), json!({"content": "x"})),
        (format!("/v1/documents/{document_id}/retry"), json!({})),
        (format!("/v1/documents/{document_id}/restore"), json!({})),
        (format!("/v1/databases/{database}/sync"), json!({})),
        (format!("/v1/databases/{database}/ask"), json!({"question": "x"})),
        (format!("/v1/databases/{database}/validate"), json!({"sql": "select 1"})),
        (format!("/v1/databases/{database}/execute"), json!({"sql": "select 1"})),
        ("/v1/search".to_owned(), json!({"query": "secret", "knowledge_base_ids": [knowledge_base]})),
        ("/v1/answers".to_owned(), json!({"question": "secret", "knowledge_base_ids": [knowledge_base]})),
    ];
    for (path, body) in posts {
        assert_eq!(neighbour.post(&path, body).await.problem(404), "not_found", "{path}");
    }
    for path in [
        format!("/v1/knowledge-bases/{knowledge_base}"),
        format!("/v1/documents/{document_id}"),
        format!("/v1/documents/{document_id}?purge=true"),
        format!("/v1/databases/{database}"),
        format!("/v1/keys/{}", key["id"].as_str().unwrap()),
    ] {
        assert_eq!(neighbour.delete(&path).await.problem(404), "not_found", "{path}");
    }
    for (path, body) in [
        (format!("/v1/knowledge-bases/{knowledge_base}"), json!({"description": "x"})),
        (format!("/v1/documents/{document_id}"), json!({"title": "x"})),
        (format!("/v1/databases/{database}"), json!({"description": "x"})),
        (format!("/v1/databases/{database}/tables/{table}"), json!({"description": "x"})),
    ] {
        assert_eq!(neighbour.patch(&path, body).await.problem(404), "not_found", "{path}");
    }
    for path in ["/v1/knowledge-bases", "/v1/databases", "/v1/queries", "/v1/audit-logs"] {
        assert_eq!(neighbour.get(path).await.json()["data"], json!([]), "{path}");
    }
    assert!(neighbour.search(json!({"query": "secret recipe"})).await.is_empty());
    let answer = neighbour.post("/v1/answers", json!({"question": "What is the secret recipe?"})).await;
    assert!(answer.expect(StatusCode::OK)["answer"].is_null());
    assert_eq!(app.search(json!({"query": "secret recipe"})).await.len(), 1, "the owner still finds it");
}

#[tokio::test]
async fn the_servers_role_sees_no_row_without_a_workspace_and_cannot_leave_its_own() {
    let app = TestApp::start().await;
    let knowledge_base = app.knowledge_base().await;
    app.index(&knowledge_base, json!({"content": "A row that must not be seen."})).await;
    let url = secrecy::ExposeSecret::expose_secret(app.app.config.database_url.as_ref().unwrap()).to_owned();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let index: uuid::Uuid =
        sqlx::query_scalar("select index_id from knowledge_bases").fetch_one(&mut connection).await.unwrap();
    let (document, chunk): (uuid::Uuid, uuid::Uuid) =
        sqlx::query_as("select document_id, chunk_id from chunk_search").fetch_one(&mut connection).await.unwrap();
    connection.execute("set role almanac_server").await.unwrap();
    let tables = sqlx::query(
        "select relname::text, relrowsecurity, relowner::regrole::text as owner
         from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relname <> '_sqlx_migrations'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.len() >= 12, "{}", tables.len());
    for table in tables {
        let (name, secured, owner): (String, bool, String) = (table.get(0), table.get(1), table.get(2));
        assert!(secured && owner != "almanac_server", "{name}");
        let count = format!("select count(*) from {name}");
        let seen: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut connection).await.unwrap();
        assert_eq!(seen, 0, "{name} shows rows without a workspace");
    }
    let enter = |id: &str| sqlx::AssertSqlSafe(format!("select set_config('app.workspace_id', '{id}', false)"));
    let by_words = format!(
        "select count(*) from rank_chunks(array['{index}']::uuid[], null, null, null, null, null,
                                          array['''1:row''']::tsquery[], array[1]::bigint[], '{{1:1}}/1000000000', 100)"
    );
    let by_document = by_words.replacen("null, null", &format!("array['{document}']::uuid[], null"), 1);
    let by_chunk = by_words.replacen("null, null", &format!("null, array['{chunk}']::uuid[]"), 1);
    let by_phrase = format!(
        "select count(*) from phrase_chunks(array['{index}']::uuid[], null, null, '''1:row'''::tsquery, 'row', 10)"
    );
    for (workspace, visible) in [(FIRST_WORKSPACE, 1), ("01900000-0000-7000-8000-00000000dead", 0)] {
        connection.execute(enter(workspace)).await.unwrap();
        for statement in [&by_words, &by_document, &by_chunk, &by_phrase] {
            let found: i64 =
                sqlx::query_scalar(sqlx::AssertSqlSafe(statement.clone())).fetch_one(&mut connection).await.unwrap();
            assert_eq!(found, visible, "what workspace {workspace} sees by {statement}");
        }
    }
    for step in [
        "own_indexes(null)",
        "hidden_documents(null)",
        "nearest_exactly(null, null, null, 1)",
        "few_chunks(null, null, 1)",
        "search_indexes()",
    ] {
        let called = connection.execute(sqlx::AssertSqlSafe(format!("select {step}"))).await;
        assert!(called.unwrap_err().to_string().contains("permission denied"), "{step} is the owner's");
    }
    let insert = format!(
        "insert into batches (id, workspace_id, knowledge_base_id) select gen_random_uuid(), '{FIRST_WORKSPACE}', '{knowledge_base}'"
    );
    assert!(
        connection.execute(sqlx::AssertSqlSafe(insert)).await.is_err(),
        "a row of another workspace can be written"
    );
    let rights: (bool, bool) =
        sqlx::query_as("select rolsuper, rolbypassrls from pg_roles where rolname = current_user")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(rights, (false, false));
}

#[tokio::test]
async fn opening_a_store_twice_at_once_migrates_it_once() {
    let url = new_database().await.into();
    let (first, second) = tokio::join!(Store::open(&url, None), Store::open(&url, None));
    first.unwrap().ping().await.unwrap();
    second.unwrap().ping().await.unwrap();
}

/// As a hosted PostgreSQL has it: the extension is there, and the owner of the database is nobody special.
#[tokio::test]
async fn an_owner_who_is_no_superuser_may_migrate() {
    let mut url = url::Url::parse(&new_database().await).unwrap();
    let mut admin = PgConnection::connect(url.as_str()).await.unwrap();
    let owner = format!("owner_{}", uuid::Uuid::now_v7().simple());
    for statement in [
        "create extension vector".to_owned(),
        "do $$ begin create role almanac_server; exception when duplicate_object or unique_violation then null; end $$"
            .to_owned(),
        format!("create role {owner} login createrole password 'secret'"),
        format!("grant almanac_server to {owner} with admin option"),
        format!("grant create, usage on schema public to {owner}"),
        format!("alter schema public owner to {owner}"),
    ] {
        admin.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    }
    let kept: Vec<(String, String)> =
        url.query_pairs().filter(|(name, _)| name != "user").map(|(name, value)| (name.into(), value.into())).collect();
    url.query_pairs_mut().clear().extend_pairs(kept).append_pair("user", &owner).append_pair("password", "secret");
    let store = Store::open(&url.to_string().into(), None).await.unwrap();
    store.ping().await.unwrap();
}

#[tokio::test]
async fn keys_do_what_their_scopes_say_and_nothing_once_revoked() {
    let app = TestApp::start().await;
    let created = app.post("/v1/keys", json!({"name": "reader", "scopes": ["read"]})).await.expect(StatusCode::CREATED);
    let reader = app.with_key(created["key"].as_str().unwrap());
    reader.get("/v1/knowledge-bases").await.expect(StatusCode::OK);
    assert_eq!(reader.post("/v1/knowledge-bases", json!({"name": "x"})).await.problem(403), "forbidden");
    assert_eq!(reader.post("/v1/databases", json!({"name": "x", "url": "sqlite:x"})).await.problem(403), "forbidden");
    assert_eq!(reader.get("/v1/keys").await.problem(403), "forbidden");
    assert_eq!(reader.get("/v1/queries").await.problem(403), "forbidden");
    assert_eq!(reader.get("/v1/audit-logs").await.problem(403), "forbidden");
    let expired = json!({"name": "old", "expires_at": "2020-01-01T00:00:00Z"});
    let expired = app.post("/v1/keys", expired).await.expect(StatusCode::CREATED);
    assert_eq!(app.with_key(expired["key"].as_str().unwrap()).get("/v1/databases").await.problem(401), "unauthorized");
    app.delete(&format!("/v1/keys/{}", created["id"].as_str().unwrap())).await.expect(StatusCode::OK);
    assert_eq!(reader.get("/v1/knowledge-bases").await.problem(401), "unauthorized");
    for key in ["", "wrong", "alm_0000"] {
        assert_eq!(app.with_key(key).get("/v1/knowledge-bases").await.problem(401), "unauthorized");
    }
    let listed = app.get("/v1/keys").await.text;
    assert!(!listed.contains(created["key"].as_str().unwrap()), "a key is shown once");
}
