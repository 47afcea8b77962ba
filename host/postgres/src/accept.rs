//! The first bytes of a connection: SSLRequest, GSSENCRequest, CancelRequest, TLS, and the startup packet.
//!
//! Everything here is read to the exact byte. Whatever follows an SSLRequest before our answer was not sent under TLS
//! and must never be taken for it (CVE-2021-23214), so the connection is closed then.

use std::io;
use std::sync::Arc;

use grille_net::{ServerTls, describe};
use grille_pg_codec::startup::{First, StartupError, Version, first_packet};
use grille_policy::Fault;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::io::{Socket, Wire};
use crate::respond::{Answer, sqlstate};

/// The protocol that ALPN must name when TLS comes without an SSLRequest (PostgreSQL 17).
pub const ALPN: &[u8] = b"postgresql";

/// What a new connection wants.
pub(crate) enum Arrival {
    /// To stop what another connection runs.
    Cancel { pid: i32, secret: Vec<u8>, wire: Box<Wire> },
    /// To open a session.
    Startup(Box<Hello>),
}

/// A connection that sent its startup packet.
pub(crate) struct Hello {
    pub(crate) wire: Wire,
    pub(crate) version: Version,
    /// In the caller's order; names are unique.
    pub(crate) parameters: Vec<(String, String)>,
    /// Version and cipher of the caller's TLS.
    pub(crate) tls: Option<Arc<str>>,
}

impl Hello {
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The database that is asked for, which defaults to the user, or nothing.
    pub(crate) fn database(&self) -> &str {
        let named = self.parameter("database").filter(|database| !database.is_empty());
        named.or_else(|| self.parameter("user")).unwrap_or_default()
    }
}

/// A connection that gets no further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Rejected {
    /// Said to the caller, then closed.
    #[error("{}", .0.message)]
    Told(Answer, Option<Box<Wire>>),
    /// Closed without a word: the other end speaks another protocol, or is gone.
    #[error("{0}")]
    Silent(&'static str),
    #[error("the connection broke")]
    Io(#[from] io::Error),
}

impl Rejected {
    pub(crate) fn told(answer: Answer, wire: Wire) -> Self {
        Self::Told(answer, Some(Box::new(wire)))
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

pub(crate) async fn accept(mut stream: TcpStream, tls: Option<&ServerTls>) -> Result<Arrival, Rejected> {
    // Each may come once, in either order: so this goes round three times at most.
    let (mut has_asked_tls, mut has_asked_gss) = (false, false);
    loop {
        let mut peeked = [0];
        if stream.peek(&mut peeked).await? == 0 {
            return Err(Rejected::Silent("closed before the first byte"));
        }
        if matches!(first_packet(&peeked), Ok(Some((First::DirectTls, _)))) {
            return match tls {
                Some(tls) if !has_asked_gss => over_tls(stream, tls, true).await,
                Some(_) => Err(Rejected::Silent("TLS after another question")),
                None => Err(Rejected::Silent("TLS where none is configured")),
            };
        }
        let packet = read_packet(&mut stream).await?;
        let first = match first_packet(&packet) {
            Ok(Some((first, _))) => first,
            Ok(None) => return Err(Rejected::Silent("an incomplete first packet")),
            Err(error) => return Err(told(&error, stream)),
        };
        match first {
            First::Ssl if !has_asked_tls => {
                has_asked_tls = true;
                if has_more(&stream)? {
                    return Err(Rejected::Silent("bytes between SSLRequest and its answer"));
                }
                if let Some(tls) = tls {
                    stream.write_all(b"S").await?;
                    return over_tls(stream, tls, false).await;
                }
                stream.write_all(b"N").await?;
            }
            First::GssEncryption if !has_asked_gss => {
                has_asked_gss = true;
                if has_more(&stream)? {
                    return Err(Rejected::Silent("bytes between GSSENCRequest and its answer"));
                }
                stream.write_all(b"N").await?;
            }
            First::Ssl | First::GssEncryption => {
                return Err(Rejected::Silent("SSLRequest or GSSENCRequest twice"));
            }
            First::Cancel(cancel) => {
                let (pid, secret) = (cancel.pid, cancel.key.to_vec());
                let wire = Box::new(Wire::new(Socket::Plain(stream)));
                return Ok(Arrival::Cancel { pid, secret, wire });
            }
            First::Startup(_) if tls.is_some() => {
                let answer = Answer::new(
                    sqlstate::NO_ROLE,
                    Fault::Caller,
                    "this listener takes connections over TLS only: connect with sslmode=verify-full",
                );
                return Err(Rejected::told(answer, Wire::new(Socket::Plain(stream))));
            }
            First::Startup(startup) => {
                let (version, parameters) = (startup.version, owned(&startup.params));
                let wire = Wire::new(Socket::Plain(stream));
                return Ok(Arrival::Startup(Box::new(Hello { wire, version, parameters, tls: None })));
            }
            First::DirectTls => return Err(Rejected::Silent("TLS where a packet was expected")),
        }
    }
}

async fn over_tls(stream: TcpStream, tls: &ServerTls, is_direct: bool) -> Result<Arrival, Rejected> {
    let mut stream = tls.accept(stream).await?;
    let connection = &stream.get_ref().1;
    if is_direct && connection.alpn_protocol() != Some(ALPN) {
        return Err(Rejected::Silent("direct TLS without ALPN `postgresql`"));
    }
    let facts = describe(connection);
    let packet = read_packet(&mut stream).await?;
    let wire = |stream| Wire::new(Socket::Tls(Box::new(TlsStream::Server(stream))));
    match first_packet(&packet) {
        Ok(Some((First::Startup(startup), _))) => {
            let (version, parameters) = (startup.version, owned(&startup.params));
            Ok(Arrival::Startup(Box::new(Hello { wire: wire(stream), version, parameters, tls: Some(facts) })))
        }
        Ok(Some((First::Cancel(cancel), _))) => {
            let (pid, secret) = (cancel.pid, cancel.key.to_vec());
            Ok(Arrival::Cancel { pid, secret, wire: Box::new(wire(stream)) })
        }
        Ok(_) => Err(Rejected::Silent("no startup packet under TLS")),
        Err(error) => {
            let answer = Answer::malformed(error.to_string());
            Err(Rejected::told(answer, wire(stream)))
        }
    }
}

/// Exactly one packet: its length word is checked before anything else is waited for.
async fn read_packet<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, Rejected> {
    let mut packet = vec![0; 4];
    stream.read_exact(&mut packet).await?;
    if let Err(error) = first_packet(&packet) {
        return Err(match error {
            StartupError::Length { .. } => Rejected::Silent("a first packet of impossible length"),
            other => Rejected::Told(Answer::malformed(other.to_string()), None),
        });
    }
    let length = packet.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    // `first_packet` bounds the length to 10,000 bytes.
    packet.resize(length, 0);
    if let Some(rest) = packet.get_mut(4..) {
        stream.read_exact(rest).await?;
    }
    Ok(packet)
}

fn has_more(stream: &TcpStream) -> io::Result<bool> {
    match stream.try_read(&mut [0]) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

fn told(error: &StartupError, stream: TcpStream) -> Rejected {
    Rejected::told(Answer::malformed(error.to_string()), Wire::new(Socket::Plain(stream)))
}

fn owned(parameters: &[(&str, &str)]) -> Vec<(String, String)> {
    parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
