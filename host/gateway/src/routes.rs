//! Targets and roles as the PostgreSQL path wants them.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use grille_config::{Accepts, Config, Login, Record, Target, TlsMode, Volume};
use grille_net::{ClientCertificate, ClientTls, ClientTlsMode};
use grille_policy::NameList;
use grille_postgres as postgres;

use crate::compose::private_key;
use crate::secrets::resolve;

/// The targets in force beside what they were made from, so that one that stays the same stays the same object: the
/// path keeps its catalog by that.
pub(crate) type Known = HashMap<Arc<str>, (Target, Arc<postgres::Target>)>;

/// The routes of a configuration.
pub(crate) fn routes(config: &Config, known: &Known) -> anyhow::Result<(postgres::Routes, Known)> {
    let mut targets = Known::new();
    for target in &config.targets {
        let made = match known.get(&target.name) {
            Some((same, made)) if same == target && !has_files(target) => Arc::clone(made),
            _ => Arc::new(self::target(target).with_context(|| format!("targets.{}", target.name))?),
        };
        targets.insert(Arc::clone(&target.name), (target.clone(), made));
    }
    let routes = postgres::Routes {
        targets: targets.iter().map(|(name, (_, made))| (Arc::clone(name), Arc::clone(made))).collect(),
        roles: config.roles.iter().map(|role| Arc::new(self::role(role))).collect(),
    };
    Ok((routes, targets))
}

/// What is in these may be other than when it was read.
const fn has_files(target: &Target) -> bool {
    target.tls.root_cert.is_some() || target.tls.pair.is_some()
}

fn target(target: &Target) -> anyhow::Result<postgres::Target> {
    let mode = match target.tls.mode {
        TlsMode::Disable => ClientTlsMode::Disable,
        TlsMode::Require => ClientTlsMode::Require,
        TlsMode::VerifyFull => ClientTlsMode::VerifyFull,
    };
    let certificate = match &target.tls.pair {
        Some(pair) => Some(ClientCertificate { cert: pair.cert.clone(), key: private_key(&pair.key)? }),
        None => None,
    };
    Ok(postgres::Target {
        name: Arc::clone(&target.name),
        addresses: target.addresses.iter().map(ToString::to_string).collect(),
        database: target.database.to_string(),
        tls: ClientTls::new(mode, target.tls.root_cert.as_deref(), certificate.as_ref(), &[])?,
        login: login(&target.login),
        logins: target.logins.iter().map(|(role, login)| (Arc::clone(role), self::login(login))).collect(),
        catalog_refresh: target.catalog_refresh,
        recording: match target.record {
            Record::Capped => postgres::Recording::Capped,
            Record::Full => postgres::Recording::Full,
            Record::Decisions => postgres::Recording::Decisions,
        },
        retention: target.retention,
    })
}

/// The secret is read at every login, so that passwords of a quarter of an hour work.
pub(crate) fn login(login: &Login) -> postgres::Login {
    let Accepts { scram, md5, clear, nothing } = login.accepts;
    let password = login.password.clone().map(|reference| {
        Arc::new(move || resolve(&reference).map_err(|error| format!("{error:#}"))) as postgres::ReadSecret
    });
    postgres::Login {
        user: login.user.to_string(),
        password,
        accepts: postgres::Accepts { scram, md5, clear, nothing },
        must_bind: login.must_bind,
    }
}

fn role(role: &grille_config::Role) -> postgres::Role {
    postgres::Role {
        name: Arc::clone(&role.name),
        groups: role.groups.clone(),
        targets: NameList::new(&role.targets),
        relations: role.relations.clone(),
        read: role.rights.read,
        write: role.rights.write,
        ddl: role.rights.ddl,
        agents: role.agents,
        max_session: role.max_session,
        limits: postgres::Limits {
            idle: role.limits.idle,
            operation: volume(role.limits.operation),
            session: volume(role.limits.session),
            hour: volume(role.limits.hour),
        },
    }
}

const fn volume(volume: Volume) -> postgres::Volume {
    postgres::Volume { rows: volume.rows, bytes: volume.bytes }
}
