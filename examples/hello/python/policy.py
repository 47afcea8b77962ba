"""`hello` in Python: every hook, every method of every handle and every import, once."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import Problem
from wit_world.exports.sql_result import ResultPlan
from wit_world.imports import clock, counters, detect, kv, log, lookup
from wit_world.imports.http_data import ExchangePlan, PlaceTreatment
from wit_world.imports.log import Level
from wit_world.imports.sql_data import Certainty, KeyKind
from wit_world.imports.types import Batch, Verdict_Allow

from grille import KEEP, TRANSFORM, Severity, block, every, finding, mask, name, opinion, review

AT_ONCE = 100

greeting = "hello"


class Lifecycle(exports.Lifecycle):
    def validate(self, settings):
        return problems(json.loads(settings))

    def configure(self, settings):
        global greeting
        settings = json.loads(settings)
        for problem in problems(settings):
            raise Err(problem.message)
        greeting = settings.get("greeting", greeting)


def problems(settings):
    found = []
    for key, value in sorted(settings.items(), key=lambda item: item[0]):
        pointer = "/" + key.replace("~", "~0").replace("/", "~1")
        if key != "greeting":
            found.append(Problem(pointer, "is unknown"))
        elif not isinstance(value, str):
            found.append(Problem(pointer, "must be a text"))
    return found


class Session(exports.Session):
    def open(self, session):
        log.write(Level.INFO, f"{greeting}: a session opens")
        if session.has_group("strangers"):
            return opinion(block("stranger", Severity.HIGH, f"{greeting}, stranger"))
        who = finding(
            "who",
            Severity.INFO,
            f"{greeting}, {session.display_name()}",
            id=session.id(),
            target=session.target(),
            protocol=session.protocol(),
            roles=",".join(session.roles()),
            has_role=yes_or_no(session.has_role("analyst")),
            listener=session.listener(),
            peer=session.peer(),
            client=session.client(),
            tls=or_none(session.tls()),
            issuer=session.issuer(),
            subject=session.subject(),
            groups=",".join(session.groups()),
            actors=",".join(f"{actor.issuer} {actor.subject}" for actor in session.actors()),
            expires_at=session.expires_at(),
            claims=session.claims(),
        )
        return opinion(Verdict_Allow(), who)


class Sql(exports.Sql):
    def judge(self, session, statement):
        if statement.has_kind("DROP TABLE"):
            return opinion(block("drop", Severity.CRITICAL, f"{greeting}, no"))
        if statement.has_effect("write"):
            quorum = (["reviewers"], 2)
            return opinion(review(f"{greeting}, look at this", [quorum], hold_ms=1000, hold_in_transaction=True))
        text = statement.text()
        findings = [finding("what", Severity.LOW, text, **statement_facts(statement))]
        if "imports" in text:
            findings.append(finding("imports", Severity.MEDIUM, "imports", **imports()))
        return opinion(Verdict_Allow(), *findings)


def statement_facts(statement):
    def used(relation):
        return f"{relation.schema}.{relation.name}:{'w' if relation.is_written else 'r'}"

    def called(function):
        return f"{function.name}:{'known' if function.is_known else 'unknown'}"

    def written(write):
        return f"{write.kind} {write.schema}.{write.table} {enum_name(write.filter)}"

    parameter = statement.parameter(0)
    first = "none"
    if parameter is not None:
        value = "NULL" if parameter.value is None else utf8(parameter.value)
        first = f"{parameter.type_oid}:{'binary' if parameter.is_binary else 'text'}:{value}"
    return {
        "fingerprint": statement.fingerprint(),
        "count": statement.statement_count(),
        "kinds": ",".join(statement.kinds()),
        "effects": ",".join(statement.effects()),
        "relations": ",".join(map(used, statement.relations())),
        "columns": ",".join(f"{full_name(use.column)}:{use.usage}" for use in statement.columns()),
        "functions": ",".join(map(called, statement.functions())),
        "writes": ",".join(map(written, statement.writes())),
        "unknown": ";".join(statement.unknown()),
        "parameters": statement.parameter_count(),
        "first": first,
        "transaction": enum_name(statement.transaction()),
    }


def imports():
    def hits(found):
        return ",".join(f"{hit.kind}:{hit.start}-{hit.end}" for hit in found)

    def body(found):
        return "none" if found is None else utf8(found)

    return {
        "clock": said(lambda: clock.now_ms() and "ok"),
        "add": said(lambda: counters.add("n", 2, 60000)),
        "take": said(lambda: yes_or_no(counters.take("b", 1, 1, 1))),
        "set": said(lambda: kv.set("k", b"v", None) or "ok"),
        "get": said(lambda: body(kv.get("k"))),
        "delete": said(lambda: kv.delete("k") or "ok"),
        "lookup": said(lambda: body(lookup.fetch("directory", "key"))),
        "detect": said(lambda: hits(detect.scan(["SSN 123-45-6789"]))),
    }


class SqlColumns(exports.SqlColumns):
    def classify(self, session, columns):
        return [treatment(column) for column in every(columns, AT_ONCE)]


def treatment(column):
    if column.column == "ssn":
        return mask("token", class_="ssn")
    if column.type_name == "date":
        return mask("year")
    if "secret" in column.comment:
        return mask("null")
    if column.key == KeyKind.FOREIGN:
        return mask("redact")
    return KEEP


class SqlResult(exports.SqlResult):
    def plan(self, session, shape):
        columns = list(every(shape, AT_ONCE))
        verdict = Verdict_Allow()
        if any(column.certainty == Certainty.UNKNOWN for column in columns):
            verdict = block("opaque", Severity.HIGH, f"{greeting}, unclear")
        described = ",".join(map(described_column, columns))
        findings = [finding("shape", Severity.INFO, f"{len(columns)} columns", columns=described)]
        return ResultPlan(verdict, findings, [result_treatment(column) for column in columns])


def described_column(column):
    origins = "+".join(map(full_name, column.origins))
    return f"{column.name}:{column.type_oid}:{column.type_name}:{origins}:{enum_name(column.certainty)}"


def result_treatment(column):
    if column.name == "shout":
        return TRANSFORM
    return mask("redact") if column.certainty == Certainty.DERIVED else KEEP


class SqlValues(exports.SqlValues):
    def transform(self, session, shape, column, values):
        return in_capitals(values)


class HttpRequest(exports.HttpRequest):
    def judge(self, session, exchange):
        path = exchange.path()
        verdict = Verdict_Allow()
        if path.startswith("/secret"):
            verdict = block("secret", Severity.HIGH, f"{greeting}, no")
        accept = exchange.request_header("accept")
        request = finding(
            "request",
            Severity.INFO,
            f"{exchange.method()} {path}",
            authority=exchange.authority(),
            query="&".join(f"{name}={value}" for name, value in exchange.query()),
            q=or_none(exchange.query_value("q")),
            endpoint=or_none(exchange.endpoint()),
            headers=headers(exchange.request_headers()),
            accept="none" if accept is None else utf8(accept),
            body=said(lambda: utf8(exchange.request_body(1024))),
            status=or_none(exchange.status()),
        )
        return ExchangePlan(verdict, [request], [PlaceTreatment("/name", mask("redact"))])


class HttpResponse(exports.HttpResponse):
    def judge(self, session, exchange):
        status = exchange.status() or 0
        verdict = Verdict_Allow()
        if status >= 500:
            verdict = block("broken", Severity.MEDIUM, f"{greeting}, broken")
        kind = exchange.response_header("content-type")
        response = finding(
            "response",
            Severity.INFO,
            str(status),
            headers=headers(exchange.response_headers()),
            type="none" if kind is None else utf8(kind),
            body=said(lambda: utf8(exchange.response_body(1024))),
        )
        return ExchangePlan(verdict, [response], [PlaceTreatment("/entry/*/name", TRANSFORM)])


class HttpValues(exports.HttpValues):
    def transform(self, session, exchange, place, values):
        return in_capitals(values)


def in_capitals(values):
    # `bytes.upper` changes ASCII letters only, so that every offset stays where it is.
    return Batch(values.blob.upper(), values.offsets, values.nulls)


def said(ask):
    """The answer as a text, or the name of the error."""
    try:
        return str(ask())
    except Err as error:
        return name(error)


def headers(fields):
    return ";".join(f"{field.name}={utf8(field.value)}" for field in fields)


def full_name(column):
    return f"{column.schema}.{column.table}.{column.column}"


def enum_name(value):
    return value.name.lower().replace("_", "-")


def yes_or_no(value):
    return "true" if value else "false"


def or_none(value):
    return "none" if value is None else str(value)


def utf8(data):
    """What is no UTF-8 becomes U+FFFD."""
    return data.decode("utf-8", "replace")
