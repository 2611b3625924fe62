//! The one way to a user's database: [`connect`] checks where the URL leads, and a [`SqlEngine`] then answers what is
//! in the database and runs statements that passed the guard.
//!
//! What an engine promises: nothing is written, even if the guard were wrong; every statement ends within its deadline
//! and within bounded memory; no session state passes from one statement to the next; and no error carries the URL or
//! the password. What the rows look like as JSON is said in [`super::run`].

mod access;
mod estimate;
mod meter;
mod mssql;
mod mysql;
mod postgres;
mod privileges;
mod relay;
mod sessions;
mod sqlite;
mod sqlite_confine;
mod stop;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

pub use self::access::{Access, HostRule, InvalidHostRule, OwnPostgres};
pub use self::estimate::Estimate;
pub(in crate::text_to_sql) use self::meter::Meter;
pub(in crate::text_to_sql) use self::mssql::Connection as MssqlConnection;
pub use self::privileges::{Privileges, Warning, WarningCode};
pub(in crate::text_to_sql) use self::stop::Stop;
use super::guard::ReadOnlySql;
use super::introspect::Samples;
use super::run::{Caps, Rows};
use super::schema::{Engine, Schema};

/// A user's database, reached and ready.
#[async_trait]
pub trait SqlEngine: Send + Sync {
    fn engine(&self) -> Engine;

    /// What the login can see: schemas, tables, columns, keys, comments, sizes, and the sample values asked for.
    async fn introspect(&self, samples: &Samples) -> Result<Schema, EngineError>;

    /// What the login could do if we let it, as far as the engine tells.
    async fn privileges(&self) -> Result<Privileges, EngineError>;

    /// What the engine expects a statement to take, without running it; nothing where it does not say.
    async fn estimate(&self, statement: &ReadOnlySql, deadline: Duration) -> Result<Option<Estimate>, EngineError>;

    /// Runs a statement that passed the guard, within `caps`. Dropping the future stops the statement in the engine.
    async fn run(&self, statement: &ReadOnlySql, caps: &Caps) -> Result<Rows, EngineError>;

    /// Gives the idle connections back. Statements that still run end first.
    async fn close(&self);
}

/// Why a database did not answer, by what the caller can do about it. Messages are for the user and hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The user mends the URL.
    #[error("{0}")]
    InvalidUrl(String),
    /// The operator decides: the address or folder is outside what the configuration allows.
    #[error("{0}")]
    NotAllowed(String),
    /// The user looks at the host, the port, the network or the file.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    #[error("the database refused the user name or the password")]
    Authentication,
    /// Worth trying again soon.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// The statement was stopped at its deadline.
    #[error("the statement took longer than {} ms and was stopped", .0.as_millis())]
    Timeout(Duration),
    /// The statement needs more memory, or a row is larger, than is allowed.
    #[error("the statement needs more memory than is allowed: {0}")]
    TooLarge(String),
    /// The engine refused the statement; the words are the engine's, shortened.
    #[error("{message}")]
    Rejected { message: String },
    /// The database went away while it answered; it may be back.
    #[error("the connection to the database was lost")]
    Vanished,
}

impl EngineError {
    /// Stable, for clients.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidUrl(_) => "invalid_url",
            Self::NotAllowed(_) => "not_allowed",
            Self::Unreachable(_) => "unreachable",
            Self::Authentication => "authentication",
            Self::Busy(_) => "busy",
            Self::Timeout(_) => "timeout",
            Self::TooLarge(_) => "too_large",
            Self::Rejected { .. } => "rejected",
            Self::Vanished => "vanished",
        }
    }

    /// The engine's own words, shortened to what a person or a model can use.
    pub(in crate::text_to_sql) fn rejected(message: &str) -> Self {
        Self::Rejected { message: shortened(message) }
    }
}

/// Connects to the database that `url` names, if `access` allows it. `postgres://`, `postgresql://`, `mysql://`,
/// `mariadb://`, `mssql://`, `sqlserver://`, `sqlite:path`.
pub async fn connect(url: &SecretString, access: &Access) -> Result<Arc<dyn SqlEngine>, EngineError> {
    let url = url.expose_secret();
    match url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
        Some("postgres" | "postgresql") => Ok(Arc::new(postgres::Postgres::connect(url, access).await?)),
        Some("sqlite") => Ok(Arc::new(sqlite::Sqlite::connect(url, access).await?)),
        Some("mysql" | "mariadb") => Ok(Arc::new(mysql::Mysql::connect(url, access).await?)),
        Some("mssql" | "sqlserver") => Ok(Arc::new(mssql::Mssql::connect(url, access).await?)),
        _ => {
            let why = "a database URL begins with postgres://, mysql://, mssql:// or sqlite:";
            Err(EngineError::InvalidUrl(why.into()))
        }
    }
}

/// An engine's message can quote whole statements and values; a sentence is enough to act on.
const MESSAGE_CHARS: usize = 300;

fn shortened(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim();
    match line.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(url: &str) -> EngineError {
        connect(&url.to_owned().into(), &Access::default()).await.err().expect("this URL must be refused")
    }

    #[tokio::test]
    async fn a_refused_url_is_never_repeated() {
        for url in [
            "",
            "secret",
            "ftp://user:secret@host/db",
            "postgres://user:secret@ho st/db",
            "postgres:secret",
            "mssql:secret",
            "mysql:secret",
        ] {
            let error = refusal(url).await;
            assert!(matches!(error, EngineError::InvalidUrl(_)), "{url}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{url}: {error:?}");
        }
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let message = shortened(&"é".repeat(1000));
        assert_eq!(message.chars().count(), MESSAGE_CHARS + 1);
        assert_eq!(shortened("first\nsecond"), "first");
    }
}
