//! The embedded PostgreSQL under fire. Every attack comes while rows are being committed, and afterwards every row
//! whose commit was acknowledged must be there and writing must work again.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use almanac::postgres::{EmbeddedPostgres, Install, PostgresError, SUPERUSER};
use sqlx::{Connection, PgConnection};

/// Longer than any recovery here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_new_folder_becomes_a_durable_server_with_vectors_and_no_open_port() {
    let folder = Folder::new();
    let server = folder.start();
    let url = server.url(SUPERUSER, "postgres");
    assert_eq!(text(&url, "show fsync"), "on");
    assert_eq!(text(&url, "show synchronous_commit"), "on");
    assert_eq!(text(&url, "show listen_addresses"), "");
    assert_eq!(text(&url, "show data_checksums"), "on");
    assert_eq!(text(&url, "show server_encoding"), "UTF8");
    assert_eq!(text(&url, "select upper('é')"), "É");
    execute(&url, "create extension vector");
    assert_eq!(text(&url, "select ('[1,2]'::vector <-> '[1,2]')::text"), "0");
    let mode = fs::metadata(server.socket_dir()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn rows_survive_a_stop_and_nothing_keeps_running() {
    let folder = Folder::new();
    let server = folder.start();
    let writer = Writer::start(server.url(SUPERUSER, "postgres"));
    writer.wait_for(20);
    let pid = folder.postmaster_pid();
    server.stop().unwrap();
    assert!(!is_running(pid));
    folder.check_rows(&writer.finish());
}

#[test]
fn rows_survive_the_death_of_the_owner_and_the_server_goes_with_it() {
    let folder = Folder::new();
    let mut owner = Owner::start(&folder);
    let writer = Writer::start(owner.url.clone());
    writer.wait_for(20);
    let pid = folder.postmaster_pid();
    owner.kill();
    let rows = writer.finish();
    wait_until("the server follows its owner", || !is_running(pid));
    folder.check_rows(&rows);
}

#[test]
fn an_owner_may_be_replaced_before_its_server_has_stopped() {
    let folder = Folder::new();
    let mut owner = Owner::start(&folder);
    let writer = Writer::start(owner.url.clone());
    writer.wait_for(20);
    owner.kill();
    folder.check_rows(&writer.finish()); // starts at once
}

#[test]
fn a_killed_server_is_restarted_by_its_owner() {
    let folder = Folder::new();
    let server = folder.start();
    let url = server.url(SUPERUSER, "postgres");
    let writer = Writer::start(url.clone());
    writer.wait_for(20);
    let pid = folder.postmaster_pid();
    kill("KILL", pid);
    let rows = writer.finish();
    let began = Instant::now();
    wait_until("the server is back", || count(&url).is_some());
    eprintln!("back {} ms after the writer saw the kill", began.elapsed().as_millis());
    assert_ne!(folder.postmaster_pid(), pid);
    rows.check(&url);
    server.stop().unwrap();
}

#[test]
fn rows_survive_the_death_of_owner_and_server_together() {
    let folder = Folder::new();
    let mut owner = Owner::start(&folder);
    let writer = Writer::start(owner.url.clone());
    writer.wait_for(20);
    kill("STOP", owner.pid()); // so that it cannot restart what dies first
    kill("KILL", folder.postmaster_pid());
    owner.kill();
    folder.check_rows(&writer.finish());
}

#[test]
fn a_stuck_backend_of_a_dead_server_is_ended_before_the_next_server_starts() {
    let folder = Folder::new();
    let server = folder.start();
    let url = server.url(SUPERUSER, "postgres");
    let writer = Writer::start(url.clone());
    writer.wait_for(5);
    let backend: i32 =
        text(&url, "select pid::text from pg_stat_activity where application_name = 'writer'").parse().unwrap();
    kill("STOP", backend);
    kill("KILL", folder.postmaster_pid());
    wait_until("the server is back", || count(&url).is_some());
    assert!(!is_running(backend));
    writer.finish().check(&url);
}

#[test]
fn a_second_owner_is_refused_and_the_first_is_not_disturbed() {
    let folder = Folder::new();
    let owner = Owner::start(&folder);
    let writer = Writer::start(owner.url.clone());
    writer.wait_for(5);
    let Err(error) = EmbeddedPostgres::start(&install(), &folder.root()) else { panic!("two owners of one folder") };
    assert!(matches!(error, PostgresError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&format!("is in use by another process (pid {})", owner.pid())), "{error}");
    writer.wait_for(10);
    owner.interrupt();
    folder.check_rows(&writer.finish());
}

#[test]
fn a_stale_pid_file_that_names_a_live_stranger_is_no_obstacle() {
    let folder = Folder::new();
    folder.start().stop().unwrap();
    let (data, run) = (folder.root().join("data"), folder.root().join("run"));
    let stale =
        format!("{}\n{}\n1700000000\n5432\n{}\n\n  1 2\nready   \n", std::process::id(), data.display(), run.display());
    fs::write(data.join("postmaster.pid"), &stale).unwrap();
    fs::write(run.join(".s.PGSQL.5432.lock"), &stale).unwrap();
    fs::write(run.join(".s.PGSQL.5432"), "").unwrap();
    let server = folder.start();
    assert_eq!(text(&server.url(SUPERUSER, "postgres"), "select 'up'"), "up");
}

#[test]
fn a_live_server_without_an_owner_is_adopted_watched_and_stopped() {
    let folder = Folder::new();
    folder.start().stop().unwrap();
    let mut orphan = folder.start_orphan(&folder.root().join("run"));
    let server = folder.start();
    assert_eq!(folder.postmaster_pid(), orphan.id().cast_signed(), "the server was replaced, not adopted");
    let url = server.url(SUPERUSER, "postgres");
    let writer = Writer::start(url.clone());
    writer.wait_for(5);
    orphan.kill().unwrap();
    orphan.wait().unwrap();
    wait_until("an adopted server is restarted too", || count(&url).is_some());
    writer.finish().check(&url);
}

#[test]
fn an_adopted_server_stops_with_its_new_owner() {
    let folder = Folder::new();
    folder.start().stop().unwrap();
    let mut orphan = folder.start_orphan(&folder.root().join("run"));
    let server = folder.start();
    let reaper = thread::spawn(move || orphan.wait().unwrap());
    server.stop().unwrap();
    assert!(reaper.join().unwrap().success(), "a fast shutdown ends with status 0");
}

#[test]
fn a_server_that_somebody_runs_by_hand_elsewhere_is_left_alone() {
    let folder = Folder::new();
    folder.start().stop().unwrap();
    let elsewhere = Folder::new();
    fs::create_dir(elsewhere.root()).unwrap();
    let owner = fs::metadata(folder.root().join("data")).unwrap();
    std::os::unix::fs::chown(elsewhere.root(), Some(owner.uid()), Some(owner.gid())).unwrap();
    let mut theirs = folder.start_orphan(&elsewhere.root());
    let Err(error) = EmbeddedPostgres::start(&install(), &folder.root()) else { panic!("took what is not ours") };
    assert!(error.to_string().contains(&format!("pid {}, with its socket in", theirs.id())), "{error}");
    kill("INT", theirs.id().cast_signed());
    assert!(theirs.wait().unwrap().success());
}

#[test]
fn a_folder_whose_making_was_cut_off_is_made_anew() {
    let folder = Folder::new();
    fs::create_dir_all(folder.root().join("data.init/base")).unwrap();
    fs::write(folder.root().join("data.init/PG_VERSION"), "18\n").unwrap();
    let server = folder.start();
    assert_eq!(text(&server.url(SUPERUSER, "postgres"), "select 'up'"), "up");
    assert!(!folder.root().join("data.init").exists());
}

#[test]
fn a_socket_path_that_is_too_long_is_refused_before_anything_is_made() {
    let folder = Folder::new();
    let root = folder.0.join("a".repeat(100));
    let Err(error) = EmbeddedPostgres::start(&install(), &root) else { panic!("no such socket can be") };
    assert!(matches!(error, PostgresError::SocketPathTooLong { .. }), "{error}");
    assert!(!root.join("data").exists());
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let folder = Folder::new();
    folder.start().stop().unwrap();
    fs::write(folder.root().join("data/postgresql.conf"), "no_such_setting = 1\n").unwrap();
    let Err(error) = EmbeddedPostgres::start(&install(), &folder.root()) else { panic!("that setting is unknown") };
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[test]
fn ctrl_c_ends_the_command_and_the_server_cleanly() {
    let folder = Folder::new();
    let owner = Owner::start(&folder);
    let pid = folder.postmaster_pid();
    owner.interrupt();
    assert!(!is_running(pid));
    assert!(!folder.root().join("data/postmaster.pid").exists());
}

#[test]
fn root_with_data_in_a_closed_home_uses_a_namespace_or_says_what_is_closed() {
    if !is_root() {
        return; // an ordinary user's own folders are never closed to them
    }
    let home = Folder::new();
    fs::set_permissions(&home.0, fs::Permissions::from_mode(0o700)).unwrap();
    match EmbeddedPostgres::start(&install(), &home.root()) {
        Ok(server) => {
            let writer = Writer::start(server.url(SUPERUSER, "postgres"));
            writer.wait_for(20);
            assert_eq!(fs::metadata(home.root().join("data")).unwrap().uid(), 0);
            drop(server);
            home.check_rows(&writer.finish());
        }
        Err(error) => {
            let closed = format!("may not pass {} (mode o+x is missing)", home.0.display());
            assert!(error.to_string().contains(&closed), "{error}");
            assert!(error.to_string().contains("a user namespace is refused"), "{error}");
        }
    }
}

#[test]
fn root_that_may_not_look_into_others_processes_still_sees_its_server() {
    if !is_root() {
        return; // an ordinary user runs the server under the same name
    }
    let folder = Folder::new();
    folder.start().stop().unwrap();
    let mut orphan = folder.start_orphan(&folder.root().join("run"));
    let mut confined = Command::new("setpriv");
    confined.args(["--bounding-set=-sys_ptrace", "--inh-caps=-all", "--"]).arg(env!("CARGO_BIN_EXE_almanac"));
    let owner = Owner::start_with(confined, &folder);
    assert_eq!(folder.postmaster_pid(), orphan.id().cast_signed(), "the server was replaced, not adopted");
    let reaper = thread::spawn(move || orphan.wait().unwrap());
    owner.interrupt();
    assert!(reaper.join().unwrap().success());
}

#[test]
fn an_ordinary_user_runs_the_server_under_their_own_name() {
    let folder = Folder::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_almanac"));
    let user = if is_root() { 65534 } else { fs::metadata("/proc/self").unwrap().uid() };
    if is_root() {
        std::os::unix::fs::chown(&folder.0, Some(user), Some(user)).unwrap();
        command.uid(user).gid(user);
    }
    let mut owner = Owner::start_with(command, &folder);
    let writer = Writer::start(owner.url.clone());
    writer.wait_for(20);
    assert_eq!(fs::metadata(folder.root().join("data")).unwrap().uid(), user);
    owner.kill();
    folder.check_rows(&writer.finish()); // as root: by the same user again, whose data they are
    assert_eq!(fs::metadata(folder.root().join("data")).unwrap().uid(), user);
}

/// A data folder of its own, short enough for a socket and open to the account that runs the server.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("almanac-pg-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn root(&self) -> PathBuf {
        self.0.join("postgres")
    }

    fn start(&self) -> EmbeddedPostgres {
        EmbeddedPostgres::start(&install(), &self.root()).unwrap()
    }

    fn postmaster_pid(&self) -> i32 {
        let file = fs::read_to_string(self.root().join("data/postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }

    /// A server as an owner leaves it behind when the kernel does not end it.
    fn start_orphan(&self, socket_dir: &Path) -> Child {
        let data = self.root().join("data");
        let owner = fs::metadata(&data).unwrap();
        let mut command = Command::new(install().program("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(socket_dir).args(["-c", "listen_addresses="]);
        command.env_clear().current_dir("/").stderr(Stdio::null());
        if is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let child = command.spawn().unwrap();
        let is_ready = || fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|text| text.contains("ready"));
        wait_until("the orphan is ready", is_ready);
        child
    }

    fn check_rows(&self, rows: &Rows) {
        let began = Instant::now();
        let server = self.start();
        eprintln!("started again in {} ms", began.elapsed().as_millis());
        rows.check(&server.url(SUPERUSER, "postgres"));
        server.stop().unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that owns a server, to be killed: `almanac postgres`.
struct Owner {
    process: Child,
    /// Held open: a command that cannot print ends.
    _output: BufReader<ChildStdout>,
    url: String,
}

impl Owner {
    fn start(folder: &Folder) -> Owner {
        Owner::start_with(Command::new(env!("CARGO_BIN_EXE_almanac")), folder)
    }

    fn start_with(mut command: Command, folder: &Folder) -> Owner {
        command.arg("postgres").env("ALMANAC_DATA_DIR", &folder.0).stdout(Stdio::piped());
        if let Some(dir) = postgres_dir() {
            command.env("ALMANAC_POSTGRES_DIR", dir);
        }
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let url = line.strip_prefix("url").expect("the command prints where its server is").trim().to_owned();
        Owner { process, _output: output, url }
    }

    fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn interrupt(mut self) {
        kill("INT", self.pid());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Commits the numbers 1, 2, 3, … one by one until the connection breaks.
struct Writer {
    url: String,
    acknowledged: std::sync::Arc<AtomicU32>,
    thread: JoinHandle<()>,
}

impl Writer {
    fn start(url: String) -> Writer {
        execute(&url, "create table if not exists kept (number bigint primary key)");
        let acknowledged = std::sync::Arc::new(AtomicU32::new(0));
        let (seen, target) = (std::sync::Arc::clone(&acknowledged), format!("{url}&application_name=writer"));
        let thread = thread::spawn(move || {
            block_on(async {
                let mut connection = PgConnection::connect(&target).await.unwrap();
                for number in 1_u32.. {
                    let insert = sqlx::query("insert into kept (number) values ($1)").bind(i64::from(number));
                    match insert.execute(&mut connection).await {
                        Ok(_) => seen.store(number, Ordering::SeqCst),
                        Err(_) => return,
                    }
                }
            });
        });
        Writer { url, acknowledged, thread }
    }

    fn wait_for(&self, rows: u32) {
        wait_until("rows are written", || self.acknowledged.load(Ordering::SeqCst) >= rows);
    }

    /// Waits for the connection to break.
    fn finish(self) -> Rows {
        wait_until(&format!("the connection to {} breaks", self.url), || self.thread.is_finished());
        self.thread.join().unwrap();
        Rows { acknowledged: self.acknowledged.load(Ordering::SeqCst) }
    }
}

struct Rows {
    acknowledged: u32,
}

impl Rows {
    /// Every acknowledged row is there, at most the one in flight besides, and more can be written and read.
    fn check(&self, url: &str) {
        let acknowledged = i64::from(self.acknowledged);
        let found = text(url, "select concat_ws(' ', count(*), min(number), max(number)) from kept");
        let whole = |count: i64| format!("{count} 1 {count}");
        assert!(
            [whole(acknowledged), whole(acknowledged + 1)].contains(&found),
            "{acknowledged} written, {found} found"
        );
        let before = count(url).unwrap();
        execute(url, "insert into kept select max(number) + 1 from kept");
        assert_eq!(count(url), Some(before + 1));
    }
}

fn count(url: &str) -> Option<i64> {
    block_on(async {
        let mut connection = PgConnection::connect(url).await.ok()?;
        sqlx::query_scalar("select count(*) from kept").fetch_one(&mut connection).await.ok()
    })
}

fn text(url: &str, query: &'static str) -> String {
    block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
    })
}

fn execute(url: &str, statement: &'static str) {
    block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    });
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn postgres_dir() -> Option<PathBuf> {
    env::var_os("ALMANAC_POSTGRES_DIR").map(PathBuf::from)
}

fn install() -> Install {
    Install::find(postgres_dir().as_deref()).unwrap()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A zombie has a folder in `/proc` and no program.
fn is_running(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

fn kill(signal: &str, pid: i32) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -{signal} {pid}")).status().unwrap();
    assert!(status.success());
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
