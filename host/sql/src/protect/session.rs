use grille_policy::Protection;

use super::Refusal;
use crate::analysis::{SessionEffect, SetValue};

/// Settings that a masked session may change to constants, besides the families below. All in lower case. Some are there
/// because each dump begins with them; without `row_security` the server refuses rows, it never shows more of them.
const SETTINGS: &[&str] = &[
    "application_name",
    "bytea_output",
    "check_function_bodies",
    "datestyle",
    "default_table_access_method",
    "default_tablespace",
    "extra_float_digits",
    "grille.reason",
    "intervalstyle",
    "row_security",
    "search_path",
    "synchronize_seqscans",
    "timezone",
    "xmloption",
];

/// Beginnings and ends of the names of settings that a masked session may change.
const PREFIXES: &[&str] = &["transaction_", "default_transaction_"];
const SUFFIXES: &[&str] = &["_timeout"];

/// Message levels that do not echo statements or values.
const QUIET_LEVELS: &[&str] = &["notice", "warning", "error"];

/// Encodings in which each ASCII byte means itself wherever it stands.
const ENCODINGS: &[&str] = &[
    "utf8",
    "unicode",
    "utf-8",
    "sql_ascii",
    "latin1",
    "latin2",
    "latin3",
    "latin4",
    "latin5",
    "latin6",
    "latin7",
    "latin8",
    "latin9",
    "latin10",
    "iso88591",
    "iso-8859-1",
    "iso885915",
    "iso_8859_5",
    "iso_8859_6",
    "iso_8859_7",
    "iso_8859_8",
    "koi8r",
    "koi8u",
    "win866",
    "win874",
    "win1250",
    "win1251",
    "win1252",
    "win1253",
    "win1254",
    "win1255",
    "win1256",
    "win1257",
    "win1258",
];

/// Whether a masked session may do that to itself.
pub(super) fn check(effect: &SessionEffect, protection: &Protection) -> Result<(), Refusal> {
    match effect {
        SessionEffect::Set { name, value, .. } => set(name, value),
        SessionEffect::SetRole => Err(refuse("SET ROLE is refused in a masked session; log in with the other role")),
        SessionEffect::SetSessionAuthorization => {
            Err(refuse("SET SESSION AUTHORIZATION is refused in a masked session"))
        }
        SessionEffect::PrepareTransaction => {
            Err(refuse("PREPARE TRANSACTION is refused in a masked session; use COMMIT"))
        }
        SessionEffect::Listen | SessionEffect::Notify if !protection.notify => Err(Refusal::new(
            "notify",
            "LISTEN and NOTIFY are refused in a masked session: their payloads cannot be masked",
        )),
        _ => Ok(()),
    }
}

fn set(name: &str, value: &SetValue) -> Result<(), Refusal> {
    let constants = match value {
        SetValue::Constant(constants) => constants,
        // What Grille pins travels in the startup packet, so a default is what it pinned.
        SetValue::Default => return Ok(()),
        SetValue::Current => &Vec::new(),
        SetValue::NonConstant => {
            return Err(refuse(format!("setting \"{name}\" may be changed to constants only")));
        }
    };
    let first = constants.first().map(|value| value.to_ascii_lowercase()).unwrap_or_default();
    let allowed = match name {
        "client_min_messages" => QUIET_LEVELS.contains(&&*first),
        "standard_conforming_strings" => matches!(&*first, "on" | "true" | "yes" | "1"),
        "client_encoding" => ENCODINGS.contains(&&*first),
        _ => {
            SETTINGS.contains(&name)
                || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
        }
    };
    if allowed {
        return Ok(());
    }
    let to = if first.is_empty() { String::new() } else { format!(" to '{first}'") };
    Err(refuse(format!("setting \"{name}\" must not be changed{to} in a masked session")))
}

fn refuse(message: impl Into<String>) -> Refusal {
    Refusal::new("session-setting", message)
}
