//! Statements that the grammar does not make, and what becomes of statements when words of theirs take each other's places:
//! a column another's, a relation another's, a function another's. Many of them succeed all the same.

use grille_test_support::Chance;

/// Over the tables of [`super::generate::SCHEMA`].
const CORPUS: &[&str] = &[
    "SELECT s.code, rank() OVER (PARTITION BY s.kind ORDER BY s.label) AS r FROM subjects AS s WHERE s.id < 4",
    "SELECT min( s.code ) FILTER ( WHERE s.id > 1 ) AS m, s.kind FROM subjects AS s GROUP BY s.kind",
    "SELECT s.kind, max( s.label ) FROM subjects AS s GROUP BY GROUPING SETS ( ( s.kind ), ( ) )",
    "SELECT s.code, grouping( s.code ) FROM subjects AS s GROUP BY ROLLUP ( s.code )",
    "WITH RECURSIVE w ( n, v ) AS ( SELECT s.id, s.code FROM subjects AS s WHERE s.id = 1 UNION ALL SELECT w.n + 1, w.v FROM w WHERE w.n < 4 ) SELECT w.v, w.n FROM w",
    "WITH w AS MATERIALIZED ( SELECT s.label AS a, s.id FROM subjects AS s ) SELECT upper( w.a ) FROM w JOIN visits AS v ON v.id = w.id",
    "SELECT ( SELECT v.remark FROM visits AS v WHERE v.subject_id = s.id LIMIT 1 ) AS x FROM subjects AS s",
    "SELECT x.v FROM subjects AS s , LATERAL ( VALUES ( s.code ) , ( s.label ) ) AS x ( v )",
    "SELECT u.t FROM subjects AS s , unnest( s.tags ) AS u ( t )",
    "SELECT ARRAY ( SELECT s.code FROM subjects AS s ORDER BY s.id )",
    "SELECT j.key, j.value FROM subjects AS s , jsonb_each_text( s.doc ) AS j",
    "SELECT jsonb_path_query( s.doc, '$.a' ) FROM subjects AS s",
    "SELECT x.a FROM subjects AS s , jsonb_to_record( s.doc ) AS x ( a text, n int )",
    "SELECT x.v FROM subjects AS s , XMLTABLE ( '/r' PASSING xmlelement( NAME r, s.kind ) COLUMNS v text PATH '.' ) AS x",
    "SELECT string_agg( s.code, ',' ORDER BY s.label DESC ) FROM subjects AS s",
    "SELECT json_object_agg( s.id, s.code )::text FROM subjects AS s",
    "SELECT DISTINCT ON ( s.kind ) s.kind, s.code FROM subjects AS s ORDER BY s.kind, s.id",
    "SELECT s.code FROM subjects AS s UNION SELECT v.remark FROM visits AS v",
    "SELECT s.id, s.code FROM subjects AS s EXCEPT SELECT v.id, v.remark FROM visits AS v",
    "SELECT s.* FROM ONLY bases AS s",
    "SELECT ( s ).code FROM subjects AS s WHERE s IS NOT NULL",
    "SELECT s.code FROM subjects AS s TABLESAMPLE system ( 100 )",
    "SELECT s.code, v.remark FROM subjects AS s FULL JOIN visits AS v ON s.id = v.id + 1",
    "SELECT id, code, remark FROM subjects NATURAL JOIN visits",
    "SELECT q.c FROM ( subjects AS s JOIN visits AS v USING ( id, kind ) ) AS q ( i, k, c )",
    "SELECT coalesce( s.code, 'x' ) AS a, nullif( s.label, '' ) AS b FROM subjects AS s OFFSET 1",
    "SELECT CASE s.kind WHEN 'a' THEN s.code WHEN 'b' THEN s.label END FROM subjects AS s",
    "SELECT first_value( s.code ) OVER w, last_value( s.label ) OVER w FROM subjects AS s WINDOW w AS ( ORDER BY s.id )",
    "SELECT percentile_disc( 0.5 ) WITHIN GROUP ( ORDER BY s.code ) FROM subjects AS s",
    "SELECT row( s.id, s.code )::text FROM subjects AS s",
    "SELECT to_json( s.* )::text FROM subjects AS s",
    "SELECT ( to_jsonb( s ) - 'id' )::text FROM subjects AS s",
    "SELECT s.doc || '{}' , s.doc - 'n' FROM subjects AS s",
    "SELECT array_remove( s.tags, NULL ) , s.tags [ 1 : 1 ] FROM subjects AS s",
    "SELECT substring( s.code FROM 2 FOR 5 ) , position( 'q' IN s.code ) FROM subjects AS s",
    "SELECT encode( sha256( s.code::bytea ), 'hex' ) , s.label FROM subjects AS s",
    "SELECT f.code FROM of_kind( 'a' ) AS f WHERE f.label > ''",
    "SELECT f.who, g.n FROM ROWS FROM ( pairs_of( 1 ) , generate_series( 1, 2 ) ) AS f ( who, what, n ) , LATERAL ( SELECT f.n ) AS g",
    "SELECT first_of( s.code ) FROM subjects AS s WHERE EXISTS ( SELECT FROM visits AS v WHERE v.remark > s.code )",
    "SELECT s.a, s.b FROM view_of_view AS s ORDER BY s.b",
    "SELECT s.low || s.code FROM subject_copy AS s",
    "SELECT e.code, e.tableoid::regclass FROM events AS e",
    "VALUES ( ( SELECT max( s.code ) FROM subjects AS s ) , 'x' )",
    "SELECT s.code FROM subjects AS s FETCH FIRST 2 ROWS ONLY",
    "SELECT most_common_vals::text , histogram_bounds::text FROM pg_stats WHERE tablename = 'subjects'",
    "SELECT query FROM pg_stat_activity WHERE datname = current_database()",
    "EXPLAIN ( VERBOSE , COSTS off ) SELECT s.code FROM subjects AS s WHERE s.label > 'm'",
    "BEGIN ; DELETE FROM visits AS v WHERE v.id = 2 RETURNING v.remark, v.* ; ROLLBACK",
    "BEGIN ; UPDATE visits AS v SET kind = 'c' WHERE v.id = 1 RETURNING upper( v.remark ) ; ROLLBACK",
    "BEGIN ; INSERT INTO shelves SELECT 9, s.kind, s.size FROM subjects AS s WHERE s.id = 1 RETURNING kind ; ROLLBACK",
    "BEGIN ; WITH d AS ( DELETE FROM visits AS v RETURNING v.remark ) SELECT d.remark FROM d ; ROLLBACK",
];

/// Words that may take each other's places: what comes out is often a statement again.
const ALIKE: &[&[&str]] = &[
    &["s.code", "s.label", "s.kind", "s.code", "s.label", "s.id::text", "s.doc::text", "s.tags[1]", "s.tags::text"],
    &["v.remark", "v.kind", "v.remark", "v.subject_id::text"],
    &[
        "subjects",
        "subjects",
        "subject_copy",
        "subject_view",
        "( SELECT * FROM subjects )",
        "of_kind( 'a' )",
        "( TABLE subjects )",
    ],
    &["visits", "visits", "( SELECT * FROM visits OFFSET 0 )"],
    &["max(", "min(", "max(", "mode() WITHIN GROUP ( ORDER BY", "array_agg(", "json_agg("],
    &["upper(", "lower(", "reverse(", "initcap(", "first_of(", "quote_ident(", "to_json(", "concat( 'x' ,", "btrim("],
    &["UNION", "UNION ALL", "EXCEPT", "INTERSECT", "EXCEPT ALL"],
    &["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"],
    &["first_value(", "last_value(", "lag(", "lead(", "max(", "string_agg( ',' ,"],
    &["WHERE", "WHERE s.id > 0 AND", "WHERE true AND", "WHERE NOT false AND"],
    &["SELECT", "SELECT", "SELECT DISTINCT", "SELECT 1 ,", "SELECT ALL"],
    &["MATERIALIZED", "NOT MATERIALIZED"],
    &["ORDER BY s.id", "ORDER BY s.id DESC", "ORDER BY s.kind", "LIMIT 3"],
];

/// A statement of the corpus with so many words in others' places.
pub(super) fn statement(chance: &mut Chance) -> String {
    let corpus = CORPUS[chance.below(CORPUS.len())];
    let mut words: Vec<&str> = corpus.split(' ').collect();
    for _ in 0..chance.below(5) {
        // Where a word has no like, another is tried.
        for _ in 0..8 {
            let at = chance.below(words.len());
            let bare = words[at].trim_end_matches(',');
            let Some(alike) = ALIKE.iter().find(|alike| alike.contains(&bare)) else { continue };
            if bare != words[at] {
                words.insert(at + 1, ",");
            }
            words[at] = alike[chance.below(alike.len())];
            break;
        }
    }
    let text = words.join(" ");
    match chance.below(8) {
        0 if text.starts_with("SELECT") => format!("SELECT * FROM ( {text} ) AS q"),
        1 if text.starts_with("SELECT") => format!("SELECT q::text FROM ( {text} ) AS q"),
        2 if text.starts_with("SELECT") => format!("COPY ( {text} ) TO STDOUT"),
        3 if text.starts_with("SELECT") => format!("WITH q AS ( {text} ) TABLE q"),
        _ => text,
    }
}
