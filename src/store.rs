//! Almanac's own PostgreSQL: everything that is kept, one file a table group.
//!
//! [`Store`] connects as a role that owns nothing; all reading and writing of a workspace's rows happens inside a
//! [`Workspace`], a transaction that row-level security ties to that workspace. The few questions that come before a
//! workspace is known (whose key is this, what is next in the queue) are functions of the owner.

pub mod audit_logs;
pub mod batches;
pub mod chunks;
pub mod databases;
pub mod documents;
pub mod embeddings;
pub mod examples;
pub mod feedback;
pub mod hnsw;
pub mod idempotency;
pub mod keys;
pub mod knowledge_bases;
pub mod originals;
pub mod queries;
pub mod queue;
pub mod quotes;
pub mod reindexings;
mod seal;
pub mod search;
mod uploads;
pub mod usage;

use std::{str::FromStr, time::Duration};

pub use seal::{Sealed, Sealer};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection, Executor, PgConnection, PgPool, Postgres, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use uuid::Uuid;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The server works as this role: neither owner nor superuser (see migrations/0001_tenancy.sql).
const BECOME_SERVER: &str = "set role almanac_server; set statement_timeout = '60s'";
/// Requests, ingestion workers and the queue share these; the embedded server allows 60.
const MAX_CONNECTIONS: u32 = 32;
/// A worker beside the server has no requests to serve, and no connection is held across its work.
const WORKER_CONNECTIONS: u32 = 8;
/// How long a request may wait for a free connection before it is answered with 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// pgvector that the search statements need (sparsevec, halfvec, iterative scans).
const MIN_PGVECTOR: &str = "0.8.0";

/// A pool of connections to our PostgreSQL, cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    /// The owner's login, for what only the owner may do.
    owner: SecretString,
}

/// A transaction that sees and writes the rows of one workspace, and no others.
#[derive(Debug)]
pub struct Workspace {
    id: Uuid,
    transaction: Transaction<'static, Postgres>,
}

/// Why the store could not do it, by what the caller should do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such row in this workspace.
    #[error("not found")]
    NotFound,
    /// A unique or foreign key said no; holds the constraint's name.
    #[error("conflicts with {0}")]
    Conflict(String),
    /// PostgreSQL cannot be reached or is overloaded: try again.
    #[error("the store is not available: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// What was asked cannot be stored: too large, or refused by a check.
    #[error("refused by {0}")]
    Refused(String),
    /// A defect or a damaged store.
    #[error("the store failed: {0}")]
    Internal(#[source] sqlx::Error),
}

impl Store {
    /// Migrates as the owner, whose login `owner` names, then connects as the server role: by the login `server` where
    /// there is one (the embedded PostgreSQL), else by the owner's login, which takes the role at once.
    pub async fn open(owner: &SecretString, server: Option<&SecretString>) -> Result<Store, StoreError> {
        migrate(&PgConnectOptions::from_str(owner.expose_secret())?, server.is_some()).await?;
        Store::connect(owner, server, MAX_CONNECTIONS).await
    }

    /// Connects to a store that a server keeps up to date: for workers beside it.
    pub async fn join(owner: &SecretString, server: Option<&SecretString>) -> Result<Store, StoreError> {
        check_version(&PgConnectOptions::from_str(owner.expose_secret())?).await?;
        Store::connect(owner, server, WORKER_CONNECTIONS).await
    }

    async fn connect(
        owner: &SecretString,
        server: Option<&SecretString>,
        connections: u32,
    ) -> Result<Store, StoreError> {
        let login = PgConnectOptions::from_str(server.unwrap_or(owner).expose_secret())?;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| Box::pin(async move { connection.execute(BECOME_SERVER).await.map(|_| ()) }))
            .connect_with(login.application_name("almanac"))
            .await?;
        Ok(Store { pool, owner: owner.clone() })
    }

    /// Begins a transaction in which only the rows of workspace `id` exist.
    pub async fn workspace(&self, id: Uuid) -> Result<Workspace, StoreError> {
        Workspace::enter(id, self.pool.begin().await?).await
    }

    /// The same for reading only, and every statement sees one moment.
    pub async fn snapshot(&self, id: Uuid) -> Result<Workspace, StoreError> {
        Workspace::enter(id, self.pool.begin_with("begin isolation level repeatable read, read only").await?).await
    }

    /// Whether PostgreSQL answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.pool.acquire().await?.ping().await?;
        Ok(())
    }

    /// Waits for running statements and closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl Workspace {
    async fn enter(id: Uuid, mut transaction: Transaction<'static, Postgres>) -> Result<Workspace, StoreError> {
        sqlx::query!("select set_config('app.workspace_id', $1, true)", id.to_string())
            .fetch_one(&mut *transaction)
            .await?;
        Ok(Workspace { id, transaction })
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Makes everything written visible; dropping a workspace instead undoes it.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit().await?)
    }

    fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}

async fn migrate(options: &PgConnectOptions, server_logs_in: bool) -> Result<(), StoreError> {
    let mut owner = PgConnection::connect_with(options).await?;
    MIGRATIONS.run(&mut owner).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error) => StoreError::from(error),
        other => StoreError::Refused(other.to_string()),
    })?;
    check_pgvector(&mut owner).await?;
    let allow = if server_logs_in { "alter role almanac_server login" } else { "grant almanac_server to current_user" };
    // Roles belong to the cluster: two servers that start at once may touch the same row, and one of them may lose.
    if let Err(error) = owner.execute(allow).await {
        tracing::warn!(%error, "the role almanac_server could not be set up; another server may be doing it");
    }
    Ok(owner.close().await?)
}

/// A worker of another version than the server's would misread its rows.
async fn check_version(owner: &PgConnectOptions) -> Result<(), StoreError> {
    let mut connection = PgConnection::connect_with(owner).await?;
    let applied: Result<Option<i64>, sqlx::Error> =
        sqlx::query_scalar("select max(version) from _sqlx_migrations where success").fetch_one(&mut connection).await;
    // No such table: nobody has migrated yet.
    let applied = match applied {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => None,
        other => other?,
    };
    connection.close().await?;
    let known = MIGRATIONS.iter().map(|migration| migration.version).max();
    match applied == known {
        true => Ok(()),
        false => Err(StoreError::Refused(format!(
            "the store is at migration {}, this program at {}: start the server first, and run one version of both",
            applied.unwrap_or(0),
            known.unwrap_or(0)
        ))),
    }
}

async fn check_pgvector(owner: &mut PgConnection) -> Result<(), StoreError> {
    let version: String =
        sqlx::query_scalar("select extversion from pg_extension where extname = 'vector'").fetch_one(owner).await?;
    let numbers = |text: &str| text.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    if numbers(&version) < numbers(MIN_PGVECTOR) {
        return Err(StoreError::Refused(format!("pgvector {version}: Almanac needs {MIN_PGVECTOR} or later")));
    }
    Ok(())
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        match &error {
            sqlx::Error::RowNotFound => StoreError::NotFound,
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::Tls(_) => {
                StoreError::Unavailable(error)
            }
            sqlx::Error::Database(refusal) => match refusal.code().as_deref() {
                Some("23505" | "23503") => {
                    StoreError::Conflict(refusal.constraint().unwrap_or("a constraint").to_owned())
                }
                // 22: a value that PostgreSQL cannot keep, such as a NUL or a year out of range.
                Some(code) if code.starts_with("22") => StoreError::Refused(refusal.message().to_owned()),
                Some("23514") => StoreError::Refused(refusal.constraint().unwrap_or("a check").to_owned()),
                // 08: connection, 53: out of resources, 57: shutting down or cancelled, 40: serialisation and deadlock.
                Some(code) if ["08", "53", "57", "40"].contains(&&code[..2]) => StoreError::Unavailable(error),
                _ => StoreError::Internal(error),
            },
            _ => StoreError::Internal(error),
        }
    }
}
