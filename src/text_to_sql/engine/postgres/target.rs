//! What the URL of a PostgreSQL database may say, and the way to the server it names.

use std::borrow::Cow;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
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
    pub(super) tls: PgSslMode,
}

pub(super) enum Place {
    Host { host: String, port: u16 },
    Socket { dir: PathBuf, port: u16 },
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, EngineError> {
        let url = Url::parse(&with_host(url))
            .map_err(|_| invalid("this is not a URL; is a character in the password not escaped?"))?;
        let mut host = decoded(url.host_str().unwrap_or_default())?.replace(NO_HOST, "");
        let mut port = url.port().unwrap_or(5432);
        let mut user = decoded(url.username())?;
        let mut password = decoded(url.password().unwrap_or_default())?;
        let mut database = decoded(url.path().trim_start_matches('/'))?;
        let mut tls = PgSslMode::Prefer;
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "host" => host = value.into_owned(),
                "port" => port = value.parse().map_err(|_| invalid("port is not a port number"))?,
                "user" => user = value.into_owned(),
                "password" => password = value.into_owned(),
                "dbname" => database = value.into_owned(),
                "sslmode" => tls = PgSslMode::from_str(&value).map_err(|_| invalid("this sslmode does not exist"))?,
                "application_name" => (),
                // Others read files of this machine, or change the session behind our back.
                name => return Err(invalid(&format!("the parameter {name:?} is not allowed in a URL"))),
            }
        }
        if [&host, &user, &database].iter().any(|part| part.is_empty()) {
            return Err(invalid(
                "a PostgreSQL URL names a user, a host and a database: postgres://user:…@host/database",
            ));
        }
        let place = match host.starts_with('/') {
            true => Place::Socket { dir: host.into(), port },
            false => Place::Host { host, port },
        };
        Ok(Self { place, user, password: password.into(), database, tls })
    }

    /// A wire to the server, judged anew each time: names move.
    pub(super) async fn relay(&self, access: &Access) -> Result<Relay, EngineError> {
        let connected = match &self.place {
            Place::Host { host, port } => {
                relay::to_addresses(&access.addresses(host, *port).await?, &socket_name(*port)).await
            }
            Place::Socket { dir, port } => {
                let name = socket_name(*port);
                relay::to_socket(&access.socket(&dir.join(&name))?, &name).await
            }
        };
        connected.map_err(|error| EngineError::Unreachable(error.kind().to_string()))
    }

    /// Every option that the driver would take from our own environment is set.
    pub(super) fn options(&self, relay: &Relay) -> PgConnectOptions {
        let (host, port) = match &self.place {
            Place::Host { host, port } => (host.trim_matches(['[', ']']), *port),
            Place::Socket { port, .. } => ("localhost", *port),
        };
        PgConnectOptions::new_without_pgpass()
            .host(host)
            .port(port)
            .socket(&relay.dir)
            .username(&self.user)
            .password(self.password.expose_secret())
            .database(&self.database)
            .ssl_mode(self.tls)
            .application_name("almanac")
            // Statements are the users' own and differ; `discard all` would forget what the driver remembers.
            .statement_cache_capacity(0)
            .disable_statement_logging()
    }
}

/// Stands where libpq allows a user without a host, and URLs in general do not: `postgres://user@/database?host=/run`.
const NO_HOST: &str = "no-host.invalid";

fn with_host(url: &str) -> Cow<'_, str> {
    let hostless = url.split_once("://").and_then(|(_, rest)| {
        let authority = rest.split(['/', '?']).next()?;
        authority.ends_with('@').then(|| url.len() - rest.len() + authority.len())
    });
    match hostless {
        Some(at) => Cow::Owned(format!("{}{NO_HOST}{}", &url[..at], &url[at..])),
        None => Cow::Borrowed(url),
    }
}

/// As the server names its socket, and as the driver looks for it.
fn socket_name(port: u16) -> String {
    format!(".s.PGSQL.{port}")
}

fn invalid(message: &str) -> EngineError {
    EngineError::InvalidUrl(message.to_owned())
}

fn decoded(part: &str) -> Result<String, EngineError> {
    let text = percent_decode_str(part).decode_utf8().map_err(|_| invalid("the URL is not UTF-8"))?;
    Ok(text.into_owned())
}
