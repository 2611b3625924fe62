//! What the driver's errors mean to a caller.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::mysql::MySqlDatabaseError;

use super::EngineError;
use crate::text_to_sql::engine::shortened;

/// Why there is no session. <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html>,
/// <https://mariadb.com/kb/en/mariadb-error-code-reference/>
pub(super) fn connect_failure(error: &sqlx::Error) -> EngineError {
    let Some(database) = database_error(error) else {
        return EngineError::Unreachable(match error {
            // What the TLS library finds wrong comes as an error of the wire.
            sqlx::Error::Io(error) if error.kind() == ErrorKind::InvalidData => shortened(&format!("TLS: {error}")),
            sqlx::Error::Io(error) => error.kind().to_string(),
            sqlx::Error::Tls(error) => shortened(&format!("TLS: {error}")),
            error if error.to_string().contains("authentication plugin") => {
                "the login signs in by a method other than caching_sha2_password, sha256_password or \
                 mysql_native_password"
                    .into()
            }
            _ => "it does not answer as MySQL does".into(),
        });
    };
    match database.number() {
        // Wrong, expired, locked.
        1045 | 1698 | 1820 | 1862 | 3118 | 3955 | 4151 => EngineError::Authentication,
        1044 | 1049 => EngineError::InvalidUrl("the server has no database of this name for this login".into()),
        1040 | 1203 | 1226 => EngineError::Busy(shortened(database.message())),
        _ => EngineError::Unreachable(shortened(database.message())),
    }
}

/// Why a statement in a session did not end well.
pub(super) fn failure(error: &sqlx::Error, deadline: Duration) -> EngineError {
    let Some(database) = database_error(error) else { return EngineError::Vanished };
    let message = database.message();
    match database.number() {
        // ER_QUERY_TIMEOUT, and MariaDB's ER_STATEMENT_TIMEOUT.
        3024 | 1969 => EngineError::Timeout(deadline),
        1053 | 1080 | 1152 | 1927 | 4031 => EngineError::Vanished,
        1205 | 1213 => EngineError::Busy("a table is locked".into()),
        1021 | 1037 | 1038 | 1041 | 1114 | 1153 => EngineError::TooLarge(shortened(message)),
        // ER_OPTION_PREVENTS_STATEMENT
        1290 if message.contains("max-session-mem-used") => {
            EngineError::TooLarge("it ran into the limit of a session's memory".into())
        }
        // Class 42 is about the statement: its syntax and its names.
        _ if database.code().is_some_and(|state| state.starts_with("42")) => EngineError::rejected(message),
        // Others can quote the value they failed on, which may be one that the guard would not have shown.
        _ => EngineError::rejected(unquoted(message)),
    }
}

fn unquoted(message: &str) -> &str {
    message.split([':', '"', '\'', '`']).next().unwrap_or_default().trim_end()
}

fn database_error(error: &sqlx::Error) -> Option<&MySqlDatabaseError> {
    match error {
        sqlx::Error::Database(error) => error.try_downcast_ref(),
        _ => None,
    }
}
