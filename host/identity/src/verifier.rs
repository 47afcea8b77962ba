use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use grille_policy::Subject;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode};
use serde::de::IgnoredAny;

use crate::claims::Claims;
use crate::http::HttpError;
use crate::issuer::Source;
use crate::keys::Key;
use crate::token::{Token, short};
use crate::{Denied, DiscoverError, Http, Journal};

/// An issuer whose tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// The URL exactly as tokens carry it in `iss`.
    pub issuer: Arc<str>,
    /// What tokens for this gateway carry in `aud`.
    pub audience: Arc<str>,
    /// The claim that lists the groups.
    pub groups_claim: Arc<str>,
    /// How far the clocks may differ.
    pub leeway: Duration,
    /// How long a session may outlive its token.
    pub refresh_window: Duration,
    /// Whether the demo's own issuer will do, whose tokens anybody on the machine can get.
    pub is_demo: bool,
}

/// Turns tokens into subjects.
pub struct Verifier {
    http: Http,
    sources: ArcSwap<Vec<Arc<Source>>>,
    journal: Option<Arc<dyn Journal>>,
}

impl Verifier {
    /// Asks nobody yet: an issuer that is down must not keep the gateway from starting.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(issuers: Vec<Issuer>) -> Result<Self, HttpError> {
        Self::with_journal(issuers, None)
    }

    /// As [`new`](Self::new); keys that come or go, and issuers that cannot be reached, are written down.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn with_journal(issuers: Vec<Issuer>, journal: Option<Arc<dyn Journal>>) -> Result<Self, HttpError> {
        let sources = issuers.into_iter().map(|issuer| Arc::new(Source::new(issuer, journal.clone()))).collect();
        Ok(Self { http: Http::new()?, sources: ArcSwap::from_pointee(sources), journal })
    }

    /// Other issuers from now on. Those that stay the same keep their keys.
    pub fn replace(&self, issuers: Vec<Issuer>) {
        let old = self.sources.load();
        let sources = issuers.into_iter().map(|issuer| {
            let same = old.iter().find(|source| source.issuer == issuer);
            same.cloned().unwrap_or_else(|| Arc::new(Source::new(issuer, self.journal.clone())))
        });
        self.sources.store(Arc::new(sources.collect()));
    }

    /// How long sessions of an issuer, by its name in the configuration, may outlive their tokens.
    #[must_use]
    pub fn refresh_window(&self, provider: &str) -> Duration {
        let sources = self.sources.load();
        let known = sources.iter().find(|source| *source.issuer.name == *provider);
        known.map_or(Duration::ZERO, |source| source.issuer.refresh_window)
    }

    /// The URL of the issuer that the configuration gives this name.
    #[must_use]
    pub fn issuer(&self, name: &str) -> Option<Arc<str>> {
        let sources = self.sources.load();
        sources.iter().find(|source| &*source.issuer.name == name).map(|source| Arc::clone(&source.issuer.issuer))
    }

    /// Asks every issuer for its keys, so that the first caller need not wait.
    pub async fn warm(&self) {
        for source in self.sources.load().iter() {
            // Why there are none is logged where it is found; a login finds it again.
            drop(source.keys(&self.http).await);
        }
    }

    /// Asks every issuer and says how it went, by name.
    pub async fn probe(&self) -> Vec<(Arc<str>, Result<(), DiscoverError>)> {
        let mut found = Vec::new();
        for source in self.sources.load().iter() {
            found.push((source.issuer.name.clone(), source.discover(&self.http).await.map(drop)));
        }
        found
    }

    /// Who the token is about.
    ///
    /// # Errors
    /// Why it is not accepted, in words for the record and in words for the caller.
    pub async fn verify(&self, token: &str) -> Result<Subject, Denied> {
        let token = Token::read(token)?;
        let claims = Claims::read(&token.payload)?;
        let named = claims.issuer()?;
        let source = self.sources.load().iter().find(|source| &*source.issuer.issuer == named).cloned();
        let source = source.ok_or_else(|| Denied::ForeignIssuer(short(named)))?;
        self.check_signature(&token, &source).await?;
        if !token.is_marked && claims.is_id_token() {
            return Err(Denied::Type("an ID token".to_owned()));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        claims.subject(&source.issuer, &token.payload, now)
    }

    async fn check_signature(&self, token: &Token<'_>, source: &Source) -> Result<(), Denied> {
        let mut known = source.keys(&self.http).await?;
        let kid = token.kid.as_deref();
        if known.fitting(kid, token.algorithm).is_empty()
            && let Some(newer) = source.refetch(&self.http, &known).await
        {
            known = newer;
        }
        let fitting = known.fitting(kid, token.algorithm);
        let mut denied = Denied::UnknownKey {
            issuer: source.issuer.name.clone(),
            algorithm: token.algorithm_name,
            kid: token.kid.as_deref().map(short),
        };
        for key in fitting {
            match check(token, key, &source.issuer) {
                Ok(()) => return Ok(()),
                Err(reason @ Denied::Signature(_)) => denied = reason,
                Err(reason) => return Err(reason),
            }
        }
        Err(denied)
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let issuers: Vec<_> = self.sources.load().iter().map(|source| source.issuer.clone()).collect();
        f.debug_struct("Verifier").field("issuers", &issuers).finish_non_exhaustive()
    }
}

/// Signature and registered claims. jsonwebtoken's defaults are all replaced: it would not look at `nbf`, and an absent
/// audience or issuer would pass.
fn check(token: &Token<'_>, key: &Key, issuer: &Issuer) -> Result<(), Denied> {
    let mut validation = Validation::new(token.algorithm);
    validation.algorithms = vec![token.algorithm];
    validation.leeway = issuer.leeway.as_secs();
    validation.validate_exp = true;
    validation.validate_nbf = true;
    validation.validate_aud = true;
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[&issuer.issuer]);
    validation.set_audience(&[&issuer.audience]);
    let Err(error) = decode::<IgnoredAny>(token.text, &key.decoding, &validation) else { return Ok(()) };
    Err(match error.kind() {
        ErrorKind::ExpiredSignature => Denied::Expired,
        ErrorKind::ImmatureSignature => Denied::TooEarly("nbf"),
        ErrorKind::InvalidAudience => Denied::Audience(issuer.audience.clone()),
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => Denied::Audience(issuer.audience.clone()),
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            Denied::Claim { claim: short(claim), what: "is missing or makes no sense" }
        }
        _ => Denied::Signature(issuer.name.clone()),
    })
}
