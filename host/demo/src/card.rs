//! `demo.json`: how scripts find a running demo.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::layout::card;

/// What `demo.json` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Card {
    /// The addresses that callers reach, by the listener's name.
    pub listeners: Listeners,
    /// The admin API.
    pub admin: String,
    /// The gateway's configuration.
    pub config: PathBuf,
    /// The ledger's folder.
    pub ledger: PathBuf,
    /// What the gateway says.
    pub log: PathBuf,
    /// Who gives out tokens.
    pub issuer: IssuerCard,
    /// The database behind the gateway.
    pub database: DatabaseCard,
    /// The processes.
    pub pids: Pids,
}

/// The demo's listeners.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listeners {
    /// PostgreSQL.
    pub pg: SocketAddr,
}

/// The demo's issuer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IssuerCard {
    /// Its URL.
    pub url: String,
    /// The audience of its tokens.
    pub audience: String,
    /// Where `{"account": NAME}` gets a token.
    pub token_endpoint: String,
    /// The bearer secret that the token endpoint asks for.
    pub secret: String,
    /// The accounts it knows.
    pub accounts: Vec<String>,
}

/// The demo's database, for looking behind the gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatabaseCard {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its name.
    pub name: String,
    /// Its superuser.
    pub superuser: String,
    /// The file with the superuser's password.
    pub password_file: PathBuf,
}

/// The demo's processes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pids {
    /// The one that stops all.
    pub demo: u32,
    /// `grille serve`.
    pub gateway: u32,
    /// The database server.
    pub postgres: u32,
}

impl Card {
    /// Reads the card of a running demo.
    ///
    /// # Errors
    /// There is none: says how to start one.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = card(dir);
        let text = fs::read_to_string(&path).with_context(|| {
            format!("no demo runs in {}: start it with `grille demo` (or name its folder with --dir)", dir.display())
        })?;
        serde_json::from_str(&text).with_context(|| format!("understand {}", path.display()))
    }

    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("write demo.json")?;
        crate::cluster::write_secret(&card(dir), &text)
    }
}

/// A fresh token from the demo that runs in `dir`.
///
/// # Errors
/// No demo, no such account, or no answer.
pub async fn token(dir: &Path, account: &str) -> Result<String> {
    let issuer = Card::read(dir)?.issuer;
    let answer = reqwest::Client::new()
        .post(&issuer.token_endpoint)
        .bearer_auth(&issuer.secret)
        .json(&json!({ "account": account }))
        .send()
        .await
        .with_context(|| format!("the demo's issuer at {} does not answer: is the demo still running?", issuer.url))?;
    let status = answer.status();
    let body: Value = answer.json().await.context("understand the issuer's answer")?;
    let said = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    ensure!(status.is_success(), "{}", said("error"));
    Ok(said("access_token"))
}
