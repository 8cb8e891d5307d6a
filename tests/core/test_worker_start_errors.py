"""A worker that cannot start prints one line and exits with code 2."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from core.payload_keys import create_payload_keys
from core.settings import Settings
from core.signing_keys import make_missing_keys
from tests.support.installed_app import ROOT


def started(folder: Path, **environment: str) -> tuple[int, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDGATE_", "TEMPORAL_"))}
    done = subprocess.run(
        [sys.executable, "worker.py"],
        cwd=ROOT,
        env={**kept, "HOLDGATE_VAR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stderr


def test_a_port_for_metrics_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, said = started(tmp_path, HOLDGATE_WORKER_METRICS=f"127.0.0.1:{taken.getsockname()[1]}")
    assert code == 2 and "HOLDGATE_WORKER_METRICS" in said and "Traceback" not in said


def test_traces_without_what_makes_them(tmp_path: Path) -> None:
    without = (
        "import runpy, sys; sys.modules['opentelemetry.sdk'] = None; runpy.run_path('worker.py', run_name='__main__')"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDGATE_", "TEMPORAL_"))}
    done = subprocess.run(
        [sys.executable, "-c", without],
        cwd=ROOT,
        env={**kept, "HOLDGATE_VAR": str(tmp_path), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2 and "config/requirements/otel.txt" in done.stderr and "Traceback" not in done.stderr


def test_payload_keys_that_are_missing_or_not_private(tmp_path: Path) -> None:
    make_missing_keys(Settings(var=tmp_path / "var"))
    keys = tmp_path / "payload-keys.toml"
    code, said = started(tmp_path / "var", HOLDGATE_PAYLOAD_KEYS=str(keys))
    assert code == 2 and f"HOLDGATE_PAYLOAD_KEYS={keys}: the file does not exist" in said and "Traceback" not in said
    create_payload_keys(keys)
    keys.chmod(0o644)
    code, said = started(tmp_path / "var", HOLDGATE_PAYLOAD_KEYS=str(keys))
    assert code == 2 and f"HOLDGATE_PAYLOAD_KEYS={keys}: other users can use the file" in said
