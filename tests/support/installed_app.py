"""The whole product as `make up` runs it: supervisor, Temporal server, worker and gateway as real processes."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2
import psutil

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listens on, below those that the system hands out: by the time it is used it is still free."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class Product:
    """Start the product with `with Product(folder) as product:`. Its state is in the folder, for another start."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HOLDGATE_", "TEMPORAL_"))},
            "HOLDGATE_VAR": str(folder),
            "HOLDGATE_PORT": str(free_port()),
            "HOLDGATE_TEMPORAL_PORT": str(free_port()),
            "HOLDGATE_UI_PORT": str(free_port()),
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, patience: float = 110) -> None:
        """Start, and return when everything answers. Raises with what it printed when it does not."""
        (self.folder / "up.json").unlink(missing_ok=True)
        with (self.folder / "printed.txt").open("wb") as printed:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli", "up"],
                cwd=ROOT,
                env=self.environment,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0,  # what it makes is private all the same
            )
        deadline = time.monotonic() + patience
        while not (self.folder / "up.json").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the product did not start:\n{self.printed}")
            time.sleep(0.05)

    def stop(self) -> int:
        """SIGTERM, as Ctrl-C and a service manager would; answers the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(30)

    def __enter__(self) -> "Product":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    @property
    def supervisor(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def printed(self) -> str:
        return (self.folder / "printed.txt").read_text(errors="replace")

    @property
    def up(self) -> dict[str, Any]:
        """What `up.json` says now."""
        answer: dict[str, Any] = json.loads((self.folder / "up.json").read_text())
        return answer

    def kill(self, child: str) -> None:
        """`kill -9` one of temporal, worker, gateway. Does nothing to one that is down at this moment."""
        try:
            os.kill(self.up["pids"][child], signal.SIGKILL)
        except ProcessLookupError:
            return

    def alive(self) -> list[psutil.Process]:
        """The children that run now."""
        return [psutil.Process(pid) for pid in self.up["pids"].values() if pid and psutil.pid_exists(pid)]

    def token(self, person: str) -> str:
        token: str = next(entry["token"] for entry in self.up["people"] if entry["id"] == person)
        return token

    def client(self, person: str, **options: Any) -> httpx2.Client:
        """An HTTP client that speaks for one of the demo people."""
        options.setdefault("timeout", 15)
        return httpx2.Client(
            base_url=f"{self.up['gateway_url']}/api/v1",
            headers={"Authorization": f"Bearer {self.token(person)}"},
            **options,
        )
