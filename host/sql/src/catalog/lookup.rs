use std::collections::BTreeSet;
use std::sync::Arc;

use grille_policy::{BaseColumn, ColumnName, KeyKind, RelationName};

use super::{Catalog, Function, Relation, RelationKind};
use crate::golden;
use crate::lineage::ColumnId;

/// Schemas that PostgreSQL brings along.
pub(crate) fn is_system_schema(schema: &str) -> bool {
    schema == "pg_catalog" || schema == "information_schema"
}

impl Catalog {
    /// What [`super::VERSION`] said before the snapshot was read.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The columns that can hold data of their own: of ordinary, partitioned and foreign tables and of materialised
    /// views, outside the system's schemas and without temporary tables.
    #[must_use]
    pub fn base_columns(&self) -> Vec<BaseColumn> {
        let mut columns = Vec::new();
        for relation in self.relations.iter().filter(|relation| relation.is_base()) {
            columns.extend(relation.columns.iter().map(|column| BaseColumn {
                name: relation.column_name(&column.name),
                type_oid: column.type_oid,
                type_name: self.type_name(column.type_oid).unwrap_or_default().into(),
                key: match (column.is_primary, column.is_foreign) {
                    (true, _) => KeyKind::Primary,
                    (false, true) => KeyKind::Foreign,
                    (false, false) => KeyKind::None,
                },
                comment: Arc::clone(&column.comment),
            }));
        }
        columns
    }

    /// The column that a RowDescription names.
    #[must_use]
    pub fn column_by_oid(&self, relation_oid: u32, attnum: i16) -> Option<ColumnName> {
        let relation = self.relation_by_oid(relation_oid)?;
        let column = relation.columns.iter().find(|column| column.attnum == attnum)?;
        Some(relation.column_name(&column.name))
    }

    /// The relation of that OID.
    #[must_use]
    pub fn relation_name(&self, oid: u32) -> Option<RelationName> {
        self.relation_by_oid(oid).map(Relation::full_name)
    }

    /// The type's name without its schema, such as `text`, `timestamptz` or `_text`.
    #[must_use]
    pub fn type_name(&self, oid: u32) -> Option<&str> {
        self.types.get(&oid).map(|kind| &*kind.name)
    }

    /// Whether the catalog holds that relation.
    #[must_use]
    pub fn has_relation(&self, schema: &str, name: &str) -> bool {
        self.relation_in(schema, name).is_some()
    }

    /// Whether the catalog holds that column.
    #[must_use]
    pub fn has_column(&self, schema: &str, table: &str, column: &str) -> bool {
        self.relation_in(schema, table)
            .is_some_and(|id| self.relation(id).columns.iter().any(|found| &*found.name == column))
    }

    /// All base relations beneath a relation: what a view reads, a parent's children; the relation itself included.
    #[must_use]
    pub fn beneath(&self, schema: &str, name: &str) -> Vec<RelationName> {
        let Some(id) = self.relation_in(schema, name) else { return Vec::new() };
        let mut seen = BTreeSet::new();
        self.collect_beneath(id, &mut seen);
        seen.into_iter().map(|id| self.relation(id).full_name()).collect()
    }

    pub(crate) fn collect_beneath(&self, id: u32, seen: &mut BTreeSet<u32>) {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            open.extend(&self.relation(id).children);
            if self.relation(id).definition.is_some() {
                open.extend(&self.meaning(id).reached);
            }
        }
    }

    pub(crate) fn relation(&self, id: u32) -> &Relation {
        &self.relations[id as usize]
    }

    pub(crate) fn relation_by_oid(&self, oid: u32) -> Option<&Relation> {
        self.by_oid.get(&oid).map(|&id| self.relation(id))
    }

    pub(crate) fn relation_in(&self, schema: &str, name: &str) -> Option<u32> {
        let ids = self.by_name.get(name)?;
        ids.iter().copied().find(|&id| &*self.relation(id).schema == schema)
    }

    /// The relation that an unqualified name means; composite types share the names but are none.
    pub(crate) fn relation_on_path(&self, path: &[String], name: &str) -> Option<u32> {
        let ids = self.by_name.get(name)?;
        path.iter().find_map(|schema| {
            ids.iter().copied().find(|&id| {
                let relation = self.relation(id);
                *relation.schema == **schema && relation.kind != RelationKind::Composite
            })
        })
    }

    pub(crate) fn functions_named(&self, name: &str) -> &[Function] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }

    /// User-defined operators of that name on the path, or in that schema, by their functions. None where a function
    /// is not known.
    pub(crate) fn operator_functions<'a>(
        &'a self,
        schema: Option<&'a str>,
        path: &'a [String],
        name: &str,
    ) -> impl Iterator<Item = Option<&'a Function>> {
        let operators = self.operators.get(name).map_or(&[] as &[_], Vec::as_slice);
        operators
            .iter()
            .filter(move |(own, _)| match schema {
                Some(schema) => **own == *schema,
                None => path.iter().any(|visible| **visible == **own),
            })
            .map(|&(_, function)| self.function_by_oid(function))
    }

    /// The functions of user-defined casts to a type.
    pub(crate) fn cast_functions(&self, target: u32) -> impl Iterator<Item = Option<&Function>> {
        let casts = self.casts.get(&target).map_or(&[] as &[_], Vec::as_slice);
        casts.iter().map(|&function| self.function_by_oid(function))
    }

    pub(crate) fn function_by_oid(&self, oid: u32) -> Option<&Function> {
        let (name, index) = self.function_oids.get(&oid)?;
        self.functions.get(name)?.get(*index)
    }

    /// The OID of a type.
    pub(crate) fn type_oid(&self, schema: Option<&str>, path: &[String], name: &str) -> Option<u32> {
        let oids = self.type_names.get(name)?;
        let in_schema = |schema: &str| oids.iter().copied().find(|oid| &*self.types[oid].schema == schema);
        match schema {
            Some(schema) => in_schema(schema),
            None => path.iter().find_map(|schema| in_schema(schema)),
        }
    }

    /// A materialised view or a table with a generated column whose definition mentions the function, by itself or through
    /// others. By their letters, so in doubt there is one.
    pub(crate) fn stores_result_of(&self, function: &str) -> Option<RelationName> {
        let mut names: Vec<&str> = vec![function];
        let mut next = 0;
        while let Some(&name) = names.get(next) {
            next += 1;
            let mentions = |text: &str| text.contains(name);
            for relation in &self.relations {
                let is_defined_by = relation.definition.as_deref().is_some_and(mentions);
                let is_stored = is_defined_by && relation.kind == RelationKind::Materialized;
                if is_stored || relation.generated.iter().any(|(_, expression)| mentions(&expression.text)) {
                    return Some(relation.full_name());
                }
                if is_defined_by && !names.contains(&&*relation.name) {
                    names.push(&relation.name);
                }
            }
            for other in self.functions.values().flatten() {
                if other.definition.as_deref().is_some_and(mentions) && !names.contains(&&*other.name) {
                    names.push(&other.name);
                }
            }
        }
        None
    }

    /// Whether any value can be cast to the type.
    pub(crate) fn is_text(&self, oid: u32) -> bool {
        self.types
            .get(&oid)
            .is_some_and(|known| &*known.schema == "pg_catalog" && golden::TOTAL_TYPES.contains(&&*known.name))
    }

    /// The relation whose rows the type holds.
    pub(crate) fn row_type(&self, type_oid: u32) -> Option<&Relation> {
        let relation = self.types.get(&type_oid)?.relation;
        if relation == 0 { None } else { self.relation_by_oid(relation) }
    }

    pub(crate) fn column_name(&self, id: ColumnId) -> ColumnName {
        let relation = self.relation(id.relation);
        relation.column_name(&relation.columns[id.column as usize].name)
    }
}

impl Relation {
    pub(crate) fn full_name(&self) -> RelationName {
        RelationName { schema: Arc::clone(&self.schema), name: Arc::clone(&self.name) }
    }

    pub(crate) fn column_name(&self, column: &Arc<str>) -> ColumnName {
        ColumnName { schema: Arc::clone(&self.schema), table: Arc::clone(&self.name), column: Arc::clone(column) }
    }

    pub(crate) fn is_system(&self) -> bool {
        is_system_schema(&self.schema)
    }

    fn is_base(&self) -> bool {
        use RelationKind::{Foreign, Materialized, Partitioned, Table};
        matches!(self.kind, Table | Partitioned | Foreign | Materialized)
            && !self.is_system()
            && !self.is_temporary
            && &*self.schema != "pg_toast"
    }
}
