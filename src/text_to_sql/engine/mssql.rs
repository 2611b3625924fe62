//! An SQL Server or Azure SQL database of a user.
//!
//! SQL Server has no read-only transaction. What holds beside the guard: the login, which the X-ray ([`privileges`])
//! judges; a session that says it only reads, so that a listener or Azure gives it a copy that cannot be written where
//! there is one; a transaction around every statement that is always rolled back; and the user's text as one parameter
//! of `sp_executesql`, never part of a batch of ours. The one exception is an estimate, for which the text that the guard
//! wrote is a batch of its own, sent once the server has agreed to show plans and run nothing ([`estimate`]). Every use
//! has a session ([`sessions`]) over our own wire ([`wire`], [`tls`]) to the server that the URL names ([`target`]);
//! [`failure`] says what goes wrong.
//! Left out: named instances, Windows and Entra logins, servers before 2016.

mod estimate;
mod failure;
mod privileges;
mod sessions;
mod target;
mod tls;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tiberius::error::Error;
use tokio::time::timeout;

use self::failure::contained;
pub(in crate::text_to_sql) use self::sessions::Connection;
use self::sessions::{Busy, Session, Sessions, Use};
use self::target::Target;
use super::access::Access;
use super::sessions::{CONNECT, INTROSPECTION};
use super::{EngineError, Estimate, Privileges, SqlEngine};
use crate::text_to_sql::guard::ReadOnlySql;
use crate::text_to_sql::introspect::mssql::{self as introspect, Catalog};
use crate::text_to_sql::introspect::{Samples, TABLE_TIME};
use crate::text_to_sql::run;
use crate::text_to_sql::run::{Caps, Rows};
use crate::text_to_sql::schema::{Engine, Schema};

/// For the few questions of the X-ray.
const PRIVILEGES: Duration = Duration::from_secs(20);

/// One SQL Server database of a user.
pub(super) struct Mssql {
    sessions: Arc<Sessions>,
}

impl Mssql {
    pub(super) async fn connect(url: &str, access: &Access) -> Result<Self, EngineError> {
        let sessions = Arc::new(Sessions::new(Target::parse(url)?, access.clone()));
        // The first session proves the URL, and waits for the first statement.
        sessions.begin(Use::Statement, CONNECT).await?.finish();
        Ok(Self { sessions })
    }

    async fn catalog(&self) -> Result<Catalog, EngineError> {
        let mut busy = self.sessions.begin(Use::Catalog, INTROSPECTION).await?;
        let Session { connection, wire, .. } = busy.session();
        let read = within(INTROSPECTION, introspect::catalog(connection, &wire.meter)).await;
        settled(busy, read, INTROSPECTION)
    }

    /// A table whose values take too long costs its session: there is no statement timeout to leave one alive.
    async fn read_values(&self, catalog: &mut Catalog, samples: &Samples) -> Result<(), EngineError> {
        let mut free = None;
        while let Some(wanted) = catalog.next_values(samples, Instant::now()) {
            let mut busy = match free.take() {
                Some(busy) => busy,
                None => self.sessions.begin(Use::Catalog, INTROSPECTION).await?,
            };
            let Session { connection, wire, .. } = busy.session();
            match within(TABLE_TIME, introspect::values(connection, &wire.meter, &wanted)).await {
                Some(Ok(values)) => {
                    catalog.keep_values(values);
                    free = Some(busy);
                }
                // A broken view or a lock: no values, and on with the next table.
                Some(Err(error)) if busy.fail(&error) == EngineError::Vanished => return Err(EngineError::Vanished),
                Some(Err(_)) | None => (),
            }
        }
        if let Some(busy) = free {
            busy.finish();
        }
        Ok(())
    }
}

#[async_trait]
impl SqlEngine for Mssql {
    fn engine(&self) -> Engine {
        Engine::Mssql
    }

    async fn introspect(&self, samples: &Samples) -> Result<Schema, EngineError> {
        let mut catalog = self.catalog().await?;
        self.read_values(&mut catalog, samples).await?;
        Ok(catalog.into_schema())
    }

    async fn privileges(&self) -> Result<Privileges, EngineError> {
        let mut busy = self.sessions.begin(Use::Catalog, PRIVILEGES).await?;
        let read = within(PRIVILEGES, privileges::privileges(busy.session())).await;
        settled(busy, read, PRIVILEGES)
    }

    async fn estimate(&self, statement: &ReadOnlySql, deadline: Duration) -> Result<Option<Estimate>, EngineError> {
        let mut busy = self.sessions.begin(Use::Plan, deadline).await?;
        let read = within(deadline, estimate::estimate(busy.session(), statement.text())).await;
        settled(busy, read, deadline)
    }

    async fn run(&self, statement: &ReadOnlySql, caps: &Caps) -> Result<Rows, EngineError> {
        let mut busy = self.sessions.begin(Use::Statement, caps.deadline).await?;
        let Session { connection, wire, .. } = busy.session();
        let ran = run::mssql::run(connection, &wire.meter, statement.text(), caps);
        match within(caps.deadline, ran).await {
            Some(Ok(outcome)) => {
                if outcome.complete {
                    busy.finish();
                }
                Ok(outcome.rows)
            }
            Some(Err(error)) => Err(busy.fail(&error)),
            None => Err(EngineError::Timeout(caps.deadline)),
        }
    }

    async fn close(&self) {
        self.sessions.close();
    }
}

/// Nothing when the time is up.
async fn within<T>(time: Duration, work: impl Future<Output = Result<T, Error>>) -> Option<Result<T, Error>> {
    timeout(time, contained(work)).await.ok()
}

fn settled<T>(busy: Busy, read: Option<Result<T, Error>>, time: Duration) -> Result<T, EngineError> {
    match read {
        Some(Ok(read)) => {
            busy.finish();
            Ok(read)
        }
        Some(Err(error)) => Err(busy.fail(&error)),
        None => Err(EngineError::Timeout(time)),
    }
}
