//! One pass over a period: how often what happened, and a few examples of it.

use std::collections::{BTreeMap, BTreeSet};

use grille_policy::{SessionFacts, SessionId, Verdict};

use super::Period;
use super::classes::Classes;
use crate::leaf::Leaf;
use crate::{Outcome, PolicyChange, Record, ReviewEvent, SessionOpen};

/// Examples per topic: enough to look one up, few enough that a bundle stays small.
const SAMPLES_MAX: usize = 3;
/// People, roles and the like that are told apart; beyond, the count is "at least".
pub(super) const NAMES_MAX: usize = 100_000;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Sessions,
    People,
    Agents,
    AgentSessions,
    Roles,
    Targets,
    Masked,
    Unmasked,
    Idle,
    Expired,
    Killed,
    Closed,
    Lost,
    Encrypted,
    Plain,
    SecondFactor,
    Denied,
    Allowed,
    Held,
    Refused,
    Justified,
    Values,
    Asked,
    Approved,
    Declined,
    Signed,
    Looks,
    Searches,
    Replays,
    Exports,
    Acts,
    Sets,
    Weaker,
    Changes,
    Starts,
    Recovered,
    Gaps,
    ClockSteps,
    Destroyed,
    Shreds,
    Early,
    Holds,
    Warnings,
    IssuerKeys,
    IssuerAway,
}

impl Topic {
    /// Whether none of it is what an undisturbed period looks like.
    pub(super) const fn is_trouble(self) -> bool {
        matches!(
            self,
            Self::Plain
                | Self::Unmasked
                | Self::Lost
                | Self::Weaker
                | Self::Recovered
                | Self::Gaps
                | Self::ClockSteps
                | Self::Destroyed
                | Self::Early
                | Self::Warnings
                | Self::IssuerAway
        )
    }
}

/// A record that shows something.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) record: u64,
    pub(super) at: u64,
    pub(super) session: SessionId,
    pub(super) what: String,
    /// Whether it is one of the node's own.
    pub(super) is_node: bool,
}

pub(in crate::export) struct Tally {
    pub(super) period: Period,
    /// The first and the last record of the log up to the end of the period.
    pub(super) log_begins: Option<u64>,
    pub(super) log_ends: Option<u64>,
    pub(super) counts: BTreeMap<Topic, u64>,
    pub(super) samples: BTreeMap<Topic, Vec<Sample>>,
    pub(super) classes: Classes,
    names: BTreeMap<Topic, BTreeSet<String>>,
    open: BTreeMap<SessionId, Sample>,
}

impl Tally {
    pub(super) fn begin(period: Period) -> Self {
        Self {
            period,
            log_begins: None,
            log_ends: None,
            counts: BTreeMap::new(),
            samples: BTreeMap::new(),
            classes: Classes::default(),
            names: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    pub(super) fn count(&self, topic: Topic) -> u64 {
        self.counts.get(&topic).copied().unwrap_or_default()
    }

    /// Whether a record is of the period; notes what the log covers.
    pub(super) fn wants(&mut self, leaf: &Leaf) -> bool {
        if leaf.log_time >= self.period.to {
            return false;
        }
        self.log_begins.get_or_insert(leaf.log_time);
        let is_in = leaf.log_time >= self.period.from;
        if is_in {
            self.log_ends = Some(leaf.log_time);
        }
        // Others tell nothing that is counted, and opening a record costs.
        is_in && !matches!(leaf.kind.as_str(), "facts" | "recording")
    }

    /// A hold counts as long as it is not lifted, so one that came before the period, too.
    pub(super) fn may_hold(&self, leaf: &Leaf) -> bool {
        leaf.kind == "hold" && leaf.log_time < self.period.to
    }

    pub(super) fn take(&mut self, record: u64, leaf: &Leaf, opened: Option<&Record<'_>>) {
        let is_node = leaf.actor.is_none() && leaf.target.is_none();
        let sample = Sample { record, at: leaf.log_time, session: leaf.sid, what: String::new(), is_node };
        let note = |tally: &mut Self, topic, what: &str| tally.note(topic, &sample, what);
        match opened {
            None => note(self, Topic::Destroyed, "sealed: its key was destroyed or is not the exporter's"),
            Some(Record::SessionOpen(open)) => self.note_open(&sample, open),
            Some(Record::SessionClose(close)) => {
                self.open.remove(&leaf.sid);
                note(self, Topic::Closed, &close.reason);
                match &*close.reason {
                    "idle" => note(self, Topic::Idle, "ended after idling"),
                    "expired" => note(self, Topic::Expired, "ended with its token"),
                    "killed" => note(self, Topic::Killed, "ended by an operator"),
                    _ => {}
                }
            }
            Some(Record::Decision(decision)) => {
                let said = match &decision.decision.verdict {
                    Verdict::Allow => (Topic::Allowed, String::new()),
                    Verdict::Review(terms) => (Topic::Held, format!("held for people: {}", terms.reason)),
                    Verdict::Block(finding) => (Topic::Refused, format!("refused: {}", finding.message)),
                };
                note(self, said.0, &said.1);
                if let Some(reason) = &decision.justification {
                    note(self, Topic::Justified, &format!("the caller's reason: {reason}"));
                }
            }
            Some(Record::Outcome(outcome)) => self.note_masked(&sample, outcome),
            Some(Record::Review(event)) => self.note_review(&sample, event),
            Some(Record::Denied(denied)) => {
                note(self, Topic::Denied, &format!("{} from {}: {}", denied.code, denied.peer, denied.reason));
            }
            Some(Record::PolicyChange(change)) => self.note_set(&sample, change),
            Some(Record::ConfigChange(change)) => {
                note(self, Topic::Changes, &change.changed.join(", "));
                for weaker in &change.weakening {
                    note(self, Topic::Weaker, weaker);
                }
            }
            Some(Record::Read(read)) => {
                let what = format!("{} by {}", read.action, read.by.name);
                let topic = match &*read.action {
                    "session.search" => Topic::Searches,
                    "session.replay" => Topic::Replays,
                    "ledger.export" => Topic::Exports,
                    _ => Topic::Looks,
                };
                note(self, topic, &what);
            }
            Some(Record::Admin(act)) => {
                note(self, Topic::Acts, &format!("{} {} by {}", act.action, act.object, act.by.name));
            }
            Some(Record::NodeStart(start)) => {
                // Whatever was open ended with the node.
                for lost in std::mem::take(&mut self.open).into_values() {
                    self.note(Topic::Lost, &lost, "has no close of its own");
                }
                note(self, Topic::Starts, &format!("Grille {}", start.version));
            }
            Some(Record::Shred(shred)) => {
                let by = shred.by.as_ref().map_or("the end of its retention", |by| &by.name);
                let (session, reason) = (shred.session, &shred.reason);
                let what = format!("contents of session {session} destroyed by {by}: {reason}");
                note(self, Topic::Shreds, &what);
                if shred.is_early {
                    note(self, Topic::Early, &what);
                }
                self.classes.shred(shred);
            }
            Some(Record::Hold(hold)) => {
                self.classes.hold(hold);
                if leaf.log_time < self.period.from {
                    return;
                }
                let (on, by, reason) = (&hold.on, &hold.by.name, &hold.reason);
                let done = if hold.is_held { "put on" } else { "lifted from" };
                note(self, Topic::Holds, &format!("legal hold {done} {on} by {by}: {reason}"));
            }
            Some(Record::Keys(event)) => match &event.failure {
                None => {
                    let keys: Vec<&str> = event.keys.iter().map(|key| &*key.thumbprint).collect();
                    note(self, Topic::IssuerKeys, &format!("{}: {}", event.issuer, keys.join(", ")));
                }
                Some(why) => note(self, Topic::IssuerAway, &format!("{}: {why}", event.issuer)),
            },
            Some(Record::Warning(warning)) => note(self, Topic::Warnings, &warning.message),
            Some(Record::Recovered(_)) => note(self, Topic::Recovered, "a torn tail was cut and kept"),
            Some(Record::Gap(gap)) => note(self, Topic::Gaps, &gap.reason),
            Some(Record::ClockStep(step)) => {
                let seconds = (step.to.cast_signed() - step.from.cast_signed()) / 1_000_000;
                note(self, Topic::ClockSteps, &format!("the clock was set by {seconds} s"));
            }
            Some(_) => {}
        }
    }

    fn note_open(&mut self, sample: &Sample, open: &SessionOpen<'_>) {
        let SessionFacts { subject, target, roles, tls, .. } = &*open.facts;
        let who = format!("{} ({}) on {target} as {}", subject.name, subject.sub, roles.join(", "));
        self.open.insert(sample.session, Sample { what: who.clone(), ..sample.clone() });
        self.note(Topic::Sessions, sample, &who);
        self.classes.open(open);
        self.name(Topic::People, format!("{} {}", subject.issuer, subject.sub));
        self.name(Topic::Targets, target.to_string());
        for role in roles {
            self.name(Topic::Roles, role.to_string());
        }
        for agent in &subject.actors {
            self.name(Topic::Agents, agent.sub.to_string());
            self.note(Topic::AgentSessions, sample, &format!("{} acting for {}", agent.sub, subject.name));
        }
        let masked = if open.masked { Topic::Masked } else { Topic::Unmasked };
        self.note(masked, sample, &who);
        match tls {
            Some(tls) => self.note(Topic::Encrypted, sample, tls),
            None => self.note(Topic::Plain, sample, &format!("without TLS from {}", open.facts.peer)),
        }
        if let Some(told) = second_factor(&subject.claims) {
            self.note(Topic::SecondFactor, sample, &told);
        }
    }

    fn note_masked(&mut self, sample: &Sample, outcome: &Outcome<'_>) {
        let values: u64 = outcome.masked.iter().map(|column| column.count).sum();
        if values > 0 {
            let columns: Vec<&str> = outcome.masked.iter().map(|column| &*column.column).collect();
            self.note(Topic::Values, sample, &format!("{values} values in {}", columns.join(", ")));
            *self.counts.entry(Topic::Values).or_default() += values - 1;
        }
    }

    fn note_review(&mut self, sample: &Sample, event: &ReviewEvent<'_>) {
        let by = event.by.as_ref().map_or("time", |by| &by.name);
        let what = format!("{} {} by {by}", event.request, event.event);
        let topic = match &*event.event {
            "approved" => Topic::Approved,
            "denied" => Topic::Declined,
            _ => Topic::Asked,
        };
        self.note(topic, sample, &what);
        if event.envelope.is_some() {
            self.note(Topic::Signed, sample, &what);
        }
    }

    fn note_set(&mut self, sample: &Sample, change: &PolicyChange<'_>) {
        let names: Vec<&str> = change.policies.keys().map(|name| &**name).collect();
        self.note(Topic::Sets, sample, &format!("set {}: {}", change.epoch.0, names.join(", ")));
        for weaker in &change.weakening {
            self.note(Topic::Weaker, sample, weaker);
        }
    }

    fn note(&mut self, topic: Topic, sample: &Sample, what: &str) {
        *self.counts.entry(topic).or_default() += 1;
        let samples = self.samples.entry(topic).or_default();
        if samples.len() < SAMPLES_MAX && !what.is_empty() {
            samples.push(Sample { what: super::super::sheet::cut(what), ..sample.clone() });
        }
    }

    fn name(&mut self, topic: Topic, name: String) {
        let names = self.names.entry(topic).or_default();
        if names.len() < NAMES_MAX {
            names.insert(name);
        }
        self.counts.insert(topic, names.len() as u64);
    }
}

/// What the token says of how somebody proved who they are (`amr`, `acr`), where that is more than a password.
fn second_factor(claims: &str) -> Option<String> {
    let claims: serde_json::Value = serde_json::from_str(claims).ok()?;
    let methods: Vec<&str> = claims["amr"].as_array()?.iter().filter_map(|method| method.as_str()).collect();
    let is_more = methods.iter().any(|method| matches!(*method, "mfa" | "otp" | "hwk" | "swk" | "sc" | "fido"));
    is_more.then(|| format!("amr {}", methods.join(", ")))
}
