use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use grille_policy::NameList;

use super::{Check, Names};
use crate::locate::join;
use crate::{Rights, Role, RoleLimits, Volume, file};

impl Check<'_> {
    pub(super) fn roles(&mut self, roles: BTreeMap<String, file::Role>, names: &Names) -> Option<Vec<Role>> {
        self.each("roles", roles, |check, key, name, role| {
            let groups =
                role.groups.map(|groups| check.texts(&join(key, "groups"), groups, Some("nobody would hold the role")));
            let targets =
                role.targets.map(|targets| check.references(&join(key, "targets"), "target", targets, &names.targets));
            for (at, pattern) in role.relations.iter().enumerate() {
                check.relation(&format!("{key}.relations[{at}]"), pattern);
            }
            let max_session = role.max_session.map(|text| {
                check.duration(&join(key, "max_session"), Some(text), SESSION_MAX, Duration::from_secs(1)..=SESSION_MAX)
            });
            let limits = check.role_limits(&join(key, "limits"), role.limits);
            let relation_entries: Vec<Arc<str>> = role.relations.into_iter().map(Into::into).collect();
            Some(Role {
                name,
                groups: groups?,
                targets: targets?,
                relations: NameList::new(&relation_entries),
                relation_entries,
                rights: rights(role.operations.as_deref()),
                max_session,
                limits,
                agents: role.agents.unwrap_or(true),
            })
        })
    }

    fn role_limits(&mut self, key: &str, limits: file::RoleLimits) -> RoleLimits {
        let idle = limits.idle.map(|text| {
            self.duration(&join(key, "idle"), Some(text), SESSION_MAX, Duration::from_secs(1)..=SESSION_MAX)
        });
        RoleLimits {
            idle,
            operation: self.volume(&join(key, "operation"), limits.operation),
            session: self.volume(&join(key, "session"), limits.session),
            hour: self.volume(&join(key, "hour"), limits.hour),
        }
    }

    fn volume(&mut self, key: &str, volume: file::Volume) -> Volume {
        let bytes = volume.bytes.map(|text| self.size(&join(key, "bytes"), Some(text), BYTES_MAX, 1..=BYTES_MAX));
        Volume { rows: volume.rows, bytes }
    }

    fn relation(&mut self, key: &str, pattern: &str) {
        let name = pattern.strip_prefix('!').unwrap_or(pattern);
        let parts: Vec<_> = name.split('.').collect();
        let is_everything = pattern == "*";
        if is_everything || (parts.len() == 2 && parts.iter().all(|part| !part.is_empty() && !part.contains('!'))) {
            return;
        }
        let hint = match parts.as_slice() {
            [table] if !table.is_empty() => {
                format!("a relation has a schema: \"{pattern}\" → {:?}", with_schema(pattern))
            }
            _ => {
                "\"schema.name\", where `*` stays within a part; \"!schema.name\" removes; \"*\" is no limit".to_owned()
            }
        };
        self.report(key, format!("{pattern:?} names no relation"), Some(hint));
    }
}

fn with_schema(pattern: &str) -> String {
    match pattern.strip_prefix('!') {
        Some(name) => format!("!public.{name}"),
        None => format!("public.{pattern}"),
    }
}

fn rights(written: Option<&[file::Right]>) -> Rights {
    let Some(written) = written else {
        return Rights { read: true, ..Rights::default() };
    };
    let all = written.contains(&file::Right::All);
    let has = |right| all || written.contains(&right);
    Rights { read: has(file::Right::Read), write: has(file::Right::Write), ddl: has(file::Right::Ddl), all }
}

/// As good as no limit.
const BYTES_MAX: u64 = 1 << 50;
/// No session outlives a day, whatever its token says.
const SESSION_MAX: Duration = Duration::from_secs(24 * 3600);
