//! Tables that come into being: what their definition says, and what later statements of the same text find, since no
//! catalog holds them yet.

use std::sync::Arc;

use grille_policy::{Access, RelationName, Usage};
use pg_raw_parse::nodes::{CreateStmt, IntoClause, RangeVar};
use pg_raw_parse::{Node, raw};

use super::columns::column_id;
use super::names::strings;
use super::{Columns, Item, Walker};
use crate::catalog::Column;
use crate::limits::Walk;
use crate::lineage::{Flow, Named};

/// A table that comes into being within a text.
#[derive(Debug, Clone)]
pub(crate) struct Created {
    /// As it was written.
    schema: Option<Arc<str>>,
    name: Arc<str>,
    full_name: RelationName,
    /// Nothing protected may flow into it, so they are as good as constants.
    columns: Arc<[Named]>,
    /// Whether it comes to stand before something of that name that the catalog holds.
    pub(crate) shadows: bool,
}

impl<'a> Walker<'a> {
    /// Notes a table whose columns are all written out. Where it may have been there before, or takes columns from
    /// elsewhere, its columns are for the catalog to tell.
    pub(super) fn creates_table(&mut self, create: &'a CreateStmt) {
        let Some(range) = create.relation() else { return };
        let mut names = Vec::new();
        let is_written_out = create.inh_relations().is_empty()
            && create.partbound().is_none()
            && create.of_typename().is_none()
            && !create.if_not_exists
            && create.table_elts().iter().all(|node| match node {
                Node::ColumnDef(column) => {
                    names.push(column.colname().unwrap_or_default());
                    true
                }
                Node::Constraint(_) => true,
                _ => false,
            });
        self.creates_columns(range, names.into_iter().map(Arc::from), is_written_out);
    }

    /// Notes a table that keeps what a query returns.
    pub(super) fn creates_rows(&mut self, into: &'a IntoClause, columns: &Columns, if_not_exists: bool) {
        let (Some(range), all) = (into.rel(), self.all_columns(columns)) else { return };
        let is_known = all.is_some() && into.col_names().is_empty() && !if_not_exists;
        let names: Vec<Arc<str>> =
            all.iter().flat_map(|all| all.iter()).map(|column| Arc::clone(&column.name)).collect();
        self.creates_columns(range, names.into_iter(), is_known);
    }

    fn creates_columns(&mut self, range: &'a RangeVar, names: impl Iterator<Item = Arc<str>>, is_known: bool) {
        let name = range.relname().unwrap_or_default();
        let written = range.schemaname().map(|schema| self.real_schema(schema));
        let is_temporary =
            range.relpersistence == b't'.cast_signed() || written.is_some_and(|schema| schema.starts_with("pg_temp"));
        let is_in_sight = is_temporary || written.is_none_or(|schema| self.path.iter().any(|own| own == schema));
        // Without a path nobody can say what comes before it.
        let is_known = is_known && (written.is_some() || !self.path.is_empty());
        let shadows = is_in_sight && self.catalog.relation_on_path(self.path, name).is_some();
        let schema = if is_temporary { "pg_temp" } else { written.unwrap_or_else(|| self.creation_schema()) };
        let created = Created {
            schema: range.schemaname().map(Arc::from),
            name: name.into(),
            full_name: RelationName { schema: schema.into(), name: name.into() },
            columns: names.map(|name| Named { name, flow: Flow::constant() }).collect(),
            shadows,
        };
        self.found.created = (is_known || shadows).then_some(created);
    }

    /// The table that an earlier statement of the text made, if the catalog holds none of that name.
    pub(super) fn created(&self, range: &RangeVar) -> Option<(RelationName, Columns)> {
        let created = self.earlier.iter().rev().find(|created| {
            Some(&*created.name) == range.relname() && created.schema.as_deref() == range.schemaname()
        })?;
        Some((created.full_name.clone(), Columns::List(Arc::clone(&created.columns))))
    }

    /// The columns that a foreign key names, or the key of the table.
    fn referenced(&self, range: &RangeVar, names: &[&str]) -> Vec<Flow> {
        let Some(id) = self.relation_id(range) else { return Vec::new() };
        let columns = self.catalog.relation(id).columns.iter().enumerate();
        let is_meant = |column: &Column| match names {
            [] => column.is_primary,
            names => names.contains(&&*column.name),
        };
        columns.filter(|(_, column)| is_meant(column)).map(|(index, _)| Flow::column(column_id(id, index))).collect()
    }

    pub(super) fn create_table(&mut self, create: &'a CreateStmt) -> Walk<&'static str> {
        if let Some(range) = create.relation() {
            self.new_relation("table", range);
        }
        self.creates_table(create);
        for node in create.inh_relations() {
            if let Node::RangeVar(parent) = node {
                let name = self.relation_name(parent);
                self.named(name, Access::Read);
            }
        }
        // Defaults and checks see the row that is being made, and no table.
        let own: Vec<Named> = create
            .table_elts()
            .iter()
            .filter_map(|node| match node {
                Node::ColumnDef(column) => {
                    Some(Named { name: column.colname().unwrap_or_default().into(), flow: Flow::constant() })
                }
                _ => None,
            })
            .collect();
        self.in_clause(None, |walker| {
            walker.framed(None, |walker| {
                let name = create.relation().and_then(RangeVar::relname);
                walker.show(vec![Item::list(name, own)]);
                create
                    .table_elts()
                    .iter()
                    .chain(create.constraints().iter().map(Node::Constraint))
                    .try_for_each(|node| walker.table_element(node))?;
                let key = create.partspec().into_iter().flat_map(|spec| spec.part_params());
                key.into_iter().try_for_each(|part| walker.kept(part.expr(), "the key of partitions"))
            })
        })?;
        if let Some(bound) = create.partbound() {
            for node in bound.listdatums().iter().chain(bound.lowerdatums()).chain(bound.upperdatums()) {
                // MINVALUE and MAXVALUE look like columns.
                if !matches!(node, Node::ColumnRef(_)) {
                    self.in_clause(None, |walker| walker.kept(node, "the bound of a partition"))?;
                }
            }
        }
        Ok("CREATE TABLE")
    }

    pub(super) fn table_element(&mut self, node: Node<'a>) -> Walk<()> {
        match node {
            Node::ColumnDef(column) => {
                self.kept(column.raw_default(), "the default of a column")?;
                let catalog = self.catalog;
                let of_type = column.type_name().and_then(|name| self.type_of(name));
                if let Some(default) = of_type.and_then(|oid| catalog.type_default(oid)) {
                    let flow = self.value_of(default)?;
                    self.sink("the default of a column", &Flow::constant(), &flow);
                }
                for constraint in column.constraints() {
                    self.table_element(constraint)?;
                }
            }
            Node::Constraint(constraint) => {
                if constraint.contype == raw::ConstrType::CONSTR_FOREIGN
                    && let Some(other) = constraint.pktable()
                {
                    let name = self.relation_name(other);
                    self.named(name, Access::Read);
                    // Whether a row is taken tells whether the value is there.
                    for column in self.referenced(other, &strings(constraint.pk_attrs())) {
                        self.used(&column, Some(Usage::Joined));
                    }
                }
                match constraint.contype {
                    raw::ConstrType::CONSTR_DEFAULT | raw::ConstrType::CONSTR_GENERATED => {
                        self.kept(constraint.raw_expr(), "the default of a column")?;
                    }
                    _ => {
                        self.expression(constraint.raw_expr())?;
                    }
                }
                self.expression(constraint.where_clause())?;
            }
            Node::TableLikeClause(like) => {
                if let Some(range) = like.relation() {
                    let name = self.relation_name(range);
                    self.named(name, Access::Read);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
