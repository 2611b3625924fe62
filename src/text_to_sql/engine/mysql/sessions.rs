//! One use of a session with a user's MySQL or MariaDB server, and how a statement is stopped there.
//!
//! A session is used once. The protocol has a message that forgets a session's state (`COM_RESET_CONNECTION`), but the
//! driver does not send it, and SQL has no word for it; so the connection is given up after a statement, and while
//! nobody waits a new one takes its place, ready for the next.

use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::EngineError;
use super::failure::{connect_failure, failure};
use super::target::Target;
use crate::text_to_sql::engine::access::Access;
use crate::text_to_sql::engine::meter::Meter;
use crate::text_to_sql::engine::sessions::{self, LOCK_WAIT};
use crate::text_to_sql::run::mysql::text;

pub(super) type Sessions = sessions::Sessions<Server>;
pub(super) type Busy = sessions::Busy<Server>;

/// A user's server.
pub(super) struct Server {
    pub(super) target: Target,
    pub(super) access: Access,
}

pub(super) struct Session {
    pub(super) connection: MySqlConnection,
    pub(super) meter: Arc<Meter>,
    /// The server's name for the session, for a cancel.
    id: u64,
    is_mariadb: bool,
}

impl sessions::Server for Server {
    type Session = Session;

    async fn open(&self) -> Result<Session, EngineError> {
        let mut session = self.connect().await?;
        session.prepare().await.map_err(|error| connect_failure(&error))?;
        Ok(session)
    }

    async fn begin(&self, session: &mut Session, deadline: Duration) -> Result<(), EngineError> {
        session.begin(deadline).await.map_err(|error| connect_failure(&error))
    }

    /// The next statement does not wait for a connection, and finds one that nobody has used.
    async fn renewed(&self, session: Session) -> Option<Session> {
        let _ = session.connection.close().await;
        self.open().await.ok()
    }

    async fn cancel(&self, session: &Session) -> Result<(), EngineError> {
        let mut other = self.connect().await?;
        let kill = format!("kill query {}", session.id);
        let asked = sqlx::raw_sql(AssertSqlSafe(kill)).execute(&mut other.connection).await;
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

impl Server {
    async fn connect(&self) -> Result<Session, EngineError> {
        let relay = self.target.relay(&self.access).await?;
        let connected = self.target.options(&relay).connect().await;
        let connection = connected.map_err(|error| connect_failure(&error))?;
        Ok(Session { connection, meter: relay.meter, id: 0, is_mariadb: false })
    }
}

impl Session {
    /// Makes the session what every statement expects, whatever the server's or the login's settings are.
    async fn prepare(&mut self) -> Result<(), sqlx::Error> {
        let asked = sqlx::raw_sql("select connection_id(), version(), @@global.sql_mode like '%ONLY_FULL_GROUP_BY%'");
        let row = asked.fetch_one(&mut self.connection).await?;
        self.id = text(&row, 0).and_then(|id| id.parse().ok()).unwrap_or_default();
        self.is_mariadb = is_mariadb(&text(&row, 1).unwrap_or_default());
        let full_group_by = text(&row, 2).as_deref() == Some("1");
        self.execute(settings(full_group_by)).await?;
        match self.execute(bounds(self.is_mariadb)).await {
            // A server may keep such settings to its administrators, and has bounds of its own then.
            Err(sqlx::Error::Database(error)) => tracing::debug!(%error, "a session has the server's own bounds"),
            set => set?,
        }
        Ok(())
    }

    async fn begin(&mut self, deadline: Duration) -> Result<(), sqlx::Error> {
        self.meter.renew();
        self.execute(transaction(deadline, self.is_mariadb)).await
    }

    /// In the text protocol, where several statements may stand in one text: none of it is ever a user's.
    async fn execute(&mut self, ours: String) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(ours)).execute(&mut self.connection).await.map(|_| ())
    }
}

/// `10.11.6-MariaDB-log`; whatever else speaks the protocol follows MySQL.
pub(super) fn is_mariadb(version: &str) -> bool {
    version.contains("MariaDB")
}

/// How the text is read and the values are written. The guard has read `"x"` as a string, `\` as an escape, `||` as an
/// or, and `f (x)` as the server's own function only without the space: so none of ANSI_QUOTES, NO_BACKSLASH_ESCAPES,
/// PIPES_AS_CONCAT and IGNORE_SPACE. Whether a column must be grouped by is what the server's own people are used to.
fn settings(full_group_by: bool) -> String {
    let mode = if full_group_by { "ONLY_FULL_GROUP_BY,NO_ENGINE_SUBSTITUTION" } else { "NO_ENGINE_SUBSTITUTION" };
    let lock = LOCK_WAIT.as_secs();
    format!(
        "set session sql_mode = '{mode}', session time_zone = '+00:00', session lock_wait_timeout = {lock},
             session innodb_lock_wait_timeout = {lock}, session sql_select_limit = 18446744073709551615,
             session sql_safe_updates = 0, session autocommit = 1;
         set names utf8mb4;
         -- reading takes no locks, not even on a server that is serializable for its own programs
         set session transaction isolation level repeatable read, read only"
    )
}

/// Memory for one statement, and room on the server's disk: enough for an honest question, and many of them do no harm.
fn bounds(is_mariadb: bool) -> String {
    let common = [
        ("sort_buffer_size", 32 << 20),
        ("join_buffer_size", 32 << 20),
        ("read_rnd_buffer_size", 32 << 20),
        ("tmp_table_size", 64 << 20),
        ("max_heap_table_size", 64 << 20),
    ];
    let of_mariadb = [("max_session_mem_used", 256 << 20), ("tmp_disk_table_size", 4_u64 << 30)];
    let own: &[_] = if is_mariadb { &of_mariadb } else { &[] };
    // MariaDB ends a recursion after these rounds as if it were complete; the deadline ends one without end.
    let rounds = if is_mariadb { ", session max_recursive_iterations = 4294967295" } else { "" };
    let bound = |(name, most): &(&str, u64)| {
        // Without the cast the smaller of the two is a decimal, which MariaDB then takes for 0.
        format!("session {name} = least(@@{name}, cast({most} as unsigned))")
    };
    let bounds: Vec<String> = common.iter().chain(own).map(bound).collect();
    // What is longer is cut off in silence: the default of MySQL is a kilobyte.
    format!("set {}, session group_concat_max_len = 1048576{rounds}", bounds.join(", "))
}

/// Begins the transaction that one use of a session lives in.
fn transaction(deadline: Duration, is_mariadb: bool) -> String {
    let limit = match is_mariadb {
        true => format!("max_statement_time = {:.3}", deadline.as_secs_f64().max(0.001)),
        false => format!("max_execution_time = {}", deadline.as_millis().max(1)),
    };
    format!("set session {limit}; start transaction read only")
}
