"""Live updates for pages: the same events as those of the JSON route, for a browser with the session cookie."""

from fastapi import Request

from api.deps import TheServices
from api.http.callers import Bearer, looked_up
from api.pages.parts.page import SignedIn, pages
from api.routes.events import Place
from api.services.open_streams import EventStream
from store.people.people import Person

router = pages()


@router.get("/events", response_class=EventStream)
async def events(
    request: Request, person: SignedIn, credentials: Bearer, services: TheServices, place: Place
) -> EventStream:
    """Stream changes of the tasks and cases that the person may see, as server-sent events.

    The stream ends after 15 minutes, and when the person's session ends.
    """

    async def still() -> Person | None:
        return await looked_up(request, credentials)

    return services.live.changes(person, place, still)
