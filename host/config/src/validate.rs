//! What the shape cannot say: names that refer to each other, addresses, units, and what may not stand together.

mod ledger;
mod listeners;
mod lookups;
mod policies;
mod roles;
mod targets;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::locate::join;
use crate::units::{duration, show_duration, show_size, size};
use crate::{Config, Issuer, KeyRef, Locations, Masking, Problem, Review, SecretRef, file, suggest};

/// The configuration, unless something is wrong that leaves a hole in it. `problems` grows by all that is found.
pub(crate) fn validate(
    file: file::File,
    path: &Path,
    locations: Locations,
    problems: &mut Vec<Problem>,
) -> Option<Config> {
    let mut check = Check { locations: &locations, problems, folder: folder(path) };
    if let Some(version) = file.version.filter(|version| *version != 1) {
        let hint = Some("this gateway reads version = 1".to_owned());
        check.report("version", format!("version {version} is unknown"), hint);
    }
    let identity = check.at_least_one("identity", file.identity, "nobody could log in");
    let listeners = check.at_least_one("listeners", file.listeners, "nobody could connect");
    let targets = check.at_least_one("targets", file.targets, "there is nothing to reach");
    let names = Names {
        issuers: identity.keys().cloned().collect(),
        targets: targets.keys().cloned().collect(),
        roles: file.roles.keys().cloned().collect(),
        lookups: file.lookups.keys().cloned().collect(),
    };
    let issuers = check.issuers(identity);
    let listeners = check.listeners(listeners, &names);
    let targets = check.targets(targets, &names);
    let roles = check.roles(file.roles, &names);
    let policies = check.policies(file.policies, &names);
    let lookups = check.lookups(file.lookups);
    let longest = targets.iter().flatten().filter_map(|target| target.retention).max();
    let ledger = check.ledger(file.ledger, longest);
    let key = check.key("masking.key", file.masking.key, &ledger.path, "mask.key");
    let review = check.review(file.review);
    let admin = file.admin.map(|admin| check.admin(admin));
    let config = Config {
        path: path.to_owned(),
        issuers: issuers?,
        listeners: listeners?,
        targets: targets?,
        roles: roles?,
        policies: policies?,
        lookups: lookups?,
        masking: Masking { key },
        ledger,
        review: review?,
        admin: match admin {
            Some(admin) => Some(admin?),
            None => None,
        },
        locations: Locations::default(),
    };
    Some(Config { locations, ..config })
}

pub(crate) fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The names that others refer to, whether or not what they name is in order.
struct Names {
    issuers: Vec<String>,
    targets: Vec<String>,
    roles: Vec<String>,
    lookups: Vec<String>,
}

struct Check<'a> {
    locations: &'a Locations,
    problems: &'a mut Vec<Problem>,
    folder: PathBuf,
}

impl Check<'_> {
    fn report(&mut self, key: &str, message: impl Into<String>, hint: Option<String>) {
        self.problems.push(self.locations.problem(key, message, hint));
    }

    /// A table that must name something. A table that is missing altogether is reported by the shape.
    fn at_least_one<T>(&mut self, key: &str, map: Option<BTreeMap<String, T>>, why: &str) -> BTreeMap<String, T> {
        if map.as_ref().is_some_and(BTreeMap::is_empty) {
            self.report(key, format!("at least one is needed: without it {why}"), None);
        }
        map.unwrap_or_default()
    }

    /// Each entry of a table of names. One that is not in order makes none of the whole, after all were looked at.
    fn each<T, U>(
        &mut self,
        table: &str,
        map: BTreeMap<String, T>,
        mut one: impl FnMut(&mut Self, &str, Arc<str>, T) -> Option<U>,
    ) -> Option<Vec<U>> {
        let mut all = Some(Vec::new());
        for (name, value) in map {
            let key = join(table, &name);
            self.name(&key, &name);
            match one(self, &key, name.into(), value) {
                Some(value) => {
                    if let Some(all) = &mut all {
                        all.push(value);
                    }
                }
                None => all = None,
            }
        }
        all
    }

    fn name(&mut self, key: &str, name: &str) {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if name.is_empty() || name.len() > NAME_MAX || !plain {
            let hint = format!("letters, digits, `_` and `-`, at most {NAME_MAX}");
            self.report(key, "this is not usable as a name", Some(hint));
        }
    }

    fn text(&mut self, key: &str, text: Option<String>) -> Option<Arc<str>> {
        let text = text?;
        if text.trim().is_empty() {
            self.report(key, "this is empty", None);
            return None;
        }
        Some(text.into())
    }

    fn texts(&mut self, key: &str, texts: Vec<String>, why_not_empty: Option<&str>) -> Vec<Arc<str>> {
        if let (true, Some(why)) = (texts.is_empty(), why_not_empty) {
            self.report(key, format!("this list is empty: {why}"), None);
        }
        for (at, text) in texts.iter().enumerate() {
            if text.trim().is_empty() {
                self.report(&format!("{key}[{at}]"), "this is empty", None);
            }
        }
        texts.into_iter().map(Into::into).collect()
    }

    /// A name out of a list of names that exist.
    fn reference(&mut self, key: &str, what: &str, name: &str, known: &[String]) {
        if !known.iter().any(|one| one == name) {
            let hint = suggest::hint(name, known.iter().map(String::as_str));
            self.report(key, format!("there is no {what} `{name}`"), hint);
        }
    }

    fn references(&mut self, key: &str, what: &str, names: Vec<String>, known: &[String]) -> Vec<Arc<str>> {
        for (at, name) in names.iter().enumerate() {
            self.reference(&format!("{key}[{at}]"), what, name, known);
        }
        self.texts(key, names, Some(&format!("name at least one {what}")))
    }

    fn duration(
        &mut self,
        key: &str,
        text: Option<String>,
        default: Duration,
        range: std::ops::RangeInclusive<Duration>,
    ) -> Duration {
        let Some(text) = text else { return default };
        let (low, high) = (show_duration(*range.start()), show_duration(*range.end()));
        match duration(&text) {
            Some(value) if range.contains(&value) => value,
            Some(_) => {
                self.report(key, format!("{text:?} is out of range"), Some(format!("from {low} to {high}")));
                default
            }
            None => {
                let hint = Some("a number and a unit: \"250ms\", \"30s\", \"5m\", \"8h\", \"7d\"".to_owned());
                self.report(key, format!("{text:?} is no duration"), hint);
                default
            }
        }
    }

    fn size(&mut self, key: &str, text: Option<String>, default: u64, range: std::ops::RangeInclusive<u64>) -> u64 {
        let Some(text) = text else { return default };
        let (low, high) = (show_size(*range.start()), show_size(*range.end()));
        match size(&text) {
            Some(value) if range.contains(&value) => value,
            Some(_) => {
                self.report(key, format!("{text:?} is out of range"), Some(format!("from {low} to {high}")));
                default
            }
            None => {
                let hint = Some("a number and a unit: \"64KiB\", \"64MiB\", \"1GiB\"".to_owned());
                self.report(key, format!("{text:?} is no size"), hint);
                default
            }
        }
    }

    fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    fn secret(&mut self, key: &str, secret: Option<file::Secret>) -> Option<SecretRef> {
        let file::Secret { env, file } = secret?;
        match (env, file) {
            (Some(env), None) if is_variable(&env) => Some(SecretRef::Env(env)),
            (Some(_), None) => {
                let hint = "letters, digits and `_`, such as CLINIC_PASSWORD; the variable's name, not its value";
                self.report(&format!("{key}.env"), "this is no name of an environment variable", Some(hint.to_owned()));
                None
            }
            (None, Some(file)) if file.is_empty() => {
                self.report(&format!("{key}.file"), "this is empty", None);
                None
            }
            (None, Some(file)) => Some(SecretRef::File(self.path(&file))),
            (None, None) | (Some(_), Some(_)) => {
                let hint = "{ env = \"NAME\" } or { file = \"path\" }".to_owned();
                self.report(key, "exactly one of `env` and `file` is needed", Some(hint));
                None
            }
        }
    }

    /// A key of ours: as configured, or a file beside the ledger.
    fn key(&mut self, key: &str, secret: Option<file::Secret>, ledger: &Path, default: &str) -> KeyRef {
        let is_default = secret.is_none();
        let source = self.secret(key, secret).unwrap_or_else(|| SecretRef::File(folder(ledger).join(default)));
        KeyRef { source, is_default }
    }

    fn address(&mut self, key: &str, text: Option<String>) -> Option<SocketAddr> {
        let text = text?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            let hint = if text.starts_with("localhost:") {
                format!("write {:?}", text.replacen("localhost", "127.0.0.1", 1))
            } else {
                "an IP address and a port, such as \"127.0.0.1:6432\" or \"[::]:6432\"".to_owned()
            };
            self.report(key, format!("{text:?} is no address to listen on"), Some(hint));
        }
        parsed
    }

    fn issuers(&mut self, identity: BTreeMap<String, file::Issuer>) -> Option<Vec<Issuer>> {
        let mut seen: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
        self.each("identity", identity, |check, key, name, issuer| {
            let url = check.text(&join(key, "issuer"), issuer.issuer);
            if let Some(url) = &url {
                check.issuer_url(&join(key, "issuer"), url);
                if let Some(other) = seen.insert(url.clone(), name.clone()) {
                    check.report(&join(key, "issuer"), format!("identity `{other}` names the same issuer"), None);
                }
            }
            let audience = check.text(&join(key, "audience"), issuer.audience);
            let groups_claim = issuer.groups_claim.unwrap_or_else(|| "groups".to_owned());
            let groups_claim = check.text(&join(key, "groups_claim"), Some(groups_claim));
            let leeway = check.duration(&join(key, "leeway"), issuer.leeway, LEEWAY, Duration::ZERO..=LEEWAY_MAX);
            let window = join(key, "refresh_window");
            let refresh_window =
                check.duration(&window, issuer.refresh_window, Duration::ZERO, Duration::ZERO..=REFRESH_WINDOW_MAX);
            let (issuer, audience, groups_claim) = (url?, audience?, groups_claim?);
            Some(Issuer { name, issuer, audience, groups_claim, leeway, refresh_window })
        })
    }

    fn issuer_url(&mut self, key: &str, url: &str) {
        if url.contains(['?', '#', ' ']) {
            self.report(key, "an issuer's URL has no query, fragment or blank", None);
            return;
        }
        let (is_https, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => {
                self.report(key, format!("{url:?} is no https URL"), Some("https://id.example.org".to_owned()));
                return;
            }
        };
        let host = rest.split('/').next().unwrap_or_default();
        if host.is_empty() || host.contains('@') {
            self.report(key, format!("{url:?} names no host"), None);
        } else if !is_https && !is_loopback(host) {
            let hint = "tokens could be forged by whoever sits between: use https".to_owned();
            self.report(key, "http:// is accepted on loopback only", Some(hint));
        }
    }

    fn review(&mut self, review: file::Review) -> Option<Review> {
        let reviewers = self.texts("review.reviewers", review.reviewers, None);
        let quorum = review.quorum.unwrap_or(1);
        if !(1..=QUORUM_MAX).contains(&quorum) {
            self.report("review.quorum", format!("{quorum} is out of range"), Some(format!("from 1 to {QUORUM_MAX}")));
        }
        let hold = self.duration("review.hold", review.hold, HOLD, Duration::from_secs(1)..=HOLD_MAX);
        Some(Review { reviewers, quorum, hold })
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether the `host` or `host:port` of a URL can only be this machine.
fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Names become metric labels, file names and parts of key paths.
const NAME_MAX: usize = 63;
/// Clocks under NTP differ by far less.
const LEEWAY: Duration = Duration::from_secs(30);
/// Longer than this, an expired token is a token.
const LEEWAY_MAX: Duration = Duration::from_secs(300);
/// A session that outlives its token by a working day is one that nobody ends.
const REFRESH_WINDOW_MAX: Duration = Duration::from_secs(8 * 3600);
const HOLD: Duration = Duration::from_secs(120);
/// Somebody waits at a prompt; what takes longer is a grant.
const HOLD_MAX: Duration = Duration::from_secs(3600);
/// More distinct people than that are not found for one statement.
const QUORUM_MAX: u32 = 16;
