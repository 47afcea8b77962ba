-- One statement a line, for whoever compares what two ways to the same server answer. A line says the same to every
-- session: no time of day, no process number, no name of a temporary schema.

-- Numbers
SELECT 1, -1::int2, 32767::int2, 2147483647, 9223372036854775807, -9223372036854775808
SELECT 1.5::float4, 0.1::float8, 'NaN'::float8, 'Infinity'::float4, '-Infinity'::float8, 1e308, 5e-324::float8
SELECT 0::numeric, 1.10::numeric(10,4), -12345678901234567890.0987654321, 'NaN'::numeric, 1e-20::numeric, 1e40::numeric
SELECT 1.50::money, -0.01::money, 42::oid, 4294967295::oid
SELECT true, false, NULL::bool
SELECT id, name, ratio, big, payload FROM numbers WHERE id IN (1, 17, 1000) ORDER BY id

-- Text and bytes
SELECT 'x'::"char", 'x'::char(5), 'x'::varchar(5), 'x'::text, 'x'::name, ''::text, NULL::text
SELECT 'ä€😀', E'tab\tnewline\nquote''backslash\\', U&'\00e4', repeat('lang ', 3000)
SELECT '\x00ff10'::bytea, ''::bytea, E'\\000\\377'::bytea
SELECT B'1010'::bit(4), B'101'::varbit, B''::varbit
SELECT to_tsvector('simple', 'the quick brown fox'), to_tsquery('simple', 'quick & !slow | fox:*A')
SELECT '<a b="c">d</a>'::xml

-- Times
SELECT date '2026-01-31', date '0044-03-15 BC', date 'infinity', date '-infinity'
SELECT time '23:59:59.999999', time '24:00', timetz '12:00+05:30'
SELECT timestamp '2026-01-31 12:00', timestamp 'infinity', timestamptz '2026-01-31 12:00+02', timestamptz '4713-01-01 00:00 BC'
SELECT interval '1 year 2 months -3 days 04:05:06.789', interval '0', interval '-1 us'

-- Structures
SELECT '{"b": 1, "a": [1, 2.0, null]}'::json, '{"b": 1, "a": [1, 2.0, null]}'::jsonb, 'null'::jsonb, '$.a[*] ? (@ > 1)'::jsonpath
SELECT ARRAY[1, NULL, 3], ARRAY['a', NULL, 'b,c', '"', '']::text[], ARRAY[[1, 2], [3, 4]], '[0:1]={5,6}'::int[], '{}'::int8[]
SELECT ARRAY[1.5, NULL]::numeric[], ARRAY['\x00'::bytea], ARRAY[date '2026-01-01', NULL], ARRAY['{"a":1}'::jsonb], ARRAY[true, false]
SELECT ROW(1, 'x', NULL), ROW(1, ROW('y', 2.5)), ROW()
SELECT n FROM numbers n WHERE id = 7
SELECT int4range(1, 5), numrange(NULL, 2.5, '(]'), 'empty'::daterange, tstzrange('2026-01-01 00:00+00', NULL), int8range(1, 3, '[]')
SELECT int4multirange(int4range(1, 3), int4range(7, 9)), '{}'::nummultirange
SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid
SELECT '192.168.0.1/24'::inet, '::1'::inet, '10.0.0.0/8'::cidr, '08:00:2b:01:02:03'::macaddr, '08:00:2b:01:02:03:04:05'::macaddr8
SELECT point '(1,2)', lseg '[(0,0),(1,1)]', path '((0,0),(1,1))', path '[(0,0),(1,1)]', box '(1,1),(0,0)', polygon '((0,0),(1,0),(1,1))', circle '<(0,0),2>', line '{1,-1,0}'
SELECT '0/16B3748'::pg_lsn, '10:20:10,14,15'::pg_snapshot, '(1,2)'::tid, 'numbers'::regclass, 'int4'::regtype, 'pg_catalog.sum(int4)'::regprocedure
SELECT 'unknown', $$dollar$$, $tag$ta$$g$tag$, pg_typeof('x'), NULL

-- Shapes of results
SELECT
SELECT FROM numbers WHERE id <= 3
SELECT id AS a, name AS a, id AS "A b" FROM numbers WHERE id = 1
SELECT * FROM numbers WHERE false
SELECT ctid, tableoid::regclass, xmin IS NOT NULL FROM numbers WHERE id = 1
SELECT count(*), sum(id), avg(ratio), max(name), string_agg(name, ',' ORDER BY id) FROM numbers WHERE id < 20
SELECT id, name FROM numbers ORDER BY id
SELECT a.id, b.id FROM numbers a JOIN numbers b ON a.id = b.id + 1 ORDER BY 1 LIMIT 50
SELECT repeat('x', 300000), repeat('y', 70000)
SELECT * FROM generate_series(1, 3) WITH ORDINALITY AS g(n, o)
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 30) SELECT n, n * n FROM t
SELECT id, row_number() OVER w, lag(id) OVER w FROM numbers WHERE id < 9 WINDOW w AS (ORDER BY id)
SELECT id % 3 AS g, grouping(id % 3), count(*) FROM numbers GROUP BY ROLLUP (id % 3) ORDER BY 1
SELECT * FROM (VALUES (1, 'one'), (2, NULL)) v(n, w)
TABLE notes
VALUES (1, 'x'), (2, 'y')
SELECT x.* FROM numbers n, LATERAL (SELECT n.id + 1 AS next) x WHERE n.id < 4 ORDER BY 1
SELECT * FROM json_to_recordset('[{"a":1,"b":"x"},{"a":2}]') AS r(a int, b text)
SELECT * FROM unnest(ARRAY[1, 2], ARRAY['a', 'b', 'c'])
SELECT id FROM numbers TABLESAMPLE BERNOULLI (100) REPEATABLE (1) WHERE id < 4 ORDER BY id
EXPLAIN (COSTS OFF) SELECT * FROM numbers WHERE id = 1

-- Several statements
SELECT 1; SELECT 'two', 2; SELECT 3 WHERE false
;
SELECT 1;; SELECT 2
BEGIN; SELECT 1; COMMIT
SELECT 1; SELECT 1/0; SELECT 3

-- Commands
CREATE TEMP TABLE t (id int PRIMARY KEY, word varchar(5) NOT NULL, amount numeric CHECK (amount > 0), UNIQUE (word))
INSERT INTO t VALUES (1, 'a', 1.5), (2, 'b', 2.5)
INSERT INTO t VALUES (3, 'c', 3) RETURNING id, word, amount * 2 AS twice
UPDATE t SET amount = amount + 1 WHERE id < 3
UPDATE t SET word = 'z' WHERE id = 3 RETURNING *
INSERT INTO t VALUES (1, 'a', 9) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount RETURNING id, amount
MERGE INTO t USING (VALUES (1), (9)) v(n) ON t.id = v.n WHEN MATCHED THEN UPDATE SET amount = 5 WHEN NOT MATCHED THEN INSERT VALUES (v.n, 'm', 1)
DELETE FROM t WHERE id = 9
WITH gone AS (DELETE FROM t WHERE id = 2 RETURNING *) SELECT * FROM gone
SELECT * FROM t ORDER BY id
CREATE TEMP TABLE u AS SELECT id, name FROM numbers WHERE id < 5
CREATE TEMP VIEW v AS SELECT id FROM t
ALTER TABLE t ADD COLUMN more text DEFAULT 'x'
SELECT * FROM t ORDER BY id
CREATE INDEX ON t (amount)
ANALYZE t
TRUNCATE u
DROP VIEW v
DROP TABLE IF EXISTS nothing_of_that_name
CREATE TEMP SEQUENCE s; SELECT nextval('s'), nextval('s'), currval('s')
PREPARE p (int) AS SELECT $1 + 1
EXECUTE p (41)
EXECUTE p ('x')
DEALLOCATE p
DECLARE c CURSOR WITH HOLD FOR SELECT id FROM numbers ORDER BY id
FETCH 3 FROM c
MOVE 5 FROM c
FETCH BACKWARD 2 FROM c
FETCH ALL FROM no_cursor
CLOSE c
DO $$ BEGIN RAISE NOTICE 'look: %', 7 USING HINT = 'nothing to see', DETAIL = 'a detail'; END $$
DO $$ BEGIN RAISE WARNING 'twice'; RAISE INFO 'and more'; END $$
DO $$ BEGIN RAISE EXCEPTION 'own words' USING ERRCODE = 'P7777', HINT = 'a hint', DETAIL = 'a detail', COLUMN = 'c', TABLE = 't'; END $$
COPY (SELECT id, name, payload FROM numbers WHERE id < 5 ORDER BY id) TO STDOUT
COPY (SELECT id, name FROM numbers WHERE id < 5 ORDER BY id) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)
COPY (SELECT id, ratio, payload FROM numbers WHERE id < 5 ORDER BY id) TO STDOUT (FORMAT binary)
LOCK TABLE t
ROLLBACK
SET search_path = pg_catalog, public
SHOW search_path
RESET search_path
SET TimeZone = 'Asia/Kolkata'
SELECT timestamptz '2026-01-31 12:00+02', timetz '12:00+02'
SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'iso_8601'; SET bytea_output = 'escape'; SET extra_float_digits = 0
SELECT date '2026-01-31', interval '1 year 2 days', '\x00ff'::bytea, 0.1::float8 + 0.2
RESET ALL
SET no_such_setting = 1
SET LOCAL statement_timeout = 5
SELECT set_config('application_name', 'somebody', false), current_setting('application_name')
LISTEN jobs
NOTIFY nobody_hears, 'x'
UNLISTEN *
DISCARD PLANS

-- Errors, with what points at them
SELECT nothing FROM numbers
SELECT naem FROM numbers
SELECT * FROM no_such_table
SELECT no_such_function(1, 'x')
SELECT 1 +
SELEC 1
SELECT 'unterminated
SELECT 1/0
SELECT 'x'::int
SELECT '{"a": '::json
SELECT 99999999999::int4
SELECT 1 + 'ä' || now
INSERT INTO numbers VALUES (50000, NULL)
INSERT INTO t VALUES (51, 'much too long', 1)
BEGIN; CREATE TABLE k (a int CONSTRAINT positive CHECK (a > 0)); INSERT INTO k VALUES (-1)
ROLLBACK
INSERT INTO t VALUES (1, 2, 3, 4, 5, 6)
INSERT INTO numbers VALUES (1, 'again')
SELECT * FROM numbers WHERE id = $1
SELECT (SELECT id FROM numbers)
SELECT sum(id) FROM numbers GROUP BY 2
SELECT pg_read_file('/etc/passwd')
CREATE DATABASE of_mine
VACUUM no_such_table
SAVEPOINT outside
COMMIT
SELECT lo_get(999999)
