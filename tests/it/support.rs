//! A real server for every test: one embedded PostgreSQL and one embedding model for the whole run, a database, a data
//! folder and a port for each [`TestApp`].

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use almanac::{
    app::App,
    config::{Config, Given},
    http,
    postgres::{EmbeddedPostgres, Install, SUPERUSER},
    store::keys::generate_key,
};
use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

/// A running Almanac with a database of its own.
pub struct TestApp {
    pub app: App,
    pub url: String,
    pub key: String,
    pub data_dir: PathBuf,
    pub client: reqwest::Client,
}

/// An answer as a test looks at it.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

/// A key that every test's installation starts with.
pub const ADMIN_KEY: &str = "test-administration-key-0001";
const PATIENCE: Duration = Duration::from_secs(60);

impl TestApp {
    pub async fn start() -> TestApp {
        TestApp::with(&[]).await
    }

    /// Starts with further settings.
    pub async fn with(settings: &[(&str, &str)]) -> TestApp {
        TestApp::configured(settings, |_| {}).await
    }

    /// Starts with further settings, and with what else a server finds around it.
    pub async fn configured(settings: &[(&str, &str)], change: impl FnOnce(&mut Config)) -> TestApp {
        let data_dir = scratch_dir();
        let database = new_database().await;
        let mut given: Given = [
            ("bind", "127.0.0.1:0"),
            ("data_dir", data_dir.to_str().unwrap()),
            ("database_url", &database),
            ("admin_key", ADMIN_KEY),
            ("embedding_dir", embedding_dir().to_str().unwrap()),
            ("embedding_threads", "1"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        given.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut config = Config::check(&given).unwrap();
        change(&mut config);
        TestApp::serve(config, data_dir).await
    }

    async fn serve(config: Config, data_dir: PathBuf) -> TestApp {
        let (app, _) = App::build(config, PathBuf::from(env!("CARGO_BIN_EXE_almanac"))).await.unwrap();
        let listener = tokio::net::TcpListener::bind(app.config.bind).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = http::router(&app);
        // The same provider as everywhere in this process; it does not matter who installs it first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        tokio::spawn(http::listen::serve(listener, router, app.stop.clone()));
        tokio::spawn({
            let app = app.clone();
            async move { app.ingest().await }
        });
        TestApp { app, url, key: ADMIN_KEY.to_owned(), data_dir, client: reqwest::Client::new() }
    }

    /// The same server as somebody else sees it, with another key.
    pub fn with_key(&self, key: &str) -> TestApp {
        TestApp {
            app: self.app.clone(),
            url: self.url.clone(),
            key: key.to_owned(),
            data_dir: self.data_dir.clone(),
            client: self.client.clone(),
        }
    }

    /// The administrator of another workspace on the same server.
    pub async fn neighbour(&self) -> TestApp {
        let key = generate_key().unwrap();
        self.app.store.create_workspace(&format!("neighbour {}", Uuid::now_v7()), &key).await.unwrap();
        self.with_key(key.expose_secret())
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(&body)).await
    }

    /// A new knowledge base's id.
    pub async fn knowledge_base(&self) -> String {
        let made = self.post("/v1/knowledge-bases", json!({ "name": format!("test {}", Uuid::now_v7()) })).await;
        made.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned()
    }

    /// Uploads bytes as a file and waits for its end.
    pub async fn upload(&self, knowledge_base: &str, name: &str, bytes: Vec<u8>) -> Value {
        let form = reqwest::multipart::Form::new()
            .part("file", reqwest::multipart::Part::bytes(bytes).file_name(name.to_owned()));
        let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
        let answer = self.send(self.request(Method::POST, &path).header("prefer", "wait=60").multipart(form)).await;
        answer.expect(StatusCode::OK)["documents"][0].clone()
    }

    /// Uploads text and waits until it is indexed.
    pub async fn index(&self, knowledge_base: &str, body: Value) -> Value {
        let path = format!("/v1/knowledge-bases/{knowledge_base}/documents");
        let answer = self.send(self.request(Method::POST, &path).header("prefer", "wait=60").json(&body)).await;
        let document = answer.expect(StatusCode::OK)["documents"][0].clone();
        assert_eq!(document["status"], "indexed", "{document:#}");
        document
    }

    pub async fn search(&self, body: Value) -> Vec<Value> {
        self.post("/v1/search", body).await.expect(StatusCode::OK)["results"].as_array().unwrap().clone()
    }

    /// Connects a database and waits for its schema. Returns its id.
    pub async fn connect(&self, url: &str) -> String {
        let body = json!({ "name": format!("database {}", Uuid::now_v7()), "url": url });
        let made = self.post("/v1/databases", body).await.expect(StatusCode::CREATED);
        let id = made["id"].as_str().unwrap().to_owned();
        let database = self.synced(&id).await;
        assert_eq!(database["status"], "ready", "{database:#}");
        id
    }

    /// The server's own PostgreSQL, as its owner.
    pub fn store_url(&self) -> &str {
        self.app.config.database_url.as_ref().unwrap().expose_secret()
    }

    /// A table of a database, by name, as the API shows it.
    pub async fn table(&self, database: &str, name: &str) -> Value {
        let schema = self.get(&format!("/v1/databases/{database}/schema")).await.expect(StatusCode::OK);
        let tables = schema["tables"].as_array().unwrap();
        tables.iter().find(|table| table["name"] == name).unwrap_or_else(|| panic!("no {name}: {schema:#}")).clone()
    }

    /// Reads a database's schema again, and waits for it.
    pub async fn sync(&self, database: &str) -> Value {
        self.post(&format!("/v1/databases/{database}/sync"), json!({})).await.expect(StatusCode::ACCEPTED);
        self.synced(database).await
    }

    /// A database once its sync has ended.
    pub async fn synced(&self, id: &str) -> Value {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let database = self.get(&format!("/v1/databases/{id}")).await.expect(StatusCode::OK);
            if database["status"] != "syncing" {
                return database;
            }
            assert!(tokio::time::Instant::now() < end, "the sync does not end: {database:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The body, if the status is the expected one.
    pub fn expect(&self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// The problem's code, if the answer is a well-formed problem document with this status.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem:#}");
        for field in ["type", "title", "detail", "code", "request_id"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "no {field}: {problem:#}");
        }
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// A file of the project.
pub fn fixture(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file in a folder and in those below.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files.extend(files_below(&entry.path())),
            // Says whose the folder is, and is no file of anybody's.
            _ if entry.file_name() == "installation" => {}
            _ => files.push(entry.path()),
        }
    }
    files
}

/// A folder that an unprivileged PostgreSQL may pass through.
pub fn scratch_dir() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("almanac-test-{}", Uuid::now_v7()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// What `make setup` fetched.
pub fn cache_dir() -> PathBuf {
    let dir = std::env::var_os("ALMANAC_CACHE").map(PathBuf::from);
    dir.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/almanac"))
}

pub fn embedding_dir() -> PathBuf {
    cache_dir().join("embedding")
}

pub fn install() -> Install {
    Install::find(Some(&cache_dir().join("postgresql"))).expect("run `make setup` first")
}

/// A new database of the run's own PostgreSQL, or of the one in ALMANAC_TEST_DATABASE_URL: its URL.
pub async fn new_database() -> String {
    let name = format!("t_{}", Uuid::now_v7().simple());
    let (admin, url) = match std::env::var("ALMANAC_TEST_DATABASE_URL") {
        Ok(external) => {
            let mut url = url::Url::parse(&external).unwrap();
            let kept: Vec<_> = url
                .query_pairs()
                .filter(|(key, _)| key != "dbname")
                .map(|(k, v)| (k.into_owned(), v.into_owned()))
                .collect();
            url.query_pairs_mut().clear().extend_pairs(kept);
            url.set_path(&name);
            (external, url.to_string())
        }
        Err(_) => (postgres().url(SUPERUSER, "postgres"), postgres().url(SUPERUSER, &name)),
    };
    create_database(&admin, &name).await;
    url
}

/// A new database on a server that is not Almanac's own, as users have them: its URL.
pub async fn new_user_database() -> String {
    static SERVER: OnceLock<EmbeddedPostgres> = OnceLock::new();
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(start_postgres)).await.unwrap();
    let name = format!("u_{}", Uuid::now_v7().simple());
    create_database(&server.url(SUPERUSER, "postgres"), &name).await;
    server.url(SUPERUSER, &name)
}

/// Runs statements in the database at `url`, as whoever owns it does.
pub async fn run_at(url: &str, statements: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(statements.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}

/// A text that the database at `url` answers with.
pub async fn text_at(url: &str, statement: &str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let text = sqlx::query_scalar(sqlx::AssertSqlSafe(statement.to_owned())).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    text
}

async fn create_database(admin: &str, name: &str) {
    let mut connection = PgConnection::connect(admin).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await.unwrap();
    connection.close().await.unwrap();
}

fn postgres() -> &'static EmbeddedPostgres {
    static POSTGRES: OnceLock<EmbeddedPostgres> = OnceLock::new();
    POSTGRES.get_or_init(|| std::thread::spawn(start_postgres).join().unwrap())
}

/// Stopped by the kernel when the test run ends: its supervisor's thread dies with the process.
fn start_postgres() -> EmbeddedPostgres {
    EmbeddedPostgres::start_without_fsync(&install(), &scratch_dir().join("postgres")).unwrap()
}
