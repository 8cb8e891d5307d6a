"""`python -m api` as a process: it starts without Temporal, stops on request, and reports an error in one line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from core.settings import Settings
from core.signing_keys import make_missing_keys
from tests.support.installed_app import ROOT, free_port
from tests.support.migrated_database import migrated_copy


def gateway(folder: Path, **environment: str) -> subprocess.Popen[str]:
    make_missing_keys(Settings(var=folder))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDGATE_", "TEMPORAL_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "api"],
        cwd=ROOT,
        env={**clean, "HOLDGATE_VAR": str(folder), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_gateway_serves_before_temporal_is_there_and_ends_on_sigterm(tmp_path: Path) -> None:
    migrated_copy(tmp_path / "holdgate.db")
    port = str(free_port())
    process = gateway(tmp_path, HOLDGATE_PORT=port, HOLDGATE_TEMPORAL_PORT=str(free_port()))
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None
            assert time.monotonic() < deadline
            try:
                answer = httpx2.get(f"http://127.0.0.1:{port}/health/ready", timeout=5)
                break
            except httpx2.TransportError:
                time.sleep(0.05)
        assert "temporal" in answer.json()["missing"]
        assert "server" not in answer.headers
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    assert "Application shutdown complete" in log
    # uvicorn ends gracefully and then lets the signal end the process, as shells and supervisors expect.
    assert process.returncode == -signal.SIGTERM


def test_a_wrong_policy_or_setting_ends_it_with_2_and_says_what_to_change(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[payment.gates.manager-approval]\ngroup = ['managers']\n")
    for name, value, said in (("HOLDGATE_POLICY", str(policy), "policy.toml:"), ("HOLDGATE_PORT", "http", "PORT=http")):
        process = gateway(tmp_path, **{name: value})
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, said in errors, "Traceback" in errors) == (2, True, False), errors
