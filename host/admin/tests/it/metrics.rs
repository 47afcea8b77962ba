//! The text format as Prometheus defines it, read strictly.

use std::collections::BTreeMap;

/// All samples by series. Fails on what Prometheus would not take.
pub(crate) fn parse(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'));
    let (mut samples, mut families) = (BTreeMap::new(), Vec::<(String, String)>::new());
    let mut help = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = Some(rest.split_once(' ').expect("a help has a text").0.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(help.take().as_deref(), Some(name), "HELP stands before TYPE");
            assert!(["counter", "gauge", "summary"].contains(&kind), "{line}");
            assert!(families.iter().all(|(known, _)| known != name), "{name} comes twice");
            families.push((name.to_owned(), kind.to_owned()));
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            let name = series.split('{').next().unwrap();
            let (family, kind) = families.last().expect("a sample has a family");
            let suffix = name.strip_prefix(family.as_str()).expect("samples stand under their family");
            assert!(suffix.is_empty() || (kind == "summary" && suffix == "_count"), "{line}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
            if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty()) {
                check_labels(labels.strip_prefix('{').and_then(|labels| labels.strip_suffix('}')).unwrap());
            }
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(samples.insert(series.to_owned(), value).is_none(), "{series} comes twice");
        }
    }
    samples
}

fn check_labels(labels: &str) {
    let (mut rest, mut names) = (labels, Vec::new());
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").expect("name=\"value\"");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && !names.contains(&name), "{rest}");
        names.push(name);
        let mut is_escaped = false;
        let end = value
            .find(|letter| match (is_escaped, letter) {
                (true, letter) => {
                    assert!(['\\', '"', 'n'].contains(&letter), "{rest}");
                    is_escaped = false;
                    false
                }
                (false, '\\') => {
                    is_escaped = true;
                    false
                }
                (false, letter) => letter == '"',
            })
            .expect("a value ends");
        rest = &value[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}
