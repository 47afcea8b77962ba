//! SQL-language functions: their bodies are walked with what the call hands in.

use std::borrow::Cow;
use std::sync::Arc;

use pg_raw_parse::Node;
use pg_raw_parse::nodes::CreateFunctionStmt;

use super::functions::Call;
use super::{Active, Columns, Walker};
use crate::analysis::{Reach, SessionEffect};
use crate::catalog::Function;
use crate::fingerprint::Tokens;
use crate::limits::{EXPANSION_DEPTH, Walk};
use crate::lineage::{Flow, Named, Origins};

impl<'a> Walker<'a> {
    /// The columns that the body of a SQL function returns.
    pub(super) fn expand(&mut self, function: &'a Function, values: &[Flow], call: &Call<'_>) -> Walk<Columns> {
        let name = format!("{}.{}", function.schema, function.name);
        let active = Active::Function(format!("{name}/{}", function.arguments.len()).into());
        let definition = function.definition.as_deref().unwrap_or_default();
        let is_too_deep = self.active.len() >= EXPANSION_DEPTH || self.active.contains(&active);
        self.budget.spend(definition.len())?;
        let definition = with_names(definition);
        let parsed = if is_too_deep { None } else { pg_raw_parse::parse(&definition).ok() };
        let body = parsed.as_ref().and_then(|parsed| match parsed.stmts().next() {
            Some(Node::CreateFunctionStmt(create)) => Some(create),
            _ => None,
        });
        let body = body.filter(|body| !sets_other_than_path(body));
        let (Some(body), Some(path)) = (body, self.path_of(function)) else {
            return Ok(self.not_expanded(&name, values));
        };

        let mut inner = Walker {
            depth: self.depth,
            active: [&self.active[..], &[active]].concat(),
            arguments: arguments(function, values, call),
            ..Walker::new(self.catalog, path, self.budget, self.depth_max)
        };
        inner.fill_in_defaults(body)?;
        let columns = inner.body(body)?;
        let mut found = std::mem::take(&mut inner.found);
        // What the body names lies beneath the call.
        found.named.clear();
        let has_names = !found.reached.is_empty() || found.calls_own() || !self.has_usual_path();
        found.is_late |= function.path.is_none() && has_names && matches!(body.sql_body(), Node::None);
        let changes_session = !found.session.is_empty();
        found.session.clear();
        if changes_session {
            // Whether it is run, and when, is not known.
            self.construct(
                format!("function {name}(), which changes the session"),
                Some(name.as_str().into()),
                Reach::Anything,
            );
            found.session.push(SessionEffect::Unfollowed);
        }
        self.found.absorb(found);
        match columns {
            Some(columns) => Ok(columns),
            None => Ok(self.not_expanded(&name, values)),
        }
    }

    /// The schemas that the body's names are looked up in; none if nobody can say. A path of its own leaves out where the
    /// session's temporary tables come in.
    pub(super) fn path_of(&self, function: &'a Function) -> Option<&'a [String]> {
        let Some(path) = &function.path else { return Some(self.late_path) };
        let has_temporary = self.late_path.iter().any(|schema| schema.starts_with("pg_temp_"));
        let is_clear = !has_temporary && !path.iter().any(|schema| schema.contains('$'));
        is_clear.then_some(path)
    }

    /// Whether the server's own functions come before all others: then a function that calls nothing else means the same in
    /// each session.
    pub(super) fn has_usual_path(&self) -> bool {
        let first = self.late_path.iter().find(|schema| !schema.starts_with("pg_temp_"));
        first.is_none_or(|schema| schema == "pg_catalog")
    }

    /// What the call does not hand in has the value of its default.
    fn fill_in_defaults(&mut self, function: &'a CreateFunctionStmt) -> Walk<()> {
        let mut defaults = Vec::new();
        for parameter in function.parameters() {
            defaults.push(self.framed(None, |walker| walker.expression(parameter.defexpr()))?);
        }
        let any = Flow::derived(&defaults);
        if any.origins != Origins::None || !any.constructs.is_empty() {
            for argument in &mut self.arguments {
                argument.flow = Flow::derived([&argument.flow, &any]);
            }
        }
        Ok(())
    }

    fn not_expanded(&mut self, name: &str, values: &[Flow]) -> Columns {
        let what = format!("function {name}()");
        let unknown = self.construct(what, Some(name.into()), Reach::Anything);
        Columns::Any(Box::new(Flow::derived(values.iter().chain([&unknown]))))
    }

    /// The columns of the last statement; none where the body could not be read.
    fn body(&mut self, function: &'a CreateFunctionStmt) -> Walk<Option<Columns>> {
        match function.sql_body() {
            Node::None => {}
            Node::ReturnStmt(statement) => {
                let flow = self.framed(None, |walker| walker.expression(statement.returnval()))?;
                return Ok(Some(one_column(flow)));
            }
            // BEGIN ATOMIC: a list that holds the list of statements.
            Node::NodeList(list) => {
                let mut last = Some(Columns::List(Arc::from([])));
                for node in list {
                    match node {
                        Node::NodeList(statements) => {
                            for statement in statements {
                                last = self.body_statement(statement)?;
                            }
                        }
                        statement => last = self.body_statement(statement)?,
                    }
                }
                return Ok(last);
            }
            statement => return self.body_statement(statement),
        }
        let Some(text) = text_of_body(function) else { return Ok(None) };
        self.budget.spend(text.len())?;
        let Ok(parsed) = pg_raw_parse::parse(text) else { return Ok(None) };
        let mut inner = Walker {
            depth: self.depth,
            active: self.active.clone(),
            arguments: self.arguments.clone(),
            ..Walker::new(self.catalog, self.path, self.budget, self.depth_max)
        };
        let mut last = Some(Columns::List(Arc::from([])));
        for statement in parsed.stmts() {
            last = inner.body_statement(statement)?;
        }
        let found = std::mem::take(&mut inner.found);
        self.found.absorb(found);
        Ok(last)
    }

    fn body_statement(&mut self, node: Node<'a>) -> Walk<Option<Columns>> {
        match node {
            Node::SelectStmt(_)
            | Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_) => self.query(node, None).map(Some),
            Node::ReturnStmt(statement) => {
                let flow = self.framed(None, |walker| walker.expression(statement.returnval()))?;
                Ok(Some(one_column(flow)))
            }
            other => {
                self.deeper(|walker| walker.statement(other))?;
                Ok(None)
            }
        }
    }

    /// Walks a function definition as if it were called, for what its body does and lets out.
    pub(super) fn definition_body(&mut self, function: &'a CreateFunctionStmt) -> Walk<Option<Columns>> {
        let parameters = function.parameters().iter();
        let arguments: Vec<Named> = parameters
            .map(|parameter| Named { name: parameter.name().unwrap_or_default().into(), flow: Flow::constant() })
            .collect();
        if sets_other_than_path(function) {
            self.construct("a setting of the function other than search_path", None, Reach::Anything);
        }
        let outer = std::mem::replace(&mut self.arguments, arguments);
        self.fill_in_defaults(function)?;
        let columns = self.body(function);
        self.arguments = outer;
        let columns = columns?;
        if columns.is_none() {
            self.construct("the body of the function", None, Reach::Anything);
        }
        Ok(columns)
    }
}

/// Whether it runs under settings that change what texts mean, or what they tell.
fn sets_other_than_path(function: &CreateFunctionStmt) -> bool {
    function.options().iter().filter(|option| option.defname() == Some("set")).any(|option| match option.arg() {
        Node::VariableSetStmt(set) => set.name() != Some("search_path"),
        _ => true,
    })
}

fn one_column(flow: Flow) -> Columns {
    Columns::List(Arc::from([Named { name: "?column?".into(), flow }]))
}

/// The text between AS and the end.
fn text_of_body(function: &CreateFunctionStmt) -> Option<&str> {
    function.options().iter().find(|option| option.defname() == Some("as")).and_then(|option| match option.arg() {
        Node::NodeList(list) => list.iter().next().and_then(Node::as_str),
        Node::String(text) => text.sval(),
        _ => None,
    })
}

/// What stands for arguments without a name in [`with_names`].
const UNNAMED: &str = "an argument";

/// The server writes an argument that has no name among others that have as `""`, which no grammar takes.
fn with_names(definition: &str) -> Cow<'_, str> {
    if !definition.contains("\"\"") {
        return Cow::Borrowed(definition);
    }
    let mut named = String::with_capacity(definition.len());
    let mut end = 0;
    for token in Tokens::new(definition).filter(|token| token.text == "\"\"") {
        named.push_str(definition.get(end..token.start).unwrap_or_default());
        named.push_str(&format!("\"{UNNAMED}\""));
        end = token.start + token.text.len();
    }
    named.push_str(definition.get(end..).unwrap_or_default());
    Cow::Owned(named)
}

/// The function's arguments in its own order, under its own names.
fn arguments(function: &Function, values: &[Flow], call: &Call<'_>) -> Vec<Named> {
    let count = function.arguments.len().max(values.len());
    let name_of = |index: usize| function.argument_names.get(index).cloned().unwrap_or_else(|| "".into());
    let mut named: Vec<Named> =
        (0..count).map(|index| Named { name: name_of(index), flow: Flow::constant() }).collect();
    for (index, value) in values.iter().enumerate() {
        let label = call.labels.get(index).copied().flatten();
        let place = match label {
            Some(label) => named.iter().position(|argument| *argument.name == *label),
            None => Some(index),
        };
        match place.and_then(|place| named.get_mut(place)) {
            Some(argument) => argument.flow = value.clone(),
            // A label that no argument has: the server refuses the call.
            None => continue,
        }
    }
    // What a variadic argument gathers is made of all that is left.
    if function.is_variadic && values.len() > function.arguments.len() {
        let last = function.arguments.len().saturating_sub(1);
        let gathered = Flow::derived(&values[last..]);
        named.truncate(function.arguments.len());
        if let Some(argument) = named.last_mut() {
            argument.flow = gathered;
        }
    }
    let unnamed =
        Flow::derived(named.iter().filter(|argument| argument.name.is_empty()).map(|argument| &argument.flow));
    named.push(Named { name: UNNAMED.into(), flow: unnamed });
    named
}
