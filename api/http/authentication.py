"""Check the token of each request below `/api`, and its rate limits, before the request is routed or parsed."""

from contextlib import AsyncExitStack
from http import HTTPStatus

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.callers import by_header
from api.http.exception_handlers import problem_of_error
from api.http.problems import Problem
from api.http.rate_limits import admitted, count_stranger
from store.db.database import DatabaseUnavailable

API_ROOT = "/api"


class Authentication:
    """Middleware that answers 401 to a request below `/api` unless its Authorization header has a valid token, and 429
    if its caller has sent too many.

    The token is checked before routing, and before parameters and body are read. So the gateway does not parse an
    upload of an unknown caller, and no answer reveals the parameters of a route. Routes find the person of the token in
    `request.state.caller`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_api(scope["path"]):
            return await self.app(scope, receive, send)
        request = Request(scope)
        async with AsyncExitStack() as turn:
            try:
                await self._found(request)
                await turn.enter_async_context(admitted(request))
            except (Problem, DatabaseUnavailable) as no:
                problem = no if isinstance(no, Problem) else problem_of_error(no)
                return await problem.response()(scope, receive, send)
            await self.app(scope, receive, send)

    @staticmethod
    async def _found(request: Request) -> None:
        """Set the caller and the credential of the request. Raises Problem and DatabaseUnavailable."""
        try:
            person = await by_header(request)
        except Problem as no:
            if no.status == HTTPStatus.UNAUTHORIZED:
                await count_stranger(request)  # after the look at the token: nobody shares a limit with strangers
            raise
        request.state.caller = person
        request.state.person = person.id


def _is_api(path: str) -> bool:
    return path == API_ROOT or path.startswith(f"{API_ROOT}/")
