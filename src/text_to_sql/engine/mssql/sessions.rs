//! The few sessions that we keep with a user's server, and how one is stopped.
//!
//! Every use of a session begins with its own settings and, but for plans, one transaction that is rolled back. A
//! session that answered to the end is kept for a while, and its next use resets it in the server (`sp_reset_connection`
//! by the bit in the packet's header); one that was cut short, by a cap, a deadline or a caller that went away, is told
//! to stop and closed, which ends its statement in the server, and never used again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tiberius::Client;
use tiberius::error::Error;
use tokio::io::DuplexStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::EngineError;
use super::failure::{connect_failure, contained, failure};
use super::target::Target;
use super::wire::{self, Wire};
use crate::text_to_sql::engine::access::Access;
use crate::text_to_sql::engine::sessions::{CONNECT, IDLE, LOCK_WAIT, SESSIONS};
use crate::text_to_sql::run::mssql::TEXT_BYTES;

/// The optimizer's guess at seconds (on a machine of 1997) from which a statement is refused: it would not end in time.
const COST: u32 = 30_000;
/// A plan comes as one text, and a large one is only read so far.
const PLAN_BYTES: usize = 4 << 20;
/// A gateway sends to the server, and a listener to its readable copy.
const HOPS: usize = 2;

/// The driver's side of a session.
pub(in crate::text_to_sql) type Connection = Client<Compat<DuplexStream>>;

/// What a session is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A user's statement: where the database keeps versions of rows, it sees one moment and waits for nobody.
    Statement,
    /// The catalog, which has no versions.
    Catalog,
    /// The plan of a statement that does not run.
    Plan,
}

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
    pub(super) connection: Connection,
    pub(super) wire: Wire,
    idle_since: Instant,
}

impl Sessions {
    pub(super) fn new(target: Target, access: Access) -> Self {
        let permits = Arc::new(Semaphore::new(SESSIONS));
        Self { target, access, permits, idle: Mutex::default(), reaping: AtomicBool::new(false) }
    }

    /// A session made ready for its use, within the deadline or [`CONNECT`], whichever is sooner.
    pub(super) async fn begin(self: &Arc<Self>, wanted: Use, deadline: Duration) -> Result<Busy, EngineError> {
        let busy = || EngineError::Busy(format!("{SESSIONS} statements are already running"));
        let permit = timeout(deadline.min(CONNECT), Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| busy())?.map_err(|_| EngineError::Vanished)?;
        let session = timeout(deadline.min(CONNECT), contained(self.begun(wanted, deadline))).await;
        let session = session.unwrap_or(Err(EngineError::Unreachable("it did not answer in time".into())))?;
        Ok(Busy { session: Some(session), permit: Some(permit), sessions: Arc::clone(self) })
    }

    async fn begun(&self, wanted: Use, deadline: Duration) -> Result<Session, EngineError> {
        while let Some(mut session) = self.take_idle() {
            // The server may have closed it meanwhile; that is no reason to fail.
            if session.begin(wanted, deadline).await.is_ok() {
                return Ok(session);
            }
        }
        let mut session = self.open().await?;
        session.begin(wanted, deadline).await.map_err(|error| connect_failure(&error))?;
        Ok(session)
    }

    /// Where a server sends us elsewhere, the new address is judged like the first.
    async fn open(&self) -> Result<Session, EngineError> {
        let (mut host, mut port) = (self.target.host.clone(), self.target.port);
        for hop in 0..=HOPS {
            match self.open_at(&host, port).await {
                Err(Error::Routing { host: elsewhere, port: there }) if hop < HOPS => (host, port) = (elsewhere, there),
                Err(error) => return Err(connect_failure(&error)),
                Ok(opened) => return opened,
            }
        }
        Err(connect_failure(&Error::Routing { host, port }))
    }

    async fn open_at(&self, host: &str, port: u16) -> Result<Result<Session, EngineError>, Error> {
        let addresses = match self.access.addresses(host, port).await {
            Ok(addresses) => addresses,
            Err(error) => return Ok(Err(error)),
        };
        let (pipe, wire) = wire::open(&addresses, host, &self.target.tls).await?;
        match Client::connect(self.target.config(host), pipe.compat()).await {
            Ok(connection) => Ok(Ok(Session { connection, wire, idle_since: Instant::now() })),
            Err(error) => wire.failure().map_or(Err(error), |failure| Ok(Err(failure))),
        }
    }

    fn take_idle(&self) -> Option<Session> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Ends what a session began and keeps it for the next use.
    async fn give_back(self: Arc<Self>, mut session: Session, permit: OwnedSemaphorePermit) {
        if timeout(CONNECT, contained(session.end())).await.is_ok_and(|ended| ended.is_ok())
            && !self.permits.is_closed()
        {
            session.idle_since = Instant::now();
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
            if !self.reaping.swap(true, Ordering::AcqRel) {
                tokio::spawn(reap(Arc::downgrade(&self)));
            }
        }
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
    async fn begin(&mut self, wanted: Use, deadline: Duration) -> Result<(), Error> {
        self.wire.meter.renew();
        self.batch(&settings(wanted, deadline)).await
    }

    async fn end(&mut self) -> Result<(), Error> {
        self.batch("if @@trancount > 0 rollback transaction").await?;
        self.wire.reset_next();
        Ok(())
    }

    /// Runs a batch of ours that has no rows.
    pub(super) async fn batch(&mut self, text: &str) -> Result<(), Error> {
        self.wire.meter.refill();
        self.connection.simple_query(text).await?.into_results().await?;
        Ok(())
    }
}

/// What one use of a session begins with. All of it is ours: no user text.
fn settings(wanted: Use, deadline: Duration) -> String {
    let lock = LOCK_WAIT.min(deadline).as_millis().max(1);
    let text = if wanted == Use::Plan { PLAN_BYTES } else { TEXT_BYTES };
    let isolation = match wanted {
        Use::Statement => {
            "if exists (select 1 from sys.databases where database_id = db_id() and snapshot_isolation_state = 1)
                 set transaction isolation level snapshot
             else
                 set transaction isolation level read committed;"
        }
        Use::Catalog | Use::Plan => "set transaction isolation level read committed;",
    };
    let transaction = if wanted == Use::Plan { "" } else { "begin transaction;" };
    format!(
        "set nocount on;
         -- the guard has read the text by these
         set quoted_identifier on;
         set ansi_nulls on;
         set ansi_padding on;
         set ansi_warnings on;
         set arithabort on;
         set concat_null_yields_null on;
         set numeric_roundabort off;
         set implicit_transactions off;
         set rowcount 0;
         -- dates mean the same whatever the login's language; the language comes first, for it sets the others
         set language us_english;
         set dateformat ymd;
         set datefirst 7;
         -- nobody who writes waits for us, and we not long for them
         set lock_timeout {lock};
         set deadlock_priority low;
         set query_governor_cost_limit {COST};
         set textsize {text};
         {isolation}
         {transaction}"
    )
}

/// A session while somebody uses it. Dropped without a word, it is stopped in the server and closed.
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
    pub(super) fn fail(mut self, error: &Error) -> EngineError {
        let excess = self.session().wire.meter.excess();
        match (failure(error), error) {
            (EngineError::Vanished, _) => excess.unwrap_or(EngineError::Vanished),
            (refused, Error::Server(_)) => {
                self.finish();
                refused
            }
            // The driver lost its place in the answer.
            (unreadable, _) => unreadable,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            session.wire.stop();
        }
    }
}
