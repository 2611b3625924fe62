//! The embedded PostgreSQL: a private server in a folder, for whoever has none of their own.
//!
//! Promises: committed rows survive the death of this process, of the server, or of both; one process owns a data
//! folder at a time; the server listens on a Unix socket that only its own user (and root) reaches; it never outlives
//! its owner by more than a shutdown. Works as root (through an account without rights) and as an ordinary user.
//! Leaves out: databases, roles, extensions and migrations, which are the store's, and upgrades between major versions.

mod account;
mod cluster;
mod install;
mod postmaster;
mod process;
mod settings;

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use url::form_urlencoded;

use cluster::{Cluster, Durability};
pub use install::Install;
use postmaster::PidFile;

/// PostgreSQL's usual port: it only names the socket file, and clients need not be told it.
const PORT: u16 = 5432;

/// The role that `initdb` makes.
pub const SUPERUSER: &str = "postgres";

/// How often the supervisor looks whether the server still lives: a dead one is back well within a second.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// A server that cannot be restarted (a full disk, say) is tried again after this long: often enough to come back by
/// itself, seldom enough to keep the log readable.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// A running server. Dropping it stops the server too, but only [`EmbeddedPostgres::stop`] says how that went.
pub struct EmbeddedPostgres {
    socket_dir: PathBuf,
    orders: Option<Sender<()>>,
    supervisor: Option<JoinHandle<Result<(), PostgresError>>>,
}

/// A connection string for the server that another process runs in the data folder `root`; `None` when none is ready.
pub fn url_of_running(root: &Path, user: &str, database: &str) -> Option<String> {
    let file = PidFile::read(&root.join(cluster::DATA)).filter(|file| file.is_ready)?;
    Some(connection_string(Path::new(&file.socket_dir), user, database))
}

impl EmbeddedPostgres {
    /// Starts the server of the data folder `root`, made first if it is not there, or takes over one that an owner
    /// killed too fast has left behind. Blocks until connections are accepted; from then on a server that dies is
    /// restarted.
    pub fn start(install: &Install, root: &Path) -> Result<EmbeddedPostgres, PostgresError> {
        Self::start_with(install, root, Durability::Durable)
    }

    /// The same without waiting for the disk: for tests on data nobody will miss. A power cut destroys the folder; the
    /// death of a process does not.
    pub fn start_without_fsync(install: &Install, root: &Path) -> Result<EmbeddedPostgres, PostgresError> {
        Self::start_with(install, root, Durability::Throwaway)
    }

    /// The folder that holds the socket: what `psql -h` and `host=` take.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    pub fn port(&self) -> u16 {
        PORT
    }

    /// A connection string for sqlx and libpq.
    pub fn url(&self, user: &str, database: &str) -> String {
        connection_string(&self.socket_dir, user, database)
    }

    /// Ends all connections and stops the server.
    pub fn stop(mut self) -> Result<(), PostgresError> {
        self.finish()
    }

    fn start_with(install: &Install, root: &Path, durability: Durability) -> Result<EmbeddedPostgres, PostgresError> {
        let (install, root) = (install.clone(), root.to_owned());
        let (report, started) = channel();
        let (orders, received) = channel();
        let supervisor = thread::Builder::new()
            .name("postgres".into())
            .spawn(move || supervise(&install, &root, durability, &report, &received))
            .map_err(|source| PostgresError::Io { action: "start a thread for", path: "postgres".into(), source })?;
        match started.recv() {
            Ok(socket_dir) => Ok(Self { socket_dir, orders: Some(orders), supervisor: Some(supervisor) }),
            Err(_) => Err(join(supervisor).err().unwrap_or(PostgresError::SupervisorDied)),
        }
    }

    fn finish(&mut self) -> Result<(), PostgresError> {
        drop(self.orders.take());
        self.supervisor.take().map_or(Ok(()), join)
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::error!(%error, "the embedded PostgreSQL did not stop cleanly");
        }
    }
}

/// Owns the server from its first start to its stop, all on one thread, because the kernel ties the server's life
/// (`PR_SET_PDEATHSIG`) to the thread that spawned it. Ends when the other end of `orders` is dropped.
fn supervise(
    install: &Install,
    root: &Path,
    durability: Durability,
    report: &Sender<PathBuf>,
    orders: &Receiver<()>,
) -> Result<(), PostgresError> {
    let cluster = Cluster::open(install, root, durability)?;
    let mut postmaster = Some(cluster.start()?);
    let mut patience = WATCH_INTERVAL;
    // A starter that is gone has dropped `orders` too, and the loop ends at once.
    let _ = report.send(cluster.socket_dir().to_owned());
    while let Err(RecvTimeoutError::Timeout) = orders.recv_timeout(patience) {
        if postmaster.as_mut().is_some_and(|running| !running.has_exited()) {
            continue;
        }
        tracing::warn!("the embedded PostgreSQL has died; restarting it");
        let began = Instant::now();
        (postmaster, patience) = match cluster.start() {
            Ok(running) => {
                tracing::info!(elapsed_ms = began.elapsed().as_millis(), "the embedded PostgreSQL is back");
                (Some(running), WATCH_INTERVAL)
            }
            Err(error) => {
                tracing::error!(%error, "the embedded PostgreSQL cannot be restarted; trying again");
                (None, RETRY_INTERVAL)
            }
        };
    }
    postmaster.map_or(Ok(()), |mut running| running.stop())
}

fn join(supervisor: JoinHandle<Result<(), PostgresError>>) -> Result<(), PostgresError> {
    supervisor.join().unwrap_or(Err(PostgresError::SupervisorDied))
}

fn connection_string(socket_dir: &Path, user: &str, database: &str) -> String {
    let parameters = form_urlencoded::Serializer::new(String::new())
        .append_pair("host", &socket_dir.to_string_lossy())
        .append_pair("port", &PORT.to_string())
        .append_pair("dbname", database)
        .append_pair("user", user)
        .finish()
        .replace('+', "%20"); // libpq reads a plus sign as a plus sign
    format!("postgres:///?{parameters}")
}

/// Why there is no server, by what a person does about it; the caller only passes it on.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Fetch the programs, or say where they are.
    #[error(
        "no PostgreSQL programs in {}: run `make setup`, set ALMANAC_POSTGRES_DIR to a folder with bin/postgres, or set \
         ALMANAC_DATABASE_URL to use a server of your own",
        list(looked_in)
    )]
    NotInstalled { looked_in: Vec<PathBuf> },
    /// Stop the other one, or use another folder.
    #[error("{} is in use by another process ({holder}); stop it, or choose another data folder", path.display())]
    InUse { path: PathBuf, holder: String },
    /// Move the data or the programs to where an account can reach them.
    #[error(
        "nobody can run PostgreSQL on {}, which root must not do itself: {}; put the data and the programs where an \
         ordinary account can reach them",
        path.display(),
        refusals.join("; ")
    )]
    NoAccount { path: PathBuf, refusals: Vec<String> },
    /// Start Almanac as the owner.
    #[error("{} belongs to uid {owner}: start Almanac as that user", path.display())]
    NotOurs { path: PathBuf, owner: u32 },
    /// Choose a shorter path.
    #[error(
        "the socket {} has {} bytes, and the system allows {}: choose a data folder with a shorter path",
        path.display(),
        path.as_os_str().len(),
        cluster::SOCKET_PATH_MAX
    )]
    SocketPathTooLong { path: PathBuf },
    /// Use the programs of that version, or dump and load.
    #[error(
        "{} was made by PostgreSQL {data}, and the programs are PostgreSQL {programs}: use programs of version {data}, \
         or dump the data with them and load it into a new folder",
        path.display()
    )]
    WrongVersion { path: PathBuf, data: String, programs: u32 },
    /// Read what `initdb` says.
    #[error("initdb could not make {}: {output}", path.display())]
    Init { path: PathBuf, output: String },
    /// Read what the server says.
    #[error("PostgreSQL did not start on {}: {output}", path.display())]
    Start { path: PathBuf, output: String },
    /// Look at the process.
    #[error("PostgreSQL (pid {pid}) does not stop")]
    Stop { pid: i32 },
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// A bug: look at the log.
    #[error("the thread that watches PostgreSQL ended by itself")]
    SupervisorDied,
}

impl PostgresError {
    /// Gives an I/O error its verb and its path.
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PostgresError {
        move |source| PostgresError::Io { action, path: path.to_owned(), source }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    #[test]
    fn sqlx_reads_every_part_of_a_connection_string_back() {
        let url = connection_string(Path::new("/srv/a b+c/run"), "o'neil & co", "sales/2024");
        let options = sqlx::postgres::PgConnectOptions::from_str(&url).unwrap();
        assert_eq!(options.get_socket().unwrap(), Path::new("/srv/a b+c/run"));
        assert_eq!(options.get_username(), "o'neil & co");
        assert_eq!(options.get_database(), Some("sales/2024"));
        assert_eq!(options.get_port(), PORT);
    }
}
