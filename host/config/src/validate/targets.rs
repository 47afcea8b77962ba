use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Check, Names, listeners::protocol};
use crate::locate::join;
use crate::{Accepts, CertPair, Login, Record, Target, TargetTls, TlsMode, UpstreamAddress, file};

const CATALOG_REFRESH: Duration = Duration::from_secs(5);
/// Below, the question costs more than what it guards; above, masking goes by a day that is over.
const CATALOG_REFRESH_RANGE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

impl Check<'_> {
    pub(super) fn targets(&mut self, targets: BTreeMap<String, file::Target>, names: &Names) -> Option<Vec<Target>> {
        self.each("targets", targets, |check, key, name, target| {
            let addresses = check.upstream(&join(key, "address"), target.address);
            let database = check.text(&join(key, "database"), target.database);
            let tls = check.client_tls(&join(key, "tls"), target.tls);
            let mode = tls.as_ref().map_or(TlsMode::VerifyFull, |tls| tls.mode);
            let login = target.login.and_then(|login| check.login(&join(key, "login"), login, mode));
            let mut logins = BTreeMap::new();
            for (role, login) in target.logins {
                let key = join(&join(key, "logins"), &role);
                check.reference(&key, "role", &role, &names.roles);
                if let Some(login) = check.login(&key, login, mode) {
                    logins.insert(role.into(), login);
                }
            }
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
            let retention = check.retention(&join(key, "retention"), target.retention);
            Some(Target {
                name,
                protocol: protocol(target.protocol?),
                addresses: addresses?,
                database: database?,
                login: login?,
                logins,
                tls: tls?,
                catalog_refresh,
                record,
                retention,
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

    fn login(&mut self, key: &str, login: file::Login, mode: TlsMode) -> Option<Login> {
        let user = self.text(&join(key, "user"), login.user);
        let wants_password = login.password.is_some();
        let password = self.secret(&join(key, "password"), login.password);
        if wants_password && password.is_none() {
            return None;
        }
        let accepts = self.accepts(&join(key, "require_auth"), login.require_auth, wants_password);
        let must_bind = login.channel_binding == Some(file::ChannelBinding::Require);
        if must_bind {
            let key = join(key, "channel_binding");
            if mode == TlsMode::Disable {
                self.report(&key, "without TLS there is no certificate that SCRAM could be bound to", None);
            } else if !accepts.scram {
                self.report(&key, "only SCRAM binds, and this login does not use it", None);
            }
        }
        Some(Login { user: user?, password, accepts, must_bind })
    }

    fn accepts(&mut self, key: &str, asked: Option<Vec<file::UpstreamAuth>>, has_password: bool) -> Accepts {
        let Some(asked) = asked else {
            return Accepts { scram: has_password, md5: has_password, clear: false, nothing: !has_password };
        };
        if asked.is_empty() {
            let hint = Some("require_auth = [\"scram-sha-256\"]".to_owned());
            self.report(key, "this list is empty: no login could succeed", hint);
        }
        let has = |method| asked.contains(&method);
        let accepts = Accepts {
            scram: has(file::UpstreamAuth::ScramSha256),
            md5: has(file::UpstreamAuth::Md5),
            clear: has(file::UpstreamAuth::Password),
            nothing: has(file::UpstreamAuth::None),
        };
        if !has_password && (accepts.scram || accepts.md5 || accepts.clear) {
            let hint = Some("password = { env = \"NAME\" } or { file = \"path\" }".to_owned());
            self.report(key, "this needs a password, and the login names none", hint);
        }
        accepts
    }

    /// None means that something is wrong.
    fn client_tls(&mut self, key: &str, tls: Option<file::ClientTls>) -> Option<TargetTls> {
        let table = match tls {
            None => file::ClientTlsTable::default(),
            Some(file::ClientTls::Mode(mode)) => file::ClientTlsTable { mode: Some(mode), ..Default::default() },
            Some(file::ClientTls::Table(table)) => table,
        };
        let file::ClientTlsTable { mode, root_cert, cert, key: private } = table;
        let mode = match mode {
            Some(file::TlsMode::Disable) => TlsMode::Disable,
            Some(file::TlsMode::Require) => TlsMode::Require,
            None | Some(file::TlsMode::VerifyFull) => TlsMode::VerifyFull,
        };
        if root_cert.is_some() && mode != TlsMode::VerifyFull {
            let hint = "mode = \"verify-full\"".to_owned();
            self.report(&join(key, "root_cert"), "without verify-full no root is ever asked for", Some(hint));
        }
        if cert.is_some() && mode == TlsMode::Disable {
            self.report(&join(key, "cert"), "without TLS no certificate is ever shown", None);
        }
        let pair = match (cert, private) {
            (None, None) => None,
            (Some(cert), Some(private)) => {
                let cert = self.text(&join(key, "cert"), Some(cert));
                let private = self.secret(&join(key, "key"), Some(private));
                Some(CertPair { cert: self.path(&cert?), key: private? })
            }
            (cert, _) => {
                let (there, other) = if cert.is_some() { ("cert", "key") } else { ("key", "cert") };
                self.report(&join(key, there), format!("certificate and key go together: `{other}` is missing"), None);
                return None;
            }
        };
        Some(TargetTls { mode, root_cert: root_cert.map(|path| self.path(&path)), pair })
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
