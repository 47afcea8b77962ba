use std::collections::{HashMap, HashSet};

use grille_policy::{BaseColumn, Certainty, ColumnName, Masker, RelationName, Treatment, join};

use crate::Catalog;
use crate::catalog::RelationKind;
use crate::lineage::{ColumnId, Flow};

/// The columns whose values must not leave as they are, with what happens to them: what the policies said, closed over
/// inheritance and materialised views, and the columns of the system's own views that hold values.
#[derive(Debug, Clone, Default)]
pub struct ProtectedSet {
    columns: HashMap<ColumnName, Treatment>,
    /// What stays protected whatever becomes of other relations: what the policies named, and what inherits from that.
    lasting: HashMap<ColumnName, Treatment>,
    relations: HashSet<RelationName>,
    has_data: bool,
}

/// Columns of statistics and activity views that hold values of tables or texts of statements. They read as NULL.
const VALUES_IN_SYSTEM_VIEWS: &[(&str, &[&str])] = &[
    ("pg_stats", &["most_common_vals", "histogram_bounds", "most_common_elems"]),
    ("pg_stats_ext", &["most_common_vals"]),
    ("pg_stats_ext_exprs", &["most_common_vals", "histogram_bounds", "most_common_elems"]),
    ("pg_statistic", &["stavalues1", "stavalues2", "stavalues3", "stavalues4", "stavalues5"]),
    ("pg_statistic_ext_data", &["stxdmcv", "stxdexpr"]),
    ("pg_stat_activity", &["query"]),
    ("pg_prepared_statements", &["statement"]),
    ("pg_cursors", &["statement"]),
    ("pg_largeobject", &["data"]),
    ("pg_seclabel", &["label"]),
];

/// What rows hold in a column that was added after them. Every client reads that relation, so that not all that is said of
/// it is taken for protected.
const MISSING_VALUES: (&str, &str) = ("pg_attribute", "attmissingval");

/// The view of the extension of that name, in whatever schema it is.
const STATEMENT_STATISTICS: (&str, &str) = ("pg_stat_statements", "query");

impl ProtectedSet {
    /// The set out of the treatments that policies gave to columns of that catalog, in their order.
    #[must_use]
    pub fn new(catalog: &Catalog, columns: &[BaseColumn], treatments: &[Treatment]) -> Self {
        let mut set = Self::default();
        for (column, treatment) in columns.iter().zip(treatments) {
            set.add(&column.name, treatment);
        }
        // A column that nobody classified is not known to be harmless.
        for column in columns.iter().skip(treatments.len()) {
            set.add(&column.name, &Treatment::Mask(Masker::Redact));
        }
        set.lasting = set.inherited(catalog);
        set.close(catalog);
        set.has_data = !set.columns.is_empty();
        for (view, names) in VALUES_IN_SYSTEM_VIEWS {
            for name in *names {
                set.add_null("pg_catalog", view, name);
            }
        }
        let (table, column) = MISSING_VALUES;
        let missing = ColumnName { schema: "pg_catalog".into(), table: table.into(), column: column.into() };
        set.columns.insert(missing, Treatment::Mask(Masker::Null));
        let (view, name) = STATEMENT_STATISTICS;
        for relation in catalog.relations.iter().filter(|relation| &*relation.name == view) {
            set.add_null(&relation.schema, view, name);
        }
        set
    }

    /// What happens to the column; none if it is not protected.
    #[must_use]
    pub fn treatment(&self, column: &ColumnName) -> Option<&Treatment> {
        self.columns.get(column)
    }

    /// What values that flow into the column can rely on.
    pub(super) fn lasting(&self, column: &ColumnName) -> Option<&Treatment> {
        self.lasting.get(column)
    }

    /// Whether a column of the relation is protected.
    #[must_use]
    pub fn has_relation(&self, relation: &RelationName) -> bool {
        self.relations.contains(relation)
    }

    /// Whether any column of a table is protected.
    #[must_use]
    pub const fn has_data(&self) -> bool {
        self.has_data
    }

    /// How many columns are protected.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether nothing is protected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    fn add(&mut self, column: &ColumnName, treatment: &Treatment) -> bool {
        if treatment.is_keep() {
            return false;
        }
        self.relations.insert(RelationName { schema: column.schema.clone(), name: column.table.clone() });
        match self.columns.get_mut(column) {
            Some(given) => {
                let joined = join(given, treatment);
                let changed = joined != *given;
                *given = joined;
                changed
            }
            None => self.columns.insert(column.clone(), treatment.clone()).is_none(),
        }
    }

    fn add_null(&mut self, schema: &str, table: &str, column: &str) {
        let name = ColumnName { schema: schema.into(), table: table.into(), column: column.into() };
        self.add(&name, &Treatment::Mask(Masker::Null));
    }

    /// What the policies named, with the columns of that name in children: those lose it by no means that a masked session
    /// has, while a parent that has it from a child loses it with the child.
    fn inherited(&self, catalog: &Catalog) -> HashMap<ColumnName, Treatment> {
        let mut set = Self { columns: self.columns.clone(), ..Self::default() };
        let mut open: Vec<u32> = (0..).take(catalog.relations.len()).collect();
        while let Some(id) = open.pop() {
            let parent = catalog.relation(id);
            for &child in &parent.children {
                let mut changed = false;
                for column in &parent.columns {
                    let down = catalog.relation(child).column_name(&column.name);
                    if let Some(treatment) = set.columns.get(&parent.column_name(&column.name)).cloned() {
                        changed |= set.add(&down, &treatment);
                    }
                }
                open.extend(changed.then_some(child));
            }
        }
        set.columns
    }

    /// Parents, children, copies and generated columns of a protected column are protected, whichever is named.
    fn close(&mut self, catalog: &Catalog) {
        let related: Vec<usize> = (0..catalog.relations.len())
            .filter(|&id| {
                let relation = &catalog.relations[id];
                !relation.parents.is_empty()
                    || !relation.children.is_empty()
                    || relation.kind == RelationKind::Materialized
                    || !relation.generated.is_empty()
            })
            .collect();
        // A treatment grows at most twice on its way to the strictest, so this ends; the bound is for its own sake.
        for _ in 0..=3 * related.len() {
            let mut changed = false;
            for &id in &related {
                let relation = &catalog.relations[id];
                for &parent in &relation.parents {
                    changed |= self.share(catalog, id, parent as usize);
                }
                if relation.kind == RelationKind::Materialized {
                    changed |= self.inherit_from_definition(catalog, id);
                }
                changed |= self.inherit_from_expressions(catalog, id);
            }
            if !changed {
                return;
            }
        }
    }

    /// Columns of the same name in a child and its parent share their treatment.
    fn share(&mut self, catalog: &Catalog, child: usize, parent: usize) -> bool {
        let (child, parent) = (&catalog.relations[child], &catalog.relations[parent]);
        let mut changed = false;
        for column in &parent.columns {
            if !child.columns.iter().any(|own| own.name == column.name) {
                continue;
            }
            let (up, down) = (parent.column_name(&column.name), child.column_name(&column.name));
            if let Some(treatment) = self.columns.get(&up).cloned() {
                changed |= self.add(&down, &treatment);
            }
            if let Some(treatment) = self.columns.get(&down).cloned() {
                changed |= self.add(&up, &treatment);
            }
        }
        changed
    }

    fn inherit_from_definition(&mut self, catalog: &Catalog, id: usize) -> bool {
        let relation = &catalog.relations[id];
        let Ok(relation_id) = u32::try_from(id) else { return false };
        let meaning = catalog.meaning(relation_id);
        let mut changed = false;
        for (index, column) in relation.columns.iter().enumerate() {
            let flow = meaning.columns.get(index).map(|named| &named.flow);
            if let Some(treatment) = self.of_flow(catalog, flow) {
                changed |= self.add(&relation.column_name(&column.name), &treatment);
            }
        }
        changed
    }

    /// A column that is computed of a protected one is as telling.
    fn inherit_from_expressions(&mut self, catalog: &Catalog, id: usize) -> bool {
        let relation = &catalog.relations[id];
        let Ok(relation_id) = u32::try_from(id) else { return false };
        let mut changed = false;
        for (place, expression) in &relation.generated {
            let flow = catalog.generated_flow(relation_id, &expression.text);
            if let Some(treatment) = self.of_flow(catalog, flow.as_ref()) {
                changed |= self.add(&relation.column_name(&relation.columns[*place].name), &treatment);
            }
        }
        changed
    }

    fn of_flow(&self, catalog: &Catalog, flow: Option<&Flow>) -> Option<Treatment> {
        const REDACT: Treatment = Treatment::Mask(Masker::Redact);
        let Some(flow) = flow else { return Some(REDACT) };
        if flow.certainty == Certainty::Unknown && !self.columns.is_empty() {
            return Some(REDACT);
        }
        let of = |&id: &ColumnId| self.columns.get(&catalog.column_name(id));
        let joined = flow.origins.as_slice().iter().filter_map(of).cloned().reduce(|one, two| join(&one, &two))?;
        Some(if flow.certainty == Certainty::Exact { joined } else { REDACT })
    }
}
