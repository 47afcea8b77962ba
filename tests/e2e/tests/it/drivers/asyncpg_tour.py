"""asyncpg against the gateway: binary everywhere, a statement cache, cursors by portal, COPY, cancel on timeout."""

import asyncio
import datetime
import io
import uuid

import asyncpg
import peer

HELD = "UPDATE intake_drafts SET state = 'all'"
REFUSED = "DELETE FROM intake_drafts"


async def connect(account, **more):
    return await asyncpg.connect(
        user=account, password=peer.token(account), database=peer.DATABASE, ssl=peer.SSLMODE, **peer.DSN, **more
    )


async def fails(error, awaitable):
    try:
        await awaitable
    except error as raised:
        return raised
    raise AssertionError(f"no {error.__name__}")


async def masked_columns(analyst):
    query = "SELECT id, ssn, birth_date, portal_user, balance, allergies, created_at, contact FROM patients WHERE id = $1"
    for patient in range(1, 8):
        row = await analyst.fetchrow(query, patient)
        assert row["id"] == patient and row["ssn"] == "[redacted]", row
        # Only the year of birth remains, and of somebody very old not even that.
        born = row["birth_date"]
        assert born is None or (born.month, born.day) == (1, 1), row
        assert row["portal_user"] is None or isinstance(row["portal_user"], uuid.UUID), row
        assert isinstance(row["allergies"], list), row
    # Without arguments asyncpg's execute speaks the simple protocol; fetch in text is not its way.
    assert await analyst.execute("SELECT ssn FROM patients LIMIT 3; SELECT 1") == "SELECT 1"


async def cursor_by_portal(analyst):
    async with analyst.transaction():
        cursor = await analyst.cursor("SELECT id, ssn, last_name FROM patients ORDER BY id")
        first = await cursor.fetch(10)
        await cursor.forward(90)
        later = await cursor.fetch(1000)
        assert [row["id"] for row in first] == list(range(1, 11))
        assert later[0]["id"] == 101 and len(later) == 1000
        assert all(row["ssn"] == "[redacted]" for row in first + later)
        seen = 0
        async for row in analyst.cursor("SELECT id, ssn FROM patients", prefetch=700):
            assert row["ssn"] == "[redacted]"
            seen += 1
        assert seen == 20_000, seen


async def refusal_in_a_transaction(analyst):
    transaction = analyst.transaction()
    await transaction.start()
    await analyst.execute("INSERT INTO intake_drafts VALUES (9001, 'desk', current_date, 'open')")
    refused = await fails(asyncpg.InsufficientPrivilegeError, analyst.execute(REFUSED))
    assert refused.sqlstate == "42501", refused
    await fails(asyncpg.InFailedSQLTransactionError, analyst.fetchval("SELECT 1"))
    await transaction.rollback()
    assert await analyst.fetchval("SELECT count(*) FROM intake_drafts") == 300
    # A savepoint brings the transaction back.
    async with analyst.transaction():
        nested = analyst.transaction()
        await nested.start()
        await fails(asyncpg.InsufficientPrivilegeError, analyst.fetch(REFUSED + " WHERE $1", True))
        await nested.rollback()
        assert await analyst.fetchval("SELECT count(*) FROM intake_drafts") == 300


async def batch_with_an_error(analyst):
    rows = [(n, "desk", datetime.date(2026, 1, 1), "open") for n in (9101, 9102, 1, 9103)]
    insert = "INSERT INTO intake_drafts VALUES ($1, $2, $3, $4)"
    await fails(asyncpg.UniqueViolationError, analyst.executemany(insert, rows))
    assert await analyst.fetchval("SELECT count(*) FROM intake_drafts") == 300
    await analyst.executemany(insert, [row for row in rows if row[0] != 1])
    assert await analyst.execute("DELETE FROM intake_drafts WHERE id > $1", 9100) == "DELETE 3"


async def copies(analyst, dba):
    out = io.BytesIO()
    copied = await analyst.copy_from_query("SELECT id, ssn FROM patients WHERE id <= $1", 500, output=out)
    text = out.getvalue().decode()
    assert copied == "COPY 500" and text.count("[redacted]") == 500 and not peer.SSN.search(text), text[:200]
    binary = io.BytesIO()
    await analyst.copy_from_table("patients", columns=["id", "ssn"], output=binary, format="binary")
    assert binary.getvalue().startswith(b"PGCOPY\n") and not peer.SSN.search(binary.getvalue().decode("latin-1"))
    await dba.execute("CREATE TEMP TABLE copied (id int, word text, moment timestamptz)")
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    records = [(n, f"word {n}" if n % 5 else None, moment) for n in range(20_000)]
    assert await dba.copy_records_to_table("copied", records=records) == "COPY 20000"
    assert [tuple(row) for row in await dba.fetch("SELECT * FROM copied ORDER BY id")] == records


async def cancel_on_timeout(session):
    await fails(asyncio.TimeoutError, session.fetch("SELECT pg_sleep(300)", timeout=0.3))
    for number in range(5):
        assert await session.fetchval("SELECT $1::int", number) == number, "a late cancel hit the next statement"


async def hold_then_cancel(analyst):
    heard = asyncio.Event()
    analyst.add_log_listener(lambda _, message: heard.set())
    held = asyncio.ensure_future(analyst.execute(HELD, timeout=120))
    await asyncio.wait_for(heard.wait(), 60)
    held.cancel()
    await fails(asyncio.CancelledError, held)
    assert await analyst.fetchval("SELECT count(*) FROM intake_drafts WHERE state = 'all'") == 0


async def policy_changes_between_prepare_and_execute(analyst):
    prepared = await analyst.prepare("SELECT state, status FROM patients WHERE id = $1")
    before = await prepared.fetchrow(1)
    assert len(before["state"]) == 2, before
    await asyncio.to_thread(peer.protect, "public.patients.status")
    after = await prepared.fetchrow(1)
    assert after["state"] == before["state"] and after["status"] != before["status"], (before, after)


async def pool_resets(account):
    """What asyncpg's pool says when a connection is given back: unlock, CLOSE ALL, UNLISTEN, RESET ALL."""
    async with asyncpg.create_pool(
        user=account, password=peer.token(account), database=peer.DATABASE, ssl=peer.SSLMODE, min_size=1, max_size=1, **peer.DSN
    ) as pool:
        for number in range(3):
            async with pool.acquire() as session:
                await session.execute("SET statement_timeout = '1h'")
                assert await session.fetchval("SELECT $1::text", str(number)) == str(number)
        assert await pool.fetchval("SHOW statement_timeout") == "0"


async def tour():
    analyst, dba = await connect("analyst"), await connect("dba")
    await masked_columns(analyst)
    await cursor_by_portal(analyst)
    await refusal_in_a_transaction(analyst)
    await batch_with_an_error(analyst)
    await copies(analyst, dba)
    await cancel_on_timeout(analyst)
    await cancel_on_timeout(dba)
    await hold_then_cancel(analyst)
    assert peer.SSN.fullmatch(await dba.fetchval("SELECT ssn FROM patients WHERE id = $1", 1))
    await pool_resets("analyst")
    await pool_resets("dba")
    await policy_changes_between_prepare_and_execute(analyst)
    await analyst.close()
    await dba.close()
    await fails(asyncpg.InvalidPasswordError, asyncpg.connect(
        user="analyst", password="not-a-token", database=peer.DATABASE, ssl=peer.SSLMODE, **peer.DSN))


asyncio.run(tour())
peer.done()
