//! `almanac worker`: ingestion alone, beside a server and against the same PostgreSQL.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::{Context, ensure};
use tokio::net::TcpListener;

use super::{
    SettingArgs,
    serve::{give_back, stop_signal},
    table::line,
};
use crate::{
    app::App,
    config::Config,
    http::{self, listen},
    telemetry,
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: SettingArgs,
    /// Address and port for /healthz, /readyz and /metrics of this worker; none by default
    #[arg(long)]
    metrics: Option<SocketAddr>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = arguments.settings.load()?;
    telemetry::start_logging(&config)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work(config, arguments.metrics))?;
    Ok(ExitCode::SUCCESS)
}

async fn work(config: Config, metrics: Option<SocketAddr>) -> anyhow::Result<()> {
    let stopped = stop_signal()?;
    ensure!(config.ingest_workers > 0, "ingest_workers is 0: a worker needs at least one");
    let patience = Duration::from_secs(config.shutdown_seconds);
    let app = App::build_worker(config, std::env::current_exe()?).await?;
    if let Some(address) = metrics {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        tokio::spawn(listen::serve(listener, http::operations(&app), app.stop.clone()));
    }
    line(&format!("Almanac works off the queue, {} documents at a time", app.config.ingest_workers));
    let mut workers = tokio::spawn({
        let app = app.clone();
        async move { app.ingest().await }
    });
    let upkeep = tokio::spawn(telemetry::upkeep(app.metrics.clone()));
    stopped.await;
    tracing::info!("stopping: documents in hand may finish");
    app.stop.cancel();
    upkeep.abort();
    if tokio::time::timeout(patience, &mut workers).await.is_err() {
        tracing::warn!(seconds = patience.as_secs(), "documents in hand are given back");
        app.cut.cancel();
        give_back(workers).await;
    }
    app.shut_down().await
}
