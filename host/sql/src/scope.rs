use grille_policy::{Effect, NameList, RelationName};

use crate::analyse::NAMES_MOVED;
use crate::analysis::Reach;
use crate::catalog::is_system_schema;
use crate::protect::absence;
use crate::{Analysis, Catalog, Refusal, StatementInfo};

/// What the roles of a session may touch, as the union of their rights.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleScope {
    /// The relations: an entry names them, a removal also what lies beneath them.
    pub relations: NameList,
    /// Whether rows may be read.
    pub read: bool,
    /// Whether rows may be changed.
    pub write: bool,
    /// Whether definitions and privileges may be changed.
    pub ddl: bool,
}

/// Judges a text by the role's relations and operations.
///
/// # Errors
/// With what is missing.
pub fn scope(analysis: &Analysis, catalog: &Catalog, role: &RoleScope) -> Result<(), Refusal> {
    let mut has_defined = false;
    analysis.statements.iter().try_for_each(|statement| {
        operations(statement, role)?;
        if !role.relations.is_unlimited() {
            relations(statement, catalog, role, has_defined)?;
        }
        has_defined |= statement.is_ddl;
        Ok(())
    })
}

fn operations(statement: &StatementInfo, role: &RoleScope) -> Result<(), Refusal> {
    for effect in &statement.effects {
        let (allowed, operation) = match effect {
            Effect::Read => (role.read, "read"),
            // What cannot be told may write.
            Effect::Write | Effect::Unknown => (role.write, "write"),
            Effect::Ddl | Effect::Privilege => (role.ddl, "ddl"),
            Effect::Procedural => (role.read && role.write && role.ddl, "read, write and ddl"),
            // What COPY moves is read or written; changing the session is everybody's.
            Effect::Copy | Effect::Session => continue,
        };
        if !allowed {
            let message = format!("{} needs the operation {operation}, which your role does not have", statement.kind);
            return Err(Refusal::new("role-operation", message));
        }
    }
    Ok(())
}

fn relations(statement: &StatementInfo, catalog: &Catalog, role: &RoleScope, has_defined: bool) -> Result<(), Refusal> {
    let outside = |relation: &RelationName| {
        let message = format!("relation {relation} is outside what your role may use");
        Err(Refusal::new("role-relation", message))
    };
    for used in &statement.detail.named {
        if !is_always_in_scope(&used.relation, catalog) && !role.relations.contains(&used.relation.to_string()) {
            return outside(&used.relation);
        }
    }
    if let Some(restriction) = statement.detail.restrictions.iter().find(|found| found.rule == NAMES_MOVED) {
        return Err(Refusal::new("role-relation", &*restriction.message));
    }
    if let Some(name) = &statement.detail.unresolved {
        let open = statement.detail.constructs.iter().filter(|construct| construct.reach == Reach::Anything);
        if !has_defined && let Some(refusal) = absence(open) {
            return Err(refusal);
        }
        let message = format!("relation {name} is not known here, and your role is limited to certain relations");
        return Err(Refusal::new("role-relation", message));
    }
    for relation in &statement.detail.reached {
        if role.relations.excludes(&relation.to_string()) {
            return outside(relation);
        }
    }
    if statement.effects.contains(&Effect::Procedural) {
        let message = format!("{} cannot be followed, and your role is limited to certain relations", statement.kind);
        return Err(Refusal::new("role-opaque", message));
    }
    let opaque = statement.detail.constructs.iter().find(|construct| construct.reach == Reach::Anything);
    if let Some(construct) = opaque
        && catalog.relations.iter().any(|relation| role.relations.excludes(&relation.full_name().to_string()))
    {
        let message = format!("{} cannot be followed and may reach relations taken from your role", construct.what);
        return Err(Refusal::new("role-opaque", message));
    }
    Ok(())
}

fn is_always_in_scope(relation: &RelationName, catalog: &Catalog) -> bool {
    is_system_schema(&relation.schema)
        || relation.schema.starts_with("pg_temp")
        || catalog.relation_in(&relation.schema, &relation.name).is_some_and(|id| catalog.relation(id).is_temporary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, analyse, testing};

    #[test]
    fn roles_limit_relations_and_operations() {
        let (all, public, some) = (&["*"][..], &["public.*", "!public.billing"][..], &["public.staff"][..]);
        for (text, relations, operations, expected) in [
            ("SELECT * FROM staff", some, "r", ""),
            ("SELECT * FROM patients", some, "r", "role-relation"),
            ("SELECT * FROM staff", &[], "r", "role-relation"),
            ("SELECT 1", &[], "r", ""),
            ("SELECT * FROM pg_catalog.pg_class", all, "r", ""),
            ("SELECT * FROM billing", public, "r", "role-relation"),
            ("SELECT * FROM bills", public, "r", "role-relation"),
            ("SELECT * FROM patient_view", public, "r", ""),
            ("SELECT * FROM patient_view", &["public.patient_view"], "r", ""),
            ("SELECT * FROM mart.people", public, "r", "role-relation"),
            ("SELECT * FROM staff WHERE id IN (SELECT id FROM mart.people)", public, "r", "role-relation"),
            ("WITH x AS (SELECT * FROM mart.people) SELECT 1", public, "r", "role-relation"),
            ("COPY mart.people TO STDOUT", public, "r", "role-relation"),
            ("PREPARE p AS SELECT * FROM mart.people", public, "r", "role-relation"),
            ("EXPLAIN SELECT * FROM mart.people", public, "r", "role-relation"),
            ("DECLARE c CURSOR FOR SELECT * FROM mart.people", public, "r", "role-relation"),
            ("SELECT * FROM nowhere", public, "r", "unknown-relation"),
            ("SELECT * FROM nowhere", some, "r", "role-relation"),
            ("SELECT * FROM nowhere, mystery()", public, "rw", "role-relation"),
            ("CREATE TABLE nowhere (); DROP TABLE nowhere; SELECT * FROM nowhere", public, "rwd", "role-relation"),
            ("SELECT * FROM nowhere", all, "r", ""),
            ("DELETE FROM staff", public, "r", "role-operation"),
            ("DELETE FROM staff", public, "rw", ""),
            ("DELETE FROM mart.people", public, "rw", "role-relation"),
            ("WITH d AS (DELETE FROM staff RETURNING 1) SELECT 1", public, "r", "role-operation"),
            ("EXPLAIN ANALYZE DELETE FROM staff", public, "r", "role-operation"),
            ("EXPLAIN DELETE FROM staff", public, "r", ""),
            ("COPY staff FROM STDIN", public, "r", "role-operation"),
            ("TRUNCATE staff", public, "r", "role-operation"),
            ("CREATE TABLE t (id int)", public, "rw", "role-operation"),
            ("CREATE TABLE t (id int)", public, "rwd", ""),
            ("CREATE TABLE mart.t (id int)", public, "rwd", "role-relation"),
            ("DROP TABLE billing", public, "rwd", "role-relation"),
            ("GRANT SELECT ON staff TO x", public, "rw", "role-operation"),
            ("SET application_name = 'x'; BEGIN; COMMIT", &[], "", ""),
            ("DO 'x'", all, "rw", "role-operation"),
            ("DO 'x'", all, "rwd", ""),
            ("DO 'x'", public, "rwd", "role-opaque"),
            ("SELECT mystery()", all, "r", "role-operation"),
            ("SELECT mystery()", all, "rw", ""),
            ("SELECT mystery()", public, "rw", "role-opaque"),
            ("SELECT mystery()", some, "rw", ""),
        ] {
            let catalog = testing::catalog();
            let analysis = analyse(text, &catalog, &Settings::default()).expect("SQL");
            let role = RoleScope {
                relations: NameList::new(relations),
                read: operations.contains('r'),
                write: operations.contains('w'),
                ddl: operations.contains('d'),
            };
            let refusal = scope(&analysis, &catalog, &role).err().map_or("", |refusal| refusal.rule);
            assert_eq!(refusal, expected, "{text} for {relations:?} {operations:?}");
        }
    }
}
