//! Looking at processes and ending them. A process is judged by its program and its folder, never by its number alone:
//! numbers are used again.

#![expect(unsafe_code, reason = "signals and PR_SET_PDEATHSIG have no safe face in the standard library")]

use std::{fs, io, os::unix::process::CommandExt, path::Path, process::Command};

pub(super) use libc::{SIGINT, SIGKILL, SIGQUIT, pid_t as Pid};

/// Whether `pid` is a PostgreSQL process that works in `data`; every one of a cluster's does. A zombie is none.
pub(super) fn is_postgres_in(pid: Pid, data: &Path) -> bool {
    let link = |name| fs::read_link(format!("/proc/{pid}/{name}")).ok();
    link("cwd").is_some_and(|folder| folder == data)
        // An exchanged program reads `postgres (deleted)`.
        && link("exe").and_then(|path| Some(path.file_name()?.to_str()?.starts_with("postgres"))).unwrap_or(false)
}

/// Every PostgreSQL process that works in `data`.
pub(super) fn postgres_in(data: &Path) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| is_postgres_in(pid, data)).collect()
}

/// Sends a signal; a process that is already gone is no error.
pub(super) fn signal(pid: Pid, signal: libc::c_int) {
    // SAFETY: kill takes two integers and touches no memory. `pid` comes from `is_postgres_in` or from a child that
    // was not waited for, so it is neither 0 nor negative, which would mean a group.
    unsafe { libc::kill(pid, signal) };
}

/// Has the kernel send `signal` to the command's process when the thread that spawns it ends.
pub(super) fn die_with_parent(command: &mut Command, signal: libc::c_int) {
    let parent = std::process::id();
    let bind = move || {
        // SAFETY: prctl with PR_SET_PDEATHSIG and getppid take and return integers.
        let (bound, current) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, signal), libc::getppid()) };
        match bound {
            -1 => Err(io::Error::last_os_error()),
            // The parent died before the binding: nobody would send the signal any more.
            _ if current.cast_unsigned() != parent => Err(io::Error::from_raw_os_error(libc::ESRCH)),
            _ => Ok(()),
        }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; the closure makes two system calls and
    // allocates nothing. It runs after the change of user, which would clear the binding.
    unsafe { command.pre_exec(bind) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_process_that_is_not_postgres_is_not_taken_for_one() {
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        let own = Pid::try_from(std::process::id()).unwrap();
        assert!(!is_postgres_in(own, &here));
        assert!(!postgres_in(&here).contains(&own));
    }
}
