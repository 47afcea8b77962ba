"""Short ways to say the common answers. A plugin carries its own copy of this file."""

from wit_world.imports import types
from wit_world.imports.types import Severity

KEEP = types.Treatment_Keep()
TRANSFORM = types.Treatment_Transform()


def finding(rule, severity, message, **facts):
    """Something noticed. Names of facts are written with `_` for `-`: `has_role` becomes `has-role`."""
    attributes = [(name.replace("_", "-"), str(value)) for name, value in facts.items()]
    return types.Finding(rule, severity, message, attributes)


def block(rule, severity, message):
    """A verdict: refuse; the caller reads the message."""
    return types.Verdict_Block(finding(rule, severity, message))


def review(reason, quorums=(), hold_ms=None, hold_in_transaction=False):
    """A verdict: people decide. A quorum is a pair of groups and a number of people; without any, one reviewer."""
    quorums = [types.Quorum(list(groups), people) for groups, people in quorums]
    return types.Verdict_Review(types.Terms(quorums, hold_ms, hold_in_transaction, reason))


def opinion(verdict=types.Verdict_Allow(), *findings):
    """What `session` and `sql` answer."""
    return types.Opinion(verdict, list(findings))


def mask(masker, **parameters):
    """A treatment: `mask("token", class_="ssn")`. An underscore at the end is dropped, for `class` is Python's own."""
    pairs = [(name.rstrip("_"), str(value)) for name, value in parameters.items()]
    return types.Treatment_Mask(types.Masker(masker, pairs))


def every(columns, at_once=256):
    """The columns behind a handle, in order."""
    for start in range(0, columns.len(), at_once):
        yield from columns.range(start, at_once)


def name(error):
    """The name of an error as the contract writes it: `not-granted`. Takes what an import raised, or its value."""
    variant = type(getattr(error, "value", error)).__name__.rpartition("_")[2]
    return "".join("-" + letter.lower() if letter.isupper() else letter for letter in variant).lstrip("-")


__all__ = ["KEEP", "TRANSFORM", "Severity", "block", "every", "finding", "mask", "name", "opinion", "review"]
