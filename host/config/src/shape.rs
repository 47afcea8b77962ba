use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::file::File;
use crate::locate::{Locations, join};
use crate::{Problem, schema, suggest};

/// The file out of the text, with everything left out that is not as the schema wants it, and a problem for each of
/// those. No file means that the text is no TOML.
pub(crate) fn read(text: &str) -> (Option<File>, Locations, Vec<Problem>) {
    let mut locations = Locations::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problems = errors
            .iter()
            .map(|error| {
                let message = format!("this is no TOML: {}", error.message());
                locations.at(error.span().unwrap_or(0..0), "", message, None)
            })
            .collect();
        return (None, locations, problems);
    }
    let schema = schema();
    let mut walk = Walk { root: &schema, locations: &mut locations, problems: Vec::new() };
    let pruned = walk.table("", 0..0, table.get_ref(), &schema);
    let mut problems = walk.problems;
    match serde_json::from_value(pruned) {
        Ok(file) => (Some(file), locations, problems),
        Err(error) => {
            problems.push(locations.problem("", error.to_string(), None));
            (None, locations, problems)
        }
    }
}

struct Walk<'a> {
    root: &'a Value,
    locations: &'a mut Locations,
    problems: Vec<Problem>,
}

type Span = std::ops::Range<usize>;

impl<'a> Walk<'a> {
    /// The value if it is as the schema wants it; what is wrong inside is left out.
    fn value(&mut self, key: &str, value: &Spanned<DeValue<'_>>, schema: &'a Value) -> Option<Value> {
        let span = value.span();
        let mut alternatives = Vec::new();
        self.alternatives(schema, &mut alternatives);
        let found = kind(value.get_ref());
        let chosen = alternatives.iter().copied().filter(|alternative| accepts(alternative, found));
        match value.get_ref() {
            DeValue::Table(table) => {
                if let Some(alternative) = chosen.clone().next() {
                    return Some(self.table(key, span, table, alternative));
                }
            }
            DeValue::Array(items) => {
                if let Some(alternative) = chosen.clone().next() {
                    let item_schema = alternative.get("items").unwrap_or(&Value::Bool(true));
                    let items = items.iter().enumerate().filter_map(|(at, item)| {
                        let key = format!("{key}[{at}]");
                        self.locations.add(&key, item.span());
                        self.value(&key, item, item_schema)
                    });
                    return Some(Value::Array(items.collect()));
                }
            }
            DeValue::String(text) => {
                let texts: Vec<_> = chosen.clone().map(allowed).collect();
                if texts.iter().any(Option::is_none) {
                    return Some(Value::String(text.to_string()));
                }
                let texts: Vec<&str> = texts.into_iter().flatten().flatten().collect();
                if texts.contains(&&**text) {
                    return Some(Value::String(text.to_string()));
                }
                if !texts.is_empty() {
                    let hint = suggest::hint(text, texts);
                    self.report(span, key, format!("{text:?} is not one of the choices"), hint);
                    return None;
                }
            }
            scalar => {
                if let Some(alternative) = chosen.clone().next() {
                    return self.scalar(key, span, scalar, alternative);
                }
            }
        }
        if alternatives.iter().any(|alternative| alternative.get("x-grille-secret").is_some()) && found == "string" {
            let hint = "keep it elsewhere and name the place: { env = \"NAME\" } or { file = \"path\" }".to_owned();
            self.report(span, key, "a secret must not stand in this file".to_owned(), Some(hint));
            return None;
        }
        let mut wanted: Vec<_> = alternatives.iter().flat_map(|schema| types(schema)).map(article).collect();
        wanted.dedup();
        self.report(span, key, format!("{} is expected here, not {}", wanted.join(" or "), article(found)), None);
        None
    }

    fn table(&mut self, path: &str, span: Span, table: &DeTable<'_>, schema: &'a Value) -> Value {
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let mut kept = Map::new();
        for (name, value) in table {
            let key = join(path, name.get_ref());
            let is_table = value.get_ref().is_table();
            self.locations.add(&key, if is_table { name.span() } else { value.span() });
            let known = properties.and_then(|properties| properties.get(name.get_ref().as_ref()));
            let inner = match (known, others) {
                (Some(inner), _) => inner,
                (None, Some(Value::Bool(false))) => {
                    self.unknown(path, name, is_table, properties);
                    continue;
                }
                (None, Some(inner)) => inner,
                (None, None) => &Value::Bool(true),
            };
            if let Some(value) = self.value(&key, value, inner) {
                kept.insert(name.get_ref().to_string(), value);
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            if !table.contains_key(name) {
                let description = properties.and_then(|all| all.get(name)?.get("description")?.as_str());
                let key = join(path, name);
                let problem = if path.is_empty() {
                    self.locations.problem(&key, "this is missing", description.map(str::to_owned))
                } else {
                    let table = self.locations.problem(path, "", None);
                    let at =
                        if table.line == 0 { self.locations.at(span.clone(), "", String::new(), None) } else { table };
                    Problem { key, message: "this is missing".into(), hint: description.map(str::to_owned), ..at }
                };
                self.problems.push(problem);
            }
        }
        Value::Object(kept)
    }

    fn unknown(
        &mut self,
        path: &str,
        name: &Spanned<toml::de::DeString<'_>>,
        is_table: bool,
        known: Option<&Map<String, Value>>,
    ) {
        let written = name.get_ref();
        let names = || known.into_iter().flatten().map(|(name, _)| name.as_str());
        let hint = match suggest::closest(written, names()) {
            Some(_) => suggest::hint(written, names().collect::<Vec<_>>()),
            None => self.belongs(written).or_else(|| suggest::hint(written, names().collect::<Vec<_>>())),
        };
        let what = if is_table { "table" } else { "key" };
        self.report(name.span(), &join(path, written), format!("there is no such {what}"), hint);
    }

    /// A key that stands in the wrong table: where it belongs.
    fn belongs(&self, name: &str) -> Option<String> {
        let sections = self.root.get("properties")?.as_object()?;
        sections.iter().find_map(|(section, schema)| {
            let mut inner = self.resolve(schema);
            let is_map = inner.get("additionalProperties").is_some_and(Value::is_object);
            if is_map {
                inner = self.resolve(inner.get("additionalProperties")?);
            }
            inner.get("properties")?.get(name)?;
            Some(format!("`{name}` belongs to [{section}{}]", if is_map { ".NAME" } else { "" }))
        })
    }

    fn scalar(&mut self, key: &str, span: Span, value: &DeValue<'_>, schema: &Value) -> Option<Value> {
        let converted = match value {
            DeValue::Boolean(value) => Some(Value::Bool(*value)),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::from),
            DeValue::Float(number) => {
                let number = number.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64);
                number.map(Value::Number)
            }
            DeValue::Datetime(moment) => Some(Value::String(moment.to_string())),
            DeValue::String(_) | DeValue::Array(_) | DeValue::Table(_) => None,
        };
        let is_count = schema.get("format").is_some_and(|format| format == "uint32");
        let fits = |value: &Value| !is_count || value.as_u64().is_some_and(|count| u32::try_from(count).is_ok());
        let fitting = converted.filter(fits);
        if fitting.is_none() {
            self.report(span, key, "this number is out of range".to_owned(), None);
        }
        fitting
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
        name.and_then(|name| self.root.get("$defs")?.get(name)).unwrap_or(schema)
    }

    fn alternatives(&self, schema: &'a Value, found: &mut Vec<&'a Value>) {
        let schema = self.resolve(schema);
        match schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
            Some(several) => several.iter().for_each(|one| self.alternatives(one, found)),
            None => found.push(schema),
        }
    }

    fn report(&mut self, span: Span, key: &str, message: String, hint: Option<String>) {
        let problem = self.locations.at(span, key, message, hint);
        self.problems.push(problem);
    }
}

/// The texts that a schema allows; none = any text.
fn allowed(schema: &Value) -> Option<Vec<&str>> {
    if let Some(only) = schema.get("const").and_then(Value::as_str) {
        return Some(vec![only]);
    }
    Some(schema.get("enum")?.as_array()?.iter().filter_map(Value::as_str).collect())
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn accepts(schema: &Value, found: &str) -> bool {
    let types = types(schema);
    types.is_empty() || types.contains(&found)
}

/// In the words of JSON Schema.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Datetime(_) => "date",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
    }
}

/// In TOML's words.
fn article(kind: &str) -> &str {
    match kind {
        "string" => "a string",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        "date" => "a date",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}
