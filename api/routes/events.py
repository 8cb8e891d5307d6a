"""The route of live updates, as server-sent events."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request

from api.deps import TheServices
from api.http.callers import Caller, caller_now
from api.http.problems import documented
from api.services.open_streams import EventStream

router = APIRouter(prefix="/events", tags=["tasks"])


async def _place(
    last_event_id: Annotated[str | None, Header(max_length=100, description="The last `id` received")] = None,
    since: Annotated[
        str | None, Query(max_length=100, description="As `Last-Event-ID`, for clients that cannot send a header")
    ] = None,
) -> int | None:
    """Return the position of the audit log after which a listener wants events; None without an id.

    An id that the gateway never sent counts as an unknown position.
    """
    place = last_event_id or since
    if not place:
        return None
    return int(place) if place.isascii() and place.isdigit() and len(place) < 16 else -1


Place = Annotated[int | None, Depends(_place)]


@router.get(
    "",
    response_class=EventStream,
    responses={200: {"description": "Server-sent events"}, **documented(401, 422, 503)},
)
async def events(request: Request, person: Caller, services: TheServices, place: Place) -> EventStream:
    """Stream changes of the tasks and cases that the caller may see, as server-sent events, within a second.

    The data of an event `task` is `{task_id, case_id, process, gate, kind, status, outcome, assignee, revision}` with
    the present values. `kind` is `opened`, `changed` or `closed`. If the caller may no longer see a task, its `kind` is
    `gone`, and the event has only the id of the task. The data of an event `case` is `{case_id, status}`. Several
    changes may come as one event. To resume after a break, send the last `id` that you received as `Last-Event-ID`: the
    missed changes come first. If you missed more than 5,000 positions of the audit log, an event `reset` comes instead:
    load the lists again. The stream ends after 15 minutes.
    """
    return services.live.changes(person, place, partial(caller_now, request))
