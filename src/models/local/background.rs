//! Threads that give way to others.

#![expect(unsafe_code, reason = "the standard library has no call for a thread's priority")]

/// Of 19: what is left for background work where everybody else is busy, some tenth of a core (Linux, sched(7)).
const NICENESS: i32 = 10;

/// Lowers the priority of the calling thread. Where the system refuses, it stays as it was, which is slower for others and
/// wrong for nobody.
pub fn give_way() {
    // SAFETY: setpriority takes three numbers and touches no memory of ours. On Linux, 0 names the calling thread alone.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}
