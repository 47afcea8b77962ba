"""What the policy thinks, over plain data: rules_test.py runs it without a gateway."""

GROUP = "writers"


def problems(settings):
    """What is wrong with the settings, as pairs of JSON pointer and message."""
    found = []
    for key, value in sorted(settings.items()):
        if key != "group":
            found.append((f"/{key}", "is unknown; there is `group`"))
        elif not isinstance(value, str) or not value:
            found.append(("/group", "must be the name of a group"))
    return found


def refusal(writes, is_writer, group):
    """Why not, if so."""
    if writes and not is_writer:
        return f"only {group} may write here; ask for the group"
    return None
