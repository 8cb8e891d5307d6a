"""Ids of cases, tasks, rollbacks and decisions, each made in one function."""

import hashlib
import unicodedata
from urllib.parse import quote

from domain.normalization import check_visible, fold

MAX_REFERENCE = 120
"""Characters of a reference after normalisation."""
MAX_REFERENCE_KEY = 240
"""Characters of a reference as it is compared: some stand for several."""
MAX_REFERENCE_ENCODED = 800
"""Characters of a reference inside a case id, where everything outside `[a-z0-9._-]` takes three for each byte. A case
id has at most 900 in SQL, and 1,000 in Temporal."""


def normalise_reference(reference: str) -> str:
    """The reference as it is displayed: Unicode NFC, trimmed, inner blanks collapsed.

    Raises ValueError when it is empty, longer than 120 characters (or than an id can hold) or has a character that
    nobody can see.
    """
    text = " ".join(unicodedata.normalize("NFC", check_visible(reference)).split())
    if not text:
        raise ValueError("a reference is needed: 1 to 120 characters, for example an invoice number")
    if len(text) > MAX_REFERENCE:
        raise ValueError(f"a reference has at most {MAX_REFERENCE} characters, this one has {len(text)}")
    key = fold(text)
    if len(key) > MAX_REFERENCE_KEY or len(quote(key, safe="")) > MAX_REFERENCE_ENCODED:
        raise ValueError("this reference makes too long an id: use fewer characters other than a-z and 0-9")
    return text


def reference_key(reference: str) -> str:
    """The reference as it is compared: see `domain.normalization`. The key of a key is itself."""
    return fold(normalise_reference(reference))


def case_id_for(process: str, reference: str, round_: int = 1) -> str:
    """The id of a case, which is its Workflow id; the one place where it is made.

    `:` and `~` are reserved: the reference part holds only `[a-z0-9._-]` and percent escapes.
    """
    quoted = quote(reference_key(reference), safe="").replace("~", "%7E")
    return f"{process}:{quoted}" if round_ == 1 else f"{process}:{quoted}~{round_}"


def child_reference(process: str, reference: str, number: int, round_: int = 1) -> str:
    """The reference of the `number`-th case that a round of a case asks for; of no two rounds are they alike.

    A long one is cut, with a digest of the whole.
    """
    which = f"{round_}.{number}" if round_ > 1 else f"{number}" if number > 1 else ""
    made = f"{process} {reference}" + (f" ({which})" if which else "")
    try:
        return normalise_reference(made)
    except ValueError:
        return f"{process} {hashlib.sha256(made.encode()).hexdigest()[:32]}"


def task_id_for(case_id: str, gate: str, number: int) -> str:
    """An opaque id for the `number`-th task that a case opens; the same for each replay and attempt."""
    return "t" + hashlib.sha256(f"{case_id}\n{gate}\n{number}".encode()).hexdigest()[:24]


def rollback_id_for(case_id: str, number: int = 1) -> str:
    """The id of the Workflow that rolls a case back after its own has ended; `number` counts such Workflows."""
    return f"{case_id}~rollback" if number == 1 else f"{case_id}~rollback~{number}"


def decision_id_for(person: str, task_id: str, client_id: str) -> str:
    """Scope a client's decision id to person and task.

    An unscoped Update id would let a second caller receive the first caller's answer without the validator running.
    """
    return "d" + hashlib.sha256(f"{person}\n{task_id}\n{client_id}".encode()).hexdigest()[:32]
