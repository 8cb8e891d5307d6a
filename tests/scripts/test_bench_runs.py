"""The benchmark runs, and prints its figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installed_app import ROOT


@pytest.mark.soak
def test_the_benchmark_runs_and_writes_its_figures(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--tiny", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    (written,) = tmp_path.glob("*.json")
    found = json.loads(written.read_text())
    assert set(found["throughput"]) == {"start", "decision", "decided_to_closed", "end_to_end"}
    assert all(row["ours_per_s"] > 0 and row["bare_per_s"] > 0 for row in found["throughput"].values())
    assert found["single"]["decision"]["median_ms"] > 0
    assert "inbox page of 50" in found["lists"]["sqlite"]["200"]
