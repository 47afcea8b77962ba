use super::*;

fn named(name: &str, parameters: &[(&str, &str)]) -> types::Treatment {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    types::Treatment::Mask(types::Masker { name: name.to_owned(), parameters })
}

fn said(treatment: types::Treatment) -> String {
    match treatments(vec![treatment], 1, None) {
        Ok(treatments) => treatments[0].to_string(),
        Err(Nonsense(what)) => format!("nonsense: {what}"),
    }
}

#[test]
fn every_masker_is_known_by_its_name_and_nothing_else_is() {
    for (name, parameters, expected) in [
        ("null", &[] as &[(&str, &str)], "null"),
        ("redact", &[], "redact"),
        ("token", &[("class", "ssn")], "token(ssn)"),
        ("fpe", &[("class", "mrn")], "fpe(mrn)"),
        ("partial", &[("keep", "4")], "partial(4)"),
        ("year", &[], "year"),
        ("age90", &[], "age90"),
        ("zip3", &[], "zip3"),
        ("range", &[("width", "10")], "range(10)"),
        ("shift", &[("days", "30"), ("class", "p")], "shift(p, 30)"),
        ("scan", &[], "scan"),
        ("rot13", &[], "nonsense: the masker `rot13`, which the host does not have"),
        ("token", &[], "nonsense: the masker `token` without its parameter `class`"),
        ("token", &[("class", "")], "nonsense: the masker `token` with an empty class"),
        ("null", &[("class", "x")], "nonsense: the masker `null` with parameters that it does not take"),
        ("partial", &[("keep", "256")], "nonsense: the masker `partial` with keep = `256`"),
        ("range", &[("width", "0")], "nonsense: the masker `range` with width = `0`"),
        ("shift", &[("class", "p"), ("days", "-1")], "nonsense: the masker `shift` with days = `-1`"),
    ] {
        assert_eq!(said(named(name, parameters)), expected, "{name} {parameters:?}");
    }
    assert!(said(types::Treatment::Transform).starts_with("nonsense: the treatment `transform`"));
    assert!(treatments(vec![types::Treatment::Keep; 2], 3, None).is_err());
}

#[test]
fn a_batch_must_be_whole() {
    let batch_of = |blob: &[u8], offsets: &[u32], nulls: &[u8]| {
        let answer = types::Batch { blob: blob.to_vec(), offsets: offsets.to_vec(), nulls: nulls.to_vec() };
        batch(answer, 0, 2).is_ok()
    };
    type Case = (&'static [u8], &'static [u32], &'static [u8], bool);
    let cases: [Case; 13] = [
        (b"ab", &[0, 1, 2], &[0], true),
        (b"", &[0, 0, 0], &[3], true),
        ("é".as_bytes(), &[0, 2, 2], &[0], true),
        ("é".as_bytes(), &[0, 1, 2], &[0], false),
        (b"ab", &[0, 2], &[0], false),
        (b"ab", &[0, 1, 2, 2], &[0], false),
        (b"ab", &[0, 2, 1], &[0], false),
        (b"ab", &[1, 1, 2], &[0], false),
        (b"ab", &[0, 1, 9], &[0], false),
        (b"abc", &[0, 1, 2], &[0], false),
        (b"ab", &[0, 1, 2], &[], false),
        (b"ab", &[0, 1, 2], &[0, 0], false),
        (b"\xff\xff", &[0, 1, 2], &[0], false),
    ];
    for (blob, offsets, nulls, is_whole) in cases {
        assert_eq!(batch_of(blob, offsets, nulls), is_whole, "{blob:?} {offsets:?} {nulls:?}");
    }
}

#[test]
fn texts_are_bounded_and_cannot_steer_a_terminal() {
    let finding_of = |rule: &str, message: &str| {
        let severity = types::Severity::High;
        finding(types::Finding { rule: rule.to_owned(), severity, message: message.to_owned(), attributes: Vec::new() })
    };
    assert_eq!(
        finding_of("rule", "a\u{1b}[2Jb\nc").map(|finding| finding.message.to_string()),
        Ok("a [2Jb c".to_owned())
    );
    assert!(finding_of("", "x").is_err());
    assert!(finding_of("rule", &"x".repeat(MESSAGE_MAX + 1)).is_err());
    let terms_of = |people, hold_ms| {
        let quorums = vec![types::Quorum { groups: Vec::new(), people }];
        terms(types::Terms { quorums, hold_ms, hold_in_transaction: false, reason: "why".to_owned() }).is_ok()
    };
    assert!(terms_of(1, Some(0)) && !terms_of(0, None) && !terms_of(17, None) && !terms_of(1, Some(u32::MAX)));
}
