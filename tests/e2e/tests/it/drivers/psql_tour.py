"""psql against the gateway: several statements in one string, \\gdesc, FETCH_COUNT, \\copy, Ctrl-C, what \\d asks."""

import os
import pty
import re
import select
import signal
import subprocess
import tempfile
import time

import peer


def command(account, *words):
    where = ["-h", "127.0.0.1", "-p", str(peer.PORT), "-U", account, "-d", peer.DATABASE]
    settings = {**os.environ, "PGPASSWORD": peer.token(account), "PGCONNECT_TIMEOUT": "30", "PSQL_PAGER": ""}
    return ["psql", "-X", "-A", "-t", "-q", *where, *words], settings


def psql(account, script, *words):
    """Returns what it printed on both streams, in order."""
    line, env = command(account, *words)
    run = subprocess.run(line, env=env, input=script, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100)
    return run.stdout.strip()


def same(account, script, expected, *words):
    got = psql(account, script, *words)
    assert got == expected, f"{script!r} as {account} gave {got!r}, not {expected!r}"


# Several statements in one string: each has its answer, and one refused one refuses the string.
same("analyst", "", "1\n[redacted]\n3", "-c", "SELECT 1; SELECT ssn FROM patients WHERE id = 1; SELECT 3")
refused = psql("analyst", "", "-c", "SELECT 1; DELETE FROM intake_drafts; SELECT 3")
assert "blocked" in refused or "DELETE" in refused, refused
assert not re.search(r"^[13]$", refused, re.M), refused
same("analyst", "SELECT 1\\;SELECT 2\\;SELECT 3;\n", "1\n2\n3")

# \gdesc describes without running; \bind does not exist before 16.
same("analyst", "SELECT id, ssn, birth_date, allergies, balance FROM patients \\gdesc\n",
     "id|bigint\nssn|text\nbirth_date|date\nallergies|text[]\nbalance|numeric(10,2)")
same("analyst", "SELECT format('SELECT %s', n) FROM generate_series(1, 3) n \\gexec\n", "1\n2\n3")
same("analyst", "SELECT ssn AS word, 7 AS number FROM patients LIMIT 1 \\gset\n\\echo :word :number\n", "[redacted] 7")

# A cursor behind the scenes.
for account, shape in (("analyst", r"\[redacted\]"), ("dba", r"\d{3}-\d{2}-\d{4}")):
    lines = psql(account, "\\set FETCH_COUNT 700\nSELECT id, ssn FROM patients ORDER BY id;\n").splitlines()
    assert len(lines) == 20_000, (account, len(lines), lines[:2])
    assert all(re.fullmatch(rf"{n}\|{shape}", line) for n, line in enumerate(lines, 1)), account

# \copy both ways.
with tempfile.TemporaryDirectory() as place:
    out = os.path.join(place, "out.csv")
    same("analyst", f"\\copy (SELECT id, ssn FROM patients ORDER BY id) to '{out}' (format csv)\n", "")
    with open(out) as file:
        assert file.read() == "".join(f"{n},[redacted]\n" for n in range(1, 20_001))
    same("dba", f"CREATE TEMP TABLE copied (id int, word text);\n\\copy copied from '{out}' (format csv)\n"
         "SELECT count(*), sum(id), min(word) FROM copied;\n", "20000|200010000|[redacted]")
    broken = psql("dba", f"CREATE TEMP TABLE copied (id int);\n\\copy copied from '{out}' (format csv)\nSELECT 4;\n")
    assert "extra data after last expected column" in broken and broken.endswith("4"), broken

# Errors and transactions: the prompt's truth is the server's.
script = "BEGIN;\nDELETE FROM intake_drafts;\nSELECT 1;\nROLLBACK;\nSELECT count(*) FROM intake_drafts;\n"
said = psql("analyst", script)
assert "current transaction is aborted" in said and said.endswith("\n300"), said
said = psql("analyst", "\\set ON_ERROR_ROLLBACK on\n" + script.replace("ROLLBACK", "COMMIT"))
assert "aborted" not in said and said.endswith("1\n300"), said
same("dba", "\\set AUTOCOMMIT off\nCREATE TABLE half (id int);\nROLLBACK;\nSELECT to_regclass('half') IS NULL;\n", "t")
assert psql("dba", "SELECT 1/0;\n\\errverbose\n").count("22012") == 1

# What the backslash commands ask the catalog.
asks = ["\\d", "\\d+ patients", "\\dt+", "\\dv+", "\\dm", "\\di", "\\df", "\\dn+", "\\du", "\\dp", "\\l", "\\dT", "\\dx", "\\ddp",
        "\\d+ patient_overview", "\\sf patients_by_city", "\\sv patient_overview", "\\dC", "\\do", "\\db", "\\dconfig TimeZone",
        "\\conninfo", "\\encoding", "\\dd", "\\des", "\\dF", "\\dRp", "\\dy"]
for account in ("analyst", "dba"):
    for ask in asks:
        said = psql(account, ask + "\n")
        assert "ERROR" not in said, (account, ask, said)
assert "ssn|text" in psql("analyst", "\\d patients\n")

# Ctrl-C at the prompt, while it runs and while it is held; the session goes on. Without a terminal psql would end.
def interrupt(account, statement, started, cancelled="canceling statement"):
    line, env = command(account, "-n", "-v", "PROMPT1=", "-v", "PROMPT2=")
    ours, theirs = pty.openpty()
    child = subprocess.Popen(line, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    heard = ""

    def until(word, nudge=lambda: None):
        nonlocal heard
        patience = time.monotonic() + 60
        while word not in heard:
            assert time.monotonic() < patience, (account, statement, word, heard)
            if select.select([ours], [], [], 0.3)[0]:
                heard += os.read(ours, 4096).decode()
            else:
                nudge()

    # What is typed is echoed, so the words that are waited for are not those that are typed.
    os.write(ours, f"SELECT 'ready' || 1;\n{statement}\n".encode())
    until(started)
    # The first signal may come before the statement runs.
    until(cancelled, lambda: child.send_signal(signal.SIGINT))
    os.write(ours, b"SELECT 'goes' || 'on';\n\\q\n")
    until("goeson")
    assert child.wait(60) == 0, heard
    os.close(ours)


interrupt("dba", "SELECT pg_sleep(300);", "ready1")
interrupt("analyst", "SELECT pg_sleep(300);", "ready1")
interrupt("analyst", "UPDATE intake_drafts SET state = 'all';", "NOTICE", "the review was cancelled")
peer.done()
