//! Connections to users' databases: one engine each, connected at the first use and closed when idle, with its places
//! shared fairly among keys.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as SyncMutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use quick_cache::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Mutex, time::timeout};
use uuid::Uuid;

use super::{
    App,
    turns::{TooManyWaiting, Turn, Turns},
};
use crate::{
    store::{Sealed, StoreError, Workspace, databases::Database},
    text_to_sql::{
        KnownSchema,
        engine::{self, Access, EngineError, Estimate, Privileges, SqlEngine},
        guard::ReadOnlySql,
        introspect::Samples,
        run::{Caps, Rows},
        schema::{Engine, Schema},
    },
};

/// Who connects a database waits this long to hear that its URL is wrong.
const QUICK: Duration = Duration::from_secs(3);
/// A statement waits this long for its turn, like for a connection.
const TURN: Duration = Duration::from_secs(10);
/// After this long without a question a database's engine is closed.
const IDLE: Duration = Duration::from_secs(10 * 60);
const LOOK_FOR_IDLE: Duration = Duration::from_secs(60);

/// The open databases, and whose turn it is on each.
pub struct Databases {
    access: Access,
    engines: Mutex<HashMap<Uuid, Connected>>,
    turns: SyncMutex<HashMap<Uuid, Turns>>,
    /// By database and version: reading the schema of a thousand tables takes longer than all else about a statement.
    schemas: Cache<(Uuid, i64), Arc<KnownSchema>>,
}

/// Schemas that are kept in memory; one may hold 32 MiB of sample values.
const SCHEMAS: usize = 16;

/// An engine and the sealed URL that it was connected by: another URL means another engine.
struct Connected {
    url: Vec<u8>,
    engine: Arc<dyn SqlEngine>,
    used: Instant,
}

/// What a URL leads to.
pub struct Checked {
    pub engine: Engine,
    /// Nothing when the server did not answer quickly, or did not want to say.
    pub privileges: Option<Privileges>,
}

impl Databases {
    pub fn new(access: Access) -> Databases {
        Databases { access, engines: Mutex::default(), turns: SyncMutex::default(), schemas: Cache::new(SCHEMAS) }
    }

    /// What no retry mends about `url`: it is malformed, or leads where this server may not go. A server that cannot be
    /// reached, or not quickly, is no such thing: its sync will tell.
    pub async fn check_url(&self, url: &SecretString) -> Result<Checked, EngineError> {
        let quickly = async {
            let engine = engine::connect(url, &self.access).await?;
            let privileges = engine.privileges().await.ok();
            engine.close().await;
            Ok(Checked { engine: engine.engine(), privileges })
        };
        match timeout(QUICK, quickly).await {
            Ok(Ok(checked)) => Ok(checked),
            Ok(Err(error @ (EngineError::InvalidUrl(_) | EngineError::NotAllowed(_)))) => Err(error),
            Ok(Err(_)) | Err(_) => Ok(Checked { engine: engine_of(url), privileges: None }),
        }
    }

    /// The engine of database `id`, connected if it is not yet.
    pub async fn engine(&self, app: &App, id: Uuid, sealed: &Sealed) -> Result<Arc<dyn SqlEngine>, EngineError> {
        if let Some(known) = self.engines.lock().await.get_mut(&id).filter(|known| known.url == sealed.bytes) {
            known.used = Instant::now();
            return Ok(Arc::clone(&known.engine));
        }
        let url = app.sealer.open(id, sealed).map_err(|error| {
            tracing::error!(database = %id, %error, "a connection string cannot be opened");
            EngineError::InvalidUrl("the stored connection string cannot be opened: set the url again".to_owned())
        })?;
        let engine = engine::connect(&url, &self.access).await?;
        // Two requests may connect at once: the last one stays, and the other's connections close when they are idle.
        let connected = Connected { url: sealed.bytes.clone(), engine: Arc::clone(&engine), used: Instant::now() };
        self.engines.lock().await.insert(id, connected);
        Ok(engine)
    }

    /// The engine of database `id` as `key` may use it: connected at the first use, in turn with others. Refused when too
    /// many of the key's statements wait already.
    pub fn visit(&self, app: &App, id: Uuid, engine: Engine, url: Sealed, key: Uuid) -> Result<Visit, TooManyWaiting> {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().clone();
        turns.admit(key)?;
        Ok(Visit { app: app.clone(), id, engine, url, key, turns })
    }

    /// The schema of a database, read again only when it has changed.
    pub async fn schema(&self, workspace: &mut Workspace, database: &Database) -> Result<Arc<KnownSchema>, StoreError> {
        let key = (database.id, database.schema_version);
        if let Some(schema) = self.schemas.get(&key) {
            return Ok(schema);
        }
        let schema = Arc::new(KnownSchema::new(workspace.schema(database).await?));
        self.schemas.insert(key, Arc::clone(&schema));
        Ok(schema)
    }

    /// Drops the connections of database `id`.
    pub async fn forget(&self, id: Uuid) {
        let known = self.engines.lock().await.remove(&id);
        // Statements that wait or run have it too: they end first, and its connections close when they are idle.
        if let Some(known) = known.filter(|known| Arc::strong_count(&known.engine) == 1) {
            known.engine.close().await;
        }
    }

    /// Closes the engines that nobody has used for `idle`.
    pub async fn close_idle(&self, idle: Duration) {
        let is_idle = |known: &Connected| known.used.elapsed() >= idle && Arc::strong_count(&known.engine) == 1;
        let closed: Vec<(Uuid, Connected)> = self.engines.lock().await.extract_if(|_, known| is_idle(known)).collect();
        for (id, known) in closed {
            known.engine.close().await;
            tracing::debug!(database = %id, "closed an idle database");
        }
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, turns| turns.in_use());
    }

    pub async fn close(&self) {
        let engines = std::mem::take(&mut *self.engines.lock().await);
        for known in engines.into_values() {
            known.engine.close().await;
        }
    }
}

impl App {
    /// Until [`super::Parts::stop`], closes the engines of databases that nobody asks.
    pub async fn close_idle_databases(&self) {
        while self.stop.run_until_cancelled(tokio::time::sleep(LOOK_FOR_IDLE)).await.is_some() {
            self.databases.close_idle(IDLE).await;
        }
    }
}

/// A database as one caller uses it.
pub struct Visit {
    app: App,
    id: Uuid,
    engine: Engine,
    url: Sealed,
    key: Uuid,
    turns: Turns,
}

impl Visit {
    async fn engine_in_turn(&self, deadline: Duration) -> Result<(Arc<dyn SqlEngine>, Turn), EngineError> {
        let busy = || EngineError::Busy("other statements are running, and more wait".to_owned());
        let turn = timeout(TURN.min(deadline), self.turns.take(self.key)).await.map_err(|_| busy())?;
        let turn = turn.map_err(|_| busy())?;
        Ok((self.app.databases.engine(&self.app, self.id, &self.url).await?, turn))
    }
}

#[async_trait]
impl SqlEngine for Visit {
    fn engine(&self) -> Engine {
        self.engine
    }

    async fn introspect(&self, samples: &Samples) -> Result<Schema, EngineError> {
        let (engine, _turn) = self.engine_in_turn(TURN).await?;
        engine.introspect(samples).await
    }

    async fn privileges(&self) -> Result<Privileges, EngineError> {
        let (engine, _turn) = self.engine_in_turn(TURN).await?;
        engine.privileges().await
    }

    async fn estimate(&self, statement: &ReadOnlySql, deadline: Duration) -> Result<Option<Estimate>, EngineError> {
        let (engine, _turn) = self.engine_in_turn(TURN).await?;
        engine.estimate(statement, deadline).await
    }

    async fn run(&self, statement: &ReadOnlySql, caps: &Caps) -> Result<Rows, EngineError> {
        let (engine, _turn) = self.engine_in_turn(caps.deadline).await?;
        engine.run(statement, caps).await
    }

    /// The connections are others' too.
    async fn close(&self) {}
}

/// By the scheme of a URL that [`engine::connect`] took for one of these.
fn engine_of(url: &SecretString) -> Engine {
    match url.expose_secret().split(':').next().map(str::to_ascii_lowercase).as_deref() {
        Some("mysql" | "mariadb") => Engine::Mysql,
        Some("sqlite") => Engine::Sqlite,
        Some("mssql" | "sqlserver") => Engine::Mssql,
        _ => Engine::Postgres,
    }
}
