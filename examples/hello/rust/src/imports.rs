//! Every import of the contract, asked once.

use std::fmt::Debug;

use grille_sdk::{clock, counters, detect, kv, lookup};

pub(crate) fn all() -> Vec<(String, String)> {
    let text = |found: Option<Vec<u8>>| found.map_or_else(|| "none".to_owned(), |body| crate::facts::text(&body));
    let hits = |hits: Vec<detect::Hit>| {
        let hits: Vec<_> = hits.iter().map(|hit| format!("{}:{}-{}", hit.kind, hit.start, hit.end)).collect();
        hits.join(",")
    };
    let answers = [
        ("clock", said(clock::now_ms(), |_| "ok".to_owned())),
        ("add", said(counters::add("n", 2, 60_000), |count| count.to_string())),
        ("take", said(counters::take("b", 1, 1, 1), |taken| taken.to_string())),
        ("set", said(kv::set("k", b"v", None), |()| "ok".to_owned())),
        ("get", said(kv::get("k"), text)),
        ("delete", said(kv::delete("k"), |()| "ok".to_owned())),
        ("lookup", said(lookup::fetch("directory", "key"), text)),
        ("detect", said(detect::scan(&["SSN 123-45-6789".to_owned()]), hits)),
    ];
    answers.into_iter().map(|(name, answer)| (name.to_owned(), answer)).collect()
}

/// The answer in words, or the error's name as the contract writes it.
fn said<T, E: Debug>(answer: Result<T, E>, words: impl FnOnce(T) -> String) -> String {
    answer.map_or_else(|error| name(&error), words)
}

/// `OverQuota` is `over-quota` in the contract.
pub(crate) fn name(error: &impl Debug) -> String {
    let debug = format!("{error:?}");
    let variant = debug.rsplit("::").next().unwrap_or(&debug);
    let mut name = String::new();
    for (index, letter) in variant.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}
