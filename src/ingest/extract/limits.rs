//! The limits that a process puts on itself before it reads a byte of a file (setrlimit(2)), and the end of a process with
//! its descendants. Limits are lowered for good: an unprivileged process cannot raise a hard limit again.

#![expect(unsafe_code, reason = "setrlimit and kill have no safe wrapper in std")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use libc::{RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_NOFILE, rlimit};

/// Standard streams, and a few for what libraries open to learn about the machine (the number of processors).
const OPEN_FILES: u64 = 16;
/// What shells give a program that could not be started.
const NOT_STARTED: u8 = 127;

/// How much a process may use, and each of its descendants again. Core dumps are always forbidden.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Confinement {
    /// Address space
    pub memory_bytes: u64,
    /// Processor time
    pub cpu_seconds: u64,
    /// The longest file it may write
    pub file_bytes: u64,
    pub open_files: u64,
}

impl Confinement {
    /// For a process that writes no file.
    pub fn without_files(memory_bytes: u64, cpu_seconds: u64) -> Confinement {
        Confinement { memory_bytes, cpu_seconds, file_bytes: 0, open_files: OPEN_FILES }
    }

    /// As the arguments that [`clap::Args`] reads.
    pub fn arguments(&self) -> [String; 4] {
        [self.memory_bytes, self.cpu_seconds, self.file_bytes, self.open_files].map(|number| number.to_string())
    }
}

/// Limits this process.
pub fn apply(to: &Confinement) -> io::Result<()> {
    // A second between the soft limit, which ends the process by SIGXCPU (so that the parent knows why), and the hard one.
    lower(RLIMIT_CPU, to.cpu_seconds, to.cpu_seconds.saturating_add(1))?;
    lower(RLIMIT_AS, to.memory_bytes, to.memory_bytes)?;
    lower(RLIMIT_FSIZE, to.file_bytes, to.file_bytes)?;
    lower(RLIMIT_CORE, 0, 0)?;
    lower(RLIMIT_NOFILE, to.open_files, to.open_files)
}

fn lower(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> io::Result<()> {
    let limit = rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is a valid `rlimit` that lives through the call; the kernel reads it and keeps no pointer.
    match unsafe { libc::setrlimit(resource, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Limits this process and becomes `program` (the hidden command `confined`). Returns only when that failed.
pub fn exec(to: &Confinement, program: &str, arguments: &[String]) -> ExitCode {
    let error = match apply(to) {
        Ok(()) => Command::new(program).args(arguments).exec(),
        Err(error) => error,
    };
    eprintln!("{program}: {error}");
    ExitCode::from(NOT_STARTED)
}

/// A process that leads a group, and whose whole group is killed at the end: descendants that still run, too.
pub struct Group(pub Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let Some(leader) = self.0.and_then(|pid| libc::pid_t::try_from(pid).ok()).filter(|pid| *pid > 1) else {
            return;
        };
        // SAFETY: kill takes two integers and touches no memory. The group is that of a child of ours; its number is not
        // given to another while one of its processes lives.
        unsafe { libc::kill(-leader, libc::SIGKILL) };
    }
}
