"""The benchmarks run, and print their figures."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from scripts.bench.bare.counters import AT_GATE, ENDED
from scripts.bench.compare import one_round, single
from scripts.bench.systems import SYSTEMS, Bare
from tests.support.installed_app import ROOT


def measured(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Run a benchmark and return its figures."""
    written = tmp_path / "figures.json"
    (ROOT / "var").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "var") as folder:  # `tmp_path` may be in memory
        command = [sys.executable, "-m", "scripts.bench", *arguments, "--folder", folder, "--json", str(written)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not [each for each in Path(folder).iterdir() if each.is_dir()], "databases are left behind"
    found: dict[str, Any] = json.loads(written.read_text())
    return found


@pytest.mark.soak
def test_the_comparison_measures_every_system(tmp_path: Path) -> None:
    found = measured(tmp_path, "--rounds", "1", "--cases", "4", "--singles", "2")
    assert list(found["systems"]) == list(SYSTEMS)
    for row in found["systems"].values():
        assert row["start"]["median"] > 0
        assert row["end_to_end"]["ratio"] > 0
        assert row["cpu_worker"]["median"] >= 0
        assert row["idle"]["closed"]["median_ms"] >= row["idle"]["decided"]["median_ms"] > 0
        assert row["events"] > 10


@pytest.mark.soak
@pytest.mark.parametrize("system", ["holdgate", "bare-local"])
def test_the_growth_of_a_file_is_sampled(tmp_path: Path, system: str) -> None:
    samples, picture = tmp_path / "samples.csv", tmp_path / "picture.svg"
    shape = ("--rows", "40", "--open", "50", "--singles", "2", "--every", "1", "--system", system)
    found = measured(tmp_path, "growth", *shape, "--csv", str(samples), "--svg", str(picture))
    assert found["rows"] == 40
    assert found["open"] == 50
    assert found["first_tenth_per_s"] > 0
    assert set(found["memory_growth_mb"]) == {"worker", "gateway", "temporal"}
    lines = samples.read_text().splitlines()
    assert lines[0].startswith("seconds,done,per_s,rss_mb_")
    assert lines[-1].split(",")[1] == "40"
    assert picture.read_text().startswith("<svg")


@pytest.mark.soak
async def test_the_bare_engine_runs_its_cases_to_the_end(tmp_path: Path) -> None:
    system = SYSTEMS["bare-sql"](tmp_path / "bare")
    assert isinstance(system, Bare)
    try:
        await system.open()
        assert (await one_round(system, 5, 4))["end_to_end"] > 0
        left = await system.start("left-open")
        assert left == "left-open"
        system.leave_open(1)
        assert (await single(system))["closed"] > 0
        assert (system.gates(), system._counters.get(ENDED)) == (7, 6)
        assert system.sizes()["app"] > 0
    finally:
        await system.close()
    assert system._counters.get(AT_GATE) == 7
