//! The target's side of a session: connect, log in with the target's own secret, and the cancel that reaches it.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use grille_net::{ClientTlsMode, dial};
use grille_pg_codec::backend::{Authentication, BackendKeyData, Message, field};
use grille_pg_codec::encode::EncodeError;
use grille_pg_codec::startup::Version;
use grille_pg_codec::{encode, frame};
use postgres_protocol::authentication::{md5_hash, sasl};
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsStream;

use crate::io::{Socket, Wire};
use crate::route::{Login, Target};

/// Connecting and logging in, per address: longer than a failover's dead address, shorter than a caller's patience.
const PATIENCE: Duration = Duration::from_secs(10);
/// No message of a login is larger; ParameterStatus and SCRAM messages have some hundred bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// More SCRAM rounds would only burn our CPU: PostgreSQL's default is 4,096.
const SCRAM_ITERATIONS_MAX: u32 = 1_000_000;

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
    address: String,
    pid: i32,
    key: Vec<u8>,
}

#[cfg(feature = "fuzzing")]
impl CancelAddress {
    /// What reaches nobody.
    pub(crate) fn nowhere() -> Self {
        Self { address: "127.0.0.1:1".into(), pid: 0, key: Vec::new() }
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
            // Only an address that does not answer is worth trying another for.
            Ok(Err(error @ LoginError::Unreachable { .. })) => last = error,
            Ok(Err(error)) => return Err(error),
            Err(_) => last = unreachable(target, address, io::ErrorKind::TimedOut.into()),
        }
    }
    Err(last)
}

async fn connect_to(
    target: &Target,
    address: &str,
    login: &Login,
    parameters: &[(String, String)],
) -> Result<Upstream, LoginError> {
    let socket = open(target, address).await?;
    let mut conversation = Conversation { target, address, wire: Wire::new(socket) };
    let mut startup: Vec<(&str, &str)> = vec![("user", &login.user), ("database", &target.database)];
    startup.extend(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    conversation.send(|out| encode::startup(out, Version::V3_0, startup)).await?;
    conversation.authenticate(login).await?;
    conversation.await_ready().await
}

/// TCP, and TLS where the target's configuration says so.
async fn open(target: &Target, address: &str) -> Result<Socket, LoginError> {
    let broke = |source| unreachable(target, address, source);
    let mut stream = dial(address, PATIENCE).await.map_err(broke)?;
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

struct Conversation<'a> {
    target: &'a Target,
    address: &'a str,
    wire: Wire,
}

impl Conversation<'_> {
    async fn authenticate(&mut self, login: &Login) -> Result<(), LoginError> {
        let secret = (login.password)()
            .map_err(|reason| LoginError::NoSecret { target: self.target.name.to_string(), reason })?;
        let password = secret.expose_secret().as_bytes();
        loop {
            let body = self.expect(b'R').await?;
            match self.authentication(&body)? {
                Step::Done => return Ok(()),
                Step::Cleartext if self.target.tls.mode() == ClientTlsMode::Disable && !is_loopback(self.address) => {
                    return Err(self.method("a password in clear text without TLS"));
                }
                Step::Cleartext => {
                    let text = password.to_vec();
                    self.send(|out| encode::password(out, &text)).await?;
                }
                Step::Md5(salt) => {
                    let hash = md5_hash(login.user.as_bytes(), password, salt);
                    self.send(|out| encode::password(out, hash.as_bytes())).await?;
                }
                Step::Scram => self.scram(password).await?,
            }
        }
    }

    fn authentication(&self, body: &[u8]) -> Result<Step, LoginError> {
        match Authentication::from_body(body).map_err(|error| self.protocol(&error.to_string()))? {
            Authentication::Ok => Ok(Step::Done),
            Authentication::CleartextPassword => Ok(Step::Cleartext),
            Authentication::Md5Password { salt } => Ok(Step::Md5(salt)),
            Authentication::Sasl(mechanisms) if mechanisms.offers(sasl::SCRAM_SHA_256) => Ok(Step::Scram),
            Authentication::Sasl(_) => Err(self.method("a SASL mechanism other than SCRAM-SHA-256")),
            _ => Err(self.method("GSSAPI, SSPI or Kerberos")),
        }
    }

    /// RFC 5802 and 7677. The server's signature is verified: a server that does not know the password is no target.
    async fn scram(&mut self, password: &[u8]) -> Result<(), LoginError> {
        let mut scram = sasl::ScramSha256::new(password, sasl::ChannelBinding::unsupported());
        let first = scram.message().to_vec();
        self.send(|out| encode::sasl_initial(out, sasl::SCRAM_SHA_256, Some(&first))).await?;
        let body = self.expect(b'R').await?;
        let Ok(Authentication::SaslContinue(challenge)) = Authentication::from_body(&body) else {
            return Err(self.protocol("no SCRAM challenge"));
        };
        self.check_iterations(challenge)?;
        scram.update(challenge).map_err(|error| self.protocol(&error.to_string()))?;
        let proof = scram.message().to_vec();
        self.send(|out| encode::sasl_response(out, &proof)).await?;
        let body = self.expect(b'R').await?;
        let Ok(Authentication::SaslFinal(signature)) = Authentication::from_body(&body) else {
            return Err(self.protocol("no SCRAM signature"));
        };
        scram.finish(signature).map_err(|error| self.protocol(&error.to_string()))
    }

    fn check_iterations(&self, challenge: &[u8]) -> Result<(), LoginError> {
        let text = std::str::from_utf8(challenge).map_err(|_| self.protocol("a SCRAM challenge that is no text"))?;
        let count = text.split(',').find_map(|part| part.strip_prefix("i=")).and_then(|n| n.parse::<u32>().ok());
        match count {
            Some(count) if count <= SCRAM_ITERATIONS_MAX => Ok(()),
            _ => Err(self.protocol("a SCRAM challenge without a sane number of iterations")),
        }
    }

    /// Between AuthenticationOk and the first ReadyForQuery.
    async fn await_ready(mut self) -> Result<Upstream, LoginError> {
        let mut parameters = Vec::new();
        let mut key: Option<(i32, Vec<u8>)> = None;
        loop {
            let (tag, body) = self.next().await?;
            match Message::parse(tag, &body).map_err(|error| self.protocol(&error.to_string()))? {
                Message::ParameterStatus(status) => parameters.push((status.name.to_vec(), status.value.to_vec())),
                Message::BackendKeyData(BackendKeyData { pid, key: secret }) => key = Some((pid, secret.to_vec())),
                Message::ReadyForQuery(_) => break,
                Message::Notice(_) => {}
                _ => return Err(self.protocol("an unexpected message before it was ready")),
            }
        }
        let (pid, key) = key.unwrap_or_default();
        let cancel = CancelAddress { address: self.address.to_owned(), pid, key };
        Ok(Upstream { wire: self.wire, parameters, cancel })
    }

    async fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>) -> Result<(), LoginError> {
        self.wire.outbox.put(write).map_err(|error| self.protocol(&error.to_string()))?;
        self.wire.flush().await.map_err(|source| unreachable(self.target, self.address, source))
    }

    /// The body of the next message, which must be of this type; an error of the server's ends the login.
    async fn expect(&mut self, expected: u8) -> Result<BytesMut, LoginError> {
        loop {
            let (tag, body) = self.next().await?;
            if tag == expected {
                return Ok(body);
            }
            if tag != b'N' {
                return Err(self.protocol("an unexpected message during login"));
            }
        }
    }

    async fn next(&mut self) -> Result<(u8, BytesMut), LoginError> {
        loop {
            let head = frame::head(&self.wire.inbox).map_err(|error| self.protocol(&error.to_string()))?;
            if let Some(head) = head {
                let head = head.within(MESSAGE_BYTES_MAX).map_err(|error| self.protocol(&error.to_string()))?;
                if self.wire.inbox.len() >= head.len {
                    let mut message = self.wire.inbox.split_to(head.len);
                    let body = message.split_off(frame::HEADER_BYTES);
                    return if head.tag == b'E' { Err(self.refused(&body)) } else { Ok((head.tag, body)) };
                }
            }
            let read = self.wire.read().await.map_err(|source| unreachable(self.target, self.address, source))?;
            if read == 0 {
                return Err(unreachable(self.target, self.address, io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    fn refused(&self, body: &[u8]) -> LoginError {
        let Ok(Message::Error(report)) = Message::parse(b'E', body) else {
            return self.protocol("an error that cannot be read");
        };
        let text = |code| report.get(code).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
        LoginError::Refused {
            target: self.target.name.to_string(),
            sqlstate: text(field::SQLSTATE),
            message: text(field::MESSAGE),
        }
    }

    fn protocol(&self, what: &str) -> LoginError {
        LoginError::Protocol { target: self.target.name.to_string(), what: what.to_owned() }
    }

    fn method(&self, method: &'static str) -> LoginError {
        LoginError::Method { target: self.target.name.to_string(), method }
    }
}

enum Step {
    Done,
    Cleartext,
    Md5([u8; 4]),
    Scram,
}

fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// Asks the target to stop what runs on a connection, and waits until it has taken notice: the answer is a close.
pub(crate) async fn cancel(target: &Target, cancel: &CancelAddress) -> io::Result<()> {
    let attempt = async {
        let socket = open(target, &cancel.address).await.map_err(io::Error::other)?;
        let mut wire = Wire::new(socket);
        wire.outbox.put(|out| encode::cancel_request(out, cancel.pid, &cancel.key)).map_err(io::Error::other)?;
        wire.flush().await?;
        wire.read().await.map(|_| ())
    };
    tokio::time::timeout(PATIENCE, attempt).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
