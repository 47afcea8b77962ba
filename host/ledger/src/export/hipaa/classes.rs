//! How long what is kept, by class: how much of it is there, held, and gone before or after its time.

use std::collections::BTreeMap;

use grille_policy::SessionId;

use super::map::Artefact;
use super::tally::NAMES_MAX;
use crate::{Held, HoldRecord, Retention, SessionOpen, ShredRecord};

#[derive(Default)]
pub(super) struct Classes {
    kept: BTreeMap<String, Kept>,
    /// The class and the person of each session, up to a limit: beyond it, those that are held are "at least".
    sessions: BTreeMap<SessionId, (String, String)>,
    /// The holds in force at the end of the period, whenever they came.
    holds: Vec<Held>,
}

#[derive(Default)]
struct Kept {
    opened: u64,
    early: u64,
    ended: u64,
}

impl Classes {
    pub(super) fn open(&mut self, open: &SessionOpen<'_>) {
        let class = name(open.retention.as_ref());
        self.kept.entry(class.clone()).or_default().opened += 1;
        if self.sessions.len() < NAMES_MAX {
            self.sessions.insert(open.facts.id, (class, open.facts.subject.sub.to_string()));
        }
    }

    pub(super) fn shred(&mut self, shred: &ShredRecord<'_>) {
        let kept = self.kept.entry(name(shred.retention.as_ref())).or_default();
        if shred.is_early {
            kept.early += 1;
        } else {
            kept.ended += 1;
        }
    }

    pub(super) fn hold(&mut self, hold: &HoldRecord<'_>) {
        self.holds.retain(|held| *held != hold.on);
        if hold.is_held {
            self.holds.push(hold.on.clone());
        }
    }

    pub(super) fn artefacts(&self) -> Vec<Artefact> {
        let mut held: BTreeMap<&str, u64> = BTreeMap::new();
        for (id, (class, sub)) in &self.sessions {
            let is_on = |held: &Held| match held {
                Held::Session(session) => session == id,
                Held::Subject(subject) => subject == sub,
            };
            if self.holds.iter().any(is_on) {
                *held.entry(class).or_default() += 1;
            }
        }
        let of = |(class, kept): (&String, &Kept)| {
            let held = held.get(class.as_str()).copied().unwrap_or_default();
            [
                ("sessions of the period that are there", kept.opened),
                ("of these under a legal hold", held),
                ("destroyed in the period before their time", kept.early),
                ("destroyed in the period at or after the end of their time", kept.ended),
            ]
            .map(|(what, count)| Artefact { what: format!("{class}: {what}").into(), count })
        };
        self.kept.iter().flat_map(of).collect()
    }

    /// What somebody has to explain.
    pub(super) fn gaps(&self) -> Vec<String> {
        let early = self.kept.iter().filter(|(_, kept)| kept.early > 0);
        early
            .map(|(class, kept)| format!("to be explained: {} {class} destroyed before their time", kept.early))
            .collect()
    }
}

fn name(retention: Option<&Retention<'_>>) -> String {
    match retention {
        Some(kept) => format!("kept {kept}"),
        None => "no class recorded, kept as the ledger's own".to_owned(),
    }
}
