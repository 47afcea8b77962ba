//! The host's part of a policy's settings, and settings as one canonical text.

use std::sync::Arc;

use grille_policy::{Inference, Opaque, Protection, Writes};
use serde_json::{Map, Value};

/// How a policy that protects columns guards the sessions that it binds. Says every problem with its JSON pointer.
pub(crate) fn protection(settings: &Value) -> Result<Protection, Vec<String>> {
    let empty = Map::new();
    let table = settings.as_object().unwrap_or(&empty);
    let mut problems = Vec::new();
    let mut word = |key: &str, words: [&str; 3]| -> usize {
        let Some(value) = table.get(key) else { return 0 };
        let known = words.iter().position(|word| !word.is_empty() && value.as_str() == Some(word));
        known.unwrap_or_else(|| {
            let all = words.iter().filter(|word| !word.is_empty()).map(|word| format!("\"{word}\""));
            problems.push(format!("/{key}: must be one of {}, not {value}", all.collect::<Vec<_>>().join(", ")));
            0
        })
    };
    // The first word of each is its default.
    let inference = [Inference::Record, Inference::Refuse][word("inference", ["record", "refuse", ""])];
    let opaque = [Opaque::Refuse, Opaque::Review, Opaque::Scan][word("opaque", ["refuse", "review", "scan"])];
    let writes = [Writes::Refuse, Writes::Allow][word("writes", ["refuse", "allow", ""])];
    let notify = word("notify", ["refuse", "allow", ""]) == 1;
    let functions = functions(table, &mut problems);
    if problems.is_empty() { Ok(Protection { inference, opaque, writes, notify, functions }) } else { Err(problems) }
}

fn functions(table: &Map<String, Value>, problems: &mut Vec<String>) -> Vec<Arc<str>> {
    let Some(value) = table.get("functions") else { return Vec::new() };
    let Some(list) = value.as_array() else {
        problems.push("/functions: must be a list of functions, such as [\"public.full_name\"]".into());
        return Vec::new();
    };
    let mut functions = Vec::new();
    for (index, function) in list.iter().enumerate() {
        match function.as_str() {
            Some(name) if name.split('.').filter(|part| !part.is_empty()).count() == 2 => functions.push(name.into()),
            _ => problems.push(format!("/functions/{index}: must be `schema.name`, not {function}")),
        }
    }
    functions
}

/// The same settings as the same text, whatever order a file has them in: it goes to the plugin, and its digest names
/// them in records. Nothing is an empty table.
pub(crate) fn canonical(settings: &Value) -> String {
    if settings.is_null() {
        return "{}".to_owned();
    }
    sorted(settings).to_string()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(table) => {
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_hosts_keys_are_read_strictly_and_the_rest_is_not_ours() {
        let default = Protection::default();
        assert_eq!(protection(&json!({"profile": "x", "columns": ["a"]})), Ok(default.clone()));
        let all = json!({
            "inference": "refuse", "opaque": "scan", "writes": "allow", "notify": "allow", "functions": ["public.f"]
        });
        let read = protection(&all).expect("all of it is right");
        assert!(read.inference == Inference::Refuse && read.opaque == Opaque::Scan && read.writes == Writes::Allow);
        assert!(read.notify && read.functions.len() == 1);
        for (settings, place) in [
            (json!({"inference": "allow"}), "/inference"),
            (json!({"opaque": true}), "/opaque"),
            (json!({"writes": ""}), "/writes"),
            (json!({"notify": true}), "/notify"),
            (json!({"functions": "public.f"}), "/functions"),
            (json!({"functions": ["f"]}), "/functions/0"),
        ] {
            let problems = protection(&settings).expect_err("it is wrong");
            assert!(problems.len() == 1 && problems[0].starts_with(place), "{problems:?}");
        }
    }

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let (one, two) = (r#"{"b":{"y":1,"x":[2,1]},"a":null}"#, r#"{"a":null,"b":{"x":[2,1],"y":1}}"#);
        let parse = |text| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(canonical(&parse(one)), canonical(&parse(two)));
        assert_eq!(canonical(&Value::Null), "{}");
    }
}
