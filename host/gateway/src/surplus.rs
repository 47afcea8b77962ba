//! What upstream logins may do beyond what policies and roles assume of the sessions that run under them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use grille_config::{Config, Login, Problem, Role, Target};
use grille_ledger::{Record, Warning};
use grille_policy::{Mode, NameList};
use grille_postgres::{Powers, RelationPowers, powers};
use tokio::time::timeout;

use crate::routes;
use crate::state::State;

/// Statements in one hint: the rest is counted.
const STATEMENTS_MAX: usize = 6;

/// A login under which sessions run that an enforced policy binds.
struct Bound<'a> {
    key: String,
    target: &'a Target,
    login: &'a Login,
    roles: Vec<&'a Role>,
}

/// One warning per kind of surplus, with the SQL that takes it away.
pub(crate) async fn surplus(config: &Config) -> anyhow::Result<Vec<Problem>> {
    let (made, _) = routes::routes(config, &routes::Known::new())?;
    let mut warnings = Vec::new();
    for bound in bound(config) {
        let Some(target) = made.targets.get(&bound.target.name) else { continue };
        let mut warn = |message: String, hint: Option<String>| {
            warnings.push(config.locations.problem(&bound.key, message, hint));
        };
        match powers(target, &routes::login(bound.login)).await {
            Ok(powers) => found(&bound, &powers, &mut warn),
            Err(reason) => warn(format!("what this login may do could not be asked: {reason}"), None),
        }
    }
    Ok(warnings)
}

/// Asks again and again what no policy could see of the logins of masked sessions: a warning in log, ledger and status.
pub(crate) async fn watch(state: Arc<State>) {
    loop {
        let config = state.config();
        let (found, is_whole) = beyond(&config).await;
        let known = std::mem::replace(&mut *state.surplus.lock(), found.clone());
        for warning in found.iter().filter(|warning| !known.contains(warning)) {
            tracing::warn!("{warning}");
            let record = Record::Warning(Warning { message: warning.as_str().into() });
            if let Err(error) = state.ledger.admin(&record) {
                tracing::error!("a warning cannot be recorded: {error}");
            }
        }
        let pause = if is_whole { AGAIN } else { AGAIN_UNREACHED };
        // A reload may bring other targets, logins and roles.
        drop(timeout(pause, state.reloaded.notified()).await);
    }
}

/// Rights change rarely, and each look is a login at the server.
const AGAIN: Duration = Duration::from_secs(600);
/// Where a server did not answer: as soon as it may be back.
const AGAIN_UNREACHED: Duration = Duration::from_secs(30);

/// What logins may do outside the database, in words; and whether all of them could be asked.
async fn beyond(config: &Config) -> (Vec<String>, bool) {
    let Ok((made, _)) = routes::routes(config, &routes::Known::new()) else { return (Vec::new(), true) };
    let (mut found, mut is_whole) = (Vec::new(), true);
    for bound in bound(config) {
        let Some(target) = made.targets.get(&bound.target.name) else { continue };
        let key = &bound.key;
        match powers(target, &routes::login(bound.login)).await {
            Ok(powers) => found.extend(powers.beyond.iter().filter(|beyond| beyond.leaves_database).map(|beyond| {
                let (what, remedy) = (&beyond.what, &beyond.remedy);
                format!("{key}: the login {what}, and masked sessions run under it: {remedy}")
            })),
            Err(reason) => {
                is_whole = false;
                tracing::info!("{key}: what this login may do could not be asked: {reason}");
            }
        }
    }
    (found, is_whole)
}

/// The logins of all targets that somebody uses whom an enforced policy binds.
fn bound(config: &Config) -> Vec<Bound<'_>> {
    let mut found = Vec::new();
    for target in &config.targets {
        let mut users: BTreeMap<String, (&Login, Vec<&Role>)> = BTreeMap::new();
        for role in config.roles.iter().filter(|role| role.targets.contains(&target.name)) {
            let own = target.logins.get_key_value(&role.name);
            let (key, login) = match own {
                Some((name, login)) => (format!("targets.{}.logins.{name}", target.name), login),
                None => (format!("targets.{}.login", target.name), &target.login),
            };
            users.entry(key).or_insert_with(|| (login, Vec::new())).1.push(role);
        }
        for (key, (login, roles)) in users {
            let binds = |role: &&Role| {
                config.policies.iter().any(|policy| {
                    policy.mode == Mode::Enforce
                        && policy.targets.contains(&target.name)
                        && policy.roles.contains(&role.name)
                })
            };
            if roles.iter().any(binds) {
                found.push(Bound { key, target, login, roles });
            }
        }
    }
    found
}

fn found(bound: &Bound<'_>, powers: &Powers, warn: &mut dyn FnMut(String, Option<String>)) {
    let user = &powers.user;
    for beyond in &powers.beyond {
        warn(format!("the login {} at the server, and sessions run under it that policies bind", beyond.what), {
            Some(beyond.remedy.clone())
        });
    }
    let lists: Vec<&NameList> = bound.roles.iter().map(|role| &role.relations).collect();
    let in_scope = NameList::union(&lists);
    let rights = bound.roles.iter().map(|role| role.rights);
    let (mut writes, mut defines) = (false, false);
    for right in rights {
        writes |= right.write || right.all;
        defines |= right.ddl || right.all;
    }
    let is_outside = |powers: &&RelationPowers| !in_scope.contains(&powers.relation.to_string());
    let outside = powers.relations.iter().filter(|powers| powers.reads || powers.writes).filter(is_outside);
    let outside: Vec<&RelationPowers> = outside.collect();
    if !outside.is_empty() {
        let message = format!("the login may use {} that none of its roles names", relations(&outside));
        warn(message, Some(statements("REVOKE ALL", &outside, user)));
    }
    let written: Vec<_> = powers.relations.iter().filter(|powers| powers.writes && !is_outside(powers)).collect();
    if !writes && !defines && !written.is_empty() {
        let message = format!("the login may change {}, and its roles only read", relations(&written));
        warn(message, Some(statements("REVOKE INSERT, UPDATE, DELETE, TRUNCATE", &written, user)));
    }
    let owned: Vec<_> = powers.relations.iter().filter(|powers| powers.owns).collect();
    if !defines && !owned.is_empty() {
        let message = format!("the login owns {}, and its roles define nothing", relations(&owned));
        let other =
            |powers: &&RelationPowers| format!("ALTER TABLE {} OWNER TO another_role;", quoted_relation(powers));
        warn(message, Some(limited(owned.iter().map(other).collect())));
    }
}

fn relations(all: &[&RelationPowers]) -> String {
    match all {
        [one] => format!("relation {}", one.relation),
        many => format!("{} relations", many.len()),
    }
}

fn statements(what: &str, all: &[&RelationPowers], user: &str) -> String {
    let user = quoted(user);
    limited(all.iter().map(|powers| format!("{what} ON {} FROM {user};", quoted_relation(powers))).collect())
}

fn limited(mut statements: Vec<String>) -> String {
    let more = statements.len().saturating_sub(STATEMENTS_MAX);
    statements.truncate(STATEMENTS_MAX);
    if more > 0 {
        statements.push(format!("-- and {more} more"));
    }
    statements.join(" ")
}

fn quoted_relation(powers: &RelationPowers) -> String {
    format!("{}.{}", quoted(&powers.relation.schema), quoted(&powers.relation.name))
}

fn quoted(name: &str) -> String {
    let is_plain = name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
