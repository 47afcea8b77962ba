//! What is asked of a server to build a snapshot. All values come as text; all names work on PostgreSQL 12 and later.

/// A text whose first value changes when somebody changed the definition of a relation, a view, a function or what
/// else the snapshot holds, and whose second value changes with temporary relations: these come and go with sessions,
/// and only the one that made them needs to know. Costs a scan of small tables, no more.
pub const VERSION: &str = "\
SELECT concat_ws(':',
  (SELECT count(*) || '/' || coalesce(sum(hashint8((oid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_class WHERE oid >= 16384 AND relpersistence <> 't' AND relkind IN ('r','p','v','m','f','S','c')),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((attrelid::bigint << 32) | a.xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = attrelid
    WHERE attrelid >= 16384 AND attnum > 0 AND relpersistence <> 't' AND relkind IN ('r','p','v','m','f','c')),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((oid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_rewrite WHERE oid >= 16384),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((oid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_proc WHERE oid >= 16384),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((oid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_operator WHERE oid >= 16384),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((oid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_cast WHERE oid >= 16384),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((oid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_constraint WHERE oid >= 16384),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((oid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_trigger WHERE NOT tgisinternal),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((oid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_attrdef),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((oid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_policy),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((indexrelid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_index WHERE indexrelid >= 16384),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((oid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_type WHERE oid >= 16384 AND typtype = 'd'),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((oid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_event_trigger),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((inhrelid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_inherits),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((objoid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_description WHERE objoid >= 16384),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((oid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_namespace)),
 concat_ws(':',
  (SELECT count(*) || '/' || coalesce(sum(hashint8((oid::bigint << 32) | xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_class WHERE relpersistence = 't'),
  (SELECT count(*) || '/' || coalesce(sum(hashint8((attrelid::bigint << 32) | a.xmin::text::bigint)::bigint), 0)
     FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = attrelid
    WHERE attnum > 0 AND relpersistence = 't'))";

/// The parts of a snapshot in the order in which [`super::Catalog::from_rows`] takes their rows.
#[must_use]
pub fn queries() -> &'static [(&'static str, &'static str)] {
    PARTS
}

/// How many columns the rows of each part have.
pub(super) const WIDTHS: [usize; 10] = [1, 7, 7, 3, 2, 2, 17, 7, 4, 5];

const PARTS: &[(&str, &str)] = &[
    // View definitions name what this path makes visible without its schema.
    ("path", "SELECT s FROM pg_catalog.unnest(pg_catalog.current_schemas(true)) WITH ORDINALITY AS p(s, n) ORDER BY n"),
    (
        "relations",
        "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence,
                (SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
                  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
                    AND d.refclassid = 'pg_catalog.pg_extension'::regclass LIMIT 1),
                EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN')
           FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind IN ('r','p','v','m','f','S','c')",
    ),
    (
        "columns",
        "SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.attnotnull, pg_catalog.col_description(c.oid, a.attnum),
                a.atttypmod
           FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
          WHERE c.relkind IN ('r','p','v','m','f','S','c') AND a.attnum > 0 AND NOT a.attisdropped
          ORDER BY a.attrelid, a.attnum",
    ),
    (
        "keys",
        "SELECT c.conrelid, c.contype, k.attnum FROM pg_catalog.pg_constraint c, pg_catalog.unnest(c.conkey) AS k(attnum)
          WHERE c.contype IN ('p','f')
         UNION ALL
         SELECT i.indrelid, 'u', k.attnum FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indkey::int2[]) AS k(attnum)
          WHERE (i.indisunique OR i.indisexclusion) AND i.indrelid >= 16384 AND k.attnum > 0
         UNION ALL
         SELECT i.indrelid, 'u', d.refobjsubid FROM pg_catalog.pg_index i JOIN pg_catalog.pg_depend d
             ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = i.indrelid
          WHERE (i.indisunique OR i.indisexclusion) AND i.indrelid >= 16384 AND d.refobjsubid > 0",
    ),
    (
        "views",
        "SELECT c.oid, pg_catalog.pg_get_viewdef(c.oid)
           FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind IN ('v','m') AND n.nspname NOT IN ('pg_catalog','information_schema')",
    ),
    ("inherits", "SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits"),
    (
        "functions",
        "SELECT p.oid, n.nspname, p.proname, p.pronargs, p.pronargdefaults, p.provariadic <> 0, p.prokind,
                p.provolatile, l.lanname, p.prorettype, p.proargtypes, p.proallargtypes, p.proargmodes,
                p.proargnames,
                CASE WHEN l.lanname = 'sql' AND n.nspname <> 'pg_catalog' AND p.prokind IN ('f','p')
                     THEN pg_catalog.pg_get_functiondef(p.oid)
                     WHEN l.lanname = 'plpgsql' AND p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype
                      AND NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) AS c WHERE c NOT LIKE 'search_path=%')
                     THEN p.prosrc END,
                (SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
                  WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
                    AND d.refclassid = 'pg_catalog.pg_extension'::regclass LIMIT 1),
                (SELECT c FROM pg_catalog.unnest(p.proconfig) AS c WHERE c LIKE 'search_path=%' LIMIT 1)
           FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
           JOIN pg_catalog.pg_language l ON l.oid = p.prolang",
    ),
    (
        "types",
        "SELECT t.oid, n.nspname, t.typname, t.typtype, t.typrelid,
                CASE WHEN t.typbasetype <> 0 THEN t.typbasetype ELSE t.typelem END, t.typcategory
           FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace",
    ),
    // Operators and casts that the database itself did not bring, and columns that are computed of others.
    (
        "extras",
        "SELECT 'operator', n.nspname, o.oprname, o.oprcode::oid
           FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
          WHERE n.nspname <> 'pg_catalog'
         UNION ALL
         SELECT 'cast', NULL, casttarget::text, castfunc FROM pg_catalog.pg_cast WHERE oid >= 16384 AND castfunc <> 0
         UNION ALL
         SELECT 'generated', a.attnum::text, pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attrelid
           FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
          WHERE a.attgenerated <> ''",
    ),
    // What the server computes by itself when rows are read or written. Of triggers only those that fire in an ordinary
    // session.
    (
        "attached",
        "SELECT 'default', d.adrelid, d.adnum, 0, pg_catalog.pg_get_expr(d.adbin, d.adrelid)
           FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
          WHERE a.attgenerated = ''
         UNION ALL
         SELECT 'check', conrelid, 0, 0, pg_catalog.pg_get_expr(conbin, conrelid)
           FROM pg_catalog.pg_constraint WHERE contype = 'c' AND conrelid >= 16384
         UNION ALL
         SELECT 'check', i.indrelid, 0, 0, e
           FROM pg_catalog.pg_index i, pg_catalog.unnest(ARRAY[pg_catalog.pg_get_expr(i.indexprs, i.indrelid),
                  pg_catalog.pg_get_expr(i.indpred, i.indrelid)]) AS e
          WHERE i.indrelid >= 16384 AND e IS NOT NULL
         UNION ALL
         SELECT 'check', partrelid, 0, 0, pg_catalog.pg_get_expr(partexprs, partrelid)
           FROM pg_catalog.pg_partitioned_table WHERE partexprs IS NOT NULL
         UNION ALL
         SELECT 'policy', p.polrelid, 0, 0, e
           FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid AND c.relrowsecurity,
                pg_catalog.unnest(ARRAY[pg_catalog.pg_get_expr(p.polqual, p.polrelid),
                  pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)]) AS e
          WHERE e IS NOT NULL
         UNION ALL
         SELECT CASE WHEN tgoldtable IS NULL AND tgnewtable IS NULL THEN 'trigger' ELSE 'transition' END,
                tgrelid, tgtype, tgfoid, CASE WHEN tgqual IS NOT NULL THEN pg_catalog.pg_get_triggerdef(oid) END
           FROM pg_catalog.pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')
         UNION ALL
         SELECT 'follower', confrelid, (confdeltype IN ('c','n','d') OR confupdtype IN ('c','n','d'))::int, conrelid, NULL
           FROM pg_catalog.pg_constraint WHERE contype = 'f'
         UNION ALL
         SELECT 'domain-check', contypid, 0, 0, pg_catalog.pg_get_expr(conbin, 0)
           FROM pg_catalog.pg_constraint WHERE contype = 'c' AND contypid >= 16384
         UNION ALL
         SELECT 'domain-default', oid, 0, 0, pg_catalog.pg_get_expr(typdefaultbin, 0)
           FROM pg_catalog.pg_type WHERE oid >= 16384 AND typdefaultbin IS NOT NULL
         UNION ALL
         SELECT 'event', 0, 0, evtfoid, NULL FROM pg_catalog.pg_event_trigger WHERE evtenabled IN ('O', 'A')",
    ),
];
