"""{{name}}: lets only one group write."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import Problem

import rules
from grille import Severity, block, opinion

# One instance serves one session; `configure` is the first call on each.
group = rules.GROUP


class Lifecycle(exports.Lifecycle):
    def validate(self, settings):
        return [Problem(pointer, message) for pointer, message in rules.problems(json.loads(settings))]

    def configure(self, settings):
        global group
        settings = json.loads(settings)
        for _, message in rules.problems(settings):
            raise Err(message)
        group = settings.get("group", rules.GROUP)


class Sql(exports.Sql):
    def judge(self, session, statement):
        message = rules.refusal(statement.has_effect("write"), session.has_group(group), group)
        if message:
            return opinion(block("writers-only", Severity.MEDIUM, message))
        return opinion()
