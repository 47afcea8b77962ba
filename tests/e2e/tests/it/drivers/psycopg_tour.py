"""psycopg against the gateway, as an application would use it. Ends with one line if everything holds."""

import datetime
import os
import re
import sys
import uuid

import psycopg

SSN = re.compile(r"\b\d{3}-\d{2}-\d{4}\b")
dsn = {"host": "127.0.0.1", "port": sys.argv[1], "dbname": "clinic", "sslmode": "disable"}


def connect(account):
    return psycopg.connect(user=account, password=os.environ[account.upper()], autocommit=True, **dsn)


with connect("analyst") as analyst:
    # Text and binary results, with a statement that the server prepares.
    for binary in (False, True):
        for _ in range(4):
            row = analyst.execute(
                "SELECT id, ssn, birth_date, portal_user, balance, allergies, created_at FROM patients WHERE id = %s",
                (1,),
                prepare=True,
                binary=binary,
            ).fetchone()
            assert row[0] == 1 and row[1] == "[redacted]", row
            assert isinstance(row[2], datetime.date) and (row[2].month, row[2].day) == (1, 1), row
            assert row[3] is None or isinstance(row[3], uuid.UUID), row
            assert isinstance(row[5], list), row

    # A server-side cursor over everything.
    with analyst.transaction(), analyst.cursor(name="all_patients") as cursor:
        cursor.itersize = 5000
        cursor.execute("SELECT id, ssn, last_name FROM patients")
        rows = cursor.fetchall()
        assert len(rows) == 20_000 and not any(SSN.search(str(row)) for row in rows)

    # COPY out, masked.
    with analyst.cursor().copy("COPY (SELECT id, ssn, phone FROM patients ORDER BY id LIMIT 100) TO STDOUT") as copy:
        text = b"".join(bytes(block) for block in copy).decode()
        assert len(text.splitlines()) == 100 and not SSN.search(text), text[:200]

    # A pipeline: the refusal ends it, the session goes on.
    try:
        with analyst.pipeline():
            analyst.execute("SELECT 1")
            analyst.execute("DELETE FROM intake_drafts")
            analyst.execute("SELECT 2")
        raise AssertionError("the pipeline was not refused")
    except psycopg.errors.InsufficientPrivilege:
        pass
    assert analyst.execute("SELECT count(*) FROM intake_drafts").fetchone() == (300,)

    # Many rows in one statement.
    with analyst.transaction(force_rollback=True):
        analyst.cursor().executemany(
            "INSERT INTO intake_drafts VALUES (%s, %s, current_date, 'open')", [(n, "desk") for n in range(1000, 1200)]
        )
        assert analyst.execute("SELECT count(*) FROM intake_drafts").fetchone() == (500,)

with connect("dba") as dba:
    assert SSN.fullmatch(dba.execute("SELECT ssn FROM patients WHERE id = 1").fetchone()[0])

try:
    psycopg.connect(user="analyst", password="not-a-token", **dsn)
    raise AssertionError("no token was needed")
except psycopg.OperationalError:
    pass

print("all of it holds")
