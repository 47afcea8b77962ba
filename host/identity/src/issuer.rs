use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, DiscoveryError, IssuerUrl, ProviderMetadata};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::http::HttpError;
use crate::keys::{Key, usable};
use crate::{Denied, Http, Issuer, IssuerEvent, Journal, PublicKey};

/// How long keys that cannot be refreshed are still good. After that nobody new gets in.
pub const MAX_STALE: Duration = Duration::from_secs(3600);

/// Why an issuer's keys are not to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// The URL is none.
    #[error("the issuer's URL is no URL")]
    Url,
    /// The network, or an answer that makes no sense.
    #[error("{0}")]
    Discovery(String),
    /// Keys exist, none of them can be used.
    #[error("its key set holds no key for RS256, RS384, RS512, ES256, ES384 or EdDSA")]
    NoKeys,
    /// The demo's issuer, whose tokens anybody on the machine can get.
    #[error("this is the demo's issuer, which only `grille demo` may use")]
    Demo,
}

/// One issuer and its keys.
pub(crate) struct Source {
    pub(crate) issuer: Issuer,
    keys: ArcSwapOption<Known>,
    attempts: Mutex<Attempts>,
    journal: Option<Arc<dyn Journal>>,
}

pub(crate) struct Known {
    fetched: Instant,
    keys: Vec<Key>,
}

impl Known {
    pub(crate) fn fitting(&self, kid: Option<&str>, algorithm: jsonwebtoken::Algorithm) -> Vec<&Key> {
        self.keys.iter().filter(|key| key.fits(kid, algorithm)).collect()
    }
}

#[derive(Default)]
struct Attempts {
    last: Option<Instant>,
    last_for_unknown_key: Option<Instant>,
    failure: Option<Arc<str>>,
}

impl Source {
    pub(crate) fn new(issuer: Issuer, journal: Option<Arc<dyn Journal>>) -> Self {
        Self { issuer, keys: ArcSwapOption::empty(), attempts: Mutex::default(), journal }
    }

    /// Keys that may be used now; asks the issuer first if there are none or they have become old.
    pub(crate) async fn keys(&self, http: &Http) -> Result<Arc<Known>, Denied> {
        if let Some(known) = self.keys.load_full().filter(|known| known.fetched.elapsed() < FRESH) {
            return Ok(known);
        }
        let usable = || self.keys.load_full().filter(|known| known.fetched.elapsed() < MAX_STALE);
        let mut attempts = match (self.attempts.try_lock(), usable()) {
            (Ok(attempts), _) => attempts,
            // Somebody else is asking; nobody need wait for that while there are keys.
            (Err(_), Some(known)) => return Ok(known),
            (Err(_), None) => self.attempts.lock().await,
        };
        let known = usable();
        let is_fresh = known.as_ref().is_some_and(|known| known.fetched.elapsed() < FRESH);
        let pause = if known.is_some() { RETRY_WITH_KEYS } else { RETRY };
        if !is_fresh && attempts.last.is_none_or(|last| last.elapsed() >= pause) {
            self.ask(http, &mut attempts).await;
        }
        usable().ok_or_else(|| {
            let cause = attempts.failure.clone().unwrap_or_else(|| "it was not asked yet".into());
            Denied::Unreachable { issuer: self.issuer.name.clone(), cause }
        })
    }

    /// The keys again, because a token names one that is not among `seen`. Strangers can cause this, so it is rare.
    pub(crate) async fn refetch(&self, http: &Http, seen: &Arc<Known>) -> Option<Arc<Known>> {
        let mut attempts = self.attempts.lock().await;
        let known = self.keys.load_full()?;
        if known.fetched > seen.fetched {
            return Some(known);
        }
        if attempts.last_for_unknown_key.is_some_and(|last| last.elapsed() < UNKNOWN_KEY_PAUSE) {
            return None;
        }
        attempts.last_for_unknown_key = Some(Instant::now());
        self.ask(http, &mut attempts).await;
        self.keys.load_full().filter(|known| known.fetched > seen.fetched)
    }

    /// Asks the issuer; on failure the known keys stay.
    async fn ask(&self, http: &Http, attempts: &mut Attempts) {
        let answer = self.discover(http).await.map_err(|error| error.to_string());
        attempts.last = Some(Instant::now());
        match answer.and_then(|keys| self.write_down(&keys, attempts).map(|()| keys)) {
            Ok(keys) => {
                attempts.failure = None;
                self.keys.store(Some(Arc::new(Known { fetched: Instant::now(), keys })));
            }
            Err(error) => {
                tracing::warn!(issuer = %self.issuer.name, %error, "cannot refresh the issuer's keys");
                let failure: Arc<str> = error.into();
                if attempts.failure.is_none()
                    && let Some(journal) = &self.journal
                    && let Err(why) = journal.write(&self.issuer, &IssuerEvent::Unreachable(Arc::clone(&failure)))
                {
                    tracing::error!(issuer = %self.issuer.name, %why, "this cannot be recorded");
                }
                attempts.failure = Some(failure);
            }
        }
    }

    /// Keys are a record before a token is checked by one of them. The same ones again are none.
    fn write_down(&self, keys: &[Key], attempts: &Attempts) -> Result<(), String> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let known = self.keys.load();
        let is_same = known.as_ref().is_some_and(|known| known.keys.iter().map(public).eq(keys.iter().map(public)));
        if is_same && attempts.failure.is_none() {
            return Ok(());
        }
        let event = IssuerEvent::Keys(keys.iter().map(|key| key.public.clone()).collect());
        journal.write(&self.issuer, &event).map_err(|why| format!("its keys cannot be recorded: {why}"))
    }

    pub(crate) async fn discover(&self, http: &Http) -> Result<Vec<Key>, DiscoverError> {
        let url = IssuerUrl::new(self.issuer.issuer.to_string()).map_err(|_| DiscoverError::Url)?;
        let metadata = Metadata::discover_async(url, http).await.map_err(explain)?;
        if metadata.additional_metadata().grille_demo && !self.issuer.is_demo {
            return Err(DiscoverError::Demo);
        }
        let keys = usable(metadata.jwks().keys());
        if keys.is_empty() { Err(DiscoverError::NoKeys) } else { Ok(keys) }
    }
}

const fn public(key: &Key) -> &PublicKey {
    &key.public
}

/// openidconnect says what failed, its sources say why. Bodies are left out: they may be anything.
fn explain(error: DiscoveryError<HttpError>) -> DiscoverError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    DiscoverError::Discovery(text)
}

/// What the demo's issuer says of itself.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
struct Extra {
    #[serde(default)]
    grille_demo: bool,
}

impl AdditionalProviderMetadata for Extra {}

type Metadata = ProviderMetadata<
    Extra,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// A key that an issuer withdraws is out of use here after this long.
const FRESH: Duration = Duration::from_secs(300);
/// An issuer that is down is not asked by every login.
const RETRY: Duration = Duration::from_secs(2);
/// Nor does every other login wait for it while the old keys will do.
const RETRY_WITH_KEYS: Duration = Duration::from_secs(30);
/// How often tokens with unknown keys may make us ask.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(10);
