//! What the driver's errors mean to a caller.

use std::time::Duration;

use super::EngineError;
use crate::text_to_sql::engine::shortened;

/// Why there is no session.
pub(super) fn connect_failure(error: &sqlx::Error) -> EngineError {
    let sqlx::Error::Database(database) = error else {
        return EngineError::Unreachable(match error {
            sqlx::Error::Io(error) => error.kind().to_string(),
            sqlx::Error::Tls(error) => shortened(&format!("TLS: {error}")),
            _ => "it does not answer as PostgreSQL does".into(),
        });
    };
    match database.code().as_deref().unwrap_or_default() {
        // https://www.postgresql.org/docs/current/errcodes-appendix.html
        code if code.starts_with("28") => EngineError::Authentication,
        "3D000" => EngineError::InvalidUrl("the server has no database of this name".into()),
        code if code.starts_with("53") || code == "57P03" => EngineError::Busy(shortened(database.message())),
        _ => EngineError::Unreachable(shortened(database.message())),
    }
}

/// Why a statement in a session did not end well.
pub(super) fn failure(error: &sqlx::Error, deadline: Duration) -> EngineError {
    let database = match error {
        sqlx::Error::Database(database) => database,
        // The driver looks every type up and does not know all kinds of them: multiranges, for one.
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::TypeNotFound { .. } => {
            return EngineError::rejected("a column has a type that cannot be read here; cast it to text");
        }
        _ => return EngineError::Vanished,
    };
    match database.code().as_deref().unwrap_or_default() {
        "57014" => EngineError::Timeout(deadline),
        // A string or an array longer than any can be; what has no code of its own is an internal error.
        code if code == "54000" || code == "XX000" && database.message().starts_with("invalid memory alloc") => {
            EngineError::TooLarge(shortened(database.message()))
        }
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => EngineError::Vanished,
        "55P03" => EngineError::Busy("a table is locked".into()),
        code if code.starts_with("53") => EngineError::TooLarge(shortened(database.message())),
        // A data exception quotes the value it failed on, which may be one that the guard would not have shown.
        code if code.starts_with("22") => EngineError::rejected(unquoted(database.message())),
        _ => EngineError::rejected(database.message()),
    }
}

fn unquoted(message: &str) -> &str {
    message.split([':', '"']).next().unwrap_or_default()
}
