use std::sync::Arc;

use grille_policy::{Subject, Terms};

use crate::ask::RefusedAsk;
use crate::view::Need;

/// No review needs more approvals than this; it also bounds the matching below.
pub(crate) const APPROVALS_MAX: u32 = 16;

/// Which approvals a request needs: the configured ones, always, and those that the policies ask for.
///
/// One person fills one slot of the policies' quorums, however many groups they are in. The configured quorum is
/// counted beside that, so policies may tighten it and never loosen it.
#[derive(Debug, Clone)]
pub struct Quorums {
    configured: Need,
    asked: Vec<Need>,
}

impl Quorums {
    pub(crate) fn new(reviewers: &[Arc<str>], quorum: u32, terms: &Terms) -> Result<Self, RefusedAsk> {
        let total = terms.quorums.iter().fold(0u64, |sum, (_, people)| sum + u64::from((*people).max(1)));
        if total > u64::from(APPROVALS_MAX) {
            return Err(RefusedAsk::TooManyApprovals { asked: total, most: APPROVALS_MAX });
        }
        let asked = terms
            .quorums
            .iter()
            .map(|(groups, people)| Need {
                groups: if groups.is_empty() { reviewers.to_vec() } else { groups.clone() },
                people: (*people).max(1),
            })
            .collect();
        let configured = Need { groups: reviewers.to_vec(), people: quorum.clamp(1, APPROVALS_MAX) };
        Ok(Self { configured, asked })
    }

    /// Whether the subject's approval may count for any of them.
    pub(crate) fn admits(&self, subject: &Subject) -> bool {
        self.all().any(|need| subject.is_in_any(&need.groups))
    }

    /// How many approvals are missing at least, given the groups of each distinct person who approved.
    pub(crate) fn missing(&self, approvals: &[Vec<Arc<str>>]) -> u32 {
        let counts = |need: &Need, groups: &[Arc<str>]| groups.iter().any(|group| need.groups.contains(group));
        let reviewers = approvals.iter().filter(|groups| counts(&self.configured, groups)).count();
        let configured = self.configured.people.saturating_sub(u32::try_from(reviewers).unwrap_or(u32::MAX));

        let slots: Vec<&Need> =
            self.asked.iter().flat_map(|need| std::iter::repeat_n(need, need.people as usize)).collect();
        let mut filled: Vec<Option<usize>> = vec![None; slots.len()];
        for person in 0..approvals.len() {
            let mut tried = vec![false; slots.len()];
            seat(person, &mut filled, &mut tried, &|person, slot| counts(slots[slot], &approvals[person]));
        }
        let open = filled.iter().filter(|slot| slot.is_none()).count();
        configured.max(u32::try_from(open).unwrap_or(u32::MAX))
    }

    /// As reviewers see them.
    pub(crate) fn needs(&self) -> Vec<Need> {
        let mut needs: Vec<Need> = Vec::new();
        for need in self.all() {
            match needs.iter_mut().find(|known| known.groups == need.groups) {
                Some(known) => known.people = known.people.max(need.people),
                None => needs.push(need.clone()),
            }
        }
        needs
    }

    fn all(&self) -> impl Iterator<Item = &Need> {
        std::iter::once(&self.configured).chain(&self.asked)
    }
}

/// Gives a person a slot, moving others to other slots of theirs where that helps (Kuhn's matching).
fn seat(person: usize, filled: &mut [Option<usize>], tried: &mut [bool], fits: &dyn Fn(usize, usize) -> bool) -> bool {
    for slot in 0..filled.len() {
        if tried[slot] || !fits(person, slot) {
            continue;
        }
        tried[slot] = true;
        let is_free = match filled[slot] {
            None => true,
            Some(other) => seat(other, filled, tried, fits),
        };
        if is_free {
            filled[slot] = Some(person);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quorums(configured: u32, asked: &[(&[&str], u32)]) -> Quorums {
        let names = |groups: &[&str]| groups.iter().map(|&group| Arc::from(group)).collect::<Vec<Arc<str>>>();
        let mut terms = Terms::standard("test");
        terms.quorums = asked.iter().map(|(groups, people)| (names(groups), *people)).collect();
        Quorums::new(&names(&["reviewers"]), configured, &terms).expect("few approvals")
    }

    fn missing(quorums: &Quorums, people: &[&[&str]]) -> u32 {
        let people: Vec<Vec<Arc<str>>> =
            people.iter().map(|groups| groups.iter().map(|&group| Arc::from(group)).collect()).collect();
        quorums.missing(&people)
    }

    #[test]
    fn the_configured_quorum_always_holds() {
        let two = quorums(2, &[(&[], 1)]);
        assert_eq!(missing(&two, &[]), 2);
        assert_eq!(missing(&two, &[&["reviewers"]]), 1);
        assert_eq!(missing(&two, &[&["reviewers"], &["reviewers"]]), 0);
        let none = quorums(0, &[]);
        assert_eq!(missing(&none, &[]), 1, "a quorum of nobody would approve by itself");
        let other = quorums(1, &[(&["privacy"], 1)]);
        assert_eq!(missing(&other, &[&["privacy"]]), 1, "naming another group does not replace the reviewers");
        assert_eq!(missing(&other, &[&["privacy", "reviewers"]]), 0);
    }

    #[test]
    fn one_person_fills_one_slot() {
        let both = quorums(1, &[(&["privacy"], 1), (&["security"], 1)]);
        assert_eq!(missing(&both, &[&["privacy", "security", "reviewers"]]), 1);
        assert_eq!(missing(&both, &[&["privacy", "security", "reviewers"], &["privacy"]]), 0, "the first moves over");
        assert_eq!(missing(&both, &[&["privacy", "reviewers"], &["privacy"]]), 1);
        let three = quorums(1, &[(&[], 2), (&["privacy"], 1)]);
        assert_eq!(missing(&three, &[&["reviewers", "privacy"], &["reviewers"]]), 1);
    }

    #[test]
    fn a_policy_that_wants_a_crowd_is_refused() {
        let mut terms = Terms::standard("test");
        terms.quorums = vec![(Vec::new(), u32::MAX), (Vec::new(), u32::MAX)];
        let refused = Quorums::new(&[], 1, &terms).expect_err("too many");
        assert!(refused.to_string().contains("at most 16"), "{refused}");
    }

    proptest::proptest! {
        #[test]
        fn one_more_approval_never_asks_for_more(
            asked in proptest::collection::vec((proptest::collection::vec(0..4usize, 1..3), 1..3u32), 0..4),
            people in proptest::collection::vec(proptest::collection::vec(0..4usize, 0..3), 1..8),
        ) {
            const GROUPS: [&str; 4] = ["reviewers", "privacy", "security", "legal"];
            let name = |indices: &Vec<usize>| indices.iter().map(|&i| Arc::from(GROUPS[i])).collect::<Vec<Arc<str>>>();
            let mut terms = Terms::standard("test");
            terms.quorums = asked.iter().map(|(groups, count)| (name(groups), *count)).collect();
            let quorums = Quorums::new(&[Arc::from("reviewers")], 1, &terms).expect("few approvals");
            let people: Vec<Vec<Arc<str>>> = people.iter().map(name).collect();
            let mut last = quorums.missing(&[]);
            for count in 1..=people.len() {
                let now = quorums.missing(&people[..count]);
                proptest::prop_assert!(now <= last && last - now <= 1);
                last = now;
            }
        }
    }
}
