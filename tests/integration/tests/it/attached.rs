//! What runs on the server because of what is attached to a table: defaults, triggers, checks, policies on rows, indexes,
//! domains. The text of a statement says nothing of them.

use grille_test_support::World;

use crate::masked::{MAKER, hands_out, masked_in};
use crate::script::{Script, tags};

/// In each the server hands the name of number 7 out, because an administrator's definition reads it.
#[test]
fn what_is_attached_to_a_table_shows_no_protected_value() {
    let world = made(LEAKING);
    let mut leaks = Vec::new();
    for (name, script) in leaking() {
        let direct = script.play(&mut world.direct()).unwrap_or_else(|error| panic!("{name}, direct: {error:#}"));
        assert!(hands_out(&direct), "{name}: the server shows nothing: {} {direct:?}", tags(&direct));
        let got = script.play(&mut world.session(MAKER));
        let got = got.unwrap_or_else(|error| panic!("{name}: the session did not go on: {error:#}"));
        leaks.extend(hands_out(&got).then(|| format!("{name}: {}", tags(&got))));
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

/// What a table usually has attached keeps nobody from writing to it.
#[test]
fn ordinary_definitions_run() {
    let world = made(ORDINARY);
    for sql in ORDINARY_WRITES {
        let direct = Script::default().query(sql).play(&mut world.direct()).unwrap();
        let got = Script::default().query(sql).play(&mut world.session(MAKER)).unwrap();
        assert_eq!(tags(&got), tags(&direct), "{sql}: {:?}", got.iter().find_map(|reply| reply.text()));
        assert!(!tags(&direct).contains('E'), "{sql}: {:?}", direct.iter().find_map(|reply| reply.text()));
    }
}

/// What Django sends to make, fill, read and change the tables of an application, one statement a line.
#[test]
fn an_application_runs_as_it_is_written() {
    let world = made("");
    let mut session = world.session(MAKER);
    for sql in include_str!("django.sql").lines() {
        let got = session.query(sql).unwrap();
        assert!(!tags(&got).contains('E'), "{sql}: {:?}", got.iter().find_map(|reply| reply.text()));
    }
    assert_eq!(session.value("SELECT string_agg(title, ',') FROM app_ward").unwrap(), "a,c");
}

#[test]
fn a_trigger_function_that_somebody_vouches_for_runs() {
    let world = made(LEAKING);
    let (opaque, followed) = ("INSERT INTO d VALUES (1, 'x')", "INSERT INTO c VALUES (1, 'x')");
    for (sql, name) in [(opaque, "public.hides"), (followed, "public.fills")] {
        let refused = world.session(MAKER).query(sql).unwrap();
        let said = refused.iter().find_map(|reply| reply.text()).unwrap_or_default();
        assert!(said.contains(&format!("\"{name}\" to be listed in the policy's `functions`")), "{said}");
    }
    world.reconfigure("columns = [", "functions = [\"public.hides\", \"public.fills\"], columns = [").unwrap();
    for sql in [opaque, followed] {
        assert_eq!(tags(&world.session(MAKER).query(sql).unwrap()), "CZ");
    }
}

/// A world with more in it, made by the owner of its tables.
fn made(sql: &str) -> World {
    let world = masked_in("maker", &["public.numbers.name", "public.numbers.label"]);
    world.cluster.sql("work", &format!("SET ROLE work_app; {sql}")).unwrap();
    world
}

const LEAKING: &str = r"
CREATE FUNCTION told() RETURNS text LANGUAGE sql STABLE AS 'SELECT name FROM public.numbers WHERE id = 7';
CREATE FUNCTION said() RETURNS text LANGUAGE plpgsql AS
  $$BEGIN RETURN (SELECT name FROM public.numbers WHERE id = 7); END$$;
CREATE FUNCTION cried(x text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN RAISE '%', (SELECT name FROM public.numbers WHERE id = 7); END$$;
CREATE TABLE kept (x text);

CREATE TABLE a (id int, x text DEFAULT told());
CREATE TABLE b (id int, x text DEFAULT said());
CREATE VIEW over_a AS SELECT id, x FROM a;
CREATE TABLE plain (id int, x text);
CREATE VIEW over_plain AS SELECT id, x FROM plain;
ALTER VIEW over_plain ALTER x SET DEFAULT said();
CREATE DOMAIN filled AS text DEFAULT said();
CREATE TABLE of_domain (id int, x filled);

CREATE FUNCTION fills() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN NEW.x := (SELECT name FROM public.numbers WHERE id = 7); RETURN NEW; END$$;
CREATE FUNCTION hides() RETURNS trigger LANGUAGE plpgsql AS
  $$DECLARE t text; BEGIN EXECUTE 'SELECT name FROM public.numbers WHERE id = 7' INTO t; NEW.x := t; RETURN NEW; END$$;
CREATE FUNCTION keeps() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.kept SELECT name FROM public.numbers WHERE id = 7; RETURN NULL; END$$;
CREATE TABLE c (id int, x text);
CREATE TRIGGER c BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION fills();
CREATE TABLE d (id int, x text);
CREATE TRIGGER d BEFORE INSERT ON d FOR EACH ROW EXECUTE FUNCTION hides();
CREATE TABLE e (id int, x text);
CREATE TRIGGER e AFTER INSERT OR UPDATE OR DELETE ON e EXECUTE FUNCTION keeps();
CREATE TABLE e_cut (id int);
CREATE TRIGGER e AFTER TRUNCATE ON e_cut EXECUTE FUNCTION keeps();
CREATE VIEW instead AS SELECT 1 AS id, 'x'::text AS x;
CREATE TRIGGER i INSTEAD OF INSERT ON instead FOR EACH ROW EXECUTE FUNCTION fills();
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int REFERENCES parent ON DELETE CASCADE);
CREATE TRIGGER f AFTER DELETE ON child FOR EACH ROW EXECUTE FUNCTION keeps();
CREATE TABLE whole (id int, x text) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (10);
CREATE TRIGGER p BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION fills();
CREATE TABLE cond (id int, x text);
CREATE TRIGGER w BEFORE INSERT ON cond FOR EACH ROW WHEN (cried(NEW.x)) EXECUTE FUNCTION suppress_redundant_updates_trigger();

CREATE TABLE checked (id int, x text CHECK (cried(x)));
CREATE TABLE indexed (id int, x text);
CREATE INDEX ON indexed (cried(x));
CREATE DOMAIN strict AS text CHECK (cried(VALUE));
CREATE TABLE of_strict (id int, x strict);
CREATE TABLE rows (id int, x text);
INSERT INTO rows VALUES (1, 'x');
CREATE POLICY r ON rows USING (cried(x));
ALTER TABLE rows ENABLE ROW LEVEL SECURITY;
ALTER TABLE rows FORCE ROW LEVEL SECURITY;
CREATE FUNCTION sets(x text) RETURNS boolean LANGUAGE plpgsql AS
  $$BEGIN PERFORM set_config('application_name', (SELECT name FROM public.numbers WHERE id = 7), false); RETURN true; END$$;
CREATE TABLE setting (id int, x text);
INSERT INTO setting VALUES (1, 'x');
CREATE POLICY r ON setting USING (sets(x));
ALTER TABLE setting ENABLE ROW LEVEL SECURITY;
ALTER TABLE setting FORCE ROW LEVEL SECURITY;
CREATE FUNCTION folded() RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT name FROM public.numbers WHERE id = 7';
CREATE TABLE explained (id int, x text);
CREATE POLICY r ON explained USING (x <> folded());
ALTER TABLE explained ENABLE ROW LEVEL SECURITY;
ALTER TABLE explained FORCE ROW LEVEL SECURITY;
CREATE VIEW explained_view AS SELECT id FROM plain WHERE x <> folded();
CREATE VIEW over_explained AS SELECT id FROM explained_view;
CREATE TYPE boxed AS (t text);
CREATE FUNCTION boxes(text) RETURNS boxed LANGUAGE plpgsql AS $$BEGIN RETURN ROW(said()); END$$;
CREATE CAST (text AS boxed) WITH FUNCTION boxes(text) AS ASSIGNMENT;
CREATE TABLE of_boxes (id int, x boxed);
ALTER TABLE numbers ADD COLUMN label text DEFAULT told();
CREATE TABLE computed (id int, x text GENERATED ALWAYS AS (cried(id::text)::text) STORED);
";

fn leaking() -> Vec<(&'static str, Script)> {
    let queries = |texts: &[&str]| texts.iter().fold(Script::default(), |script, sql| script.query(sql));
    let kept = "SELECT x FROM kept; TRUNCATE kept";
    vec![
        ("a default, returned", queries(&["INSERT INTO a (id) VALUES (1) RETURNING x"])),
        ("a default, read later", queries(&["TRUNCATE a", "INSERT INTO a DEFAULT VALUES", "SELECT x FROM a"])),
        ("a default that is asked for", queries(&["INSERT INTO a VALUES (1, DEFAULT) RETURNING x"])),
        ("a default of several rows", queries(&["INSERT INTO a VALUES (1, 'x'), (1, DEFAULT) RETURNING x"])),
        ("a default in a WITH", queries(&["WITH w AS (INSERT INTO a (id) VALUES (1) RETURNING x) TABLE w"])),
        (
            "a default that an UPDATE sets",
            queries(&["TRUNCATE a", "INSERT INTO a VALUES (1, 'x')", "UPDATE a SET x = DEFAULT RETURNING x"]),
        ),
        ("a default that a conflict sets", {
            let table = "CREATE TEMP TABLE u (id int UNIQUE, x text); ALTER TABLE u ALTER x SET DEFAULT public.said()";
            queries(&[table, "INSERT INTO u VALUES (1)", "SELECT x FROM u"])
        }),
        ("a default of a MERGE", {
            queries(&[
                "TRUNCATE a",
                "MERGE INTO a USING (VALUES (1)) v(i) ON false WHEN NOT MATCHED THEN INSERT (id) VALUES (i)",
                "SELECT x FROM a",
            ])
        }),
        ("a default of a COPY", {
            queries(&["TRUNCATE a", "COPY a (id) FROM STDIN"]).copy_data("1\n").copy_done().query("SELECT x FROM a")
        }),
        ("a default beneath a view", queries(&["INSERT INTO over_a (id) VALUES (1) RETURNING x"])),
        ("a default of a view", queries(&["INSERT INTO over_plain (id) VALUES (1) RETURNING x"])),
        ("a default that is no SQL", queries(&["INSERT INTO b (id) VALUES (1) RETURNING x"])),
        ("a default of a domain", queries(&["INSERT INTO of_domain (id) VALUES (1) RETURNING x"])),
        ("a default that is copied", {
            queries(&["CREATE TEMP TABLE l (LIKE a INCLUDING ALL)", "INSERT INTO l (id) VALUES (1)", "SELECT x FROM l"])
        }),
        ("a default of a domain in a new table", {
            queries(&["CREATE TEMP TABLE o (id int, x filled)", "INSERT INTO o (id) VALUES (1)", "SELECT x FROM o"])
        }),
        ("the same in one text", {
            queries(&["CREATE TEMP TABLE o (id int, x filled); INSERT INTO o (id) VALUES (1) RETURNING x"])
        }),
        ("a trigger", queries(&["INSERT INTO c VALUES (1, 'x') RETURNING x"])),
        ("a trigger, read later", queries(&["TRUNCATE c", "INSERT INTO c VALUES (1, 'x')", "SELECT x FROM c"])),
        ("a trigger with code in a text", queries(&["INSERT INTO d VALUES (1, 'x') RETURNING x"])),
        ("a trigger that writes elsewhere", queries(&["INSERT INTO e VALUES (1, 'x')", kept])),
        ("a trigger on UPDATE", queries(&["UPDATE e SET x = 'y'", kept])),
        ("a trigger on DELETE", queries(&["DELETE FROM e", kept])),
        ("a trigger on TRUNCATE", queries(&["TRUNCATE e_cut", kept])),
        (
            "a trigger on MERGE",
            queries(&["MERGE INTO e USING (VALUES (1)) v(i) ON false WHEN NOT MATCHED THEN INSERT VALUES (i)", kept]),
        ),
        ("a trigger of a view", queries(&["INSERT INTO instead VALUES (1, 'x') RETURNING x"])),
        ("a trigger of a partition", queries(&["INSERT INTO whole VALUES (1, 'x') RETURNING x"])),
        ("a trigger of what goes along", {
            queries(&["INSERT INTO parent VALUES (1)", "INSERT INTO child VALUES (1)", "DELETE FROM parent", kept])
        }),
        ("a condition of a trigger", queries(&["INSERT INTO cond VALUES (1, 'x')"])),
        ("a check", queries(&["INSERT INTO checked VALUES (1, 'x')"])),
        ("an index", queries(&["INSERT INTO indexed VALUES (1, 'x')"])),
        ("a generated column", queries(&["INSERT INTO computed (id) VALUES (1)"])),
        ("a domain", queries(&["SELECT 'x'::strict"])),
        ("a column of a domain", queries(&["INSERT INTO of_strict VALUES (1, 'x')"])),
        ("an array of a domain", queries(&["SELECT ARRAY['x']::strict[]"])),
        ("a policy on rows", queries(&["SELECT x FROM rows"])),
        ("a policy that sets what the server reports", queries(&["SELECT id FROM setting"])),
        ("a policy in a plan", queries(&["EXPLAIN SELECT id FROM explained"])),
        ("a policy in a plan that writes", queries(&["EXPLAIN DELETE FROM explained"])),
        ("a view in a plan", queries(&["EXPLAIN SELECT id FROM explained_view"])),
        (
            "a view over a view in a plan",
            queries(&["EXPLAIN SELECT id FROM over_explained", "EXPLAIN DELETE FROM over_explained"]),
        ),
        ("a cast that an assignment makes", queries(&["INSERT INTO of_boxes SELECT 1, 'x'::text RETURNING x"])),
        ("the value of a new column", {
            queries(&[
                "SELECT attmissingval FROM pg_attribute WHERE attrelid = 'numbers'::regclass AND attname = 'label'",
            ])
        }),
        ("an error over the value of a new column", {
            queries(&[
                "SELECT attmissingval::text::int FROM pg_attribute WHERE attrelid = 'numbers'::regclass AND atthasmissing",
            ])
        }),
        ("a policy on rows that are written", queries(&["UPDATE rows SET x = 'y'"])),
    ]
}

const ORDINARY: &str = r"
CREATE TABLE things (
  id serial PRIMARY KEY, more int GENERATED ALWAYS AS IDENTITY, key uuid DEFAULT gen_random_uuid(),
  title text CHECK (length(title) < 100), state text NOT NULL DEFAULT 'new', made timestamptz DEFAULT now(),
  changed timestamptz, size int GENERATED ALWAYS AS (length(title)) STORED);
CREATE INDEX ON things (lower(title)) WHERE state = 'new';
CREATE FUNCTION touch() RETURNS trigger AS $$
BEGIN
  -- As each tutorial has it.
  NEW.changed = now();
  RETURN NEW;
END;
$$ LANGUAGE plpgsql;
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON things FOR EACH ROW WHEN (NEW.state <> 'kept') EXECUTE FUNCTION touch();
CREATE TABLE history (at timestamptz DEFAULT now(), what text, who text DEFAULT current_user, old jsonb, new jsonb);
CREATE FUNCTION audit() RETURNS trigger AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO public.history (what, old) VALUES (TG_OP || ' ' || TG_TABLE_NAME, to_jsonb(OLD));
    RETURN OLD;
  ELSIF (TG_OP = 'UPDATE' AND NEW.title IS DISTINCT FROM OLD.title) THEN
    INSERT INTO public.history (what, old, new) VALUES (CASE WHEN true THEN TG_OP END, row_to_json(OLD), to_jsonb(NEW));
  ELSE
    NULL;
  END IF;
  RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON things FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TABLE visits (id bigserial, thing int REFERENCES things ON DELETE CASCADE, at date DEFAULT CURRENT_DATE);
CREATE FUNCTION sane(x text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN x LIKE '%@%'; END$$;
CREATE DOMAIN address AS text CHECK (sane(VALUE));
CREATE TABLE mails (id int, mail address, tenant text DEFAULT current_setting('app.tenant', true));
CREATE POLICY own ON mails USING (tenant IS NOT DISTINCT FROM current_setting('app.tenant', true)) WITH CHECK (sane(mail));
ALTER TABLE mails ENABLE ROW LEVEL SECURITY;
ALTER TABLE mails FORCE ROW LEVEL SECURITY;
CREATE TABLE texts (id int, body text, words tsvector);
CREATE TRIGGER words BEFORE INSERT OR UPDATE ON texts FOR EACH ROW
  EXECUTE FUNCTION tsvector_update_trigger(words, 'pg_catalog.english', body);
CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT upper($1); END;
CREATE FUNCTION twice(a text, text) RETURNS text LANGUAGE sql RETURN a || $2;
CREATE FUNCTION old_style(text, int) RETURNS text LANGUAGE sql AS 'SELECT left($1, $2)';
CREATE TABLE measured (at date NOT NULL, v int) PARTITION BY RANGE (at);
CREATE TABLE measured_now PARTITION OF measured FOR VALUES FROM ('2000-01-01') TO ('2100-01-01');
";

const ORDINARY_WRITES: &[&str] = &[
    "INSERT INTO things (title) VALUES ('a'), ('b')",
    "INSERT INTO things (title, state) VALUES ('c', DEFAULT) RETURNING id, key IS NULL, state",
    "UPDATE things SET title = 'd' WHERE title = 'a'",
    "UPDATE things SET state = DEFAULT WHERE title = 'b' RETURNING state",
    "INSERT INTO visits (thing) SELECT id FROM things",
    "DELETE FROM things WHERE title = 'd'",
    "INSERT INTO mails VALUES (1, 'a@b')",
    "SELECT mail, 'c@d'::address FROM mails",
    "INSERT INTO texts VALUES (1, 'quick foxes')",
    "SELECT shout(title), twice(title, 'x'), old_style(title, 1) FROM things ORDER BY id",
    "SELECT shout(name), twice(name, name), old_style(name, 2) FROM numbers WHERE id = 3",
    "INSERT INTO measured VALUES ('2020-02-02', 1)",
    "UPDATE measured SET v = 2",
    "CREATE TEMP TABLE t (id serial, mail address); INSERT INTO t (mail) VALUES ('a@b') RETURNING id, mail",
];
