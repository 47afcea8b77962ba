"""What tools ask the catalog when somebody opens them: shapes of queries that each of them sends."""

QUERIES = [
    ("Metabase", """
     SELECT n.nspname AS schema, c.relname AS name, CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE'
       WHEN 'v' THEN 'VIEW' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'm' THEN 'MATERIALIZED VIEW' END AS type,
       d.description, GREATEST(c.reltuples, 0) >= 0 AS counted
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON c.relnamespace = n.oid
     LEFT JOIN pg_catalog.pg_description d ON c.oid = d.objoid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
     WHERE c.relnamespace = n.oid AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'f', 'm')
     ORDER BY 1, 2"""),
    ("Metabase", """
     SELECT c.column_name AS name, c.udt_name AS type, c.ordinal_position - 1 AS position, c.table_schema AS schema,
       c.table_name AS table, pk.column_name IS NOT NULL AS "pk?", col_description(CAST(CAST(format('%I.%I',
       CAST(c.table_schema AS text), CAST(c.table_name AS text)) AS regclass) AS oid), c.ordinal_position) AS remarks,
       c.is_nullable <> 'NO' AND c.column_default IS NULL AS required
     FROM information_schema.columns c LEFT JOIN (SELECT tc.table_schema, tc.table_name, kc.column_name
       FROM information_schema.table_constraints tc JOIN information_schema.key_column_usage kc
       ON tc.constraint_name = kc.constraint_name AND tc.table_schema = kc.table_schema AND tc.table_name = kc.table_name
       WHERE tc.constraint_type = 'PRIMARY KEY') pk
     ON c.table_schema = pk.table_schema AND c.table_name = pk.table_name AND c.column_name = pk.column_name
     WHERE c.table_schema !~ '^information_schema|catalog_history|pg_' AND c.table_schema IN ('public')
     ORDER BY c.table_schema, c.table_name, c.ordinal_position"""),
    ("Metabase", """
     WITH table_privileges AS (SELECT NULL AS role, t.schemaname AS schema, t.objectname AS table,
       pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' ||
       replace(t.objectname, '"', '""') || '"', 'SELECT') AS select
       FROM (SELECT schemaname, tablename AS objectname FROM pg_catalog.pg_tables
         UNION SELECT schemaname, viewname FROM pg_catalog.pg_views
         UNION SELECT schemaname, matviewname FROM pg_catalog.pg_matviews) t
       WHERE t.schemaname !~ '^pg_' AND t.schemaname <> 'information_schema')
     SELECT t.schema, t.table FROM table_privileges t WHERE t.select ORDER BY 1, 2"""),
    ("Metabase", """
     SELECT fk_ns.nspname, fk_table.relname, fk_column.attname, pk_ns.nspname, pk_table.relname, pk_column.attname
     FROM pg_constraint c JOIN pg_class fk_table ON c.conrelid = fk_table.oid
     JOIN pg_namespace fk_ns ON c.connamespace = fk_ns.oid JOIN pg_attribute fk_column ON c.conrelid = fk_column.attrelid
     JOIN pg_class pk_table ON c.confrelid = pk_table.oid JOIN pg_namespace pk_ns ON pk_table.relnamespace = pk_ns.oid
     JOIN pg_attribute pk_column ON c.confrelid = pk_column.attrelid
     WHERE fk_ns.nspname !~ '^information_schema|catalog_history|pg_' AND c.contype = 'f'::char
       AND fk_column.attnum = ANY(c.conkey) AND pk_column.attnum = ANY(c.confkey) ORDER BY 2, 3"""),
    ("Tableau", """
     SELECT n.nspname AS table_schem, c.relname AS table_name, a.attname AS column_name, a.atttypid, a.attnotnull OR
       (t.typtype = 'd' AND t.typnotnull) AS attnotnull, a.atttypmod, a.attlen, t.typtypmod,
       row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS attnum, nullif(a.attidentity, '') AS attidentity,
       pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS adsrc, dsc.description, t.typbasetype, t.typtype
     FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid
     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid JOIN pg_catalog.pg_type t ON a.atttypid = t.oid
     LEFT JOIN pg_catalog.pg_attrdef def ON a.attrelid = def.adrelid AND a.attnum = def.adnum
     LEFT JOIN pg_catalog.pg_description dsc ON c.oid = dsc.objoid AND a.attnum = dsc.objsubid
     LEFT JOIN pg_catalog.pg_class dc ON dc.oid = dsc.classoid AND dc.relname = 'pg_class'
     LEFT JOIN pg_catalog.pg_namespace dn ON dc.relnamespace = dn.oid AND dn.nspname = 'pg_catalog'
     WHERE c.relkind IN ('r', 'p', 'v', 'f', 'm') AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname LIKE 'public'
       AND c.relname LIKE 'patients' ORDER BY 1, 2, attnum"""),
    ("Tableau", """
     SELECT current_database() AS pktable_cat, pkn.nspname, pkc.relname, pka.attname, fkn.nspname, fkc.relname, fka.attname,
       pos.n AS key_seq, CASE con.confupdtype WHEN 'c' THEN 0 WHEN 'n' THEN 2 WHEN 'd' THEN 4 WHEN 'r' THEN 1 WHEN 'a' THEN 3 END,
       con.conname, pkic.relname
     FROM pg_catalog.pg_namespace pkn, pg_catalog.pg_class pkc, pg_catalog.pg_attribute pka, pg_catalog.pg_namespace fkn,
       pg_catalog.pg_class fkc, pg_catalog.pg_attribute fka, pg_catalog.pg_constraint con,
       pg_catalog.generate_series(1, 32) pos(n), pg_catalog.pg_class pkic
     WHERE pkn.oid = pkc.relnamespace AND pkc.oid = pka.attrelid AND pka.attnum = con.confkey[pos.n] AND con.confrelid = pkc.oid
       AND fkn.oid = fkc.relnamespace AND fkc.oid = fka.attrelid AND fka.attnum = con.conkey[pos.n] AND con.conrelid = fkc.oid
       AND con.contype = 'f' AND (pkic.relkind = 'i' OR pkic.relkind = 'I') AND pkic.oid = con.conindid
     ORDER BY 2, 3, 6, key_seq"""),
    ("DBeaver", """
     SELECT c.oid, c.relname, c.relkind, d.description, p.partstrat, pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS bound
     FROM pg_catalog.pg_class c INNER JOIN pg_catalog.pg_namespace ns ON ns.oid = c.relnamespace
     LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
     LEFT OUTER JOIN pg_catalog.pg_partitioned_table p ON c.oid = p.partrelid
     WHERE ns.nspname = 'public' AND c.relkind NOT IN ('i', 'I', 'c') ORDER BY c.relname"""),
    ("DBeaver", """
     SELECT c.relname, a.*, pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) AS def_value, dsc.description, dep.objid
     FROM pg_catalog.pg_attribute a INNER JOIN pg_catalog.pg_class c ON a.attrelid = c.oid
     LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON a.attrelid = ad.adrelid AND a.attnum = ad.adnum
     LEFT OUTER JOIN pg_catalog.pg_description dsc ON c.oid = dsc.objoid AND a.attnum = dsc.objsubid
     LEFT OUTER JOIN pg_depend dep ON dep.refobjid = a.attrelid AND dep.deptype = 'i' AND dep.refobjsubid = a.attnum
       AND dep.classid = dep.refclassid
     WHERE NOT a.attisdropped AND c.relkind NOT IN ('i', 'I', 'c') AND c.oid = 'public.patients'::regclass ORDER BY a.attnum"""),
    ("DBeaver", "SELECT t.oid, t.*, c.relkind, format_type(nullif(t.typbasetype, 0), t.typtypmod) AS base_type_name, d.description "
     "FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid = t.typelem "
     "LEFT OUTER JOIN pg_catalog.pg_class c ON c.oid = t.typrelid "
     "LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid = d.objoid WHERE t.typname IS NOT NULL "
     "AND (c.relkind IS NULL OR c.relkind = 'c') AND (et.typcategory IS NULL OR et.typcategory <> 'C') ORDER BY t.oid"),
    ("DBeaver", "SELECT db.oid, db.datname FROM pg_catalog.pg_database db WHERE datallowconn AND NOT datistemplate ORDER BY 2"),
    ("DBeaver", "SELECT p.oid, p.proname, pg_catalog.pg_get_function_result(p.oid), pg_catalog.pg_get_function_arguments(p.oid), "
     "l.lanname FROM pg_catalog.pg_proc p LEFT JOIN pg_catalog.pg_language l ON l.oid = p.prolang "
     "WHERE p.pronamespace = 'public'::regnamespace ORDER BY p.proname"),
    ("DBeaver", "SELECT con.oid, con.conname, con.contype, con.conkey, con.confkey, pg_get_constraintdef(con.oid) "
     "FROM pg_catalog.pg_constraint con WHERE con.conrelid = 'public.encounters'::regclass ORDER BY con.conname"),
    ("DBeaver", "SELECT i.indexrelid::regclass::text, i.indkey, pg_get_indexdef(i.indexrelid), am.amname FROM pg_catalog.pg_index i "
     "JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am am ON am.oid = c.relam "
     "WHERE i.indrelid = 'public.patients'::regclass ORDER BY 1"),
    ("psql \\d", "SELECT c.relchecks, c.relkind, c.relhasindex, c.relhasrules, c.relhastriggers, c.relrowsecurity, c.relforcerowsecurity, "
     "false AS relhasoids, c.relispartition, '', c.reltablespace, CASE WHEN c.reloftype = 0 THEN '' ELSE "
     "c.reloftype::pg_catalog.regtype::pg_catalog.text END, c.relpersistence, c.relreplident, am.amname "
     "FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_class tc ON (c.reltoastrelid = tc.oid) "
     "LEFT JOIN pg_catalog.pg_am am ON (c.relam = am.oid) WHERE c.oid = 'public.patients'::regclass"),
    ("psql \\d", "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) "
     "FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), a.attnotnull, "
     "(SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t WHERE c.oid = a.attcollation AND t.oid = a.atttypid "
     "AND a.attcollation <> t.typcollation) AS attcollation, a.attidentity, a.attgenerated FROM pg_catalog.pg_attribute a "
     "WHERE a.attrelid = 'public.patients'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"),
    ("psql tab", "SELECT c.relname, NULL::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p') "
     "AND (c.relname) LIKE 'pat%' AND pg_catalog.pg_table_is_visible(c.oid) AND c.relnamespace <> "
     "(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog') UNION ALL SELECT NULL::pg_catalog.text, n.nspname "
     "FROM pg_catalog.pg_namespace n WHERE n.nspname LIKE 'pub%' AND n.nspname NOT LIKE E'pg\\\\_%' LIMIT 1000"),
    ("Npgsql", """
     SELECT ns.nspname, t.oid, t.typname, t.typtype, t.typnotnull, t.elemtypoid
     FROM (SELECT typ.oid, typ.typnamespace, typ.typname, typ.typtype, typ.typrelid, typ.typnotnull, typ.relkind, elemtyp.oid AS elemtypoid,
         elemtyp.typname AS elemtypname, elemcls.relkind AS elemrelkind,
         CASE WHEN elemproc.proname = 'array_recv' THEN 'a' ELSE elemtyp.typtype END AS elemtyptype, typ.typcategory
       FROM (SELECT typ.oid, typnamespace, typname, typrelid, typnotnull, relkind, typelem AS elemoid, typcategory,
           CASE WHEN proc.proname = 'array_recv' THEN 'a' ELSE typ.typtype END AS typtype,
           CASE WHEN proc.proname = 'array_recv' THEN typ.typelem WHEN typ.typtype = 'r' THEN rngsubtype
             WHEN typ.typtype = 'm' THEN (SELECT rngtypid FROM pg_range WHERE rngmultitypid = typ.oid)
             WHEN typ.typtype = 'd' THEN typ.typbasetype END AS elemtypoid
         FROM pg_type AS typ LEFT JOIN pg_class AS cls ON (cls.oid = typ.typrelid) LEFT JOIN pg_proc AS proc ON proc.oid = typ.typreceive
         LEFT JOIN pg_range ON (pg_range.rngtypid = typ.oid)) AS typ
       LEFT JOIN pg_type AS elemtyp ON elemtyp.oid = elemtypoid LEFT JOIN pg_class AS elemcls ON (elemcls.oid = elemtyp.typrelid)
       LEFT JOIN pg_proc AS elemproc ON elemproc.oid = elemtyp.typreceive) AS t
     JOIN pg_namespace AS ns ON (ns.oid = typnamespace)
     WHERE typtype IN ('b', 'r', 'm', 'e', 'd') OR (typtype = 'c' AND relkind = 'c') OR (typtype = 'p' AND typname IN ('record', 'void', 'unknown'))
       OR (typtype = 'a' AND (elemtyptype IN ('b', 'r', 'm', 'e', 'd') OR (elemtyptype = 'p' AND elemtypname IN ('record', 'void'))
         OR (elemtyptype = 'c' AND elemrelkind = 'c')))
     ORDER BY CASE WHEN typtype IN ('b', 'e', 'p') THEN 0 WHEN typtype = 'c' THEN 1 WHEN typtype = 'r' THEN 2
       WHEN typtype = 'm' THEN 3 WHEN typtype = 'd' THEN 4 ELSE 5 END, t.oid"""),
    ("Power BI", "select character_set_name from INFORMATION_SCHEMA.character_sets"),
    ("Power BI", "select TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE from INFORMATION_SCHEMA.tables where TABLE_SCHEMA not in "
     "('information_schema', 'pg_catalog') and TABLE_NAME <> 'billing' order by TABLE_SCHEMA, TABLE_NAME"),
    ("Superset", "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
     "WHERE n.nspname = 'public' AND c.relkind in ('r', 'p') ORDER BY 1"),
    ("Grafana", "SELECT quote_ident(table_name) FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN "
     "('information_schema', 'pg_catalog', '_timescaledb_cache') AND quote_ident(table_name) <> 'billing' ORDER BY 1"),
]
