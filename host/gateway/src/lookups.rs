//! The services that policies may ask by name: the gateway knows where they are and what they are told.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use arc_swap::{ArcSwap, ArcSwapOption};
use grille_config::{Config, Lookup, SecretRef};
use grille_plugin::{LookupError, Lookups};
use grille_policy::BoxFuture;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{StatusCode, Url};
use secrecy::ExposeSecret as _;
use tokio::time::timeout;

use crate::causes::causes;
use crate::secrets::resolve;

/// The services of one configuration, by name.
pub(crate) type Table = HashMap<Arc<str>, Arc<Service>>;

/// All services that somebody may ask about now.
pub(crate) struct Services {
    http: reqwest::Client,
    in_force: ArcSwap<Table>,
    /// Those of a set that is being loaded: its policies are granted what comes into force together with them.
    awaited: ArcSwapOption<Table>,
}

/// One service.
pub(crate) struct Service {
    name: Arc<str>,
    /// The URL up to the key, and from the key on, as a request carries them.
    before: String,
    after: String,
    timeout: Duration,
    header: Option<(HeaderName, SecretRef)>,
    /// So that the log says once that it went away, and once that it came back.
    is_failing: AtomicBool,
}

/// The services that a configuration names.
pub(crate) fn table(config: &Config) -> anyhow::Result<Table> {
    let service = |lookup: &Lookup| anyhow::Ok((Arc::clone(&lookup.name), Arc::new(Service::new(lookup)?)));
    let named = |lookup: &Lookup| service(lookup).with_context(|| format!("lookups.{}", lookup.name));
    config.lookups.iter().map(named).collect()
}

impl Services {
    pub(crate) fn new(table: Table) -> anyhow::Result<Self> {
        let builder = || {
            reqwest::Client::builder()
                // An answer from elsewhere is not this service's, and the header is for nobody else.
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .user_agent(concat!("grille/", env!("CARGO_PKG_VERSION")))
        };
        let http = grille_identity::build_client(builder).context("prepare the client of [lookups]")?;
        Ok(Self { http, in_force: ArcSwap::from_pointee(table), awaited: ArcSwapOption::empty() })
    }

    /// A set with these services is being loaded, until what is returned is dropped.
    pub(crate) fn expect(self: &Arc<Self>, table: Table) -> Expected {
        self.awaited.store(Some(Arc::new(table)));
        Expected(Arc::clone(self))
    }

    /// The set that was being loaded is in force.
    pub(crate) fn put_in_force(&self) {
        if let Some(table) = self.awaited.swap(None) {
            self.in_force.store(table);
        }
    }

    fn find(&self, name: &str) -> Option<Arc<Service>> {
        let known = self.in_force.load().get(name).map(Arc::clone);
        known.or_else(|| self.awaited.load().as_ref()?.get(name).map(Arc::clone))
    }
}

/// The services of a set that is being loaded. Dropped before it is in force, nothing came of it.
pub(crate) struct Expected(Arc<Services>);

impl Drop for Expected {
    fn drop(&mut self) {
        self.0.awaited.store(None);
    }
}

impl Lookups for Services {
    fn has(&self, name: &str) -> bool {
        match self.awaited.load().as_ref() {
            Some(awaited) => awaited.contains_key(name),
            None => self.in_force.load().contains_key(name),
        }
    }

    fn fetch<'a>(
        &'a self,
        name: &'a str,
        key: &'a str,
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, LookupError>> {
        Box::pin(async move {
            let Some(service) = self.find(name) else { return Err(LookupError::Unavailable) };
            let answer = timeout(service.timeout, service.ask(&self.http, key, bytes_max)).await;
            service.answered(answer.unwrap_or_else(|_| Err(Trouble::slow(service.timeout))))
        })
    }
}

/// No answer: what the policy reads, and what the log says.
struct Trouble {
    error: LookupError,
    cause: String,
}

impl Trouble {
    fn new(cause: impl Into<String>) -> Self {
        Self { error: LookupError::Unavailable, cause: cause.into() }
    }

    fn slow(after: Duration) -> Self {
        Self { error: LookupError::Timeout, cause: format!("no answer within {} ms", after.as_millis()) }
    }
}

impl Service {
    fn new(lookup: &Lookup) -> anyhow::Result<Self> {
        let url = Url::parse(&lookup.url.replace("{key}", MARK)).context("read the url")?;
        let parts: Vec<&str> = url.as_str().split(MARK).collect();
        ensure!(parts.len() == 2, "the url has no one place for the key");
        let header = lookup.header.as_ref().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).context("read the header's name")?;
            anyhow::Ok((name, value.clone()))
        });
        Ok(Self {
            name: Arc::clone(&lookup.name),
            before: parts[0].to_owned(),
            after: parts[1].to_owned(),
            timeout: lookup.timeout,
            header: header.transpose()?,
            is_failing: AtomicBool::new(false),
        })
    }

    /// Where it is asked about a key; none for a key that would lead elsewhere, as `..` does in a path.
    fn url(&self, key: &str) -> Option<Url> {
        let text = format!("{}{}{}", self.before, encode(key), self.after);
        Url::parse(&text).ok().filter(|url| url.as_str() == text)
    }

    async fn ask(&self, http: &reqwest::Client, key: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, Trouble> {
        // Without a key the address is another one: a list of everything, perhaps.
        if key.is_empty() {
            return Ok(None);
        }
        let url = self.url(key).ok_or_else(|| Trouble::new("the key would lead to another address"))?;
        let mut request = http.get(url);
        if let Some((name, value)) = &self.header {
            let value = resolve(value).map_err(|error| Trouble::new(format!("header: {error:#}")))?;
            let mut value = HeaderValue::from_str(value.expose_secret())
                .map_err(|_| Trouble::new("header: the value has letters that no header may have"))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        // The address holds the key, which is about somebody.
        let failed = |error: reqwest::Error| Trouble::new(causes(&error.without_url()));
        let mut answer = request.send().await.map_err(failed)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            other => return Err(Trouble::new(format!("it answered {other}"))),
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            if body.len() + part.len() > bytes_max {
                let cause = format!("the answer is longer than {bytes_max} bytes");
                return Err(Trouble { error: LookupError::TooLarge, cause });
            }
            body.extend_from_slice(&part);
        }
        Ok(Some(body))
    }

    fn answered(&self, answer: Result<Option<Vec<u8>>, Trouble>) -> Result<Option<Vec<u8>>, LookupError> {
        let was_failing = self.is_failing.swap(answer.is_err(), Ordering::Relaxed);
        let name = &*self.name;
        match &answer {
            Err(trouble) if !was_failing => tracing::warn!("lookups.{name} gives no answer: {}", trouble.cause),
            Ok(_) if was_failing => tracing::info!("lookups.{name} answers again"),
            _ => {}
        }
        answer.map_err(|trouble| trouble.error)
    }
}

/// One part of a path or of a query, whatever is in it.
fn encode(key: &str) -> String {
    key.bytes().fold(String::with_capacity(key.len()), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
        text
    })
}

/// Letters that no URL changes, in the key's place.
const MARK: &str = "grilleputsthekeyhere";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn services(lookups: &str) -> Arc<Services> {
        let text = format!(
            r#"version = 1
identity.corp = {{ issuer = "https://id.example.org", audience = "grille" }}
listeners.pg = {{ protocol = "postgres", address = "127.0.0.1:6432" }}
targets.clinic = {{ protocol = "postgres", address = "127.0.0.1:1", database = "c", login = {{ user = "app" }} }}
{lookups}"#
        );
        let config = grille_config::parse(&text, Path::new("grille.toml")).unwrap();
        Arc::new(Services::new(table(&config).unwrap()).unwrap())
    }

    /// Answers every request with this, and says what was asked.
    async fn serve(answer: &'static [u8], asked: tokio::sync::mpsc::Sender<String>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                asked.send(String::from_utf8_lossy(&request[..read]).into_owned()).await.unwrap();
                stream.write_all(answer).await.unwrap();
            }
        });
        port
    }

    #[tokio::test]
    async fn a_key_is_one_part_of_the_address_and_answers_are_bounded() {
        let (sender, mut asked) = tokio::sync::mpsc::channel(64);
        let port = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nopen", sender).await;
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "Bearer one\n").unwrap();
        let services = services(&format!(
            "lookups.path = {{ url = \"http://127.0.0.1:{port}/api/{{key}}/state\", timeout = \"10s\", \
             header = {{ name = \"Authorization\", value = {{ file = {secret:?} }} }} }}\n\
             lookups.query = {{ url = \"http://127.0.0.1:{port}/api?a=b&id={{key}}&c=d\", timeout = \"10s\" }}"
        ));
        for (key, path, query) in [
            ("CHG-17", "/api/CHG-17/state", "/api?a=b&id=CHG-17&c=d"),
            ("../x?y=1#z", "/api/..%2Fx%3Fy%3D1%23z/state", "/api?a=b&id=..%2Fx%3Fy%3D1%23z&c=d"),
            ("ä b&c", "/api/%C3%A4%20b%26c/state", "/api?a=b&id=%C3%A4%20b%26c&c=d"),
        ] {
            assert_eq!(services.fetch("path", key, 100).await, Ok(Some(b"open".to_vec())));
            let request = asked.recv().await.unwrap();
            assert!(request.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{request}");
            assert!(request.to_lowercase().contains("authorization: bearer one\r\n"), "{request}");
            assert_eq!(services.fetch("query", key, 100).await, Ok(Some(b"open".to_vec())));
            let request = asked.recv().await.unwrap();
            assert!(request.starts_with(&format!("GET {query} HTTP/1.1\r\n")), "{request}");
        }
        for key in ["..", ".", "%2e%2e"] {
            let answer = services.fetch("path", key, 100).await;
            assert_eq!(answer.is_err(), key.len() < 3, "{key}");
        }
        asked.recv().await.unwrap();
        assert_eq!(services.fetch("path", "", 100).await, Ok(None));
        assert!(asked.try_recv().is_err(), "a key that leads elsewhere is not asked for");
        assert_eq!(services.fetch("path", "long", 3).await, Err(LookupError::TooLarge));
        std::fs::write(&secret, "Bearer two\n").unwrap();
        asked.recv().await.unwrap();
        assert!(services.fetch("path", "x", 4).await.is_ok());
        assert!(asked.recv().await.unwrap().contains("Bearer two"), "secrets are read at every request");
        assert_eq!(services.fetch("other", "x", 4).await, Err(LookupError::Unavailable));
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_apart() {
        let moved = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        for (answer, expected) in [
            (&b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"[..], Ok(None)),
            (
                &b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"[..],
                Err(LookupError::Unavailable),
            ),
            (&moved[..], Err(LookupError::Unavailable)),
            (&b"nonsense"[..], Err(LookupError::Unavailable)),
        ] {
            let (sender, mut asked) = tokio::sync::mpsc::channel(64);
            let port = serve(answer, sender).await;
            let services =
                services(&format!("lookups.a = {{ url = \"http://127.0.0.1:{port}/{{key}}\", timeout = \"10s\" }}"));
            assert_eq!(services.fetch("a", "k", 100).await, expected);
            asked.recv().await.unwrap();
            assert!(asked.try_recv().is_err(), "asked once");
        }
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let services =
            services(&format!("lookups.a = {{ url = \"http://127.0.0.1:{port}/{{key}}\", timeout = \"50ms\" }}"));
        assert_eq!(services.fetch("a", "k", 100).await, Err(LookupError::Timeout));
    }

    #[test]
    fn what_is_being_loaded_is_granted_and_what_runs_keeps_what_it_has() {
        let services = services("lookups.old = { url = \"http://127.0.0.1:1/{key}\" }");
        let next = || self::services("lookups.new = { url = \"http://127.0.0.1:1/{key}\" }").in_force.load_full();
        let expected = services.expect(Table::clone(&next()));
        assert_eq!((services.has("new"), services.has("old")), (true, false));
        assert!(services.find("old").is_some() && services.find("new").is_some());
        drop(expected);
        assert_eq!((services.has("new"), services.has("old")), (false, true));
        let expected = services.expect(Table::clone(&next()));
        services.put_in_force();
        drop(expected);
        assert!(services.has("new") && services.find("old").is_none());
    }
}
