//! Which version of the protocol is spoken, and the token: in the password's place, or by SASL OAUTHBEARER (RFC 7628).

mod bearer;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use grille_identity::Verifier;
use grille_pg_codec::encode::{self, EncodeError};
use grille_pg_codec::frontend::{Message, Password};
use grille_pg_codec::startup::Version;
use grille_pg_codec::{frame, tag};
use grille_policy::Fault;
use tokio::time::timeout;

use crate::accept::{Hello, Rejected};
use crate::respond::{Answer, sqlstate};

/// The newest version that is spoken here. 3.1 never was one: like PostgreSQL 18, who asks for it gets 3.0 by that name.
const NEWEST: Version = Version::V3_2;
/// The one SASL mechanism that is offered.
const MECHANISM: &str = "OAUTHBEARER";
/// For the one byte by which a caller says that it has read why its token is refused.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(5);

/// How callers of a listener show their token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// As the password.
    Password,
    /// By SASL OAUTHBEARER.
    Oauthbearer {
        /// The name of the issuer that callers without a token are sent to.
        issuer: Arc<str>,
        /// What they ask there for.
        scope: Arc<str>,
    },
}

impl Auth {
    /// What a caller without a valid token reads: where to get one. RFC 7628, section 3.2.2.
    fn challenge(&self, verifier: &Verifier) -> Option<String> {
        let Self::Oauthbearer { issuer, scope } = self else { return None };
        let mut challenge = serde_json::json!({ "status": "invalid_token", "scope": scope });
        if let Some(url) = verifier.issuer(issuer) {
            let place = format!("{}/.well-known/openid-configuration", url.trim_end_matches('/'));
            challenge["openid-configuration"] = place.into();
        }
        Some(challenge.to_string())
    }
}

/// Settles the version, and asks for the token as the listener wants it.
pub(crate) async fn ask_token(hello: &mut Hello, auth: &Auth, verifier: &Verifier) -> Result<String, Rejected> {
    settle_version(hello)?;
    match auth {
        Auth::Password => ask_password(hello).await,
        Auth::Oauthbearer { .. } => ask_bearer(hello, auth, verifier).await,
    }
}

/// The caller's version if it is spoken here, else the newest. The caller is told of that, and of options that are not
/// known here, and hears nothing otherwise: old drivers stumble over a message that they did not provoke.
fn settle_version(hello: &mut Hello) -> Result<(), Rejected> {
    let asked = hello.version;
    hello.version = asked.min(NEWEST);
    let names = hello.parameters.iter().map(|(name, _)| name.as_str());
    let unknown: Vec<&str> = names.filter(|name| name.starts_with("_pq_.")).collect();
    if asked > NEWEST || !unknown.is_empty() {
        let version = hello.version;
        hello
            .wire
            .outbox
            .put(|out| encode::negotiate_protocol_version(out, version, unknown.iter().copied()))
            .map_err(|_| Rejected::Silent("protocol options that cannot be named"))?;
    }
    Ok(())
}

async fn ask_password(hello: &mut Hello) -> Result<String, Rejected> {
    say(hello, encode::authentication_cleartext_password).await?;
    let body = answer(hello, PASSWORD_WANTED).await?;
    let text = password(&body).and_then(|password| password.text().ok());
    let text = text.ok_or_else(|| malformed(PASSWORD_WANTED))?;
    Ok(String::from_utf8_lossy(text).into_owned())
}

async fn ask_bearer(hello: &mut Hello, auth: &Auth, verifier: &Verifier) -> Result<String, Rejected> {
    say(hello, |out| encode::authentication_sasl(out, &[MECHANISM])).await?;
    let body = answer(hello, BEARER_WANTED).await?;
    let initial = password(&body).and_then(|password| password.sasl_initial().ok());
    let initial = initial.filter(|initial| initial.mechanism == MECHANISM.as_bytes());
    let response = initial.and_then(|initial| initial.response).ok_or_else(|| malformed(BEARER_WANTED))?;
    let token = bearer::token(response).map_err(malformed)?;
    if token.is_empty() {
        // Not a failed login but the question where tokens come from; the caller asks it and comes again.
        refuse_token(hello, auth, verifier).await;
        let answer = Answer::new(sqlstate::BAD_TOKEN, Fault::Caller, "no token was given");
        return Err(Rejected::Told(answer, None));
    }
    Ok(token.to_owned())
}

/// What OAUTHBEARER wants before the error: the challenge, and the caller's empty answer. A caller that is silent or gone
/// is not waited for; the error follows in any case.
pub(crate) async fn refuse_token(hello: &mut Hello, auth: &Auth, verifier: &Verifier) {
    let Some(challenge) = auth.challenge(verifier) else { return };
    let heard = async {
        say(hello, |out| encode::authentication_sasl_continue(out, challenge.as_bytes())).await?;
        answer(hello, BEARER_WANTED).await
    };
    match timeout(REFUSAL_PATIENCE, heard).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "gone before it was told where tokens come from"),
        Err(_) => tracing::debug!("no answer to where tokens come from"),
    }
}

async fn say(hello: &mut Hello, write: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>) -> Result<(), Rejected> {
    hello.wire.outbox.put(write).map_err(|_| Rejected::Silent("no question could be written"))?;
    Ok(hello.wire.flush().await?)
}

/// The body of the next message, which must be a `p`; its length is checked before it is waited for.
async fn answer(hello: &mut Hello, wanted: &'static str) -> Result<BytesMut, Rejected> {
    let wire = &mut hello.wire;
    loop {
        let head = frame::head(&wire.inbox).map_err(|_| malformed(wanted))?;
        if let Some(head) = head {
            if head.tag != tag::frontend::PASSWORD || head.body_len() > frame::PASSWORD_MAX {
                return Err(malformed(wanted));
            }
            if wire.inbox.len() >= head.len {
                let mut message = wire.inbox.split_to(head.len);
                return Ok(message.split_off(frame::HEADER_BYTES));
            }
        }
        if wire.read().await? == 0 {
            return Err(Rejected::Silent("closed before the token"));
        }
    }
}

fn password(body: &[u8]) -> Option<Password<'_>> {
    match Message::parse(tag::frontend::PASSWORD, body) {
        Ok(Message::Password(password)) => Some(password),
        _ => None,
    }
}

fn malformed(message: &'static str) -> Rejected {
    Rejected::Told(Answer::malformed(message), None)
}

const PASSWORD_WANTED: &str =
    "a password message of at most 65,535 bytes was expected, with an access token as the password";
const BEARER_WANTED: &str = "a SASL message of at most 65,535 bytes for OAUTHBEARER was expected, with an access token";
