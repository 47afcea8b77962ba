//! FROM items and their columns.

use std::sync::Arc;

use super::{Columns, Item, Walker};
use crate::catalog::RelationKind;
use crate::lineage::{ColumnId, Flow, Named};

impl<'a> Item<'a> {
    pub(super) fn list(name: Option<&'a str>, columns: impl Into<Arc<[Named]>>) -> Self {
        Self {
            name,
            relation: None,
            is_aliased: true,
            columns: Columns::List(columns.into()),
            shows_columns: true,
            is_target: false,
            is_renamed: false,
        }
    }

    /// Gives the first columns other names.
    pub(super) fn renamed(mut self, walker: &Walker<'_>, names: &[&str]) -> Self {
        if names.is_empty() {
            return self;
        }
        self.is_renamed = true;
        let Some(columns) = walker.all_columns(&self.columns) else { return self };
        let mut columns = columns.to_vec();
        for (column, name) in columns.iter_mut().zip(names) {
            column.name = (*name).into();
        }
        self.columns = Columns::List(columns.into());
        self
    }
}

impl Walker<'_> {
    /// The columns of a relation: themselves, or for a view what its definition says.
    pub(super) fn relation_columns(&mut self, id: u32) -> crate::limits::Walk<Columns> {
        let relation = self.catalog.relation(id);
        self.found.reached.push(id);
        self.row_policies(id)?;
        // The view of statement texts is protected as the system's own views are: by its columns.
        let is_statistics = relation.extension.as_deref() == Some("pg_stat_statements");
        let is_followed = relation.kind == RelationKind::View && !relation.is_system() && !is_statistics;
        if !is_followed || relation.definition.is_none() {
            return Ok(Columns::Relation(id));
        }
        let meaning = self.view_meaning(id)?;
        if meaning.is_late {
            self.found.is_late = true;
            self.found.reached.extend(&meaning.reached);
        }
        self.found.shown_by_plans.extend(&meaning.shown_by_plans);
        for construct in &meaning.constructs {
            if !self.found.constructs.contains(construct) {
                self.found.constructs.push(Arc::clone(construct));
            }
        }
        Ok(Columns::List(Arc::clone(&meaning.columns)))
    }

    /// All columns in order; none if nobody knows which there are.
    pub(super) fn all_columns(&self, columns: &Columns) -> Option<Arc<[Named]>> {
        match columns {
            Columns::List(columns) => Some(Arc::clone(columns)),
            Columns::Any(_) => None,
            Columns::Relation(id) => {
                let relation = self.catalog.relation(*id);
                let columns = relation.columns.iter().enumerate().map(|(index, column)| Named {
                    name: Arc::clone(&column.name),
                    flow: Flow::column(column_id(*id, index)),
                });
                Some(columns.collect())
            }
        }
    }

    /// The column of that name. Where several have it the server refuses; here it is any of them.
    pub(super) fn column_in(&self, columns: &Columns, name: &str) -> Option<Flow> {
        match columns {
            Columns::Any(flow) => Some(Flow::clone(flow)),
            Columns::Relation(id) => {
                let relation = self.catalog.relation(*id);
                let index = relation.columns.iter().position(|column| *column.name == *name)?;
                Some(Flow::column(column_id(*id, index)))
            }
            Columns::List(columns) => {
                let mut found = columns.iter().filter(|column| *column.name == *name).map(|column| &column.flow);
                let first = found.next()?;
                Some(found.fold(first.clone(), |both, other| both.either(other)))
            }
        }
    }

    /// The row as one value.
    pub(super) fn whole_row(&self, columns: &Columns) -> Flow {
        match columns {
            Columns::Any(flow) => super::at_best_derived(flow),
            Columns::Relation(id) => {
                let relation = self.catalog.relation(*id);
                let row = || Flow::row(self.all_columns(columns).unwrap_or_else(|| Arc::from([])));
                relation.whole.get_or_init(row).clone()
            }
            Columns::List(columns) => Flow::row(Arc::clone(columns)),
        }
    }
}

/// A relation has at most 1,600 columns, so the place always fits.
pub(super) fn column_id(relation: u32, index: usize) -> ColumnId {
    ColumnId { relation, column: u16::try_from(index).unwrap_or(u16::MAX) }
}

/// Columns that each relation but a view has without having been declared. None of them holds data.
pub(super) fn is_system_column(kind: RelationKind, name: &str) -> bool {
    kind != RelationKind::View && matches!(name, "ctid" | "xmin" | "xmax" | "cmin" | "cmax" | "tableoid")
}
