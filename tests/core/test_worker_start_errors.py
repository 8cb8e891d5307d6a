"""A worker that cannot start prints one line and exits with code 2."""

import os
import socket
import subprocess
import sys
from pathlib import Path

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
