use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{Check, Names};
use crate::locate::join;
use crate::{Admin, Auth, CertPair, ClientCerts, Listener, ListenerTls, Protocol, file};

impl Check<'_> {
    pub(super) fn listeners(
        &mut self,
        listeners: BTreeMap<String, file::Listener>,
        names: &Names,
    ) -> Option<Vec<Listener>> {
        let mut seen: BTreeMap<SocketAddr, String> = BTreeMap::new();
        self.each("listeners", listeners, |check, key, name, listener| {
            let address = check.address(&join(key, "address"), listener.address);
            if let Some(address) = address.filter(|address| address.port() != 0)
                && let Some(other) = seen.insert(address, name.to_string())
            {
                check.report(&join(key, "address"), format!("listener `{other}` has the same address"), None);
            }
            let tls = check.server_tls(key, listener.tls, address);
            if let Some(target) = &listener.target {
                check.reference(&join(key, "target"), "target", target, &names.targets);
            }
            let max_connections = listener.max_connections.unwrap_or(MAX_CONNECTIONS);
            let max_unauthenticated =
                listener.max_unauthenticated.unwrap_or_else(|| MAX_UNAUTHENTICATED.min(max_connections).max(1));
            for (what, count) in [("max_connections", max_connections), ("max_unauthenticated", max_unauthenticated)] {
                if !(1..=CONNECTIONS_CEILING).contains(&count) {
                    let hint = Some(format!("from 1 to {CONNECTIONS_CEILING}"));
                    check.report(&join(key, what), format!("{count} is out of range"), hint);
                }
            }
            let trusted_proxies = check.networks(&join(key, "trusted_proxies"), listener.trusted_proxies);
            let auth = check.auth(key, listener.auth, listener.issuer, listener.scope, names);
            Some(Listener {
                name,
                protocol: protocol(listener.protocol?),
                address: address?,
                tls: tls?,
                auth: auth?,
                target: listener.target.map(Into::into),
                max_connections,
                max_unauthenticated,
                trusted_proxies: trusted_proxies?,
            })
        })
    }

    /// Networks, or addresses that stand for themselves.
    fn networks(&mut self, key: &str, networks: Option<Vec<String>>) -> Option<Vec<IpNet>> {
        let read = |text: &str| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
        let networks = networks.unwrap_or_default();
        let read: Vec<Option<IpNet>> = networks.iter().map(|text| read(text)).collect();
        for (text, _) in networks.iter().zip(&read).filter(|(_, network)| network.is_none()) {
            let hint = Some("such as \"10.0.0.7\" or \"10.0.0.0/8\"".to_owned());
            self.report(key, format!("`{text}` is no address and no network"), hint);
        }
        read.into_iter().collect()
    }

    pub(super) fn admin(&mut self, admin: file::Admin) -> Option<Admin> {
        let address = self.address("admin.address", admin.address);
        let tls = self.server_tls("admin", admin.tls, address);
        let operators = self.texts("admin.operators", admin.operators, None);
        let owners = self.texts("admin.owners", admin.owners, None);
        let auditors = self.texts("admin.auditors", admin.auditors, None);
        Some(Admin { address: address?, tls: tls?, operators, owners, auditors })
    }

    /// The outer none means that something is wrong.
    fn server_tls(
        &mut self,
        key: &str,
        tls: Option<file::ServerTls>,
        address: Option<SocketAddr>,
    ) -> Option<Option<ListenerTls>> {
        let table = join(key, "tls");
        let Some(tls) = tls else {
            let exposed = address.is_some_and(|address| !address.ip().is_loopback());
            if exposed && !self.problems.iter().any(|problem| problem.key.starts_with(&table)) {
                let hint = "tls = { cert = \"cert.pem\", key = { file = \"key.pem\" } }".to_owned();
                self.report(&table, "off loopback a listener needs TLS: callers send their tokens there", Some(hint));
            }
            return if exposed { None } else { Some(None) };
        };
        let cert = self.text(&join(&table, "cert"), tls.cert);
        let key = self.secret(&join(&table, "key"), tls.key);
        if tls.client_certs.is_some() && tls.client_ca.is_none() {
            let hint = Some("client_ca = \"roots.pem\"".to_owned());
            self.report(&join(&table, "client_certs"), "without client_ca nobody could vouch for a certificate", hint);
        }
        let client_certs = match tls.client_ca {
            Some(ca) => Some(ClientCerts {
                ca: self.text(&join(&table, "client_ca"), Some(ca)).map(|ca| self.path(&ca))?,
                is_required: tls.client_certs != Some(file::ClientCerts::Optional),
            }),
            None => None,
        };
        Some(Some(ListenerTls { pair: CertPair { cert: self.path(&cert?), key: key? }, client_certs }))
    }

    fn auth(
        &mut self,
        key: &str,
        auth: Option<file::Auth>,
        issuer: Option<String>,
        scope: Option<String>,
        names: &Names,
    ) -> Option<Auth> {
        if !matches!(auth, Some(file::Auth::Oauthbearer)) {
            for (what, _) in [("issuer", &issuer), ("scope", &scope)].into_iter().filter(|(_, text)| text.is_some()) {
                let hint = Some("auth = \"oauthbearer\"".to_owned());
                self.report(&join(key, what), "only OAUTHBEARER tells callers where their token comes from", hint);
            }
            return Some(Auth::Password);
        }
        let issuer = match (issuer, names.issuers.as_slice()) {
            (Some(issuer), _) => {
                self.reference(&join(key, "issuer"), "issuer", &issuer, &names.issuers);
                issuer
            }
            (None, [only]) => only.clone(),
            (None, several) => {
                let hint = several.first().map(|first| format!("issuer = {first:?}"));
                self.report(&join(key, "auth"), "several issuers, and no `issuer` says where callers are sent", hint);
                return None;
            }
        };
        let scope = self.text(&join(key, "scope"), Some(scope.unwrap_or_else(|| "openid".to_owned())))?;
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if !scope.bytes().all(plain) {
            let hint = Some("words with blanks between them, such as \"openid groups\"".to_owned());
            self.report(&join(key, "scope"), "these are no scopes", hint);
        }
        Some(Auth::Oauthbearer { issuer: issuer.into(), scope })
    }
}

pub(super) fn protocol(protocol: file::Protocol) -> Protocol {
    match protocol {
        file::Protocol::Postgres => Protocol::Postgres,
    }
}

/// Twice what a large PostgreSQL is configured for.
const MAX_CONNECTIONS: u32 = 10_000;
/// Peers that say nothing hold a place for up to a minute; at a thousand that is 16 new ones a second.
const MAX_UNAUTHENTICATED: u32 = 1_000;
/// Each is two sockets; file descriptors end somewhere near a million.
const CONNECTIONS_CEILING: u32 = 400_000;
