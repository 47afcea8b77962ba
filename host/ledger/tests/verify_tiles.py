#!/usr/bin/env python3
"""Verifies a C2SP tlog-tiles directory: usage: verify_tiles.py DIRECTORY [VERIFIER_KEY]

Written from the published specifications alone; shares nothing with the program that wrote the directory. Needs only
Python's standard library; the signature is checked if the package `cryptography` is there. Prints one line of JSON.
"""
import base64
import hashlib
import json
import os
import sys


def sha(data):
    return hashlib.sha256(data).digest()


def tree(hashes):
    """Merkle tree hash of RFC 6962, section 2.1, over hashes that stand side by side."""
    if not hashes:
        return sha(b"")
    stack = []  # (height, hash), highest first
    for one in hashes:
        height = 0
        while stack and stack[-1][0] == height:
            one = sha(b"\x01" + stack.pop()[1] + one)
            height += 1
        stack.append((height, one))
    root = stack.pop()[1]
    while stack:
        root = sha(b"\x01" + stack.pop()[1] + root)
    return root


def tile(directory, kind, number, width):
    groups = ["%03d" % (number % 1000)]
    number //= 1000
    while number:
        groups.insert(0, "x%03d" % (number % 1000))
        number //= 1000
    path = os.path.join(directory, "tile", str(kind), *groups)
    for candidate in ([path + ".p/%d" % width] if width < 256 else []) + [path]:
        try:
            with open(candidate, "rb") as file:
                return file.read()
        except FileNotFoundError:
            pass
    sys.exit("missing tile: " + path)


def main():
    directory = sys.argv[1]
    with open(os.path.join(directory, "checkpoint"), encoding="utf-8") as file:
        note = file.read()
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    origin, size, root = text.split("\n")[:3]
    size, root = int(size), base64.b64decode(root, validate=True)

    level = []
    for number in range((size + 255) // 256):
        width = min(256, size - number * 256)
        bundle, at = tile(directory, "entries", number, width), 0
        for _ in range(width):
            length = int.from_bytes(bundle[at:at + 2], "big")
            entry = bundle[at + 2:at + 2 + length]
            if len(entry) != length:
                sys.exit("bundle %d ends early" % number)
            try:
                json.loads(entry)
            except ValueError:
                sys.exit("entry %d is no leaf" % len(level))
            level.append(sha(b"\x00" + entry))
            at += 2 + length
    computed, height = tree(level), 0
    while level:
        for number in range((len(level) + 255) // 256):
            expected = b"".join(level[number * 256:number * 256 + 256])
            if tile(directory, height, number, len(expected) // 32)[:len(expected)] != expected:
                sys.exit("tile %d/%d does not follow from the entries" % (height, number))
        level = [tree(level[n * 256:n * 256 + 256]) for n in range(len(level) // 256)]
        height += 1
    if computed != root:
        sys.exit("root differs: computed %s" % base64.b64encode(computed).decode())

    if len(sys.argv) > 2:
        key = sys.argv[2]
    else:
        with open(os.path.join(directory, "log.vkey"), encoding="utf-8") as file:
            key = file.read().strip()
    name, key_id, material = key.split("+", 2)
    material = base64.b64decode(material, validate=True)
    if material[0] != 1 or sha(name.encode() + b"\n" + material)[:4].hex() != key_id or name != origin:
        sys.exit("the verifier key is not this log's")
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        signature = "not checked: the package cryptography is missing"
    else:
        signature = None
        for line in signatures.splitlines():
            mark, signer, encoded = line.split(" ")
            raw = base64.b64decode(encoded, validate=True)
            if mark == "\u2014" and signer == name and raw[:4].hex() == key_id:
                try:
                    Ed25519PublicKey.from_public_bytes(material[1:]).verify(raw[4:], text.encode())
                    signature = "checked"
                except InvalidSignature:
                    sys.exit("the signature is wrong")
        if signature is None:
            sys.exit("no signature of this key")
    print(json.dumps({"origin": origin, "size": size, "root": base64.b64encode(root).decode(), "signature": signature}))


main()
