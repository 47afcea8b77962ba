"""pgbench in its three modes, and pg_dump and pg_restore, through the gateway."""

import os
import re
import tempfile

import peer

CLIENTS, TRANSACTIONS = 4, 100
# The rows of every table in one digest, so that a difference in a single cell shows.
DIGEST = "SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM {} t"
TABLES = ["patients", "encounters", "clinical_notes", "billing", "providers", "intake_drafts", "encounters_by_department"]


def through(database=peer.DATABASE):
    return ["-h", "127.0.0.1", "-p", str(peer.PORT), "-U", "dba"], database


def pgbench(*words):
    where, database = through()
    return peer.run(["pgbench", "-n", *where, *words, database], peer.token("dba"))


def bench():
    pgbench("-i", "-s", "2", "-q")
    assert peer.upstream("SELECT count(*) FROM pgbench_accounts") == "200000"
    done = 0
    for mode in ("simple", "extended", "prepared"):
        for script in ("select-only", "tpcb-like"):
            said = pgbench("-M", mode, "-b", script, "-c", str(CLIENTS), "-j", "2", "-t", str(TRANSACTIONS))
            expected = CLIENTS * TRANSACTIONS
            assert f"actually processed: {expected}/{expected}" in said, said
            assert re.search(r"failed transactions: 0 ", said), said
        done += CLIENTS * TRANSACTIONS
        sums = "SELECT (SELECT count(*) FROM pgbench_history), (SELECT sum(delta) FROM pgbench_history) = sum(abalance)"
        assert peer.upstream(f"{sums} FROM pgbench_accounts") == f"{done}|t"
    pgbench("-i", "-I", "d")


def dump_and_restore():
    peer.upstream("CREATE ROLE copier LOGIN PASSWORD 'copies'", "postgres")
    peer.upstream("CREATE DATABASE copied OWNER copier", "postgres")
    with tempfile.TemporaryDirectory() as place:
        secret = os.path.join(place, "copier.password")
        with open(secret, "w") as file:
            file.write("copies")
        target = f'''
[targets.copied]
protocol = "postgres"
address = "{peer.CARD["database"]["address"]}"
database = "copied"
login = {{ user = "copier", password = {{ file = "{secret}" }} }}
tls = "disable"

[roles.dba]
groups = ["dbas"]
targets = ["copied", '''
        peer.configure('\n[roles.dba]\ngroups = ["dbas"]\ntargets = [', target)
        dump = os.path.join(place, "dump")
        where, database = through()
        peer.run(["pg_dump", *where, "-d", database, "-n", "public", "-Fc", "-f", dump], peer.token("dba"))
        where, database = through("copied")
        # The database has a schema public already; a dump of one schema makes it as well.
        listed = peer.run(["pg_restore", "-l", dump], "")
        contents = os.path.join(place, "contents")
        with open(contents, "w") as file:
            file.writelines(line for line in listed.splitlines(True) if " SCHEMA - public" not in line)
        peer.run(["pg_restore", *where, "-d", database, "-O", "-x", "-e", "-L", contents, dump], peer.token("dba"))
        for table in TABLES:
            before, after = (peer.upstream(DIGEST.format(table), base) for base in (peer.DATABASE, "copied"))
            assert before == after and not before.startswith("0|"), (table, before, after)
        # Restored and dumped again, it says the same; owners and rights are those of another login.
        texts = []
        for database in (peer.DATABASE, "copied"):
            line = ["pg_dump", *where, "-d", database, "-n", "public", "-O", "-x", "--schema-only"]
            # Each dump has a word of its own behind \\restrict.
            texts.append([row for row in peer.run(line, peer.token("dba")).splitlines() if "restrict" not in row])
        assert texts[0] == texts[1] and "CREATE TABLE public.patients (" in texts[0]


bench()
dump_and_restore()
peer.done()
