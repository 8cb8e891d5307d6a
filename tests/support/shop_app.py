"""The sample shop for tests: its artefacts, variants of them, and the process that serves it."""

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2

from tests.support.installed_app import ROOT, free_port

SHOP = ROOT / "docs" / "samples" / "shop"


def _module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"shop_{name}", SHOP / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_build = _module("build")


def contents(*folders: str) -> dict[str, bytes]:
    """The files of a release; `second` makes them those of the second one."""
    found: dict[str, bytes] = _build.contents(*folders)
    return found


def put(folder: Path, name: str, files: Mapping[str, bytes]) -> str:
    """Write an artefact and its SHA-256; answers that."""
    digest: str = _build.write(folder, name, files)
    return digest


def sick() -> dict[str, bytes]:
    """A release that starts, passes what only compiles it, and is not well."""
    files = contents("second")
    well = b"        # Being well means that every page can be shown.\n"
    assert well in files["app.py"]
    return files | {"app.py": files["app.py"].replace(well, b'        raise ValueError("the cellar is flooded")\n')}


class Site:
    """`serve.py` on a port of its own: `with Site(link) as site:`."""

    def __init__(self, current: Path, port: int | None = None) -> None:
        self.current, self.port = current, port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def get(self, path: str = "/") -> tuple[int, str]:
        answer = httpx2.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False, timeout=5)
        return answer.status_code, answer.text

    @property
    def release(self) -> str | None:
        """Which release the shop says it is; None when it is not well."""
        status, text = self.get("/health")
        return json.loads(text)["release"] if status == 200 else None

    def __enter__(self) -> "Site":
        self._process = subprocess.Popen(
            [sys.executable, str(SHOP / "serve.py"), "--port", str(self.port), "--current", str(self.current)],
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 10
        while True:
            try:
                self.get()
                return self
            except httpx2.TransportError:
                assert self._process.poll() is None and time.monotonic() < until, "the shop does not answer"
                time.sleep(0.02)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
