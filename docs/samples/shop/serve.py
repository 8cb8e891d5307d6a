"""Serve the live release of the shop: `python docs/samples/shop/serve.py [--port 8400] [--current LINK]`.

At each request, read the link. If the link has changed, load the app again from its new place, without a restart.
"""

import argparse
import importlib.util
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

ROOT = Path(__file__).resolve().parents[3]
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
log = logging.getLogger("shop")


class Server(ThreadingMixIn, WSGIServer):
    """A server with one thread for each request."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Logs requests only at the level DEBUG."""

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


class Live:
    """The live release, to which the link leads, as a WSGI application."""

    def __init__(self, current: Path) -> None:
        self._current = current
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._application: Application | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            application = self._loaded()
            if application is not None:
                return list(application(environ, start_response))
            status, text = "503 Service Unavailable", "No release is live.\n"
        except Exception:  # a faulty release must not stop the server
            log.exception("the release failed")
            status, text = "500 Internal Server Error", "The release failed.\n"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")], sys.exc_info())
        return [text.encode()]

    def _loaded(self) -> Application | None:
        with self._lock:
            folder = self._current.resolve() if self._current.exists() else None
            if folder != self._folder:
                self._application = None if folder is None else load(folder)
                self._folder = folder
                log.info("serving %s", folder.name if folder else "nothing")
            return self._application


def load(folder: Path) -> Application:
    """Load a release and return its WSGI application. Raises ImportError if the release has no `app.py`."""
    spec = importlib.util.spec_from_file_location(f"release_{folder.name.replace('-', '_')}", folder / "app.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} has no app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    application: Application = module.application
    return application


def main() -> None:
    options = argparse.ArgumentParser(description="Serve the live release of the shop.")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=8400)
    options.add_argument("--current", type=Path, default=ROOT / "var" / "apps" / "shop" / "current")
    chosen = options.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.dont_write_bytecode = True  # a release stays as it was unpacked
    with make_server(chosen.host, chosen.port, Live(chosen.current), Server, Quiet) as server:
        log.info("serving %s at http://%s:%d", chosen.current, chosen.host, server.server_port)
        server.serve_forever()


if __name__ == "__main__":
    main()
