"""The input of a deployment, and the content of the file of apps."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from activities.deployment.apps import App, WrongApps, read_apps
from activities.deployment.request import DeploymentRequest
from core.settings import ROOT

GOOD = '[shop]\nhealth = "http://127.0.0.1:8400/health"\n'


def test_a_row_of_a_csv_is_as_good_as_json() -> None:
    row = {"app": " shop ", "artefact": "", "sha256": "", "version": "", "security_review": "", "note": ""}
    asked = DeploymentRequest.model_validate(row)
    assert asked == DeploymentRequest.model_validate({"app": "shop"})
    assert (asked.artefact, asked.sha256, asked.security_review) == ("shop.tar.gz", None, False)
    asked = DeploymentRequest.model_validate({"app": "shop", "sha256": "AB" * 32, "security_review": "true"})
    assert (asked.sha256, asked.security_review) == ("ab" * 32, True)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("app", "", "pattern"),
        ("app", "shop!", "pattern"),
        ("app", "../shop", "pattern"),
        ("app", "shop\n/x", "pattern"),
        ("app", "s" * 41, "pattern"),
        ("artefact", "../shop.tar.gz", "goes through '..'"),
        ("artefact", "a/../../shop.tar.gz", "goes through '..'"),
        ("artefact", "/etc/shop.tar.gz", "begins with /"),
        ("artefact", "a\\shop.tar.gz", "backslash"),
        ("artefact", "a\x00.tar.gz", "cannot be shown"),
        ("artefact", "shop.zip", ".tar.gz or .tgz"),
        ("artefact", "a" * 200 + ".tar.gz", "at most 200"),
        ("sha256", "ab" * 31, "64 hex digits"),
        ("sha256", "zz" * 32, "64 hex digits"),
        ("version", "-rf", "pattern"),
        ("version", "1 0", "pattern"),
        ("version", "1" * 41, "pattern"),
        ("security_review", "perhaps", "boolean"),
        ("note", "n" * 501, "at most 500"),
        ("artefact", ".hidden/shop.tar.gz", "hidden"),
        ("note", "a\x1b[31m", "control characters"),
        ("note", "shop \u202egpj", "control characters"),
        ("folder", "/", "Extra inputs"),
    ],
)
def test_a_bad_input_is_refused_at_its_field(field: str, value: Any, words: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        DeploymentRequest.model_validate({"app": "shop", "artefact": "shop.tar.gz", field: value})
    (problem,) = wrong.value.errors()
    assert problem["loc"] == (field,) and words in problem["msg"]


def test_the_apps_of_the_samples_can_be_read() -> None:
    shop = read_apps(ROOT / "docs" / "samples" / "apps.toml")["shop"]
    assert shop.health_release == "release" and shop.health_timeout == timedelta(seconds=20)


def test_every_key_of_an_app_is_documented_with_its_default() -> None:
    page = (ROOT / "docs" / "processes" / "deployment.md").read_text()
    assert all(f"\n| `{key}` |" in page for key in App.model_fields)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[shop]\n", "[shop] health: Field required"),
        ('[shop]\nhealth = "ftp://x"\n', "[shop] health: must be an address such as http://"),
        ('[shop]\nhealth = "http://me:secret@x/"\n', "[shop] health: must be an address such as http://"),
        (GOOD + "keep_releases = 1\n", "[shop] keep_releases: "),
        (GOOD + 'keep_releases = "5"\n', "[shop] keep_releases: "),
        (GOOD + 'health_timeout = "soon"\n', '[shop] health_timeout: write it as a duration such as "20s" or "2m"'),
        (GOOD + 'health_timeout = "6m"\n', "[shop] health_timeout: must be at most 5m"),
        (GOOD + "checks_timeout = 20\n", "[shop] checks_timeout: write it as a duration"),
        (GOOD + 'checks = ["make test"]\n', "[shop] checks.0: "),
        (GOOD + "checks = [[]]\n", "[shop] checks.0: "),
        (GOOD + 'cheks = [["make"]]\n', "[shop] cheks: there is no such key; known keys are health, "),
        (GOOD.replace("shop", '"../shop"'), "[../shop]: the name of an app has small letters"),
        ("shop = 1\n", "[shop]: "),
        ("[shop\n", "line 1"),
    ],
)
def test_a_mistake_in_the_file_of_apps_names_file_and_key(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "apps.toml"
    path.write_text(text)
    with pytest.raises(WrongApps) as wrong:
        read_apps(path)
    lines = str(wrong.value).splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"{path}: ") and says in lines[0]
    assert "secret" not in lines[0]


def test_a_file_of_apps_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        WrongApps, match=r"apps\.toml: cannot be read \(No such file or directory\); HOLDGATE_APPS names"
    ):
        read_apps(tmp_path / "apps.toml")


def test_a_worker_whose_file_of_apps_has_a_mistake_does_not_start(tmp_path: Path) -> None:
    apps = tmp_path / "apps.toml"
    apps.write_text(GOOD + "keep = 5\n")
    environment = {"PATH": "", "HOLDGATE_VAR": str(tmp_path), "HOLDGATE_APPS": str(apps)}
    command = [sys.executable, "worker.py"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)
    said = ended.stderr + ended.stdout
    assert ended.returncode == 2 and f"{apps}: [shop] keep: there is no such key" in said
    assert "Traceback" not in said
