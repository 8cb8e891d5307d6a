"""Make the sentence of an audit event for people, from its kind and data, for pages, evidence packs and the CLI.

The summary that is stored with an event is for engineers. Pages and the CLI show the summary only if the kind of event
is unknown.
"""

from collections.abc import Mapping
from typing import Any

from api.pages.event_words_of_cases import CASE_WORDINGS, Told, Wording
from api.pages.event_words_of_people import PEOPLE_WORDINGS
from api.pages.parts.formatting import capital, readable
from api.pages.parts.translation import _
from domain.event_kinds import EventKind
from store.audit.audit_log import StoredEvent
from workflows.registry import PROCESSES

WORDINGS: dict[EventKind, Wording] = CASE_WORDINGS | PEOPLE_WORDINGS


def sentence(
    kind: str,
    actor: str,
    data: Mapping[str, Any] | None,
    *,
    process: str = "",
    input: Mapping[str, Any] | None = None,
    summary: str = "",
) -> str:
    """Return the sentence of an event, in the language of the reader.

    `data` is None if the data was erased. `process` and `input` are those of the event's case, if known. `summary` is
    the stored summary, which is returned for a kind without a wording, such as one of a newer version.
    """
    if data is None:
        return _("%(what)s: content erased", what=capital(readable(kind)))
    known = PROCESSES.get(process)
    try:
        say = WORDINGS[EventKind(kind)]
    except (ValueError, KeyError):
        return summary.strip() or capital(readable(kind))
    return say(Told(actor, data, known.words if known else None, input))


def of_stored(event: StoredEvent) -> str:
    """Return the sentence of a stored event, of any case or none, in the language of the reader."""
    data = None if event.erased else event.data
    # The id of a case begins with its process.
    return sentence(event.kind, event.actor, data, process=event.case_id.partition(":")[0], summary=event.summary)
