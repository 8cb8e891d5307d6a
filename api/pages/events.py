"""What is new, for the pages: the same events as of the JSON route, with the cookie."""

from fastapi import Request

from api.deps import InHouse
from api.live import EventStream
from api.pages.page import SignedIn, pages
from api.routes.events import Place
from api.security import Bearer, looked_up
from store.people import Person

router = pages()


@router.get("/events", response_class=EventStream)
async def events(request: Request, person: SignedIn, credentials: Bearer, parts: InHouse, place: Place) -> EventStream:
    """Changes of tasks and cases that the person may see; ends with the session."""

    async def still() -> Person | None:
        return await looked_up(request, credentials)

    return parts.feed.listen(person, place, still)
