"""`python -m api`: serve the gateway until SIGTERM or Ctrl-C, letting requests under way end first."""

import socket
import sys
from contextlib import suppress
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.http.connections import Connection, most_connections
from core import logs, traces
from core.settings import WrongSettings, load
from intake.parsing.parsing_pool import start_template
from plugins.errors import WrongProcess
from policy.model import PolicyError
from store.db.private_files import keep_private, tighten

GRACE_S = 10
"""Seconds that open requests may take after the gateway is asked to stop."""
KEEP_ALIVE_S = 9
"""Seconds that an idle connection stays open. Longer than the 5 s of httpx and other clients, which would otherwise
send a request while the connection closes and get no answer. Shorter than the time limit for headers, which closes
the connection less politely."""
CANNOT_START = 2
"""Exit code for a mistake in settings or files."""
CANNOT_LISTEN = 3
"""Exit code when the address is taken or the services cannot be opened; the same as uvicorn's."""


class Server(uvicorn.Server):
    """The HTTP server. It ends live updates, which could last for hours, before it waits for the other requests."""

    def __init__(self, app: FastAPI, **options: Any) -> None:
        Connection.most = most_connections()
        options |= {"timeout_graceful_shutdown": GRACE_S, "timeout_keep_alive": KEEP_ALIVE_S}
        super().__init__(uvicorn.Config(app, **options, http=Connection, ws="none"))
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.services.live.close()
        await super().shutdown(sockets)


def main() -> int:
    """Serve until stopped, and return the exit code."""
    keep_private()
    try:
        settings = load()
        logs.configure(settings.log)
        tighten(settings.var, settings.database_url, settings.shared)
        traces.configure("holdgate-gateway")
        app = create_app(settings)
    except (WrongSettings, WrongProcess, PolicyError, traces.NotInstalled) as error:
        print(error, file=sys.stderr)  # noqa: T201  # this is what the command says
        return CANNOT_START
    server = Server(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # access_log=False,  # `RequestLog` names the person and leaves out the query string
        server_header=False,
        proxy_headers=False,  # no header of a proxy is trusted, so nobody can forge one
    )
    start_template()
    with suppress(KeyboardInterrupt):  # the server has stopped in order, and reports only now what stopped it
        server.run()
    return 0 if server.started else CANNOT_LISTEN


if __name__ == "__main__":
    sys.exit(main())
