//! The algebra of verdicts and treatments: order never matters, and one policy more never weakens the outcome.

use grille_policy::testing::opinion;
use grille_policy::{Finding, Masker, Mode, Opinion, Severity, Terms, Treatment, Verdict, combine, join};
use proptest::collection::vec;
use proptest::prelude::*;

fn severity() -> impl Strategy<Value = Severity> {
    use Severity::{Critical, High, Info, Low, Medium};
    prop::sample::select(vec![Info, Low, Medium, High, Critical])
}

fn terms() -> impl Strategy<Value = Terms> {
    let groups = vec(prop::sample::select(vec!["a", "b", "c"]), 0..3);
    let quorum = (groups, 1u32..4).prop_map(|(groups, people)| {
        let groups = groups.into_iter().map(Into::into).collect();
        (groups, people)
    });
    let reason = prop::sample::select(vec!["one", "two", "one; two", ""]);
    (vec(quorum, 1..3), prop::option::of(0u64..5), any::<bool>(), reason).prop_map(
        |(quorums, hold_ms, hold_in_transaction, reason)| Terms {
            quorums,
            hold_ms,
            hold_in_transaction,
            reason: reason.into(),
        },
    )
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let block = ("[a-c]{1,2}", severity(), "[a-c]{0,2}")
        .prop_map(|(rule, severity, message)| Verdict::Block(Finding::new(&rule, severity, message)));
    prop_oneof![Just(Verdict::Allow), block, terms().prop_map(Verdict::Review)]
}

fn opinions() -> impl Strategy<Value = Vec<Opinion>> {
    let one = (verdict(), any::<bool>()).prop_map(|(verdict, enforces)| Opinion {
        mode: if enforces { Mode::Enforce } else { Mode::Monitor },
        ..opinion(verdict)
    });
    vec(one, 0..6)
}

fn treatment() -> impl Strategy<Value = Treatment> {
    let maskers = vec![
        Masker::Null,
        Masker::Redact,
        Masker::Year,
        Masker::Scan,
        Masker::Partial { keep: 2 },
        Masker::Partial { keep: 4 },
        Masker::Token { class: "a".into() },
        Masker::Token { class: "b".into() },
    ];
    prop_oneof![
        Just(Treatment::Keep),
        prop::sample::select(maskers).prop_map(Treatment::Mask),
        prop::sample::select(vec!["p", "q"]).prop_map(|policy| Treatment::Transform(policy.into())),
    ]
}

/// keep < any masker or transform < redact < null.
fn strictness(treatment: &Treatment) -> u8 {
    match treatment {
        Treatment::Keep => 0,
        Treatment::Mask(Masker::Null) => 3,
        Treatment::Mask(Masker::Redact) => 2,
        _ => 1,
    }
}

/// Whether whatever satisfies `new` satisfies `old`.
fn is_as_strict(new: &Verdict, old: &Verdict) -> bool {
    match (new, old) {
        (Verdict::Review(new), Verdict::Review(old)) => {
            old.quorums.iter().all(|quorum| new.quorums.contains(quorum))
                && old.hold_ms.is_none_or(|old| new.hold_ms.is_some_and(|new| new <= old))
                && (old.hold_in_transaction || !new.hold_in_transaction)
        }
        (Verdict::Block(new), Verdict::Block(old)) => new.severity >= old.severity,
        (new, old) => new.strictness() > old.strictness() || new == old,
    }
}

proptest! {
    #[test]
    fn the_order_of_policies_does_not_matter(
        (given, shuffled) in opinions().prop_flat_map(|given| (Just(given.clone()), Just(given).prop_shuffle()))
    ) {
        let (one, two) = (combine(&given), combine(&shuffled));
        prop_assert!(is_as_strict(&one, &two) && is_as_strict(&two, &one));
        prop_assert_eq!(one, two);
    }

    #[test]
    fn one_policy_more_never_weakens(given in opinions(), more in opinions()) {
        let before = combine(&given);
        let all: Vec<Opinion> = given.into_iter().chain(more).collect();
        prop_assert!(is_as_strict(&combine(&all), &before));
    }

    #[test]
    fn a_policy_that_monitors_changes_nothing(given in opinions(), watcher in verdict()) {
        let before = combine(&given);
        let watcher = Opinion { mode: Mode::Monitor, ..opinion(watcher) };
        let all: Vec<Opinion> = given.into_iter().chain([watcher]).collect();
        prop_assert_eq!(combine(&all), before);
    }

    #[test]
    fn terms_join_in_any_order(one in terms(), two in terms(), three in terms()) {
        prop_assert_eq!(one.join(&two), two.join(&one));
        prop_assert_eq!(one.join(&two).join(&three), one.join(&two.join(&three)));
    }

    #[test]
    fn treatments_join_in_any_order_to_the_stricter(one in treatment(), two in treatment(), three in treatment()) {
        prop_assert_eq!(join(&one, &one), one.clone());
        prop_assert_eq!(join(&one, &two), join(&two, &one));
        prop_assert_eq!(join(&join(&one, &two), &three), join(&one, &join(&two, &three)));
        prop_assert!(strictness(&join(&one, &two)) >= strictness(&one).max(strictness(&two)));
    }
}
