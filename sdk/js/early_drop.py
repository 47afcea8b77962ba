"""Makes a component of componentize-qjs give its handles back in time: `early_drop.py built.wasm out.wasm`

A hook borrows handles and must drop them before it returns. The runtime of componentize-qjs 0.4.5 drops them when the
host has read the answer, which is too late: every hook ends in "borrow handles still remain at the end of the call".

The glue between the contract and the runtime is a module of its own, and all it takes is to change that one. Each hook
is exported through a function that calls it and then drops its handles; what the runtime calls to drop them later does
nothing. That is right because a policy owns no handles: all are borrowed, and only as arguments of hooks.
"""

import pathlib
import sys

PACKAGE = "grille:policy/"
# The handles that the hooks borrow: their first arguments, in order.
BORROWS = {
    "session": ["session"],
    "sql": ["session", "statement"],
    "sql-columns": ["session", "columns"],
    "sql-result": ["session", "result-shape"],
    "sql-values": ["session", "result-shape"],
    "http-request": ["session", "exchange"],
    "http-response": ["session", "exchange"],
    "http-values": ["session", "exchange"],
}
TYPE, IMPORT, FUNCTION, EXPORT, ELEMENT, CODE = 1, 2, 3, 7, 9, 10
CORE_MODULE, NESTED_COMPONENT = 1, 4
MODULE_HEADER, COMPONENT_HEADER = b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"


class Reader:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def number(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def bytes(self):
        size = self.number()
        self.at += size
        return self.data[self.at - size : self.at]

    def rest(self):
        return self.data[self.at :]


def main(built, out):
    data, changed = rewritten(pathlib.Path(built).read_bytes())
    if changed != 1:
        sys.exit(f"{built}: found {changed} modules with hooks and handles instead of one; is it of componentize-qjs?")
    pathlib.Path(out).write_bytes(data)


def rewritten(component):
    """The component, and how many modules of it were changed."""
    out, changed = [COMPONENT_HEADER], 0
    for kind, body in sections(component):
        if kind == NESTED_COMPONENT:
            body, more = rewritten(body)
            changed += more
        elif kind == CORE_MODULE and is_glue(body):
            body, changed = with_early_drops(body), changed + 1
        out.append(section(kind, body))
    return b"".join(out), changed


def is_glue(module):
    found = dict(sections(module))
    has_hooks = any(hook_of(name) for name, _, _ in exports(found.get(EXPORT, b"\0")))
    return has_hooks and any(name.startswith("[resource-drop]") for _, name, _ in imports(found.get(IMPORT, b"\0"))[0])


def with_early_drops(module):
    parts = dict(sections(module))
    functions, imported = imports(parts[IMPORT])
    drops = {
        name.removeprefix("[resource-drop]"): (index, type_index)
        for index, (package, name, type_index) in enumerate(functions)
        if package.startswith(PACKAGE) and name.startswith("[resource-drop]")
    }
    types = vector_of_numbers(parts[FUNCTION])
    bodies = Reader(parts[CODE])
    count, code = bodies.number(), bodies.rest()

    def add(type_index, body):
        nonlocal code
        types.append(type_index)
        code += sized(body)
        return imported + len(types) - 1

    def through(name, kind, index):
        handles = BORROWS.get(hook_of(name), []) if kind == 0 else []
        if not handles:
            return index
        type_index = types[index - imported]
        body = b"\0" + b"".join(b"\x20" + leb128(n) for n in range(parameters(parts[TYPE], type_index)))
        body += b"\x10" + leb128(index)
        for n, handle in enumerate(handles):
            body += b"\x20" + leb128(n) + b"\x10" + leb128(drops[handle][0])
        return add(type_index, body + b"\x0b")

    assert count == len(types), "as many bodies as functions"
    new_exports = [(name, kind, through(name, kind, index)) for name, kind, index in exports(parts[EXPORT])]
    # What the runtime finds in the table instead of a drop: local-free, and nothing but its end.
    nothing = add(next(iter(drops.values()))[1], b"\0\x0b")
    late = {index for index, _ in drops.values()}

    parts[FUNCTION] = leb128(len(types)) + b"".join(map(leb128, types))
    parts[CODE] = leb128(len(types)) + code
    parts[EXPORT] = leb128(len(new_exports)) + b"".join(
        sized(name.encode()) + bytes([kind]) + leb128(index) for name, kind, index in new_exports
    )
    parts[ELEMENT] = elements(parts[ELEMENT], lambda index: nothing if index in late else index)
    known = (FUNCTION, CODE, EXPORT, ELEMENT)
    return MODULE_HEADER + b"".join(
        section(kind, parts[kind] if kind in known else body) for kind, body in sections(module)
    )


def hook_of(name):
    """`sql` of `grille:policy/sql@0.1.0#judge`, if it borrows handles."""
    interface = name.removeprefix(PACKAGE).partition("@")[0]
    return interface if name.startswith(PACKAGE) and "#" in name and interface in BORROWS else None


def sections(data):
    reader = Reader(data, 8)
    while reader.at < len(data):
        yield reader.byte(), reader.bytes()


def imports(body):
    """The imported functions as package, name and type, and how many they are."""
    reader, found = Reader(body), []
    for _ in range(reader.number()):
        package, name, kind = reader.bytes().decode(), reader.bytes().decode(), reader.byte()
        if kind == 0:
            found.append((package, name, reader.number()))
        elif kind == 3:
            reader.at += 2
        else:
            # A table says its type first; both have a lower limit and perhaps an upper one.
            reader.at += kind == 1
            has_upper = reader.byte() & 1
            for _ in range(1 + has_upper):
                reader.number()
    return found, len(found)


def exports(body):
    reader = Reader(body)
    return [(reader.bytes().decode(), reader.byte(), reader.number()) for _ in range(reader.number())]


def parameters(body, wanted):
    """How many parameters a function type has."""
    reader = Reader(body)
    reader.number()
    for _ in range(wanted):
        reader.byte(), reader.bytes(), reader.bytes()
    reader.byte()
    return len(reader.bytes())


def elements(body, change):
    """The one segment that the glue has: functions into the table, from `__table_base` on."""
    reader = Reader(body)
    assert (reader.number(), reader.number(), reader.number()) == (1, 2, 0), "one active segment of table 0"
    assert reader.byte() == 0x23, "from a global on"
    reader.number()
    assert (reader.byte(), reader.byte()) == (0x0B, 0), "functions"
    head, indices = body[: reader.at], [change(index) for index in vector_of_numbers(reader.rest())]
    return head + leb128(len(indices)) + b"".join(map(leb128, indices))


def vector_of_numbers(body):
    reader = Reader(body)
    return [reader.number() for _ in range(reader.number())]


def section(kind, body):
    return bytes([kind]) + sized(body)


def sized(body):
    return leb128(len(body)) + body


def leb128(value):
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


if __name__ == "__main__":
    main(*sys.argv[1:])
