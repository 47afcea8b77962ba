//! `GET /metrics`: the gateway in figures, as Prometheus reads them.
//!
//! There are so many series as there are policies, times a few kinds that are written out here; nothing that callers
//! send becomes a label.

use std::fmt::{Display, Write as _};

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use grille_policy::Mode;

use crate::app::Shared;
use crate::caller::{Caller, Right};
use crate::problem::Problem;
use crate::view::{Ledger, Policies, Policy, Status, Tail};

/// The figures, for who watches the gateway.
pub(crate) async fn show(State(app): Shared, caller: Caller) -> Result<impl IntoResponse, Problem> {
    caller.need(&app, &[Right::Operator, Right::Owner, Right::Auditor], "read the metrics")?;
    let text = render(&app.rooms.status.status(), &app.rooms.policies.policies());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

fn render(status: &Status, policies: &Policies) -> String {
    let mut page = Page::default();
    page.family("grille_info", "gauge", "The version of Grille.");
    page.sample("", &labels(&[("version", &status.version)]), 1);
    page.family("grille_start_time_seconds", "gauge", "When the gateway started, in Unix time.");
    page.sample("", "", status.started_ms / 1000);
    page.family("grille_sessions", "gauge", "Live sessions.");
    page.sample("", "", status.sessions);
    page.family("grille_policy_epoch", "gauge", "The number of the policy set in force.");
    page.sample("", "", policies.epoch);
    page.family("grille_policy_epoch_sessions", "gauge", "Sessions by the policy set that they are on.");
    for of in &policies.sessions {
        page.sample("", &labels(&[("epoch", &of.epoch.to_string())]), of.sessions);
    }
    page.family("grille_reload_ok", "gauge", "Whether the last reload came into force; 1 where there was none.");
    page.sample("", "", flag(policies.reload.as_ref().is_none_or(|reload| reload.is_done)));
    page.family(
        "grille_reload_time_seconds",
        "gauge",
        "When the last reload was, in Unix time; 0 where there was none.",
    );
    page.sample("", "", policies.reload.as_ref().map_or(0, |reload| reload.at_ms / 1000));
    page.family(
        "grille_ledger_writable",
        "gauge",
        "Whether the ledger takes records; without it nothing is forwarded.",
    );
    page.sample("", "", flag(status.ledger.trouble.is_none()));
    page.family("grille_ledger_records", "counter", "Records of the ledger by how far they have come.");
    for (stage, count) in
        [("written", status.ledger.written), ("synced", status.ledger.synced), ("signed", status.ledger.signed)]
    {
        page.sample("", &labels(&[("stage", stage)]), count);
    }
    tails(&mut page, &status.ledger);
    page.family("grille_ledger_past_retention", "gauge", "Sessions past their retention whose contents are there.");
    page.sample("", "", status.ledger.retained.past);
    page.family(
        "grille_ledger_ended_by_retention_total",
        "counter",
        "Sessions whose contents were destroyed at the end of their retention.",
    );
    page.sample("", "", status.ledger.retained.destroyed);
    if let Some(archive) = &status.ledger.archive {
        page.family("grille_ledger_archive_waiting_bytes", "gauge", "Closed segments that the archive has not taken.");
        page.sample("", "", archive.bytes_waiting);
        page.family("grille_ledger_archive_reachable", "gauge", "Whether the archive took what it was last offered.");
        page.sample("", "", flag(archive.trouble.is_none()));
    }
    of_policies(&mut page, &policies.policies);
    page.text
}

/// What nobody vouches for yet. Where there is no witness or no archive, there is no figure either.
fn tails(page: &mut Page, ledger: &Ledger) {
    let mut tail = |names: [&'static str; 2], helps: [&str; 2], tail: Option<Tail>| {
        let Some(Tail { records, age_ms }) = tail else { return };
        page.family(names[0], "gauge", helps[0]);
        page.sample("", "", records);
        page.family(names[1], "gauge", helps[1]);
        page.sample("", "", age_ms as f64 / 1000.0);
    };
    tail(
        ["grille_ledger_unsigned_tail", "grille_ledger_unsigned_tail_seconds"],
        ["Records behind the published checkpoint.", "The age of the first record behind the published checkpoint."],
        Some(ledger.unsigned),
    );
    tail(
        ["grille_ledger_unwitnessed_tail", "grille_ledger_unwitnessed_tail_seconds"],
        ["Records that no witness signed for.", "The age of the first record that no witness signed for."],
        ledger.unwitnessed,
    );
    tail(
        ["grille_ledger_unanchored_tail", "grille_ledger_unanchored_tail_seconds"],
        [
            "Records behind the newest note that the archive holds.",
            "The age of the first record behind the newest note that the archive holds.",
        ],
        ledger.unanchored,
    );
}

fn of_policies(page: &mut Page, policies: &[Policy]) {
    let policies: Vec<(&Policy, String)> = policies.iter().map(|policy| (policy, of_policy(policy))).collect();
    let mut family = |name, kind, help, sample: &dyn Fn(&mut Page, &Policy, &str)| {
        page.family(name, kind, help);
        policies.iter().for_each(|(policy, labels)| sample(page, policy, labels));
    };
    family("grille_policy_calls_total", "counter", "Calls into a policy's plugin.", &|page, policy, labels| {
        page.sample("", labels, policy.activity.calls);
    });
    family(
        "grille_policy_remembered_total",
        "counter",
        "Answers that were remembered instead of asked for.",
        &|page, policy, labels| page.sample("", labels, policy.activity.remembered),
    );
    family(
        "grille_policy_verdicts_total",
        "counter",
        "Verdicts, remembered ones included.",
        &|page, policy, labels| {
            let activity = &policy.activity;
            for (verdict, count) in
                [("allow", activity.allowed), ("review", activity.reviewed), ("block", activity.blocked)]
            {
                page.sample("", &format!("{labels},{}", labels_of("verdict", verdict)), count);
            }
        },
    );
    family("grille_policy_failures_total", "counter", "Calls without a usable answer.", &|page, policy, labels| {
        for kind in FAILURES {
            let count = policy.activity.failures_by_kind.get(kind).copied().unwrap_or(0);
            page.sample("", &format!("{labels},{}", labels_of("kind", kind)), count);
        }
    });
    family("grille_policy_call_seconds", "summary", "The time of a call.", &|page, policy, labels| {
        for (quantile, micros) in [("0.5", policy.activity.p50_us), ("0.99", policy.activity.p99_us)] {
            page.sample("", &format!("{labels},{}", labels_of("quantile", quantile)), micros / 1e6);
        }
        page.sample("_count", labels, policy.activity.calls);
    });
    family(
        "grille_policy_memory_bytes",
        "gauge",
        "The most memory that one instance has had.",
        &|page, policy, labels| page.sample("", labels, policy.activity.memory),
    );
    family(
        "grille_policy_paused",
        "gauge",
        "Whether a policy is left alone because it failed again and again; it refuses meanwhile.",
        &|page, policy, labels| page.sample("", labels, flag(policy.paused_s.is_some())),
    );
    family(
        "grille_policy_waiting",
        "gauge",
        "Whether its file holds another component than the one in force.",
        &|page, policy, labels| page.sample("", labels, flag(policy.waiting.is_some())),
    );
}

/// The kinds of failures.
const FAILURES: [&str; 6] = ["trap", "timeout", "memory", "nonsense", "start", "breaker"];

fn of_policy(policy: &Policy) -> String {
    let digest: String = policy.digest.to_string().chars().take(12).collect();
    labels(&[
        ("policy", &policy.name),
        ("plugin", &policy.plugin),
        ("version", policy.version.as_deref().unwrap_or_default()),
        ("digest", &digest),
        ("mode", if policy.mode == Mode::Enforce { "enforce" } else { "monitor" }),
    ])
}

fn labels(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| labels_of(name, value)).collect::<Vec<_>>().join(",")
}

/// What a plugin says of itself may hold anything.
fn labels_of(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

const fn flag(is: bool) -> u8 {
    if is { 1 } else { 0 }
}

#[derive(Default)]
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a String takes what is written");
    }

    fn sample(&mut self, suffix: &str, labels: &str, value: impl Display) {
        let name = self.name;
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        writeln!(self.text, "{name}{suffix}{labels} {value}").expect("a String takes what is written");
    }
}
