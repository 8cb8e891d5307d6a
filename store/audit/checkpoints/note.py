"""Signed notes and checkpoints in the formats of C2SP, which transparency logs use.

A *signed note* (c2sp.org/signed-note) is a text, an empty line, and lines with signatures. A *checkpoint*
(c2sp.org/tlog-checkpoint) is a note whose text states the size and the root of a Merkle tree. A *verifier key* is the
public key in one line, with the name of its owner.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519 = b"\x01"
_PRIVATE = "PRIVATE+KEY+"
_DASH = "— "  # an em dash and a space begin each signature line
_NAME = re.compile(r"[^\s+]+")


class NotSigned(ValueError):
    """Raised if no valid signature by one of the keys is under a note. The text says why."""


class VerifierKey(NamedTuple):
    """A public Ed25519 key with the name of its owner. Its text form is one line, to publish."""

    name: str
    public: bytes

    @classmethod
    def read(cls, text: str) -> "VerifierKey":
        """Return the key of a line `name+id+base64`. Raises ValueError for any other text."""
        name, key_id, key = _parts(text)
        found = cls(name, key)
        if found.id.hex() != key_id:
            raise ValueError("the id in the verifier key does not belong to its name and key")
        return found

    @property
    def id(self) -> bytes:
        """Return the four bytes by which a signature line names this key."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_base64(_ED25519 + self.public)}"

    def signed(self, text: str, signature: bytes) -> bool:
        """Return True if the signature is of this key for this text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """A private Ed25519 key with the name of its owner."""

    def __init__(self, name: str, seed: bytes) -> None:
        """Raises ValueError if the name is empty or contains a plus sign or white space."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a key: it must have no spaces and no plus sign")
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = VerifierKey(name, self._key.public_key().public_bytes_raw())

    @classmethod
    def new(cls, name: str) -> "SigningKey":
        """Return a new random key. Raises ValueError as the constructor does."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def read(cls, text: str) -> "SigningKey":
        """Return the key of a line `PRIVATE+KEY+name+id+base64`. Raises ValueError for any other text."""
        if not text.startswith(_PRIVATE):
            raise ValueError(f"a private key begins with {_PRIVATE}")
        name, key_id, seed = _parts(text.removeprefix(_PRIVATE))
        found = cls(name, seed)
        if found.verifier.id.hex() != key_id:
            raise ValueError("the id in the private key does not belong to its name and key")
        return found

    def private_text(self) -> str:
        """Return the private key as one line, the format of Go's package note. Keep the line secret."""
        name, key_id = self.verifier.name, self.verifier.id.hex()
        return f"{_PRIVATE}{name}+{key_id}+{_base64(_ED25519 + self._seed)}"

    def sign(self, text: str) -> str:
        """Return the signed note of a text, which must end with a newline."""
        if not text.endswith("\n"):
            raise ValueError("the text of a note must end with a newline")
        signature = _base64(self.verifier.id + self._key.sign(text.encode()))
        return f"{text}\n{_DASH}{self.verifier.name} {signature}\n"


def text_of(note: str) -> str:
    """Return the text of a note, without checking its signatures. Raises NotSigned if it is no signed note."""
    text, empty_line, signatures = note.rpartition("\n\n")
    if not empty_line or not signatures.startswith(_DASH):
        raise NotSigned("this is no signed note: the signature lines are missing")
    return text + "\n"


def opened(note: str, keys: Iterable[VerifierKey]) -> str:
    """Return the text of a note that one of the keys signed. Signatures of other keys are ignored. Raises NotSigned."""
    text = text_of(note)
    known = list(keys)
    by_known = False
    for line in note.rpartition("\n\n")[2].splitlines():
        name, _, signature = line.removeprefix(_DASH).rpartition(" ")
        with_id = _decoded(signature)
        for key in known:
            if key.name == name and key.id == with_id[:4]:
                by_known = True
                if key.signed(text, with_id[4:]):
                    return text
    raise NotSigned("its signature is not valid" if by_known else "it has no signature by a known key")


def notes_in(content: str) -> Iterator[str]:
    """Yield the notes of a file that has one note, or several with an empty line between them.

    A text without signature lines at the end of the file is skipped: a program was interrupted while it wrote.
    """
    text = None
    for part in content.split("\n\n"):
        if part.startswith(_DASH) and text is not None:
            yield f"{text}\n\n{part.rstrip()}\n"
            text = None
        else:
            text = part.lstrip("\n")


class Checkpoint(NamedTuple):
    """A signed statement about the audit log: its size, its root, and the head of the chain of seals."""

    origin: str
    """The name of the audit log, which is also the name of the key."""
    size: int
    root: bytes
    seals: int = 0
    """The number of seals."""
    seals_hash: str = ""
    """The hash of the newest seal, in hexadecimal digits."""

    def text(self) -> str:
        """Return the text of the note. A line of its own states the seals; other programs ignore this line."""
        lines = [self.origin, str(self.size), _base64(self.root)]
        if self.seals:
            lines.append(f"seals {self.seals} {self.seals_hash}")
        return "\n".join(lines) + "\n"

    @classmethod
    def read(cls, text: str) -> "Checkpoint":
        """Return the checkpoint of the text of a note. Raises ValueError for any other text."""
        lines = text.split("\n")
        if len(lines) < 4 or not lines[0] or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]):
            raise ValueError("this is no checkpoint: it must have an origin, a size and a root")
        root = _decoded(lines[2])
        if len(root) != 32:
            raise ValueError("this is no checkpoint: its root must be the base64 form of 32 bytes")
        for line in lines[3:]:
            if found := re.fullmatch(r"seals ([1-9][0-9]{0,18}) ([0-9a-f]{64})", line):
                return cls(lines[0], int(lines[1]), root, int(found[1]), found[2])
        return cls(lines[0], int(lines[1]), root)


def _parts(text: str) -> tuple[str, str, bytes]:
    """Return name, id and the 32 bytes of an Ed25519 key in its text form."""
    name, key_id, key = [*text.strip().split("+", 2), "", ""][:3]
    with_kind = _decoded(key)
    if not _NAME.fullmatch(name) or len(with_kind) != 33 or with_kind[:1] != _ED25519:
        raise ValueError("a key must look like name+id+base64, for Ed25519")
    return name, key_id, with_kind[1:]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    """Return the bytes of a base64 text; nothing for any other text."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
