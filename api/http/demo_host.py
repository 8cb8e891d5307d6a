"""While the demo is on, answer only requests for host names of this machine.

The owner of any web page can let a host name mean this machine (DNS rebinding); requests of the page then name this
host. If the demo is off, requests for all host names are answered, because a proxy may send any name. While the demo is
off, sessions and tokens alone protect the gateway.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.origins import asks_this_machine
from api.http.problems import Problem
from api.pages.parts.page import as_page


class DemoHost:
    """Middleware that answers 421 to requests for other hosts than this machine while the demo is on."""

    def __init__(self, app: ASGIApp, public_url: str) -> None:
        self.app = app
        self._public_url = public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            if "host" in request.headers and not asks_this_machine(request.headers):
                said = (
                    f"This gateway runs the demo, which is for one machine only: {self._public_url}. To let others use "
                    "it, set HOLDGATE_DEMO=0 and HOLDGATE_PUBLIC_URL."
                )
                problem = Problem(421, said, kind="demo-host")
                answer = as_page(request, problem) or problem.response()
                return await answer(scope, receive, send)
        await self.app(scope, receive, send)
