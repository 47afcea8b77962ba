//! What a new configuration protects less than the old one. It is no reason to refuse, it is a reason to say so.

use std::time::Duration;

use grille_config::{Accepts, Config, Login, Policy, Record, Rights, Role, Target, TlsMode, Volume};
use grille_plugin::PolicyDescription;
use grille_policy::Mode;

use crate::retention::days;

/// One sentence per weakening.
pub(crate) fn weakening(old: &Config, new: &Config) -> Vec<String> {
    let mut found = Vec::new();
    for before in &old.policies {
        match new.policies.iter().find(|policy| policy.name == before.name) {
            None => found.push(format!("policy \"{}\" is gone", before.name)),
            Some(after) => compare(old, before, after, &mut found),
        }
    }
    for after in new.policies.iter().filter(|policy| policy.failure_allows) {
        if !old.policies.iter().any(|policy| policy.name == after.name) {
            found.push(format!("policy \"{}\" lets operations pass when it fails", after.name));
        }
    }
    for before in &old.targets {
        if let Some(after) = new.target(&before.name) {
            compare_targets(before, after, &mut found);
            let (kept, keeps) = (kept_for(before, old), kept_for(after, new));
            if keeps < kept {
                let name = &before.name;
                let days = |time: Duration| days(time.as_secs());
                found.push(format!("sessions on target \"{name}\" are kept {} instead of {}", days(keeps), days(kept)));
            }
        }
    }
    if new.ledger.shreds_at_end && !old.ledger.shreds_at_end {
        found.push("the contents of sessions are destroyed at the end of their retention".to_owned());
    }
    for before in &old.roles {
        if let Some(after) = new.roles.iter().find(|role| role.name == before.name) {
            compare_roles(before, after, &mut found);
        }
    }
    if new.review.quorum < old.review.quorum {
        found.push(format!("a review takes an approval by {} instead of {}", new.review.quorum, old.review.quorum));
    }
    found
}

/// How a target is trusted, what it may ask of a login, and what is kept of its sessions.
fn compare_targets(before: &Target, after: &Target, found: &mut Vec<String>) {
    let name = &before.name;
    if trust(after.tls.mode) < trust(before.tls.mode) {
        found.push(format!("target \"{name}\" is trusted with a weaker tls"));
    }
    let logins = |target: &Target| -> Vec<(String, Login)> {
        let own = target.logins.iter().map(|(role, login)| (format!(" of role \"{role}\""), login.clone()));
        std::iter::once((String::new(), target.login.clone())).chain(own).collect()
    };
    for ((whose, old), (_, new)) in common(logins(before), logins(after)) {
        let Accepts { scram, md5, clear, nothing } = new.accepts;
        let had = old.accepts;
        if (scram && !had.scram) || (md5 && !had.md5) || (clear && !had.clear) || (nothing && !had.nothing) {
            found.push(format!("the login{whose} on target \"{name}\" answers more methods (require_auth)"));
        }
        if old.must_bind && !new.must_bind {
            found.push(format!("the login{whose} on target \"{name}\" no longer demands channel binding"));
        }
    }
    if kept(after.record) < kept(before.record) {
        found.push(format!("less is recorded of sessions on target \"{name}\""));
    }
}

fn common(old: Vec<(String, Login)>, new: Vec<(String, Login)>) -> Vec<((String, Login), (String, Login))> {
    let find = |whose: &str| new.iter().find(|(other, _)| other == whose).cloned();
    old.into_iter().filter_map(|before| find(&before.0).map(|after| (before, after))).collect()
}

fn kept_for(target: &Target, config: &Config) -> Duration {
    target.retention.unwrap_or(config.ledger.retention)
}

const fn trust(mode: TlsMode) -> u8 {
    match mode {
        TlsMode::Disable => 0,
        TlsMode::Require => 1,
        TlsMode::VerifyFull => 2,
    }
}

const fn kept(record: Record) -> u8 {
    match record {
        Record::Decisions => 0,
        Record::Capped => 1,
        Record::Full => 2,
    }
}

/// What a role gives. Its `relations` are lists of patterns, which are not compared.
fn compare_roles(before: &Role, after: &Role, found: &mut Vec<String>) {
    let name = &before.name;
    let rights = |role: &Role| {
        let Rights { read, write, ddl, all } = role.rights;
        [(read, "read"), (write, "write"), (ddl, "ddl"), (all, "*")]
    };
    for ((had, _), (has, what)) in rights(before).into_iter().zip(rights(after)) {
        if has && !had {
            found.push(format!("role \"{name}\" has the operation \"{what}\" now"));
        }
    }
    if after.agents && !before.agents {
        found.push(format!("role \"{name}\" may be used by agents now"));
    }
    if is_looser(before.max_session, after.max_session) {
        found.push(format!("sessions of role \"{name}\" may last longer"));
    }
    let (old, new) = (&before.limits, &after.limits);
    let volumes = [(old.operation, new.operation), (old.session, new.session), (old.hour, new.hour)];
    let takes_more = |(old, new): &(Volume, Volume)| is_looser(old.rows, new.rows) || is_looser(old.bytes, new.bytes);
    if is_looser(old.idle, new.idle) || volumes.iter().any(takes_more) {
        found.push(format!("the limits of role \"{name}\" are looser"));
    }
}

/// None is no limit.
fn is_looser<T: Ord>(before: Option<T>, after: Option<T>) -> bool {
    match (before, after) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(after)) => after > before,
    }
}

fn compare(old: &Config, before: &Policy, after: &Policy, found: &mut Vec<String>) {
    let name = &before.name;
    if (before.mode, after.mode) == (Mode::Enforce, Mode::Monitor) {
        found.push(format!("policy \"{name}\" only monitors"));
    }
    if after.failure_allows && !before.failure_allows {
        found.push(format!("policy \"{name}\" lets operations pass when it fails"));
    }
    for target in before.targets.iter().filter(|target| !after.targets.contains(target)) {
        found.push(format!("policy \"{name}\" no longer binds target \"{target}\""));
    }
    for role in &old.roles {
        if before.roles.contains(&role.name) && !after.roles.contains(&role.name) {
            found.push(format!("policy \"{name}\" no longer binds role \"{}\"", role.name));
        }
    }
    if after.protection != before.protection.join(&after.protection) {
        found.push(format!("policy \"{name}\" guards masked sessions less strictly"));
    }
}

/// One sentence per hook that a policy's new component no longer has: what it judged there, nobody judges now.
pub(crate) fn lost_hooks(old: &[PolicyDescription], new: &[PolicyDescription]) -> Vec<String> {
    let mut found = Vec::new();
    for before in old {
        let Some(after) = new.iter().find(|policy| policy.policy == before.policy) else { continue };
        for hook in before.hooks.iter().filter(|hook| !after.hooks.contains(hook)) {
            found.push(format!("policy \"{}\": its new component has no hook {hook}", before.policy));
        }
    }
    found
}

/// The parts of the configuration that differ, as key paths.
pub(crate) fn changed(old: &Config, new: &Config) -> Vec<String> {
    let mut changed = Vec::new();
    let mut part = |key: &str, same: bool| {
        if !same {
            changed.push(key.to_owned());
        }
    };
    part("identity", old.issuers == new.issuers);
    part("listeners", old.listeners == new.listeners);
    part("targets", old.targets == new.targets);
    part("roles", old.roles == new.roles);
    for policy in &old.policies {
        let same = new.policies.iter().find(|other| other.name == policy.name) == Some(policy);
        part(&format!("policies.{}", policy.name), same);
    }
    for policy in &new.policies {
        if !old.policies.iter().any(|other| other.name == policy.name) {
            part(&format!("policies.{}", policy.name), false);
        }
    }
    part("lookups", old.lookups == new.lookups);
    part("masking", old.masking == new.masking);
    part("ledger", old.ledger == new.ledger);
    part("review", old.review == new.review);
    part("admin", old.admin == new.admin);
    changed
}

/// The parts that differ and that only a restart brings into force.
pub(crate) fn restart_parts(running: &Config, new: &Config) -> Vec<&'static str> {
    [
        ("listeners", running.listeners == new.listeners),
        ("masking", running.masking == new.masking),
        ("ledger", running.ledger == new.ledger),
        // The admin API knows its groups from the start; the desk itself follows at once.
        ("review.reviewers", running.review.reviewers == new.review.reviewers),
        ("admin", running.admin == new.admin),
    ]
    .into_iter()
    .filter_map(|(key, same)| (!same).then_some(key))
    .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const BASE: &str = r#"
version = 1
identity.corp = { issuer = "https://id.example.org", audience = "grille" }
listeners.pg = { protocol = "postgres", address = "127.0.0.1:6432" }
targets.clinic = { protocol = "postgres", address = "127.0.0.1:5432", database = "clinic", login = { user = "app" } }
targets.lab = { protocol = "postgres", address = "127.0.0.1:5432", database = "lab", login = { user = "app" } }
roles.analyst = { groups = ["a"], targets = ["clinic"] }
roles.dba = { groups = ["d"], targets = ["clinic"] }
"#;

    fn config(policies: &str) -> Config {
        grille_config::parse(&format!("{BASE}{policies}"), Path::new("grille.toml")).unwrap()
    }

    fn phi(rest: &str) -> Config {
        config(&format!("[policies.phi]\nplugin = \"phi.wasm\"\nallow_unsigned = true\n{rest}"))
    }

    #[test]
    fn weakenings_are_named_and_strengthenings_are_not() {
        let both = "targets = [\"clinic\", \"lab\"]\n";
        let strict = "settings = { inference = \"refuse\" }\n";
        for (from, to, expected) in [
            (phi(both), phi(both), None),
            (phi(both), config(""), Some("policy \"phi\" is gone")),
            (config(""), phi(both), None),
            (phi(both), phi(&format!("{both}mode = \"monitor\"")), Some("policy \"phi\" only monitors")),
            (phi(&format!("{both}mode = \"monitor\"")), phi(both), None),
            (
                phi(both),
                phi(&format!("{both}on_failure = \"allow\"")),
                Some("policy \"phi\" lets operations pass when it fails"),
            ),
            (
                config(""),
                phi(&format!("{both}on_failure = \"allow\"")),
                Some("policy \"phi\" lets operations pass when it fails"),
            ),
            (phi(both), phi("targets = [\"clinic\"]"), Some("policy \"phi\" no longer binds target \"lab\"")),
            (
                phi(both),
                phi(&format!("{both}roles = [\"*\", \"!dba\"]")),
                Some("policy \"phi\" no longer binds role \"dba\""),
            ),
            (phi(&format!("{both}{strict}")), phi(both), Some("policy \"phi\" guards masked sessions less strictly")),
            (phi(both), phi(&format!("{both}{strict}")), None),
        ] {
            assert_eq!(weakening(&from, &to), expected.map(str::to_owned).into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn targets_and_roles_that_protect_less_are_named() {
        let of = |target: &str, role: &str, rest: &str| {
            let text = format!(
                r#"
version = 1
identity.corp = {{ issuer = "https://id.example.org", audience = "grille" }}
listeners.pg = {{ protocol = "postgres", address = "127.0.0.1:6432" }}
[targets.clinic]
protocol = "postgres"
address = "127.0.0.1:5432"
database = "clinic"
{target}
[roles.analyst]
groups = ["a"]
targets = ["clinic"]
{role}
{rest}"#
            );
            grille_config::parse(&text, Path::new("grille.toml")).unwrap_or_else(|problems| panic!("{problems:?}"))
        };
        let login = |more: &str| format!("login = {{ user = \"app\", password = {{ env = \"P\" }}{more} }}");
        let limits = |rows: u64| format!("limits = {{ operation = {{ rows = {rows} }} }}");
        let target = |text: &str| of(text, "", "");
        let role = |text: &str| of(&login(""), text, "");
        let cases = [
            (
                target(&format!("{}\ntls = \"verify-full\"", login(""))),
                target(&format!("{}\ntls = \"require\"", login(""))),
                "target \"clinic\" is trusted with a weaker tls",
            ),
            (
                target(&login("")),
                target(&login(", require_auth = [\"scram-sha-256\", \"md5\", \"password\"]")),
                "the login on target \"clinic\" answers more methods (require_auth)",
            ),
            (
                target(&format!("{}\nrecord = \"full\"", login(""))),
                target(&login("")),
                "less is recorded of sessions on target \"clinic\"",
            ),
            (
                target(&format!("{}\nretention = \"12y\"", login(""))),
                target(&login("")),
                "sessions on target \"clinic\" are kept 2196 days instead of 4392 days",
            ),
            (
                of(&login(""), "", "[ledger]\nretention = \"6y\""),
                of(&login(""), "", "[ledger]\nretention = \"30d\""),
                "sessions on target \"clinic\" are kept 30 days instead of 2196 days",
            ),
            (
                of(&login(""), "", ""),
                of(&login(""), "", "[ledger]\nat_end = \"shred\""),
                "the contents of sessions are destroyed at the end of their retention",
            ),
            (role(""), role("operations = [\"read\", \"ddl\"]"), "role \"analyst\" has the operation \"ddl\" now"),
            (role("agents = false"), role("agents = true"), "role \"analyst\" may be used by agents now"),
            (role("max_session = \"1h\""), role(""), "sessions of role \"analyst\" may last longer"),
            (role(&limits(10)), role(&limits(11)), "the limits of role \"analyst\" are looser"),
            (
                of(&login(""), "", "[review]\nquorum = 2"),
                of(&login(""), "", ""),
                "a review takes an approval by 1 instead of 2",
            ),
        ];
        for (from, to, expected) in cases {
            assert_eq!(weakening(&from, &to), [expected]);
            assert_eq!(weakening(&to, &from), Vec::<String>::new(), "the other way it protects more");
        }
    }

    #[test]
    fn changes_are_named_by_key() {
        let (old, new) = (phi("targets = [\"clinic\"]"), phi("targets = [\"lab\"]"));
        assert_eq!(changed(&old, &new), ["policies.phi"]);
        assert_eq!(changed(&old, &config("review.quorum = 2")), ["policies.phi", "review"]);
        assert!(restart_parts(&old, &config("review.quorum = 2")).is_empty());
        assert_eq!(restart_parts(&old, &config("ledger.sync = \"strict\"")), ["ledger"]);
        assert_eq!(restart_parts(&old, &config("review.reviewers = [\"r\"]")), ["review.reviewers"]);
    }
}
