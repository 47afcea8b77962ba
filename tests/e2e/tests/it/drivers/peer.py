"""What the Python drivers' scripts share: how the gateway is reached, and what a protected value looks like."""

import json
import os
import re
import subprocess
import time

# What `demo.json` says.
CARD = json.loads(os.environ["GRILLE_CARD"])
PORT = int(os.environ["GRILLE_PORT"])
DSN = {"host": "127.0.0.1", "port": PORT}
# Over TLS the authority is in PGSSLROOTCERT, which libpq and asyncpg read by themselves.
SSLMODE = os.environ.get("PGSSLMODE", "disable")
DATABASE = "clinic"
SSN = re.compile(r"\b\d{3}-\d{2}-\d{4}\b")


def token(account):
    return os.environ[account.upper()]


def configure(before, after):
    """Changes the gateway's configuration and waits until it is in force."""
    config = CARD["config"]

    def reloads():
        with open(CARD["log"]) as file:
            return file.read().count("reloaded: ")

    start = reloads()
    with open(config) as file:
        text = file.read()
    assert before in text, f"the demo's configuration does not say {before}"
    with open(config + ".new", "w") as file:
        file.write(text.replace(before, after))
    os.replace(config + ".new", config)
    patience = time.monotonic() + 60
    while reloads() == start:
        assert time.monotonic() < patience, "the changed configuration never came into force"
        time.sleep(0.02)


def protect(column):
    configure("columns = [", f'columns = ["{column}", ')


def run(line, password, **more):
    """A client program of PostgreSQL's own; it must end well, and what it printed comes back."""
    env = {**os.environ, "PGPASSWORD": password, "PGCONNECT_TIMEOUT": "30"}
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    ended = subprocess.run(line, env=env, timeout=200, **{**both, **more})
    assert ended.returncode == 0, f"{line}: {ended.stderr.decode()}"
    return ended.stdout.decode() if ended.stdout is not None else ""


def upstream(statement, database=DATABASE):
    """Straight to the database as its superuser: what is true behind the gateway."""
    host, port = CARD["database"]["address"].split(":")
    with open(CARD["database"]["password_file"]) as file:
        password = file.read()
    where = ["-h", host, "-p", port, "-U", CARD["database"]["superuser"], "-d", database]
    return run(["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", *where, "-c", statement], password).strip()


def done():
    print("all of it holds")
