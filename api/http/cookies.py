"""Remove cookies that would take long to read, because a client can send any cookies."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Cookies:
    """Middleware that removes cookies with a backslash before anything reads them.

    FastAPI reads the cookies of each request, and Python needs quadratic time for quoted values with backslashes.
    Holdgate's own cookies have no quoted values; cookies of other programs on the same machine can have them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and any(_escaped(header) for header in scope["headers"]):
            scope = {
                **scope,
                "headers": [_plain(header) if _escaped(header) else header for header in scope["headers"]],
            }
        await self.app(scope, receive, send)


def _escaped(header: tuple[bytes, bytes]) -> bool:
    return header[0] == b"cookie" and b"\\" in header[1]


def _plain(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    kept = [each for each in header[1].split(b";") if b"\\" not in each]
    return header[0], b";".join(kept).strip()
