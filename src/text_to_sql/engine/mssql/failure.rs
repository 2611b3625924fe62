//! What the driver's errors mean to a caller. The numbers are in `sys.messages`:
//! <https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors>

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tiberius::error::{Error, TokenError};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::EngineError;
use crate::text_to_sql::engine::shortened;

/// Why there is no session.
pub(super) fn connect_failure(error: &Error) -> EngineError {
    match error {
        Error::Server(said) => match said.code() {
            18456 | 18450..=18452 | 18461..=18468 | 18470 | 18486..=18488 => EngineError::Authentication,
            4060 | 911 => EngineError::InvalidUrl("the server has no database of this name for this user".into()),
            17809 | 10928 | 10929 | 40197 | 40501 | 40613 | 49918..=49920 => {
                EngineError::Busy(shortened(said.message()))
            }
            _ => EngineError::Unreachable(shortened(said.message())),
        },
        Error::Routing { .. } => EngineError::Unreachable("it sends us from server to server".into()),
        Error::Io { kind, .. } if *kind != std::io::ErrorKind::UnexpectedEof => {
            EngineError::Unreachable(kind.to_string())
        }
        _ => Malformed.into(),
    }
}

/// Why a statement in a session did not end well.
pub(super) fn failure(error: &Error) -> EngineError {
    match error {
        Error::Server(said) => refusal(said),
        Error::Encoding(_) | Error::Utf16 | Error::Utf8 => {
            EngineError::rejected("a text is not valid in the encoding of its collation")
        }
        Error::Conversion(words) => EngineError::rejected(words),
        _ => EngineError::Vanished,
    }
}

/// From this severity on the server closes the connection.
pub(super) const FATAL: u8 = 20;

fn refusal(said: &TokenError) -> EngineError {
    match said.code() {
        // Shutting down, killed, or closed from another session.
        596 | 6001..=6006 | 40613 => EngineError::Vanished,
        _ if said.class() >= FATAL => EngineError::Vanished,
        1205 => EngineError::Busy("another statement went first".into()),
        1222 => EngineError::Busy("a table is locked".into()),
        3957 | 3960 | 3961 => EngineError::Busy("the tables changed while they were read".into()),
        8645 | 10928 | 10929 | 40197 | 40501 => EngineError::Busy(shortened(said.message())),
        701 | 802 | 1101 | 1105 | 8623 | 8631 | 8651 | 9002 => EngineError::TooLarge(shortened(said.message())),
        code if QUOTES_NAMES.contains(&code) => EngineError::rejected(said.message()),
        // Any other may quote a value that it failed on, which may be one that the guard would not have shown.
        _ => EngineError::rejected(unquoted(said.message())),
    }
}

/// Messages that quote what the statement itself says: names, keywords, types.
const QUOTES_NAMES: [u32; 27] = [
    102, 105, 156, 170, 174, 189, 195, 201, 206, 207, 208, 209, 229, 230, 262, 402, 1033, 4104, 8115, 8116, 8117, 8120,
    8127, 8155, 8156, 8649, 10761,
];

fn unquoted(message: &str) -> &str {
    message.split(['\'', '"', '=', ':']).next().unwrap_or_default().trim_end()
}

/// The driver panics over some messages that no SQL Server sends, and writes to the log as errors what servers say,
/// values and all; whoever runs a server may send any.
pub(super) async fn contained<T, E: From<Malformed>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let silent = AssertUnwindSafe(work).catch_unwind().with_subscriber(NoSubscriber::default());
    silent.await.unwrap_or_else(|_| Err(Malformed.into()))
}

/// The server does not speak SQL Server's protocol.
pub(super) struct Malformed;

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Self {
        Self::Protocol("a malformed message".into())
    }
}

impl From<Malformed> for EngineError {
    fn from(_: Malformed) -> Self {
        Self::Unreachable("it does not answer as SQL Server does".into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// Counts what would be logged.
    struct Log(Arc<AtomicUsize>);

    impl Subscriber for Log {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[tokio::test]
    async fn what_the_driver_says_is_not_logged_and_its_panics_are_errors() {
        let logged = Arc::new(AtomicUsize::new(0));
        let work = async {
            tracing::error!("outside");
            let inside = contained(async {
                tracing::error!("the value 'secret'");
                tokio::task::yield_now().await;
                tracing::error!("the value 'secret'");
                Ok::<_, EngineError>(1)
            });
            assert_eq!(inside.await, Ok(1));
            contained(async {
                if logged.load(Ordering::SeqCst) == 1 {
                    panic!("a malformed message")
                } else {
                    Ok::<(), EngineError>(())
                }
            })
            .await
        };
        let failed = work.with_subscriber(Log(Arc::clone(&logged))).await.unwrap_err();
        assert_eq!(failed, EngineError::Unreachable("it does not answer as SQL Server does".into()));
        assert_eq!(logged.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_message_over_a_value_ends_before_the_value() {
        let cut = unquoted("Conversion failed when converting the varchar value 'secret' to data type int.");
        assert_eq!(cut, "Conversion failed when converting the varchar value");
        assert_eq!(
            unquoted("Arithmetic overflow error for data type tinyint, value = 300."),
            "Arithmetic overflow error for data type tinyint, value"
        );
    }
}
