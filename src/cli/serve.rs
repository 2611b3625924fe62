//! `almanac serve`: the server, until it is told to stop.

use std::{fs, process::ExitCode, time::Duration};

use anyhow::Context;
use secrecy::ExposeSecret;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

use super::table::line;
use crate::{
    app::{ADDRESS_FILE, App},
    config::Config,
    http::{self, listen},
    telemetry,
};

const GIVING_BACK: Duration = Duration::from_secs(5);

pub fn run(config: Config) -> anyhow::Result<ExitCode> {
    telemetry::start_logging(&config)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(config))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // Before anything starts, so that an early signal stops it all in order.
    let stopped = stop_signal()?;
    let patience = Duration::from_secs(config.shutdown_seconds);
    let listener = TcpListener::bind(config.bind).await.with_context(|| format!("cannot listen on {}", config.bind))?;
    let (app, first_key) = App::build(config, std::env::current_exe()?).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let address_file = app.config.data_dir.join(ADDRESS_FILE);
    fs::write(&address_file, &url).with_context(|| format!("{} cannot be written", address_file.display()))?;
    if let Some(key) = first_key {
        line(&format!("The first API key of this installation, shown once: {}", key.0.expose_secret()));
    }
    line(&format!("Almanac listens on {url} (API reference: {url}/docs)"));
    tracing::info!(url, version = env!("CARGO_PKG_VERSION"), "ready");

    let mut workers = tokio::spawn({
        let app = app.clone();
        async move { app.ingest().await }
    });
    let requests = tokio::spawn(listen::serve(listener, http::router(&app), app.stop.clone()));
    let upkeep = tokio::spawn(telemetry::upkeep(app.metrics.clone()));
    let sweeper = tokio::spawn({
        let app = app.clone();
        async move { tokio::join!(app.sweep_originals(), app.sweep_idempotency_keys()) }
    });
    let tending = tokio::spawn({
        let app = app.clone();
        async move { app.tend_hnsw().await }
    });
    let databases = tokio::spawn({
        let app = app.clone();
        async move { tokio::join!(app.sync_databases(), app.close_idle_databases(), app.tend_audit_logs()) }
    });
    stopped.await;
    tracing::info!("stopping: requests and documents in hand may finish");
    app.stop.cancel();
    upkeep.abort();
    sweeper.abort();
    tending.abort();
    databases.abort();
    let end_requests = requests.abort_handle();
    if tokio::time::timeout(patience, async { tokio::join!(requests, &mut workers) }).await.is_err() {
        tracing::warn!(seconds = patience.as_secs(), "what still ran is cut off; documents in hand are given back");
        end_requests.abort();
        app.cut.cancel();
        give_back(workers).await;
    }
    // Another server may serve this folder by now only if ours has let go of it, so the file is still ours.
    let _ = fs::remove_file(address_file);
    app.shut_down().await
}

/// Waits a moment for documents in hand to be given back; their leases run out anyway.
pub(super) async fn give_back(mut workers: JoinHandle<()>) {
    if workers.is_finished() {
        return;
    }
    if tokio::time::timeout(GIVING_BACK, &mut workers).await.is_err() {
        workers.abort();
    }
}

/// Resolves at Ctrl-C or a termination signal.
pub(super) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminations = signal(SignalKind::terminate()).context("cannot listen for a termination signal")?;
    Ok(async move {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
    })
}
