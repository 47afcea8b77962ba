//! `grille policy status` for people: a few lines per policy, none longer than a terminal is wide.

use grille_admin::view::{Activity, Policies, Policy};

use super::{mode, names, plugin, short};
use crate::commands::table::{harmless, line, time};

pub(super) fn status(policies: &Policies) -> String {
    let mut text = format!("policy epoch {}\n", policies.epoch);
    let sessions: Vec<String> =
        policies.sessions.iter().map(|of| format!("{} on epoch {}", of.sessions, of.epoch)).collect();
    wrap(&mut text, "sessions", &sessions.join(", "), 10);
    for policy in &policies.policies {
        text.push('\n');
        self::policy(&mut text, policy);
    }
    if let Some(reload) = &policies.reload {
        let outcome = if reload.is_done { "came into force" } else { "was refused, nothing changed" };
        text.push_str(&format!("\nthe last reload, {}, {outcome}\n", time(reload.at_ms)));
        reload.lines.iter().for_each(|line| wrap(&mut text, "", line, 2));
    }
    text
}

fn policy(text: &mut String, policy: &Policy) {
    let state = match policy.paused_s {
        Some(seconds) => format!("paused for {seconds} s"),
        None => policy.state.to_string(),
    };
    text.push_str(&format!("{}  {}, {}\n", line(&policy.name, 63), mode(policy.mode), line(&state, 30)));
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            wrap(text, &format!("  {name}"), value, 13);
        }
    };
    if policy.paused_s.is_some() {
        fact("paused", "it failed again and again, is not asked meanwhile, and what it binds is refused");
    }
    if policy.broke_its_word {
        fact("word", "broken: it says that it is stateless and answered the same question otherwise");
    }
    if &*policy.state == "missing" {
        fact("missing", &format!("{} is gone; the last good component stays in force", policy.source));
    }
    if let Some(waiting) = &policy.waiting {
        fact("waiting", &format!("new digest {}: `grille policy promote {}` takes it", short(waiting), policy.name));
    }
    if &*policy.on_failure == "allow" {
        fact("failing", "allow: operations pass when it fails");
    }
    fact("plugin", &format!("{}, {}, settings {}", plugin(policy), short(&policy.digest), short(&policy.settings)));
    fact("hooks", &names(&policy.hooks));
    fact("isolation", &policy.isolation);
    fact("grants", &names(&policy.grants));
    activity(&mut fact, &policy.activity);
    fact("notes", &names(&policy.notes));
}

fn activity(fact: &mut impl FnMut(&str, &str), of: &Activity) {
    let calls = format!("{}, and {} answers remembered", of.calls, of.remembered);
    let times = format!("; p50 {}, p99 {}", micros(of.p50_us), micros(of.p99_us));
    fact("calls", &if of.calls > 0 { calls + &times } else { calls });
    if of.allowed + of.reviewed + of.blocked > 0 {
        fact("verdicts", &format!("{} allow, {} review, {} block", of.allowed, of.reviewed, of.blocked));
    }
    if of.failures > 0 {
        let kinds: Vec<String> = of.failures_by_kind.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let last = of.last_error.as_ref().map(|error| format!("; the last one: {error}")).unwrap_or_default();
        fact("failures", &format!("{}: {}{last}", of.failures, kinds.join(", ")));
    }
    if of.memory > 0 {
        fact("memory", &format!("{:.1} MiB at most", of.memory as f64 / f64::from(1 << 20)));
    }
}

fn micros(micros: f64) -> String {
    if micros < 10.0 { format!("{micros:.1} µs") } else { format!("{micros:.0} µs") }
}

/// A name and what belongs to it, in lines of at most [`WIDTH`] letters that begin under each other.
fn wrap(text: &mut String, name: &str, value: &str, indent: usize) {
    let mut line = format!("{name:indent$}");
    let mut is_empty = true;
    for word in harmless(value).split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&format!("{line}\n"));
            line = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    text.push_str(&format!("{}\n", line.trim_end()));
}

const WIDTH: usize = 100;

#[cfg(test)]
pub(super) mod tests {
    use grille_admin::view::{EpochSessions, Reload};
    use grille_policy::{Digest, Epoch, Mode};

    use super::*;

    pub(crate) fn policies() -> Policies {
        let policy = |name: &str, mode, state: &str, notes: &[&str]| Policy {
            name: name.into(),
            plugin: name.into(),
            version: Some("0.1.0".into()),
            source: format!("plugins/{name}.wasm").into(),
            digest: Digest([0xab; 32]),
            settings: Digest([0xcd; 32]),
            mode,
            isolation: "session".into(),
            state: state.into(),
            waiting: None,
            paused_s: None,
            broke_its_word: false,
            targets: vec!["clinic".into()],
            roles: vec!["*".into(), "!dba".into()],
            hooks: vec!["sql".into(), "sql-columns".into()],
            grants: Vec::new(),
            on_failure: "block".into(),
            activity: Activity::default(),
            notes: notes.iter().map(|&note| note.into()).collect(),
        };
        let long = "policies.phi.plugin: the file is \u{1b}[1mtruncated, and whoever reads this wants to read all of it, \
                    with the place and the way to put it right";
        let activity = Activity {
            calls: 12,
            remembered: 40,
            allowed: 50,
            reviewed: 0,
            blocked: 2,
            failures: 3,
            failures_by_kind: [("timeout".into(), 2), ("trap".into(), 1)].into(),
            last_error: Some("unreachable".into()),
            p50_us: 1.25,
            p99_us: 345.6,
            memory: 1_200_000,
        };
        let busy = Policy {
            waiting: Some(Digest([0xee; 32])),
            paused_s: Some(4),
            broke_its_word: true,
            on_failure: "allow".into(),
            grants: vec!["clock".into(), "lookup:tickets".into()],
            activity,
            ..policy("phi", Mode::Enforce, "paused", &["pinned by grille.lock", "mode from grille.lock"])
        };
        Policies {
            epoch: Epoch(4),
            sessions: vec![
                EpochSessions { epoch: Epoch(3), sessions: 2 },
                EpochSessions { epoch: Epoch(4), sessions: 10 },
            ],
            policies: vec![policy("guard", Mode::Monitor, "missing", &["follows its file"]), busy],
            reload: Some(Reload { at_ms: 1_795_000_000_000, is_done: false, lines: vec![long.into()] }),
        }
    }

    #[test]
    fn a_status() {
        let expected = "\
policy epoch 4
sessions  2 on epoch 3, 10 on epoch 4

guard  monitor, missing
  missing    plugins/guard.wasm is gone; the last good component stays in force
  plugin     guard 0.1.0, abababababab, settings cdcdcdcdcdcd
  hooks      sql, sql-columns
  isolation  session
  calls      0, and 0 answers remembered
  notes      follows its file

phi  enforce, paused for 4 s
  paused     it failed again and again, is not asked meanwhile, and what it binds is refused
  word       broken: it says that it is stateless and answered the same question otherwise
";
        let text = status(&policies());
        assert!(text.starts_with(expected), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        for part in [
            "  waiting    new digest eeeeeeeeeeee: `grille policy promote phi` takes it\n",
            "  failing    allow: operations pass when it fails\n",
            "  grants     clock, lookup:tickets\n",
            "  calls      12, and 40 answers remembered; p50 1.2 µs, p99 346 µs\n",
            "  verdicts   50 allow, 0 review, 2 block\n",
            "  failures   3: 2 timeout, 1 trap; the last one: unreachable\n",
            "  memory     1.1 MiB at most\n",
            "was refused, nothing changed\n  policies.phi.plugin: the file is \\u001b[1mtruncated,",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
