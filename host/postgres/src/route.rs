//! Which target a session reaches, by which roles, and with which upstream login.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use grille_net::ClientTls;
use grille_policy::{NameList, SessionFacts, Subject};
use grille_sql::RoleScope;
use secrecy::SecretString;

use crate::budget::Limits;

/// All targets and roles of the configuration in force. A reload puts a new one in place; sessions keep theirs.
#[derive(Debug, Default)]
pub struct Routes {
    /// By the target's name.
    pub targets: HashMap<Arc<str>, Arc<Target>>,
    /// All roles, by name.
    pub roles: Vec<Arc<Role>>,
}

/// A protected database.
#[derive(Debug)]
pub struct Target {
    /// The name in the configuration; callers give it as the database.
    pub name: Arc<str>,
    /// `host:port`, tried in order.
    pub addresses: Vec<String>,
    /// The database's name upstream.
    pub database: String,
    /// How the connection is protected.
    pub tls: ClientTls,
    /// The login for roles without one of their own.
    pub login: Login,
    /// The logins of single roles.
    pub logins: HashMap<Arc<str>, Login>,
    /// How long the catalog is believed without asking for its version.
    pub catalog_refresh: Duration,
    /// How much of the traffic is recorded.
    pub recording: Recording,
    /// How long the contents of its sessions are kept; none for what the ledger says.
    pub retention: Option<Duration>,
}

/// How much of a session's traffic the recording keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recording {
    /// Requests whole; of each result the first rows, the rest as counts and a digest.
    #[default]
    Capped,
    /// Everything.
    Full,
    /// Decisions and outcomes only.
    Decisions,
}

/// An upstream user and where its password comes from. The secret is read at every login, so short-lived ones work.
#[derive(Clone)]
pub struct Login {
    /// The user.
    pub user: String,
    /// Reads the password, if there is one; an error says which reference failed and why.
    pub password: Option<ReadSecret>,
    /// What the target may ask for.
    pub accepts: Accepts,
    /// SCRAM only, and bound to the target's certificate.
    pub must_bind: bool,
}

/// Reads a secret as it is now.
pub type ReadSecret = Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>;

/// What a target may ask of a login. Whatever is not here ends the login before a secret is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepts {
    /// SCRAM-SHA-256, with or without channel binding.
    pub scram: bool,
    /// A salted MD5 hash.
    pub md5: bool,
    /// A password in clear text; never outside TLS, except on loopback.
    pub clear: bool,
    /// Nothing: the target trusts the connection, or its client certificate.
    pub nothing: bool,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What members of some groups may do on some targets.
#[derive(Debug, PartialEq)]
pub struct Role {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// The groups that give it.
    pub groups: Vec<Arc<str>>,
    /// The targets it is for.
    pub targets: NameList,
    /// The relations in scope.
    pub relations: NameList,
    /// Whether rows may be read.
    pub read: bool,
    /// Whether rows may be changed.
    pub write: bool,
    /// Whether definitions may be changed.
    pub ddl: bool,
    /// Whether a program acting for the subject may hold it.
    pub agents: bool,
    /// The longest session.
    pub max_session: Option<Duration>,
    /// How much of results it gives, and how long a session may rest.
    pub limits: Limits,
}

/// Where a session goes.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) target: Arc<Target>,
    pub(crate) roles: Vec<Arc<Role>>,
}

/// Why a session goes nowhere.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoute {
    #[error("no role gives {subject} access to anything here; ask for a group that a role names")]
    Nothing { subject: Arc<str> },
    #[error("database \"{asked}\" is no target that {subject} may reach; reachable: {reachable}")]
    Unknown { asked: String, subject: Arc<str>, reachable: String },
}

impl Routes {
    /// The route of a subject who asks for a database as `user`. A listener may pin a target, which then answers to
    /// its own and to the upstream's name. A `user` that names a held role narrows the session to it.
    pub(crate) fn find(
        &self,
        subject: &Subject,
        database: &str,
        user: &str,
        pinned: Option<&str>,
    ) -> Result<Route, NoRoute> {
        let held: Vec<&Arc<Role>> = self.roles.iter().filter(|role| role.is_held_by(subject)).collect();
        let reaches = |target: &Target| held.iter().any(|role| role.targets.contains(&target.name));
        let mut reachable: Vec<&str> =
            self.targets.values().filter(|target| reaches(target)).map(|target| &*target.name).collect();
        reachable.sort_unstable();
        if reachable.is_empty() {
            return Err(NoRoute::Nothing { subject: Arc::clone(&subject.name) });
        }
        let target = match pinned {
            Some(pinned) => self.targets.get(pinned).filter(|t| database == &*t.name || database == t.database),
            None => self.targets.get(database),
        };
        let Some(target) = target.filter(|target| reaches(target)) else {
            return Err(NoRoute::Unknown {
                asked: database.to_owned(),
                subject: Arc::clone(&subject.name),
                reachable: reachable.join(", "),
            });
        };
        let mut roles: Vec<Arc<Role>> =
            held.into_iter().filter(|role| role.targets.contains(&target.name)).map(Arc::clone).collect();
        if let Some(named) = roles.iter().find(|role| &*role.name == user) {
            roles = vec![Arc::clone(named)];
        }
        roles.sort_by(|one, two| one.name.cmp(&two.name));
        Ok(Route { target: Arc::clone(target), roles })
    }
}

/// How a role of an open session is other than it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    /// It no longer gives the session's target to its subject.
    Gone(&'a str),
    /// It gives other rights or limits.
    Other(&'a str),
}

impl Routes {
    /// What is other for a session that the old routes gave.
    pub(crate) fn change<'a>(&self, old: &Self, facts: &'a SessionFacts) -> Option<Change<'a>> {
        let named = |routes: &Self, name: &str| routes.roles.iter().find(|role| &*role.name == name).map(Arc::clone);
        let mut other = None;
        for name in &facts.roles {
            let now = named(self, name);
            let gives = now
                .as_ref()
                .is_some_and(|role| role.is_held_by(&facts.subject) && role.targets.contains(&facts.target));
            if !gives || !self.targets.contains_key(&facts.target) {
                return Some(Change::Gone(name));
            }
            if now != named(old, name) {
                other = Some(Change::Other(name));
            }
        }
        other
    }
}

impl Role {
    fn is_held_by(&self, subject: &Subject) -> bool {
        subject.is_in_any(&self.groups) && (self.agents || !subject.is_agent())
    }
}

impl Route {
    /// The login of the first held role that has its own, else the target's.
    pub(crate) fn login(&self) -> &Login {
        self.roles.iter().find_map(|role| self.target.logins.get(&role.name)).unwrap_or(&self.target.login)
    }

    /// What the session may touch: the union of its roles' rights. What one role removes stays reachable if another
    /// gives it.
    pub(crate) fn scope(&self) -> RoleScope {
        let lists: Vec<&NameList> = self.roles.iter().map(|role| &role.relations).collect();
        RoleScope {
            relations: NameList::union(&lists),
            read: self.roles.iter().any(|role| role.read),
            write: self.roles.iter().any(|role| role.write),
            ddl: self.roles.iter().any(|role| role.ddl),
        }
    }

    /// The longest that the session may last: the most generous of its roles.
    pub(crate) fn max_session(&self) -> Option<Duration> {
        let limits: Option<Vec<Duration>> = self.roles.iter().map(|role| role.max_session).collect();
        limits.and_then(|limits| limits.into_iter().max())
    }
}

#[cfg(test)]
mod tests {
    use grille_net::ClientTlsMode;

    use super::*;

    fn routes() -> Routes {
        let target = |name: &str| {
            let login = Login { user: "app".into(), password: None, accepts: Accepts::default(), must_bind: false };
            let tls = ClientTls::new(ClientTlsMode::Disable, None, None, &[]).expect("needs no file");
            Arc::new(Target {
                name: name.into(),
                addresses: vec!["127.0.0.1:5432".into()],
                database: format!("{name}_db"),
                tls,
                login,
                logins: HashMap::new(),
                catalog_refresh: Duration::from_secs(5),
                recording: Recording::Capped,
                retention: None,
            })
        };
        let role = |name: &str, group: &str, targets: &[&str], relations: &[&str], agents| {
            Arc::new(Role {
                name: name.into(),
                groups: vec![group.into()],
                targets: NameList::new(targets),
                relations: NameList::new(relations),
                read: true,
                write: false,
                ddl: false,
                agents,
                max_session: None,
                limits: Limits::default(),
            })
        };
        Routes {
            targets: ["clinic", "mart"].into_iter().map(|name| (name.into(), target(name))).collect(),
            roles: vec![
                role("analyst", "data", &["clinic"], &["public.*"], true),
                role("dba", "dbas", &["*"], &["*"], false),
            ],
        }
    }

    fn subject(groups: &[&str], is_agent: bool) -> Subject {
        let actor = grille_policy::Actor { issuer: "i".into(), sub: "bot".into() };
        Subject {
            provider: "corp".into(),
            issuer: "i".into(),
            sub: "ann".into(),
            name: "ann".into(),
            groups: groups.iter().map(|group| (*group).into()).collect(),
            actors: is_agent.then_some(actor).into_iter().collect(),
            expires_at: 0,
            claims: "{}".into(),
        }
    }

    /// Asks for a route and says it as `target roles`, or the error's text.
    fn check(groups: &[&str], is_agent: bool, database: &str, user: &str, pinned: Option<&str>, expected: &str) {
        let found = match routes().find(&subject(groups, is_agent), database, user, pinned) {
            Ok(route) => {
                let roles: Vec<&str> = route.roles.iter().map(|role| &*role.name).collect();
                format!("{} {}", route.target.name, roles.join("+"))
            }
            Err(none) => none.to_string(),
        };
        assert!(found.starts_with(expected), "{found} is not {expected}");
    }

    #[test]
    fn groups_give_roles_and_roles_give_targets() {
        check(&["data"], false, "clinic", "x", None, "clinic analyst");
        check(&["data", "dbas"], false, "clinic", "x", None, "clinic analyst+dba");
        check(&["data", "dbas"], false, "clinic", "dba", None, "clinic dba");
        check(
            &["data"],
            false,
            "mart",
            "x",
            None,
            "database \"mart\" is no target that ann may reach; reachable: clinic",
        );
        check(&["dbas"], false, "Clinic", "x", None, "database \"Clinic\" is no target");
        check(&["dbas"], true, "clinic", "x", None, "no role gives ann access");
        check(&[], false, "clinic", "x", None, "no role gives ann access");
        check(&["data"], false, "clinic_db", "x", Some("clinic"), "clinic analyst");
        check(&["dbas"], false, "mart", "x", Some("clinic"), "database \"mart\" is no target");
    }

    #[test]
    fn the_rights_are_the_union_of_the_roles() {
        let route = routes().find(&subject(&["data", "dbas"], false), "clinic", "x", None).expect("a route");
        assert!(route.scope().relations.is_unlimited());
        let route = routes().find(&subject(&["data"], false), "clinic", "x", None).expect("a route");
        assert!(!route.scope().relations.contains("other.t") && route.scope().read && !route.scope().write);
    }
}
