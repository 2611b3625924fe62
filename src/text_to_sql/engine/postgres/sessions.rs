//! One use of a session with a user's PostgreSQL server, and how a statement is stopped there.
//!
//! Every use is one read-only transaction with its own time limits, search path and output formats. A session that
//! answered to the end is reset (`discard all`) and kept for the next.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use super::EngineError;
use super::failure::{connect_failure, failure};
use super::target::Target;
use crate::text_to_sql::engine::access::Access;
use crate::text_to_sql::engine::meter::Meter;
use crate::text_to_sql::engine::sessions::{self, LOCK_WAIT};

pub(super) type Sessions = sessions::Sessions<Server>;
pub(super) type Busy = sessions::Busy<Server>;

/// A user's server.
pub(super) struct Server {
    pub(super) target: Target,
    pub(super) access: Access,
}

pub(super) struct Session {
    pub(super) connection: PgConnection,
    pub(super) meter: Arc<Meter>,
    /// The server's process, for a cancel.
    pid: i32,
}

impl sessions::Server for Server {
    type Session = Session;

    async fn open(&self) -> Result<Session, EngineError> {
        let relay = self.target.relay(&self.access).await?;
        let connected = self.target.options(&relay).connect().await;
        let connection = connected.map_err(|error| connect_failure(&error))?;
        Ok(Session { connection, meter: relay.meter, pid: 0 })
    }

    async fn begin(&self, session: &mut Session, deadline: Duration) -> Result<(), EngineError> {
        session.begin(deadline).await.map_err(|error| connect_failure(&error))
    }

    async fn renewed(&self, mut session: Session) -> Option<Session> {
        session.reset().await.is_ok().then_some(session)
    }

    async fn cancel(&self, session: &Session) -> Result<(), EngineError> {
        let mut other = self.open().await?;
        let asked = sqlx::query("select pg_catalog.pg_cancel_backend($1)")
            .bind(session.pid)
            .execute(&mut other.connection)
            .await;
        let _ = other.connection.close().await;
        asked.map(|_| ()).map_err(|error| connect_failure(&error))
    }

    fn meter(session: &Session) -> &Meter {
        &session.meter
    }

    fn failure(error: &sqlx::Error, deadline: Duration) -> EngineError {
        failure(error, deadline)
    }
}

impl Session {
    async fn begin(&mut self, deadline: Duration) -> Result<(), sqlx::Error> {
        self.meter.renew();
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
