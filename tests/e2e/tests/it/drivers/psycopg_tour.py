"""psycopg against the gateway, as an application would use it. Ends with one line if everything holds."""

import contextlib
import datetime
import threading
import uuid

import peer
import psycopg
from peer import SSN

dsn = {**peer.DSN, "dbname": peer.DATABASE, "sslmode": peer.SSLMODE}


def connect(account):
    return psycopg.connect(user=account, password=peer.token(account), autocommit=True, **dsn)


def refused(session, statement):
    try:
        session.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return
    raise AssertionError(f"{statement} was not refused")


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

    # Masked columns from a pipeline, in text and in binary, and an error of the server's in its middle.
    for binary in (False, True):
        with analyst.pipeline() as pipeline:
            cursors = [
                analyst.execute("SELECT id, ssn FROM patients WHERE id = %s", (n,), binary=binary) for n in range(1, 200)
            ]
            assert [cursor.fetchone() for cursor in cursors] == [(n, "[redacted]") for n in range(1, 200)]
            # The server sends an error at once, so it may be raised before the Sync.
            try:
                analyst.execute("SELECT 1")
                analyst.execute("SELECT 1 / 0")
                analyst.execute("SELECT 2")
                pipeline.sync()
                raise AssertionError("nobody divided by zero")
            except psycopg.errors.DivisionByZero:
                with contextlib.suppress(psycopg.errors.PipelineAborted):
                    pipeline.sync()
            assert analyst.execute("SELECT 3").fetchone() == (3,), "the pipeline goes on behind the Sync"

    # COPY in the binary format, masked.
    with analyst.cursor().copy("COPY (SELECT id, ssn, last_name FROM patients) TO STDOUT (FORMAT binary)") as copy:
        copy.set_types(["int8", "text", "text"])
        copied = list(copy.rows())
    assert len(copied) == 20_000 and {row[1] for row in copied} == {"[redacted]"}, copied[:2]

    # A refusal in the middle of a transaction; a savepoint brings it back.
    with analyst.transaction(force_rollback=True):
        analyst.execute("INSERT INTO intake_drafts VALUES (9001, 'desk', current_date, 'open')")
        try:
            with analyst.transaction():
                refused(analyst, "DELETE FROM intake_drafts")
                analyst.execute("SELECT 1")
        except psycopg.errors.InFailedSqlTransaction:
            pass
        assert analyst.execute("SELECT count(*) FROM intake_drafts").fetchone() == (301,)

    # Held, cancelled from another thread, and on.
    noticed = threading.Event()
    analyst.add_notice_handler(lambda notice: noticed.set())
    canceller = threading.Thread(target=lambda: noticed.wait(60) and analyst.cancel_safe())
    canceller.start()
    try:
        analyst.execute("UPDATE intake_drafts SET state = 'all'")
        raise AssertionError("nobody was asked")
    except psycopg.errors.QueryCanceled:
        canceller.join()
    assert analyst.execute("SELECT count(*) FROM intake_drafts WHERE state = 'all'").fetchone() == (0,)

    # A channel may carry what the columns must not show.
    refused(analyst, "LISTEN jobs")

    # Many rows in one statement.
    with analyst.transaction(force_rollback=True):
        analyst.cursor().executemany(
            "INSERT INTO intake_drafts VALUES (%s, %s, current_date, 'open')", [(n, "desk") for n in range(1000, 1200)]
        )
        assert analyst.execute("SELECT count(*) FROM intake_drafts").fetchone() == (500,)

with connect("dba") as dba:
    assert SSN.fullmatch(dba.execute("SELECT ssn FROM patients WHERE id = 1").fetchone()[0])

    # Notifications: to a session that waits, and beside the answer of one that asks.
    with connect("dba") as speaker:
        dba.execute("LISTEN jobs")
        speaker.execute("NOTIFY jobs, 'from elsewhere'")
        assert [note.payload for note in dba.notifies(timeout=60, stop_after=1)] == ["from elsewhere"]
        dba.execute("NOTIFY jobs, 'from here'")
        assert [note.payload for note in dba.notifies(timeout=60, stop_after=1)] == ["from here"]

    # COPY both ways, whole blocks and rows with types.
    dba.execute("CREATE TEMP TABLE copied (id int, word text, moment timestamptz)")
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    rows = [(n, f"word {n}" if n % 5 else None, moment) for n in range(20_000)]
    for form in ("text", "binary"):
        dba.execute("TRUNCATE copied")
        with dba.cursor().copy(f"COPY copied FROM STDIN (FORMAT {form})") as copy:
            copy.set_types(["int4", "text", "timestamptz"])
            for row in rows:
                copy.write_row(row)
        assert dba.execute("SELECT * FROM copied ORDER BY id", binary=form == "binary").fetchall() == rows
    try:
        with dba.cursor().copy("COPY copied FROM STDIN") as copy:
            copy.write("1\tx\t2026-01-01\n")
            raise RuntimeError("changed my mind")
    except RuntimeError:
        pass
    assert dba.execute("SELECT count(*) FROM copied").fetchone() == (20_000,)

try:
    psycopg.connect(user="analyst", password="not-a-token", **dsn)
    raise AssertionError("no token was needed")
except psycopg.OperationalError:
    pass

peer.done()
