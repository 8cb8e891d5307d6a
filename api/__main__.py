"""Serve the gateway (`python -m api`) until SIGTERM or Ctrl-C; open requests may end first."""

import gc

if __name__ == "__main__":
    gc.disable()  # Until `main` has the application: searching what imports make and keep takes a fifth of the start.

import asyncio
import logging
import socket
import sys
from contextlib import suppress
from typing import Any

import uvicorn
from fastapi import FastAPI
from temporalio.runtime import Runtime

from api.app import create_app
from api.container import Services
from api.http.connections import Connection, most_connections
from api.services.passwords_off import check_passwords_off
from core import logs, loopback, traces
from core.payload_keys import read_payload_keys
from core.settings import WrongSettings, load, unknown_variables
from core.signing_keys import own_key
from core.temporal import TemporalUnreachable, profile, runtime_of_sdk
from domain.proof.keys import Role
from intake.parsing.parsing_pool import start_template
from plugins.errors import WrongProcess
from policy.model import PolicyError
from store.db.private_files import keep_private, tighten

log = logging.getLogger("holdgate.api")

GRACE_S = 10
"""The most seconds that open requests may still take after the gateway was asked to stop."""
KEEP_ALIVE_S = 9
"""Seconds that a connection without requests stays open.

This time is longer than the 5 s of httpx and other clients: otherwise a client could send a request while the gateway
closes the connection, and get no answer. This time is shorter than the time limit for headers (10 s), because that
limit closes a connection without notice.
"""
CANNOT_START = 2
"""The exit code if a setting or a file is wrong."""
CANNOT_LISTEN = 3
"""The exit code if another program uses the address, or the services cannot be opened. uvicorn uses the same code."""


class Server(uvicorn.Server):
    """The HTTP server.

    When the server stops, it first ends streams of live updates, which last up to 15 minutes, then waits at most
    `GRACE_S` for the other requests.
    """

    def __init__(self, app: FastAPI, **options: Any) -> None:
        Connection.most = most_connections()
        options |= {"timeout_graceful_shutdown": GRACE_S, "timeout_keep_alive": KEEP_ALIVE_S}
        super().__init__(uvicorn.Config(app, **options, http=Connection, ws="none"))
        self._app = app

    async def on_tick(self, counter: int) -> bool:
        """Return True if the server must stop now. uvicorn calls this before the first request, then each 0.1 s."""
        return self.must_stop is not None or await super().on_tick(counter)

    @property
    def must_stop(self) -> WrongSettings | None:
        """Return why this gateway must not run; None if nothing forbids it, or if it is not checked yet."""
        services: Services | None = getattr(self._app.state, "services", None)
        return services.must_stop if services else None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.services.live.close()
        await super().shutdown(sockets)


def main() -> int:
    """Serve the gateway until it is stopped, and return the exit code."""
    keep_private()
    try:
        settings = load()
        logs.configure(settings.log, texts=settings.log_texts)
        logs.take_uncaught()
        for line in unknown_variables():
            log.warning("%s", line)
        tighten(settings.var, settings.database_url, settings.shared)
        traces.configure("holdgate-gateway")
        Runtime.set_default(runtime_of_sdk(None))
        profile()  # a configuration of the Temporal SDK that cannot be read does not correct itself
        app = create_app(settings)
        own_key(settings, Role.GATEWAY)
        if settings.payload_keys is not None:
            read_payload_keys(settings.payload_keys)
        asyncio.run(check_passwords_off(settings))
    except (WrongSettings, WrongProcess, PolicyError, TemporalUnreachable, traces.NotInstalled) as error:
        print(error, file=sys.stderr)  # noqa: T201  # this is what the command says
        return CANNOT_START
    server = Server(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # `RequestLog` names the person and leaves out the query string
        server_header=False,
        proxy_headers=False,  # no header of a proxy is trusted, so nobody can forge one
    )
    try:
        sockets = loopback.bound(settings.port) if len(loopback.addresses(settings.host)) > 1 else None
    except OSError as error:
        print(f"nothing can listen on port {settings.port}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return CANNOT_LISTEN
    gc.enable()
    gc.freeze()
    start_template()
    with suppress(KeyboardInterrupt):  # the server has stopped in order, and reports only now what stopped it
        server.run(sockets)
    if server.must_stop is not None:
        log.error("%s", server.must_stop)
        return CANNOT_START
    return 0 if server.started else CANNOT_LISTEN


if __name__ == "__main__":
    sys.exit(main())
