//! Who runs PostgreSQL, which refuses to run as root: us, if we are not root; else an account without rights that can
//! reach the programs and the data; else, where even that is barred (a home of mode 0700), root under another name in
//! a user namespace.

#![expect(unsafe_code, reason = "user namespaces and file-system identities have no safe face in the standard library")]

use std::{
    ffi::CStr,
    fs, io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use super::{Install, PostgresError};

/// Tried in this order; Debian has the second everywhere and the first where its PostgreSQL is installed.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// `nobody` in the namespace: an id that has a name, as PostgreSQL demands of its user.
const ROOT_IN_NAMESPACE: &[u8] = b"65534 0 1\n";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    /// Whoever runs this process; not root.
    Ours,
    /// Another account, by root's leave.
    User { name: String, uid: u32, gid: u32 },
    /// Root, seen as `nobody` from inside a user namespace; its files stay root's.
    Namespace,
}

impl Account {
    /// The first account that can run the programs with `root` as its folder, and the programs' major version. Data
    /// that exist are run by their owner and by nobody else.
    pub(super) fn choose(install: &Install, root: &Path) -> Result<(Account, u32), PostgresError> {
        let owner = fs::metadata(root.join("data")).ok().map(|data| data.uid());
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let mut refusals = Vec::new();
        for account in candidates(effective_uid(), owner, &passwd) {
            match account.probe(install, root) {
                Ok(version) => return Ok((account, version)),
                Err(refusal) => refusals.push(refusal),
            }
        }
        if let (true, Some(uid)) = (refusals.is_empty(), owner) {
            refusals.push(format!("the data belong to uid {uid}, which has no account"));
        }
        Err(PostgresError::NoAccount { path: root.to_owned(), refusals })
    }

    /// A command that runs as this account, with nothing of our environment.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("TZ", "UTC").current_dir("/").stdin(Stdio::null());
        match self {
            Account::Ours => {}
            Account::User { uid, gid, .. } => {
                command.uid(*uid).gid(*gid);
            }
            // SAFETY: `enter_namespace` makes system calls on constants and allocates nothing, so it may run between
            // fork and exec.
            Account::Namespace => unsafe {
                command.pre_exec(enter_namespace);
            },
        }
        command
    }

    /// Gives a file of ours to the account.
    pub(super) fn own(&self, path: &Path) -> Result<(), PostgresError> {
        let Account::User { uid, gid, .. } = self else { return Ok(()) };
        chown(path, Some(*uid), Some(*gid)).map_err(PostgresError::io("give away", path))
    }

    /// The mode of the folder above the data: the account must be able to pass, and nobody needs to read.
    pub(super) fn root_mode() -> u32 {
        if effective_uid() == 0 { 0o711 } else { 0o700 }
    }

    /// Runs `look` with the account's rights to files. Root without CAP_SYS_PTRACE, as in most containers, may not see
    /// another user's `/proc/<pid>/exe`, while that user may: a live server would pass for a dead one.
    pub(super) fn look<T>(&self, look: impl FnOnce() -> T) -> T {
        let Account::User { uid, gid, .. } = self else { return look() };
        let _back = FileIdentity::assume(*uid, *gid);
        look()
    }

    /// Runs `postgres --version` inside `root`, which needs every right that the server will need: the true test.
    fn probe(&self, install: &Install, root: &Path) -> Result<u32, String> {
        let program = install.program("postgres");
        let output = self
            .command(&program)
            .arg("--version")
            .current_dir(root)
            .output()
            .map_err(|error| self.refusal(&error, &[root, &program]))?;
        let text = String::from_utf8_lossy(&output.stdout);
        major_version(&text).ok_or_else(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            format!("{} does not run: {} {}", program.display(), text.trim(), complaint.trim())
        })
    }

    fn refusal(&self, error: &io::Error, paths: &[&Path]) -> String {
        let barred = paths.iter().find_map(|path| path.ancestors().find(|folder| is_closed(folder)));
        match (self, barred) {
            (Account::User { name, .. }, Some(folder)) => {
                format!("the account {name} may not pass {} (mode o+x is missing)", folder.display())
            }
            (Account::User { name, .. }, None) => format!("the account {name} fails: {error}"),
            (Account::Namespace, _) => format!("a user namespace is refused: {error}"),
            (Account::Ours, _) => format!("this user fails: {error}"),
        }
    }
}

/// Who may run data of `owner` (if there are any), when we are `us`.
fn candidates(us: u32, owner: Option<u32>, passwd: &str) -> Vec<Account> {
    let accounts = || passwd.lines().filter_map(parse_account);
    match (us, owner) {
        (1.., _) => vec![Account::Ours],
        (0, Some(0)) => vec![Account::Namespace],
        (0, Some(owner)) => accounts().find(|&(_, uid, _)| uid == owner).map(user).into_iter().collect(),
        (0, None) => {
            let named = NAMES.iter().filter_map(|&wanted| accounts().find(|&(name, ..)| name == wanted));
            named.map(user).chain([Account::Namespace]).collect()
        }
    }
}

fn user((name, uid, gid): (&str, u32, u32)) -> Account {
    Account::User { name: name.to_owned(), uid, gid }
}

/// Name, uid and gid of a line of `/etc/passwd`.
fn parse_account(line: &str) -> Option<(&str, u32, u32)> {
    let mut fields = line.split(':');
    Some((fields.next()?, fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// From `postgres (PostgreSQL) 18.4` or `postgres (PostgreSQL) 15.18 (Debian …)`.
fn major_version(text: &str) -> Option<u32> {
    let version = text.strip_prefix("postgres (PostgreSQL) ")?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Whether others may not pass through a folder.
fn is_closed(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|found| found.is_dir() && found.permissions().mode() & 0o001 == 0)
}

fn effective_uid() -> u32 {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Leaves the process with root's rights to root's files and no other: inside, it is `nobody`.
fn enter_namespace() -> io::Result<()> {
    // SAFETY: unshare takes an integer; after fork there is one thread, as CLONE_NEWUSER demands.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER) } == -1 {
        return Err(io::Error::last_os_error());
    }
    write_file(c"/proc/self/uid_map", ROOT_IN_NAMESPACE)?;
    write_file(c"/proc/self/setgroups", b"deny")?;
    write_file(c"/proc/self/gid_map", ROOT_IN_NAMESPACE)
}

/// Writes without allocating, for use between fork and exec.
fn write_file(path: &CStr, content: &[u8]) -> io::Result<()> {
    // SAFETY: `path` ends in a NUL and `content` is as long as is said; the descriptor is used and closed here only.
    let written = unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file == -1 {
            return Err(io::Error::last_os_error());
        }
        let written = libc::write(file, content.as_ptr().cast(), content.len());
        libc::close(file);
        written
    };
    if written == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// This thread's identity towards files, until dropped. Signals and child processes are not affected.
struct FileIdentity;

impl FileIdentity {
    fn assume(uid: u32, gid: u32) -> FileIdentity {
        // SAFETY: both calls take an integer and change this thread only. Without the right to change they change
        // nothing, and we see what root sees.
        unsafe {
            libc::setfsgid(gid);
            libc::setfsuid(uid);
        }
        FileIdentity
    }
}

impl Drop for FileIdentity {
    fn drop(&mut self) {
        // SAFETY: as above; a thread may always return to its effective ids.
        unsafe {
            libc::setfsuid(libc::geteuid());
            libc::setfsgid(libc::getegid());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nanna:x:1000:1000::/home/anna:/bin/sh\n\
                          nobody:x:65534:65534::/:/bin/false\npostgres:x:101:104::/var/lib/postgresql:/bin/bash\n";

    fn names(us: u32, owner: Option<u32>) -> Vec<String> {
        let name = |account| match account {
            Account::Ours => "ours".to_owned(),
            Account::User { name, uid, gid } => format!("{name} {uid}:{gid}"),
            Account::Namespace => "namespace".to_owned(),
        };
        candidates(us, owner, PASSWD).into_iter().map(name).collect()
    }

    #[test]
    fn an_ordinary_user_runs_it_alone() {
        assert_eq!(names(1000, None), ["ours"]);
        assert_eq!(names(1000, Some(101)), ["ours"]);
    }

    #[test]
    fn root_prefers_an_account_to_a_namespace() {
        assert_eq!(names(0, None), ["postgres 101:104", "nobody 65534:65534", "namespace"]);
    }

    #[test]
    fn existing_data_are_run_by_their_owner_only() {
        assert_eq!(names(0, Some(1000)), ["anna 1000:1000"]);
        assert_eq!(names(0, Some(0)), ["namespace"]);
        assert_eq!(names(0, Some(4242)), Vec::<String>::new());
    }

    #[test]
    fn versions_are_read_as_the_programs_print_them() {
        assert_eq!(major_version("postgres (PostgreSQL) 18.4\n"), Some(18));
        assert_eq!(major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(major_version(""), None);
    }
}
