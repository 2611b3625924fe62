//! A copy of this process for each piece of work (fork(2)): it costs a tenth of starting the program anew, and nothing
//! that goes wrong in a copy reaches the next one.

#![expect(unsafe_code, reason = "poll, fork and waitpid have no safe wrapper in std")]

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, exit};

use libc::{POLLIN, STDIN_FILENO, c_ulong, pid_t, pollfd};

/// Waits until there is something to read on standard input; false: its other end was closed.
pub fn has_input() -> io::Result<bool> {
    let mut stdin = pollfd { fd: STDIN_FILENO, events: POLLIN, revents: 0 };
    // SAFETY: `stdin` is one valid `pollfd` that lives through the call.
    match unsafe { libc::poll(&raw mut stdin, 1, -1) } {
        1 => Ok(stdin.revents & POLLIN != 0),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs `work` in a copy of this process, which must have one thread alone, and tells how the copy ended: by itself with
/// 0 when `work` gave true, else with 1. The copy is killed when this process ends first.
pub fn in_a_copy(work: impl FnOnce() -> bool) -> io::Result<ExitStatus> {
    let parent = std::process::id();
    // SAFETY: with one thread nobody else can hold a lock of the allocator or of std, so the copy may do anything; it
    // leaves by `exit` and never returns to the caller.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let done = end_with(parent) && work();
            exit(i32::from(!done))
        }
        copy => wait_for(copy),
    }
}

/// Asks to be killed with `parent`, whose one thread made this process. False: it is gone already.
fn end_with(parent: u32) -> bool {
    // SAFETY: prctl with this option takes a number and touches no memory.
    let asked = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong) };
    asked == 0 && std::os::unix::process::parent_id() == parent
}

fn wait_for(copy: pid_t) -> io::Result<ExitStatus> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is a valid integer that lives through the call; the copy is a child of ours that nobody else
        // waits for.
        if unsafe { libc::waitpid(copy, &raw mut status, 0) } == copy {
            return Ok(ExitStatus::from_raw(status));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
