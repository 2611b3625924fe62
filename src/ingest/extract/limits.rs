//! The limits that the worker process puts on itself before it reads a byte of a file (setrlimit(2)). They are lowered
//! for good: an unprivileged process cannot raise a hard limit again, and the process ends with its one file.

#![expect(unsafe_code, reason = "setrlimit has no safe wrapper in std")]

use std::io;

use libc::{RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_NOFILE, rlimit};

/// Standard streams, and a few for what libraries open to learn about the machine (the number of processors).
const OPEN_FILES: u64 = 16;

/// Limits this process to so much address space and processor time, and forbids files and core dumps.
pub fn apply(memory_bytes: u64, cpu_seconds: u64) -> io::Result<()> {
    // A second between the soft limit, which ends the process by SIGXCPU (so that the parent knows why), and the hard one.
    lower(RLIMIT_CPU, cpu_seconds, cpu_seconds + 1)?;
    lower(RLIMIT_AS, memory_bytes, memory_bytes)?;
    lower(RLIMIT_FSIZE, 0, 0)?;
    lower(RLIMIT_CORE, 0, 0)?;
    lower(RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)
}

fn lower(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> io::Result<()> {
    let limit = rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is a valid `rlimit` that lives through the call; the kernel reads it and keeps no pointer.
    match unsafe { libc::setrlimit(resource, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
