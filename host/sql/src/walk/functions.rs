//! Function calls.

use std::sync::Arc;

use grille_policy::{Certainty, Effect, FunctionUse, Usage};
use pg_raw_parse::nodes::FuncCall;
use pg_raw_parse::{ConstValue, Node, raw};

use super::names::{Meaning, qualified, strings};
use super::output_names::GUESSED;
use super::{Columns, Walker, at_best_derived};
use crate::analysis::{Absent, Reach, SessionEffect, SetValue};
use crate::catalog::{Function, FunctionKind};
use crate::golden;
use crate::limits::Walk;
use crate::lineage::{Flow, Named, Origins};

/// What becomes of the values handed to a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The result is computed of them.
    Propagating,
    /// The result says nothing of them.
    Clearing,
    /// Not a function of its arguments alone, but it reaches no table.
    Harmless,
    /// Its body is SQL and is walked.
    Expand,
    /// Nobody can tell.
    Opaque,
}

/// What the golden lists say of a function.
pub(super) fn classify(function: &Function) -> Class {
    let name = &*function.name;
    let is_code_of_the_server = matches!(&*function.language, "internal" | "c" | "sql");
    if &*function.schema == "pg_catalog" {
        return match () {
            () if golden::OPAQUE.contains(&name) => Class::Opaque,
            () if golden::CLEARING.contains(&name) => Class::Clearing,
            () if golden::HARMLESS.contains(&name) => Class::Harmless,
            () if is_code_of_the_server && !function.is_volatile => Class::Propagating,
            () => Class::Opaque,
        };
    }
    if function.extension.as_deref().is_some_and(|own| golden::PURE_EXTENSIONS.contains(&own)) && is_code_of_the_server
    {
        return match () {
            () if golden::HARMLESS_OF_EXTENSIONS.contains(&name) => Class::Harmless,
            () if !function.is_volatile => Class::Propagating,
            () => Class::Opaque,
        };
    }
    match function.definition {
        Some(_) if &*function.language == "sql" => Class::Expand,
        _ => Class::Opaque,
    }
}

/// How a function is called, besides its name and the values.
#[derive(Default)]
pub(super) struct Call<'n> {
    /// The names of named arguments.
    pub(super) labels: Vec<Option<&'n str>>,
    /// The values of constant arguments, `None` where an argument is none.
    pub(super) constants: Vec<Option<Arc<str>>>,
    /// Whether the grammar made the call out of words.
    pub(super) is_grammar: bool,
    /// The types of arguments, where they are known.
    pub(super) types: Vec<Option<u32>>,
    /// Whether an argument is known to be neither a row nor rows nor a text search vector.
    pub(super) plain: Vec<bool>,
    /// Whether an argument may be of a size that a value says.
    pub(super) sized: Vec<bool>,
}

/// What a call returns.
pub(super) enum Returned {
    /// One value.
    Scalar(Flow),
    /// A row.
    Row(Arc<[Named]>),
    /// A row of columns that nobody knows.
    Unknown(Flow),
}

impl<'a> Walker<'a> {
    pub(super) fn function_call(&mut self, node: &'a FuncCall) -> Walk<Flow> {
        let names = strings(node.funcname());
        let (arguments, call) = self.call_arguments(node)?;
        if let Some(field) = self.field_notation(&names, &arguments) {
            return Ok(field);
        }
        self.call(&names, &arguments, call)
    }

    /// The values handed to a call, and what else it names.
    pub(super) fn call_arguments(&mut self, node: &'a FuncCall) -> Walk<(Vec<Flow>, Call<'a>)> {
        let mut call = Call { is_grammar: node.funcformat == raw::CoercionForm::COERCE_SQL_SYNTAX, ..Call::default() };
        let mut arguments = Vec::new();
        let clause = self.clause;
        for argument in node.args() {
            let flow = self.expression_or_row(argument)?;
            let (label, value) = match argument {
                Node::NamedArgExpr(named) => (named.name(), named.arg()),
                value => (None, value),
            };
            call.labels.push(label);
            call.constants.push(constant_text(value));
            call.types.push(self.known_type(value, &flow));
            call.plain.push(self.is_plain(value, &flow));
            call.sized.push(!has_own_size(value));
            arguments.push(flow);
        }
        for sort in node.agg_order() {
            if node.agg_within_group {
                let flow = self.in_clause(clause, |walker| walker.expression(sort.node()))?;
                self.used(&flow, Some(Usage::Ordered));
                call.labels.push(None);
                call.constants.push(None);
                call.types.push(None);
                arguments.push(flow);
            } else {
                self.condition(sort.node(), Usage::Ordered)?;
            }
        }
        if node.agg_distinct {
            self.used(&Flow::derived(&arguments), Some(Usage::Grouped));
        }
        self.condition(node.agg_filter(), Usage::Filtered)?;
        if let Some(window) = node.over() {
            self.window(window)?;
        }
        Ok((arguments, call))
    }

    fn known_type(&self, node: Node<'a>, flow: &Flow) -> Option<u32> {
        match (node, &flow.origins) {
            (Node::TypeCast(cast), _) => cast.type_name().and_then(|name| self.type_of(name)),
            (Node::ColumnRef(_), Origins::One(id)) if flow.fields.is_none() => {
                let relation = self.catalog.relation(id.relation);
                relation.columns.get(id.column as usize).map(|column| column.type_oid)
            }
            _ => None,
        }
    }

    /// `ssn(p)` is `p.ssn` where p is a row that has it and no function does.
    fn field_notation(&self, names: &[&str], arguments: &[Flow]) -> Option<Flow> {
        let ([name], [row]) = (names, arguments) else { return None };
        let field = row.fields.as_ref()?.iter().find(|field| *field.name == **name)?;
        let flow = field.flow.clone();
        if self.candidates(names, 1).is_empty() { Some(flow) } else { None }
    }

    /// The value of a call.
    pub(super) fn call(&mut self, names: &[&str], arguments: &[Flow], call: Call<'_>) -> Walk<Flow> {
        let returned = self.returned(names, arguments, &call, &[])?;
        Ok(match returned {
            Returned::Scalar(flow) => flow,
            Returned::Row(fields) => Flow::row(fields),
            Returned::Unknown(flow) => at_best_derived(&flow),
        })
    }

    /// The columns of a function in FROM.
    pub(super) fn table_function(
        &mut self,
        node: Node<'a>,
        defined: &[Arc<str>],
        alias: Option<&str>,
    ) -> Walk<Columns> {
        let Node::FuncCall(function) = node else {
            let flow = self.expression(node)?;
            let name = alias.map_or_else(|| super::output_names::of(node), Arc::from);
            return Ok(Columns::List(Arc::from([Named { name, flow }])));
        };
        let names = strings(function.funcname());
        let (arguments, call) = self.call_arguments(function)?;
        let own_name = names.last().copied().unwrap_or_default();
        // `unnest(a, b)` is one column for each.
        if own_name == "unnest" && arguments.len() > 1 {
            self.counts(&arguments, &call);
            if !call.plain.iter().all(|&is_plain| is_plain) {
                return Ok(Columns::Any(Box::new(Flow::derived(&arguments))));
            }
            let columns = arguments.iter().map(|flow| Named { name: "unnest".into(), flow: at_best_derived(flow) });
            return Ok(Columns::List(columns.collect()));
        }
        let returned = self.returned(&names, &arguments, &call, defined)?;
        Ok(match returned {
            Returned::Row(fields) => Columns::List(fields),
            Returned::Unknown(flow) => Columns::Any(Box::new(flow)),
            Returned::Scalar(flow) => {
                let name = self.scalar_name(&names, arguments.len(), alias);
                Columns::List(Arc::from([Named { name, flow }]))
            }
        })
    }

    /// A single OUT parameter names the column, then the alias, then the function.
    fn scalar_name(&self, names: &[&str], count: usize, alias: Option<&str>) -> Arc<str> {
        let parameter = |function: &'a Function| match &function.outputs[..] {
            [(name, _)] if !name.is_empty() => Some(Arc::clone(name)),
            _ => None,
        };
        let mut parameters: Vec<_> = self.candidates(names, count).into_iter().map(parameter).collect();
        parameters.dedup();
        match &mut parameters[..] {
            [] | [None] => alias.or_else(|| names.last().copied()).unwrap_or_default().into(),
            [Some(name)] => Arc::clone(name),
            _ => GUESSED.into(),
        }
    }

    fn returned(
        &mut self,
        names: &[&str],
        arguments: &[Flow],
        call: &Call<'_>,
        defined: &[Arc<str>],
    ) -> Walk<Returned> {
        let mut candidates = self.candidates(names, arguments.len());
        let (_, name) = qualified(names);
        // Only a text search vector has several columns to unnest.
        if name == "unnest" && call.plain.first() == Some(&true) {
            candidates.retain(|function| function.outputs.is_empty());
        }
        if candidates.is_empty() {
            return Ok(self.no_function(names, arguments, call));
        }
        let mut all: Option<Returned> = None;
        for function in candidates {
            let returned = self.returned_by(function, arguments, call, defined)?;
            all = Some(match all {
                None => returned,
                Some(other) => any_of(other, returned),
            });
        }
        Ok(all.unwrap_or_else(|| Returned::Scalar(Flow::computed())))
    }

    fn no_function(&mut self, names: &[&str], arguments: &[Flow], call: &Call<'_>) -> Returned {
        let (schema, name) = qualified(names);
        // To a server before PostgreSQL 16 this word is a name like any other.
        if call.is_grammar && name == "system_user" {
            return Returned::Scalar(match self.look_up(&[name]) {
                Some(Meaning::Column(flow) | Meaning::Row(flow)) => {
                    self.used(&flow, self.clause);
                    flow
                }
                None => Flow::computed(),
            });
        }
        if call.is_grammar && golden::OF_THE_GRAMMAR.contains(&name) {
            self.uses_function(&format!("pg_catalog.{name}"), true);
            self.computed_by(name, arguments);
            return Returned::Scalar(Flow::derived(arguments));
        }
        let written = names.join(".");
        self.missing(format!("function {written}()"));
        self.uses_function(&written, false);
        let what = format!("function {written}()");
        let unknown = self.absent(Absent::Function, schema, what, Some(written.into()));
        self.computed(&Flow::derived(arguments));
        Returned::Unknown(Flow::derived(arguments.iter().chain([&unknown])))
    }

    fn returned_by(
        &mut self,
        function: &'a Function,
        arguments: &[Flow],
        call: &Call<'_>,
        defined: &[Arc<str>],
    ) -> Walk<Returned> {
        let full_name: Arc<str> = format!("{}.{}", function.schema, function.name).into();
        let class = classify(function);
        self.uses_function(&full_name, class != Class::Opaque);
        let derived = Flow::derived(arguments);
        match class {
            // What a body does with its arguments is seen there.
            Class::Clearing | Class::Expand => {}
            Class::Propagating if &*function.schema == "pg_catalog" => self.computed_by(&function.name, arguments),
            _ => self.computed(&derived),
        }
        let flow = match class {
            Class::Propagating => {
                if golden::COUNTING.contains(&&*function.name) {
                    self.sink("the number of rows", &Flow::constant(), &derived);
                    self.used(&derived, Some(Usage::Filtered));
                } else if golden::SETS.contains(&&*function.name) {
                    self.counts(arguments, call);
                }
                derived
            }
            Class::Clearing => Flow::computed(),
            Class::Harmless => {
                self.harmless(function, call, &derived);
                derived
            }
            Class::Opaque => {
                if function.is_volatile {
                    self.effect(Effect::Unknown);
                }
                let what = format!("function {full_name}()");
                let unknown = self.construct(what, Some(full_name), Reach::Anything);
                Flow::derived(arguments.iter().chain([&unknown]))
            }
            Class::Expand => {
                let body = self.expand(function, arguments, call)?;
                let row = self.whole_row(&body);
                self.used(&row, self.clause);
                return Ok(self.shaped(function, &body, arguments, call, defined));
            }
        };
        let any = Columns::Any(Box::new(flow));
        Ok(self.shaped(function, &any, arguments, call, defined))
    }

    /// Puts what a function computes under the names that its result has.
    fn shaped(
        &self,
        function: &'a Function,
        body: &Columns,
        arguments: &[Flow],
        call: &Call<'_>,
        defined: &[Arc<str>],
    ) -> Returned {
        let names = self.result_names(function, arguments, call, defined);
        let all = self.all_columns(body);
        let whole = match body {
            Columns::Any(flow) => Flow::clone(flow),
            other => self.whole_row(other),
        };
        match names {
            ResultNames::Scalar => Returned::Scalar(match all.as_deref() {
                // A SQL function without a final SELECT returns nothing.
                Some([]) => Flow::computed(),
                Some([first, ..]) => first.flow.clone(),
                None => whole,
            }),
            ResultNames::Row(names) => {
                let columns = all.as_deref();
                // A body may return the row as one value.
                let fields = match columns {
                    Some([only]) if names.len() != 1 => only.flow.fields.as_deref(),
                    columns => columns,
                };
                let fields = fields.filter(|fields| fields.len() == names.len());
                let named = names.into_iter().enumerate().map(|(index, name)| {
                    let flow = fields.map_or_else(|| whole.clone(), |fields| fields[index].flow.clone());
                    Named { name, flow }
                });
                Returned::Row(named.collect())
            }
            ResultNames::Unknown => Returned::Unknown(whole),
        }
    }

    /// As many rows as a computed argument says tell its value to whoever counts them.
    fn counts(&mut self, arguments: &[Flow], call: &Call<'_>) {
        let sized = arguments.iter().zip(&call.sized).filter(|(_, is_sized)| **is_sized).map(|(flow, _)| flow);
        let sized = Flow::derived(sized);
        self.sink("the number of rows", &Flow::constant(), &sized);
        // A pattern that a stored value has to match says as much as a condition would.
        self.used(&Flow::derived(arguments), Some(Usage::Filtered));
    }

    /// What a function of the server tells of its arguments beyond its result.
    fn computed_by(&mut self, name: &str, arguments: &[Flow]) {
        let told = match arguments {
            _ if golden::TOTAL.contains(&name) => return,
            [_, rest @ ..] if golden::TOTAL_IN_FIRST.contains(&name) => rest,
            all => all,
        };
        self.computed(&Flow::derived(told));
    }

    fn is_plain_type(&self, oid: u32) -> bool {
        let Some(name) = self.catalog.type_name(oid) else { return false };
        let element = name.strip_prefix('_').unwrap_or(name);
        BASE_TYPES.contains(&element) && self.catalog.row_type(oid).is_none()
    }

    /// Whether a value is a column as it is, of a type that is no row and holds none.
    pub(super) fn is_plain_column(&self, flow: &Flow) -> bool {
        let Origins::One(id) = &flow.origins else { return false };
        let columns = &self.catalog.relation(id.relation).columns;
        flow.fields.is_none()
            && flow.certainty == Certainty::Exact
            && columns.get(id.column as usize).is_some_and(|column| self.is_plain_type(column.type_oid))
    }

    /// Whether a value is known to be neither a row nor an array of rows nor a text search vector.
    fn is_plain(&self, node: Node<'a>, flow: &Flow) -> bool {
        let is_plain_type = |oid: u32| self.is_plain_type(oid);
        match node {
            Node::A_Const(_) => true,
            Node::TypeCast(cast) => cast.type_name().is_some_and(|name| {
                let names: Vec<&str> = name.names().iter().filter_map(|name| name.sval()).collect();
                let (schema, name) = qualified(&names);
                self.catalog.type_oid(schema, self.path, name).is_some_and(is_plain_type)
            }),
            Node::ColumnRef(_) => self.is_plain_column(flow),
            Node::A_ArrayExpr(array) => array.elements().iter().all(|element| match element {
                // Its flow is not at hand; a bare name may be a row.
                Node::ColumnRef(_) => false,
                element => self.is_plain(element, &Flow::constant()),
            }),
            Node::A_Expr(expr) => {
                self.is_plain(expr.rexpr(), &Flow::constant()) && matches!(expr.rexpr(), Node::A_Const(_))
            }
            Node::SubLink(link) => self.plain_arrays.contains(&std::ptr::from_ref(link)),
            Node::FuncCall(call) => {
                let candidates = self.candidates(&strings(call.funcname()), call.args().len());
                !candidates.is_empty()
                    && candidates
                        .iter()
                        .all(|function| function.outputs.len() <= 1 && is_plain_type(function.return_type))
            }
            _ => false,
        }
    }

    fn result_names(
        &self,
        function: &Function,
        arguments: &[Flow],
        call: &Call<'_>,
        defined: &[Arc<str>],
    ) -> ResultNames {
        if !defined.is_empty() {
            return ResultNames::Row(defined.to_vec());
        }
        if function.outputs.len() > 1 {
            let names = function.outputs.iter().enumerate().map(|(index, (name, _))| {
                if name.is_empty() { format!("column{}", index + 1).into() } else { Arc::clone(name) }
            });
            return ResultNames::Row(names.collect());
        }
        let row_of = |type_oid: u32| {
            let relation = self.catalog.row_type(type_oid)?;
            Some(ResultNames::Row(relation.columns.iter().map(|column| Arc::clone(&column.name)).collect()))
        };
        if function.return_type == RECORD && function.outputs.is_empty() {
            return ResultNames::Unknown;
        }
        if POLYMORPHIC.contains(&function.return_type) {
            let same_as_first = arguments
                .first()
                .and_then(|first| first.fields.as_ref())
                .map(|fields| ResultNames::Row(fields.iter().map(|field| Arc::clone(&field.name)).collect()));
            let by_type = || call.types.first().copied().flatten().and_then(row_of);
            let otherwise = || match call.plain.iter().all(|&is_plain| is_plain) {
                true => ResultNames::Scalar,
                // It may be a row of anything.
                false => ResultNames::Unknown,
            };
            return same_as_first.or_else(by_type).unwrap_or_else(otherwise);
        }
        row_of(function.return_type).unwrap_or(ResultNames::Scalar)
    }

    /// Functions of that name that take so many arguments.
    pub(super) fn candidates(&self, names: &[&str], count: usize) -> Vec<&'a Function> {
        let (schema, name) = qualified(names);
        let schema = schema.map(|schema| self.real_schema(schema));
        let takes = |function: &Function| {
            let most = function.arguments.len();
            let least = most.saturating_sub(function.defaults + usize::from(function.is_variadic));
            count >= least && (count <= most || function.is_variadic)
        };
        let is_visible = |function: &Function| match schema {
            Some(schema) => *function.schema == *schema,
            None => self.path.iter().any(|own| **own == *function.schema),
        };
        self.catalog.functions_named(name).iter().filter(|f| takes(f) && is_visible(f)).collect()
    }

    pub(super) fn uses_function(&mut self, name: &str, is_known: bool) {
        if !self.found.functions.iter().any(|known| *known.name == *name) {
            self.found.functions.push(FunctionUse { name: name.into(), is_known });
        }
    }

    /// What a volatile function of the server keeps elsewhere is a way out for values.
    fn harmless(&mut self, function: &Function, call: &Call<'_>, derived: &Flow) {
        self.sink(format!("function {}()", function.name), &Flow::constant(), derived);
        match &*function.name {
            "set_config" => {
                let constant = |index: usize| call.constants.get(index).cloned().flatten();
                let (name, value, local) = (constant(0), constant(1), constant(2));
                let (Some(name), Some(value)) = (name, value) else {
                    self.construct("set_config() with anything but constants", None, Reach::Anything);
                    return;
                };
                self.effect(Effect::Session);
                let name: Arc<str> = name.to_ascii_lowercase().into();
                let local = local.is_some_and(|local| matches!(&*local, "true" | "t" | "1" | "on" | "yes"));
                super::session::note_setting(self, name, SetValue::Constant(vec![value]), local);
            }
            "pg_notify" => {
                self.effect(Effect::Session);
                self.found.session.push(SessionEffect::Notify);
            }
            "nextval" | "setval" => self.effect(Effect::Read),
            // They end what others do.
            "pg_cancel_backend" | "pg_terminate_backend" => self.effect(Effect::Unknown),
            _ => {}
        }
    }

    /// A procedure that CALL names.
    pub(super) fn procedures(&self, names: &[&str], count: usize) -> Vec<&'a Function> {
        // OUT arguments are written out in CALL, so any number may be given.
        let (schema, name) = qualified(names);
        let is_visible = |function: &Function| match schema {
            Some(schema) => *function.schema == *schema,
            None => self.path.iter().any(|own| **own == *function.schema),
        };
        let all = self.catalog.functions_named(name).iter();
        all.filter(|f| f.kind == FunctionKind::Procedure && is_visible(f) && f.arguments.len() <= count + f.defaults)
            .collect()
    }
}

enum ResultNames {
    Scalar,
    Row(Vec<Arc<str>>),
    Unknown,
}

/// Pseudo-types, whose OIDs never change.
const RECORD: u32 = 2249;
/// anyelement, anynonarray, anyenum, anycompatible, anycompatiblenonarray.
const POLYMORPHIC: [u32; 5] = [2283, 2776, 3500, 5077, 5079];

/// Types of the server's own that are no rows and hold none.
const BASE_TYPES: [&str; 30] = [
    "bit",
    "bool",
    "bpchar",
    "bytea",
    "char",
    "cidr",
    "date",
    "float4",
    "float8",
    "inet",
    "int2",
    "int4",
    "int8",
    "interval",
    "json",
    "jsonb",
    "macaddr",
    "money",
    "name",
    "numeric",
    "oid",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "uuid",
    "varbit",
    "varchar",
    "xml",
];

/// Whether the text itself says how many elements there are, or a stored value does: not one computed of others.
fn has_own_size(node: Node<'_>) -> bool {
    match node {
        Node::ColumnRef(_) | Node::A_Const(_) | Node::ParamRef(_) | Node::A_ArrayExpr(_) => true,
        Node::TypeCast(cast) => has_own_size(cast.arg()),
        // As many as there are rows.
        Node::SubLink(link) => link.sub_link_type == raw::SubLinkType::ARRAY_SUBLINK,
        Node::A_Expr(expr) => {
            let operator = expr.name().iter().filter_map(|name| name.as_str()).next_back();
            matches!(operator, Some("->" | "->>" | "#>" | "#>>"))
                && has_own_size(expr.lexpr())
                && has_own_size(expr.rexpr())
        }
        Node::FuncCall(call) => {
            let name = strings(call.funcname()).last().copied();
            matches!(name, Some("string_to_array" | "regexp_split_to_array" | "to_json" | "to_jsonb"))
                && call.args().iter().all(has_own_size)
        }
        _ => false,
    }
}

/// What any of two overloads returns.
fn any_of(one: Returned, two: Returned) -> Returned {
    match (one, two) {
        (Returned::Scalar(one), Returned::Scalar(two)) => {
            if one.is_like(&two) {
                Returned::Scalar(one)
            } else {
                Returned::Scalar(Flow::derived([&one, &two]))
            }
        }
        (Returned::Row(one), Returned::Row(two)) if one.len() == two.len() => {
            let both = one.iter().zip(two.iter()).map(|(one, two)| Named {
                name: Arc::clone(&one.name),
                flow: if one.flow.is_like(&two.flow) {
                    one.flow.clone()
                } else {
                    Flow::derived([&one.flow, &two.flow])
                },
            });
            Returned::Row(both.collect())
        }
        (one, two) => Returned::Unknown(Flow::derived([&whole(one), &whole(two)])),
    }
}

fn whole(returned: Returned) -> Flow {
    match returned {
        Returned::Scalar(flow) | Returned::Unknown(flow) => flow,
        Returned::Row(fields) => Flow::row(fields),
    }
}

/// The text of a constant, also under a cast.
pub(super) fn constant_text(node: Node<'_>) -> Option<Arc<str>> {
    match node {
        Node::A_Const(constant) => Some(match constant.val()? {
            ConstValue::Integer(number) => number.to_string().into(),
            ConstValue::Boolean(value) => value.to_string().into(),
            ConstValue::Float(text) | ConstValue::String(text) | ConstValue::BitString(text) => text.into(),
            _ => return None,
        }),
        Node::TypeCast(cast) => match cast.arg() {
            node @ Node::A_Const(_) => constant_text(node),
            _ => None,
        },
        _ => None,
    }
}
