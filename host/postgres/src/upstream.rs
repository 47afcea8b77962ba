//! The target's side of a session: connect, log in with the target's own secret, and the cancel that reaches it.

mod binding;
mod login;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use grille_net::{ClientTlsMode, dial};
use grille_pg_codec::encode;
use grille_pg_codec::startup::Version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsStream;

use self::login::Conversation;
use crate::io::{Socket, Wire};
use crate::route::{Login, Target};

/// Connecting and logging in, per address: longer than a failover's dead address, shorter than a caller's patience.
const PATIENCE: Duration = Duration::from_secs(10);
/// `cannot_connect_now`: the server starts or stops.
const NOT_NOW: &str = "57P03";

/// A connection to the target that is ready for queries.
pub(crate) struct Upstream {
    pub(crate) wire: Wire,
    /// What the server reported, in its order.
    pub(crate) parameters: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) cancel: CancelAddress,
}

/// What it takes to cancel what runs on an upstream connection.
#[derive(Clone)]
pub(crate) struct CancelAddress {
    /// As configured: TLS checks the certificate by it.
    address: String,
    /// The server itself: a name may stand for several, or for another one by now.
    server: SocketAddr,
    pub(crate) pid: i32,
    key: Vec<u8>,
}

#[cfg(feature = "fuzzing")]
impl CancelAddress {
    /// What reaches nobody.
    pub(crate) fn nowhere() -> Self {
        Self { address: String::new(), server: ([127, 0, 0, 1], 1).into(), pid: 0, key: Vec::new() }
    }
}

/// Why there is no connection to the target. `Display` is for the caller: it names the target, never its secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("target \"{target}\" cannot be reached at {address}")]
    Unreachable { target: String, address: String, source: io::Error },
    #[error("target \"{target}\" offers no TLS at {address}, which its configuration demands")]
    NoTls { target: String, address: String },
    #[error("the password for target \"{target}\" cannot be read")]
    NoSecret { target: String, reason: String },
    #[error("target \"{target}\" refused Grille's login: {message}")]
    Refused { target: String, sqlstate: String, message: String },
    #[error("target \"{target}\" asks for an authentication that Grille does not give: {method}")]
    Method { target: String, method: &'static str },
    #[error(
        "target \"{target}\" lets Grille in without asking for its password: let pg_hba.conf demand scram-sha-256, or \
         put \"none\" into require_auth of the login"
    )]
    Unasked { target: String },
    #[error(
        "target \"{target}\" offers no SCRAM that is bound to its certificate, which channel_binding = \"require\" demands"
    )]
    Unbound { target: String },
    #[error("target \"{target}\" does not speak PostgreSQL's protocol as it should: {what}")]
    Protocol { target: String, what: String },
}

/// Connects to the first address that answers.
pub(crate) async fn connect(
    target: &Target,
    login: &Login,
    parameters: &[(String, String)],
) -> Result<Upstream, LoginError> {
    let mut last = LoginError::Protocol { target: target.name.to_string(), what: "it has no address".to_owned() };
    for address in &target.addresses {
        let attempt = tokio::time::timeout(PATIENCE, connect_to(target, address, login, parameters));
        match attempt.await {
            Ok(Ok(upstream)) => return Ok(upstream),
            // Only an address that does not answer, or not yet, is worth trying another for.
            Ok(Err(error)) if error.is_of_this_address() => last = error,
            Ok(Err(error)) => return Err(error),
            Err(_) => last = unreachable(target, address, io::ErrorKind::TimedOut.into()),
        }
    }
    Err(last)
}

impl LoginError {
    fn is_of_this_address(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { sqlstate, .. } => sqlstate == NOT_NOW,
            _ => false,
        }
    }
}

async fn connect_to(
    target: &Target,
    address: &str,
    login: &Login,
    parameters: &[(String, String)],
) -> Result<Upstream, LoginError> {
    let socket = open(target, address, address).await?;
    let mut conversation = Conversation::new(target, address, socket);
    let mut startup: Vec<(&str, &str)> = vec![("user", &login.user), ("database", &target.database)];
    startup.extend(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    conversation.send(|out| encode::startup(out, Version::V3_0, startup)).await?;
    conversation.authenticate(login).await?;
    conversation.await_ready().await
}

/// TCP to `server`, and TLS by the name in `address` where the target's configuration says so.
async fn open(target: &Target, address: &str, server: &str) -> Result<Socket, LoginError> {
    let broke = |source| unreachable(target, address, source);
    let mut stream = dial(server, PATIENCE).await.map_err(broke)?;
    if target.tls.mode() == ClientTlsMode::Disable {
        return Ok(Socket::Plain(stream));
    }
    let mut request = BytesMut::new();
    encode::ssl_request(&mut request);
    stream.write_all(&request).await.map_err(broke)?;
    // Exactly one byte: anything behind it would be plaintext posing as TLS (CVE-2021-23222).
    let mut answer = [0];
    stream.read_exact(&mut answer).await.map_err(broke)?;
    if answer != *b"S" {
        return Err(LoginError::NoTls { target: target.name.to_string(), address: address.to_owned() });
    }
    match stream.try_read(&mut [0]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        _ => {
            let what = "bytes before the TLS handshake".to_owned();
            return Err(LoginError::Protocol { target: target.name.to_string(), what });
        }
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let stream = target.tls.connect(stream, host).await.map_err(broke)?;
    Ok(Socket::Tls(Box::new(TlsStream::Client(stream))))
}

fn unreachable(target: &Target, address: &str, source: io::Error) -> LoginError {
    LoginError::Unreachable { target: target.name.to_string(), address: address.to_owned(), source }
}

fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// Asks the target to stop what runs on a connection, and waits until it has taken notice: the answer is a close.
pub(crate) async fn cancel(target: &Target, cancel: &CancelAddress) -> io::Result<()> {
    let attempt = async {
        let socket = open(target, &cancel.address, &cancel.server.to_string()).await.map_err(io::Error::other)?;
        let mut wire = Wire::new(socket);
        wire.outbox.put(|out| encode::cancel_request(out, cancel.pid, &cancel.key)).map_err(io::Error::other)?;
        wire.flush().await?;
        wire.read().await.map(|_| ())
    };
    tokio::time::timeout(PATIENCE, attempt).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
