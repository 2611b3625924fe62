//! Packets and messages over a socket, in the clear or in TLS as the protocol wraps it.

use std::io::{self, Read, Write};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the server says about encryption; `Strict` is said by beginning with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Only the login.
    Off = 0,
    On = 1,
    NotSupported = 2,
    Required = 3,
    Strict = 4,
}

pub struct Message {
    pub kind: u8,
    /// Of its first packet.
    pub status: u8,
    pub content: Vec<u8>,
}

pub struct Connection {
    socket: TcpStream,
    tls: Option<ServerConnection>,
}

const HEADER: usize = 8;
const PACKET: usize = 4096;
const END: u8 = 0x01;
const ANSWER: u8 = 0x04;
const PRELOGIN: u8 = 0x12;

impl Connection {
    pub fn new(socket: TcpStream) -> Self {
        Self { socket, tls: None }
    }

    pub async fn message(&mut self) -> io::Result<Message> {
        let (kind, status, mut content) = self.packet().await?;
        let mut last = status & END != 0;
        while !last {
            let (next, status, more) = self.packet().await?;
            if next != kind || status & !END != 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            content.extend(more);
            last = status & END != 0;
        }
        Ok(Message { kind, status, content })
    }

    /// A whole answer.
    pub async fn answer(&mut self, content: impl AsRef<[u8]>) -> io::Result<()> {
        self.send(content.as_ref(), ANSWER, true).await
    }

    /// What more of the answer will follow.
    pub async fn part(&mut self, content: &[u8]) -> io::Result<()> {
        self.send(content, ANSWER, false).await
    }

    pub async fn write_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes).await
    }

    /// Something has come, or the client is gone.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.peek(&mut [0]).await.map(drop)
    }

    pub async fn skip(&mut self) -> io::Result<()> {
        self.read_exact(&mut [0]).await
    }

    /// TLS from the first byte.
    pub async fn begin_strict_tls(&mut self) -> io::Result<()> {
        let mut tls = server_connection(&[&rustls::version::TLS13]);
        while tls.is_handshaking() {
            self.socket.readable().await?;
            read_records(&mut self.socket, &mut tls).await?;
            write_records(&mut self.socket, &mut tls).await?;
        }
        assert_eq!(tls.alpn_protocol(), Some(&b"tds/8.0"[..]));
        self.tls = Some(tls);
        Ok(())
    }

    /// A handshake inside packets of the first message's type; what follows it is not.
    pub async fn begin_wrapped_tls(&mut self) -> io::Result<()> {
        let mut tls = server_connection(&[&rustls::version::TLS12, &rustls::version::TLS13]);
        while tls.is_handshaking() {
            let (kind, _, content) = self.packet().await?;
            assert_eq!(kind, PRELOGIN, "the handshake travels in packets of the first message's type");
            tls.read_tls(&mut content.as_slice())?;
            tls.process_new_packets().map_err(io::Error::other)?;
            let mut flight = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut flight)?;
            }
            if !flight.is_empty() {
                self.send(&flight, PRELOGIN, true).await?;
            }
        }
        assert_eq!(tls.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
        self.tls = Some(tls);
        Ok(())
    }

    pub fn end_tls(&mut self) {
        self.tls = None;
    }

    async fn packet(&mut self) -> io::Result<(u8, u8, Vec<u8>)> {
        let mut header = [0; HEADER];
        self.read_exact(&mut header).await?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if !(HEADER..=PACKET).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut content = vec![0; length - HEADER];
        self.read_exact(&mut content).await?;
        Ok((header[0], header[1], content))
    }

    async fn send(&mut self, content: &[u8], kind: u8, ends: bool) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(content.len() + HEADER);
        let packets = content.len().div_ceil(PACKET - HEADER);
        for (at, chunk) in content.chunks(PACKET - HEADER).enumerate() {
            let [high, low] = u16::try_from(HEADER + chunk.len()).expect("a packet is short").to_be_bytes();
            let last = u8::from(ends && at + 1 == packets);
            bytes.extend([kind, last, high, low, 0, 51, 1, 0]);
            bytes.extend(chunk);
        }
        self.write(&bytes).await
    }

    async fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.socket.read_exact(bytes).await.map(drop) };
        let mut filled = 0;
        while filled < bytes.len() {
            match tls.reader().read(&mut bytes[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    read_records(&mut self.socket, tls).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.socket.write_all(bytes).await };
        for chunk in bytes.chunks(16 << 10) {
            tls.writer().write_all(chunk)?;
            write_records(&mut self.socket, tls).await?;
        }
        Ok(())
    }
}

async fn read_records(socket: &mut TcpStream, tls: &mut ServerConnection) -> io::Result<()> {
    let mut bytes = [0; 4096];
    let read = socket.read(&mut bytes).await?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut rest = &bytes[..read];
    while !rest.is_empty() {
        tls.read_tls(&mut rest)?;
        tls.process_new_packets().map_err(io::Error::other)?;
    }
    Ok(())
}

async fn write_records(socket: &mut TcpStream, tls: &mut ServerConnection) -> io::Result<()> {
    let mut bytes = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut bytes)?;
    }
    socket.write_all(&bytes).await
}

fn server_connection(versions: &[&'static rustls::SupportedProtocolVersion]) -> ServerConnection {
    let der = |text: &str| BASE64_STANDARD.decode(text).expect("base64");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der(KEY)));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions");
    let certificates = vec![CertificateDer::from(der(CERTIFICATE))];
    let mut config = builder.with_no_client_auth().with_single_cert(certificates, key).expect("a certificate");
    config.alpn_protocols = vec![b"tds/8.0".to_vec()];
    ServerConnection::new(Arc::new(config)).expect("a connection")
}

/// Of nobody: made for this file, signed by itself, for db.example and 127.0.0.1.
const CERTIFICATE: &str = "\
    MIIBnjCCAUSgAwIBAgIUJgGc0tu+uTWkPF/s0EX8Kep8UqEwCgYIKoZIzj0EAwIwFTETMBEGA1UEAwwKZGIuZXhhbXBsZTAgFw0y\
    NjExMjAyMjUwMzNaGA8yMTI2MTAyNzIyNTAzM1owFTETMBEGA1UEAwwKZGIuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEH\
    A0IABPh/z7xobrWT/XjFMCNhDRd4BNa7w6oIwC7sx+z7G6ZMrOrriuInmKDMzXyybJogWvES3haQgdrNFtVJ1vC3gM6jcDBuMB0G\
    A1UdDgQWBBRtoHex9laGlYZUaWFuy+CQpbF2sTAfBgNVHSMEGDAWgBRtoHex9laGlYZUaWFuy+CQpbF2sTAPBgNVHRMBAf8EBTAD\
    AQH/MBsGA1UdEQQUMBKCCmRiLmV4YW1wbGWHBH8AAAEwCgYIKoZIzj0EAwIDSAAwRQIhALR8EbB5vs4/NyHlm64jjliErfWTGub2\
    IkufEaqgY0TPAiBbI1mGRzfJ99kBqB03edy83uyAtO0cPsmI88GnyqpyEA==";
const KEY: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgRfx0T0euZfKKpY50oIsbAZV0275MkMyoeOErvWZO+C2hRANCAAT4\
    f8+8aG61k/14xTAjYQ0XeATWu8OqCMAu7Mfs+xumTKzq64riJ5igzM18smyaIFrxEt4WkIHazRbVSdbwt4DO";
