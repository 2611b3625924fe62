//! Encryption as SQL Server does it (MS-TDS 2.2.6.5, 3.2.5.1).
//!
//! With `strict` (TDS 8.0) the connection begins with TLS. With `on` and `login` the handshake comes after the first
//! message and travels inside packets of that message's type ([`Shell`]), in TLS 1.2, which is all that these allow;
//! `login` leaves TLS again once the login is sent. Certificates are checked against the system's roots and Mozilla's,
//! unless the URL says to trust whatever the server shows. The driver's own TLS would bring a second crypto library.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::wire::{HEADER, PACKET, PRELOGIN, header};

/// How much of a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    /// All of it, from the first byte.
    Strict,
    /// All of it, after the first message.
    On,
    /// The login, with the password.
    Login,
    /// Nothing, not even the password.
    Off,
}

/// What a URL says about encryption.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) encryption: Encryption,
    /// Any certificate will do.
    trusted: bool,
    /// Where it is another than the host's.
    certificate_name: Option<String>,
}

impl Tls {
    pub(super) fn new(encryption: Encryption, trusted: bool, certificate_name: Option<String>) -> Self {
        Self { encryption, trusted, certificate_name }
    }

    /// The handshake; the server's certificate must be `host`'s, or that of the name in the URL.
    pub(super) async fn handshake(&self, host: &str, server: Shell) -> io::Result<TlsStream<Shell>> {
        let name = self.certificate_name.as_deref().unwrap_or(host.trim_matches(['[', ']'])).to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let config = self.client_config().map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(config)).connect(name, server).await
    }

    fn client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = match self.encryption {
            Encryption::Strict => builder.with_safe_default_protocol_versions()?,
            _ => builder.with_protocol_versions(&[&rustls::version::TLS12])?,
        };
        let verifier: Arc<dyn ServerCertVerifier> = match self.trusted {
            true => Arc::new(AnyCertificate(provider)),
            false => WebPkiServerVerifier::builder_with_provider(Arc::new(roots()), provider)
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?,
        };
        let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        if self.encryption == Encryption::Strict {
            config.alpn_protocols.push(b"tds/8.0".to_vec());
        }
        Ok(config)
    }
}

/// An operator's own authority is one of the system's; a container without any still knows the public ones.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// For `trust_server_certificate`: who the server is stays open, that it holds its certificate's key does not.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The socket, with what passes in packets of the first message's type until the handshake is over.
pub(super) struct Shell {
    socket: TcpStream,
    wrapped: bool,
    /// Of the packet that is being read: its header so far, and what is left of its content.
    head: [u8; HEADER],
    head_read: usize,
    content_left: usize,
    /// A flight of the handshake on its way out.
    outgoing: Vec<u8>,
    sent: usize,
}

impl Shell {
    pub(super) fn new(socket: TcpStream, wrapped: bool) -> Self {
        Self { socket, wrapped, head: [0; HEADER], head_read: 0, content_left: 0, outgoing: Vec::new(), sent: 0 }
    }

    /// From now on, TLS has the socket for itself.
    pub(super) fn unwrap_packets(&mut self) {
        self.wrapped = false;
    }

    pub(super) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// The header of the next packet, which says how much content follows.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.head_read < HEADER {
            let mut buffer = ReadBuf::new(&mut self.head[self.head_read..]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
            match buffer.filled().len() {
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                read => self.head_read += read,
            }
        }
        self.head_read = 0;
        self.content_left = usize::from(u16::from_be_bytes([self.head[2], self.head[3]])).saturating_sub(HEADER);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Shell {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.wrapped {
            return Pin::new(&mut self.socket).poll_read(cx, buffer);
        }
        while self.content_left == 0 {
            ready!(self.poll_head(cx))?;
        }
        let room = self.content_left.min(buffer.remaining());
        let mut content = ReadBuf::new(&mut buffer.initialize_unfilled()[..room]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut content))?;
        let read = content.filled().len();
        self.content_left -= read;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Shell {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.wrapped {
            return Pin::new(&mut self.socket).poll_write(cx, bytes);
        }
        let content = &bytes[..bytes.len().min(PACKET - HEADER)];
        self.outgoing.extend(header(PRELOGIN, true, content.len()));
        self.outgoing.extend(content);
        Poll::Ready(Ok(content.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.outgoing.len() {
            let Self { socket, outgoing, sent, .. } = &mut *self;
            *sent += ready!(Pin::new(socket).poll_write(cx, &outgoing[*sent..]))?;
        }
        (self.outgoing, self.sent) = (Vec::new(), 0);
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
