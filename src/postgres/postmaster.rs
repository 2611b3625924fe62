//! One running server: its first process, and the file in which that process says how it is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use super::{
    PostgresError,
    account::Account,
    process::{self, Pid, SIGINT, SIGKILL, SIGQUIT},
};

/// How a server is asked to stop, ever less politely (manual, 18.5 "Shutting Down the Server"): a fast shutdown ends
/// connections and writes a checkpoint; an immediate one leaves the recovery to the next start; a kill likewise.
const STOPPING: [(libc::c_int, Duration); 3] =
    [(SIGINT, Duration::from_secs(20)), (SIGQUIT, Duration::from_secs(5)), (SIGKILL, Duration::from_secs(2))];

const POLL_INTERVAL: Duration = Duration::from_millis(5);

pub(super) enum Postmaster {
    /// Started by us: dies with us, and is ours to wait for.
    Child(Child),
    /// Left over from an owner before us.
    Adopted { pid: Pid, data: PathBuf, account: Account },
}

impl Postmaster {
    pub(super) fn pid(&self) -> Pid {
        match self {
            Postmaster::Child(child) => child.id().cast_signed(),
            Postmaster::Adopted { pid, .. } => *pid,
        }
    }

    pub(super) fn has_exited(&mut self) -> bool {
        match self {
            // Waiting fails only for what is no child of ours any more.
            Postmaster::Child(child) => child.try_wait().map_or(true, |status| status.is_some()),
            Postmaster::Adopted { pid, data, account } => !account.look(|| process::is_postgres_in(*pid, data)),
        }
    }

    pub(super) fn stop(&mut self) -> Result<(), PostgresError> {
        STOPPING.iter().find(|(signal, limit)| self.has_stopped(*signal, *limit)).map_or(
            Err(PostgresError::Stop { pid: self.pid() }),
            |(signal, _)| {
                tracing::debug!(signal, "the embedded PostgreSQL has stopped");
                Ok(())
            },
        )
    }

    fn has_stopped(&mut self, signal: libc::c_int, limit: Duration) -> bool {
        let began = Instant::now();
        if !self.has_exited() {
            process::signal(self.pid(), signal);
        }
        while !self.has_exited() {
            if began.elapsed() > limit {
                return false;
            }
            thread::sleep(POLL_INTERVAL);
        }
        true
    }
}

/// What `postmaster.pid` says (`src/include/utils/pidfile.h` of PostgreSQL numbers its lines).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: Pid,
    pub(super) socket_dir: String,
    pub(super) is_ready: bool,
}

impl PidFile {
    pub(super) fn read(data: &Path) -> Option<PidFile> {
        PidFile::parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }

    fn parse(text: &str) -> Option<PidFile> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        Some(PidFile {
            // A server without a postmaster (`postgres --single`) writes its number with a minus.
            pid: lines.first()?.parse::<Pid>().ok()?.checked_abs()?,
            socket_dir: lines.get(4).copied().unwrap_or_default().to_owned(),
            is_ready: lines.get(7) == Some(&"ready"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_ready_only_when_its_eighth_line_says_so() {
        let starting = "4711\n/srv/data\n1700000000\n5432\n/srv/run\n\n  1 2\nstarting\n";
        let expected = PidFile { pid: 4711, socket_dir: "/srv/run".into(), is_ready: false };
        assert_eq!(PidFile::parse(starting), Some(expected.clone()));
        let ready = starting.replace("starting", "ready   ");
        assert_eq!(PidFile::parse(&ready), Some(PidFile { is_ready: true, ..expected }));
    }

    #[test]
    fn a_pid_file_in_the_middle_of_being_written_is_not_ready() {
        assert_eq!(PidFile::parse(""), None);
        assert_eq!(PidFile::parse("47").map(|file| file.is_ready), Some(false));
        assert_eq!(PidFile::parse("-47\n/srv/data\n").map(|file| file.pid), Some(47));
    }
}
