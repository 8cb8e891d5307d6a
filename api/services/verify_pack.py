"""Check an evidence pack of Holdgate. This file needs Python 3.8 or newer, and no other package.

    python3 verify.py --key VKEY              in the folder of an unpacked evidence pack
    python3 verify.py evidence.zip --key VKEY

VKEY is the public key of the audit log. Get the key from the organisation that runs Holdgate, not from the pack.

The check has five parts: the files are those that the manifest lists; the hash of each event fits its content; the
events of each case form a chain; events.csv says the same as the hashed events; and the events are leaves of the tree
whose root the signed checkpoint states. Exit code 0: all of this is true for all events. 1: something is wrong. 2: a
part could not be checked.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
import sys
import zipfile
from typing import Any, Tuple

NODES = "proof.json"
NOTE = "checkpoint.note"
EVENTS = "events.ndjson"


# ------------------------------------------------------------------------------------------- Ed25519 (RFC 8032, 5.1.7)

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
Point = Tuple[int, int, int, int]


def _x_of(y: int, odd: int) -> int | None:
    """Return the x coordinate of a point; None if there is none."""
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if square == 0:
        return None if odd else 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != odd else x


def _point(data: bytes) -> Point | None:
    y = int.from_bytes(data, "little")
    odd, y = y >> 255, y & ((1 << 255) - 1)
    x = _x_of(y, odd)
    return None if x is None else (x, y, 1, x * y % P)


def _add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(number: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = _add(result, point)
        point, number = _add(point, point), number >> 1
    return result


Y_OF_BASE = 4 * pow(5, P - 2, P) % P
X_OF_BASE = _x_of(Y_OF_BASE, 0) or 0
BASE: Point = (X_OF_BASE, Y_OF_BASE, 1, X_OF_BASE * Y_OF_BASE % P)


def ed25519(public: bytes, text: bytes, signature: bytes) -> bool:
    """Return True if this is the signature of the public key for the text."""
    if len(public) != 32 or len(signature) != 64:
        return False
    key, r = _point(public), _point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + text).digest(), "little") % ORDER
    one, two = _times(s, BASE), _add(r, _times(h, key))
    return (one[0] * two[2] - two[0] * one[2]) % P == 0 and (one[1] * two[2] - two[1] * one[2]) % P == 0


# ------------------------------------------------------------------ signed note (c2sp.org/signed-note, tlog-checkpoint)


def signed_text(note: str, key: str) -> str | None:
    """Return the text of a note that the key signed; None if the key did not sign it."""
    name, key_id, public = key.split("+", 2)
    raw = base64.b64decode(public)
    if len(raw) != 33 or raw[:1] != b"\x01" or _key_id(name, raw) != bytes.fromhex(key_id):
        raise ValueError("this is no Ed25519 verifier key")
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        words = line.split(" ")
        if len(words) == 3 and words[0] == "\u2014" and words[1] == name:
            data = base64.b64decode(words[2])
            if data[:4].hex() == key_id and ed25519(raw[1:], text.encode(), data[4:]):
                return text
    return None


def _key_id(name: str, raw: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]


# ----------------------------------------------------------------------------------------- Merkle tree (RFC 6962, 2.1)


def _leaf(event_hash: str) -> bytes:
    return hashlib.sha256(b"\x00" + event_hash.encode()).digest()


def root_of(size: int, leaves: dict[int, bytes], nodes: dict[tuple[int, int], bytes]) -> bytes:
    """Return the root of the tree. `leaves` are hashes by number, `nodes` are roots of subtrees without such leaves."""

    def root(start: int, end: int, inside: list[int]) -> bytes:
        if not inside:
            return nodes[start, end]
        if end - start == 1:
            return leaves[start]
        middle = start + (1 << ((end - start - 1).bit_length() - 1))
        left = root(start, middle, [number for number in inside if number < middle])
        right = root(middle, end, [number for number in inside if number >= middle])
        return hashlib.sha256(b"\x01" + left + right).digest()

    return root(0, size, sorted(leaves))


# ------------------------------------------------------------------------------------------------------------- the pack


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Check:
    """The check of one pack: `files` are the contents by name."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.manifest: dict[str, Any] = {}
        self.events: list[Any] = []
        self.problems: list[str] = []
        self.unchecked: list[str] = []
        self.said: list[str] = []

    def run(self, key: str | None) -> None:
        """Check everything; `key` is the verifier key, or None."""
        for part in (self.check_manifest, self.check_events, self.check_table, lambda: self.check_tree(key)):
            try:
                part()
            except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                self.problems.append(f"a part of the pack cannot be read: {error!r}")

    def text(self, name: str) -> str:
        """Return a file as text; an empty text and a problem if it is missing."""
        if name not in self.files:
            self.problems.append(f"{name} is missing")
            return ""
        return self.files[name].decode("utf-8", "replace")

    def check_manifest(self) -> None:
        """Compare the files with the manifest."""
        self.manifest = json.loads(self.text("manifest.json") or "{}")
        listed = {entry["name"]: entry["sha256"] for entry in self.manifest.get("files", [])}
        for name, sha256 in listed.items():
            if name not in self.files:
                self.problems.append(f"{name} is missing")
            elif hashlib.sha256(self.files[name]).hexdigest() != sha256:
                self.problems.append(f"{name} was changed: its SHA-256 is not that of the manifest")
        for name in sorted(set(self.files) - set(listed) - {"manifest.json"}):
            self.problems.append(f"{name} was added: the manifest does not list it")
        for name in listed:
            found = re.fullmatch(r"policies/([0-9a-f]{64})\.toml", name)
            if found and name in self.files and hashlib.sha256(self.files[name]).hexdigest() != found[1]:
                self.problems.append(f"{name} is not the policy whose SHA-256 is its name")
        if self.manifest.get("intact") is not True:
            self.problems.append(
                "the pack says that the audit log was not intact when the pack was made: see verify.json"
            )

    def check_events(self) -> None:
        """Compute the hash of each event again, and follow the chain of each case."""
        last: dict[str, tuple[int, str]] = {}
        position = 0
        of_case = self.manifest.get("scope", {}).get("case_id")
        for line in self.text(EVENTS).split("\n"):
            if not line:
                continue
            event = json.loads(line)
            self.events.append(event)
            envelope, name = event["envelope"], f"event {event['envelope']['event_id']} (position {event['position']})"
            if not isinstance(event["position"], int) or event["position"] <= position:
                self.problems.append(f"{name} is out of order: its position does not follow {position}")
            position = event["position"]
            if of_case not in (None, envelope["case_id"]):
                self.problems.append(f"{name} belongs to another case")
            if _sha256(_canonical(envelope)) != event["hash"]:
                self.problems.append(f"{name} does not have this hash")
            if event["payload"] is None:
                self.said.append(f"{name}: its content was erased")
            elif _sha256(event["salt"] + event["payload"]) != envelope["digest"]:
                self.problems.append(f"{name}: its content does not fit its digest")
            seq, before = last.get(envelope["case_id"], (0, ""))
            if envelope["seq"] == seq + 1:
                if envelope["prev_hash"] != before:
                    self.problems.append(f"{name} does not follow from the event before it in its case")
            elif of_case is not None:
                self.problems.append(f"{name} is number {envelope['seq']} of its case and comes after number {seq}")
            last[envelope["case_id"]] = envelope["seq"], event["hash"]
        if len(self.events) != self.manifest.get("events"):
            self.problems.append(f"{EVENTS} has {len(self.events)} events, the manifest {self.manifest.get('events')}")

    def check_table(self) -> None:
        """Compare events.csv, which people read, with the hashed events."""
        usual = csv.field_size_limit(2**31 - 1)  # of the whole process
        try:
            rows = list(csv.DictReader(io.StringIO(self.text("events.csv").lstrip("\ufeff"), newline="")))
        finally:
            csv.field_size_limit(usual)
        if len(rows) != len(self.events):
            self.problems.append(f"events.csv has {len(rows)} events, {EVENTS} has {len(self.events)}")
        for row, event in zip(rows, self.events):
            envelope = event["envelope"]
            content = json.loads(event["payload"]) if event["payload"] is not None else {"summary": "", "data": {}}
            texts = {name: envelope[name] for name in ("event_id", "case_id", "kind", "actor", "prev_hash")}
            texts.update(hash=event["hash"], summary=content["summary"])
            numbers = {"position": event["position"], "seq": envelope["seq"]}
            wrong = [name for name, text in texts.items() if _cell(row[name]) != _cell(text)]
            wrong += [name for name, number in numbers.items() if row[name] != str(number)]
            wrong += ["data"] if json.loads(_cell(row["data"]) or "{}") != content["data"] else []
            wrong += ["at"] if _moment(row["at"]) != _moment(envelope["at"]) else []
            if wrong:
                where = f"events.csv, position {row['position']}"
                self.problems.append(f"{where}: {', '.join(wrong)} is not what the hashed event says")

    def check_tree(self, key: str | None) -> None:
        """Compute the root of the tree from the events and the proof, and compare it with the signed checkpoint."""
        if NOTE not in self.files:
            self.unchecked.append("the pack has no checkpoint, so nothing proves that its events are in an audit log")
            return
        note = self.text(NOTE)
        lines = note.split("\n")
        size, root = int(lines[1]), base64.b64decode(lines[2])
        if key is None:
            self.unchecked.append("the signature of the checkpoint: give the public key with --key")
        elif signed_text(note, key) is None or lines[0] != key.split("+")[0]:
            self.problems.append("the checkpoint was not signed by this key, or was changed")
        covered = {event["position"] - 1: _leaf(event["hash"]) for event in self.events if event["position"] <= size}
        newer = len(self.events) - len(covered)
        if newer:
            self.unchecked.append(f"{newer} events are newer than the checkpoint: make a new pack in a minute")
        if not covered:
            return
        nodes = {(start, end): bytes.fromhex(node) for start, end, node in json.loads(self.text(NODES) or "[]")}
        try:
            found = root_of(size, covered, nodes)
        except KeyError as missing:
            self.problems.append(f"{NODES} lacks the subtree {missing}")
            return
        if found != root:
            self.problems.append("the events are not in the audit log that the checkpoint states")
        else:
            self.said.append(f"{len(covered)} events are in the audit log {lines[0]!r}, which had {size} events")


def _cell(text: str) -> str:
    """Return the text of a cell without the apostrophe that keeps spreadsheets from running it as a formula."""
    return (text[1:] if text.startswith("'") else text).replace("\r\n", "\n")


def _moment(text: str) -> str:
    """Return a moment in UTC in one form: csv has no zero microseconds, and Z for the zone."""
    seconds, _, fraction = text.replace("Z", "").replace("+00:00", "").partition(".")
    return f"{seconds}.{fraction:0<6}"


def read(where: str) -> dict[str, bytes]:
    """Return the contents of the files of a pack by name, from a ZIP file or from a folder.

    Raises OSError, zipfile.BadZipFile, and ValueError if two files have the same name.
    """
    if not os.path.isdir(where):
        with zipfile.ZipFile(where) as pack:
            names = [name for name in pack.namelist() if not name.endswith("/")]
            if len(set(names)) < len(names):
                raise ValueError("two files of the pack have the same name")
            return {name: pack.read(name) for name in names}
    found: dict[str, bytes] = {}
    for folder, _, names in os.walk(where):
        for name in names:
            if name.startswith("."):  # of the file manager
                continue
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, where).replace(os.sep, "/")] = file.read()
    return found


def verify(where: str, key: str | None) -> int:
    """Check a pack, print what was found, and return the exit code."""
    try:
        check = Check(read(where))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        print(f"WRONG: {where} cannot be read: {error}")
        return 1
    check.run(key)
    for line in check.said:
        print(line)
    for line in check.unchecked:
        print(f"not checked: {line}")
    for line in check.problems:
        print(f"WRONG: {line}")
    verdict = "problems were found" if check.problems else "incomplete" if check.unchecked else "everything is right"
    print(f"{verdict}: {len(check.events)} events")
    return 1 if check.problems else 2 if check.unchecked else 0


def main(arguments: list[str]) -> int:
    """Run the command line and return the exit code."""
    key = None
    if "--key" in arguments:
        at = arguments.index("--key")
        key = arguments[at + 1] if at + 1 < len(arguments) else ""
        arguments = arguments[:at] + arguments[at + 2 :]
    if len(arguments) > 1 or any(each.startswith("-") for each in arguments):
        print(__doc__)
        return 2
    return verify(arguments[0] if arguments else os.path.dirname(os.path.abspath(__file__)), key)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
