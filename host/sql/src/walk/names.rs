//! What a name means where it stands.

use std::sync::Arc;

use pg_raw_parse::Node;
use pg_raw_parse::list::NodeList;
use pg_raw_parse::nodes::{ColumnRef, RangeVar};

use grille_policy::RelationName;

use super::columns::is_system_column;
use super::output_names::GUESSED;
use super::{Columns, Item, Walker};
use crate::analysis::Reach;
use crate::limits::Walk;
use crate::lineage::Flow;

/// The texts of a list of names.
pub(super) fn strings(list: &NodeList) -> Vec<&str> {
    list.iter().filter_map(Node::as_str).collect()
}

/// A name with at most one qualifier; a database in front is left to the server.
pub(super) fn qualified<'n>(names: &[&'n str]) -> (Option<&'n str>, &'n str) {
    match names {
        [] => (None, ""),
        [name] => (None, name),
        [.., schema, name] => (Some(schema), name),
    }
}

/// The columns whose names are not known for sure.
fn guessed_in(columns: &Columns) -> Vec<Flow> {
    match columns {
        Columns::List(columns) => columns.iter().filter(|c| &*c.name == GUESSED).map(|c| c.flow.clone()).collect(),
        Columns::Relation(_) | Columns::Any(_) => Vec::new(),
    }
}

/// What a name in an expression stands for.
pub(super) enum Meaning {
    /// A column.
    Column(Flow),
    /// A whole row of a FROM item.
    Row(Flow),
}

impl<'a> Walker<'a> {
    /// The value of a column reference that is no star.
    pub(super) fn column_reference(&mut self, reference: &'a ColumnRef) -> Walk<Flow> {
        let names = strings(reference.fields());
        let flow = match self.look_up(&names) {
            Some(Meaning::Column(flow) | Meaning::Row(flow)) => flow,
            None => self.elsewhere(&names)?,
        };
        self.used(&flow, self.clause);
        Ok(flow)
    }

    /// What a name stands for, if anything in sight has it.
    pub(super) fn look_up(&mut self, names: &[&str]) -> Option<Meaning> {
        match names {
            [name] => self
                .unqualified(name)
                .map(Meaning::Column)
                .or_else(|| self.row_of(|item| item.name == Some(name)).map(Meaning::Row))
                .or_else(|| self.argument(name).map(Meaning::Column)),
            [qualifier, name] => {
                let flow = self.qualified_column(|item| item.name == Some(qualifier), name);
                flow.map(Meaning::Column).or_else(|| {
                    // `function.argument` inside that function.
                    let is_own = self.active.iter().any(|active| match active {
                        super::Active::Function(own) => {
                            let name = own.rsplit('.').next().and_then(|name| name.split('/').next());
                            name == Some(qualifier)
                        }
                        super::Active::View(_) | super::Active::Attached(_) => false,
                    });
                    if is_own { self.argument(name).map(Meaning::Column) } else { None }
                })
            }
            [.., schema, relation, name] => {
                let id = self.catalog.relation_in(self.real_schema(schema), relation);
                let is_it = |item: &Item<'_>| !item.is_aliased && item.relation.is_some() && item.relation == id;
                self.qualified_column(is_it, name).map(Meaning::Column)
            }
            [] => None,
        }
    }

    /// A column by its bare name: the innermost query that has it wins.
    fn unqualified(&mut self, name: &str) -> Option<Flow> {
        let mut found: Option<Flow> = None;
        let mut is_target = false;
        // Columns further in whose names only the server knows: the name may be one of theirs.
        let mut guessed = Vec::new();
        for frame in self.visible_frames() {
            for item in self.visible_items(frame) {
                if !item.shows_columns {
                    continue;
                }
                // A bare system column belongs to the only table there is, or the server refuses.
                let flow = self.column_in(&item.columns, name).or_else(|| self.system_column(item, name));
                if flow.is_none() {
                    guessed.extend(guessed_in(&item.columns));
                }
                if let Some(flow) = flow {
                    is_target |= item.is_target;
                    found = Some(match found {
                        Some(other) => Flow::derived([&other, &flow]),
                        None => flow,
                    });
                }
            }
            if found.is_some() {
                break;
            }
        }
        self.target_references += u32::from(is_target);
        match guessed.is_empty() {
            true => found,
            false => Some(Flow::derived(guessed.iter().chain(&found))),
        }
    }

    fn system_column(&self, item: &Item<'_>, name: &str) -> Option<Flow> {
        let kind = self.catalog.relation(item.relation?).kind;
        is_system_column(kind, name).then(Flow::computed)
    }

    fn qualified_column(&mut self, is_it: impl Fn(&Item<'_>) -> bool, name: &str) -> Option<Flow> {
        let (flow, is_target) = {
            let item = self.item(&is_it)?;
            let flow = self
                .column_in(&item.columns, name)
                .or_else(|| self.system_column(item, name))
                .or_else(|| {
                    let guessed = guessed_in(&item.columns);
                    if guessed.is_empty() { None } else { Some(Flow::derived(&guessed)) }
                })
                // A merged column of a join hides none of those beneath.
                ?;
            (flow, item.is_target)
        };
        self.target_references += u32::from(is_target);
        Some(flow)
    }

    /// The row of the innermost FROM item that fits.
    pub(super) fn row_of(&mut self, is_it: impl Fn(&Item<'_>) -> bool) -> Option<Flow> {
        let (flow, is_target) = {
            let item = self.item(&is_it)?;
            let row = self.whole_row(&item.columns);
            #[cfg(test)]
            let row = if super::planted::has(super::planted::Bug::NoRow) { Flow::computed() } else { row };
            // Once such a row is a value, its fields have the names of its type again.
            (if item.is_renamed { super::at_best_derived(&row) } else { row }, item.is_target)
        };
        self.target_references += u32::from(is_target);
        Some(flow)
    }

    pub(super) fn item(&self, is_it: impl Fn(&Item<'a>) -> bool) -> Option<&Item<'a>> {
        self.visible_frames().find_map(|frame| self.visible_items(frame).find(|item| is_it(item)))
    }

    /// The columns that a qualified star stands for.
    pub(super) fn star_of(&mut self, qualifier: &[&str]) -> Option<Columns> {
        let item = match qualifier {
            [name] => self.item(|item| item.name == Some(name)),
            [.., schema, relation] => {
                let id = self.catalog.relation_in(self.real_schema(schema), relation);
                self.item(|item| !item.is_aliased && item.relation.is_some() && item.relation == id)
            }
            [] => None,
        };
        let found = item.map(|item| (item.columns.clone(), item.is_target));
        found.map(|(columns, is_target)| {
            self.target_references += u32::from(is_target);
            columns
        })
    }

    fn argument(&self, name: &str) -> Option<Flow> {
        self.arguments.iter().find(|argument| *argument.name == *name).map(|argument| argument.flow.clone())
    }

    /// From the current frame outwards, with whether its unfinished FROM list is in sight.
    fn visible_frames(&self) -> impl Iterator<Item = (usize, bool)> + use<'_, 'a> {
        std::iter::successors(self.here.map(|here| (here, self.lateral)), |&(frame, _)| {
            let frame = &self.frames[frame];
            frame.parent.map(|parent| (parent, frame.sees_unfinished))
        })
    }

    fn visible_items(&self, (frame, lateral): (usize, bool)) -> impl Iterator<Item = &Item<'a>> {
        let frame = &self.frames[frame];
        let unfinished = if lateral { &frame.unfinished[..] } else { &[] };
        frame.items.iter().chain(unfinished)
    }

    /// A name that nothing in sight has: `row.function`, or a mistake.
    fn elsewhere(&mut self, names: &[&str]) -> Walk<Flow> {
        if let [.., qualifier, name] = names
            && let Some(row) = self.row_of(|item| item.name == Some(qualifier))
            && !self.catalog.functions_named(name).is_empty()
        {
            return self.call(&[name], &[row], super::functions::Call::default());
        }
        let column = names.join(".");
        self.missing(format!("column {column}"));
        Ok(self.construct(format!("column \"{column}\""), None, Reach::Statement))
    }

    /// The relation that a FROM item or a target names, CTEs aside.
    pub(super) fn relation_id(&self, range: &RangeVar) -> Option<u32> {
        let name = range.relname()?;
        match range.schemaname() {
            Some(schema) => self.catalog.relation_in(self.real_schema(schema), name),
            None => self.catalog.relation_on_path(self.path, name),
        }
    }

    /// The full name of a relation, known or not: what is created goes into the first schema of the path.
    pub(super) fn relation_name(&self, range: &RangeVar) -> RelationName {
        if let Some(id) = self.relation_id(range) {
            return self.catalog.relation(id).full_name();
        }
        let schema = match range.schemaname() {
            Some(schema) => self.real_schema(schema),
            None if range.relpersistence == b't'.cast_signed() => "pg_temp",
            None => self.creation_schema(),
        };
        RelationName { schema: schema.into(), name: Arc::from(range.relname().unwrap_or_default()) }
    }

    pub(super) fn creation_schema(&self) -> &str {
        let own = self.path.iter().find(|schema| *schema != "pg_catalog" && !schema.starts_with("pg_temp"));
        own.map_or("public", String::as_str)
    }

    /// `pg_temp` is another name for the session's own schema.
    pub(super) fn real_schema<'s>(&'s self, schema: &'s str) -> &'s str {
        if schema != "pg_temp" {
            return schema;
        }
        self.path.iter().find(|schema| schema.starts_with("pg_temp_")).map_or(schema, String::as_str)
    }
}
