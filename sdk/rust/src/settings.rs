use serde_json::{Map, Value};

use crate::Problem;

/// Keys of `settings` that the host itself reads, of any policy that protects columns: how a masked session is guarded.
/// The host checks their values.
const HOST_KEYS: [&str; 5] = ["inference", "opaque", "writes", "notify", "functions"];

/// A policy's settings, read key by key. What is wrong is collected, what nobody asked for is unknown.
pub struct Settings {
    object: Map<String, Value>,
    known: Vec<String>,
    problems: Vec<Problem>,
}

impl Settings {
    /// Reads a JSON object; an empty text counts as an empty object.
    pub fn parse(json: &str) -> Result<Self, Problem> {
        let whole = |message: String| Problem { pointer: String::new(), message };
        let value = match json.trim() {
            "" | "null" => Value::Object(Map::new()),
            text => serde_json::from_str(text).map_err(|error| whole(format!("not JSON: {error}")))?,
        };
        let Value::Object(object) = value else {
            return Err(whole(format!("settings must be a table, not {}", kind(&value))));
        };
        Ok(Self { object, known: Vec::new(), problems: Vec::new() })
    }

    /// Declares the keys that the host reads of policies that protect columns (`inference`, `opaque`, `writes`,
    /// `notify`, `functions`), so that they are not unknown.
    pub fn host_keys(&mut self) {
        self.known.extend(HOST_KEYS.map(str::to_owned));
    }

    /// Any value, or none where the key is absent.
    pub fn value(&mut self, key: &str) -> Option<&Value> {
        self.known.push(key.to_owned());
        self.object.get(key)
    }

    /// A text.
    pub fn text(&mut self, key: &str) -> Option<String> {
        let found = self.value(key)?.clone();
        if let Value::String(text) = found {
            return Some(text);
        }
        self.problem(&pointer(&[key]), format!("`{key}` must be a text, not {}", kind(&found)));
        None
    }

    /// Yes or no.
    pub fn flag(&mut self, key: &str, default: bool) -> bool {
        let Some(found) = self.value(key).cloned() else { return default };
        found.as_bool().unwrap_or_else(|| {
            self.problem(&pointer(&[key]), format!("`{key}` must be true or false, not {}", kind(&found)));
            default
        })
    }

    /// One out of a few words; the first is the default.
    pub fn one_of<'w>(&mut self, key: &str, words: &[&'w str]) -> &'w str {
        let default = words.first().copied().unwrap_or_default();
        let Some(text) = self.text(key) else { return default };
        if let Some(word) = words.iter().find(|word| **word == text) {
            return word;
        }
        let all = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        self.problem(&pointer(&[key]), format!("`{key}` is `{text}`, but knows only {all}{}", hint(&text, words)));
        default
    }

    /// A list of texts, empty where the key is absent.
    pub fn texts(&mut self, key: &str) -> Vec<String> {
        let Some(found) = self.value(key).cloned() else { return Vec::new() };
        let Value::Array(items) = found else {
            self.problem(&pointer(&[key]), format!("`{key}` must be a list of texts, not {}", kind(&found)));
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text),
                other => {
                    let message = format!("entry {index} of `{key}` must be a text, not {}", kind(&other));
                    self.problem(&pointer(&[key, &index.to_string()]), message);
                }
            }
        }
        texts
    }

    /// Says that something is wrong at a JSON pointer such as `/columns/0`.
    pub fn problem(&mut self, pointer: &str, message: impl Into<String>) {
        self.problems.push(Problem { pointer: pointer.to_owned(), message: message.into() });
    }

    /// All problems, unknown keys included.
    pub fn finish(mut self) -> Vec<Problem> {
        let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
        let mut unknown: Vec<Problem> = Vec::new();
        for key in self.object.keys().filter(|key| !known.contains(&key.as_str())) {
            let message = format!("`{key}` is not a setting of this policy{}", hint(key, &known));
            unknown.push(Problem { pointer: pointer(&[key]), message });
        }
        self.problems.append(&mut unknown);
        self.problems
    }
}

fn pointer(parts: &[&str]) -> String {
    parts.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

/// "; did you mean …?" where a known word is at most two edits away.
fn hint(word: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|known| (distance(word, known), known)).min();
    match nearest {
        Some((edits, known)) if edits <= 2 && edits < word.len() => format!("; did you mean `{known}`?"),
        _ => String::new(),
    }
}

fn distance(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in two.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(a != *b)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[two.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(json: &str) -> Vec<(String, String)> {
        let mut settings = match Settings::parse(json) {
            Ok(settings) => settings,
            Err(problem) => return vec![(problem.pointer, problem.message)],
        };
        settings.host_keys();
        settings.one_of("profile", &["standard", "strict"]);
        settings.texts("columns");
        settings.flag("loud", false);
        settings.finish().into_iter().map(|problem| (problem.pointer, problem.message)).collect()
    }

    #[test]
    fn every_problem_is_said_at_once_with_its_place() {
        for (json, expected) in [
            ("", &[] as &[(&str, &str)]),
            (r#"{"profile":"strict","columns":["a.b.c"],"opaque":"scan"}"#, &[]),
            ("[]", &[("", "settings must be a table, not a list")]),
            (
                r#"{"profile":"standrd"}"#,
                &[(
                    "/profile",
                    "`profile` is `standrd`, but knows only `standard`, `strict`; did you mean `standard`?",
                )],
            ),
            (
                r#"{"colums":[],"columns":["x",1],"loud":"yes"}"#,
                &[
                    ("/columns/1", "entry 1 of `columns` must be a text, not a number"),
                    ("/loud", "`loud` must be true or false, not a text"),
                    ("/colums", "`colums` is not a setting of this policy; did you mean `columns`?"),
                ],
            ),
            (r#"{"a/b":1}"#, &[("/a~1b", "`a/b` is not a setting of this policy")]),
        ] {
            let expected: Vec<(String, String)> =
                expected.iter().map(|(at, text)| ((*at).to_owned(), (*text).to_owned())).collect();
            assert_eq!(problems(json), expected, "{json}");
        }
    }
}
