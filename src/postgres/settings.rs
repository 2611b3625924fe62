//! The server's settings. They are given on its command line, so that a data folder carries none of its own.

use std::fs;

/// Enough for the server's pool, the workers and a few people with `psql`; each costs memory.
const MAX_CONNECTIONS: u32 = 60;

const MEGABYTE: u64 = 1024 * 1024;

/// PostgreSQL advises a quarter of a machine of its own (manual, 20.4 "Resource Consumption"); this one is shared with
/// the embedding model and the page cache, which holds the rest of the data anyway.
const SHARED_BUFFERS: std::ops::RangeInclusive<u64> = 128 * MEGABYTE..=1024 * MEGABYTE;
const SHARED_BUFFERS_PART: u64 = 8;

/// An HNSW graph that outgrows this is built many times slower (pgvector's manual, "Index Build Time").
const MAINTENANCE_MEMORY_MB: u64 = 256;

/// `name=value` pairs for a server whose socket lies in `socket_dir`.
pub(super) fn settings(socket_dir: &str, port: u16, durable: bool) -> Vec<String> {
    let mut settings = vec![
        // Reached through the socket only, and that by its own user and root only.
        "listen_addresses=".to_owned(),
        format!("unix_socket_directories=\"{}\"", socket_dir.replace('"', "\"\"")),
        "unix_socket_permissions=0700".to_owned(),
        format!("port={port}"),
        format!("max_connections={MAX_CONNECTIONS}"),
        format!("shared_buffers={}MB", shared_buffers(memory()) / MEGABYTE),
        format!("maintenance_work_mem={MAINTENANCE_MEMORY_MB}MB"),
        // Compiling a statement takes longer than any of ours runs.
        "jit=off".to_owned(),
        // Nothing replicates from here, so the log holds what a crash needs and no more.
        "wal_level=minimal".to_owned(),
        "max_wal_senders=0".to_owned(),
        // The log is the file that our supervisor gives it.
        "logging_collector=off".to_owned(),
        "log_destination=stderr".to_owned(),
        "log_checkpoints=off".to_owned(),
        "cluster_name=almanac".to_owned(),
    ];
    if !durable {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
    }
    settings
}

fn shared_buffers(memory: u64) -> u64 {
    (memory / SHARED_BUFFERS_PART).clamp(*SHARED_BUFFERS.start(), *SHARED_BUFFERS.end())
}

/// The machine's memory, or the container's if it has less; 0 when nothing tells.
fn memory() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_total(&text)).unwrap_or(0);
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    container.map_or(machine, |limit: u64| limit.min(machine))
}

fn memory_total(meminfo: &str) -> Option<u64> {
    let kilobytes: u64 = meminfo.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_buffers_are_an_eighth_of_memory_within_bounds() {
        assert_eq!(shared_buffers(0), 128 * MEGABYTE);
        assert_eq!(shared_buffers(4096 * MEGABYTE), 512 * MEGABYTE);
        assert_eq!(shared_buffers(256 * 1024 * MEGABYTE), 1024 * MEGABYTE);
    }

    #[test]
    fn memory_is_read_from_the_first_line_of_meminfo() {
        assert_eq!(memory_total("MemTotal:       24567892 kB\nMemFree: 1 kB\n"), Some(24_567_892 * 1024));
        assert_eq!(memory_total("nonsense"), None);
    }

    #[test]
    fn the_disk_is_waited_for_unless_told_otherwise() {
        assert!(!settings("/run", 5432, true).iter().any(|setting| setting.starts_with("fsync")));
        assert!(settings("/run", 5432, false).contains(&"fsync=off".to_owned()));
    }
}
