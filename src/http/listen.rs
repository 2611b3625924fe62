//! Accepts connections and serves HTTP/1.1 on them until the process is asked to end. `axum::serve` has no bound on how many
//! there are, nor on how long one may take to say what it wants; both are needed before any key is looked at.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// Connections at a time; more wait in the system's queue. Each takes a file descriptor and some 20 KB.
const MAX_CONNECTIONS: usize = 4_096;
/// From the start of a connection, or from its last answer, to the end of a request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// After a failure to accept, which lies in the system (no file descriptor is left, say) and passes.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves until `stop`; requests that have begun by then are answered.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    raise_open_files();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = GracefulShutdown::new();
    while let Some((stream, place)) = stop.run_until_cancelled(accept(&listener, &places)).await {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // A client that goes away or sends no HTTP is nobody's error.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    connections.shutdown().await;
}

/// Many systems let a process open 1,024 files at first, and more if it asks.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Only a closed semaphore gives none, and this one is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and asked for one after the other.
                let _ = stream.set_nodelay(true);
                return (stream, place);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}
