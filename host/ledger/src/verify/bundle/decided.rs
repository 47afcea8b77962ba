//! What decided and when: policy sets, components, approvals, clocks.

use std::collections::BTreeMap;
use std::path::Path;

use grille_policy::{Decision, Digest};

use super::super::damage::{BundleSound, Damage, DamageKind, VerifyError};
use super::signed::{Manifest, open};
use super::{Judge, Named};
use crate::clock::STEP_MIN;
use crate::leaf::Leaf;
use crate::session::{asked_digest, policy_digest};
use crate::{Record, VerifierKey};

const APPROVAL_TYPE: &str = "application/vnd.grille.approval.v1+json";

/// What the records say about it, until all of them were read.
#[derive(Default)]
pub(super) struct Decided {
    /// Policy sets as they came into force: index, number, digest.
    changes: Vec<(u64, Option<u64>, Option<String>)>,
    /// Which set each record says that it was judged by.
    judged: Vec<(Named, Option<u64>, String)>,
    /// Files of components and settings, with the first record that takes them.
    wanted: BTreeMap<String, Named>,
    /// What reviewers signed, by request.
    envelopes: BTreeMap<String, Vec<(serde_json::Value, Named)>>,
    /// From which record on the wall clock is ahead of the monotonic one by how much: starts and steps.
    clocks: Vec<(u64, i64)>,
    /// Where a session's clock has to be explained by one of these: its first record, and any that leaves the last.
    told_times: Vec<(Named, i64)>,
}

impl Decided {
    /// Takes in any record.
    pub(super) fn note(&mut self, judge: &mut Judge<'_>, named: &Named, leaf: &Leaf, text: Option<&str>) {
        if let Some(policy) = leaf.policy.as_ref().filter(|_| leaf.kind != "policy.change") {
            self.judged.push((named.clone(), leaf.epoch, policy.clone()));
        }
        let Some(text) = text else { return };
        let Ok(record) = serde_json::from_str::<Record<'static>>(text) else {
            return judge.push(named.damage(DamageKind::Record, "its text is in no known form".to_owned()));
        };
        if record.kind() != leaf.kind {
            let detail = "its text is of another kind than its leaf".to_owned();
            return judge.push(named.damage(DamageKind::Record, detail));
        }
        match &record {
            Record::PolicyChange(change) if change.refused.is_none() => {
                self.changes.push((named.index, leaf.epoch, leaf.policy.clone()));
                if leaf.policy != Some(policy_digest(change)) {
                    let detail = "the policy set is not the one whose digest the leaf holds".to_owned();
                    judge.push(named.damage(DamageKind::Policy, detail));
                }
                for policy in change.policies.values() {
                    self.want(named, &policy.plugin, &policy.settings);
                }
            }
            Record::Decision(record) => self.note_decision(judge, named, leaf, &record.decision),
            Record::SessionOpen(open) => {
                if let Some(decision) = &open.decision {
                    self.note_decision(judge, named, leaf, decision);
                }
            }
            Record::Review(event) => {
                if let Some(Ok(envelope)) = event.envelope.as_deref().map(serde_json::from_str) {
                    self.envelopes.entry(event.request.to_string()).or_default().push((envelope, named.clone()));
                }
            }
            _ => {}
        }
    }

    /// Takes in a record of the node.
    pub(super) fn note_node(&mut self, named: &Named, leaf: &Leaf) {
        if matches!(leaf.kind.as_str(), "node.start" | "clock.step") {
            self.clocks.push((named.index, ahead(leaf)));
        } else {
            self.told_times.push((named.clone(), ahead(leaf)));
        }
    }

    /// Takes in the time of a session's record; `last` is the one before it.
    pub(super) fn note_time(&mut self, judge: &mut Judge<'_>, last: Option<&Named>, named: &Named, leaf: &Leaf) {
        if last.is_some_and(|last| last.mono > leaf.mono) {
            let detail = "the monotonic clock fell".to_owned();
            judge.push(named.damage(DamageKind::Clock, detail));
        }
        let before = last.map(|last| last.time.wrapping_sub(last.mono).cast_signed());
        if before.is_none_or(|before| before.abs_diff(ahead(leaf)) > STEP_MIN) {
            self.told_times.push((named.clone(), ahead(leaf)));
        }
    }

    pub(super) fn check(
        mut self,
        judge: &mut Judge<'_>,
        key: &VerifierKey,
        manifest: Option<&Manifest>,
        sound: &mut BundleSound,
    ) -> Result<(), VerifyError> {
        self.changes.sort_unstable();
        self.clocks.sort_unstable();
        self.check_sets(judge);
        self.check_clocks(judge);
        self.check_components(judge, manifest, sound)?;
        self.check_approvals(judge, key, sound)
    }

    fn note_decision(&mut self, judge: &mut Judge<'_>, named: &Named, leaf: &Leaf, decision: &Decision) {
        if leaf.plugins != asked_digest(decision) {
            let detail = "the policies that it names are not those in its leaf".to_owned();
            judge.push(named.damage(DamageKind::Policy, detail));
        }
        for opinion in &decision.opinions {
            self.want(named, &opinion.plugin, &opinion.settings);
        }
    }

    fn want(&mut self, named: &Named, plugin: &Digest, settings: &Digest) {
        if *plugin != Digest([0; 32]) {
            for name in [format!("plugins/{plugin}.wasm"), format!("plugins/{settings}.json")] {
                let first = self.wanted.entry(name).or_insert_with(|| named.clone());
                if named.index < first.index {
                    *first = named.clone();
                }
            }
        }
    }

    /// Each decision names the set that was in force.
    fn check_sets(&self, judge: &mut Judge<'_>) {
        for (named, epoch, policy) in &self.judged {
            let earlier = self.changes.iter().rev().find(|(index, set, _)| *index < named.index && set == epoch);
            let set = epoch.unwrap_or_default();
            let detail = match earlier {
                None => format!("the change that put policy set {set} in force is missing"),
                Some((.., known)) if known.as_ref() != Some(policy) => {
                    format!("it names another policy set {set} than the one in force")
                }
                Some(_) => continue,
            };
            judge.push(named.damage(DamageKind::Policy, detail));
        }
    }

    /// Wall and monotonic clock go on together from each start and step.
    fn check_clocks(&self, judge: &mut Judge<'_>) {
        for (named, ahead) in &self.told_times {
            let Some((_, base)) = self.clocks.iter().rev().find(|(index, _)| *index < named.index) else { continue };
            if base.abs_diff(*ahead) > STEP_MIN {
                let seconds = ahead.saturating_sub(*base) / 1_000_000;
                let detail = format!("the wall clock was set by {seconds} s, and no record before says so");
                judge.push(named.damage(DamageKind::Clock, detail));
            }
        }
    }

    fn check_components(
        &self,
        judge: &mut Judge<'_>,
        manifest: Option<&Manifest>,
        sound: &mut BundleSound,
    ) -> Result<(), VerifyError> {
        let archive = judge.archive;
        for name in archive.below("plugins/") {
            let told = name.strip_prefix("plugins/").and_then(|name| name.rsplit_once('.'));
            let Some((Ok(told), what @ ("wasm" | "json"))) = told.map(|(told, what)| (told.parse::<Digest>(), what))
            else {
                continue;
            };
            if Digest(archive.digest(name)?) != told {
                let what = if what == "wasm" { "component is" } else { "settings are" };
                let detail = format!("the {what} not what decided under this digest");
                judge.push(self.of_file(DamageKind::Plugin, name, detail));
            }
        }
        for (name, _) in self.wanted.iter().filter(|(name, _)| !archive.has(name)) {
            if manifest.is_some_and(|manifest| manifest.missing.contains(name)) {
                sound.notes.push(format!("{name} decided and was not kept in the ledger"));
            } else {
                judge.push(self.of_file(DamageKind::Plugin, name, "what decided is missing".to_owned()));
            }
        }
        Ok(())
    }

    /// Damage of a component, named by the first record that it decided.
    fn of_file(&self, kind: DamageKind, name: &str, detail: String) -> Damage {
        let damage = self.wanted.get(name).map(|named| named.damage(kind, detail.clone()));
        Damage {
            file: Path::new(name).to_owned(),
            offset: 0,
            ..damage.unwrap_or_else(|| Damage::whole(kind, Path::new(name), detail))
        }
    }

    fn check_approvals(
        &self,
        judge: &mut Judge<'_>,
        key: &VerifierKey,
        sound: &mut BundleSound,
    ) -> Result<(), VerifyError> {
        let archive = judge.archive;
        for name in archive.below("approvals/") {
            let told = name.strip_prefix("approvals/").and_then(|name| name.strip_suffix(".dsse.json"));
            let Some((request, vote)) = told.and_then(|told| told.rsplit_once('-')) else { continue };
            sound.approvals += 1;
            let text = archive.read(name)?.unwrap_or_default();
            let recorded = self.envelopes.get(request).map_or(&[][..], Vec::as_slice);
            let vote = vote.parse::<usize>().ok().and_then(|vote| recorded.get(vote.checked_sub(1)?));
            let why = match open(&text, APPROVAL_TYPE, key) {
                Err(why) => Some(why),
                Ok(payload) => {
                    let told = serde_json::from_slice::<serde_json::Value>(&payload).ok();
                    let told = told.as_ref().and_then(|told| told["request_id"].as_str());
                    let envelope = serde_json::from_slice::<serde_json::Value>(&text).ok();
                    if told != Some(request) {
                        Some(format!("it decides request {}", told.unwrap_or("of no name")))
                    } else if !recorded.iter().any(|(known, _)| Some(known) == envelope.as_ref()) {
                        Some("no record of the log holds it".to_owned())
                    } else {
                        None
                    }
                }
            };
            if let Some(why) = why {
                let damage = vote.map(|(_, named)| named.damage(DamageKind::Approval, why.clone()));
                let damage = damage.unwrap_or_else(|| Damage::whole(DamageKind::Approval, Path::new(name), why));
                judge.push(Damage { file: Path::new(name).to_owned(), offset: 0, ..damage });
            }
        }
        for (request, recorded) in &self.envelopes {
            let there = archive.below("approvals/").filter(|name| name.contains(request.as_str())).count();
            if let Some((_, named)) = recorded.get(there) {
                let detail = "what the reviewer signed is missing among the approvals".to_owned();
                judge.push(named.damage(DamageKind::Approval, detail));
            }
        }
        Ok(())
    }
}

fn ahead(leaf: &Leaf) -> i64 {
    leaf.log_time.wrapping_sub(leaf.mono).cast_signed()
}
