"""A list of statements by psql, psycopg and asyncpg, through the gateway and straight to the server: no difference."""

import asyncio
import json
import os
import re
import subprocess

import asyncpg
import psycopg
from psycopg import pq

STATEMENTS = json.loads(os.environ["STATEMENTS"])
# A COPY needs somebody who reads it; psql does.
PLAIN = [statement for statement in STATEMENTS if not statement.startswith("COPY")]


def psql(dsn):
    words = [word for statement in STATEMENTS for word in ("-c", statement)]
    line = ["psql", "-X", "-v", "VERBOSITY=verbose", "-e", *words, dsn]
    ended = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100)
    # Temporary schemas have the number of the session.
    return re.sub(rb"pg_temp_\d+", b"pg_temp", ended.stdout).splitlines()


def shown(result):
    columns = [
        (result.fname(n), result.ftype(n), result.fformat(n), result.fmod(n), result.fsize(n))
        for n in range(result.nfields)
    ]
    rows = [[result.get_value(row, n) for n in range(result.nfields)] for row in range(result.ntuples)]
    fields = {field.name: result.error_field(field) for field in pq.DiagnosticField}
    return result.status, result.command_status, columns, rows, fields


def libpq(dsn, form):
    """psycopg's libpq as it is: every byte of every value, every field of every error and notice."""
    said = []
    with psycopg.connect(dsn, autocommit=True) as session:
        connection = session.pgconn
        connection.notice_handler = lambda notice: said.append(shown(notice))
        for statement in PLAIN:
            if form is None:
                result = connection.exec_(statement.encode())
            else:
                result = connection.exec_params(statement.encode(), None, result_format=form)
            said.append((statement, shown(result), connection.transaction_status))
        said.append([connection.parameter_status(name) for name in (b"TimeZone", b"DateStyle", b"client_encoding")])
    return said


async def binary(dsn):
    """asyncpg, which reads everything in binary and asks the catalog about types that it does not know."""
    words = psycopg.conninfo.conninfo_to_dict(dsn)
    session = await asyncpg.connect(
        host=words["host"], port=int(words["port"]), user=words["user"], password=words["password"],
        database=words["dbname"], ssl=False)
    said = []
    session.add_log_listener(lambda _, message: said.append(message.as_dict()))
    for statement in PLAIN:
        try:
            prepared = await session.prepare(statement)
            # Some of its types show nothing but their address.
            rows = re.sub(r" at 0x[0-9a-f]+", "", repr(await prepared.fetch()))
            said.append((statement, prepared.get_parameters(), prepared.get_attributes(), rows))
        except asyncpg.PostgresError as error:
            said.append((statement, error.as_dict()))
        except Exception as error:  # What the driver itself cannot take is as good to compare.
            said.append((statement, repr(error)))
    await session.close()
    return said


def same(what, through, direct):
    for got, expected in zip(through, direct):
        assert got == expected, f"{what}: through the gateway\n{got}\nstraight from the server\n{expected}"
    assert len(through) == len(direct) > len(PLAIN), (what, len(through), len(direct))


through, direct = os.environ["THROUGH"], os.environ["DIRECT"]
same("psql", psql(through), psql(direct))
for form in (None, 0, 1):
    same(f"libpq, form {form}", libpq(through, form), libpq(direct, form))
same("asyncpg", asyncio.run(binary(through)), asyncio.run(binary(direct)))
print("all of it holds")
