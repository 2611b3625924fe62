//! The few sessions that we keep with a user's server, and how one is stopped.
//!
//! Every use of a session is one read-only transaction with its own time limits, search path and output formats. A
//! session that answered to the end is reset (`discard all`) and kept for a while; one that was cut short, by a cap, a
//! deadline or a caller that went away, is cancelled from another connection and thrown away, because a cancel that
//! arrives late must not hit the next statement.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::EngineError;
use super::failure::{connect_failure, failure, unpanicked};
use super::target::Target;
use crate::text_to_sql::engine::access::Access;
use crate::text_to_sql::engine::meter::{MAX_ANSWER, Meter};

/// A user's database has other work to do than ours.
pub(super) const SESSIONS: usize = 4;
/// For a connection with TLS and a password over a slow network.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// After this long without a question a session is given back.
const IDLE: Duration = Duration::from_secs(60);
/// Reading waits only for somebody who changes the table itself.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The few sessions of one database.
pub(super) struct Sessions {
    target: Target,
    access: Access,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Session>>,
    /// Whether a task waits to give idle sessions back.
    reaping: AtomicBool,
}

pub(super) struct Session {
    pub(super) connection: PgConnection,
    pub(super) meter: Arc<Meter>,
    /// The server's process, for a cancel.
    pid: i32,
    idle_since: Instant,
}

impl Sessions {
    pub(super) fn new(target: Target, access: Access) -> Self {
        let permits = Arc::new(Semaphore::new(SESSIONS));
        Self { target, access, permits, idle: Mutex::default(), reaping: AtomicBool::new(false) }
    }

    /// A session in a fresh read-only transaction, within the deadline or [`CONNECT`], whichever is sooner.
    pub(super) async fn begin(self: &Arc<Self>, deadline: Duration) -> Result<Busy, EngineError> {
        let busy = || EngineError::Busy(format!("{SESSIONS} statements are already running"));
        let permit = timeout(deadline.min(CONNECT), Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| busy())?.map_err(|_| EngineError::Vanished)?;
        let session = timeout(deadline.min(CONNECT), unpanicked(self.begun(deadline))).await;
        let session = session.unwrap_or(Err(EngineError::Unreachable("it did not answer in time".into())))?;
        Ok(Busy { session: Some(session), permit: Some(permit), sessions: Arc::clone(self) })
    }

    async fn begun(&self, deadline: Duration) -> Result<Session, EngineError> {
        while let Some(mut session) = self.take_idle() {
            // The server may have closed it meanwhile; that is no reason to fail.
            if session.begin(deadline).await.is_ok() {
                return Ok(session);
            }
        }
        let mut session = self.open().await?;
        session.begin(deadline).await.map_err(|error| connect_failure(&error))?;
        Ok(session)
    }

    async fn open(&self) -> Result<Session, EngineError> {
        let relay = self.target.relay(&self.access).await?;
        let connected = self.target.options(&relay).connect().await;
        let connection = connected.map_err(|error| connect_failure(&error))?;
        Ok(Session { connection, meter: relay.meter, pid: 0, idle_since: Instant::now() })
    }

    fn take_idle(&self) -> Option<Session> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Resets a session and keeps it for the next statement.
    async fn give_back(self: Arc<Self>, mut session: Session, permit: OwnedSemaphorePermit) {
        if timeout(CONNECT, session.reset()).await.is_ok_and(|reset| reset.is_ok()) && !self.permits.is_closed() {
            session.idle_since = Instant::now();
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
            if !self.reaping.swap(true, Ordering::AcqRel) {
                tokio::spawn(reap(Arc::downgrade(&self)));
            }
        }
        drop(permit);
    }

    /// Stops what a session runs and throws the session away.
    async fn cancel(self: Arc<Self>, session: Session, permit: OwnedSemaphorePermit) {
        let asked = timeout(CONNECT, async {
            let mut other = self.open().await?;
            let asked =
                sqlx::query("select pg_cancel_backend($1)").bind(session.pid).execute(&mut other.connection).await;
            let _ = other.connection.close().await;
            asked.map_err(|error| connect_failure(&error))
        });
        if let Ok(Err(error)) = asked.await {
            tracing::debug!(%error, "a statement could not be cancelled; its connection is closed and its timeout ends it");
        }
        drop(session);
        drop(permit);
    }

    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Gives sessions back that nobody has used for [`IDLE`], until none is left.
async fn reap(sessions: Weak<Sessions>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(sessions) = sessions.upgrade() else { return };
        let mut idle = sessions.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|session| session.idle_since.elapsed() < IDLE);
        if idle.is_empty() {
            sessions.reaping.store(false, Ordering::Release);
            return;
        }
    }
}

impl Session {
    async fn begin(&mut self, deadline: Duration) -> Result<(), sqlx::Error> {
        self.meter.refill();
        let row = sqlx::raw_sql(AssertSqlSafe(transaction(deadline))).fetch_one(&mut self.connection).await?;
        self.pid = row.try_get(0)?;
        Ok(())
    }

    /// The guard named every table with its schema, and allowed functions and operators by the built-in ones' names: no
    /// schema of the user's may put its own in their place.
    pub(super) async fn confine_names(&mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("set local search_path = pg_catalog, pg_temp").execute(&mut self.connection).await?;
        Ok(())
    }

    /// Two round trips: `discard all` must not run inside a transaction, nor in one message with another statement.
    async fn reset(&mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("rollback").execute(&mut self.connection).await?;
        sqlx::raw_sql("discard all").execute(&mut self.connection).await?;
        Ok(())
    }
}

/// Begins the transaction that one use of a session lives in. All of it is ours: no user text.
fn transaction(deadline: Duration) -> String {
    let (deadline, lock) = (deadline.as_millis().max(1), LOCK_WAIT.min(deadline).as_millis().max(1));
    format!(
        "begin transaction read only;
         set local statement_timeout = {deadline};
         set local lock_timeout = {lock};
         set local idle_in_transaction_session_timeout = {deadline};
         -- memory for one sort or hash: enough for an honest question, and many of them do no harm
         set local work_mem = '32MB';
         -- the guard has read the text by the standard
         set local standard_conforming_strings = on;
         -- the formats that rows are read in
         set local intervalstyle = iso_8601;
         set local bytea_output = hex;
         set local extra_float_digits = 1;
         select pg_catalog.pg_backend_pid(),
                -- names mean built-ins first, then what this login would find, and temporary tables last
                pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog',
                    (select pg_catalog.string_agg(pg_catalog.quote_ident(name), ', ' order by place)
                     from pg_catalog.unnest(pg_catalog.current_schemas(false)) with ordinality as s (name, place)
                     where name <> 'pg_catalog'),
                    'pg_temp'), true)"
    )
}

/// A session while somebody uses it. Dropped without a word, it is stopped in the server.
pub(super) struct Busy {
    session: Option<Session>,
    permit: Option<OwnedSemaphorePermit>,
    sessions: Arc<Sessions>,
}

impl Busy {
    pub(super) fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("a busy session is only taken when it is over")
    }

    /// The server has answered to the end.
    pub(super) fn finish(mut self) {
        if let (Some(session), Some(permit)) = (self.session.take(), self.permit.take()) {
            tokio::spawn(Arc::clone(&self.sessions).give_back(session, permit));
        }
    }

    /// The server has refused, or the wire is gone: what that means to the caller.
    pub(super) fn fail(mut self, error: &sqlx::Error, deadline: Duration) -> EngineError {
        let cut = self.session().meter.is_cut();
        match failure(error, deadline) {
            EngineError::Vanished => {
                self.session = None;
                match cut {
                    true => EngineError::TooLarge(format!("a row is larger than {} MiB", MAX_ANSWER >> 20)),
                    false => EngineError::Vanished,
                }
            }
            failure => {
                self.finish();
                failure
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let (Some(session), Some(permit)) = (self.session.take(), self.permit.take())
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(Arc::clone(&self.sessions).cancel(session, permit));
        }
    }
}
