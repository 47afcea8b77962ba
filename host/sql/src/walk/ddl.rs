//! Definitions and privileges: what they name, what they keep, and what a masked session must not define.

use grille_policy::{Access, Effect, Filter, RelationName, Usage, Write};
use pg_raw_parse::list::NodeList;
use pg_raw_parse::nodes::{
    AlterTableStmt, CommentStmt, CreateFunctionStmt, DropStmt, GrantStmt, RangeVar, RenameStmt, RuleStmt, ViewStmt,
};
use pg_raw_parse::{Node, raw};

use super::names::{qualified, strings};
use super::{Columns, Walker};
use crate::analysis::Reach;
use crate::catalog::{Events, is_system_schema};
use crate::limits::Walk;
use crate::lineage::{Flow, Named};

impl<'a> Walker<'a> {
    /// Walks a statement that is no query, and gives its command.
    pub(super) fn definition(&mut self, node: Node<'a>) -> Walk<&'static str> {
        self.effect(Effect::Ddl);
        self.on_definitions();
        match node {
            Node::ViewStmt(view) => self.view(view),
            Node::CreateStmt(create) => self.create_table(create),
            Node::AlterTableStmt(alter) => self.alter_table(alter),
            Node::CreateFunctionStmt(function) => self.create_function(function),
            Node::RuleStmt(rule) => self.create_rule(rule),
            Node::RenameStmt(rename) => Ok(self.rename(rename)),
            Node::DropStmt(drop) => Ok(self.drop(drop)),
            Node::GrantStmt(grant) => Ok(self.grant(grant)),
            Node::CommentStmt(comment) => Ok(self.comment(comment)),
            Node::IndexStmt(index) => {
                if let Some(range) = index.relation() {
                    let columns = self.changed(range)?;
                    self.on_row(range, columns, |walker| {
                        for element in index.index_params() {
                            walker.expression(element.expr())?;
                        }
                        walker.expression(index.where_clause())
                    })?;
                }
                Ok("CREATE INDEX")
            }
            Node::TruncateStmt(truncate) => self.truncate(truncate.relations()),
            Node::CreateTrigStmt(trigger) => {
                if let Some(range) = trigger.relation() {
                    self.changed(range)?;
                    // The trigger's function sees whole rows.
                    self.relabels(range, "a trigger on");
                }
                Ok("CREATE TRIGGER")
            }
            Node::CreatePolicyStmt(policy) => {
                self.row_policy(policy.table(), policy.qual(), policy.with_check(), "CREATE POLICY")
            }
            Node::AlterPolicyStmt(policy) => {
                self.row_policy(policy.table(), policy.qual(), policy.with_check(), "ALTER POLICY")
            }
            Node::AlterObjectSchemaStmt(statement) => {
                if let Some(range) = statement.relation() {
                    self.changed(range)?;
                    self.relabels(range, "moving");
                }
                if matches!(
                    statement.object_type,
                    raw::ObjectType::OBJECT_TYPE
                        | raw::ObjectType::OBJECT_DOMAIN
                        | raw::ObjectType::OBJECT_FUNCTION
                        | raw::ObjectType::OBJECT_PROCEDURE
                        | raw::ObjectType::OBJECT_ROUTINE
                ) {
                    // Policies and settings know these by their names.
                    self.restrict_definition("moving a type or a function");
                }
                Ok("ALTER")
            }
            Node::CreateStatsStmt(statistics) => {
                for node in statistics.relations() {
                    let columns = self.changed(node)?;
                    self.on_row(node, columns, |walker| {
                        statistics.exprs().iter().try_for_each(|part| match part {
                            Node::StatsElem(part) => walker.expression(part.expr()).map(drop),
                            _ => Ok(()),
                        })
                    })?;
                }
                Ok("CREATE STATISTICS")
            }
            Node::CreateDomainStmt(domain) => {
                for constraint in domain.constraints() {
                    self.domain_element(Node::Constraint(constraint))?;
                }
                Ok("CREATE DOMAIN")
            }
            Node::AlterDomainStmt(domain) => {
                self.domain_element(domain.def())?;
                Ok("ALTER DOMAIN")
            }
            node => Ok(self.plain_definition(node)),
        }
    }

    /// A default or check of a domain; VALUE is what it stands for.
    fn domain_element(&mut self, node: Node<'a>) -> Walk<()> {
        self.in_clause(None, |walker| {
            walker.framed(None, |walker| {
                let value = Named { name: "value".into(), flow: Flow::constant() };
                walker.show(vec![super::Item::list(None, [value])]);
                match node {
                    Node::Constraint(_) => walker.table_element(node),
                    node => walker.kept(node, "the default of a domain"),
                }
            })
        })
    }

    /// Definitions that keep no values. Those that could bring in code, other servers or other rights are refused in
    /// masked sessions, whatever they are made of.
    fn plain_definition(&mut self, node: Node<'a>) -> &'static str {
        let privilege = |walker: &mut Self, kind| {
            walker.effect(Effect::Privilege);
            kind
        };
        let refused = |walker: &mut Self, kind| {
            walker.restrict_definition(kind);
            kind
        };
        match node {
            Node::CreateSchemaStmt(schema) => {
                if !schema.schema_elts().is_empty() {
                    self.construct("CREATE SCHEMA with elements", None, Reach::Anything);
                }
                "CREATE SCHEMA"
            }
            Node::CreateSeqStmt(sequence) => self.sequence(sequence.sequence(), "CREATE SEQUENCE"),
            Node::AlterSeqStmt(sequence) => self.sequence(sequence.sequence(), "ALTER SEQUENCE"),
            Node::CreateEnumStmt(_) | Node::CompositeTypeStmt(_) | Node::CreateRangeStmt(_) => "CREATE TYPE",
            Node::AlterEnumStmt(_) | Node::AlterTypeStmt(_) => "ALTER TYPE",
            Node::AlterStatsStmt(_) => "ALTER STATISTICS",
            Node::AlterOwnerStmt(_) => privilege(self, "ALTER OWNER"),
            Node::AlterObjectDependsStmt(_) => "ALTER",
            Node::AlterFunctionStmt(_) => refused(self, "ALTER FUNCTION"),
            Node::DefineStmt(define) => match define.kind {
                raw::ObjectType::OBJECT_COLLATION => "CREATE COLLATION",
                raw::ObjectType::OBJECT_TYPE => "CREATE TYPE",
                raw::ObjectType::OBJECT_AGGREGATE => refused(self, "CREATE AGGREGATE"),
                raw::ObjectType::OBJECT_OPERATOR => refused(self, "CREATE OPERATOR"),
                _ => refused(self, "CREATE TEXT SEARCH"),
            },
            Node::AlterCollationStmt(_) => "ALTER COLLATION",
            Node::CreateCastStmt(_) => refused(self, "CREATE CAST"),
            Node::CreateConversionStmt(_) => refused(self, "CREATE CONVERSION"),
            Node::CreateTransformStmt(_) => refused(self, "CREATE TRANSFORM"),
            Node::CreateOpClassStmt(_) | Node::CreateOpFamilyStmt(_) => refused(self, "CREATE OPERATOR CLASS"),
            Node::AlterOpFamilyStmt(_) => refused(self, "ALTER OPERATOR FAMILY"),
            Node::AlterOperatorStmt(_) => refused(self, "ALTER OPERATOR"),
            Node::AlterTSDictionaryStmt(_) | Node::AlterTSConfigurationStmt(_) => refused(self, "ALTER TEXT SEARCH"),
            Node::CreateExtensionStmt(_) => refused(self, "CREATE EXTENSION"),
            Node::AlterExtensionStmt(_) | Node::AlterExtensionContentsStmt(_) => refused(self, "ALTER EXTENSION"),
            Node::CreateFdwStmt(_) => refused(self, "CREATE FOREIGN DATA WRAPPER"),
            Node::AlterFdwStmt(_) => refused(self, "ALTER FOREIGN DATA WRAPPER"),
            Node::CreateForeignServerStmt(_) => refused(self, "CREATE SERVER"),
            Node::AlterForeignServerStmt(_) => refused(self, "ALTER SERVER"),
            Node::CreateUserMappingStmt(_) => refused(self, "CREATE USER MAPPING"),
            Node::AlterUserMappingStmt(_) => refused(self, "ALTER USER MAPPING"),
            Node::DropUserMappingStmt(_) => refused(self, "DROP USER MAPPING"),
            Node::ImportForeignSchemaStmt(_) => refused(self, "IMPORT FOREIGN SCHEMA"),
            Node::CreateAmStmt(_) => refused(self, "CREATE ACCESS METHOD"),
            Node::CreatePLangStmt(_) => refused(self, "CREATE LANGUAGE"),
            Node::CreateEventTrigStmt(_) => refused(self, "CREATE EVENT TRIGGER"),
            Node::AlterEventTrigStmt(_) => refused(self, "ALTER EVENT TRIGGER"),
            Node::CreatePublicationStmt(_) => refused(self, "CREATE PUBLICATION"),
            Node::AlterPublicationStmt(_) => refused(self, "ALTER PUBLICATION"),
            Node::CreateSubscriptionStmt(_) => refused(self, "CREATE SUBSCRIPTION"),
            Node::AlterSubscriptionStmt(_) => refused(self, "ALTER SUBSCRIPTION"),
            Node::DropSubscriptionStmt(_) => "DROP SUBSCRIPTION",
            Node::LoadStmt(_) => {
                self.effect(Effect::Unknown);
                self.construct("LOAD", None, Reach::Anything);
                refused(self, "LOAD")
            }
            Node::SecLabelStmt(_) => refused(self, "SECURITY LABEL"),
            Node::AlterSystemStmt(_) => {
                self.effect(Effect::Privilege);
                refused(self, "ALTER SYSTEM")
            }
            Node::AlterDatabaseSetStmt(_) => refused(self, "ALTER DATABASE SET"),
            Node::AlterRoleSetStmt(_) => {
                self.effect(Effect::Privilege);
                refused(self, "ALTER ROLE SET")
            }
            Node::CreateRoleStmt(_) => privilege(self, "CREATE ROLE"),
            Node::AlterRoleStmt(_) => privilege(self, "ALTER ROLE"),
            Node::DropRoleStmt(_) => privilege(self, "DROP ROLE"),
            Node::GrantRoleStmt(grant) => privilege(self, if grant.is_grant { "GRANT" } else { "REVOKE" }),
            Node::AlterDefaultPrivilegesStmt(_) => privilege(self, "ALTER DEFAULT PRIVILEGES"),
            Node::DropOwnedStmt(_) => privilege(self, "DROP OWNED"),
            Node::ReassignOwnedStmt(_) => privilege(self, "REASSIGN OWNED"),
            Node::CreatedbStmt(_) => "CREATE DATABASE",
            Node::AlterDatabaseStmt(_) | Node::AlterDatabaseRefreshCollStmt(_) => "ALTER DATABASE",
            Node::DropdbStmt(_) => "DROP DATABASE",
            Node::CreateTableSpaceStmt(_) => refused(self, "CREATE TABLESPACE"),
            Node::DropTableSpaceStmt(_) => "DROP TABLESPACE",
            Node::AlterTableSpaceOptionsStmt(_) => "ALTER TABLESPACE",
            Node::AlterTableMoveAllStmt(_) => "ALTER TABLE",
            node => self.upkeep(node),
        }
    }

    /// What keeps tables in shape and changes no definition.
    fn upkeep(&mut self, node: Node<'a>) -> &'static str {
        match node {
            Node::VacuumStmt(vacuum) => {
                for relation in vacuum.rels() {
                    self.touch(relation.relation());
                }
                self.found.reaches_all |= vacuum.rels().is_empty();
                if vacuum.is_vacuumcmd { "VACUUM" } else { "ANALYZE" }
            }
            Node::ClusterStmt(cluster) => {
                self.touch(cluster.relation());
                self.found.reaches_all |= cluster.relation().is_none();
                "CLUSTER"
            }
            Node::ReindexStmt(reindex) => {
                if reindex.kind == raw::ReindexObjectType::REINDEX_OBJECT_TABLE {
                    self.touch(reindex.relation());
                } else {
                    // A duplicate key would be quoted.
                    self.found.reaches_all = true;
                }
                "REINDEX"
            }
            Node::RefreshMatViewStmt(refresh) => {
                self.touch(refresh.relation());
                "REFRESH MATERIALIZED VIEW"
            }
            Node::LockStmt(lock) => {
                // A lock is no definition.
                self.found.effects.retain(|effect| *effect != Effect::Ddl);
                self.effect(Effect::Session);
                for node in lock.relations() {
                    if let Node::RangeVar(range) = node {
                        let name = self.relation_name(range);
                        self.named(name, Access::Read);
                    }
                }
                "LOCK TABLE"
            }
            Node::CheckPointStmt(_) => "CHECKPOINT",
            other => {
                self.effect(Effect::Unknown);
                let what = super::expr::describe(other).replace("an expression", "a statement");
                self.construct(what, None, Reach::Anything);
                "UNKNOWN"
            }
        }
    }

    fn restrict_definition(&mut self, kind: &str) {
        let message = format!("{kind} is refused in a masked session: what it defines cannot be followed");
        self.restrict("definition", message);
    }

    fn sequence(&mut self, range: Option<&'a RangeVar>, kind: &'static str) -> &'static str {
        self.touch(range);
        kind
    }

    fn touch(&mut self, range: Option<&'a RangeVar>) {
        if let Some(range) = range {
            let name = self.relation_name(range);
            self.named(name, Access::Write);
            if let Some(id) = self.relation_id(range) {
                self.found.reached.push(id);
            }
        }
    }

    /// A relation whose definition changes, with the columns of its rows.
    fn changed(&mut self, range: &'a RangeVar) -> Walk<Columns> {
        self.touch(Some(range));
        match self.relation_id(range) {
            Some(id) => {
                // Rows that are there may be computed anew.
                self.checks(id)?;
                self.relation_columns(id)
            }
            None => Ok(Columns::List(std::sync::Arc::from([]))),
        }
    }

    /// Walks expressions over a row of the relation.
    fn on_row<T>(&mut self, range: &'a RangeVar, columns: Columns, walk: impl FnOnce(&mut Self) -> Walk<T>) -> Walk<T> {
        let relation = self.relation_id(range);
        self.in_clause(None, |walker| {
            walker.framed(None, |walker| {
                walker.show(vec![super::Item {
                    name: range.relname(),
                    relation,
                    is_aliased: false,
                    columns,
                    shows_columns: true,
                    is_target: false,
                    is_renamed: false,
                }]);
                walk(walker)
            })
        })
    }

    /// An expression whose value is kept where nobody masks it.
    pub(super) fn kept(&mut self, node: Node<'a>, place: &str) -> Walk<()> {
        let flow = self.expression(node)?;
        self.sink(place, &Flow::constant(), &flow);
        Ok(())
    }

    fn relabels(&mut self, range: &RangeVar, what: &'static str) {
        let name = self.relation_name(range);
        self.found.relabelled.push((name, what));
    }

    fn view(&mut self, view: &'a ViewStmt) -> Walk<&'static str> {
        let columns = self.query(view.query(), Some(Usage::Projected))?;
        if let Some(range) = view.view() {
            let place = self.new_relation("view", range);
            self.keeps_columns(&place, &columns);
        }
        Ok("CREATE VIEW")
    }

    fn alter_table(&mut self, alter: &'a AlterTableStmt) -> Walk<&'static str> {
        use raw::AlterTableType as Change;
        let Some(range) = alter.relation() else { return Ok("ALTER TABLE") };
        let columns = self.changed(range)?;
        for node in alter.cmds() {
            let Node::AlterTableCmd(change) = node else { continue };
            match change.subtype {
                // These leave name, type and values of each column as they are.
                Change::AT_AddIndex
                | Change::AT_ValidateConstraint
                | Change::AT_DropConstraint
                | Change::AT_AlterConstraint
                | Change::AT_DropNotNull
                | Change::AT_SetNotNull
                | Change::AT_SetStatistics
                | Change::AT_SetOptions
                | Change::AT_ResetOptions
                | Change::AT_SetStorage
                | Change::AT_SetCompression
                | Change::AT_ClusterOn
                | Change::AT_DropCluster
                | Change::AT_SetLogged
                | Change::AT_SetUnLogged
                | Change::AT_SetTableSpace
                | Change::AT_SetRelOptions
                | Change::AT_ResetRelOptions
                | Change::AT_AddIdentity
                | Change::AT_SetIdentity
                | Change::AT_DropIdentity
                | Change::AT_ReplicaIdentity => {}
                Change::AT_DropColumn => {
                    // A child may keep its own column of that name, and is protected by it no more.
                    let has_children = |id| !self.catalog.relation(id).children.is_empty();
                    if self.relation_id(range).is_some_and(has_children) {
                        self.relabels(range, "dropping a column of a parent");
                    }
                }
                Change::AT_ChangeOwner => self.effect(Effect::Privilege),
                Change::AT_AddColumn | Change::AT_ColumnDefault | Change::AT_AddConstraint => {
                    let columns = columns.clone();
                    let is_generated = generates(change.def());
                    self.on_row(range, columns, |walker| match change.def() {
                        node @ (Node::ColumnDef(_) | Node::Constraint(_)) => walker.table_element(node),
                        node => walker.kept(node, "the default of a column"),
                    })?;
                    if is_generated {
                        self.relabels(range, "a generated column of");
                    }
                    if is_key(change.def()) {
                        // Policies keep what links rows.
                        self.relabels(range, "a key of");
                    }
                }
                Change::AT_AlterColumnType => {
                    // USING computes new values for the rows that are there.
                    let columns = columns.clone();
                    if let Node::ColumnDef(column) = change.def() {
                        self.on_row(range, columns, |walker| {
                            walker.kept(column.raw_default(), "the column's new type")
                        })?;
                    }
                    self.relabels(range, "changing a column's type in");
                }
                _ => self.relabels(range, "this change of"),
            }
        }
        Ok(match alter.objtype {
            raw::ObjectType::OBJECT_VIEW => "ALTER VIEW",
            raw::ObjectType::OBJECT_MATVIEW => "ALTER MATERIALIZED VIEW",
            raw::ObjectType::OBJECT_INDEX => "ALTER INDEX",
            raw::ObjectType::OBJECT_SEQUENCE => "ALTER SEQUENCE",
            raw::ObjectType::OBJECT_FOREIGN_TABLE => "ALTER FOREIGN TABLE",
            raw::ObjectType::OBJECT_TYPE => "ALTER TYPE",
            _ => "ALTER TABLE",
        })
    }

    fn create_function(&mut self, function: &'a CreateFunctionStmt) -> Walk<&'static str> {
        let kind = if function.is_procedure { "CREATE PROCEDURE" } else { "CREATE FUNCTION" };
        let language = function.options().iter().find(|option| option.defname() == Some("language"));
        let language = language.and_then(|option| option.arg().as_str()).unwrap_or("sql");
        if !language.eq_ignore_ascii_case("sql") {
            self.restrict(
                "definition",
                format!(
                    "{kind} in {language} is refused in a masked session: its body cannot be followed; write it in SQL"
                ),
            );
            return Ok(kind);
        }
        if function.replace
            && let Some(relation) =
                strings(function.funcname()).last().and_then(|name| self.catalog.stores_result_of(name))
        {
            // What was stored by the old body would be taken for what the new one says.
            let message = format!("{kind} is refused in a masked session: {relation} stores what the old one returned");
            self.restrict("definition", message);
        }
        // What the body does is done when it is called; here only what it would let out counts.
        let outer = std::mem::take(&mut self.found);
        let walked = self.in_clause(None, |walker| walker.definition_body(function));
        let inner = std::mem::replace(&mut self.found, outer);
        let place = format!("function {}", strings(function.funcname()).join("."));
        if let Some(columns) = walked? {
            self.keeps_columns(&place, &columns);
        }
        self.found.uses.extend(inner.uses.into_iter().filter(|(_, usage)| *usage != Usage::Projected));
        self.found.sinks.extend(inner.sinks);
        self.found.reached.extend(inner.reached);
        self.found.constructs.extend(inner.constructs);
        self.found.missing.extend(inner.missing);
        Ok(kind)
    }

    fn create_rule(&mut self, rule: &'a RuleStmt) -> Walk<&'static str> {
        if let Some(range) = rule.relation() {
            self.touch(Some(range));
            self.relabels(range, "a rule on");
        }
        self.restrict_definition("CREATE RULE");
        Ok("CREATE RULE")
    }

    fn row_policy(
        &mut self,
        table: Option<&'a RangeVar>,
        qual: Node<'a>,
        check: Node<'a>,
        kind: &'static str,
    ) -> Walk<&'static str> {
        self.effect(Effect::Privilege);
        let Some(range) = table else { return Ok(kind) };
        let columns = self.changed(range)?;
        self.on_row(range, columns, |walker| {
            walker.expression(qual)?;
            walker.expression(check)
        })?;
        Ok(kind)
    }

    fn rename(&mut self, rename: &'a RenameStmt) -> &'static str {
        use raw::ObjectType as Object;
        if let Some(range) = rename.relation() {
            self.touch(Some(range));
            let is_harmless = matches!(
                rename.rename_type,
                Object::OBJECT_INDEX
                    | Object::OBJECT_SEQUENCE
                    | Object::OBJECT_TABCONSTRAINT
                    | Object::OBJECT_TRIGGER
                    | Object::OBJECT_POLICY
                    | Object::OBJECT_RULE
            );
            if !is_harmless {
                self.relabels(range, "renaming");
            }
        }
        if rename.rename_type == Object::OBJECT_SCHEMA {
            // Every relation of the schema gets another name.
            let schema = rename.subname().unwrap_or_default();
            let catalog = self.catalog;
            for relation in catalog.relations.iter().filter(|relation| *relation.schema == *schema) {
                self.found.relabelled.push((relation.full_name(), "renaming"));
            }
        }
        match rename.rename_type {
            Object::OBJECT_SCHEMA => "ALTER SCHEMA",
            Object::OBJECT_VIEW => "ALTER VIEW",
            Object::OBJECT_INDEX => "ALTER INDEX",
            Object::OBJECT_SEQUENCE => "ALTER SEQUENCE",
            Object::OBJECT_MATVIEW => "ALTER MATERIALIZED VIEW",
            Object::OBJECT_FUNCTION | Object::OBJECT_PROCEDURE | Object::OBJECT_ROUTINE | Object::OBJECT_AGGREGATE => {
                // A function that settings allow is known by its name.
                self.restrict_definition("ALTER FUNCTION");
                "ALTER FUNCTION"
            }
            Object::OBJECT_ROLE => {
                self.effect(Effect::Privilege);
                "ALTER ROLE"
            }
            Object::OBJECT_DATABASE => "ALTER DATABASE",
            Object::OBJECT_TYPE | Object::OBJECT_DOMAIN => {
                // Policies know columns by the names of their types, too.
                self.restrict_definition("renaming a type");
                "ALTER TYPE"
            }
            Object::OBJECT_ATTRIBUTE => "ALTER TYPE",
            _ => "ALTER TABLE",
        }
    }

    fn drop(&mut self, drop: &'a DropStmt) -> &'static str {
        use raw::ObjectType as Object;
        let is_relation = matches!(
            drop.remove_type,
            Object::OBJECT_TABLE
                | Object::OBJECT_VIEW
                | Object::OBJECT_MATVIEW
                | Object::OBJECT_FOREIGN_TABLE
                | Object::OBJECT_SEQUENCE
        );
        if is_relation {
            for node in drop.objects() {
                if let Node::NodeList(name) = node {
                    self.touch_name(&strings(name));
                }
            }
        }
        match drop.remove_type {
            Object::OBJECT_TABLE => "DROP TABLE",
            Object::OBJECT_VIEW => "DROP VIEW",
            Object::OBJECT_MATVIEW => "DROP MATERIALIZED VIEW",
            Object::OBJECT_FOREIGN_TABLE => "DROP FOREIGN TABLE",
            Object::OBJECT_SEQUENCE => "DROP SEQUENCE",
            Object::OBJECT_INDEX => "DROP INDEX",
            Object::OBJECT_SCHEMA => "DROP SCHEMA",
            Object::OBJECT_FUNCTION => "DROP FUNCTION",
            Object::OBJECT_PROCEDURE => "DROP PROCEDURE",
            Object::OBJECT_ROUTINE => "DROP ROUTINE",
            Object::OBJECT_AGGREGATE => "DROP AGGREGATE",
            Object::OBJECT_TYPE => "DROP TYPE",
            Object::OBJECT_DOMAIN => "DROP DOMAIN",
            Object::OBJECT_TRIGGER => "DROP TRIGGER",
            Object::OBJECT_EVENT_TRIGGER => "DROP EVENT TRIGGER",
            Object::OBJECT_RULE => "DROP RULE",
            Object::OBJECT_POLICY => "DROP POLICY",
            Object::OBJECT_EXTENSION => "DROP EXTENSION",
            Object::OBJECT_LANGUAGE => "DROP LANGUAGE",
            Object::OBJECT_PUBLICATION => "DROP PUBLICATION",
            Object::OBJECT_OPERATOR => "DROP OPERATOR",
            Object::OBJECT_CAST => "DROP CAST",
            Object::OBJECT_FOREIGN_SERVER => "DROP SERVER",
            Object::OBJECT_FDW => "DROP FOREIGN DATA WRAPPER",
            Object::OBJECT_STATISTIC_EXT => "DROP STATISTICS",
            Object::OBJECT_COLLATION => "DROP COLLATION",
            _ => "DROP",
        }
    }

    fn touch_name(&mut self, names: &[&str]) {
        let (schema, name) = qualified(names);
        let id = match schema {
            Some(schema) => self.catalog.relation_in(self.real_schema(schema), name),
            None => self.catalog.relation_on_path(self.path, name),
        };
        let relation = match id {
            Some(id) => {
                self.found.reached.push(id);
                self.catalog.relation(id).full_name()
            }
            None => {
                let schema = schema.map_or_else(|| self.creation_schema(), |schema| self.real_schema(schema));
                RelationName { schema: schema.into(), name: name.into() }
            }
        };
        self.named(relation, Access::Write);
    }

    fn truncate(&mut self, relations: &'a NodeList) -> Walk<&'static str> {
        // Rows go, the definition stays.
        self.found.effects.retain(|effect| *effect != Effect::Ddl);
        self.effect(Effect::Write);
        for node in relations {
            if let Node::RangeVar(range) = node {
                self.touch(Some(range));
                if let Some(id) = self.relation_id(range) {
                    self.attached(id, Events::TRUNCATE)?;
                }
                let relation = self.relation_name(range);
                self.found.writes.push(Write { kind: "TRUNCATE".into(), relation, filter: Filter::Absent });
            }
        }
        Ok("TRUNCATE")
    }

    fn grant(&mut self, grant: &'a GrantStmt) -> &'static str {
        self.effect(Effect::Privilege);
        let is_on_tables = grant.targtype == raw::GrantTargetType::ACL_TARGET_OBJECT
            && matches!(grant.objtype, raw::ObjectType::OBJECT_TABLE | raw::ObjectType::OBJECT_SEQUENCE);
        if is_on_tables {
            for range in grant.objects() {
                self.touch(Some(range));
            }
        }
        if grant.is_grant { "GRANT" } else { "REVOKE" }
    }

    /// Policies read the comments of columns.
    fn comment(&mut self, comment: &'a CommentStmt) -> &'static str {
        let names = match comment.object() {
            Node::NodeList(names) => strings(names),
            _ => Vec::new(),
        };
        let relation = match comment.objtype {
            raw::ObjectType::OBJECT_COLUMN => names.split_last().map(|(_, relation)| relation),
            raw::ObjectType::OBJECT_TABLE | raw::ObjectType::OBJECT_VIEW | raw::ObjectType::OBJECT_MATVIEW => {
                Some(&names[..])
            }
            _ => None,
        };
        if let Some(relation) = relation {
            self.touch_name(relation);
            if comment.objtype == raw::ObjectType::OBJECT_COLUMN
                && let Some(used) = self.found.named.last()
                && !is_system_schema(&used.relation.schema)
            {
                let name = used.relation.clone();
                self.found.relabelled.push((name, "a comment on a column of"));
            }
        }
        "COMMENT"
    }
}

/// Whether a new column is computed of others.
/// Whether columns that were none become a key.
fn is_key(node: Node<'_>) -> bool {
    use raw::ConstrType as Constraint;
    let is_key = |kind| matches!(kind, Constraint::CONSTR_PRIMARY | Constraint::CONSTR_FOREIGN);
    matches!(node, Node::Constraint(constraint) if is_key(constraint.contype))
}

fn generates(node: Node<'_>) -> bool {
    let Node::ColumnDef(column) = node else { return false };
    column.constraints().iter().any(|constraint| match constraint {
        Node::Constraint(constraint) => constraint.contype == raw::ConstrType::CONSTR_GENERATED,
        _ => false,
    })
}
