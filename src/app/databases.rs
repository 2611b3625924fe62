//! Connections to users' databases, one engine each, and the reading of their schemas in the background.

use std::{collections::HashMap, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Mutex, time::timeout};
use uuid::Uuid;

use super::App;
use crate::{
    store::{Sealed, StoreError, databases::DatabaseError},
    text_to_sql::{
        engine::{self, Access, EngineError, SqlEngine},
        schema::{Engine, Schema},
    },
};

/// Who connects a database waits this long to hear that its URL is wrong.
const QUICK: Duration = Duration::from_secs(3);

/// The open databases. Engines close their connections by themselves when idle.
pub struct Databases {
    access: Access,
    engines: Mutex<HashMap<Uuid, Connected>>,
}

/// An engine and the sealed URL that it was connected by: another URL means another engine.
struct Connected {
    url: Vec<u8>,
    engine: Arc<dyn SqlEngine>,
}

impl Databases {
    pub fn new(access: Access) -> Databases {
        Databases { access, engines: Mutex::default() }
    }

    /// What no retry mends about `url`: it is malformed, or leads where this server may not go. A server that cannot be
    /// reached, or not quickly, is no such thing: its sync will tell.
    pub async fn check_url(&self, url: &SecretString) -> Result<Engine, EngineError> {
        match timeout(QUICK, engine::connect(url, &self.access)).await {
            Ok(Ok(engine)) => {
                engine.close().await;
                Ok(engine.engine())
            }
            Ok(Err(
                error @ (EngineError::InvalidUrl(_) | EngineError::NotAllowed(_)),
            )) => Err(error),
            Ok(Err(_)) | Err(_) => Ok(engine_of(url)),
        }
    }

    /// The engine of database `id`, connected if it is not yet.
    pub async fn engine(&self, app: &App, id: Uuid, sealed: &Sealed) -> Result<Arc<dyn SqlEngine>, EngineError> {
        if let Some(known) = self.engines.lock().await.get(&id).filter(|known| known.url == sealed.bytes) {
            return Ok(Arc::clone(&known.engine));
        }
        let url = app.sealer.open(id, sealed).map_err(|error| {
            tracing::error!(database = %id, %error, "a connection string cannot be opened");
            EngineError::InvalidUrl("the stored connection string cannot be opened: set the url again".to_owned())
        })?;
        let engine = engine::connect(&url, &self.access).await?;
        // Two requests may connect at once: the last one stays, and the other's connections close when they are idle.
        let connected = Connected { url: sealed.bytes.clone(), engine: Arc::clone(&engine) };
        self.engines.lock().await.insert(id, connected);
        Ok(engine)
    }

    /// Drops the connections of database `id`.
    pub async fn forget(&self, id: Uuid) {
        let known = self.engines.lock().await.remove(&id);
        if let Some(known) = known {
            known.engine.close().await;
        }
    }

    pub async fn close(&self) {
        let engines = std::mem::take(&mut *self.engines.lock().await);
        for known in engines.into_values() {
            known.engine.close().await;
        }
    }

    /// Reads the schema of a database in the background and stores what became of it.
    pub fn sync_later(&self, app: &App, workspace_id: Uuid, id: Uuid) {
        let app = app.clone();
        tokio::spawn(async move {
            if let Err(error) = sync(&app, workspace_id, id).await {
                tracing::error!(database = %id, %error, "the outcome of a sync could not be stored");
            }
        });
    }
}

/// By the scheme of a URL that [`engine::connect`] took for one of these two.
fn engine_of(url: &SecretString) -> Engine {
    if url.expose_secret().to_ascii_lowercase().starts_with("sqlite:") { Engine::Sqlite } else { Engine::Postgres }
}

async fn sync(app: &App, workspace_id: Uuid, id: Uuid) -> Result<(), StoreError> {
    let mut workspace = app.store.workspace(workspace_id).await?;
    let sealed = workspace.database_url(id).await?;
    workspace.commit().await?;
    let found = match app.databases.engine(app, id, &sealed).await {
        Ok(engine) => engine.introspect().await,
        Err(error) => Err(error),
    };
    let failure = match found {
        Ok(schema) => match finish(app, workspace_id, id, &sealed, &schema.without_nul()).await {
            Err(error @ (StoreError::Refused(_) | StoreError::Internal(_))) => {
                tracing::error!(database = %id, %error, "a schema cannot be stored");
                let detail = "its schema holds something that cannot be stored; the log says what".to_owned();
                DatabaseError { code: "schema_not_stored".to_owned(), detail }
            }
            stored => return stored,
        },
        Err(error) => {
            tracing::warn!(database = %id, %error, "a schema could not be read");
            DatabaseError { code: error.code().to_owned(), detail: error.to_string() }
        }
    };
    app.databases.forget(id).await;
    let mut workspace = app.store.workspace(workspace_id).await?;
    workspace.fail_sync(id, &sealed, &failure).await?;
    workspace.commit().await
}

async fn finish(app: &App, workspace_id: Uuid, id: Uuid, sealed: &Sealed, schema: &Schema) -> Result<(), StoreError> {
    let mut workspace = app.store.workspace(workspace_id).await?;
    workspace.finish_sync(id, sealed, schema).await?;
    workspace.commit().await
}
