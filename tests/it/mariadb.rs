//! A private MariaDB for the tests: the programs of the Debian package `mariadb-server-core`, data in a folder of its
//! own, a socket and a port of this machine only.
//!
//! One server serves a whole test run ([`Mariadb::shared`]). It ends with the process that started it, however that
//! ends: a shell holds it, and waits for the end of a pipe whose other end is ours.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection};
use uuid::Uuid;

/// A running server.
pub struct Mariadb {
    keeper: Child,
    dir: PathBuf,
    port: u16,
}

/// Starts the rest of its arguments, and ends that and its folder when nobody holds the other end of the pipe any more.
const KEEPER: &str =
    r#"dir=$1; shift; "$@" >"$dir/log" 2>&1 </dev/null & cat >/dev/null; kill -9 $!; wait; rm -rf "$dir""#;

/// For a slow disk; it takes about a second.
const PATIENCE: Duration = Duration::from_secs(60);

impl Mariadb {
    pub fn shared() -> &'static Mariadb {
        static SHARED: OnceLock<Mariadb> = OnceLock::new();
        SHARED.get_or_init(Mariadb::start)
    }

    pub fn start() -> Mariadb {
        let dir = env::temp_dir().join(format!("almanac-mariadb-{}", Uuid::now_v7().simple()));
        fs::create_dir_all(dir.join("data")).unwrap();
        // A server that starts clears its folder for temporary tables of what others left there, as it thinks.
        fs::create_dir(dir.join("tmp")).unwrap();
        for (name, mode) in [("", 0o755), ("tmp", 0o1777)] {
            fs::set_permissions(dir.join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        for (name, text) in [("init.sql", INIT), ("cert.pem", CERTIFICATE), ("key.pem", KEY)] {
            fs::write(dir.join(name), text).unwrap();
        }
        install(&dir);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).arg(&dir).arg(program("mariadbd")).args(options(&dir));
        for (name, file) in [("init-file", "init.sql"), ("ssl-cert", "cert.pem"), ("ssl-key", "key.pem")] {
            command.arg(format!("--{name}={}", dir.join(file).display()));
        }
        command.arg(format!("--socket={}", dir.join("data/mysqld.sock").display())).arg(format!("--port={port}"));
        command.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--max-allowed-packet=1G"]);
        // A key typed at the terminal ends the tests, and that ends this.
        let keeper = command.stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        let server = Mariadb { keeper, dir, port };
        server.wait_until_ready();
        server
    }

    /// Over the network, and without TLS unless the parameters say otherwise.
    pub fn url(&self, user: &str, database: &str, parameters: &str) -> String {
        let parameters = if parameters.is_empty() { "ssl-mode=disabled" } else { parameters };
        format!("mysql://{user}@127.0.0.1:{}/{database}?{parameters}", self.port)
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("data/mysqld.sock")
    }

    /// As somebody who may do everything, without Almanac in between.
    pub async fn admin(&self, database: &str) -> MySqlConnection {
        MySqlConnection::connect(&self.url(ADMIN, database, "")).await.unwrap()
    }

    /// A new database, after the statements in it: its name.
    pub async fn new_database(&self, setup: &str) -> String {
        let name = format!("t_{}", Uuid::now_v7().simple());
        let mut admin = self.admin("mysql").await;
        let statements = format!("create database {name}; use {name}; {setup}");
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut admin).await.unwrap();
        name
    }

    fn wait_until_ready(&self) {
        let began = Instant::now();
        // The file of the first statements has run before anybody is let in.
        while UnixStream::connect(self.socket()).is_err() {
            let log = || fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "MariaDB does not start: {}", log());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
    }
}

/// User and password of a login without limits.
pub const ADMIN: &str = "admin:admin";

/// A line a statement.
const INIT: &str = "\
create user admin@'%' identified by 'admin';
grant all privileges on *.* to admin@'%' with grant option;
";

fn install(dir: &Path) {
    let mut command = Command::new(program("mariadb-install-db"));
    command.args(options(dir)).args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Nobody misses this data: nothing waits for the disk.
fn options(dir: &Path) -> Vec<String> {
    let mut options: Vec<String> = [
        "--no-defaults",
        "--innodb-flush-method=nosync",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
        "--innodb-buffer-pool-size=128M",
        "--character-set-server=utf8mb4",
    ]
    .map(String::from)
    .into();
    for name in ["data", "tmp"] {
        options.push(format!("--{name}dir={}", dir.join(name).display()));
    }
    // As root the server changes to an account without rights.
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        options.push("--user=nobody".into());
    }
    options
}

/// Where Debian puts the server is not in everybody's path.
fn program(name: &str) -> PathBuf {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("{name} is missing: run `scripts/setup --tests` first"))
}

/// Of nobody but these tests: `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500
/// -subj /CN=localhost -addext subjectAltName=DNS:localhost`.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUVw7HAT4Uw1pIwlPz5MlcRdVnbvwwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMDIyMzgxM1oYDzIxMjYxMDI3
MjIzODEzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATbRq/IScvozhtdgLmlmbsWvb24BrxggZTRheRasUAtYEdfEMmPnXL6
/dAcS9qc7zyAcpnoG4vBEaRZaeLjQOuXo2kwZzAdBgNVHQ4EFgQUJNRjZ2i4oR1G
P29t2PycEtvmR9YwHwYDVR0jBBgwFoAUJNRjZ2i4oR1GP29t2PycEtvmR9YwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SAAwRQIhAKoxrmu58GCwB4K+gVMuMDr0AJIl2+RsigGABmntlk5/AiA7y7yetkSA
m/+tlvFSObBRZz/tvqYfeUFSxgs00hcflg==
-----END CERTIFICATE-----
";

const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgI4PjTrL/MMaU4Ujz
LEaG+fKITd3FVBnIRD+sUINORdWhRANCAATbRq/IScvozhtdgLmlmbsWvb24Brxg
gZTRheRasUAtYEdfEMmPnXL6/dAcS9qc7zyAcpnoG4vBEaRZaeLjQOuX
-----END PRIVATE KEY-----
";
