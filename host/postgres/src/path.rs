//! The path's services, and the way of a connection up to its first statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use grille_identity::{Denied, Verifier};
use grille_ledger::{Ledger, Record, RecordingCaps, Retention, SessionLog, SessionOpen};
use grille_mask::detect::Detector;
use grille_mask::{Context, MaskKey};
use grille_net::{Admission, Connection, Peer, ServerTls};
use grille_pg_codec::backend::TransactionStatus;
use grille_pg_codec::encode;
use grille_policy::{Epoch, Evaluator, Fault, Policies, SessionFacts, SessionId, Subject, Verdict};
use grille_review::Desk;
use grille_sql::{Catalog, ProtectedSet};
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::accept::{Arrival, Hello, Rejected, accept};
use crate::budget::{Budget, Hours, Limits};
use crate::cancel::{CancelKey, CancelKeys};
use crate::catalog::Catalogs;
use crate::identify::{Auth, ask_token, refuse_token};
use crate::live::{LiveSessions, Order, Presence};
use crate::respond::{Answer, sqlstate};
use crate::route::{NoRoute, Recording, Route, Routes};
use crate::session::Session;
use crate::settings::upstream_parameters;
use crate::upstream::{self, LoginError, Upstream};

/// From the first byte to the token: PostgreSQL's own `authentication_timeout`.
const LOGIN_PATIENCE: Duration = Duration::from_secs(60);
/// Sessions without another limit end after this, so that no token lives for ever.
const SESSION_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Protected sets that are kept: one per policy set, catalog version and kind of caller.
const PROTECTED_MAX: usize = 256;

/// What the path is made of. All of it is shared by all sessions.
pub struct Services {
    /// The policies.
    pub evaluator: Arc<dyn Evaluator>,
    /// The ledger.
    pub ledger: Ledger,
    /// Whether every decision reaches the disk before its statement leaves (`sync = "strict"`).
    pub is_strict: bool,
    /// Who verifies tokens.
    pub verifier: Arc<Verifier>,
    /// Where operations wait for people.
    pub desk: Desk,
    /// The key behind tokens and encrypted values.
    pub mask_key: Arc<MaskKey>,
    /// What finds identifiers inside texts.
    pub detector: Arc<Detector>,
    /// Targets and roles in force.
    pub routes: ArcSwap<Routes>,
}

/// An address that callers reach.
#[derive(Debug)]
pub struct Listener {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// The one target that it leads to, if it is pinned.
    pub target: Option<Arc<str>>,
    /// TLS, which is required off loopback.
    pub tls: Option<ServerTls>,
    /// How callers show their token.
    pub auth: Auth,
    /// Who may say by the PROXY protocol whom they speak for.
    pub trusted_proxies: Vec<IpNet>,
}

/// The PostgreSQL path.
pub struct PostgresPath {
    pub(crate) services: Services,
    pub(crate) catalogs: Catalogs,
    pub(crate) hours: Hours,
    pub(crate) protected: ProtectedSets,
    /// What sessions see that need no names.
    pub(crate) no_catalog: Arc<Catalog>,
    pub(crate) cancel_keys: Arc<CancelKeys>,
    live: Arc<LiveSessions>,
}

impl PostgresPath {
    /// A path without sessions.
    #[must_use]
    pub fn new(services: Services) -> Arc<Self> {
        Arc::new(Self {
            services,
            catalogs: Catalogs::default(),
            hours: Hours::default(),
            protected: ProtectedSets::default(),
            no_catalog: Arc::new(
                Catalog::from_rows("none", vec![Vec::new(); grille_sql::catalog::queries().len()])
                    .expect("parts without rows hold nothing that could be malformed"),
            ),
            cancel_keys: Arc::default(),
            live: Arc::default(),
        })
    }

    /// The sessions that are open now.
    #[must_use]
    pub const fn live(&self) -> &Arc<LiveSessions> {
        &self.live
    }

    /// Puts other targets and roles in force. Sessions whose roles give something else now end.
    pub fn replace_routes(&self, routes: Routes) {
        let routes = Arc::new(routes);
        let old = self.services.routes.swap(Arc::clone(&routes));
        self.live.follow(&old, &routes);
    }

    /// Serves one connection until it ends. Never panics on what it reads; a fault ends this connection alone.
    pub async fn serve(self: Arc<Self>, listener: Arc<Listener>, connection: Connection) {
        let Connection { mut stream, peer: socket, admission } = connection;
        let mut peer = Peer::direct(socket);
        let named = &mut peer;
        let login = async {
            *named = Peer::behind(&mut stream, socket, &listener.trusted_proxies)
                .await
                .inspect_err(|error| tracing::warn!(listener = %listener.name, peer = %socket, "closed: {error}"))?;
            let arrival = accept(stream, listener.tls.as_ref()).await?;
            match arrival {
                Arrival::Cancel { pid, secret, mut wire } => {
                    if let Some(session) = self.cancel_keys.find(pid, &secret, tokio::time::Instant::now()) {
                        self.live.order(session, Order::Cancel);
                    }
                    // The answer is a close, which under TLS has a message of its own: libpq takes any other for an attack.
                    wire.shutdown().await?;
                    Ok(None)
                }
                Arrival::Startup(mut hello) => {
                    let Admission::Admitted(permit) = admission else {
                        return Err(Rejected::told(
                            Answer::new(sqlstate::FULL, Fault::Gateway, "too many connections; try again later"),
                            hello.wire,
                        ));
                    };
                    match ask_token(&mut hello, &listener.auth, &self.services.verifier).await {
                        Ok(token) => Ok(Some((hello, token, permit))),
                        Err(Rejected::Told(answer, None)) => Err(Rejected::told(answer, hello.wire)),
                        Err(rejected) => Err(rejected),
                    }
                }
            }
        };
        let (mut hello, token, mut permit) = match timeout(LOGIN_PATIENCE, login).await {
            Ok(Ok(Some(arrived))) => arrived,
            Ok(Ok(None)) => return,
            Ok(Err(rejected)) => return reject(rejected, &listener.name, &peer.caller.to_string()).await,
            Err(_) => {
                tracing::debug!(listener = %listener.name, peer = %peer.caller, "no login in time");
                return;
            }
        };
        let opened = match self.identify(&listener, peer, &hello, &token).await {
            Ok(subject) => self.open(&listener, peer, &hello, subject).await,
            Err(answer) => {
                refuse_token(&mut hello, &listener.auth, &self.services.verifier).await;
                Err(answer)
            }
        };
        drop(token);
        permit.authenticated();
        let welcomed = opened.and_then(|opened| {
            welcome(&mut hello, &opened.upstream, &opened.key)?;
            Ok(opened)
        });
        match welcomed {
            Ok(opened) => Session::new(Arc::clone(&self), opened, hello.wire).run().await,
            Err(answer) => {
                tracing::info!(listener = %listener.name, peer = %peer.caller, sqlstate = answer.sqlstate, "no session: {}", answer.message);
                reject(Rejected::told(answer, hello.wire), &listener.name, &peer.caller.to_string()).await;
            }
        }
    }

    /// Who the token is about.
    async fn identify(
        &self,
        listener: &Listener,
        peer: Peer,
        hello: &Hello,
        token: &str,
    ) -> Result<Arc<Subject>, Answer> {
        let subject = self.services.verifier.verify(token).await;
        subject.map(Arc::new).map_err(|denied| {
            let answer = bad_token(&denied, &listener.auth);
            self.deny(listener, peer, hello.database(), None, answer, &denied.to_string())
        })
    }

    /// Route, policies, record, upstream login: in this order, and only then is the caller told that it is in.
    async fn open(
        self: &Arc<Self>,
        listener: &Listener,
        peer: Peer,
        hello: &Hello,
        subject: Arc<Subject>,
    ) -> Result<Box<Opened>, Answer> {
        let asked = hello.database().to_owned();
        let routes = self.services.routes.load_full();
        let user = hello.parameter("user").unwrap_or_default();
        let route = match routes.find(&subject, &asked, user, listener.target.as_deref()) {
            Ok(route) => route,
            Err(none) => {
                let reason = none.to_string();
                return Err(self.deny(listener, peer, &asked, Some(&subject), no_route(&none), &reason));
            }
        };
        let facts = Arc::new(facts(listener, peer, hello, &subject, &route)?);
        let opened = self.services.evaluator.open(Arc::clone(&facts)).await;
        let refusal = match &opened.decision.verdict {
            Verdict::Allow => None,
            Verdict::Block(finding) => Some(finding.message.to_string()),
            Verdict::Review(terms) => Some(terms.reason.to_string()),
        };
        if let Some(message) = refusal {
            let answer = Answer::new(sqlstate::REFUSED, Fault::Policy, message.clone());
            return Err(self.deny(listener, peer, &asked, Some(&subject), answer, &message));
        }
        let limits = Limits::of(&route.roles);
        let budget = Budget::new(limits, &self.hours, &subject, &route.target.name)?;
        let is_masked = opened.policies.protection().is_some();
        let parameters = upstream_parameters(&hello.parameters, is_masked)
            .map_err(|answer| self.deny(listener, peer, &asked, Some(&subject), answer.clone(), &answer.message))?;
        let mut open = SessionOpen::new(&facts);
        open.decision = Some(std::borrow::Cow::Borrowed(&opened.decision));
        open.proxy = peer.proxy.map(|proxy| proxy.to_string().into());
        open.masked = is_masked;
        open.retention = route.target.retention.map(|time| Retention::of_target(&route.target.name, time));
        let mut log = self.services.ledger.session(open).map_err(|error| {
            tracing::error!(%error, "no session can be recorded");
            Answer::unrecorded()
        })?;
        if route.target.recording == Recording::Full {
            log.set_caps(RecordingCaps::FULL);
        }
        let upstream = match upstream::connect(&route.target, route.login(), &parameters).await {
            Ok(upstream) => upstream,
            Err(error) => {
                tracing::warn!(session = %facts.id, error = &error as &dyn std::error::Error, "no upstream login");
                if let Err(error) = log.close("no-target") {
                    tracing::error!(%error, "the end of a session cannot be recorded");
                }
                return Err(no_target(&error));
            }
        };
        let presence = self.live.enter(Arc::clone(&facts));
        let now = self.services.routes.load_full();
        if !Arc::ptr_eq(&routes, &now) {
            // Exchanged during the login, when nobody saw this session yet.
            self.live.follow(&routes, &now);
        }
        let key = self
            .cancel_keys
            .mint(facts.id, hello.version, upstream.cancel.pid)
            .ok_or_else(|| Answer::new(sqlstate::FULL, Fault::Gateway, "no cancel key could be made; try again"))?;
        let lifetime = lifetime(&subject, self.services.verifier.refresh_window(&subject.provider), &route);
        Ok(Box::new(Opened {
            facts,
            route,
            upstream,
            key,
            presence,
            policies: opened.policies,
            log,
            lifetime,
            idle: limits.idle,
            budget,
        }))
    }

    /// Records that somebody was turned away.
    fn deny(
        &self,
        listener: &Listener,
        peer: Peer,
        target: &str,
        subject: Option<&Subject>,
        answer: Answer,
        reason: &str,
    ) -> Answer {
        let record = Record::Denied(grille_ledger::Denied {
            listener: (&*listener.name).into(),
            peer: peer.caller.to_string().into(),
            target: Some(target.into()),
            subject: subject.map(std::borrow::Cow::Borrowed),
            code: answer.sqlstate.into(),
            reason: reason.into(),
        });
        if let Err(error) = self.services.ledger.admin(&record) {
            tracing::error!(%error, "a refused login cannot be recorded");
        }
        answer
    }

    /// What compiling a treatment needs.
    pub(crate) fn mask_context(&self) -> Context<'_> {
        Context { key: &self.services.mask_key, detector: &self.services.detector, year: this_year() }
    }
}

/// What a session is made of, once the caller may be let in.
pub(crate) struct Opened {
    pub(crate) facts: Arc<SessionFacts>,
    pub(crate) route: Route,
    pub(crate) upstream: Upstream,
    pub(crate) key: CancelKey,
    pub(crate) presence: Presence,
    pub(crate) policies: Box<dyn Policies>,
    pub(crate) log: SessionLog,
    pub(crate) lifetime: Duration,
    /// How long the session may rest.
    pub(crate) idle: Option<Duration>,
    pub(crate) budget: Option<Budget>,
}

/// Protected sets by what they were made of.
#[derive(Default)]
pub(crate) struct ProtectedSets(Mutex<HashMap<ProtectedKey, Arc<ProtectedSet>>>);

/// Policy set, target, catalog version, and whom it is for.
pub(crate) type ProtectedKey = (Epoch, Arc<str>, Box<str>, Arc<str>);

impl ProtectedSets {
    pub(crate) fn get(&self, key: &ProtectedKey) -> Option<Arc<ProtectedSet>> {
        self.0.lock().get(key).cloned()
    }

    /// Sets of policies that are not in force any more go first.
    pub(crate) fn put(&self, key: ProtectedKey, set: &Arc<ProtectedSet>) {
        let mut sets = self.0.lock();
        if sets.len() >= PROTECTED_MAX {
            sets.retain(|known, _| known.0 >= key.0);
        }
        if sets.len() >= PROTECTED_MAX {
            sets.clear();
        }
        sets.insert(key, Arc::clone(set));
    }
}

fn facts(
    listener: &Listener,
    peer: Peer,
    hello: &Hello,
    subject: &Arc<Subject>,
    route: &Route,
) -> Result<SessionFacts, Answer> {
    let no_random = |_| Answer::new(sqlstate::FULL, Fault::Gateway, "the system gave no random bytes; try again");
    let mut random = [0; 4];
    aws_lc_rs::rand::fill(&mut random).map_err(no_random)?;
    Ok(SessionFacts {
        id: SessionId::mint(unix_ms(), u32::from_be_bytes(random)),
        subject: Arc::clone(subject),
        target: Arc::clone(&route.target.name),
        protocol: "postgres".into(),
        roles: route.roles.iter().map(|role| Arc::clone(&role.name)).collect(),
        listener: Arc::clone(&listener.name),
        peer: peer.caller.to_string().into(),
        client: hello.parameter("application_name").unwrap_or_default().into(),
        tls: hello.tls.clone(),
    })
}

/// Tells the caller that it is in, with the server's own parameters and a cancel key with a secret of ours.
fn welcome(hello: &mut Hello, upstream: &Upstream, key: &CancelKey) -> Result<(), Answer> {
    let written = hello.wire.outbox.put(|out| {
        encode::authentication_ok(out)?;
        for (name, value) in &upstream.parameters {
            encode::parameter_status(out, name, value)?;
        }
        encode::backend_key_data(out, key.pid, &key.secret)?;
        encode::ready_for_query(out, TransactionStatus::Idle);
        Ok::<(), encode::EncodeError>(())
    });
    written.map_err(|error| {
        let message = format!("what the target reports cannot be passed on: {error}");
        Answer::new(sqlstate::MALFORMED, Fault::Target, message)
    })
}

/// min(token and the time that it may be outlived by, role, absolute).
fn lifetime(subject: &Subject, window: Duration, route: &Route) -> Duration {
    let token = Duration::from_secs(subject.expires_at.saturating_sub(unix_ms() / 1000)).saturating_add(window);
    token.min(route.max_session().unwrap_or(SESSION_MAX)).min(SESSION_MAX)
}

fn bad_token(denied: &Denied, auth: &Auth) -> Answer {
    let hint = match auth {
        Auth::Password => "give an access token as the password, for example with `grille token` or PGPASSWORD",
        Auth::Oauthbearer { .. } => "let the client get a new access token, which libpq 18 does by oauth_issuer",
    };
    Answer::new(sqlstate::BAD_TOKEN, Fault::Caller, denied.caller_text()).with_hint(hint)
}

fn no_route(none: &NoRoute) -> Answer {
    let code = match none {
        NoRoute::Nothing { .. } => sqlstate::NO_ROLE,
        NoRoute::Unknown { .. } => sqlstate::NO_TARGET,
    };
    Answer::new(code, Fault::Caller, none.to_string())
}

fn no_target(error: &LoginError) -> Answer {
    Answer::new(sqlstate::UNREACHABLE, Fault::Target, error.to_string())
}

async fn reject(rejected: Rejected, listener: &str, peer: &str) {
    match rejected {
        Rejected::Told(answer, wire) => {
            tracing::debug!(listener, peer, "turned away: {}", answer.message);
            let Some(mut wire) = wire else { return };
            wire.outbox.append(|out| answer.write_fatal(out));
            if let Ok(Err(error)) = timeout(Duration::from_secs(5), wire.shutdown()).await {
                tracing::debug!(listener, peer, %error, "gone before it was told");
            }
        }
        Rejected::Silent(why) => tracing::debug!(listener, peer, why, "closed"),
        Rejected::Io(error) => {
            tracing::debug!(listener, peer, %error, "connection broke before login")
        }
    }
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// The calendar year in UTC, for ages: within a day of New Year the stricter reading is the later one, which this is.
fn this_year() -> i32 {
    const DAYS_PER_400_YEARS: u64 = 146_097;
    let days = unix_ms() / 86_400_000;
    let year = 1970 + (days + 1) * 400 / DAYS_PER_400_YEARS;
    i32::try_from(year).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_may_be_served_by_any_thread() {
        fn is_send<T: Send>(_: impl FnOnce(Arc<PostgresPath>, Arc<Listener>, Connection) -> T) {}
        is_send(PostgresPath::serve);
    }

    #[test]
    fn the_year_is_this_one() {
        assert!((2025..2200).contains(&this_year()));
    }
}
