"""What is new, for the pages: the same events as of the JSON route, with the cookie."""

from collections.abc import AsyncIterable

from fastapi import Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.deps import InHouse
from api.pages.page import SignedIn, pages
from api.routes.events import Place
from api.security import Bearer, visitor
from store.people import Person

router = pages()


@router.get("/events", response_class=EventSourceResponse)
async def events(
    request: Request, person: SignedIn, credentials: Bearer, parts: InHouse, place: Place
) -> AsyncIterable[ServerSentEvent]:
    """Changes of tasks and cases that the person may see; ends with the session."""

    async def still() -> Person | None:
        return await visitor(request, credentials)

    async for each in parts.feed.listen(person, place, still):
        yield each
