//! A PostgreSQL database of a user.
//!
//! Every use is one read-only transaction in a session ([`sessions`]) to the server that the URL names ([`target`]);
//! what can go wrong is told in the words of [`failure`].

mod failure;
mod plan;
mod privileges;
mod sessions;
mod target;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use self::sessions::{Busy, Server, Session, Sessions};
use self::target::Target;
use super::access::Access;
use super::sessions::{CONNECT, GRACE, INTROSPECTION, unpanicked};
use super::{EngineError, Estimate, Privileges, SqlEngine};
use crate::text_to_sql::guard::ReadOnlySql;
use crate::text_to_sql::introspect::Samples;
use crate::text_to_sql::run::{Caps, Rows};
use crate::text_to_sql::schema::{Engine, Schema};
use crate::text_to_sql::{introspect, run};

/// For the rights on every table of a large database.
const PRIVILEGES: Duration = Duration::from_secs(30);

/// One PostgreSQL database of a user.
pub(super) struct Postgres {
    sessions: Arc<Sessions>,
}

impl Postgres {
    pub(super) async fn connect(url: &str, access: &Access) -> Result<Self, EngineError> {
        let sessions = Arc::new(Sessions::new(Server { target: Target::parse(url)?, access: access.clone() }));
        // The first session proves the URL, and waits for the first statement.
        sessions.begin(CONNECT).await?.finish();
        Ok(Self { sessions })
    }

    /// Runs what no guard would let through, with names looked up as the login would find them.
    #[cfg(test)]
    async fn run_text(&self, sql: &str, caps: &Caps) -> Result<Rows, EngineError> {
        let busy = self.sessions.begin(caps.deadline).await?;
        Self::run_in(busy, sql, caps, false).await
    }

    /// What `estimate` does with the text of a statement; apart so that tests can send what no guard would let through.
    async fn estimate_text(&self, sql: &str, deadline: Duration) -> Result<Option<Estimate>, EngineError> {
        let busy = self.sessions.begin(deadline).await?;
        let planned = async |session: &mut Session| {
            session.confine_names().await?;
            plan::estimate(&mut session.connection, sql).await
        };
        Self::ask(busy, deadline, planned).await
    }

    /// Reads to the end of an answer, within the deadline.
    async fn ask<T>(
        mut busy: Busy,
        deadline: Duration,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, sqlx::Error>,
    ) -> Result<T, EngineError> {
        let worked = unpanicked(work(busy.session()));
        let worked = timeout(deadline + GRACE, worked).await;
        busy.end(worked, deadline)
    }

    async fn run_in(mut busy: Busy, sql: &str, caps: &Caps, confined: bool) -> Result<Rows, EngineError> {
        let session = busy.session();
        let ran = async {
            if confined {
                session.confine_names().await?;
            }
            run::postgres::run(&mut session.connection, &session.meter, sql, caps).await
        };
        match timeout(caps.deadline + GRACE, unpanicked(ran)).await {
            Ok(Ok(outcome)) => {
                if outcome.complete {
                    busy.finish();
                }
                Ok(outcome.rows)
            }
            Ok(Err(error)) => Err(busy.fail(&error, caps.deadline)),
            Err(_) => Err(EngineError::Timeout(caps.deadline)),
        }
    }
}

#[async_trait]
impl SqlEngine for Postgres {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    async fn introspect(&self, samples: &Samples) -> Result<Schema, EngineError> {
        let busy = self.sessions.begin(INTROSPECTION).await?;
        let read = async |session: &mut Session| {
            introspect::postgres::introspect(&mut session.connection, &session.meter, samples).await
        };
        Self::ask(busy, INTROSPECTION, read).await
    }

    async fn privileges(&self) -> Result<Privileges, EngineError> {
        let busy = self.sessions.begin(PRIVILEGES).await?;
        Self::ask(busy, PRIVILEGES, async |session| privileges::privileges(&mut session.connection).await).await
    }

    async fn estimate(&self, statement: &ReadOnlySql, deadline: Duration) -> Result<Option<Estimate>, EngineError> {
        self.estimate_text(statement.text(), deadline).await
    }

    async fn run(&self, statement: &ReadOnlySql, caps: &Caps) -> Result<Rows, EngineError> {
        let busy = self.sessions.begin(caps.deadline).await?;
        Self::run_in(busy, statement.text(), caps, true).await
    }

    async fn close(&self) {
        self.sessions.close();
    }
}

#[cfg(test)]
mod tests;
