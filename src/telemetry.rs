//! Logs to standard error and the metrics registry behind `GET /metrics`.

use std::io::{self, IsTerminal};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Config, LogFormat};

/// Seconds: from a cached search to the longest ingestion.
const DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Starts logging as `config` asks; once a process.
pub fn start_logging(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log)?;
    let logging = fmt().with_env_filter(filter).with_ansi(io::stderr().is_terminal()).with_writer(io::stderr);
    match config.log_format {
        LogFormat::Text => logging.try_init(),
        LogFormat::Json => logging.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow::anyhow!(error))
}

/// The process-wide metrics registry; the same one however often it is asked for.
pub fn metrics() -> PrometheusHandle {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    HANDLE.get_or_init(install_metrics).clone()
}

/// Keeps what has been measured small between two looks at it; runs until it is aborted.
pub async fn upkeep(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        metrics.run_upkeep();
    }
}

fn install_metrics() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), DURATION_BUCKETS)
        .expect("the bucket list is not empty")
        .build_recorder();
    let handle = recorder.handle();
    // Only fails when another recorder is installed, which nothing else in this process does.
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed: /metrics stays empty");
    }
    handle
}
