//! Statements by their kinds: queries, and those that wrap, name or move what queries return.

use std::sync::Arc;

use grille_policy::{Access, Effect, Filter, Usage, Write};
use pg_raw_parse::list::CastNodeList;
use pg_raw_parse::nodes::{
    CallStmt, CopyStmt, CreateTableAsStmt, DeclareCursorStmt, DefElem, ExecuteStmt, ExplainStmt, IntoClause,
    PrepareStmt, RangeVar, SelectStmt,
};
use pg_raw_parse::{Node, raw};

use super::functions::constant_text;
use super::names::strings;
use super::{Columns, Found, Walker};
use crate::SessionNames;
use crate::analyse::NAMES_MOVED;
use crate::analysis::{Absent, Body, Reach, Restriction, SessionEffect};
use crate::catalog::Events;
use crate::limits::Walk;
use crate::lineage::{Flow, Named};
use crate::{CopyDirection, CopyFormat, CopyInfo, analyse};

/// What a statement is and returns.
pub(crate) struct Told {
    pub(crate) kind: &'static str,
    pub(crate) rows: Rows,
}

pub(crate) enum Rows {
    None,
    Columns(Columns),
    Prepared(Arc<str>),
    Cursor(Arc<str>),
}

impl Told {
    const fn nothing(kind: &'static str) -> Self {
        Self { kind, rows: Rows::None }
    }
}

impl<'a> Walker<'a> {
    /// Walks a whole statement.
    pub(crate) fn statement(&mut self, node: Node<'a>) -> Walk<Told> {
        let told = self.any_statement(node)?;
        self.kind(told.kind);
        Ok(told)
    }

    fn any_statement(&mut self, node: Node<'a>) -> Walk<Told> {
        Ok(match node {
            Node::SelectStmt(select) => return self.top_select(select),
            Node::InsertStmt(insert) => self.write(node, "INSERT", insert.returning_clause().is_some())?,
            Node::UpdateStmt(update) => self.write(node, "UPDATE", update.returning_clause().is_some())?,
            Node::DeleteStmt(delete) => self.write(node, "DELETE", delete.returning_clause().is_some())?,
            Node::MergeStmt(merge) => self.write(node, "MERGE", merge.returning_clause().is_some())?,
            Node::CopyStmt(copy) => self.copy(copy)?,
            Node::ExplainStmt(explain) => self.explain(explain)?,
            Node::PrepareStmt(prepare) => self.prepare(prepare)?,
            Node::ExecuteStmt(execute) => {
                let name = self.execute(execute)?;
                Told { kind: "EXECUTE", rows: Rows::Prepared(name) }
            }
            Node::DeclareCursorStmt(declare) => self.declare(declare)?,
            Node::FetchStmt(fetch) => {
                let cursor: Arc<str> = fetch.portalname().unwrap_or_default().into();
                if fetch.ismove {
                    Told::nothing(self.session_effect("MOVE", SessionEffect::Move { cursor }))
                } else {
                    self.effect(Effect::Read);
                    self.session_effect("FETCH", SessionEffect::Fetch { cursor: Arc::clone(&cursor) });
                    Told { kind: "FETCH", rows: Rows::Cursor(cursor) }
                }
            }
            Node::ClosePortalStmt(close) => {
                let cursor = close.portalname().map(Arc::from);
                Told::nothing(self.session_effect("CLOSE", SessionEffect::Close { cursor }))
            }
            Node::DeallocateStmt(deallocate) => {
                let name = deallocate.name().map(Arc::from);
                Told::nothing(self.session_effect("DEALLOCATE", SessionEffect::Deallocate { name }))
            }
            Node::CreateTableAsStmt(create) => self.create_table_as(create)?,
            Node::TransactionStmt(transaction) => Told::nothing(self.transaction(transaction)),
            Node::VariableSetStmt(set) => Told::nothing(self.set(set)),
            Node::VariableShowStmt(show) => self.show_setting(show.name().unwrap_or_default()),
            Node::DiscardStmt(discard) => Told::nothing(self.discard(discard.target)),
            Node::ListenStmt(_) => Told::nothing(self.session_effect("LISTEN", SessionEffect::Listen)),
            Node::UnlistenStmt(_) => Told::nothing(self.session_effect("UNLISTEN", SessionEffect::Unlisten)),
            Node::NotifyStmt(_) => Told::nothing(self.session_effect("NOTIFY", SessionEffect::Notify)),
            Node::ConstraintsSetStmt(_) => {
                self.effect(Effect::Session);
                Told::nothing("SET CONSTRAINTS")
            }
            Node::DoStmt(_) => {
                self.effect(Effect::Procedural);
                self.construct("DO", None, Reach::Anything);
                self.restrict(
                    "do",
                    "DO is refused in a masked session: its code cannot be followed; send its statements as they are",
                );
                Told::nothing("DO")
            }
            Node::CallStmt(call) => self.call_procedure(call)?,
            other => Told::nothing(self.definition(other)?),
        })
    }

    fn write(&mut self, node: Node<'a>, kind: &'static str, returns: bool) -> Walk<Told> {
        let columns = self.query(node, Some(Usage::Projected))?;
        Ok(Told { kind, rows: if returns { Rows::Columns(columns) } else { Rows::None } })
    }

    fn top_select(&mut self, select: &'a SelectStmt) -> Walk<Told> {
        let columns = self.query(Node::SelectStmt(select), Some(Usage::Projected))?;
        match into_of(select) {
            Some(into) => {
                self.creates("SELECT INTO", "table", into, &columns);
                self.creates_rows(into, &columns, false);
                Ok(Told::nothing("SELECT INTO"))
            }
            None => Ok(Told { kind: "SELECT", rows: Rows::Columns(columns) }),
        }
    }

    /// A new relation that keeps what a query returns.
    fn creates(&mut self, kind: &'static str, what: &str, into: &'a IntoClause, columns: &Columns) {
        self.effect(Effect::Ddl);
        self.kind(kind);
        let Some(range) = into.rel() else { return };
        let place = self.new_relation(what, range);
        self.keeps_columns(&place, columns);
    }

    /// Notes a relation that comes into being, and gives its name for people.
    pub(super) fn new_relation(&mut self, what: &str, range: &'a RangeVar) -> String {
        let name = self.relation_name(range);
        let place = format!("{what} {name}");
        self.named(name, Access::Write);
        place
    }

    pub(super) fn keeps_columns(&mut self, place: &str, columns: &Columns) {
        match self.all_columns(columns) {
            Some(all) => {
                for column in &*all {
                    self.sink(place, &Flow::constant(), &column.flow);
                }
            }
            None => {
                let row = self.whole_row(columns);
                self.sink(place, &Flow::constant(), &row);
            }
        }
    }

    fn create_table_as(&mut self, create: &'a CreateTableAsStmt) -> Walk<Told> {
        let is_view = create.objtype == raw::ObjectType::OBJECT_MATVIEW;
        let (kind, what) =
            if is_view { ("CREATE MATERIALIZED VIEW", "materialized view") } else { ("CREATE TABLE AS", "table") };
        let Some(into) = create.into() else { return Ok(Told::nothing(kind)) };
        if let Node::ExecuteStmt(execute) = create.query() {
            self.execute(execute)?;
            self.effect(Effect::Ddl);
            if let Some(range) = into.rel() {
                self.found.keeps = Some(self.new_relation(what, range).into());
            }
            return Ok(Told::nothing(kind));
        }
        let columns = self.query(create.query(), Some(Usage::Projected))?;
        self.creates(kind, what, into, &columns);
        self.creates_rows(into, &columns, create.if_not_exists);
        Ok(Told::nothing(kind))
    }

    fn execute(&mut self, execute: &'a ExecuteStmt) -> Walk<Arc<str>> {
        self.effect(Effect::Session);
        for parameter in execute.params() {
            let flow = self.in_clause(None, |walker| walker.expression(parameter))?;
            // The rows are treated as those of the statement with any parameters.
            self.sink("a parameter of EXECUTE", &Flow::constant(), &flow);
        }
        let name: Arc<str> = execute.name().unwrap_or_default().into();
        self.found.runs = Some(Arc::clone(&name));
        self.found.session.push(SessionEffect::Execute { name: Arc::clone(&name) });
        Ok(name)
    }

    /// Walks a statement apart, so that what it does can be told from what is around it.
    fn apart(&mut self, node: Node<'a>) -> Walk<(Told, Found)> {
        let outer = std::mem::take(&mut self.found);
        let told = self.deeper(|walker| walker.statement(node));
        let inner = std::mem::replace(&mut self.found, outer);
        Ok((told?, inner))
    }

    fn prepare(&mut self, prepare: &'a PrepareStmt) -> Walk<Told> {
        let (told, found) = self.apart(prepare.query())?;
        let name: Arc<str> = prepare.name().unwrap_or_default().into();
        let body = self.body_of(told, &found);
        if !found.session.is_empty() {
            let message = "what changes the session is not to be prepared; send it by itself";
            self.found.restrictions.push(Restriction { rule: NAMES_MOVED, message: message.into() });
        }
        // Preparing is judged as running: EXECUTE shows nothing but a name.
        self.found.absorb(found);
        self.effect(Effect::Session);
        self.found.session.push(SessionEffect::Prepare { name, body });
        Ok(Told::nothing("PREPARE"))
    }

    fn declare(&mut self, declare: &'a DeclareCursorStmt) -> Walk<Told> {
        /// `CURSOR_OPT_HOLD` of parsenodes.h.
        const HOLD: i32 = 0x0020;
        let (told, found) = self.apart(declare.query())?;
        let cursor: Arc<str> = declare.portalname().unwrap_or_default().into();
        let body = self.body_of(told, &found);
        self.found.absorb(found);
        self.effect(Effect::Session);
        let hold = declare.options & HOLD != 0;
        self.found.session.push(SessionEffect::Declare { cursor, body, hold });
        Ok(Told::nothing("DECLARE CURSOR"))
    }

    fn body_of(&self, told: Told, found: &Found) -> Arc<Body> {
        let statement = analyse::statement_info(self, told, found, 0..0);
        Arc::new(Body { statement, facts: Arc::new(found.facts(self.catalog)) })
    }

    fn explain(&mut self, explain: &'a ExplainStmt) -> Walk<Told> {
        let (told, mut found) = self.apart(explain.query())?;
        // What is only returned does not show in a plan that neither runs nor lists what it returns.
        let shows_returned = runs(explain.options()) || is_on(explain.options(), "verbose");
        let shown = found.uses.iter().filter(|(_, usage)| shows_returned || *usage != Usage::Projected);
        let mut origins: Vec<_> = shown.map(|&(id, _)| id).collect();
        if let Rows::Columns(columns) = &told.rows
            && shows_returned
        {
            origins.extend_from_slice(self.whole_row(columns).origins.as_slice());
        }
        origins.extend_from_slice(&found.shown_by_plans);
        if !runs(explain.options()) {
            found.writes.clear();
            found.effects = vec![Effect::Read];
            found.session.clear();
        }
        // It never leaves a name behind, whatever it runs.
        found.session.retain(|effect| !SessionNames::concerns(effect) || *effect == SessionEffect::Unfollowed);
        self.found.absorb(found);
        // A plan shows conditions and estimates of what it reads.
        let flow = Flow::derived(origins.into_iter().map(Flow::column).collect::<Vec<_>>().iter());
        Ok(Told { kind: "EXPLAIN", rows: Rows::Columns(columns([("QUERY PLAN", flow)])) })
    }

    fn show_setting(&mut self, name: &str) -> Told {
        self.effect(Effect::Read);
        let columns = if name == "all" {
            columns(["name", "setting", "description"].map(|name| (name, Flow::computed())))
        } else {
            columns([(name, Flow::computed())])
        };
        Told { kind: "SHOW", rows: Rows::Columns(columns) }
    }

    fn call_procedure(&mut self, call: &'a CallStmt) -> Walk<Told> {
        self.effect(Effect::Procedural);
        let Some(function) = call.funccall() else { return Ok(Told::nothing("CALL")) };
        let names = strings(function.funcname());
        let (arguments, call) = self.in_clause(None, |walker| walker.call_arguments(function))?;
        let procedures = self.procedures(&names, arguments.len());
        let mut returned: Option<Columns> = None;
        for procedure in &procedures {
            let name: Arc<str> = format!("{}.{}", procedure.schema, procedure.name).into();
            let is_sql = super::functions::classify(procedure) == super::functions::Class::Expand;
            self.uses_function(&name, is_sql);
            if is_sql {
                self.expand(procedure, &arguments, &call)?;
            } else {
                self.construct(format!("procedure {name}()"), Some(name), Reach::Anything);
            }
            if !procedure.outputs.is_empty() {
                let what = format!("the parameters that procedure {}() sets", procedure.name);
                let set = self.construct(what, None, Reach::Anything);
                let flow = Flow::derived(arguments.iter().chain([&set]));
                let outputs =
                    procedure.outputs.iter().map(|(name, _)| Named { name: Arc::clone(name), flow: flow.clone() });
                returned = Some(Columns::List(outputs.collect()));
            }
        }
        if procedures.is_empty() {
            let written = names.join(".");
            self.missing(format!("function {written}()"));
            self.uses_function(&written, false);
            let (schema, _) = super::names::qualified(&names);
            self.absent(Absent::Function, schema, format!("procedure {written}()"), Some(written.into()));
        }
        Ok(Told { kind: "CALL", rows: returned.map_or(Rows::None, Rows::Columns) })
    }

    fn copy(&mut self, copy: &'a CopyStmt) -> Walk<Told> {
        self.effect(Effect::Copy);
        let is_server = copy.filename().is_some() || copy.is_program;
        let direction = match (copy.is_from, is_server) {
            (true, false) => CopyDirection::In,
            (true, true) => CopyDirection::IntoServer,
            (false, false) => CopyDirection::Out,
            (false, true) => CopyDirection::OutOfServer,
        };
        if is_server {
            self.effect(Effect::Unknown);
            self.construct("COPY to or from a file or program of the server", None, Reach::Anything);
        }
        let attributes = strings(copy.attlist());
        let mut target = None;
        let mut rows = Rows::None;
        if let Some(range) = copy.relation() {
            let name = self.relation_name(range);
            if copy.is_from {
                let item = self.target(range, Events::INSERT)?;
                let given = self.copied_names(range, &attributes);
                self.unset(&item, |name| given.iter().any(|given| **given == *name))?;
                for name in given {
                    if let Some(stored) = self.column_in(&item.columns, &name) {
                        self.compared(&stored);
                    }
                }
                self.effect(Effect::Write);
                self.found.writes.push(Write { kind: "COPY".into(), relation: name.clone(), filter: Filter::Absent });
                self.framed(None, |walker| {
                    walker.show(vec![item]);
                    walker.condition(copy.where_clause(), Usage::Filtered)
                })?;
                target = Some((name, self.copied_names(range, &attributes)));
            } else {
                let columns = self.copied_columns(range, &attributes)?;
                target = Some((name, self.copied_names(range, &attributes)));
                rows = Rows::Columns(columns);
            }
        } else {
            let columns = self.query(copy.query(), Some(Usage::Projected))?;
            rows = Rows::Columns(columns);
        }
        let (format, options) = copy_options(copy.options());
        self.found.copy = Some(CopyInfo { direction, target, query: None, format, options });
        Ok(Told { kind: "COPY", rows })
    }

    fn copied_names(&self, range: &RangeVar, attributes: &[&str]) -> Vec<Arc<str>> {
        if !attributes.is_empty() {
            return attributes.iter().map(|&name| name.into()).collect();
        }
        let Some(id) = self.relation_id(range) else { return Vec::new() };
        self.catalog.relation(id).columns.iter().map(|column| Arc::clone(&column.name)).collect()
    }

    fn copied_columns(&mut self, range: &'a RangeVar, attributes: &[&str]) -> Walk<Columns> {
        self.effect(Effect::Read);
        self.framed(None, |walker| {
            let item = walker.range_item(Node::RangeVar(range))?.swap_remove(0);
            let columns = if attributes.is_empty() {
                item.columns
            } else {
                let mut named = Vec::new();
                for &name in attributes {
                    let flow = match walker.column_in(&item.columns, name) {
                        Some(flow) => flow,
                        None => walker.construct(format!("column \"{name}\""), None, Reach::Statement),
                    };
                    named.push(Named { name: name.into(), flow });
                }
                Columns::List(named.into())
            };
            let row = walker.whole_row(&columns);
            walker.used(&row, Some(Usage::Projected));
            Ok(columns)
        })
    }
}

/// INTO stands in the leftmost arm.
fn into_of(select: &SelectStmt) -> Option<&IntoClause> {
    let mut select = select;
    loop {
        match (select.into_clause(), select.larg()) {
            (Some(into), _) => return Some(into),
            (None, Some(left)) => select = left,
            (None, None) => return None,
        }
    }
}

fn columns<const N: usize>(columns: [(&str, Flow); N]) -> Columns {
    Columns::List(columns.into_iter().map(|(name, flow)| Named { name: name.into(), flow }).collect())
}

/// Whether EXPLAIN executes what it explains.
fn runs(options: &CastNodeList<DefElem>) -> bool {
    is_on(options, "analyze")
}

fn is_on(options: &CastNodeList<DefElem>, wanted: &str) -> bool {
    let mut is_on = false;
    for option in options {
        if option.defname().is_some_and(|name| name.eq_ignore_ascii_case(wanted)) {
            let value = constant_text(option.arg()).or_else(|| option.arg().as_str().map(Arc::from));
            let value = value.map(|value| value.to_ascii_lowercase());
            is_on = match option.arg() {
                Node::Integer(number) => number.ival != 0,
                Node::Boolean(value) => value.boolval,
                _ => !matches!(value.as_deref(), Some("false" | "off" | "0")),
            };
        }
    }
    is_on
}

/// Options as written: name and value.
type Options = Vec<(Arc<str>, Arc<str>)>;

fn copy_options(options: &CastNodeList<DefElem>) -> (CopyFormat, Options) {
    let mut format = CopyFormat::Text;
    let mut all = Vec::new();
    for option in options {
        let name = option.defname().unwrap_or_default().to_ascii_lowercase();
        let value: Arc<str> = match option.arg() {
            Node::String(text) => text.sval().unwrap_or_default().into(),
            Node::Integer(number) => number.ival.to_string().into(),
            Node::Boolean(value) => value.boolval.to_string().into(),
            Node::NodeList(list) => strings(list).join(",").into(),
            Node::A_Star(_) => "*".into(),
            Node::None => "true".into(),
            _ => "".into(),
        };
        if name == "format" {
            format = match &*value.to_ascii_lowercase() {
                "text" => CopyFormat::Text,
                "csv" => CopyFormat::Csv,
                "binary" => CopyFormat::Binary,
                _ => CopyFormat::Unknown,
            };
        }
        all.push((name.into(), value));
    }
    (format, all)
}
