"""The example sessions of the docs run as written."""

import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.installed_app import ROOT, Product
from tests.support.markdown import Fence, fences, section
from tests.test_docs import WALK

LEFT_OUT = shutil.ignore_patterns(".*_cache", ".cache", ".git", ".venv", ".env", ".hypothesis", "var", "bench", ".site")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout whose `.venv` is the environment of these tests."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    (copy / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(copy / "config" / "requirements" / "runtime.txt", copy / ".venv" / "requirements.txt")
    python = copy / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return copy


def pasted(block: str, where: Path, environment: dict[str, str]) -> str:
    """What a block prints when it is pasted into bash."""
    bash = ["bash", "-euo", "pipefail", "-c", block]
    done = subprocess.run(bash, cwd=where, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def settled(product: Product, case: str, status: str) -> None:
    """Wait until a case has a status; the test's timeout ends a wait in vain."""
    with product.client("admin-1") as client:
        while client.get(f"/cases/{quote(case, safe='')}").json().get("status") != status:
            time.sleep(0.1)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on PATH")
def test_the_session_of_the_readme_does_what_it_says(product: Product, checkout: Path) -> None:
    up, submit, tasks, decide, look = (
        fence.text for fence in fences(section(ROOT / "README.md", "Try it")) if fence.language == "bash"
    )
    assert up == "make up\n"
    environment = product.environment
    assert "12 total, 12 valid, 12 started" in pasted(submit, checkout, environment)
    while statuses(product) != {"completed": 2, "failed": 2, "awaiting_approval": 8}:
        time.sleep(0.2)
    assert "Pay Kestrel Couriers Ltd 500.00 GBP" in pasted(tasks, checkout, environment)
    said = pasted(decide, checkout, environment)
    assert "manager-approval is approved" in said and "manager-approval is rejected" in said
    settled(product, "payment:inv-1003", "completed")
    settled(product, "payment:inv-1005", "rejected")
    seen = pasted(look, checkout, environment)
    assert "Release the held 7,800.00 EUR" in seen
    assert '"kind":"hold"' in seen and '"kind":"release"' in seen and '"kind":"capture"' not in seen
    assert "the audit log is intact" in seen


def statuses(product: Product) -> Counter[str]:
    """Return how many cases of the sample file of payments have each status."""
    with product.client("auditor-1") as client:
        found = client.get("/cases", params={"q": "INV-10", "limit": 200}).json()["items"]
    return Counter(case["status"] for case in found)


def follow(fence: Fence, folder: Path) -> None:
    """Do what the line before a block says: add to a file, or change one."""
    verb, name = fence.said.split(" `")[0], fence.said.split("`")[1]
    file = folder / name
    match verb:
        case "Add to":
            gap = "\n\n" if file.suffix == ".py" else ""  # as anybody leaves it between two functions
            file.write_text(file.read_text() + gap + fence.text)
        case "Change":
            lines = fence.text.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            assert file.read_text().count(old) == 1, f"{name}: these lines stand there once, or no longer:\n{old}"
            file.write_text(file.read_text().replace(old, new))
        case _:
            raise AssertionError(f"what is to be done with this block? {fence.said}")


@pytest.mark.soak
def test_who_follows_the_page_about_processes_has_a_process_that_works(checkout: Path, tmp_path: Path) -> None:
    commands = [fence.text for fence in fences(WALK.read_text()) if fence.language == "bash"]
    changes = [fence for fence in fences(WALK.read_text()) if fence.language != "bash"]
    new, up, decide, test = commands
    assert up == "make up\n" and len(changes) == 4
    mine = tmp_path / "holdgate-processes"
    environment = Product(tmp_path, HOME=str(tmp_path), HOLDGATE_PROCESSES=str(mine)).environment
    said = pasted(new, checkout, {**environment, "HOLDGATE_PROCESSES": ""})
    assert f"{mine}/expense_claim is a process that works" in said
    with Product(tmp_path, HOME=str(tmp_path), HOLDGATE_PROCESSES=str(mine)) as product:
        submit, look, *rest = decide.splitlines(keepends=True)
        assert "3 total, 3 valid, 3 started" in pasted(submit, checkout, product.environment)
        settled(product, "expense_claim:r-2", "awaiting_approval")
        settled(product, "expense_claim:r-3", "awaiting_approval")
        assert "Expense claim: A week at the trade fair for 2,310.00" in pasted(look, checkout, product.environment)
        said = pasted("".join(rest[:2]), checkout, product.environment)
        assert "approval is approved" in said and "approval is rejected" in said
        for case, status in (("r-1", "completed"), ("r-2", "completed"), ("r-3", "rejected")):
            settled(product, f"expense_claim:{case}", status)
        assert "Free the 2,310.00 set aside" in pasted(rest[2], checkout, product.environment)
    for change in changes:
        follow(change, mine)
    said = pasted(test, checkout, environment)
    assert "8 passed" in said and "expense_claim lacks nothing" in said
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml"), str(mine)]
    for arguments in (["check", "--ignore", "I"], ["format", "--check"]):  # what is whose depends on where it lies
        done = subprocess.run([*ruff, *arguments, *config], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
