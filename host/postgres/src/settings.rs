//! The settings of the startup packet: which of the caller's reach the target, and what Grille pins.

use grille_policy::Fault;

use crate::respond::{Answer, sqlstate};

/// What a masked session may set by itself; the same list holds for SET.
const MASKED_ALLOWED: [&str; 12] = [
    "application_name",
    "bytea_output",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "search_path",
    "statement_timeout",
    "timezone",
];

/// The parameters for the upstream startup packet. What is pinned here is what RESET and DISCARD restore.
pub(crate) fn upstream_parameters(
    asked: &[(String, String)],
    is_masked: bool,
) -> Result<Vec<(String, String)>, Answer> {
    let mut parameters = Vec::new();
    for (name, value) in asked {
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "user" | "database" => {}
            "replication" if matches!(value.as_str(), "false" | "off" | "no" | "0") => {}
            "replication" => {
                return Err(refused("replication connections are refused: they pass every policy by"));
            }
            _ if lower.starts_with("_pq_.") => {}
            "client_encoding" if is_masked && !is_utf8(value) => {
                return Err(refused("this session is masked, so its client_encoding must be UTF8"));
            }
            "client_encoding" => parameters.push((lower, value.clone())),
            "options" if is_masked => {
                if let Some(bad) = options(value).iter().find(|option| !option.name().is_some_and(is_allowed)) {
                    let message = format!("this session is masked, so the startup option {} is refused", bad.0);
                    return Err(refused(&message));
                }
                parameters.push((lower, value.clone()));
            }
            _ if is_masked && !is_allowed(&lower) => {
                let message = format!("this session is masked, so the startup parameter {name} is refused");
                return Err(refused(&message));
            }
            _ => parameters.push((name.clone(), value.clone())),
        }
    }
    if is_masked {
        parameters.retain(|(name, _)| name != "client_encoding");
        for (name, value) in
            [("client_encoding", "UTF8"), ("standard_conforming_strings", "on"), ("client_min_messages", "notice")]
        {
            parameters.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(parameters)
}

fn is_allowed(name: impl AsRef<str>) -> bool {
    let name = name.as_ref();
    MASKED_ALLOWED.contains(&name) || name == "lock_timeout"
}

/// One of the server's command line options, as `options` of the startup packet holds them.
#[derive(Debug, PartialEq, Eq)]
struct CommandLine(String);

impl CommandLine {
    /// The setting that it makes, in lower case: `-c NAME=VALUE` and `--NAME=VALUE`. None for the other options.
    fn name(&self) -> Option<String> {
        let assignment = self.0.strip_prefix("--").or_else(|| self.0.strip_prefix("-c"))?;
        let (name, _) = assignment.split_once('=')?;
        Some(name.trim().replace('-', "_").to_ascii_lowercase())
    }
}

/// Splits them as the server does: at white space, where a backslash makes an ordinary character of the next one. What
/// `-c` stands before belongs to it.
fn options(text: &str) -> Vec<CommandLine> {
    let (mut options, mut word, mut is_escaped) = (Vec::<CommandLine>::new(), String::new(), false);
    for char in text.chars().chain([' ']) {
        match char {
            '\\' if !is_escaped => is_escaped = true,
            char if char.is_ascii_whitespace() && !is_escaped => {
                match options.last_mut() {
                    _ if word.is_empty() => {}
                    Some(CommandLine(last)) if last == "-c" => last.push_str(&word),
                    _ => options.push(CommandLine(word.clone())),
                }
                word.clear();
            }
            char => {
                word.push(char);
                is_escaped = false;
            }
        }
    }
    options
}

fn is_utf8(encoding: &str) -> bool {
    matches!(
        encoding.trim_matches(['\'', '"', ' ']).to_ascii_lowercase().replace(['-', '_'], "").as_str(),
        "utf8" | "unicode" | "sqlascii" | "auto"
    )
}

fn refused(message: &str) -> Answer {
    Answer::new(sqlstate::REFUSED, Fault::Policy, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_masked_session_is_pinned_and_limited() {
        let asked = pairs(&[("user", "a"), ("database", "clinic"), ("application_name", "psql"), ("DateStyle", "ISO")]);
        let given = upstream_parameters(&asked, true).expect("all of it is allowed");
        assert!(given.contains(&("standard_conforming_strings".into(), "on".into())));
        assert!(given.contains(&("application_name".into(), "psql".into())));
        assert!(!given.iter().any(|(name, _)| name == "user" || name == "database"));
        for bad in [
            ("options", "-c session_preload_libraries=x"),
            ("client_encoding", "SJIS"),
            ("role", "dba"),
            ("replication", "true"),
        ] {
            assert!(upstream_parameters(&pairs(&[bad]), true).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_masked_session_may_set_by_options_what_it_may_set_otherwise() {
        for (text, is_good) in [
            ("", true),
            ("-c statement_timeout=5s", true),
            ("  -cstatement_timeout=5s --lock-timeout=1s\t-c search_path=a\\ b,c ", true),
            ("-c Statement_Timeout=0", true),
            ("-c statement_timeout=5s -c role=dba", false),
            ("-c statement_timeout=5s\\ -c\\ role=dba", true),
            ("-c statement_timeout=5s\\ -c role=dba", false),
            ("--role=dba", false),
            ("-c", false),
            ("-c statement_timeout", false),
            ("-e", false),
            ("statement_timeout=5s", false),
            ("-d 5", false),
            ("-c client_encoding=SJIS", false),
        ] {
            assert_eq!(upstream_parameters(&pairs(&[("options", text)]), true).is_ok(), is_good, "{text}");
        }
    }

    #[test]
    fn other_sessions_pass_what_they_ask() {
        let asked = pairs(&[("options", "-c work_mem=64MB"), ("client_encoding", "LATIN1"), ("_pq_.x", "1")]);
        let given = upstream_parameters(&asked, false).expect("nothing is pinned");
        assert_eq!(given, pairs(&[("options", "-c work_mem=64MB"), ("client_encoding", "LATIN1")]));
        assert!(upstream_parameters(&pairs(&[("replication", "database")]), false).is_err());
    }
}
