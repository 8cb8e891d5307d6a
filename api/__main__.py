"""`python -m api`: serve the gateway until SIGTERM or Ctrl-C, letting requests under way end first."""

import sys

import uvicorn

from api.app import create_app
from own import WrongProcess
from policy.model import PolicyError
from settings import WrongSettings, load
from telemetry import logs, traces

GRACE_S = 10
"""How long requests under way may take when the gateway is asked to stop."""
CANNOT_START = 2
"""Exit code for what the person who starts it must change."""


def main() -> int:
    """The exit code."""
    try:
        settings = load()
        logs.configure(settings.log)
        traces.configure("holdgate-gateway")
        app = create_app(settings)
    except (WrongSettings, WrongProcess, PolicyError, traces.NotInstalled) as error:
        print(error, file=sys.stderr)  # noqa: T201  # this is what the command says
        return CANNOT_START
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # ours names the person and leaves out the query string
        server_header=False,
        proxy_headers=False,  # nothing here depends on what a proxy says, so nobody can forge it
        timeout_graceful_shutdown=GRACE_S,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
