"""Sign-in before anything else: below `/api` nobody learns what a route takes before they have said who they are."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.exception_handlers import problem_of
from api.http.problems import Problem
from api.http.security import by_header
from store.db.database import DatabaseUnavailable

API_ROOT = "/api"


class Authentication:
    """Answer 401 below `/api` unless the Authorization header holds somebody's token.

    Routing, parameters and the body come after it: a stranger's upload is not parsed, and no answer tells a stranger
    which parameters a route has. The person is kept in `request.state.caller`, where routes find them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_api(scope["path"]):
            return await self.app(scope, receive, send)
        request = Request(scope)
        try:
            person = await by_header(request)
        except (Problem, DatabaseUnavailable) as no:
            problem = no if isinstance(no, Problem) else problem_of(no)
            return await problem.response()(scope, receive, send)
        request.state.caller = person
        request.state.person = person.id
        await self.app(scope, receive, send)


def _is_api(path: str) -> bool:
    return path == API_ROOT or path.startswith(f"{API_ROOT}/")
