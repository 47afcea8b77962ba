//! What clients ask of the catalogs runs, and nothing in the answers is treated but statement texts and statistics.

use std::process::Command;

use crate::server::{Server, rows};
use crate::world::World;

/// What psql sends for these it shows with `-E`.
const COMMANDS: &[&str] = &[
    "\\d",
    "\\d+",
    "\\d patients",
    "\\d+ patients",
    "\\d patient_view",
    "\\d+ patient_view",
    "\\d patient_copy",
    "\\d+ events",
    "\\d children",
    "\\d pairs",
    "\\d numbers",
    "\\d patients_pkey",
    "\\dt+ *.*",
    "\\dv+",
    "\\dm+",
    "\\di+",
    "\\ds+",
    "\\dn+",
    "\\df+",
    "\\df *",
    "\\da",
    "\\dT+",
    "\\dD",
    "\\do",
    "\\dC",
    "\\dc",
    "\\dO",
    "\\dp",
    "\\ddp",
    "\\dg+",
    "\\du",
    "\\dx+",
    "\\dy",
    "\\dF+",
    "\\dFd",
    "\\dFp",
    "\\dFt",
    "\\dL",
    "\\des+",
    "\\dew+",
    "\\det",
    "\\deu",
    "\\dRp+",
    "\\dRs",
    "\\dA+",
    "\\dAc",
    "\\dAf",
    "\\dAo",
    "\\dAp",
    "\\db+",
    "\\l+",
    "\\dP+",
    "\\dX",
    "\\dd",
    "\\dconfig",
    "\\sf by_zip",
    "\\sv patient_view",
    "\\z",
    "\\drds",
    "\\dl",
];

/// Of drivers and tools, as they send them.
const QUERIES: &[&str] = &[
    // libpq, psycopg, SQLAlchemy
    "select pg_catalog.version()",
    "select current_schema()",
    "show standard_conforming_strings",
    "show transaction isolation level",
    "SELECT t.oid, typarray FROM pg_type t JOIN pg_namespace ns ON typnamespace = ns.oid WHERE typname = 'hstore'",
    "SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace WHERE pg_catalog.pg_class.relkind = ANY (ARRAY['r', 'p']) AND pg_catalog.pg_class.relpersistence != 't' AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) AND pg_catalog.pg_namespace.nspname != 'pg_catalog'",
    "SELECT attr.conname, array_agg(CAST(attr.attname AS TEXT) ORDER BY attr.ord) AS cols FROM (SELECT con.conrelid, con.conname, con.ord, pg_attribute.attname FROM (SELECT pg_constraint.conrelid AS conrelid, pg_constraint.conname AS conname, unnest(pg_constraint.conkey) AS attnum, generate_subscripts(pg_constraint.conkey, 1) AS ord FROM pg_catalog.pg_constraint WHERE pg_constraint.contype = 'p') AS con JOIN pg_catalog.pg_attribute ON pg_attribute.attnum = con.attnum AND pg_attribute.attrelid = con.conrelid) AS attr GROUP BY attr.conrelid, attr.conname",
    // pgjdbc
    "SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, ct.relname AS TABLE_NAME, a.attname AS COLUMN_NAME, (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname AS PK_NAME, information_schema._pg_expandarray(i.indkey) AS KEYS, a.attnum AS A_ATTNUM FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid) JOIN pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid) JOIN pg_catalog.pg_index i ON (a.attrelid = i.indrelid) JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) WHERE true AND i.indisprimary",
    "SELECT * FROM (SELECT n.nspname, c.relname, a.attname, a.atttypid, a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS attnotnull, a.atttypmod, a.attlen, t.typtypmod, row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS attnum, nullif(a.attidentity, '') as attidentity, nullif(a.attgenerated, '') as attgenerated, pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS adsrc, dsc.description, t.typbasetype, t.typtype FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON (c.relnamespace = n.oid) JOIN pg_catalog.pg_attribute a ON (a.attrelid = c.oid) JOIN pg_catalog.pg_type t ON (a.atttypid = t.oid) LEFT JOIN pg_catalog.pg_attrdef def ON (a.attrelid = def.adrelid AND a.attnum = def.adnum) LEFT JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid) LEFT JOIN pg_catalog.pg_class dc ON (dc.oid = dsc.classoid AND dc.relname = 'pg_class') WHERE c.relkind in ('r','p','v','f','m') and a.attnum > 0 AND NOT a.attisdropped) c WHERE true ORDER BY nspname, c.relname, attnum",
    "SELECT e.typdelim FROM pg_catalog.pg_type t, pg_catalog.pg_type e WHERE t.oid = $1 and t.typelem = e.oid",
    "SELECT string_agg(word, ',') FROM pg_catalog.pg_get_keywords() WHERE word <> ALL ('{a,abs,absolute}'::text[])",
    // Npgsql, asyncpg
    "SELECT ns.nspname, t.oid, t.typname, t.typtype, t.typnotnull, t.elemtypoid FROM (SELECT typ.oid, typ.typnamespace, typ.typname, typ.typtype, typ.typrelid, typ.typnotnull, typ.relkind, elemtyp.oid AS elemtypoid, elemtyp.typname AS elemtypname, elemcls.relkind AS elemrelkind, CASE WHEN elemproc.proname = 'array_recv' THEN 'a' ELSE elemtyp.typtype END AS elemtyptype FROM (SELECT typ.oid, typnamespace, typname, typrelid, typnotnull, relkind, typelem AS elemoid, CASE WHEN proc.proname = 'array_recv' THEN 'a' ELSE typ.typtype END AS typtype, CASE WHEN proc.proname = 'array_recv' THEN typ.typelem WHEN typ.typtype = 'r' THEN rngsubtype WHEN typ.typtype = 'd' THEN typ.typbasetype END AS elemtypoid FROM pg_type AS typ LEFT JOIN pg_class AS cls ON (cls.oid = typ.typrelid) LEFT JOIN pg_proc AS proc ON proc.oid = typ.typreceive LEFT JOIN pg_range ON (pg_range.rngtypid = typ.oid)) AS typ LEFT JOIN pg_type AS elemtyp ON elemtyp.oid = elemtypoid LEFT JOIN pg_class AS elemcls ON (elemcls.oid = elemtyp.typrelid) LEFT JOIN pg_proc AS elemproc ON elemproc.oid = elemtyp.typreceive) AS t JOIN pg_namespace AS ns ON (ns.oid = typnamespace)",
    "WITH RECURSIVE typeinfo_tree(oid, ns, name, depth) AS (SELECT t.oid, ns.nspname, t.typname, 0 FROM pg_type t JOIN pg_namespace ns ON ns.oid = t.typnamespace WHERE t.oid = any('{25}'::oid[]) UNION ALL SELECT t.oid, ns.nspname, t.typname, tt.depth + 1 FROM pg_type t JOIN pg_namespace ns ON ns.oid = t.typnamespace, typeinfo_tree tt WHERE tt.oid = t.typelem) SELECT DISTINCT *, oid::regtype::text AS typname FROM typeinfo_tree ORDER BY depth DESC",
    // DBeaver, Metabase, pgAdmin
    "SELECT current_schema(), session_user",
    "SELECT db.oid, db.* FROM pg_catalog.pg_database db WHERE datallowconn ORDER BY db.datname",
    "select * from pg_catalog.pg_settings where name = 'standard_conforming_strings'",
    "SELECT c.oid, c.*, d.description, pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr, pg_catalog.pg_get_partkeydef(c.oid) as partition_key FROM pg_catalog.pg_class c LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass WHERE c.relnamespace = 2200 AND c.relkind not in ('i','I','c')",
    "with table_privileges as (select NULL as role, t.schemaname as schema, t.objectname as table, pg_catalog.has_any_column_privilege(current_user, '\"' || replace(t.schemaname, '\"', '\"\"') || '\".\"' || replace(t.objectname, '\"', '\"\"') || '\"', 'update') as update, pg_catalog.has_any_column_privilege(current_user, quote_ident(t.schemaname) || '.' || quote_ident(t.objectname), 'select') as select, pg_catalog.has_table_privilege(current_user, quote_ident(t.schemaname) || '.' || quote_ident(t.objectname), 'delete') as delete from (select schemaname, tablename as objectname from pg_catalog.pg_tables union select schemaname, viewname as objectname from pg_views union select schemaname, matviewname as objectname from pg_matviews) t where t.schemaname !~ '^pg_' and t.schemaname <> 'information_schema') select t.* from table_privileges t",
    "SELECT set_config('bytea_output','hex',false) FROM pg_show_all_settings() WHERE name = 'bytea_output'",
    "SELECT roles.oid as id, roles.rolname as name, roles.rolsuper as is_superuser, CASE WHEN roles.rolsuper THEN true ELSE roles.rolcreaterole END as can_create_role FROM pg_catalog.pg_roles as roles WHERE rolname = current_user",
    "SELECT 'session_stats' AS chart_name, pg_catalog.row_to_json(t) AS chart_data FROM (SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity) AS \"Total\", (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE state = 'active') AS \"Active\") t",
    "SELECT locktype, relation::regclass, mode, granted FROM pg_locks",
    "SELECT schemaname, relname, n_live_tup, last_vacuum FROM pg_stat_user_tables",
    "SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns ORDER BY ordinal_position",
    "SELECT tc.constraint_name, kcu.column_name, ccu.table_name FROM information_schema.table_constraints tc JOIN information_schema.key_column_usage kcu USING (constraint_name) JOIN information_schema.constraint_column_usage ccu USING (constraint_name)",
    // pg_dump
    "SELECT pg_catalog.set_config('search_path', '', false)",
    "SELECT pg_catalog.pg_is_in_recovery()",
    "SELECT pg_catalog.pg_get_viewdef('16384'::pg_catalog.oid) AS viewdef",
    "SELECT last_value, is_called FROM public.numbers",
];

/// As the servers of SQLAlchemy, pandas, Django and pgjdbc logged them, and as ActiveRecord, Prisma, Hibernate, Metabase
/// and DBeaver have them: one a line.
const OF_TOOLS: &str = include_str!("tools.sql");

pub(crate) async fn check(world: &World, server: &Server) -> Vec<String> {
    let mut queries: Vec<String> = QUERIES.iter().copied().chain(OF_TOOLS.lines()).map(str::to_owned).collect();
    let shown = of_psql(server);
    assert!(shown.len() > COMMANDS.len() / 2, "psql -E shows what it sends, got {}", shown.len());
    queries.extend(shown);
    let mut failures = Vec::new();
    for query in &queries {
        match world.protect(query) {
            Ok(guarded) if guarded.statements.iter().all(grille_sql::RowPlan::is_keep) => {}
            Ok(guarded) => failures.push(format!("treated: {query}\n    {:?}", guarded.statements)),
            Err(refusal) => failures.push(format!("refused: {query}\n    {refusal}")),
        }
    }
    // Only what a server takes is worth anything; some of it changes the session.
    let client = server.connect().await;
    let known = QUERIES.iter().copied().chain(OF_TOOLS.lines());
    for query in known.filter(|query| !query.contains('$')) {
        rows(&client, query).await;
    }
    failures
}

fn of_psql(server: &Server) -> Vec<String> {
    let mut command = Command::new("psql");
    command.args(["-X", "-E", "-h", server.socket(), "-U", "postgres", "-d", "postgres", "-v", "ON_ERROR_STOP=0"]);
    for text in COMMANDS {
        command.args(["-c", text]);
    }
    let output = command.output().expect("psql (Debian: apt-get install postgresql-client)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut queries = Vec::new();
    let mut current: Option<String> = None;
    for line in text.lines() {
        match (line, &mut current) {
            ("********* QUERY **********", _) => current = Some(String::new()),
            ("**************************", Some(query)) => {
                queries.push(std::mem::take(query));
                current = None;
            }
            (line, Some(query)) => {
                query.push_str(line);
                query.push('\n');
            }
            _ => {}
        }
    }
    queries
}
