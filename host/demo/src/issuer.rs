//! An OpenID Connect issuer for the demo's four accounts. It listens on loopback only, says `"grille_demo": true` in its
//! discovery document so that `grille serve` can refuse it, keeps its keys in memory, and asks for a secret that stands
//! in `demo.json` (mode 0600), so that other users of the machine get no tokens.

mod keys;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use jsonwebtoken::{Algorithm, Header, encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use keys::Key;

/// The audience that the demo's tokens name and its gateway expects.
pub const AUDIENCE: &str = "grille-demo";
/// How long a token is good for.
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// A person or agent of the demo.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// What `grille token --demo NAME` takes.
    pub name: &'static str,
    /// Who the token speaks of.
    pub subject: &'static str,
    /// The agent that acts for the subject (RFC 8693 `act`).
    pub agent: Option<&'static str>,
    /// The groups in the token.
    pub groups: &'static [&'static str],
    /// Which of the two keys signs for the account: both kinds are in use.
    algorithm: Algorithm,
}

/// Everybody the issuer knows.
pub const ACCOUNTS: [Account; 4] = [
    Account {
        name: "analyst",
        subject: "analyst",
        agent: None,
        groups: &["data-analysts"],
        algorithm: Algorithm::RS256,
    },
    Account { name: "dba", subject: "dba", agent: None, groups: &["dbas"], algorithm: Algorithm::ES256 },
    Account {
        name: "reviewer",
        subject: "reviewer",
        agent: None,
        // A reviewer who also works with the data, so that the tour can show that nobody approves their own request.
        groups: &["reviewers", "auditors", "ops", "data-analysts"],
        algorithm: Algorithm::RS256,
    },
    Account {
        name: "agent",
        subject: "analyst",
        agent: Some("report-agent"),
        groups: &["data-analysts"],
        algorithm: Algorithm::ES256,
    },
];

/// The account of that name.
///
/// # Errors
/// Lists the names there are.
pub fn account(name: &str) -> Result<&'static Account> {
    ACCOUNTS.iter().find(|account| account.name == name).ok_or_else(|| {
        let names: Vec<_> = ACCOUNTS.iter().map(|account| account.name).collect();
        anyhow!("the demo knows no account `{name}`: {}", names.join(", "))
    })
}

/// A running issuer. Dropping it stops it.
#[derive(Debug)]
pub struct Issuer {
    authority: Arc<Authority>,
    server: JoinHandle<()>,
}

impl Issuer {
    /// Makes two keys and listens on a free loopback port.
    ///
    /// # Errors
    /// No port, or no keys.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("find a loopback port")?;
        let address = listener.local_addr().context("read the port")?;
        let authority = Arc::new(Authority::new(address)?);
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/demo/token", post(token))
            .with_state(Arc::clone(&authority));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!("the demo's issuer stopped: {error}");
            }
        });
        Ok(Self { authority, server })
    }

    /// The issuer's URL, as tokens and configurations name it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.authority.url
    }

    /// What a caller of the token endpoint must show.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.authority.secret
    }

    /// A token for an account, good for [`LIFETIME`].
    ///
    /// # Errors
    /// An unknown account, or a key that does not sign.
    pub fn token(&self, name: &str) -> Result<String> {
        self.token_for(name, LIFETIME)
    }

    /// The same, good for another time.
    ///
    /// # Errors
    /// As [`Issuer::token`].
    pub fn token_for(&self, name: &str, lifetime: Duration) -> Result<String> {
        self.authority.mint(account(name)?, SystemTime::now(), lifetime)
    }

    /// A correctly signed token that ran out an hour ago.
    ///
    /// # Errors
    /// As [`Issuer::token`].
    pub fn expired_token(&self, name: &str) -> Result<String> {
        self.authority.mint(account(name)?, SystemTime::now() - Duration::from_secs(3600) - LIFETIME, LIFETIME)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Authority {
    url: String,
    secret: String,
    rsa: Key,
    ec: Key,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("url", &self.url).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Value>,
    groups: &'a [&'a str],
    iat: u64,
    nbf: u64,
    exp: u64,
    jti: String,
}

impl Authority {
    fn new(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            url: format!("http://{address}"),
            secret: crate::random_hex::<16>()?,
            rsa: Key::rsa()?,
            ec: Key::ec()?,
        })
    }

    fn mint(&self, account: &Account, issued: SystemTime, lifetime: Duration) -> Result<String> {
        let key = if account.algorithm == Algorithm::ES256 { &self.ec } else { &self.rsa };
        let now = issued.duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
        let claims = Claims {
            iss: &self.url,
            aud: AUDIENCE,
            sub: account.subject,
            act: account.agent.map(|agent| json!({ "sub": agent })),
            groups: account.groups,
            iat: now,
            nbf: now,
            exp: now + lifetime.as_secs(),
            jti: crate::random_hex::<16>()?,
        };
        let mut header = Header::new(account.algorithm);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(key.id.clone());
        encode(&header, &claims, &key.private).context("sign a token")
    }
}

async fn discovery(State(authority): State<Arc<Authority>>) -> Json<Value> {
    let url = &authority.url;
    Json(json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "jwks_uri": format!("{url}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "grille_demo": true,
    }))
}

async fn keys(State(authority): State<Arc<Authority>>) -> Json<Value> {
    Json(json!({ "keys": [authority.rsa.public, authority.ec.public] }))
}

#[derive(Deserialize)]
struct Wanted {
    account: String,
}

async fn token(
    State(authority): State<Arc<Authority>>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> (StatusCode, Json<Value>) {
    let shown = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let expected = format!("Bearer {}", authority.secret);
    if aws_lc_rs::constant_time::verify_slices_are_equal(shown.as_bytes(), expected.as_bytes()).is_err() {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "error": "show the secret that stands in demo.json" })));
    }
    let minted = account(&wanted.account).and_then(|account| authority.mint(account, SystemTime::now(), LIFETIME));
    match minted {
        Ok(token) => (
            StatusCode::OK,
            Json(json!({ "access_token": token, "expires_in": LIFETIME.as_secs(), "token_type": "Bearer" })),
        ),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error.to_string() }))),
    }
}

#[cfg(test)]
mod tests;
