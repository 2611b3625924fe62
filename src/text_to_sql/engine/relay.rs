//! The wire to a user's server: connects to addresses that were judged, and hands the driver a private socket to it.
//!
//! The driver resolves host names by itself, so a name could lead elsewhere than when it was judged, and it reads a
//! message of any length into memory. Both end here: the relay connects to the addresses it is given and to nothing
//! else while the driver keeps the host name for TLS, and its [`Meter`] cuts the wire when one answer grows beyond
//! what is allowed. The price is one more copy of each byte on this machine, which is lost in the noise of a round trip
//! of 0.1 ms.

use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use uuid::Uuid;

use super::meter::Meter;

/// Where the driver connects to: the socket of the given name in this folder, for one connection, soon.
pub(super) struct Relay {
    pub(super) dir: PathBuf,
    pub(super) meter: Arc<Meter>,
}

/// Connects to the first of `addresses` that answers.
pub(super) async fn to_addresses(addresses: &[SocketAddr], name: &str) -> io::Result<Relay> {
    let remote = TcpStream::connect(addresses).await?;
    remote.set_nodelay(true)?;
    open(remote, name)
}

/// Connects to a server's socket.
pub(super) async fn to_socket(socket: &Path, name: &str) -> io::Result<Relay> {
    open(UnixStream::connect(socket).await?, name)
}

fn open(remote: impl AsyncRead + AsyncWrite + Send + 'static, name: &str) -> io::Result<Relay> {
    let dir = std::env::temp_dir().join(format!("almanac-{}", Uuid::now_v7().simple()));
    DirBuilder::new().mode(0o700).create(&dir)?;
    let private = PrivateDir(dir.clone());
    let listener = UnixListener::bind(dir.join(name))?;
    let meter = Arc::new(Meter::new());
    tokio::spawn(serve(listener, private, remote, Arc::clone(&meter)));
    Ok(Relay { dir, meter })
}

/// How long the driver may take to connect to a socket on this machine before the relay gives up on it.
const ACCEPT: std::time::Duration = std::time::Duration::from_secs(10);

async fn serve(
    listener: UnixListener,
    dir: PrivateDir,
    remote: impl AsyncRead + AsyncWrite + Send + 'static,
    meter: Arc<Meter>,
) {
    let accepted = tokio::time::timeout(ACCEPT, listener.accept()).await;
    drop(dir);
    if let Ok(Ok((driver, _))) = accepted {
        let (mut from_driver, to_driver) = driver.into_split();
        let (from_server, mut to_server) = split(remote);
        // Whichever side closes first ends both.
        tokio::select! {
            _ = copy(&mut from_driver, &mut to_server) => (),
            _ = metered(from_server, to_driver, &meter) => (),
        }
    }
}

pub(super) async fn metered(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    meter: &Meter,
) -> io::Result<()> {
    let mut buffer = vec![0; 32 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 || !meter.take(read) {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}

/// Gone, with the socket in it, as soon as the driver has connected or never will.
struct PrivateDir(PathBuf);

impl Drop for PrivateDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "could not remove a relay's folder");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::text_to_sql::engine::meter::MAX_ANSWER;

    async fn server_and_relay() -> (TcpStream, UnixStream, Relay) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = to_addresses(&[listener.local_addr().unwrap()], "socket").await.unwrap();
        let driver = UnixStream::connect(relay.dir.join("socket")).await.unwrap();
        (listener.accept().await.unwrap().0, driver, relay)
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_and_the_folder_is_gone() {
        let (mut server, mut driver, relay) = server_and_relay().await;
        driver.write_all(b"ping").await.unwrap();
        let mut word = [0; 4];
        server.read_exact(&mut word).await.unwrap();
        server.write_all(&word).await.unwrap();
        driver.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"ping");
        assert!(!relay.dir.exists());
    }

    #[tokio::test]
    async fn an_answer_beyond_the_meter_cuts_the_wire() {
        let (mut server, mut driver, relay) = server_and_relay().await;
        let flood = tokio::spawn(async move {
            let chunk = vec![0; 1 << 20];
            while server.write_all(&chunk).await.is_ok() {}
        });
        let arrived = copy(&mut driver, &mut tokio::io::sink()).await.unwrap();
        flood.await.unwrap();
        assert!(relay.meter.excess().is_some());
        assert!(arrived <= MAX_ANSWER as u64);
    }
}
