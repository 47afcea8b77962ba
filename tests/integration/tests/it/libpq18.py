"""libpq 18 against the gateway: versions, cancels, direct TLS and OAUTHBEARER. Ends with one line if all of it holds."""

import ctypes
import glob
import os
import pathlib
import threading

import psycopg
import psycopg_binary

PORT, OAUTH_PORT, TOKEN, ISSUER, ROOT = (os.environ[name] for name in ("PORT", "OAUTH_PORT", "TOKEN", "ISSUER", "ROOT"))
host = {"host": "localhost", "hostaddr": "127.0.0.1", "dbname": "work", "user": "work", "autocommit": True}
tls = {"port": PORT, "password": TOKEN, "sslmode": "verify-full", "sslrootcert": ROOT}

assert psycopg.pq.version() >= 180000, psycopg.pq.version()

# Versions, and a cancel through TLS with the key of each.
for asked, spoken in (("3.0", 30000), ("3.2", 30002), ("latest", 30002)):
    with psycopg.connect(max_protocol_version=asked, **host, **tls) as connection:
        assert connection.pgconn.full_protocol_version == spoken, connection.pgconn.full_protocol_version
        ended = threading.Event()

        def cancel():
            # One that comes before the statement does nothing, so it is sent until it hits.
            while not ended.wait(0.3):
                connection.cancel_safe(timeout=30)

        canceller = threading.Thread(target=cancel)
        canceller.start()
        try:
            connection.execute("SELECT pg_sleep(600)")
            raise AssertionError("nobody cancelled it")
        except psycopg.errors.QueryCanceled:
            pass
        finally:
            ended.set()
            canceller.join()
        assert connection.execute("SELECT 'next'").fetchone() == ("next",)
with psycopg.connect(min_protocol_version="3.2", max_protocol_version="3.2", **host, **tls) as connection:
    assert connection.execute("SELECT 1").fetchone() == (1,)

# TLS at once, without the question whether there is any.
with psycopg.connect(sslnegotiation="direct", **host, **tls) as connection:
    assert connection.pgconn.ssl_in_use and connection.execute("SELECT 1").fetchone() == (1,)


# OAUTHBEARER, with a hook in the place of a browser.
class Request(ctypes.Structure):
    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("poll", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


BEARER_TOKEN = 1
token = None
asked = []


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Request))
def give_token(kind, _connection, request):
    if kind != BEARER_TOKEN:
        return 0
    asked.append((request.contents.openid_configuration.decode(), request.contents.scope.decode()))
    request.contents.token = token
    return 1


libraries = pathlib.Path(psycopg_binary.__file__).parent.parent / "psycopg_binary.libs"
libpq = ctypes.CDLL(glob.glob(str(libraries / "libpq-*.so*"))[0])
libpq.PQsetAuthDataHook(give_token)
oauth = {"port": OAUTH_PORT, "oauth_issuer": ISSUER, "oauth_client_id": "psycopg", "require_auth": "oauth"}

token = TOKEN.encode()
with psycopg.connect(**host, **oauth) as connection:
    assert connection.execute("SELECT current_user").fetchone() == ("app",)
assert asked == [(f"{ISSUER}/.well-known/openid-configuration", "openid groups")], asked
token = b"x.y.z"
try:
    psycopg.connect(**host, **oauth)
    raise AssertionError("a bad token opened a session")
except psycopg.OperationalError as error:
    assert "token" in str(error), error
print("all of it holds")
