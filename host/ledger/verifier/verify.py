#!/usr/bin/env python3
"""Verifies an evidence bundle of `grille ledger export`.

    python3 verify.py BUNDLE.tar --key LOG.vkey [--policy POLICY] [--checkpoint NOTE] [--format json]

BUNDLE is the tar file or a directory that it was unpacked into. LOG.vkey is the log's verifier key, or a file that holds
it, as somebody you trust gave it to you. Without --key the copy inside the bundle is used, which proves only that the
bundle agrees with itself. POLICY (C2SP tlog-policy) says which witnesses have to have signed, and may name the log's key;
NOTE is a checkpoint of this log that you kept.

Written from the published formats alone (C2SP signed-note, tlog-checkpoint, tlog-cosignature and tlog-policy, RFC 6962,
DSSE, FORMAT.md of the ledger); it shares no code with the program that wrote the bundle. Needs Python 3.8 and the package `cryptography`. Take it from
where you trust it: the copy in a bundle is a convenience, like the key in it.

Exit code: 0 everything holds, 1 something is damaged, 2 wrong usage, 3 the bundle cannot be read.
"""
import argparse
import base64
import binascii
import datetime
import hashlib
import json
import os
import re
import sys
import tarfile

try:
    from cryptography.exceptions import InvalidSignature, InvalidTag
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError:
    sys.stderr.write("verify.py needs the package cryptography: python3 -m pip install cryptography\n")
    sys.exit(3)

MANIFEST_TYPE = "application/vnd.grille.evidence.v1+json"
APPROVAL_TYPE = "application/vnd.grille.approval.v1+json"
NO_PLUGIN = "0" * 64
CONTENTS_MAX = 129 << 20
ENDS = ("session.close", "node.stop")
STEP = 1000000  # microseconds that wall and monotonic clock may differ by before it is a step


def sha(data):
    return hashlib.sha256(data).digest()


def unbase64(text):
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("bits behind the end")
    return data


def unbase64url(text):
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise ValueError("not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if to_base64url(data) != text:
        raise ValueError("bits behind the end")
    return data


def to_base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Unreadable(Exception):
    """The bundle cannot be read at all."""


class Key:
    """A verifier key of a signed note: <name>+<id>+<base64(kind || Ed25519 public key)>; 1 is a log's, 4 a witness's."""

    def __init__(self, text, kind=1):
        self.text = text.strip()
        try:
            self.name, self.id, material = self.text.split("+", 2)
            material = unbase64(material)
        except (ValueError, binascii.Error):
            raise ValueError("not a verifier key: <origin>+<8 hexadecimal digits>+<base64>")
        if len(material) != 33 or material[0] not in (1, 4):
            raise ValueError("not an Ed25519 verifier key")
        if material[0] != kind:
            raise ValueError("%s is a %s's key" % (self.name, "log" if material[0] == 1 else "witness"))
        if sha(self.name.encode() + b"\n" + material)[:4].hex() != self.id:
            raise ValueError("the verifier key's id does not belong to it")
        self.raw = material[1:]
        self.public = Ed25519PublicKey.from_public_bytes(self.raw)

    def verifies(self, signature, message):
        try:
            self.public.verify(signature, message)
            return True
        except InvalidSignature:
            return False


class Policy:
    """Which logs are believed, and which witnesses have to have signed (C2SP tlog-policy)."""

    def __init__(self, text):
        self.logs, self.members, self.quorum = {}, {}, None
        for number, line in enumerate(text.split("\n")):
            words = line.replace("\t", " ").split(" ")
            words = [word for word in words if word]
            try:
                if any(ord(letter) < 32 and letter != "\t" or ord(letter) == 127 for letter in line):
                    raise ValueError("control characters are not allowed")
                if words and not words[0].startswith("#"):
                    self.take(words)
            except ValueError as error:
                raise ValueError("line %d: %s" % (number + 1, error))
        if self.quorum is None:
            raise ValueError("there is no quorum line")

    def take(self, words):
        if words[0] == "log" and len(words) in (2, 3):
            key = Key(words[1])
            if any(key.raw == known.raw for known in self.logs.values()):
                raise ValueError("a log's key stands there twice")
            self.logs[key.name] = key
        elif words[0] == "witness" and len(words) in (3, 4):
            key = Key(words[2], 4)
            if any(isinstance(known, Key) and known.raw == key.raw for known in self.members.values()):
                raise ValueError("a witness's key stands there twice")
            self.add(words[1], key)
        elif words[0] == "group" and len(words) > 3:
            of = words[3:]
            used = [one for group in self.members.values() if isinstance(group, tuple) for one in group[1]]
            if len(set(of)) < len(of) or set(of) & set(used) or not set(of) <= set(self.members):
                raise ValueError("a member of %s is unknown, or a member already" % words[1])
            need = {"any": "1", "all": str(len(of))}.get(words[2], words[2])
            if not re.fullmatch(r"[0-9]{1,9}", need) or not 1 <= int(need) <= len(of):
                raise ValueError("%s of %d members" % (words[2], len(of)))
            self.add(words[1], (int(need), of))
        elif words[0] == "quorum" and len(words) == 2 and self.quorum is None:
            if words[1] != "none" and words[1] not in self.members:
                raise ValueError("no line above defines %s" % words[1])
            self.quorum = words[1]
        else:
            raise ValueError("%r is no line of a policy" % " ".join(words))

    def add(self, name, member):
        if name == "none" or name in self.members:
            raise ValueError("%s has a meaning already" % name)
        self.members[name] = member

    def judge(self, body, lines):
        """The witnesses that signed, and what the quorum lacks."""
        signed = {}
        for name, member in self.members.items():
            if isinstance(member, Key):
                signed[name] = any(cosigned(member, body, raw) for signer, raw in lines if signer == member.name)
            else:
                signed[name] = sum(signed[one] for one in member[1]) >= member[0]
        by = [name for name, member in self.members.items() if signed[name] and isinstance(member, Key)]
        return by, None if self.quorum == "none" or signed[self.quorum] else self.lack(self.quorum, signed)

    def lack(self, name, signed):
        member = self.members[name]
        if isinstance(member, Key):
            return "the signature of witness %s is missing" % name
        missing = "; ".join(self.lack(one, signed) for one in member[1] if not signed[one])
        have = sum(signed[one] for one in member[1])
        return "group %s takes %d of %d and has %d: %s" % (name, member[0], len(member[1]), have, missing)


def cosigned(key, body, raw):
    """Whether a witness signed this body (C2SP tlog-cosignature): key id, time in seconds, Ed25519 signature."""
    if raw[:4].hex() != key.id or len(raw) != 76:
        return False
    head = "cosignature/v1\ntime %d\n" % int.from_bytes(raw[4:12], "big")
    return key.verifies(raw[12:], (head + body).encode())


def parse_note(note):
    """Body, origin, size, root and signatures of a checkpoint."""
    body, signatures = note.decode().rsplit("\n\n", 1)
    body += "\n"
    origin, size, root = body.split("\n")[:3]
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", size) or len(unbase64(root)) != 32:
        raise ValueError("no checkpoint")
    lines = []
    for line in signatures.splitlines():
        mark, name, encoded = line.split(" ")
        if mark != "\u2014":
            raise ValueError(line)
        lines.append((name, unbase64(encoded)))
    return body, origin, int(size), unbase64(root), lines


def extended(old, old_root, size, root, path):
    """RFC 6962, section 2.1.2, as RFC 9162 words its verification: the first `old` leaves have `old_root`."""
    if not 0 < old <= size:
        return old == 0
    if old == size:
        return not path and old_root == root
    node, last, path = old - 1, size - 1, list(path)
    while node & 1:
        node >>= 1
        last >>= 1
    if node and not path:
        return False
    first = path.pop(0) if node else old_root
    before, after = first, first
    for sibling in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            before, after = sha(b"\x01" + sibling + before), sha(b"\x01" + sibling + after)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            after = sha(b"\x01" + after + sibling)
        node >>= 1
        last >>= 1
    return last == 0 and before == old_root and after == root


def included(index, size, leaf, path, root):
    """RFC 6962, section 2.1.1, as RFC 9162 words its verification."""
    if not 0 <= index < size:
        return False
    node, last, value = index, size - 1, sha(b"\x00" + leaf)
    for sibling in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            value = sha(b"\x01" + sibling + value)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            value = sha(b"\x01" + value + sibling)
        node >>= 1
        last >>= 1
    return last == 0 and value == root


def lz4_block(block, length):
    """An LZ4 block (lz4_Block_format.md), at most `length` bytes long when unpacked."""
    out, at = bytearray(), 0

    def extended(count, at):
        if count == 15:
            while True:
                more = block[at]
                at += 1
                count += more
                if more != 255:
                    break
        return count, at

    while at < len(block):
        token = block[at]
        literals, at = extended(token >> 4, at + 1)
        if at + literals > len(block) or len(out) + literals > length:
            raise ValueError("a literal runs over the end")
        out += block[at:at + literals]
        at += literals
        if at == len(block):
            break
        distance = block[at] | block[at + 1] << 8
        matched, at = extended(token & 15, at + 2)
        matched += 4
        if not 0 < distance <= len(out) or len(out) + matched > length:
            raise ValueError("a match runs over the end")
        while matched > 0:
            piece = out[len(out) - distance:len(out) - distance + min(matched, distance)]
            out += piece
            matched -= len(piece)
    if len(out) != length:
        raise ValueError("it unpacks to another length")
    return bytes(out)


def read_bundle(path):
    """Names and bytes of a bundle's files, and names that occur twice."""
    files, twice = {}, []
    if os.path.isdir(path):
        for folder, _, names in os.walk(path):
            for name in names:
                full = os.path.join(folder, name)
                with open(full, "rb") as file:
                    files[os.path.relpath(full, path).replace(os.sep, "/")] = file.read()
        return files, twice
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    raise Unreadable("%s holds %s, which is no plain file" % (path, member.name))
                if member.name in files:
                    twice.append(member.name)
                files[member.name] = tar.extractfile(member).read()
    except (OSError, tarfile.TarError) as error:
        raise Unreadable("cannot read %s: %s" % (path, error))
    return files, twice


class Verifier:
    def __init__(self, files, key, policy=None, known=None):
        self.files, self.key, self.policy, self.known = files, key, policy, known
        self.witnessed = None
        self.starts, self.times = [], []
        self.damage, self.notes = [], []
        self.sessions, self.records, self.proven, self.told, self.opened = {}, 0, 0, 0, 0
        self.changes, self.wanted, self.envelopes, self.judged = [], {}, {}, []
        self.approvals = 0
        self.manifest = None
        self.origin = self.size = self.root = None

    def bad(self, kind, where, detail, leaf=None, index=None):
        found = {"kind": kind, "file": where, "detail": detail, "index": index, "session": None, "seq": None, "time": None}
        if isinstance(leaf, dict):
            found["session"], found["seq"] = leaf.get("sid"), leaf.get("seq")
            found["time"] = moment(leaf.get("log_time"))
        self.damage.append(found)

    def run(self):
        if not self.check_checkpoint():
            return
        for check in (self.check_manifest, self.settle, self.check_witnesses, self.check_contents, self.check_sessions,
                      self.check_node, self.check_policies, self.check_clocks, self.check_plugins,
                      self.check_approvals):
            try:
                check()
            except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
                self.bad("form", check.__name__, "something there is in no known form: %r" % error)

    # The signed tree head

    def check_checkpoint(self):
        note = self.files.get("checkpoint")
        if note is None:
            self.bad("checkpoint-missing", "checkpoint", "the bundle has no checkpoint")
            return False
        self.note = self.open_note("checkpoint", note)
        if self.note is None:
            return False
        _, self.origin, self.size, self.root, _ = self.note
        return True

    def open_note(self, where, note):
        """A checkpoint that the log's key signed."""
        try:
            body, origin, size, root, lines = parse_note(note)
        except (ValueError, binascii.Error):
            self.bad("checkpoint", where, "it is not a signed checkpoint")
            return None
        if origin != self.key.name:
            self.bad("foreign-log", where, "it is the log %s, and the key is of %s" % (origin, self.key.name))
            return None
        own = [raw[4:] for name, raw in lines if name == self.key.name and raw[:4].hex() == self.key.id]
        if not own:
            self.bad("foreign-key", where, "it is not signed with the key %s" % self.key.text)
            return None
        if not any(self.key.verifies(signature, body.encode()) for signature in own):
            self.bad("checkpoint", where, "its signature does not fit its text")
            return None
        return body, origin, size, root, lines

    def settle(self):
        """Another checkpoint of the same log than the one that the bundle was made under is told once."""
        made = self.manifest and (self.manifest["size"], unbase64(self.manifest["root"]))
        if not made or self.manifest["log"] != self.origin or made == (self.size, self.root):
            return
        if made[0] == self.size:
            self.bad("fork", "checkpoint", "two checkpoints over %d records were signed, and they differ" % self.size)
        else:
            detail = "it covers %d records, and the bundle was made under one over %d" % (self.size, made[0])
            self.bad("older-checkpoint", "checkpoint", detail, None, self.size if self.size < made[0] else None)
        self.size, self.root = made

    def check_witnesses(self):
        notes = [self.note]
        note = self.files.get("witnessed")
        old = self.open_note("witnessed", note) if note is not None else None
        if old is not None and old[2] > self.size:
            detail = "it covers %d records, and a witness saw %d" % (self.size, old[2])
            self.bad("older-checkpoint", "checkpoint", detail, None, self.size)
        elif old is not None:
            proof = [unbase64(line) for line in self.files.get("witnessed.proof", b"").decode().splitlines()]
            if extended(old[2], old[3], self.size, self.root, proof):
                notes.append(old)
            else:
                detail = "the log is not the one that was witnessed: the proof between the two fails"
                self.bad("fork", "witnessed.proof", detail)
        for where, text in self.known or []:
            kept = self.open_note(where, text)
            if kept is not None and kept[2] > self.size:
                detail = "it covers %d records, and %s covers %d" % (self.size, where, kept[2])
                self.bad("older-checkpoint", "checkpoint", detail, None, self.size)
            elif kept is not None and kept[2] == self.size and kept[3] != self.root:
                self.bad("fork", "checkpoint", "it differs from %s, which covers as many records" % where)
        policy = self.policy
        if policy is None and "policy.txt" in self.files:
            policy = Policy(self.files["policy.txt"].decode())
        if policy is None:
            return
        best, lacks = None, None
        for body, _, size, _, lines in notes:
            by, why = policy.judge(body, lines)
            if why is not None:
                lacks = why
            elif best is None or best[0] < size:
                best = (size, by)
        if best is None:
            self.bad("cosignature", "witnessed", lacks)
        self.witnessed = best

    # What the exporter put together

    def check_manifest(self):
        text = self.files.get("manifest.json")
        if text is None:
            self.bad("manifest", "manifest.json", "the bundle has no manifest")
            return
        payload, why = self.open_envelope(text, MANIFEST_TYPE)
        if payload is None:
            self.bad("manifest", "manifest.json", why)
            return
        if text != self.frame(text):
            self.bad("manifest", "manifest.json", "around what is signed, it is not as the exporter wrote it")
        try:
            manifest = json.loads(payload)
            listed = {file["name"]: (file["size"], file["sha256"]) for file in manifest["files"]}
            manifest["ends"] = {one["id"]: one for one in manifest["sessions"]}
            manifest["missing"] = set(manifest["missing"])
        except (ValueError, KeyError, TypeError):
            self.bad("manifest", "manifest.json", "it is in no known form")
            return
        self.manifest = manifest
        for name in sorted(set(listed) - set(self.files)):
            self.bad("file-missing", name, "the file is missing")
        for name in sorted(set(self.files) - set(listed) - {"manifest.json"}):
            self.bad("file-added", name, "the exporter put no such file into the bundle")
        for name in sorted(set(self.files) & set(listed)):
            data = self.files[name]
            if (len(data), sha(data).hex()) != listed[name]:
                self.bad("file", name, "it is not the file that the exporter put into the bundle")

    def frame(self, text):
        """The one form of an envelope: nothing signs what stands around payload and signature."""
        envelope = json.loads(text)
        head = '{"payload":"%s","payloadType":"%s",' % (envelope["payload"], envelope["payloadType"])
        sig = [one["sig"] for one in envelope["signatures"]]
        return (head + '"signatures":[{"keyid":"%s","sig":"%s"}]}' % (self.key.text, "".join(sig))).encode()

    def open_envelope(self, text, wanted):
        """The payload of a DSSE envelope that this key signed, or why there is none."""
        try:
            envelope = json.loads(text)
            kind, payload = envelope["payloadType"], unbase64(envelope["payload"])
            signatures = [unbase64(one["sig"]) for one in envelope["signatures"]]
        except (ValueError, KeyError, TypeError, binascii.Error):
            return None, "it is not a DSSE envelope"
        if kind != wanted:
            return None, "it is signed as %r, not as %r" % (kind, wanted)
        head = ("DSSEv1 %d %s %d " % (len(kind.encode()), kind, len(payload))).encode()
        if not any(self.key.verifies(signature, head + payload) for signature in signatures):
            return None, "its signature does not fit it, or was made with another key"
        return payload, None

    # Records

    def check_contents(self):
        self.keys = {}
        text = self.files.get("keys/contents.json")
        if text is None:
            return
        try:
            for sid, key in json.loads(text).items():
                self.keys[sid] = AESGCM(unbase64(key))
        except (ValueError, AttributeError, TypeError, binascii.Error):
            self.bad("keys", "keys/contents.json", "it is in no known form")

    def parts(self, folder):
        names = [name for name in self.files if re.fullmatch(re.escape(folder) + r"\d+\.ndjson", name)]
        return sorted(names, key=lambda name: int(name[len(folder):-len(".ndjson")]))

    def lines(self, name):
        """Index, leaf, its bytes, its record's text and salt, per line; what is none of it is damage."""
        for number, line in enumerate(self.files[name].split(b"\n")):
            if not line:
                continue
            where = "%s line %d" % (name, number + 1)
            try:
                row = json.loads(line)
                text = row["leaf"].encode()
                leaf, index = json.loads(text), row["index"]
                path = [unbase64(one) for one in row["proof"]]
                record, salt = row.get("record"), row.get("salt")
                if not isinstance(leaf, dict) or not isinstance(index, int):
                    raise ValueError("no leaf")
                for field, kind in (("sid", str), ("seq", int), ("kind", str), ("node", str), ("len", int),
                                    ("log_time", int), ("mono", int)):
                    if not isinstance(leaf[field], kind):
                        raise ValueError(field)
                commit, sealed = unbase64url(leaf["commit"]), unbase64url(leaf["ct_sha256"])
                salt = None if salt is None else unbase64url(salt)
            except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
                self.bad("altered", where, "it is not in the form of a record")
                continue
            self.records += 1
            if leaf["node"] != self.origin:
                self.bad("foreign-log", where, "the record is of the log %s" % leaf["node"], leaf, index)
            elif not included(index, self.size, text, path, self.root):
                self.bad("altered", where, "the record is not number %d under the checkpoint" % index, leaf, index)
            if record is not None and salt is not None:
                body = len(record.encode()).to_bytes(4, "little") + record.encode()
                if sha(salt + body) == commit:
                    self.proven += 1
                else:
                    self.bad("record", where, "its text is not what the leaf commits to", leaf, index)
            elif record is not None:
                self.told += 1
            yield where, index, leaf, text, record, sealed, commit

    def check_sessions(self):
        folders = {}
        for name in self.files:
            found = re.match(r"sessions/([^/]+)/", name)
            if found:
                folders[found.group(1)] = True
        for sid in sorted(folders):
            self.check_session(sid)
        if self.manifest is None:
            return
        for sid, told in sorted(self.manifest["ends"].items()):
            count, end = told["records"], told["end"]
            found, folder = self.sessions.get(sid), "sessions/%s/" % sid
            if found is None:
                begun = {"sid": sid, "log_time": told.get("began")}
                self.bad("session-missing", folder, "the whole session is missing", begun, told.get("first"))
                continue
            if found["records"] < count:
                detail = "it has %d records, and %d were exported: its end is missing" % (found["records"], count)
                self.bad("truncated", folder, detail, *found["last"])
            elif end == "closed" and not found["closed"]:
                self.bad("truncated", folder, "its last record is no close", *found["last"])
            if end != "closed":
                why = "was still open when it was exported" if end == "open" else "ended with its node"
                self.notes.append("session %s %s: it has no close, so more may have followed" % (sid, why))

    def check_session(self, sid):
        folder = "sessions/%s/" % sid
        expected, hashed, first, last, closed = 0, None, None, None, False
        gaps, before = [], None
        for name in self.parts(folder):
            sealed_name = name[:-len("ndjson")] + "sealed"
            sealed, at, fits = self.files.get(sealed_name), 0, True
            if sealed is None:
                self.bad("contents", sealed_name, "the sealed contents are missing", {"sid": sid})
            for where, index, leaf, text, record, digest, commit in self.lines(name):
                seq = leaf["seq"]
                if leaf["sid"] != sid:
                    self.bad("foreign-session", where, "the record is of session %s" % leaf["sid"], leaf, index)
                elif closed:
                    self.bad("inserted", where, "a record stands behind the session's close", leaf, index)
                elif seq > expected:
                    gaps.append([expected, seq, 0, (where, leaf, index)])
                elif seq < expected:
                    gap = next((gap for gap in gaps if gap[0] <= seq < gap[1]), None)
                    if gap is None:
                        self.bad("inserted", where, "number %d stands here again" % seq, leaf, index)
                    else:
                        gap[2] += 1
                        detail = "number %d stands behind number %d" % (seq, expected - 1)
                        self.bad("moved", where, detail, leaf, index)
                elif seq == 0 and (leaf.get("prev") is not None or leaf["kind"] != "session.open"):
                    self.bad("chain", where, "the session does not begin with its opening", leaf, index)
                elif seq > 0 and leaf.get("prev") != hashed:
                    self.bad("chain", where, "the record does not follow the one before it", leaf, index)
                elif last is not None and index <= last:
                    self.bad("chain", where, "the record stands before its predecessor in the log", leaf, index)
                if leaf["kind"] in ENDS:
                    closed = True
                    told = (leaf.get("first"), leaf.get("last"), leaf.get("count"))
                    if told != (first, last, seq + 1):
                        detail = "the close counts %s records from %s to %s" % (told[2], told[0], told[1])
                        self.bad("chain", where, detail, leaf, index)
                if sealed is not None:
                    piece = sealed[at:at + leaf["len"]]
                    at += leaf["len"]
                    before_fits, fits = fits, len(piece) == leaf["len"] and sha(piece) == digest
                    if not fits:
                        # Where a row is missing, the contents of all that follow are displaced: the first is told.
                        if before_fits:
                            detail = "the sealed contents are not those that the leaf names"
                            self.bad("contents", "%s, %s" % (sealed_name, where), detail, leaf, index)
                    elif sid in self.keys:
                        self.open_contents(where, index, leaf, piece, record, commit)
                self.note_record(where, index, leaf, record)
                self.note_time(where, before, leaf, index)
                before = leaf
                first = index if first is None else first
                expected, hashed, last = seq + 1, to_base64url(sha(b"\x00" + text)), index
            if sealed is not None and at < len(sealed):
                self.bad("contents", sealed_name, "%d bytes belong to no record" % (len(sealed) - at), {"sid": sid})
        for start, end, found, (where, leaf, index) in gaps:
            if found < end - start:
                self.bad("missing", where, "number %d of the session is missing before it" % start, leaf, index)
        self.sessions[sid] = {"records": expected, "closed": closed, "last": (before, last)}

    def open_contents(self, where, index, leaf, sealed, record, commit):
        aad = leaf["sid"].encode()[:18].ljust(18, b"\x00") + leaf["seq"].to_bytes(8, "big")
        try:
            text = self.keys[leaf["sid"]].decrypt(sealed[:12], sealed[12:], aad)
        except (InvalidTag, ValueError):
            self.bad("keys", where, "its contents do not open under the session's key", leaf, index)
            return
        flag, salt, contents = text[0], text[1:17], text[17:]
        try:
            if flag == 1:
                length = int.from_bytes(contents[:4], "little")
                if length > CONTENTS_MAX:
                    raise ValueError("too long")
                contents = lz4_block(contents[4:], length)
            elif flag != 0:
                raise ValueError("unknown flag")
        except (ValueError, IndexError):
            self.bad("contents", where, "its contents cannot be unpacked", leaf, index)
            return
        if sha(salt + contents) != commit:
            self.bad("contents", where, "its contents are not what the leaf commits to", leaf, index)
            return
        length = int.from_bytes(contents[:4], "little")
        if record is not None and contents[4:4 + length] != record.encode():
            self.bad("record", where, "its text is not the one in its contents", leaf, index)
            return
        self.opened += 1

    def check_node(self):
        last = None
        for name in self.parts("node/"):
            for where, index, leaf, _, record, _, _ in self.lines(name):
                if last is not None and index <= last:
                    self.bad("chain", where, "the records are not in the order of the log", leaf, index)
                last = index
                self.note_record(where, index, leaf, record)
                if leaf["kind"] in ("node.start", "clock.step"):
                    self.starts.append((index, ahead(leaf)))
                else:
                    self.times.append((where, leaf, index))

    def note_time(self, where, before, leaf, index):
        if before is not None and before["mono"] > leaf["mono"]:
            self.bad("clock", where, "the monotonic clock fell", leaf, index)
        if before is None or abs(ahead(before) - ahead(leaf)) > STEP:
            self.times.append((where, leaf, index))

    def check_clocks(self):
        self.starts.sort()
        for where, leaf, index in self.times:
            earlier = [base for at, base in self.starts if at < index]
            if earlier and abs(earlier[-1] - ahead(leaf)) > STEP:
                seconds = (ahead(leaf) - earlier[-1]) // 1000000
                detail = "the wall clock was set by %d s, and no record before says so" % seconds
                self.bad("clock", where, detail, leaf, index)

    def note_record(self, where, index, leaf, record):
        if record is None:
            if leaf.get("policy") is not None and leaf["kind"] != "policy.change":
                self.judged.append((where, index, leaf, None))
            return
        try:
            told = json.loads(record)
            if told["kind"] != leaf["kind"]:
                self.bad("record", where, "its text is of another kind than its leaf", leaf, index)
                return
            if leaf["kind"] == "policy.change" and told.get("refused") is None:
                self.changes.append((where, index, leaf, told))
            elif leaf["kind"] in ("decision", "session.open"):
                self.judged.append((where, index, leaf, told.get("decision")))
            elif leaf["kind"] == "review" and told.get("envelope") is not None:
                self.envelopes.setdefault(told["request"], []).append((json.loads(told["envelope"]), leaf, index))
        except (ValueError, KeyError, TypeError):
            self.bad("record", where, "its text is in no known form", leaf, index)

    # What decided

    def check_policies(self):
        for where, index, leaf, told in self.changes:
            digest = hashlib.sha256()
            for name, policy in sorted(told["policies"].items()):
                digest.update(policy_lines(name, policy))
                self.want(policy, where, leaf, index)
            if to_base64url(digest.digest()) != leaf.get("policy"):
                self.bad("policy", where, "the policy set is not the one whose digest the leaf holds", leaf, index)
        for where, index, leaf, decision in self.judged:
            if leaf.get("policy") is not None:
                earlier = [change for change in self.changes
                           if change[1] < index and change[2].get("epoch") == leaf.get("epoch")]
                if not earlier:
                    detail = "the change that put policy set %s in force is missing" % leaf.get("epoch")
                    self.bad("policy", where, detail, leaf, index)
                elif earlier[-1][2].get("policy") != leaf["policy"]:
                    detail = "it names another policy set %s than the one in force" % leaf.get("epoch")
                    self.bad("policy", where, detail, leaf, index)
            if not decision:
                continue
            opinions = decision.get("opinions", [])
            digest = hashlib.sha256()
            for opinion in opinions:
                digest.update(policy_lines(opinion["policy"], opinion))
                self.want(opinion, where, leaf, index)
            if (to_base64url(digest.digest()) if opinions else None) != leaf.get("plugins"):
                self.bad("policy", where, "the policies that it names are not those in its leaf", leaf, index)

    def want(self, policy, where, leaf, index):
        if policy["plugin"] != NO_PLUGIN:
            for name in ("plugins/%s.wasm" % policy["plugin"], "plugins/%s.json" % policy["settings"]):
                if name not in self.wanted or index < self.wanted[name][2]:
                    self.wanted[name] = (where, leaf, index)

    def check_plugins(self):
        for name, data in sorted(self.files.items()):
            found = re.fullmatch(r"plugins/([0-9a-f]{64})\.(wasm|json)", name)
            if found and sha(data).hex() != found.group(1):
                what = "component" if found.group(2) == "wasm" else "settings"
                _, leaf, index = self.wanted.get(name, (None, None, None))
                self.bad("plugin", name, "the %s in it are not those that decided under this digest" % what, leaf, index)
        for name, (where, leaf, index) in sorted(self.wanted.items()):
            if name in self.files:
                continue
            if self.manifest is not None and name in self.manifest["missing"]:
                self.notes.append("%s decided and was not kept in the ledger" % name)
            else:
                self.bad("plugin", name, "what decided in %s is missing" % where, leaf, index)

    def check_approvals(self):
        for name, data in sorted(self.files.items()):
            found = re.fullmatch(r"approvals/([^/]+)-(\d+)\.dsse\.json", name)
            if not found:
                continue
            self.approvals += 1
            recorded = self.envelopes.get(found.group(1), [])
            vote = int(found.group(2)) - 1
            _, leaf, index = recorded[vote] if 0 <= vote < len(recorded) else (None, None, None)
            payload, why = self.open_envelope(data, APPROVAL_TYPE)
            if payload is None:
                self.bad("approval", name, why, leaf, index)
                continue
            try:
                told = json.loads(payload)["request_id"]
            except (ValueError, KeyError, TypeError):
                told = None
            if told != found.group(1):
                self.bad("approval", name, "it decides request %s" % told, leaf, index)
            elif json.loads(data) not in [envelope for envelope, _, _ in recorded]:
                self.bad("approval", name, "no record of the log holds it", leaf, index)
        for request, recorded in sorted(self.envelopes.items()):
            there = sum(1 for name in self.files if name.startswith("approvals/%s-" % request))
            for _, leaf, index in recorded[there:there + 1]:
                detail = "what the reviewer signed is missing among the approvals"
                self.bad("approval", "approvals/", detail, leaf, index)


def ahead(leaf):
    """By how much the wall clock is ahead of the monotonic one."""
    return leaf["log_time"] - leaf["mono"]


def policy_lines(name, policy):
    return ("%s\n%s\n%s\n%s\n" % (name, policy["plugin"], policy["settings"], policy["mode"])).encode()


def moment(micros):
    try:
        seconds, micros = divmod(int(micros), 1000000)
        day = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds, microseconds=micros)
        return day.isoformat() + "Z"
    except (TypeError, ValueError, OverflowError):
        return None


def plain(text):
    """Text of strangers with what could move a cursor shown instead."""
    return "".join(letter if letter.isprintable() else "\\u%04x" % ord(letter) for letter in str(text))


def explain(verifier, trusted):
    said = []
    for found in verifier.damage:
        head = "DAMAGED (%s): %s" % (found["kind"], found["detail"])
        rows = [("file", found["file"]), ("session", found["session"]), ("number", found["seq"]),
                ("record", found["index"]), ("time", found["time"])]
        said.append(plain(head))
        said += ["  %-8s %s" % (name, plain(value)) for name, value in rows if value is not None]
    if not verifier.damage:
        closed = sum(1 for one in verifier.sessions.values() if one["closed"])
        said.append("OK: %d records of %d sessions are in the log and unaltered" % (verifier.records, len(verifier.sessions)))
        said.append("  log      %s, checkpoint over %d records" % (plain(verifier.origin), verifier.size))
        said.append("  complete %d of %d sessions, from their opening to their close" % (closed, len(verifier.sessions)))
        said.append("  texts    %d proven by their salts, %d opened with the sessions' keys, %d as the exporter signed them"
                    % (verifier.proven, verifier.opened, verifier.told - min(verifier.told, verifier.opened)))
        said.append("  approvals %d signed" % verifier.approvals)
    if verifier.witnessed:
        size, by = verifier.witnessed
        said.append("  witnessed by %s, up to %d records%s"
                    % (plain(", ".join(by)), size, "" if verifier.policy else "; by the policy inside the bundle"))
    if trusted:
        said.append("  key      the one given with --key")
    else:
        said.append("CAUTION: the key is the one inside the bundle, which whoever made the bundle chose; give yours with --key")
    said += ["  note     " + plain(note) for note in verifier.notes]
    return "\n".join(said) + "\n"


def main():
    parser = argparse.ArgumentParser(description="Verifies an evidence bundle of `grille ledger export`.")
    parser.add_argument("bundle", help="the tar file, or a directory that it was unpacked into")
    parser.add_argument("--key", help="the log's verifier key, or a file that holds it, from somebody you trust")
    parser.add_argument("--policy", help="a tlog-policy file: which witnesses have to have signed")
    parser.add_argument("--checkpoint", action="append", help="a checkpoint of this log that you kept, a file")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to say it")
    args = parser.parse_args()
    try:
        files, twice = read_bundle(args.bundle)
        policy, known = None, []
        for path in args.checkpoint or []:
            with open(path, "rb") as file:
                known.append((path, file.read()))
        if args.policy:
            with open(args.policy, encoding="utf-8", newline="") as file:
                text = file.read()
            try:
                policy = Policy(text)
            except (ValueError, binascii.Error) as error:
                sys.stderr.write("verify.py: the policy %s: %s\n" % (args.policy, error))
                return 2
        text = args.key
        if text is None and policy is not None and policy.logs:
            origin = files.get("checkpoint", b"").split(b"\n")[0].decode("utf-8", "replace")
            text = policy.logs[origin].text if origin in policy.logs else None
        trusted = text is not None
        if text is None:
            text = files.get("keys/log.vkey", b"").decode("utf-8", "replace")
        elif args.key and os.path.exists(text):
            with open(text, encoding="utf-8") as file:
                text = file.read()
        key = Key(text)
    except (Unreadable, OSError) as error:
        sys.stderr.write("verify.py: %s\n" % error)
        return 3
    except ValueError as error:
        sys.stderr.write("verify.py: the key %s: %s\n" % ("given with --key" if args.key else "inside the bundle", error))
        return 2
    verifier = Verifier(files, key, policy, known)
    for name in twice:
        verifier.bad("file-added", name, "the bundle holds this file twice")
    verifier.run()
    verifier.damage.sort(key=lambda found: (found["index"] is None, found["index"] or 0, found["kind"] == "contents"))
    if args.format == "json":
        answer = {"ok": not verifier.damage, "key": "given" if trusted else "inside the bundle", "log": verifier.origin,
                  "size": verifier.size, "records": verifier.records, "sessions": len(verifier.sessions),
                  "closed": sum(1 for one in verifier.sessions.values() if one["closed"]),
                  "texts_proven": verifier.proven, "texts_opened": verifier.opened, "approvals": verifier.approvals,
                  "witnessed": verifier.witnessed and verifier.witnessed[0],
                  "damage": verifier.damage, "notes": verifier.notes}
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    else:
        sys.stdout.write(explain(verifier, trusted))
    return 1 if verifier.damage else 0


if __name__ == "__main__":
    sys.exit(main())
