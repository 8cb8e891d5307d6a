"""Make and normalise the ids of cases, tasks, rollbacks and decisions."""

import hashlib
import unicodedata
from urllib.parse import quote

from domain.installation import MARKER
from domain.normalization import check_visible, fold

MAX_REFERENCE = 120
"""Maximum number of characters of a normalised reference."""
MAX_REFERENCE_KEY = 240
"""Maximum number of characters of a reference key (see `reference_key`).

A key can be longer than its reference, because `reference_key` replaces some characters with several.
"""
MAX_REFERENCE_ENCODED = 800
"""Maximum number of characters of a reference in a case id.

In the id, each byte outside `[a-z0-9._-]` takes three characters. A case id has at most 900 characters in SQL and 1,000
in Temporal.
"""


def normalise_reference(reference: str) -> str:
    """Return a reference as it is displayed: Unicode NFC, trimmed, inner spaces collapsed.

    Raises ValueError when the reference is empty, too long, or has an invisible character.
    """
    text = " ".join(unicodedata.normalize("NFC", check_visible(reference)).split())
    if not text:
        raise ValueError("enter a reference of 1 to 120 characters, for example an invoice number")
    if len(text) > MAX_REFERENCE:
        raise ValueError(f"a reference has at most {MAX_REFERENCE} characters, this one has {len(text)}")
    key = fold(text)
    if len(key) > MAX_REFERENCE_KEY or len(quote(key, safe="")) > MAX_REFERENCE_ENCODED:
        raise ValueError("this reference is too long: use fewer characters other than a-z and 0-9")
    return text


def reference_key(reference: str) -> str:
    """Return the key by which references are compared: see `domain.normalization`.

    If the reference is a key already, return the key unchanged.
    """
    return fold(normalise_reference(reference))


def case_id_for(process: str, reference: str, round_: int = 1) -> str:
    """Return the id of a case, which is also its Workflow id.

    `:` and `~` are reserved: the reference part contains only `[a-z0-9._-]` and percent escapes.
    """
    quoted = quote(reference_key(reference), safe="").replace("~", "%7E")
    return f"{process}:{quoted}" if round_ == 1 else f"{process}:{quoted}~{round_}"


def child_reference(process: str, reference: str, number: int, round_: int = 1) -> str:
    """Return the reference of the `number`-th child case that a case requests in this round.

    The reference is unique over all rounds. It consists of the process, `reference`, and the round and number where
    they are not 1. If this text is too long, the reference consists of the process and a digest of the text.
    """
    which = f"{round_}.{number}" if round_ > 1 else f"{number}" if number > 1 else ""
    made = f"{process} {reference}" + (f" ({which})" if which else "")
    try:
        return normalise_reference(made)
    except ValueError:
        return f"{process} {hashlib.sha256(made.encode()).hexdigest()[:32]}"


def task_id_for(case_id: str, gate: str, number: int) -> str:
    """Return an opaque id for the `number`-th task of a case. The same arguments always give the same id."""
    return "t" + hashlib.sha256(f"{case_id}\n{gate}\n{number}".encode()).hexdigest()[:24]


def rollback_id_for(case_id: str, number: int = 1) -> str:
    """Return the Workflow id of the `number`-th rollback of a case that has ended."""
    return f"{case_id}~rollback" if number == 1 else f"{case_id}~rollback~{number}"


def payload_subject(workflow_id: str) -> str | None:
    """Return whose data key encrypts the payloads of a Workflow: a case id, or `batch:` and the id of a batch.

    The rollbacks of a case have the key of the case; each round of a reference has a key of its own. Return None for
    the Workflow that marks the namespace: other installations must be able to read its memo, which names nobody.
    """
    if workflow_id == MARKER:
        return None
    if workflow_id.startswith("batch:"):
        return workflow_id.partition("~")[0]
    return workflow_id.partition("~rollback")[0]


def decision_id_for(person: str, task_id: str, client_id: str) -> str:
    """Return the id under which a decision is stored: a digest of `client_id`, the person and the task.

    `client_id` is the id that the client sent. If `client_id` alone were the Update id, and two people sent the same
    `client_id`, Temporal would give the second person the answer for the first person.
    """
    return "d" + hashlib.sha256(f"{person}\n{task_id}\n{client_id}".encode()).hexdigest()[:32]
