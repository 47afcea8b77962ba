//! Statements cut up and put together again: whatever comes out, it is answered and never a panic.

use grille_sql::{Settings, analyse};

use crate::lineage::CASES;
use crate::world::World;

/// Texts per run.
const TEXTS: usize = 20_000;

/// Statements of kinds that the other tables have little of.
const OTHERS: &[&str] = &[
    "CREATE TABLE t (id int PRIMARY KEY, a text DEFAULT 'x' CHECK (a <> ''), FOREIGN KEY (id) REFERENCES staff (id)) PARTITION BY RANGE (id)",
    "ALTER TABLE staff ADD COLUMN x text, DROP COLUMN room, ALTER COLUMN name TYPE text USING upper(name), OWNER TO postgres",
    "CREATE INDEX i ON staff USING btree (lower(name) DESC, id) INCLUDE (room) WHERE id > 1",
    "GRANT SELECT (id), UPDATE ON TABLE staff, clinics TO PUBLIC WITH GRANT OPTION",
    "GRANT EXECUTE ON FUNCTION initial(text) TO postgres; GRANT USAGE ON SCHEMA mart TO postgres; GRANT a, b TO c",
    "CREATE FUNCTION f(a int DEFAULT 1, OUT b text) RETURNS text LANGUAGE sql AS $$ SELECT name FROM staff WHERE id = a $$",
    "CREATE TRIGGER t BEFORE INSERT OR UPDATE OF name ON staff FOR EACH ROW WHEN (new.id > 1) EXECUTE FUNCTION f('x')",
    "DROP TABLE IF EXISTS a.b, c CASCADE; DROP FUNCTION initial(text); DROP SCHEMA s; DROP INDEX CONCURRENTLY i",
    "COMMENT ON COLUMN staff.name IS 'x'; COMMENT ON TABLE staff IS NULL; COMMENT ON FUNCTION initial(text) IS 'x'",
    "COPY staff (id, name) FROM STDIN WITH (FORMAT csv, HEADER true, FORCE_NULL (name)) WHERE id > 1",
    "SET LOCAL TIME ZONE INTERVAL '1' HOUR; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY; RESET x.y; SHOW ALL",
    "PREPARE p (int, text) AS INSERT INTO staff VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING *",
    "EXECUTE p (1, 'a'); DEALLOCATE ALL; DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT 1; FETCH BACKWARD 2 FROM c; CLOSE ALL",
    "MERGE INTO staff s USING (SELECT 1 AS id) x ON s.id = x.id WHEN MATCHED AND s.id > 1 THEN UPDATE SET (name, room) = ROW ('a', 'b') WHEN NOT MATCHED THEN INSERT (id) VALUES (x.id)",
    "CREATE VIEW v (a) WITH (security_barrier) AS SELECT 1 WITH CHECK OPTION; REFRESH MATERIALIZED VIEW CONCURRENTLY patient_copy",
    "CREATE TYPE t AS ENUM ('a'); CREATE TYPE u AS (a int); CREATE DOMAIN d AS int DEFAULT 1 CHECK (value > 0); CREATE TYPE r AS RANGE (subtype = int4)",
    "CREATE POLICY p ON staff FOR SELECT TO PUBLIC USING (id = 1) WITH CHECK (true); ALTER POLICY p ON staff USING (false)",
    "VACUUM (ANALYZE, VERBOSE) staff (name); CLUSTER staff USING i; REINDEX TABLE staff; LOCK TABLE staff IN SHARE MODE; CHECKPOINT",
    "SELECT * FROM staff GROUP BY ROLLUP (id, (name, room)), CUBE (id) HAVING count(*) > 1 WINDOW w AS (PARTITION BY id ORDER BY name ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY 1 DESC NULLS LAST FETCH FIRST 2 ROWS WITH TIES",
    "WITH RECURSIVE t (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t) SEARCH DEPTH FIRST BY n SET o CYCLE n SET c USING p SELECT * FROM t",
    "CREATE RULE r AS ON DELETE TO staff WHERE old.id = 1 DO INSTEAD (INSERT INTO clinics VALUES (1, 'a'); SELECT 1)",
    "BEGIN; SAVEPOINT a; ROLLBACK TO a; RELEASE a; COMMIT AND CHAIN; PREPARE TRANSACTION 'x'; NOTIFY a, 'b'; LISTEN a; UNLISTEN *",
    "CALL tidy(); DO LANGUAGE plpgsql $$ BEGIN END $$; EXPLAIN (ANALYZE, FORMAT json) SELECT 1; TRUNCATE staff, clinics RESTART IDENTITY CASCADE",
    "ALTER TABLE staff RENAME COLUMN room TO x; ALTER SCHEMA mart RENAME TO m; ALTER FUNCTION initial(text) RENAME TO x; ALTER TYPE pair ADD ATTRIBUTE c int",
    "SELECT E'\\xff\\'', U&'d\\0061t', $a$b$a$, B'01', X'ff', 1e10, .5, /* d /* e */ */ 'a'",
];

pub(crate) fn check(world: &World) -> Vec<String> {
    let sources: Vec<Vec<String>> =
        CASES.iter().map(|(text, _)| *text).chain(OTHERS.iter().copied()).map(tokens).collect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % limit.max(1) as u64).expect("small")
    };
    let mut understood = 0_usize;
    for _ in 0..TEXTS {
        let mut text = sources[below(sources.len())].clone();
        for _ in 0..=below(2) {
            let other = &sources[below(sources.len())];
            let from = below(other.len());
            let piece = &other[from..(from + 1 + below(3)).min(other.len())];
            let at = below(text.len());
            let end = (at + below(3)).min(text.len());
            text.splice(at..end, piece.iter().cloned());
        }
        let text = text.join(" ");
        // A panic ends the test and shows the text that it was on.
        let _shown = Shown(&text);
        if analyse(&text, &world.catalog, &Settings::default()).is_ok() {
            understood += 1;
            let _judged = world.protect(&text);
        }
    }
    if understood < TEXTS / 20 { vec![format!("only {understood} of {TEXTS} mutated texts parse")] } else { Vec::new() }
}

/// Names the text that a panic came from.
struct Shown<'t>(&'t str);

impl Drop for Shown<'_> {
    #[allow(clippy::print_stderr, reason = "there is no other way to name the text while a panic unwinds")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the text was: {}", self.0);
        }
    }
}

/// Words, and the marks between them that stand alone.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        let mut part = String::new();
        for character in word.chars() {
            if matches!(character, '(' | ')' | ',' | ';') {
                tokens.push(std::mem::take(&mut part));
                tokens.push(character.to_string());
            } else {
                part.push(character);
            }
        }
        tokens.push(part);
    }
    tokens.retain(|token| !token.is_empty());
    tokens
}
