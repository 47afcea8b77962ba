"""What applications and tools do on their first day behind the gateway; the first word says which of it."""

import sys

import catalogs
import peer
import psycopg


def connect(account, **more):
    settings = {**peer.DSN, "dbname": peer.DATABASE, "sslmode": "disable", "autocommit": True, **more}
    return psycopg.connect(user=account, password=peer.token(account), **settings)


def one(session, statement, *values):
    return session.execute(statement, values or None).fetchone()[0]


# Of a name that nobody knows a session that is limited to certain relations learns only that it may not use it.
UNKNOWN = (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege)


def fails(error, session, statement):
    try:
        session.execute(statement)
    except error as raised:
        return raised
    raise AssertionError(f"{statement} did not fail")


def discard_all():
    """Npgsql gives connections back to its pool with DISCARD ALL, or with its parts if statements are prepared."""
    for account in ("analyst", "dba"):
        with connect(account) as session:
            shown = one(session, "SELECT ssn FROM patients WHERE id = %s", 1)
            assert (shown == "[redacted]") == (account == "analyst"), shown
            for reset in ("DISCARD ALL", "RESET ALL; CLOSE ALL; UNLISTEN *; DISCARD TEMP; DISCARD SEQUENCES"):
                session.execute("SET search_path = pg_catalog")
                session.execute("SET statement_timeout = '1h'")
                session.execute("CREATE TEMP TABLE scrap (id int)")
                session.execute("PREPARE mine AS SELECT 1")
                fails(UNKNOWN, session, "SELECT ssn FROM patients")
                session.execute(reset)
                fails(UNKNOWN, session, "SELECT * FROM scrap")
                assert one(session, "SHOW statement_timeout") == "0"
                if reset == "DISCARD ALL":
                    gone = (psycopg.errors.InvalidSqlStatementName, psycopg.errors.InsufficientPrivilege)
                    fails(gone, session, "EXECUTE mine")
                else:
                    assert one(session, "EXECUTE mine") == 1
                    session.execute("DEALLOCATE mine")
                assert one(session, "SELECT ssn FROM patients WHERE id = 1") == shown
                # The driver's own prepared statements went as well; it prepares them again.
                session.prepare_threshold = 0
                for _ in range(3):
                    assert one(session, "SELECT ssn FROM patients WHERE id = %s::int", 1) == shown
                session.execute("DEALLOCATE ALL")
                session._prepared.clear()
                session.prepare_threshold = 5


# Whose they are, and what they say on a fresh connection.
FIRST = {
    "pgjdbc": ["SET extra_float_digits = 3", "SET application_name = 'x'",
               "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
               "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
               "SHOW TRANSACTION ISOLATION LEVEL"],
    "psqlODBC": ["SET DateStyle = 'ISO';SET extra_float_digits = 2;show transaction_isolation",
                 "select oid, typbasetype from pg_type where typname = 'lo'", "SET client_encoding = 'UTF8'"],
    "ActiveRecord": ["SET client_min_messages TO 'warning'", "SET standard_conforming_strings = on",
                     "SET intervalstyle = iso_8601", "SET SESSION timezone TO 'UTC'", "SHOW search_path",
                     "SHOW max_identifier_length"],
    "Django": ["SELECT set_config('TimeZone', 'UTC', false)", "SET TIME ZONE 'UTC'",
               "SET default_transaction_isolation = 'read committed'"],
    "SQLAlchemy": ["select pg_catalog.version()", "select current_schema()", "show standard_conforming_strings",
                   "SHOW transaction isolation level"],
    "psycopg2": ["SET datestyle TO 'ISO'", "SET client_encoding TO 'utf8'", "SHOW default_transaction_isolation",
                 "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ"],
    "libpq": ["SELECT pg_catalog.pg_is_in_recovery()", "SHOW transaction_read_only", "SHOW in_hot_standby"],
    "Hibernate": ["SET lock_timeout = '5s'", "SET idle_in_transaction_session_timeout = '10min'", "SET statement_timeout = 0"],
    "Tableau": ["SET DateStyle='ISO'", "SELECT version()", "SELECT current_database(), current_schemas(false), user"],
}


def first_settings():
    for account in ("analyst", "dba"):
        for who, statements in FIRST.items():
            with connect(account) as session:
                for statement in statements:
                    try:
                        session.execute(statement)
                    except psycopg.Error as error:
                        raise AssertionError(f"{who} as {account}: {statement}: {error}") from error
        with connect(account, application_name="a name") as session:
            assert one(session, "SHOW application_name") == "a name"
    # The startup packet may set what SET may.
    for account in ("analyst", "dba"):
        with connect(account, options="-c statement_timeout=5000 -c search_path=public") as session:
            assert one(session, "SHOW statement_timeout") == "5s"
    try:
        connect("analyst", options="-c statement_timeout=5000 -c client_min_messages=debug5")
        raise AssertionError("a masked session reads what the server says of its statements")
    except psycopg.OperationalError as error:
        assert "client_min_messages=debug5 is refused" in str(error), error


def migration():
    """As Flyway and Alembic do it: a lock, a table of versions, tables made and used, all of it or nothing."""
    steps = [
        "CREATE TABLE wards (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE)",
        "INSERT INTO wards (name) VALUES ('north'), ('south')",
        "CREATE TABLE beds (id int PRIMARY KEY, ward int NOT NULL REFERENCES wards, free boolean DEFAULT true)",
        "INSERT INTO beds SELECT n, 1 + n % 2 FROM generate_series(1, 10) n",
        "ALTER TABLE beds ADD COLUMN note text",
        "UPDATE beds SET note = 'window' WHERE id > 8",
        "CREATE INDEX beds_ward ON beds (ward)",
        "CREATE VIEW free_beds AS SELECT w.name, count(*) AS beds FROM beds b JOIN wards w ON w.id = b.ward WHERE b.free GROUP BY 1",
        "ALTER TABLE beds RENAME COLUMN note TO remark",
        "CREATE TYPE shift AS ENUM ('day', 'night')",
        "ALTER TABLE wards ADD COLUMN shift shift DEFAULT 'day'",
        "COMMENT ON TABLE beds IS 'where people lie'",
    ]
    for account in ("analyst", "dba"):
        with connect(account, autocommit=False) as session:
            for outcome in ("rolled back", "committed"):
                session.execute("SELECT pg_advisory_xact_lock(77)")
                session.execute("CREATE TABLE IF NOT EXISTS schema_version (version text PRIMARY KEY, at timestamptz)")
                assert session.execute("SELECT version FROM schema_version").fetchall() == []
                for step in steps:
                    session.execute(step)
                assert session.execute("SELECT * FROM free_beds ORDER BY 1").fetchall() == [("north", 5), ("south", 5)]
                assert session.execute("SELECT remark FROM beds WHERE id = %s", (9,)).fetchone() == ("window",)
                assert session.execute("SELECT shift FROM wards").fetchall() == [("day",), ("day",)]
                session.execute("INSERT INTO schema_version VALUES ('1', now())")
                if outcome == "rolled back":
                    fails(psycopg.errors.DivisionByZero, session, "SELECT 1 / 0")
                    session.rollback()
                    fails(UNKNOWN, session, "SELECT * FROM beds")
                    session.rollback()
                else:
                    session.commit()
        assert peer.upstream("SELECT count(*) FROM beds; SELECT version FROM schema_version") == "10\n1"
        # What one session has made another knows at once.
        with connect(account) as other:
            assert one(other, "SELECT count(*) FROM beds WHERE remark = 'window'") == 2
        peer.upstream("DROP TABLE schema_version; DROP VIEW free_beds; DROP TABLE beds, wards; DROP TYPE shift")


def temporary_tables():
    for account in ("analyst", "dba"):
        with connect(account) as session:
            session.execute("CREATE TEMP TABLE chosen (id bigint PRIMARY KEY, why text)")
            session.cursor().executemany("INSERT INTO chosen VALUES (%s, %s)", [(n, f"reason {n}") for n in range(1, 200)])
            with session.cursor().copy("COPY chosen FROM STDIN") as copy:
                copy.write("200\treason 200\n")
            joined = session.execute("SELECT p.ssn, c.why FROM chosen c JOIN patients p USING (id) ORDER BY c.id").fetchall()
            assert len(joined) == 200 and joined[199][1] == "reason 200"
            assert (joined[0][0] == "[redacted]") == (account == "analyst"), joined[0]
            session.execute("CREATE TEMP TABLE states AS SELECT state, count(*) AS people FROM patients GROUP BY state")
            assert one(session, "SELECT sum(people) FROM states") == 20_000
            session.execute("DELETE FROM chosen WHERE id > 100")
            session.execute("DISCARD TEMP")
            fails(UNKNOWN, session, "SELECT * FROM chosen")
    with connect("analyst") as session:
        for copy in ("CREATE TEMP TABLE loot AS SELECT id, ssn FROM patients", "SELECT id, ssn INTO TEMP loot FROM patients"):
            assert "ssn" in str(fails(psycopg.errors.InsufficientPrivilege, session, copy))
        session.execute("CREATE TEMP TABLE loot (id bigint, word text)")
        fails(psycopg.errors.InsufficientPrivilege, session, "INSERT INTO loot SELECT id, ssn FROM patients")
        assert one(session, "SELECT count(*) FROM loot") == 0


def statement_timeout():
    for account in ("analyst", "dba"):
        with connect(account) as session:
            session.execute("SET statement_timeout = 200")
            ended = fails(psycopg.errors.QueryCanceled, session, "SELECT pg_sleep(300)")
            assert "statement timeout" in str(ended), ended
            assert one(session, "SELECT 1") == 1
            with session.transaction():
                session.execute("SET LOCAL statement_timeout = 0")
                assert one(session, "SELECT 2 FROM pg_sleep(0.3)") == 2
            assert one(session, "SHOW statement_timeout") == "200ms"


def catalog_queries():
    """What tools ask is answered, and to a masked session the same as to another."""
    answers = []
    for account in ("analyst", "dba"):
        with connect(account) as session:
            found = {}
            for who, query in catalogs.QUERIES:
                try:
                    rows = session.execute(query).fetchall()
                except psycopg.Error as error:
                    raise AssertionError(f"{who} as {account}: {query}: {error}") from error
                assert rows, f"{who} as {account} found nothing: {query}"
                found[who, query] = rows
            answers.append(found)
    masked, clear = answers
    for question in masked:
        assert masked[question] == clear[question], (question, masked[question][:3], clear[question][:3])


globals()[sys.argv[1]]()
peer.done()
