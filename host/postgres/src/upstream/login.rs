//! The login itself: what the target asks is answered only if the login's configuration lets it ask for that, and the
//! target proves that it knows the password wherever the method has such a proof.

use std::io;

use bytes::BytesMut;
use grille_net::ClientTlsMode;
use grille_pg_codec::backend::{Authentication, BackendKeyData, Mechanisms, Message, field};
use grille_pg_codec::encode::EncodeError;
use grille_pg_codec::{encode, frame};
use postgres_protocol::authentication::{md5_hash, sasl};
use secrecy::{ExposeSecret, SecretString};

use super::{CancelAddress, LoginError, Upstream, binding, is_loopback, unreachable};
use crate::io::{Socket, Wire};
use crate::route::{Login, Target};

/// No message of a login is larger; ParameterStatus and SCRAM messages have some hundred bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// What a server reports of itself are some fifteen parameters and now and then a notice.
const GREETING_MAX: usize = 1_000;
/// More SCRAM rounds would only burn our CPU: PostgreSQL's default is 4,096. postgres-protocol has the same bound.
const SCRAM_ITERATIONS_MAX: u32 = 100_000;

pub(super) struct Conversation<'a> {
    target: &'a Target,
    address: &'a str,
    wire: Wire,
}

/// What the target asks for.
enum Step {
    Nothing,
    Cleartext,
    Md5([u8; 4]),
    Scram(Scram),
}

/// A SCRAM mechanism, and what it says about channel binding.
struct Scram {
    mechanism: &'static str,
    binding: sasl::ChannelBinding,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(target: &'a Target, address: &'a str, socket: Socket) -> Self {
        Self { target, address, wire: Wire::new(socket) }
    }

    /// One question, one answer, and then AuthenticationOk: a server that goes on asking collects secrets.
    pub(super) async fn authenticate(&mut self, login: &Login) -> Result<(), LoginError> {
        let body = self.expect(b'R').await?;
        let step = self.step(&body)?;
        self.check_allowed(login, &step)?;
        if matches!(step, Step::Nothing) {
            return Ok(());
        }
        let secret = self.secret(login)?;
        let password = secret.expose_secret().as_bytes();
        match step {
            Step::Nothing => {}
            Step::Cleartext => self.send(|out| encode::password(out, password)).await?,
            Step::Md5(salt) => {
                let hash = md5_hash(login.user.as_bytes(), password, salt);
                self.send(|out| encode::password(out, hash.as_bytes())).await?;
            }
            Step::Scram(scram) => self.scram(scram, password).await?,
        }
        let body = self.expect(b'R').await?;
        match Authentication::from_body(&body) {
            Ok(Authentication::Ok) => Ok(()),
            _ => Err(self.protocol("another question after the login's answer")),
        }
    }

    fn step(&self, body: &[u8]) -> Result<Step, LoginError> {
        match Authentication::from_body(body).map_err(|error| self.protocol(&error.to_string()))? {
            Authentication::Ok => Ok(Step::Nothing),
            Authentication::CleartextPassword => Ok(Step::Cleartext),
            Authentication::Md5Password { salt } => Ok(Step::Md5(salt)),
            Authentication::Sasl(mechanisms) => self.choose(mechanisms).map(Step::Scram),
            _ => Err(self.method("GSSAPI, SSPI or Kerberos")),
        }
    }

    /// The strongest mechanism that both know. RFC 5802, section 6: `p` binds; `y` says that we could and believe that
    /// the server cannot, so a server that can knows that somebody took its offer away; `n` says that we cannot.
    fn choose(&self, offered: Mechanisms<'_>) -> Result<Scram, LoginError> {
        let binds = offered.offers(sasl::SCRAM_SHA_256_PLUS);
        if binds && !self.wire.socket.is_tls() {
            return Err(self.protocol("SCRAM-SHA-256-PLUS outside TLS"));
        }
        let end_point = self.wire.socket.peer_certificate().and_then(binding::end_point);
        let (mechanism, binding) = match end_point {
            Some(hash) if binds => (sasl::SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(hash)),
            Some(_) => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unrequested()),
            None => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
        };
        if !offered.offers(mechanism) {
            return Err(self.method("a SASL mechanism other than SCRAM-SHA-256"));
        }
        Ok(Scram { mechanism, binding })
    }

    /// Before any secret is read, let alone sent.
    fn check_allowed(&self, login: &Login, step: &Step) -> Result<(), LoginError> {
        let target = self.target.name.to_string();
        let accepts = login.accepts;
        if login.must_bind && !matches!(step, Step::Scram(scram) if scram.mechanism == sasl::SCRAM_SHA_256_PLUS) {
            return Err(LoginError::Unbound { target });
        }
        match step {
            Step::Nothing if !accepts.nothing => Err(LoginError::Unasked { target }),
            Step::Cleartext if !accepts.clear => {
                Err(self.method("a password in clear text, which needs \"password\" in require_auth of the login"))
            }
            Step::Cleartext if self.target.tls.mode() == ClientTlsMode::Disable && !is_loopback(self.address) => {
                Err(self.method("a password in clear text without TLS"))
            }
            Step::Md5(_) if !accepts.md5 => Err(self.method("md5, which require_auth of the login leaves out")),
            Step::Scram(_) if !accepts.scram => {
                Err(self.method("SCRAM, which require_auth of the login leaves out; does the login name a password?"))
            }
            _ => Ok(()),
        }
    }

    fn secret(&self, login: &Login) -> Result<SecretString, LoginError> {
        let target = self.target.name.to_string();
        match &login.password {
            Some(read) => read().map_err(|reason| LoginError::NoSecret { target, reason }),
            None => Err(LoginError::NoSecret { target, reason: "the login names none".to_owned() }),
        }
    }

    /// RFC 5802 and 7677. The server's signature is verified: a server that does not know the password is no target.
    async fn scram(&mut self, scram: Scram, password: &[u8]) -> Result<(), LoginError> {
        let Scram { mechanism, binding } = scram;
        let mut scram = sasl::ScramSha256::new(password, binding);
        let first = scram.message().to_vec();
        self.send(|out| encode::sasl_initial(out, mechanism, Some(&first))).await?;
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
        scram
            .finish(signature)
            .map_err(|_| self.protocol("a SCRAM signature of somebody who does not know the password"))
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
    pub(super) async fn await_ready(mut self) -> Result<Upstream, LoginError> {
        let mut parameters = Vec::new();
        let mut key: Option<(i32, Vec<u8>)> = None;
        for _ in 0..GREETING_MAX {
            let (tag, body) = self.next().await?;
            match Message::parse(tag, &body).map_err(|error| self.protocol(&error.to_string()))? {
                Message::ParameterStatus(status) => parameters.push((status.name.to_vec(), status.value.to_vec())),
                Message::BackendKeyData(BackendKeyData { pid, key: secret }) => key = Some((pid, secret.to_vec())),
                Message::ReadyForQuery(_) => {
                    let (pid, key) = key.unwrap_or_default();
                    let server = self.wire.socket.peer_addr();
                    let server = server.map_err(|source| unreachable(self.target, self.address, source))?;
                    let cancel = CancelAddress { address: self.address.to_owned(), server, pid, key };
                    return Ok(Upstream { wire: self.wire, parameters, cancel });
                }
                Message::Notice(_) => {}
                _ => return Err(self.protocol("an unexpected message before it was ready")),
            }
        }
        Err(self.protocol("a greeting without end"))
    }

    pub(super) async fn send(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
    ) -> Result<(), LoginError> {
        self.wire.outbox.put(write).map_err(|error| self.protocol(&error.to_string()))?;
        self.wire.flush().await.map_err(|source| unreachable(self.target, self.address, source))
    }

    /// The body of the next message, which must be of this type; an error of the server's ends the login.
    async fn expect(&mut self, expected: u8) -> Result<BytesMut, LoginError> {
        for _ in 0..GREETING_MAX {
            let (tag, body) = self.next().await?;
            if tag == expected {
                return Ok(body);
            }
            if tag != b'N' {
                return Err(self.protocol("an unexpected message during login"));
            }
        }
        Err(self.protocol("notices without end"))
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
