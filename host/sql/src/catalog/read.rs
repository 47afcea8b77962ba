use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::queries::WIDTHS;
use super::{
    Attached, Attachment, Catalog, Column, Events, Function, FunctionKind, PARTS_COUNT, Relation, RelationKind,
    Trigger, Type, queries,
};

/// Why rows do not make a catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// A part is missing or there are too many.
    #[error("the catalog needs {PARTS_COUNT} parts, got {0}: run every text of `catalog::queries()` in its order")]
    Parts(usize),
    /// A row has not the columns that were asked for.
    #[error("catalog part \"{part}\": a row has {got} values instead of {want}")]
    Width {
        /// The part.
        part: &'static str,
        /// How many there are.
        got: usize,
        /// How many there should be.
        want: usize,
    },
    /// A value that must be there is NULL, or no value of its kind.
    #[error("catalog part \"{part}\": {value:?} is not {expected}")]
    Value {
        /// The part.
        part: &'static str,
        /// The value as read.
        value: Option<String>,
        /// What was expected.
        expected: &'static str,
    },
}

type Row = Vec<Option<String>>;

impl Catalog {
    /// The snapshot out of the rows that the texts of [`queries`] gave, in their order.
    ///
    /// # Errors
    /// When the rows are not answers to those texts.
    pub fn from_rows(version: &str, parts: Vec<Vec<Row>>) -> Result<Self, CatalogError> {
        let got = parts.len();
        let parts: [Vec<Row>; PARTS_COUNT] = parts.try_into().map_err(|_| CatalogError::Parts(got))?;
        for ((rows, (part, _)), want) in parts.iter().zip(queries()).zip(WIDTHS) {
            if let Some(row) = rows.iter().find(|row| row.len() != want) {
                return Err(CatalogError::Width { part, got: row.len(), want });
            }
        }
        let [path, relations, columns, keys, views, inherits, functions, types, extras, attached] = parts;
        let mut names = Names::default();
        let mut catalog = Self {
            version: version.into(),
            path: path.into_iter().filter_map(|mut row| row.swap_remove(0)).collect(),
            relations: Vec::with_capacity(relations.len()),
            by_name: HashMap::new(),
            by_oid: HashMap::new(),
            functions: HashMap::new(),
            types: HashMap::new(),
            type_names: HashMap::new(),
            operators: HashMap::new(),
            function_oids: HashMap::new(),
            casts: HashMap::new(),
            domains: HashMap::new(),
            on_definitions: Vec::new(),
        };
        catalog.read_relations(relations, &mut names)?;
        catalog.read_columns(columns, &mut names)?;
        catalog.read_keys(keys)?;
        catalog.read_views(views)?;
        catalog.read_inherits(inherits)?;
        catalog.read_functions(functions, &mut names)?;
        catalog.read_types(types, &mut names)?;
        catalog.read_extras(extras, &mut names)?;
        catalog.read_attached(attached)?;
        Ok(catalog)
    }

    fn read_relations(&mut self, rows: Vec<Row>, names: &mut Names) -> Result<(), CatalogError> {
        for row in rows {
            let read = Reader { part: "relations", row: &row };
            let kind = match read.text(3)? {
                "r" => RelationKind::Table,
                "p" => RelationKind::Partitioned,
                "v" => RelationKind::View,
                "m" => RelationKind::Materialized,
                "f" => RelationKind::Foreign,
                "S" => RelationKind::Sequence,
                "c" => RelationKind::Composite,
                _ => return Err(read.bad(3, "a kind of relation")),
            };
            let relation = Relation {
                oid: read.number(0)?,
                schema: names.share(read.text(1)?),
                name: names.share(read.text(2)?),
                kind,
                is_temporary: read.text(4)? == "t",
                extension: read.optional(5).map(Into::into),
                has_rules: read.text(6)? == "t",
                columns: Vec::new(),
                definition: None,
                generated: Vec::new(),
                parents: Vec::new(),
                children: Vec::new(),
                attached: Attached::default(),
                meaning: OnceLock::new(),
                whole: OnceLock::new(),
            };
            let id = u32::try_from(self.relations.len()).map_err(|_| read.bad(0, "within 4 billion relations"))?;
            self.by_oid.insert(relation.oid, id);
            self.by_name.entry(Arc::clone(&relation.name)).or_default().push(id);
            self.relations.push(relation);
        }
        Ok(())
    }

    fn read_columns(&mut self, rows: Vec<Row>, names: &mut Names) -> Result<(), CatalogError> {
        for row in rows {
            let read = Reader { part: "columns", row: &row };
            let column = Column {
                attnum: read.number(1)?,
                name: names.share(read.text(2)?),
                type_oid: read.number(3)?,
                type_modifier: read.number(6)?,
                is_not_null: read.text(4)? == "t",
                comment: names.share(read.optional(5).unwrap_or_default()),
                is_primary: false,
                is_foreign: false,
                is_compared: false,
            };
            // A relation may have been created between the two questions; the version will have moved then.
            if let Some(relation) = self.relation_mut(read.number(0)?) {
                relation.columns.push(column);
            }
        }
        for relation in &mut self.relations {
            relation.columns.sort_by_key(|column| column.attnum);
        }
        Ok(())
    }

    fn read_keys(&mut self, rows: Vec<Row>) -> Result<(), CatalogError> {
        for row in rows {
            let read = Reader { part: "keys", row: &row };
            let attnum: i16 = read.number(2)?;
            let kind = read.text(1)?;
            let column = self
                .relation_mut(read.number(0)?)
                .and_then(|relation| relation.columns.iter_mut().find(|column| column.attnum == attnum));
            if let Some(column) = column {
                column.is_primary |= kind == "p";
                column.is_foreign |= kind == "f";
                column.is_compared |= kind != "f";
            }
        }
        Ok(())
    }

    fn read_views(&mut self, rows: Vec<Row>) -> Result<(), CatalogError> {
        for row in rows {
            let read = Reader { part: "views", row: &row };
            if let Some(relation) = self.relation_mut(read.number(0)?) {
                relation.definition = read.optional(1).map(Into::into);
            }
        }
        Ok(())
    }

    fn read_inherits(&mut self, rows: Vec<Row>) -> Result<(), CatalogError> {
        for row in rows {
            let read = Reader { part: "inherits", row: &row };
            let (child, parent): (u32, u32) = (read.number(0)?, read.number(1)?);
            if let (Some(&child), Some(&parent)) = (self.by_oid.get(&child), self.by_oid.get(&parent)) {
                self.relations[child as usize].parents.push(parent);
                self.relations[parent as usize].children.push(child);
            }
        }
        Ok(())
    }

    fn read_functions(&mut self, rows: Vec<Row>, names: &mut Names) -> Result<(), CatalogError> {
        for row in rows {
            let read = Reader { part: "functions", row: &row };
            let name = names.share(read.text(2)?);
            let function = read_function(&read, Arc::clone(&name), names)?;
            let overloads = self.functions.entry(Box::from(&*name)).or_default();
            self.function_oids.insert(read.number(0)?, (Box::from(&*name), overloads.len()));
            overloads.push(function);
        }
        Ok(())
    }

    fn read_types(&mut self, rows: Vec<Row>, names: &mut Names) -> Result<(), CatalogError> {
        for row in rows {
            let read = Reader { part: "types", row: &row };
            let kind = Type {
                schema: names.share(read.text(1)?),
                name: names.share(read.text(2)?),
                relation: read.number(4)?,
                inner: read.number(5)?,
            };
            let oid = read.number(0)?;
            self.type_names.entry(Arc::clone(&kind.name)).or_default().push(oid);
            self.types.insert(oid, kind);
        }
        Ok(())
    }

    fn read_extras(&mut self, rows: Vec<Row>, names: &mut Names) -> Result<(), CatalogError> {
        for row in rows {
            let read = Reader { part: "extras", row: &row };
            let function = read.number(3)?;
            match read.text(0)? {
                "operator" => {
                    let schema = names.share(read.text(1)?);
                    self.operators.entry(read.text(2)?.into()).or_default().push((schema, function));
                }
                "cast" => self.casts.entry(read.number(2)?).or_default().push(function),
                "generated" => {
                    let attnum: i16 = read.number(1)?;
                    let expression = Attachment::new(read.text(2)?);
                    if let Some(relation) = self.relation_mut(function) {
                        let place = relation.columns.iter().position(|column| column.attnum == attnum);
                        relation.generated.extend(place.map(|place| (place, expression)));
                    }
                }
                _ => return Err(read.bad(0, "`operator`, `cast` or `generated`")),
            }
        }
        Ok(())
    }

    fn read_attached(&mut self, rows: Vec<Row>) -> Result<(), CatalogError> {
        for row in rows {
            let read = Reader { part: "attached", row: &row };
            let (oid, number, other): (u32, i16, u32) = (read.number(1)?, read.number(2)?, read.number(3)?);
            let text = || read.text(4).map(Attachment::new);
            match read.text(0)? {
                "event" => self.on_definitions.push(other),
                "domain-check" => self.domains.entry(oid).or_default().checks.push(text()?),
                "domain-default" => self.domains.entry(oid).or_default().default = Some(text()?),
                kind => {
                    let follower = self.by_oid.get(&other).copied();
                    let Some(relation) = self.relation_mut(oid) else { continue };
                    match kind {
                        "default" => {
                            let place = relation.columns.iter().position(|column| column.attnum == number);
                            let expression = text()?;
                            relation.attached.defaults.extend(place.map(|place| (place, expression)));
                        }
                        "check" => relation.attached.checks.push(text()?),
                        "policy" => relation.attached.policies.push(text()?),
                        "trigger" | "transition" => relation.attached.triggers.push(Trigger {
                            events: Events::of_trigger(number),
                            function: other,
                            definition: Attachment::new(read.optional(4).unwrap_or_default()),
                            sees_tables: kind == "transition",
                        }),
                        "follower" => {
                            relation.attached.followers.extend(follower.map(|follower| (follower, number != 0)));
                        }
                        _ => return Err(read.bad(0, "something that is attached to a relation or a domain")),
                    }
                }
            }
        }
        Ok(())
    }

    fn relation_mut(&mut self, oid: u32) -> Option<&mut Relation> {
        let id = *self.by_oid.get(&oid)?;
        self.relations.get_mut(id as usize)
    }
}

fn read_function(read: &Reader<'_>, name: Arc<str>, names: &mut Names) -> Result<Function, CatalogError> {
    let oids = |index, values: Vec<String>| -> Result<Vec<u32>, CatalogError> {
        values.iter().map(|value| value.parse().map_err(|_| read.bad(index, "a list of OIDs"))).collect()
    };
    let arguments = oids(10, read.text(10)?.split_whitespace().map(str::to_owned).collect())?;
    let all = oids(11, read.optional(11).map(array).unwrap_or_default())?;
    let modes = read.optional(12).map(array).unwrap_or_default();
    let labels = read.optional(13).map(array).unwrap_or_default();
    let mut argument_names = Vec::new();
    let mut outputs = Vec::new();
    for (index, label) in labels.iter().enumerate() {
        let mode = modes.get(index).map_or("i", String::as_str);
        if matches!(mode, "i" | "b" | "v") {
            argument_names.push(names.share(label));
        }
        if matches!(mode, "o" | "b" | "t") {
            outputs.push((names.share(label), all.get(index).copied().unwrap_or_default()));
        }
    }
    Ok(Function {
        schema: names.share(read.text(1)?),
        name,
        arguments,
        defaults: read.number(4)?,
        is_variadic: read.text(5)? == "t",
        kind: match read.text(6)? {
            "f" => FunctionKind::Plain,
            "a" => FunctionKind::Aggregate,
            "w" => FunctionKind::Window,
            "p" => FunctionKind::Procedure,
            _ => return Err(read.bad(6, "a kind of function")),
        },
        is_volatile: read.text(7)? == "v",
        language: names.share(read.text(8)?),
        return_type: read.number(9)?,
        argument_names,
        outputs,
        definition: read.optional(14).map(Into::into),
        extension: read.optional(15).map(Into::into),
        path: read.optional(16).and_then(|setting| setting.strip_prefix("search_path=")).map(path_entries),
    })
}

/// The schemas of a `search_path` setting, without the quotes of those that need them.
fn path_entries(setting: &str) -> Vec<String> {
    let entries = setting.split(',').map(|entry| entry.trim().trim_matches('"').replace("\"\"", "\""));
    let mut path: Vec<String> = entries.filter(|entry| !entry.is_empty()).collect();
    if !path.iter().any(|schema| schema == "pg_catalog") {
        path.insert(0, "pg_catalog".into());
    }
    path
}

/// The elements of an array in PostgreSQL's text form, one dimension.
fn array(text: &str) -> Vec<String> {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let mut elements = Vec::new();
    let mut element = String::new();
    let (mut is_quoted, mut started) = (false, false);
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        started = true;
        match character {
            '"' => is_quoted = !is_quoted,
            '\\' => element.extend(characters.next()),
            ',' if !is_quoted => elements.push(std::mem::take(&mut element)),
            other => element.push(other),
        }
    }
    if started {
        elements.push(element);
    }
    elements
}

struct Reader<'a> {
    part: &'static str,
    row: &'a Row,
}

impl Reader<'_> {
    fn optional(&self, index: usize) -> Option<&str> {
        self.row.get(index)?.as_deref()
    }

    fn text(&self, index: usize) -> Result<&str, CatalogError> {
        self.optional(index).ok_or_else(|| self.bad(index, "a text"))
    }

    fn number<T: std::str::FromStr>(&self, index: usize) -> Result<T, CatalogError> {
        self.optional(index).and_then(|text| text.parse().ok()).ok_or_else(|| self.bad(index, "a number"))
    }

    fn bad(&self, index: usize, expected: &'static str) -> CatalogError {
        CatalogError::Value { part: self.part, value: self.row.get(index).cloned().flatten(), expected }
    }
}

/// Each name once: a database has far fewer distinct names than columns.
#[derive(Default)]
struct Names(HashMap<Box<str>, Arc<str>>);

impl Names {
    fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(shared) = self.0.get(name) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = name.into();
        self.0.insert(name.into(), Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_read_back() {
        for (text, expected) in [
            ("{}", vec![]),
            ("{a}", vec!["a"]),
            ("{a,b}", vec!["a", "b"]),
            (r#"{"a,b",""}"#, vec!["a,b", ""]),
            (r#"{"a\"b","c\\d"}"#, vec!["a\"b", "c\\d"]),
        ] {
            assert_eq!(array(text), expected, "{text}");
        }
    }

    #[test]
    fn a_function_path_always_sees_the_system_catalog() {
        assert_eq!(path_entries("\"$user\", public"), ["pg_catalog", "$user", "public"]);
        assert_eq!(path_entries("pg_catalog, \"A\"\"b\""), ["pg_catalog", "A\"b"]);
        assert_eq!(path_entries("\"\""), ["pg_catalog"]);
    }
}
