//! A MySQL or MariaDB database of a user.
//!
//! Every use is one read-only transaction in a session of its own ([`sessions`]) with the server that the URL names
//! ([`target`]); what can go wrong is told in the words of [`failure`]. A statement that comes from outside only ever
//! goes the way of prepared statements, where the server refuses two of them in one text.

mod estimate;
mod failure;
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

/// One MySQL or MariaDB database of a user.
pub(super) struct Mysql {
    sessions: Arc<Sessions>,
    database: String,
}

impl Mysql {
    pub(super) async fn connect(url: &str, access: &Access) -> Result<Self, EngineError> {
        let target = Target::parse(url)?;
        let database = target.database.clone();
        let sessions = Arc::new(Sessions::new(Server { target, access: access.clone() }));
        // The first session proves the URL.
        sessions.begin(CONNECT).await?.finish();
        Ok(Self { sessions, database })
    }

    /// What `run` does with the text of a statement; apart so that tests can send what no guard would let through.
    async fn run_text(&self, sql: &str, caps: &Caps) -> Result<Rows, EngineError> {
        let mut busy: Busy = self.sessions.begin(caps.deadline).await?;
        let Session { connection, meter, .. } = busy.session();
        let ran = timeout(caps.deadline + GRACE, unpanicked(run::mysql::run(connection, meter, sql, caps))).await;
        match ran {
            Ok(Ok(Some(outcome))) => {
                if outcome.complete {
                    busy.finish();
                }
                Ok(outcome.rows)
            }
            Ok(Ok(None)) => {
                busy.finish();
                Err(EngineError::rejected("only a query can run, without placeholders"))
            }
            Ok(Err(error)) => Err(busy.fail(&error, caps.deadline)),
            Err(_) => Err(EngineError::Timeout(caps.deadline)),
        }
    }

    async fn estimate_text(&self, sql: &str, deadline: Duration) -> Result<Option<Estimate>, EngineError> {
        let mut busy = self.sessions.begin(deadline).await?;
        let Session { connection, .. } = busy.session();
        let plan = timeout(deadline + GRACE, unpanicked(estimate::plan(connection, sql))).await;
        match busy.end(plan, deadline)? {
            Some(plan) => estimate::estimate(&plan),
            None => Ok(None),
        }
    }
}

#[async_trait]
impl SqlEngine for Mysql {
    fn engine(&self) -> Engine {
        Engine::Mysql
    }

    async fn introspect(&self, samples: &Samples) -> Result<Schema, EngineError> {
        let mut busy = self.sessions.begin(INTROSPECTION).await?;
        let Session { connection, meter, .. } = busy.session();
        let read = introspect::mysql::introspect(connection, meter, samples);
        let read = timeout(INTROSPECTION + GRACE, unpanicked(read)).await;
        busy.end(read, INTROSPECTION)
    }

    async fn privileges(&self) -> Result<Privileges, EngineError> {
        let mut busy = self.sessions.begin(CONNECT).await?;
        let Session { connection, .. } = busy.session();
        let read = privileges::privileges(connection, &self.database);
        let read = timeout(CONNECT + GRACE, unpanicked(read)).await;
        busy.end(read, CONNECT)
    }

    async fn estimate(&self, statement: &ReadOnlySql, deadline: Duration) -> Result<Option<Estimate>, EngineError> {
        self.estimate_text(statement.text(), deadline).await
    }

    async fn run(&self, statement: &ReadOnlySql, caps: &Caps) -> Result<Rows, EngineError> {
        self.run_text(statement.text(), caps).await
    }

    async fn close(&self) {
        self.sessions.close();
    }
}

#[cfg(test)]
mod tests;
