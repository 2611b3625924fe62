//! What the URL of a MySQL or MariaDB database may say, and the way to the server it names.

use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use url::Url;

use super::EngineError;
use crate::text_to_sql::engine::access::Access;
use crate::text_to_sql::engine::relay::{self, Relay};

/// What a URL says, once nothing in it can make the driver read a file or change a session.
pub(super) struct Target {
    pub(super) place: Place,
    pub(super) user: String,
    pub(super) password: SecretString,
    pub(super) database: String,
    pub(super) tls: MySqlSslMode,
}

pub(super) enum Place {
    Host { host: String, port: u16 },
    Socket(PathBuf),
}

/// The server's own databases: logins, other users' statements, catalogs. Nobody's data to ask questions about.
const SYSTEM_DATABASES: [&str; 4] = ["mysql", "information_schema", "performance_schema", "sys"];

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, EngineError> {
        let url =
            Url::parse(url).map_err(|_| invalid("this is not a URL; is a character in the password not escaped?"))?;
        let host = decoded(url.host_str().unwrap_or_default())?;
        let user = decoded(url.username())?;
        let password = decoded(url.password().unwrap_or_default())?;
        let database = decoded(url.path().trim_start_matches('/'))?;
        let (mut socket, mut tls) = (None, MySqlSslMode::Preferred);
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "socket" => socket = Some(socket_file(&value)?),
                "ssl-mode" | "sslmode" => {
                    tls = MySqlSslMode::from_str(&value).map_err(|_| invalid("this ssl-mode does not exist"))?;
                }
                // Others read files of this machine, or change the session behind our back.
                name => return Err(invalid(&format!("the parameter {name:?} is not allowed in a URL"))),
            }
        }
        if user.is_empty() || database.is_empty() || (host.is_empty() && socket.is_none()) {
            return Err(invalid("a MySQL URL names a user, a host and a database: mysql://user:…@host/database"));
        }
        if SYSTEM_DATABASES.iter().any(|system| database.eq_ignore_ascii_case(system)) {
            return Err(invalid("this is a database of the server's own; name one with data of yours"));
        }
        let place = match socket {
            Some(socket) => Place::Socket(socket),
            None => Place::Host { host, port: url.port().unwrap_or(3306) },
        };
        Ok(Self { place, user, password: password.into(), database, tls })
    }

    /// A wire to the server, judged anew each time: names move.
    pub(super) async fn relay(&self, access: &Access) -> Result<Relay, EngineError> {
        let connected = match &self.place {
            Place::Host { host, port } => relay::to_addresses(&access.addresses(host, *port).await?, SOCKET).await,
            Place::Socket(socket) => relay::to_socket(&access.socket(socket)?, SOCKET).await,
        };
        connected.map_err(|error| EngineError::Unreachable(error.kind().to_string()))
    }

    /// The driver takes nothing from our own environment, and does not offer the server to read files of ours
    /// (`CLIENT_LOCAL_FILES` is not among its capabilities). Over the relay's socket it speaks TLS as over any other,
    /// with the host's name from here. What a session is set to is said in [`super::sessions`].
    pub(super) fn options(&self, relay: &Relay) -> MySqlConnectOptions {
        let host = match &self.place {
            Place::Host { host, .. } => host.trim_matches(['[', ']']),
            Place::Socket(_) => "localhost",
        };
        let options = MySqlConnectOptions::new()
            .host(host)
            .socket(relay.dir.join(SOCKET))
            .username(&self.user)
            .database(&self.database)
            .ssl_mode(self.tls)
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .set_names(false)
            // A statement is prepared, looked at, and then run; a session lives for one.
            .statement_cache_capacity(1)
            .disable_statement_logging();
        match self.password.expose_secret() {
            // A login without a password takes no answer, and not the answer for an empty one.
            "" => options,
            password => options.password(password),
        }
    }
}

/// The relay's socket, in a folder of its own.
const SOCKET: &str = "mysql.sock";

/// `socket=` names the file, or the folder in which servers usually put it.
fn socket_file(path: &str) -> Result<PathBuf, EngineError> {
    let path = PathBuf::from(path);
    match path {
        path if !path.is_absolute() => Err(invalid("socket names a file or a folder by its whole path")),
        path if path.is_dir() => Ok(path.join("mysqld.sock")),
        path => Ok(path),
    }
}

fn invalid(message: &str) -> EngineError {
    EngineError::InvalidUrl(message.to_owned())
}

fn decoded(part: &str) -> Result<String, EngineError> {
    let text = percent_decode_str(part).decode_utf8().map_err(|_| invalid("the URL is not UTF-8"))?;
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_cannot_read_files_or_change_the_session() {
        for parameter in [
            "ssl-ca=/etc/shadow",
            "ssl-cert=/a",
            "ssl-key=/a",
            "charset=latin1",
            "timezone=x",
            "statement-cache-capacity=1",
            "local_infile=1",
            "init_command=x",
            "ssl-mode=nonsense",
            "socket=relative/path",
        ] {
            let parsed = Target::parse(&format!("mysql://u:secret@h/d?{parameter}"));
            let Err(EngineError::InvalidUrl(message)) = parsed else { panic!("{parameter} must be refused") };
            assert!(!message.contains("secret") && !message.contains("/etc"), "{message}");
        }
    }

    #[test]
    fn a_url_names_a_user_a_host_and_a_database_of_theirs() {
        for incomplete in ["mysql://h/d", "mysql://u@/d", "mysql://u@h", "mysql://u@h/", "mysql:secret"] {
            assert!(Target::parse(incomplete).is_err(), "{incomplete}");
        }
        for system in SYSTEM_DATABASES {
            assert!(Target::parse(&format!("mariadb://u:p@h/{}", system.to_uppercase())).is_err(), "{system}");
        }
    }

    #[test]
    fn a_url_is_read_with_its_escapes() {
        let target =
            Target::parse("mariadb://a%40b:p%2Fw%3A@db.example:3307/my%20db?ssl-mode=VERIFY_IDENTITY").unwrap();
        assert_eq!(
            (target.user.as_str(), target.password.expose_secret(), target.database.as_str()),
            ("a@b", "p/w:", "my db")
        );
        assert!(matches!(target.place, Place::Host { host, port: 3307 } if host == "db.example"));
        assert!(matches!(target.tls, MySqlSslMode::VerifyIdentity));
        let target = Target::parse("mysql://u@localhost/d?socket=/no/such/mysqld.sock").unwrap();
        assert!(matches!(target.place, Place::Socket(file) if file.as_os_str() == "/no/such/mysqld.sock"));
    }
}
