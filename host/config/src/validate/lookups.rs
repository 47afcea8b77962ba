use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Check, is_loopback};
use crate::locate::join;
use crate::{Lookup, SecretRef, file};

impl Check<'_> {
    pub(super) fn lookups(&mut self, lookups: BTreeMap<String, file::Lookup>) -> Option<Vec<Lookup>> {
        self.each("lookups", lookups, |check, key, name, lookup| {
            let url = check.text(&join(key, "url"), lookup.url);
            if let Some(url) = &url {
                check.lookup_url(&join(key, "url"), url);
            }
            let timeout = check.duration(&join(key, "timeout"), lookup.timeout, TIMEOUT, TIMEOUT_MIN..=TIMEOUT_MAX);
            let header = match lookup.header {
                Some(header) => Some(check.header(&join(key, "header"), header)?),
                None => None,
            };
            Some(Lookup { name, url: url?, timeout, header })
        })
    }

    fn lookup_url(&mut self, key: &str, url: &str) {
        let hint = || Some("\"https://tickets.example.org/api/{key}\"".to_owned());
        let (is_https, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return self.report(key, format!("{url:?} is no https URL"), hint()),
        };
        if url.contains(['#', ' ']) {
            return self.report(key, "a service's URL has no fragment and no blank", None);
        }
        let (host, place) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if host.is_empty() {
            self.report(key, format!("{url:?} names no host"), hint());
        } else if host.contains('@') {
            // It may hold a password, so it is not repeated.
            let fix = "header = { name = \"Authorization\", value = { env = \"NAME\" } }".to_owned();
            self.report(key, "a service's URL names no user", Some(fix));
        } else if !is_https && !is_loopback(host) {
            let why = "the answers could be forged by whoever sits between: use https".to_owned();
            self.report(key, "http:// is accepted on loopback only", Some(why));
        }
        match (host.contains("{key}"), place.matches("{key}").count()) {
            (true, _) => self.report(key, "`{key}` would choose the host: it stands in the path or the query", hint()),
            (false, 1) => {}
            (false, count) => {
                self.report(key, format!("`{{key}}` has to stand here once, not {count} times"), hint());
            }
        }
    }

    fn header(&mut self, key: &str, header: file::Header) -> Option<(Arc<str>, SecretRef)> {
        let name = self.text(&join(key, "name"), header.name);
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if let Some(name) = name.as_ref().filter(|name| !name.bytes().all(is_token)) {
            let hint = Some("such as \"Authorization\"".to_owned());
            self.report(&join(key, "name"), format!("{name:?} is no name of a header"), hint);
        }
        let value = self.secret(&join(key, "value"), header.value);
        Some((name?, value?))
    }
}

/// A statement waits for it: a service that is asked on the way of queries answers in milliseconds.
const TIMEOUT: Duration = Duration::from_millis(200);
/// Less is not enough for a round trip to the next building.
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(10);
