"""Finishes a component: takes out names for debuggers and appends what the plugin says of itself.

    python3 pack.py plugin.toml built.wasm out.wasm
"""

import json
import pathlib
import sys
import tomllib

COMPONENT = b"\0asm\x0d\0\x01\0"
CUSTOM, CORE_MODULE, NESTED_COMPONENT = 0, 1, 4
HOOKS = {
    "all-hooks": "session sql sql-columns sql-result sql-values http-request http-response http-values".split(),
}


def main(manifest, built, out):
    manifest = pathlib.Path(manifest)
    said = tomllib.loads(manifest.read_text())
    schema = json.loads(manifest.with_name(said["settings_schema"]).read_text())
    metadata = {
        "name": said["name"],
        "version": said["version"],
        "description": said["description"],
        "licence": said["licence"],
        "hooks": HOOKS[said["world"]],
        "stateless": said["stateless"],
        "grants": said["grants"],
        "settings": schema,
        "minimum_host": said["minimum_host"],
    }
    data = pathlib.Path(built).read_bytes()
    assert data.startswith(COMPONENT), f"{built} is no component"
    text = json.dumps(metadata, separators=(",", ":"), ensure_ascii=False).encode()
    data = stripped(data) + section(CUSTOM, named(b"grille:metadata", text))
    pathlib.Path(out).write_bytes(data)
    print(f"{out}: {len(data)} bytes")


def stripped(data):
    """The same module or component without custom sections that only debuggers read, all the way down."""
    is_component, out, at = data.startswith(COMPONENT), data[:8], 8
    while at < len(data):
        kind = data[at]
        size, start = number(data, at + 1)
        body, at = data[start : start + size], start + size
        if kind == CUSTOM:
            length, start = number(body, 0)
            name = body[start : start + length].decode()
            if name in ("name", "component-name", "producers") or name.startswith(".debug"):
                continue
        elif is_component and kind in (CORE_MODULE, NESTED_COMPONENT):
            body = stripped(body)
        out += section(kind, body)
    return out


def section(kind, body):
    return bytes([kind]) + leb128(len(body)) + body


def named(name, body):
    return leb128(len(name)) + name + body


def number(data, at):
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def leb128(value):
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


if __name__ == "__main__":
    main(*sys.argv[1:])
