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
            "options" if is_masked && !value.trim().is_empty() => {
                return Err(refused("this session is masked, so the startup parameter options is refused; use SET"));
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

fn is_allowed(name: &str) -> bool {
    MASKED_ALLOWED.contains(&name) || name == "lock_timeout"
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
        for bad in
            [("options", "-c search_path=x"), ("client_encoding", "SJIS"), ("role", "dba"), ("replication", "true")]
        {
            assert!(upstream_parameters(&pairs(&[bad]), true).is_err(), "{bad:?}");
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
