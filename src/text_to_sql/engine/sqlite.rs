//! A SQLite file of a user: opened read-only and confined anew for every use, so no state outlives a statement.
//!
//! A use costs about a millisecond more than a kept connection would, and in return the path is judged each time, and a
//! file that was replaced is simply the new file.

use std::collections::HashSet;
use std::ffi::c_int;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use libsqlite3_sys as ffi;
use sqlx::sqlite::{LockedSqliteHandle, SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::access::Access;
use super::sqlite_confine::{self, Compiled, Refusal};
use super::stop::{Stop, StopOnDrop};
use super::{EngineError, Estimate, Privileges, SqlEngine};
use crate::text_to_sql::guard::ReadOnlySql;
use crate::text_to_sql::introspect::Samples;
use crate::text_to_sql::run::{Caps, Rows};
use crate::text_to_sql::schema::{Engine, Schema};
use crate::text_to_sql::{introspect, run};

/// Statements that run at once in one file; each has a thread of its own.
const STATEMENTS: usize = 4;
/// How long a writer may keep the file to itself before we say that it is busy.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// For opening a file with a large schema on a slow disk.
const CONNECT: Duration = Duration::from_secs(10);
/// For the catalog and the samples of a large file.
const INTROSPECTION: Duration = Duration::from_secs(120);
/// Operations between two looks at the clock: some tens of microseconds.
const TICK: i32 = 1000;
/// Some single operations (a sort, a long `like`) do not tick; waiting for them ends here.
const GRACE: Duration = Duration::from_millis(500);
/// Rows that wait between SQLite's thread and us: each may be as large as a row can be.
const WAITING_ROWS: usize = 4;
/// Names and short values, of which there are many.
const WAITING_CATALOG_ROWS: usize = 1000;

/// One SQLite file of a user.
pub(super) struct Sqlite {
    /// As the URL has it: judged at each use.
    path: String,
    access: Access,
    permits: Semaphore,
}

impl Sqlite {
    pub(super) async fn connect(url: &str, access: &Access) -> Result<Self, EngineError> {
        let sqlite = Self { path: path(url)?, access: access.clone(), permits: Semaphore::new(STATEMENTS) };
        // Proves that the file can be opened and is a database.
        sqlite.within(CONNECT, async |stop| confined(sqlite.open(WAITING_ROWS).await?, &stop).await).await?;
        Ok(sqlite)
    }

    /// What `run` does with the text of a statement; apart so that tests can send what no guard would let through.
    async fn run_text(&self, sql: &str, caps: &Caps) -> Result<Rows, EngineError> {
        self.within(caps.deadline, async |stop| {
            let connection = confined(self.open(WAITING_ROWS).await?, &stop).await?;
            let (mut connection, compiled) = compiled(connection, sql.to_owned()).await?;
            Ok(run::sqlite::run(&mut connection, compiled.columns, sql, caps).await?)
        })
        .await
    }

    async fn open(&self, waiting_rows: usize) -> Result<SqliteConnection, Failure> {
        let file = self.access.sqlite_file(&self.path)?;
        let options = SqliteConnectOptions::new()
            .filename(file)
            .read_only(true)
            .pragma("query_only", "on")
            .pragma("trusted_schema", "off")
            // Sorts count against the memory that SQLite may use, instead of filling a disk.
            .pragma("temp_store", "memory")
            .busy_timeout(LOCK_WAIT)
            .row_buffer_size(waiting_rows)
            .disable_statement_logging();
        Ok(options.connect().await?)
    }

    /// Does `work` within the deadline. A caller that goes away stops it as the deadline does.
    async fn within<T>(
        &self,
        deadline: Duration,
        work: impl AsyncFnOnce(Arc<Stop>) -> Result<T, Failure>,
    ) -> Result<T, EngineError> {
        let permit = timeout(deadline, self.permits.acquire()).await;
        let busy = || EngineError::Busy(format!("{STATEMENTS} statements are already running"));
        let _permit = permit.map_err(|_| busy())?.map_err(|_| EngineError::Vanished)?;
        let stop = StopOnDrop(Arc::new(Stop::after(deadline)));
        match timeout(deadline + GRACE, work(Arc::clone(&stop.0))).await {
            Ok(done) => done.map_err(|failure| failure.told(deadline)),
            Err(_) => Err(EngineError::Timeout(deadline)),
        }
    }
}

#[async_trait]
impl SqlEngine for Sqlite {
    fn engine(&self) -> Engine {
        Engine::Sqlite
    }

    async fn introspect(&self, samples: &Samples) -> Result<Schema, EngineError> {
        self.within(INTROSPECTION, async |stop| {
            let mut connection = self.open(WAITING_CATALOG_ROWS).await?;
            let catalog = introspect::sqlite::catalog(&mut connection).await?;
            let mut connection = confined(connection, &stop).await?;
            Ok(introspect::sqlite::describe(&mut connection, catalog, &stop, samples).await?)
        })
        .await
    }

    async fn privileges(&self) -> Result<Privileges, EngineError> {
        // A file knows no logins, and it is opened for reading only.
        Ok(Privileges { login: String::new(), warnings: Vec::new() })
    }

    async fn estimate(&self, _: &ReadOnlySql, _: Duration) -> Result<Option<Estimate>, EngineError> {
        // `explain query plan` names the steps of a plan, not their rows or cost.
        Ok(None)
    }

    async fn run(&self, statement: &ReadOnlySql, caps: &Caps) -> Result<Rows, EngineError> {
        self.run_text(statement.text(), caps).await
    }

    async fn close(&self) {
        self.permits.close();
    }
}

/// The path in `sqlite:path`, `sqlite://path` and `sqlite:///path`, taken literally.
fn path(url: &str) -> Result<String, EngineError> {
    let path = url.split_once(':').map(|(_, rest)| rest.strip_prefix("//").unwrap_or(rest)).unwrap_or_default();
    let invalid = |why: &str| Err(EngineError::InvalidUrl(why.to_owned()));
    match path {
        "" => invalid("a SQLite URL names a file: sqlite:sales.db"),
        path if path.starts_with("file:") || path.contains(['?', '\0']) => {
            invalid("a SQLite URL is a plain path, without parameters")
        }
        path => Ok(path.to_owned()),
    }
}

/// From here on the connection can only read the tables that it has now.
async fn confined(mut connection: SqliteConnection, stop: &Arc<Stop>) -> Result<SqliteConnection, Failure> {
    let tables = connect_tables(&mut connection).await?;
    let stop = Arc::clone(stop);
    blocking(connection, move |handle| {
        handle.set_progress_handler(TICK, move || !stop.is_due());
        sqlite_confine::confine(handle, tables)
    })
    .await
    .map(|(connection, ())| connection)
}

/// The readable tables, after each virtual one has been connected: what its module needs for that, no statement of a
/// user may do.
async fn connect_tables(connection: &mut SqliteConnection) -> Result<HashSet<String>, Failure> {
    let rows = sqlx::query(
        "select name, type from pragma_table_list where schema = 'main' and name not like 'sqlite|_%' escape '|'",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut tables = HashSet::with_capacity(rows.len());
    let mut connecting = vec!["select 1 from json_each('[]'), json_tree('[]')".to_owned()];
    for row in rows {
        let name: String = row.try_get(0)?;
        if row.try_get::<&str, _>(1)? == "virtual" {
            connecting.push(format!("select 1 from {} limit 0", introspect::quoted(&name)));
        }
        tables.insert(name.to_lowercase());
    }
    for statement in connecting {
        // A module that this build lacks is found out by whoever reads its table.
        let _ = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await;
    }
    Ok(tables)
}

async fn compiled(connection: SqliteConnection, sql: String) -> Result<(SqliteConnection, Compiled), Failure> {
    blocking(connection, move |handle| sqlite_confine::compile(handle, &sql)).await
}

/// Works on the raw handle, away from the threads that serve requests: a hostile schema can make compiling slow.
async fn blocking<T: Send + 'static>(
    mut connection: SqliteConnection,
    work: impl FnOnce(&mut LockedSqliteHandle<'_>) -> Result<T, Refusal> + Send + 'static,
) -> Result<(SqliteConnection, T), Failure> {
    let worked = tokio::task::spawn_blocking(move || {
        let done = {
            let mut handle = tokio::runtime::Handle::current().block_on(connection.lock_handle())?;
            work(&mut handle)?
        };
        Ok((connection, done))
    });
    worked.await.unwrap_or(Err(Failure::Driver(sqlx::Error::WorkerCrashed)))
}

/// What can go wrong on the way to the rows.
enum Failure {
    Told(EngineError),
    Refused(Refusal),
    Driver(sqlx::Error),
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Told(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

impl Failure {
    fn told(self, deadline: Duration) -> EngineError {
        match self {
            Self::Told(error) => error,
            Self::Refused(refusal) => told(refusal.code, &refusal.message, deadline),
            Self::Driver(sqlx::Error::Database(error)) => {
                let code = error.code().and_then(|code| code.parse().ok()).unwrap_or(ffi::SQLITE_ERROR);
                told(code, error.message(), deadline)
            }
            // The driver's thread ends when SQLite has no memory left for a row that it hands over.
            Self::Driver(_) => EngineError::TooLarge("a row did not fit".into()),
        }
    }
}

/// <https://www.sqlite.org/rescode.html>; the low byte is the primary code.
fn told(code: c_int, message: &str, deadline: Duration) -> EngineError {
    match code & 0xff {
        ffi::SQLITE_INTERRUPT => EngineError::Timeout(deadline),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => EngineError::Busy("another program is writing to the file".into()),
        ffi::SQLITE_NOMEM | ffi::SQLITE_TOOBIG => EngineError::TooLarge(super::shortened(message)),
        ffi::SQLITE_NOTADB | ffi::SQLITE_CORRUPT => {
            EngineError::Unreachable("the file is not a sound SQLite database".into())
        }
        ffi::SQLITE_CANTOPEN | ffi::SQLITE_IOERR => EngineError::Vanished,
        _ => EngineError::rejected(message),
    }
}

#[cfg(test)]
mod tests;
