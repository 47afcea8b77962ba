//! What an upstream login may do at its server. Whatever that is beyond what Grille lets anybody do through it is a second
//! line that is missing: a mistake of ours, or the password in other hands, reaches that far.

use grille_policy::RelationName;

use crate::catalog::rows;
use crate::route::{Login, Target};
use crate::upstream::{self, Upstream};

/// What a login may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Powers {
    /// The user at the server.
    pub user: String,
    /// What passes every grant by.
    pub beyond: Vec<Beyond>,
    /// What it may do with relations outside the server's own schemas.
    pub relations: Vec<RelationPowers>,
}

/// A power that no grant on a relation limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beyond {
    /// In words that follow "the login".
    pub what: String,
    /// The SQL that takes it away.
    pub remedy: String,
    /// Whether it reads or writes files or runs programs, which no policy sees.
    pub leaves_database: bool,
}

/// What a login may do with one relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationPowers {
    /// The relation.
    pub relation: RelationName,
    /// SELECT, on the whole or on some column.
    pub reads: bool,
    /// INSERT, UPDATE, DELETE or TRUNCATE.
    pub writes: bool,
    /// It may redefine and drop it, and grant itself anything.
    pub owns: bool,
}

/// Relations that are looked at: beyond, the first ones say enough.
const RELATIONS_MAX: usize = 10_000;

const ATTRIBUTES: &str = "SELECT current_user, rolsuper, rolreplication, rolbypassrls, rolcreaterole \
     FROM pg_catalog.pg_roles WHERE rolname = current_user";

/// Names that this server does not know are none.
const MEMBERSHIPS: &str = "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('pg_read_server_files', \
     'pg_write_server_files', 'pg_execute_server_program', 'pg_read_all_data', 'pg_write_all_data') \
     AND pg_has_role(current_user, oid, 'MEMBER') ORDER BY rolname";

const RELATIONS: &str = "SELECT n.nspname, c.relname, \
     has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT'), \
     has_table_privilege(c.oid, 'INSERT') OR has_table_privilege(c.oid, 'UPDATE') \
     OR has_table_privilege(c.oid, 'DELETE') OR has_table_privilege(c.oid, 'TRUNCATE') \
     OR has_any_column_privilege(c.oid, 'INSERT') OR has_any_column_privilege(c.oid, 'UPDATE'), \
     pg_has_role(current_user, c.relowner, 'MEMBER') \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
     AND has_schema_privilege(n.oid, 'USAGE') ORDER BY 1, 2";

/// Logs in and asks the server.
///
/// # Errors
/// When it cannot be told; says why.
pub async fn powers(target: &Target, login: &Login) -> Result<Powers, String> {
    let parameters = [
        ("application_name".to_owned(), "grille check".to_owned()),
        ("client_encoding".to_owned(), "UTF8".to_owned()),
        ("search_path".to_owned(), "pg_catalog".to_owned()),
    ];
    let connected = upstream::connect(target, login, &parameters).await;
    let Upstream { mut wire, .. } = connected.map_err(|error| error.to_string())?;
    let attributes = rows(&mut wire, ATTRIBUTES).await?;
    let attributes = attributes.into_iter().next().ok_or("the server does not know its own user")?;
    let has = |index: usize| attributes.get(index).and_then(Option::as_deref) == Some("t");
    let user = attributes.first().cloned().flatten().unwrap_or_default();
    let name = quoted(&user);
    let mut beyond = Vec::new();
    let mut note = |what: &str, remedy: String, leaves_database: bool| {
        beyond.push(Beyond { what: what.to_owned(), remedy, leaves_database });
    };
    if has(1) {
        note("is a superuser", format!("ALTER ROLE {name} NOSUPERUSER;"), true);
    } else {
        for row in rows(&mut wire, MEMBERSHIPS).await? {
            let Some(role) = row.into_iter().next().flatten() else { continue };
            let leaves = !role.ends_with("_all_data");
            note(&format!("is a member of {role}"), format!("REVOKE {role} FROM {name};"), leaves);
        }
    }
    for (index, what, attribute) in [
        (2, "may replicate the whole cluster", "NOREPLICATION"),
        (3, "passes row-level security by", "NOBYPASSRLS"),
        (4, "may make roles", "NOCREATEROLE"),
    ] {
        if has(index) {
            note(what, format!("ALTER ROLE {name} {attribute};"), false);
        }
    }
    let relations = rows(&mut wire, RELATIONS).await?.into_iter().take(RELATIONS_MAX).filter_map(|row| {
        let [schema, name, reads, writes, owns] = <[_; 5]>::try_from(row).ok()?;
        let says = |value: Option<String>| value.as_deref() == Some("t");
        let relation = RelationName { schema: schema?.into(), name: name?.into() };
        Some(RelationPowers { relation, reads: says(reads), writes: says(writes), owns: says(owns) })
    });
    Ok(Powers { user, beyond, relations: relations.collect() })
}

/// A name as SQL takes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
