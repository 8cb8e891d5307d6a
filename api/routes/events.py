"""What is new, as server-sent events."""

from collections.abc import AsyncIterable
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.deps import InHouse
from api.problems import documented
from api.security import Bearer, Caller, person_of
from store.people import Person

router = APIRouter(prefix="/events", tags=["tasks"])

LastEventId = Annotated[
    str | None,
    Header(max_length=100, description="The last `id` that came: what was missed comes first", examples=[None]),
]


@router.get(
    "",
    response_class=EventSourceResponse,
    responses={200: {"description": "Server-sent events"}, **documented(401, 422, 503)},
)
async def events(
    person: Caller, credentials: Bearer, parts: InHouse, last_event_id: LastEventId = None
) -> AsyncIterable[ServerSentEvent]:
    """Changes of tasks and cases that the caller may see, as server-sent events, within a second.

    `task` has `{task_id, case_id, process, gate, kind, status, outcome, assignee, revision}` as they are now; `kind` is
    `opened`, `changed`, `closed`, or `gone` for a task that the caller may no longer see, with its id alone. `case` has
    `{case_id, status}`. Several changes may come as one. Send the last `id` as `Last-Event-ID` when you come again:
    what was missed comes first, or `reset` when that is too much, and then look at the lists anew. The connection is
    cut after 15 minutes.
    """

    async def still() -> Person | None:
        return await person_of(parts.db, credentials.credentials if credentials else None)

    async for each in parts.feed.listen(person, position_of(last_event_id), still):
        yield each


def position_of(last_event_id: str | None) -> int | None:
    """Where a listener was; what is no id of ours is further behind than anything is known."""
    if not last_event_id:
        return None
    return int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 16 else -1
