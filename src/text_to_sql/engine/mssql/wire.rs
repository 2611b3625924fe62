//! The wire to a user's SQL Server: connects to addresses that were judged, and hands the driver one end of a pipe.
//!
//! What passes is TDS (MS-TDS), which the driver speaks; three things it leaves to this file: encryption ([`Tls`]), the
//! reset of a session before its next use (a bit in the header of that use's first packet, 2.2.3.1.2), and the word to a
//! server that whoever asked has gone (the attention signal, 2.2.1.7). The [`Meter`] cuts the wire when one answer grows
//! beyond what is allowed. The price is one more copy of each byte in memory.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tls::{Encryption, Shell, Tls};
use crate::text_to_sql::engine::EngineError;
use crate::text_to_sql::engine::meter::Meter;
use crate::text_to_sql::engine::relay::metered;
use crate::text_to_sql::engine::sessions::CONNECT;

/// Every packet's header: type, status, length, process, number, window.
pub(super) const HEADER: usize = 8;
/// What a packet may be long before the server agrees to more.
pub(super) const PACKET: usize = 4096;
/// Types of packets.
const BATCH: u8 = 0x01;
const CALL: u8 = 0x03;
const ATTENTION: u8 = 0x06;
pub(super) const PRELOGIN: u8 = 0x12;
/// Bits of the status.
const END_OF_MESSAGE: u8 = 0x01;
const RESET_CONNECTION: u8 = 0x08;

/// Between us and the driver.
const PIPE: usize = 32 << 10;
/// For the word to a server that nobody listens any more; closing the connection says the same.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What we hold of a wire while the driver holds its end.
pub(super) struct Wire {
    pub(super) meter: Arc<Meter>,
    line: Arc<Line>,
}

#[derive(Default)]
struct Line {
    /// The next request begins with a reset of the session.
    reset: AtomicBool,
    /// The statement that runs is not wanted any more.
    stop: AtomicBool,
    /// Why the greeting failed, which the driver cannot know.
    failure: OnceLock<EngineError>,
}

impl Wire {
    /// Forgets, before the next request runs, all that the session was told and made.
    pub(super) fn reset_next(&self) {
        self.line.reset.store(true, Ordering::Release);
    }

    /// Once the driver lets go of its end, the server is told to stop before the connection closes.
    pub(super) fn stop(&self) {
        self.line.stop.store(true, Ordering::Release);
    }

    pub(super) fn failure(&self) -> Option<EngineError> {
        self.line.failure.get().cloned()
    }
}

/// Connects to the first of `addresses` that answers.
pub(super) async fn open(addresses: &[SocketAddr], host: &str, tls: &Tls) -> io::Result<(DuplexStream, Wire)> {
    let socket = TcpStream::connect(addresses).await?;
    socket.set_nodelay(true)?;
    let (driver, ours) = duplex(PIPE);
    let wire = Wire { meter: Arc::new(Meter::new()), line: Arc::default() };
    let greeting = Greeting { driver: ours, host: host.to_owned(), tls: tls.clone() };
    tokio::spawn(serve(greeting, socket, Arc::clone(&wire.meter), Arc::clone(&wire.line)));
    Ok((driver, wire))
}

async fn serve(mut greeting: Greeting, socket: TcpStream, meter: Arc<Meter>, line: Arc<Line>) {
    let greeted = timeout(CONNECT, greeting.through(socket)).await;
    match greeted.unwrap_or_else(|_| Err(EngineError::Unreachable("it did not answer in time".into()))) {
        Ok(server) => carry(greeting.driver, server, &meter, &line).await,
        Err(error) => line.failure.set(error).unwrap_or(()),
    }
}

async fn carry(driver: DuplexStream, server: Box<dyn Remote>, meter: &Meter, line: &Line) {
    let (mut from_driver, to_driver) = split(driver);
    let (from_server, mut to_server) = split(server);
    // Whichever side closes first ends both.
    tokio::select! {
        _ = requests(&mut from_driver, &mut to_server, &line.reset) => (),
        _ = metered(from_server, to_driver, meter) => (),
    }
    if line.stop.load(Ordering::Acquire) {
        let word = async {
            to_server.write_all(&header(ATTENTION, true, 0)).await?;
            to_server.flush().await
        };
        if !matches!(timeout(LAST_WORD, word).await, Ok(Ok(()))) {
            tracing::debug!("a statement could not be told to stop; its connection is closed, which ends it");
        }
    }
}

async fn requests(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    reset: &AtomicBool,
) -> io::Result<()> {
    let mut begins = true;
    while let Some(mut packet) = packet(from).await? {
        if begins && matches!(packet[0], BATCH | CALL) && reset.swap(false, Ordering::AcqRel) {
            packet[1] |= RESET_CONNECTION;
        }
        to.write_all(&packet).await?;
        begins = is_last(&packet);
        if begins {
            to.flush().await?;
        }
    }
    Ok(())
}

/// A server, with TLS or without.
trait Remote: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Remote for T {}

/// What happens before the driver and the server talk to each other alone.
struct Greeting {
    driver: DuplexStream,
    host: String,
    tls: Tls,
}

impl Greeting {
    async fn through(&mut self, mut socket: TcpStream) -> Result<Box<dyn Remote>, EngineError> {
        let tls = self.tls.clone();
        if tls.encryption == Encryption::Strict {
            let mut server =
                tls.handshake(&self.host, Shell::new(socket, false)).await.map_err(|error| no_tls(&error))?;
            self.first_message(&mut server).await?;
            return Ok(Box::new(server));
        }
        let agreed = self.first_message(&mut socket).await?;
        if agreed == Encryption::Off {
            return Ok(Box::new(socket));
        }
        let mut server = tls.handshake(&self.host, Shell::new(socket, true)).await.map_err(|error| no_tls(&error))?;
        server.get_mut().0.unwrap_packets();
        if agreed == Encryption::Login {
            let login = message(&mut self.driver).await.map_err(|error| no_answer(&error))?;
            server.write_all(&login).await.map_err(|error| no_answer(&error))?;
            server.flush().await.map_err(|error| no_answer(&error))?;
            return Ok(Box::new(server.into_inner().0.into_socket()));
        }
        Ok(Box::new(server))
    }

    /// The driver believes that nothing is encrypted; the server is asked for what the URL says.
    async fn first_message(
        &mut self,
        server: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> Result<Encryption, EngineError> {
        let mut asked = message(&mut self.driver).await.map_err(|error| no_answer(&error))?;
        let wish = match self.tls.encryption {
            Encryption::Login => ENCRYPT_OFF,
            Encryption::On | Encryption::Strict => ENCRYPT_ON,
            Encryption::Off => ENCRYPT_NOT_SUPPORTED,
        };
        *encryption(&mut asked).ok_or_else(foreign)? = wish;
        server.write_all(&asked).await.map_err(|error| no_answer(&error))?;
        server.flush().await.map_err(|error| no_answer(&error))?;
        let mut answer = message(server).await.map_err(|error| no_answer(&error))?;
        let agreed = agreed(self.tls.encryption, *encryption(&mut answer).ok_or_else(foreign)?)?;
        self.driver.write_all(&answer).await.map_err(|error| no_answer(&error))?;
        Ok(agreed)
    }
}

/// MS-TDS 2.2.6.5: what the option ENCRYPTION may say.
const ENCRYPT_OFF: u8 = 0;
const ENCRYPT_ON: u8 = 1;
const ENCRYPT_NOT_SUPPORTED: u8 = 2;
const ENCRYPT_REQUIRED: u8 = 3;

fn agreed(wished: Encryption, offered: u8) -> Result<Encryption, EngineError> {
    match (wished, offered) {
        (Encryption::Strict, _) => Ok(Encryption::Strict),
        (Encryption::On | Encryption::Login, ENCRYPT_ON | ENCRYPT_REQUIRED) => Ok(Encryption::On),
        (Encryption::Login, ENCRYPT_OFF) => Ok(Encryption::Login),
        (Encryption::Off, ENCRYPT_NOT_SUPPORTED) => Ok(Encryption::Off),
        (Encryption::Off, _) => {
            Err(EngineError::Unreachable("it insists on encryption, which the URL turns off".into()))
        }
        _ => Err(EngineError::Unreachable("it does not encrypt; encrypt=off in the URL does without".into())),
    }
}

/// Where a first message says what it wants to encrypt: a list of options, each a type, an offset and a length.
fn encryption(message: &mut [u8]) -> Option<&mut u8> {
    const OPTION: usize = 5;
    const ENCRYPTION: u8 = 1;
    let content = message.get_mut(HEADER..)?;
    let option =
        content.chunks_exact(OPTION).take_while(|option| option[0] != 0xff).find(|option| option[0] == ENCRYPTION)?;
    let at = usize::from(u16::from_be_bytes([option[1], option[2]]));
    content.get_mut(at)
}

/// First messages and logins are short; a server that goes on is none.
const MESSAGE: usize = 64 << 10;

/// All packets of one message.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let packet = packet(from).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let last = is_last(&packet);
        message.extend(packet);
        if last {
            return Ok(message);
        }
        if message.len() > MESSAGE {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// One packet with its header; nothing at the end of the stream.
async fn packet(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut packet = vec![0; HEADER];
    if from.read(&mut packet[..1]).await? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut packet[1..]).await?;
    let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    packet.resize(length.max(HEADER), 0);
    from.read_exact(&mut packet[HEADER..]).await?;
    Ok(Some(packet))
}

fn is_last(packet: &[u8]) -> bool {
    packet[1] & END_OF_MESSAGE != 0
}

/// Of a packet with this much content.
pub(super) fn header(kind: u8, last: bool, content: usize) -> [u8; HEADER] {
    let [high, low] = u16::try_from(HEADER + content).unwrap_or(u16::MAX).to_be_bytes();
    [kind, u8::from(last) * END_OF_MESSAGE, high, low, 0, 0, 1, 0]
}

fn no_answer(error: &io::Error) -> EngineError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => foreign(),
        kind => EngineError::Unreachable(kind.to_string()),
    }
}

fn foreign() -> EngineError {
    EngineError::Unreachable("it does not answer as SQL Server does".into())
}

fn no_tls(error: &io::Error) -> EngineError {
    EngineError::Unreachable(crate::text_to_sql::engine::shortened(&format!("TLS: {error}")))
}
