use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Check, Names, listeners::protocol};
use crate::locate::join;
use crate::{Login, Record, Target, TargetTls, TlsMode, UpstreamAddress, file};

const CATALOG_REFRESH: Duration = Duration::from_secs(5);
/// Below, the question costs more than what it guards; above, masking goes by a day that is over.
const CATALOG_REFRESH_RANGE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

impl Check<'_> {
    pub(super) fn targets(&mut self, targets: BTreeMap<String, file::Target>, names: &Names) -> Option<Vec<Target>> {
        self.each("targets", targets, |check, key, name, target| {
            let addresses = check.upstream(&join(key, "address"), target.address);
            let database = check.text(&join(key, "database"), target.database);
            let login = target.login.and_then(|login| check.login(&join(key, "login"), login));
            let mut logins = BTreeMap::new();
            for (role, login) in target.logins {
                let key = join(&join(key, "logins"), &role);
                check.reference(&key, "role", &role, &names.roles);
                if let Some(login) = check.login(&key, login) {
                    logins.insert(role.into(), login);
                }
            }
            let tls = check.client_tls(&join(key, "tls"), target.tls);
            let record = match target.record {
                None | Some(file::Record::Capped) => Record::Capped,
                Some(file::Record::Full) => Record::Full,
                Some(file::Record::Decisions) => Record::Decisions,
            };
            let catalog_refresh = check.duration(
                &join(key, "catalog_refresh"),
                target.catalog_refresh,
                CATALOG_REFRESH,
                CATALOG_REFRESH_RANGE,
            );
            Some(Target {
                name,
                protocol: protocol(target.protocol?),
                addresses: addresses?,
                database: database?,
                login: login?,
                logins,
                tls,
                catalog_refresh,
                record,
            })
        })
    }

    fn upstream(&mut self, key: &str, address: Option<file::OneOrMore>) -> Option<Vec<UpstreamAddress>> {
        let written = match address? {
            file::OneOrMore::One(address) => vec![(key.to_owned(), address)],
            file::OneOrMore::More(addresses) => {
                addresses.into_iter().enumerate().map(|(at, address)| (format!("{key}[{at}]"), address)).collect()
            }
        };
        if written.is_empty() {
            self.report(key, "this list is empty: name at least one host and port", None);
            return None;
        }
        let mut addresses = Some(Vec::new());
        for (key, text) in written {
            match (host_and_port(&text), &mut addresses) {
                (Some(address), Some(addresses)) => addresses.push(address),
                (Some(_), None) => {}
                (None, _) => {
                    let hint = "host and port, such as \"10.0.0.7:5432\" or \"db.internal:5432\"".to_owned();
                    self.report(&key, format!("{text:?} is no address of an upstream"), Some(hint));
                    addresses = None;
                }
            }
        }
        addresses
    }

    fn login(&mut self, key: &str, login: file::Login) -> Option<Login> {
        let user = self.text(&join(key, "user"), login.user);
        let wants_password = login.password.is_some();
        let password = self.secret(&join(key, "password"), login.password);
        if wants_password && password.is_none() {
            return None;
        }
        Some(Login { user: user?, password })
    }

    fn client_tls(&mut self, key: &str, tls: Option<file::ClientTls>) -> TargetTls {
        let (mode, root_cert) = match tls {
            None => (None, None),
            Some(file::ClientTls::Mode(mode)) => (Some(mode), None),
            Some(file::ClientTls::Table(table)) => (table.mode, table.root_cert),
        };
        let mode = match mode {
            Some(file::TlsMode::Disable) => TlsMode::Disable,
            Some(file::TlsMode::Require) => TlsMode::Require,
            None | Some(file::TlsMode::VerifyFull) => TlsMode::VerifyFull,
        };
        if root_cert.is_some() && mode != TlsMode::VerifyFull {
            let hint = "mode = \"verify-full\"".to_owned();
            self.report(&join(key, "root_cert"), "without verify-full no root is ever asked for", Some(hint));
        }
        TargetTls { mode, root_cert: root_cert.map(|path| self.path(&path)) }
    }
}

fn host_and_port(text: &str) -> Option<UpstreamAddress> {
    let (host, port) = text.rsplit_once(':')?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().ok().map(|_| address)?,
        None => host,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if host.is_empty() || (bracketed.is_none() && !host.bytes().all(plain)) {
        return None;
    }
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some(UpstreamAddress { host: host.into(), port })
}
