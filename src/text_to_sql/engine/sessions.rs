//! The few sessions that we keep with a user's server, whatever its engine.
//!
//! A use begins with [`Sessions::begin`] and ends in one of three ways. A session that answered to the end is made as
//! good as new and kept for a while. One whose wire is gone is forgotten. One that was cut short, by a cap, a deadline
//! or a caller that went away, is cancelled from another connection and thrown away, because a cancel that arrives late
//! must not hit the next statement.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::EngineError;
use super::meter::Meter;

/// A user's database has other work to do than ours. One more than the statements that have their turn at a time: reading
/// the catalog holds a session for minutes without taking a turn, and nobody's statement waits for it.
pub(super) const SESSIONS: usize = 5;
/// For a connection with TLS and a password over a slow network.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// After this long without a question a session is given back.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// Reading waits only for somebody who changes the table itself.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);
/// The server stops a statement at its deadline by itself; only if it does not, we stop it.
pub(super) const GRACE: Duration = Duration::from_millis(250);
/// For the catalog of a large database; its samples have a budget of their own.
pub(super) const INTROSPECTION: Duration = Duration::from_secs(120);

/// What the sessions of an engine have of their own.
pub(super) trait Server: Send + Sync + 'static {
    type Session: Send + Sync + 'static;

    fn open(&self) -> impl Future<Output = Result<Self::Session, EngineError>> + Send;

    /// Begins a read-only transaction in which statements end at the deadline.
    fn begin(
        &self,
        session: &mut Self::Session,
        deadline: Duration,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;

    /// A session in which nothing is left of the last use.
    fn renewed(&self, session: Self::Session) -> impl Future<Output = Option<Self::Session>> + Send;

    /// Stops what the session runs, from another connection.
    fn cancel(&self, session: &Self::Session) -> impl Future<Output = Result<(), EngineError>> + Send;

    fn meter(session: &Self::Session) -> &Meter;

    /// What an error of the driver's means to whoever sent a statement.
    fn failure(error: &sqlx::Error, deadline: Duration) -> EngineError;
}

/// The few sessions of one database.
pub(super) struct Sessions<S: Server> {
    server: S,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<(S::Session, Instant)>>,
    /// Whether a task waits to give idle sessions back.
    reaping: AtomicBool,
}

impl<S: Server> Sessions<S> {
    pub(super) fn new(server: S) -> Self {
        let permits = Arc::new(Semaphore::new(SESSIONS));
        Self { server, permits, idle: Mutex::default(), reaping: AtomicBool::new(false) }
    }

    /// A session in a fresh read-only transaction, within the deadline or [`CONNECT`], whichever is sooner.
    pub(super) async fn begin(self: &Arc<Self>, deadline: Duration) -> Result<Busy<S>, EngineError> {
        let busy = || EngineError::Busy(format!("{SESSIONS} statements are already running"));
        let permit = timeout(deadline.min(CONNECT), Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| busy())?.map_err(|_| EngineError::Vanished)?;
        let session = timeout(deadline.min(CONNECT), unpanicked(self.begun(deadline))).await;
        let session = session.unwrap_or(Err(EngineError::Unreachable("it did not answer in time".into())))?;
        Ok(Busy { session: Some(session), permit: Some(permit), sessions: Arc::clone(self) })
    }

    async fn begun(&self, deadline: Duration) -> Result<S::Session, EngineError> {
        while let Some(mut session) = self.take_idle() {
            // The server may have closed it meanwhile; that is no reason to fail.
            if self.server.begin(&mut session, deadline).await.is_ok() {
                return Ok(session);
            }
        }
        let mut session = self.server.open().await?;
        self.server.begin(&mut session, deadline).await?;
        Ok(session)
    }

    fn take_idle(&self) -> Option<S::Session> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().map(|(session, _)| session)
    }

    /// Keeps a session for the next statement.
    async fn give_back(self: Arc<Self>, session: S::Session, permit: OwnedSemaphorePermit) {
        let renewed = timeout(CONNECT, AssertUnwindSafe(self.server.renewed(session)).catch_unwind()).await;
        if let Ok(Ok(Some(session))) = renewed
            && !self.permits.is_closed()
        {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((session, Instant::now()));
            if !self.reaping.swap(true, Ordering::AcqRel) {
                tokio::spawn(reap(Arc::downgrade(&self)));
            }
        }
        drop(permit);
    }

    /// Stops what a session runs and throws the session away.
    async fn cancel(self: Arc<Self>, session: S::Session, permit: OwnedSemaphorePermit) {
        let asked = timeout(CONNECT, unpanicked(self.server.cancel(&session))).await;
        if let Ok(Err(error)) = asked {
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
async fn reap<S: Server>(sessions: Weak<Sessions<S>>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(sessions) = sessions.upgrade() else { return };
        let mut idle = sessions.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        if idle.is_empty() {
            sessions.reaping.store(false, Ordering::Release);
            return;
        }
    }
}

/// A session while somebody uses it. Dropped without a word, it is stopped in the server.
pub(super) struct Busy<S: Server> {
    session: Option<S::Session>,
    permit: Option<OwnedSemaphorePermit>,
    sessions: Arc<Sessions<S>>,
}

impl<S: Server> Busy<S> {
    pub(super) fn session(&mut self) -> &mut S::Session {
        self.session.as_mut().expect("a busy session is only taken when it is over")
    }

    /// What was done in the session, when that was all, or why it was not.
    pub(super) fn end<T>(
        self,
        done: Result<Result<T, sqlx::Error>, Elapsed>,
        deadline: Duration,
    ) -> Result<T, EngineError> {
        match done {
            Ok(Ok(done)) => {
                self.finish();
                Ok(done)
            }
            Ok(Err(error)) => Err(self.fail(&error, deadline)),
            Err(_) => Err(EngineError::Timeout(deadline)),
        }
    }

    /// The server has answered to the end.
    pub(super) fn finish(mut self) {
        if let (Some(session), Some(permit)) = (self.session.take(), self.permit.take()) {
            tokio::spawn(Arc::clone(&self.sessions).give_back(session, permit));
        }
    }

    /// The server has refused, or the wire is gone: what that means to the caller.
    pub(super) fn fail(mut self, error: &sqlx::Error, deadline: Duration) -> EngineError {
        let excess = S::meter(self.session()).excess();
        match S::failure(error, deadline) {
            EngineError::Vanished => {
                self.session = None;
                excess.unwrap_or(EngineError::Vanished)
            }
            failure => {
                self.finish();
                failure
            }
        }
    }
}

impl<S: Server> Drop for Busy<S> {
    fn drop(&mut self) {
        if let (Some(session), Some(permit)) = (self.session.take(), self.permit.take())
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(Arc::clone(&self.sessions).cancel(session, permit));
        }
    }
}

/// The drivers panic over some messages that no honest server sends; whoever runs a server may send any.
pub(super) async fn unpanicked<T, E: From<Malformed>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(Malformed.into()))
}

/// The server does not speak the protocol that its URL promises.
pub(super) struct Malformed;

impl From<Malformed> for sqlx::Error {
    fn from(_: Malformed) -> Self {
        Self::Protocol("a malformed message".into())
    }
}

impl From<Malformed> for EngineError {
    fn from(_: Malformed) -> Self {
        Self::Unreachable("it does not speak the protocol of its engine".into())
    }
}
