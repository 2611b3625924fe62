//! `almanac postgres`: the embedded PostgreSQL alone, in the foreground, to look into it with `psql` while the server is
//! down. Stops it on Ctrl-C or a termination signal.

use std::{
    io::{self, Write},
    path::Path,
};

use anyhow::Context;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::postgres::{EmbeddedPostgres, Install, SUPERUSER};

/// Runs until told to stop, on the data folder `data` of the server, with the programs in `install` or the usual place.
pub fn run(install: Option<&Path>, data: &Path) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    // Listening before the start, so that an early Ctrl-C is kept and not lost.
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminations = signal(SignalKind::terminate()).context("cannot listen for a termination signal")?;
    let install = Install::find(install)?;
    let postgres = EmbeddedPostgres::start(&install, &data.join("postgres"))?;
    let url = postgres.url(SUPERUSER, "postgres");
    let psql = install.program("psql");
    writeln!(io::stdout(), "url     {url}\npsql    {} '{url}'\nCtrl-C stops it.", psql.display())?;
    runtime.block_on(async {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
    });
    Ok(postgres.stop()?)
}
