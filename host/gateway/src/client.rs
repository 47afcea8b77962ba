//! The admin API as the commands use it: where it is, who asks, and what an answer means for the exit code.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use grille_admin::Problem;
use reqwest::{Method, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A token of more bytes is none; PostgreSQL's own limit for a password message.
const TOKEN_BYTES_MAX: usize = 65_535;

/// The gateway answers on this machine or on the next; later than this it is not there.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Longer than the gateway itself takes at most to begin an answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(40);
/// The same for what reads the whole log.
const WHOLE_LOG_TIME_MAX: Duration = Duration::from_secs(3700);

/// Where the gateway is and who asks.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Reach {
    /// The configuration, for the address of its admin API
    #[arg(short, long, value_name = "FILE", env = "GRILLE_CONFIG")]
    config: Option<PathBuf>,
    /// The admin API, such as http://127.0.0.1:6480
    #[arg(long, value_name = "URL", env = "GRILLE_ADMIN", hide_env_values = true)]
    admin: Option<String>,
    /// A file with the token; else the environment's GRILLE_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Reach {
    /// The configuration that is meant, said or not.
    pub(crate) fn config_path(&self) -> &Path {
        self.config.as_deref().unwrap_or_else(|| Path::new("grille.toml"))
    }
}

/// Why there is no answer, by exit code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// The gateway said no.
    #[error("{0}")]
    No(String),
    /// The command cannot mean this.
    #[error("{0}")]
    Usage(String),
    /// Nobody knows.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// The admin API, asked by one person.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: SecretString,
}

impl Client {
    pub(crate) fn new(reach: &Reach) -> Result<Self, NoAnswer> {
        Self::with(reach, ANSWER_TIME_MAX)
    }

    /// One that waits while the gateway reads its whole log.
    pub(crate) fn patient(reach: &Reach) -> Result<Self, NoAnswer> {
        Self::with(reach, WHOLE_LOG_TIME_MAX)
    }

    fn with(reach: &Reach, answer_time_max: Duration) -> Result<Self, NoAnswer> {
        let base = match (&reach.admin, &reach.config) {
            (Some(url), _) => url.clone(),
            (None, Some(path)) => configured(path)?,
            (None, None) if Path::new("grille.toml").exists() => configured(Path::new("grille.toml"))?,
            (None, None) => {
                let hint = "where is the gateway? Say --admin URL, GRILLE_ADMIN or -c grille.toml";
                return Err(NoAnswer::Usage(hint.to_owned()));
            }
        };
        let base = address(&base)?;
        let token = token(reach.token_file.as_deref(), std::env::var("GRILLE_TOKEN").ok())?;
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(CONNECT_TIME_MAX)
                .read_timeout(answer_time_max)
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
        };
        let http = grille_identity::build_client(builder).context("prepare the HTTP client")?;
        Ok(Self { http, base, token })
    }

    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, NoAnswer> {
        self.parse(self.send(Method::GET, path, query, None::<&()>).await?).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, NoAnswer> {
        self.parse(self.send(Method::POST, path, &[], Some(body)).await?).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, NoAnswer> {
        self.parse(self.send(Method::DELETE, path, query, None::<&()>).await?).await
    }

    /// An answer that is read as it comes.
    pub(crate) async fn stream(&self, path: &[&str]) -> Result<Response, NoAnswer> {
        self.send(Method::GET, path, &[], None::<&()>).await
    }

    /// A file that is read as it comes.
    pub(crate) async fn download(&self, path: &[&str], query: &[(&str, String)]) -> Result<Response, NoAnswer> {
        self.send(Method::GET, path, query, None::<&()>).await
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<Response, NoAnswer> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow!("{} is no address of an API", self.base))?
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url).bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| format!("ask the gateway at {}", self.base))?;
        if answer.status().is_success() { Ok(answer) } else { Err(refusal(answer).await) }
    }

    async fn parse<T: DeserializeOwned>(&self, answer: Response) -> Result<T, NoAnswer> {
        Ok(answer.json().await.with_context(|| format!("understand the answer of {}", self.base))?)
    }
}

async fn refusal(answer: Response) -> NoAnswer {
    let status = answer.status();
    let detail = match answer.json::<Problem>().await {
        Ok(problem) => problem.detail,
        Err(_) => format!("the gateway answered {status}; is this the address of its admin API?"),
    };
    match status {
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE => NoAnswer::No(detail),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => {
            NoAnswer::Usage(detail)
        }
        _ => NoAnswer::Failed(anyhow!(detail)),
    }
}

fn configured(path: &Path) -> Result<String, NoAnswer> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let config = grille_config::parse(&text, path).map_err(|problems| {
        anyhow!("{} has {} problem(s); `grille check` names them", path.display(), problems.len())
    })?;
    let Some(admin) = config.admin else {
        return Err(NoAnswer::Usage(format!("{} has no [admin], so its gateway has no admin API", path.display())));
    };
    let scheme = if admin.tls.is_some() { "https" } else { "http" };
    Ok(format!("{scheme}://{}", admin.address))
}

/// An address that a token may be sent to.
fn address(text: &str) -> Result<Url, NoAnswer> {
    let usage = |why: &str| NoAnswer::Usage(format!("`{text}` {why}, such as http://127.0.0.1:6480"));
    let url = Url::parse(text).map_err(|_| usage("is no address of an admin API"))?;
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback => Ok(url),
        "http" => Err(usage("would get the token in the clear; say https, or a loopback address")),
        _ => Err(usage("is no address of an admin API")),
    }
}

fn token(file: Option<&Path>, variable: Option<String>) -> Result<SecretString, NoAnswer> {
    let (text, source) = match (file, variable) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
            (text, path.display().to_string())
        }
        (None, Some(text)) => (text, "GRILLE_TOKEN".to_owned()),
        (None, None) => {
            return Err(NoAnswer::Usage("who asks? Put a token into GRILLE_TOKEN or name a --token-file".to_owned()));
        }
    };
    let token = text.trim();
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(NoAnswer::Usage(format!("{source} holds no token: one line of printable letters is expected")));
    }
    Ok(token.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_to_loopback_or_through_tls() {
        for (text, is_good) in [
            ("http://127.0.0.1:6480", true),
            ("http://localhost:6480/", true),
            ("http://[::1]:6480", true),
            ("https://grille.corp", true),
            ("http://grille.corp", false),
            ("http://127.0.0.1.evil.example", false),
            ("127.0.0.1:6480", false),
            ("ftp://127.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(address(text).is_ok(), is_good, "{text}");
        }
    }

    #[test]
    fn tokens_come_from_one_place() {
        assert_eq!(token(None, Some(" a.b.c\n".into())).unwrap().expose_secret(), "a.b.c");
        for bad in ["", "a b", "a\u{1b}[0m"] {
            assert!(matches!(token(None, Some(bad.into())), Err(NoAnswer::Usage(_))), "{bad}");
        }
        assert!(matches!(token(None, None), Err(NoAnswer::Usage(_))));
        assert!(matches!(token(Some(Path::new("/nowhere")), Some("a".into())), Err(NoAnswer::Failed(_))));
    }
}
