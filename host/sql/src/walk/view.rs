//! What a view means: its definition walked once per catalog.

use std::sync::Arc;

use pg_raw_parse::Node;

use super::{Active, Found, Walker};
use crate::analysis::{Construct, Reach};
use crate::catalog::Catalog;
use crate::limits::{Budget, Limits, Walk};
use crate::lineage::{ColumnId, Flow, Named};
use crate::stack;

/// What the definition of a view means.
#[derive(Debug)]
pub(crate) struct ViewMeaning {
    pub(crate) columns: Arc<[Named]>,
    /// The relations that it reads.
    pub(crate) reached: Vec<u32>,
    pub(crate) constructs: Vec<Arc<Construct>>,
    /// The columns that a plan of it shows the values of, where the server computes them beforehand.
    pub(crate) shown_by_plans: Vec<ColumnId>,
    /// Whether it calls a function whose names are looked up when it runs: then it is only what it means now.
    pub(crate) is_late: bool,
}

impl Catalog {
    /// What a view means, worked out when it is first asked for.
    pub(crate) fn meaning(&self, id: u32) -> Arc<ViewMeaning> {
        if let Some(meaning) = self.relation(id).meaning.get() {
            return Arc::clone(meaning);
        }
        let length = self.relation(id).definition.as_ref().map_or(0, |text| text.len());
        let walked = stack::run(Limits::default().depth, |depth_max| {
            let budget = Budget::for_text(length);
            Walker::new(self, &self.path, &budget, depth_max).view_meaning(id)
        });
        // Without a session nobody knows what its functions will read.
        if walked.as_ref().is_ok_and(|meaning| meaning.is_late) {
            return Arc::new(opaque(self, id));
        }
        walked.unwrap_or_else(|_| {
            let meaning = Arc::new(opaque(self, id));
            Arc::clone(self.relation(id).meaning.get_or_init(|| meaning))
        })
    }
}

impl Catalog {
    /// What a generated column is made of; none if its expression could not be followed.
    pub(crate) fn generated_flow(&self, id: u32, expression: &str) -> Option<Flow> {
        let relation = self.relation(id);
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let text = format!("SELECT {expression} FROM ONLY {}.{}", quoted(&relation.schema), quoted(&relation.name));
        let parsed = pg_raw_parse::parse(&text).ok()?;
        let tree = &**parsed;
        let walked = stack::run(Limits::default().depth, |depth_max| {
            let budget = Budget::for_text(text.len());
            let mut walker = Walker::new(self, &self.path, &budget, depth_max);
            match tree.stmts().next() {
                Some(node) => walker.query(node, None).map(|columns| walker.whole_row(&columns)),
                None => Ok(Flow::computed()),
            }
        });
        walked.ok()
    }
}

impl Walker<'_> {
    pub(super) fn view_meaning(&self, id: u32) -> Walk<Arc<ViewMeaning>> {
        let relation = self.catalog.relation(id);
        if let Some(meaning) = relation.meaning.get().filter(|_| self.has_usual_path()) {
            return Ok(Arc::clone(meaning));
        }
        if self.active.contains(&Active::View(id)) {
            return Ok(Arc::new(opaque(self.catalog, id)));
        }
        let definition = relation.definition.as_deref().unwrap_or_default();
        self.budget.spend(definition.len())?;
        let Ok(parsed) = pg_raw_parse::parse(definition) else {
            return Ok(Arc::clone(relation.meaning.get_or_init(|| Arc::new(opaque(self.catalog, id)))));
        };
        let mut inner = Walker {
            depth: self.depth,
            late_path: self.late_path,
            active: [&self.active[..], &[Active::View(id)]].concat(),
            ..Walker::new(self.catalog, &self.catalog.path, self.budget, self.depth_max)
        };
        let columns = match parsed.stmts().next() {
            Some(node @ Node::SelectStmt(_)) => inner.deeper(|inner| inner.query(node, None))?,
            _ => super::Columns::Any(Box::new(inner.construct(
                format!("view {}", relation.full_name()),
                None,
                Reach::Anything,
            ))),
        };
        let found = std::mem::take(&mut inner.found);
        let meaning = match inner.all_columns(&columns) {
            // What changes the session is not followed in a view.
            Some(_) if !found.session.is_empty() => opaque(self.catalog, id),
            Some(columns) if columns.len() == relation.columns.len() => {
                // The catalog's names hold: a view's columns can be renamed.
                let columns = columns
                    .iter()
                    .zip(&relation.columns)
                    .map(|(column, named)| Named { name: Arc::clone(&named.name), flow: column.flow.clone() });
                meaning(columns.collect(), found)
            }
            _ => opaque(self.catalog, id),
        };
        let is_whole = inner.active.len() == 1;
        let meaning = Arc::new(meaning);
        // It means something else in each session.
        if meaning.is_late {
            return Ok(meaning);
        }
        // Inside another expansion a cycle may have cut this one short.
        if is_whole || self.active.iter().all(|active| matches!(active, Active::View(_))) {
            return Ok(Arc::clone(relation.meaning.get_or_init(|| meaning)));
        }
        Ok(meaning)
    }
}

fn meaning(columns: Arc<[Named]>, found: Found) -> ViewMeaning {
    let shown_by_plans = found.plan_columns();
    let mut reached = found.reached;
    reached.sort_unstable();
    reached.dedup();
    ViewMeaning { columns, reached, constructs: found.constructs, shown_by_plans, is_late: found.is_late }
}

/// A view that could not be followed may hold anything.
fn opaque(catalog: &Catalog, id: u32) -> ViewMeaning {
    let relation = catalog.relation(id);
    let construct = Arc::new(Construct {
        what: format!("view {}", relation.full_name()).into(),
        function: None,
        reach: Reach::Anything,
        absent: None,
    });
    let columns = relation
        .columns
        .iter()
        .map(|column| Named { name: Arc::clone(&column.name), flow: Flow::unknown(Arc::clone(&construct)) })
        .collect();
    ViewMeaning {
        columns,
        reached: Vec::new(),
        constructs: vec![construct],
        shown_by_plans: Vec::new(),
        is_late: false,
    }
}
