//! A data folder and the rules for touching it: `lock` (held for life), `data` (PostgreSQL's own), `run` (the socket)
//! and `postgres.log`. A folder is complete or absent, a live server is never disturbed, and the remains of a killed
//! one are removed only once nobody works there any more.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    Install, PORT, PostgresError, SUPERUSER,
    account::Account,
    postmaster::{PidFile, Postmaster},
    process::{self, SIGINT, SIGKILL, SIGQUIT},
    settings::settings,
};

/// The longest path of a socket: `sun_path` in unix(7), less the closing NUL.
pub(super) const SOCKET_PATH_MAX: usize = 107;

/// The builtin provider of locales exists from here on: the same order of text on every system.
const BUILTIN_LOCALES_FROM: u32 = 17;

/// A server that recovers from a crash reads its log first, up to `max_wal_size` (1 GB); slow disks need minutes.
const START_LIMIT: Duration = Duration::from_secs(300);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A server whose owner died this moment may not have seen its signal yet: it is adopted if it is still ready then.
const ADOPTION_DELAY: Duration = Duration::from_millis(100);

/// Backends leave by themselves when their postmaster dies; those that do not are told to, then made to.
const ORPHANS: [(Option<libc::c_int>, Duration); 3] = [
    (None, Duration::from_millis(200)),
    (Some(SIGQUIT), Duration::from_secs(2)),
    (Some(SIGKILL), Duration::from_secs(5)),
];

/// What PostgreSQL says when backends of a dead postmaster still hold its memory.
const ORPHANS_HOLD_MEMORY: &str = "pre-existing shared memory block";

/// The log is put aside at the next start beyond this size.
const LOG_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// How much of the log an error carries: the reason is among the last lines.
const LOG_TAIL_LINES: usize = 8;

/// Whether commits wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    Durable,
    Throwaway,
}

/// PostgreSQL's own folder in the data folder.
pub(super) const DATA: &str = "data";

/// An opened data folder: ours alone until dropped, with a complete cluster in it.
pub(super) struct Cluster {
    install: Install,
    account: Account,
    durability: Durability,
    data: PathBuf,
    socket_dir: PathBuf,
    log: PathBuf,
    /// Held, never read: the kernel gives it up when we die, however that happens.
    _lock: Lock,
}

impl Cluster {
    /// Locks the folder and fills it if it is new.
    pub(super) fn open(install: &Install, root: &Path, durability: Durability) -> Result<Cluster, PostgresError> {
        let root = prepare_root(root)?;
        let socket_dir = root.join("run");
        check_socket_path(&socket_dir)?;
        let lock = lock(&root.join("lock"))?;
        let (account, version) = Account::choose(install, &root)?;
        make_private_dir(&socket_dir)?;
        account.own(&socket_dir)?;
        account.own(&root.join("lock"))?;
        let (data, log) = (root.join(DATA), root.join("postgres.log"));
        let cluster = Cluster { install: install.clone(), account, durability, data, socket_dir, log, _lock: lock };
        cluster.initialise(version)?;
        Ok(cluster)
    }

    pub(super) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Returns once connections are accepted.
    pub(super) fn start(&self) -> Result<Postmaster, PostgresError> {
        let deadline = Instant::now() + START_LIMIT;
        if let Some(adopted) = self.adopt(deadline)? {
            return Ok(adopted);
        }
        self.clear_remains()?;
        self.turn_log()?;
        loop {
            match self.launch(deadline) {
                Err(PostgresError::Start { output, .. })
                    if output.contains(ORPHANS_HOLD_MEMORY) && Instant::now() < deadline =>
                {
                    thread::sleep(ADOPTION_DELAY);
                }
                outcome => return outcome,
            }
        }
    }

    /// Makes the cluster aside and renames it when it is complete, so that a crash leaves none that is half made.
    fn initialise(&self, version: u32) -> Result<(), PostgresError> {
        if let Ok(data) = fs::read_to_string(self.data.join("PG_VERSION")) {
            return check_version(&self.data, data.trim(), version);
        }
        let (unfinished, began) = (self.data.with_extension("init"), Instant::now());
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(PostgresError::io("remove", &unfinished))?;
        }
        make_private_dir(&unfinished)?;
        self.account.own(&unfinished)?;
        self.run_initdb(&unfinished, version)?;
        fs::rename(&unfinished, &self.data).map_err(PostgresError::io("complete", &self.data))?;
        sync_folder_of(&self.data)?;
        tracing::info!(version, elapsed_ms = began.elapsed().as_millis(), "made a PostgreSQL data folder");
        Ok(())
    }

    fn run_initdb(&self, target: &Path, version: u32) -> Result<(), PostgresError> {
        let program = self.install.program("initdb");
        let mut initdb = self.account.command(&program);
        initdb.arg("--pgdata").arg(target).args(["--username", SUPERUSER, "--encoding", "UTF8", "--auth", "trust"]);
        initdb.args(["--data-checksums", "--no-instructions"]);
        if version >= BUILTIN_LOCALES_FROM {
            initdb.args(["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]);
        } else {
            initdb.args(["--locale=C.UTF-8", "--lc-messages=C"]);
        }
        if self.durability == Durability::Throwaway {
            initdb.arg("--no-sync");
        }
        process::die_with_parent(&mut initdb, SIGKILL);
        let output = initdb.output().map_err(PostgresError::io("run", &program))?;
        if output.status.success() {
            return Ok(());
        }
        let text = [output.stdout, output.stderr].concat();
        Err(PostgresError::Init { path: target.to_owned(), output: tail(&String::from_utf8_lossy(&text)) })
    }

    /// Takes over a live server of this folder once it is ready; waits for one that is stopping to be gone.
    fn adopt(&self, deadline: Instant) -> Result<Option<Postmaster>, PostgresError> {
        let mut was_ready = false;
        while let Some(file) = PidFile::read(&self.data) {
            if !self.account.look(|| process::is_postgres_in(file.pid, &self.data)) {
                break;
            }
            if file.is_ready && was_ready {
                self.check_socket_of(&file)?;
                tracing::info!(pid = file.pid, "adopted a PostgreSQL server that was running already");
                let (data, account) = (self.data.clone(), self.account.clone());
                return Ok(Some(Postmaster::Adopted { pid: file.pid, data, account }));
            }
            if Instant::now() > deadline {
                let output = format!("its process {} is neither ready nor gone", file.pid);
                return Err(PostgresError::Start { path: self.data.clone(), output });
            }
            was_ready = file.is_ready;
            thread::sleep(if was_ready { ADOPTION_DELAY } else { POLL_INTERVAL });
        }
        Ok(None)
    }

    /// A server that somebody started by hand with a socket elsewhere is theirs.
    fn check_socket_of(&self, file: &PidFile) -> Result<(), PostgresError> {
        if Path::new(&file.socket_dir) == self.socket_dir {
            return Ok(());
        }
        let holder = format!("a PostgreSQL server, pid {}, with its socket in {}", file.pid, file.socket_dir);
        Err(PostgresError::InUse { path: self.data.clone(), holder })
    }

    /// Removes what a killed server left, which would stop a new one if its number has been given to somebody else.
    /// Doing so under processes that still write would destroy the data, so they go first.
    fn clear_remains(&self) -> Result<(), PostgresError> {
        if !self.orphans_have_gone() {
            let holder = "processes of a killed PostgreSQL server that do not end".to_owned();
            return Err(PostgresError::InUse { path: self.data.clone(), holder });
        }
        remove_if_there(&self.data.join("postmaster.pid"))?;
        for entry in fs::read_dir(&self.socket_dir).map_err(PostgresError::io("read", &self.socket_dir))?.flatten() {
            remove_if_there(&entry.path())?;
        }
        Ok(())
    }

    fn orphans_have_gone(&self) -> bool {
        ORPHANS.iter().any(|&(signal, limit)| {
            let began = Instant::now();
            loop {
                let orphans = self.account.look(|| process::postgres_in(&self.data));
                if orphans.is_empty() || began.elapsed() > limit {
                    return orphans.is_empty();
                }
                if let Some(signal) = signal {
                    orphans.into_iter().for_each(|pid| process::signal(pid, signal));
                }
                thread::sleep(POLL_INTERVAL);
            }
        })
    }

    /// Starts a server of our own and waits until it is ready or has given up.
    fn launch(&self, deadline: Instant) -> Result<Postmaster, PostgresError> {
        let mut log = open_log(&self.log)?;
        let log_start = log.seek(SeekFrom::End(0)).map_err(PostgresError::io("read", &self.log))?;
        let mut postmaster = Postmaster::Child(self.spawn(&log)?);
        loop {
            let failure = if postmaster.has_exited() {
                tail(&read_from(&self.log, log_start))
            } else if PidFile::read(&self.data).is_some_and(|file| file.is_ready && file.pid == postmaster.pid()) {
                return Ok(postmaster);
            } else if Instant::now() > deadline {
                postmaster.stop()?;
                format!("not ready after {} s: {}", START_LIMIT.as_secs(), tail(&read_from(&self.log, log_start)))
            } else {
                thread::sleep(POLL_INTERVAL);
                continue;
            };
            return Err(PostgresError::Start { path: self.data.clone(), output: failure });
        }
    }

    fn spawn(&self, log: &File) -> Result<std::process::Child, PostgresError> {
        let program = self.install.program("postgres");
        let duplicate = || log.try_clone().map_err(PostgresError::io("open", &self.log));
        let mut command = self.account.command(&program);
        command.arg("-D").arg(&self.data).stdout(duplicate()?).stderr(duplicate()?);
        let socket_dir = self.socket_dir.to_string_lossy();
        for setting in settings(&socket_dir, PORT, self.durability == Durability::Durable) {
            command.arg("-c").arg(setting);
        }
        command.process_group(0); // A terminal's Ctrl-C is for us; we stop the server when we are done with it.
        process::die_with_parent(&mut command, SIGINT);
        command.spawn().map_err(PostgresError::io("run", &program))
    }

    fn turn_log(&self) -> Result<(), PostgresError> {
        let is_long = fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_MAX_BYTES);
        if is_long {
            fs::rename(&self.log, self.log.with_extension("log.1")).map_err(PostgresError::io("rename", &self.log))?;
        }
        open_log(&self.log)?;
        self.account.own(&self.log)
    }
}

/// Makes the folder if need be and gives it back as the kernel names it, which is how processes are found in it.
fn prepare_root(root: &Path) -> Result<PathBuf, PostgresError> {
    fs::create_dir_all(root).map_err(PostgresError::io("make", root))?;
    let root = root.canonicalize().map_err(PostgresError::io("reach", root))?;
    let owner = fs::metadata(&root).map_err(PostgresError::io("read", &root))?.uid();
    let mode = Permissions::from_mode(Account::root_mode());
    match fs::set_permissions(&root, mode) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(PostgresError::NotOurs { path: root, owner })
        }
        outcome => outcome.map_err(PostgresError::io("open", &root)).map(|()| root),
    }
}

fn check_socket_path(socket_dir: &Path) -> Result<(), PostgresError> {
    let path = socket_dir.join(format!(".s.PGSQL.{PORT}"));
    if path.as_os_str().len() > SOCKET_PATH_MAX { Err(PostgresError::SocketPathTooLong { path }) } else { Ok(()) }
}

/// The lock on a data folder. Let go by name, not by closing the file: a process that another thread is just starting
/// holds a copy of every open file until it has become its program.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock(); // the kernel does it when the last copy is closed
    }
}

/// Takes the lock or says who has it.
fn lock(path: &Path) -> Result<Lock, PostgresError> {
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(PostgresError::io("open", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid); // only for the message
            let path = path.parent().unwrap_or(path).to_owned();
            return Err(PostgresError::InUse { path, holder: format!("pid {}", pid.trim()) });
        }
        Err(TryLockError::Error(source)) => return Err(PostgresError::io("lock", path)(source)),
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(PostgresError::io("write", path))?;
    Ok(Lock(file))
}

fn check_version(data_dir: &Path, data: &str, programs: u32) -> Result<(), PostgresError> {
    if data == programs.to_string() {
        return Ok(());
    }
    Err(PostgresError::WrongVersion { path: data_dir.to_owned(), data: data.to_owned(), programs })
}

/// A folder that only its owner reaches; one that exists is made so.
fn make_private_dir(path: &Path) -> Result<(), PostgresError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(PostgresError::io("make", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(PostgresError::io("close", path))
}

/// Writes the entry that a rename made to the disk.
fn sync_folder_of(path: &Path) -> Result<(), PostgresError> {
    let folder = path.parent().unwrap_or(path);
    File::open(folder).and_then(|opened| opened.sync_all()).map_err(PostgresError::io("sync", folder))
}

fn remove_if_there(path: &Path) -> Result<(), PostgresError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PostgresError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn open_log(path: &Path) -> Result<File, PostgresError> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600).open(path).map_err(PostgresError::io("open", path))
}

fn read_from(path: &Path, start: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut bytes)
    });
    read.map_or_else(|error| error.to_string(), |_| String::from_utf8_lossy(&bytes).into_owned())
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_may_have_107_bytes_and_no_more() {
        let name_bytes = "/.s.PGSQL.5432".len();
        let longest = PathBuf::from("/".to_owned() + &"d".repeat(SOCKET_PATH_MAX - name_bytes - 1));
        assert!(check_socket_path(&longest).is_ok());
        let error = check_socket_path(&longest.join("x")).unwrap_err();
        assert!(error.to_string().contains("choose a data folder with a shorter path"));
    }

    #[test]
    fn a_lock_is_let_go_while_a_starting_process_still_has_a_copy_of_it() {
        let path = std::env::temp_dir().join(format!("almanac-lock-{}", std::process::id()));
        let held = lock(&path).unwrap();
        let copy = held.0.try_clone().unwrap();
        assert!(matches!(lock(&path), Err(PostgresError::InUse { .. })));
        drop(held);
        assert!(lock(&path).is_ok());
        drop(copy);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn data_of_another_major_version_are_refused() {
        let error = check_version(Path::new("/srv/data"), "15", 18).unwrap_err();
        assert!(error.to_string().contains("made by PostgreSQL 15, and the programs are PostgreSQL 18"), "{error}");
        assert!(check_version(Path::new("/srv/data"), "18", 18).is_ok());
    }

    #[test]
    fn an_error_carries_the_end_of_the_log() {
        let log = (1..=20).map(|line| format!("line {line}\n")).collect::<String>();
        assert!(tail(&log).starts_with("line 13\n") && tail(&log).ends_with("line 20"));
        assert_eq!(tail(""), "");
    }
}
