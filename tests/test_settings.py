"""Settings: names, defaults, and what is said of a wrong one."""

import tomllib
from pathlib import Path

import pytest

import settings
from settings import PREFIX, ROOT, Settings, WrongSettings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment nor a developer's own `.env` takes part."""
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    monkeypatch.chdir(ROOT)


def examples() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.removeprefix("# ").split("=", 1) for line in lines if line.startswith(f"# {PREFIX}"))


def test_the_example_names_every_setting_and_no_other() -> None:
    assert sorted(examples()) == sorted(PREFIX + name.upper() for name in Settings.model_fields)


def test_the_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = settings.load()
    for name, value in examples().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOLDGATE_DATABASE_URL", f"sqlite+aiosqlite:///{ROOT}/var/holdgate.db")
    assert settings.load() == defaults
    assert examples()["HOLDGATE_DATABASE_URL"] == "sqlite+aiosqlite:///var/holdgate.db"


def test_every_setting_of_the_example_has_a_comment_above() -> None:
    paragraphs = (ROOT / ".env.example").read_text().strip().split("\n\n")
    assert all(paragraph.startswith("# ") and not paragraph.startswith(f"# {PREFIX}") for paragraph in paragraphs)


def test_addresses_and_paths_follow_what_they_are_derived_from(tmp_path: Path) -> None:
    found = settings.load(port=9000, ui_port=9001, var=tmp_path)
    assert found.public_url == "http://127.0.0.1:9000"
    assert found.temporal_ui_url == "http://127.0.0.1:9001"
    assert found.database_url == f"sqlite+aiosqlite:///{tmp_path}/holdgate.db"
    assert found.uploads == tmp_path / "uploads"
    assert found.demo_tokens == tmp_path / "demo-tokens.json"
    assert found.up_file == tmp_path / "up.json"


def test_a_relative_path_is_taken_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDGATE_VAR", "state")
    assert settings.load().var == tmp_path / "state"
    assert settings.load().policy == ROOT / "policy.toml"


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDGATE_DATABASE_URL", "")
    monkeypatch.setenv("HOLDGATE_PORT", "")
    assert settings.load().port == 8000


def test_each_wrong_setting_is_one_line_that_names_it() -> None:
    with pytest.raises(WrongSettings) as wrong:
        settings.load(port=0, public_url="example.org", demo="maybe")
    lines = str(wrong.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "HOLDGATE_PORT=0",
        "HOLDGATE_PUBLIC_URL=example.org",
        "HOLDGATE_DEMO=maybe",
    ]


def test_a_slip_in_a_name_is_noticed() -> None:
    names = ["HOLDGATE_PROT", "HOLDGATE_PORT", "HOLDGATE_ZZZ", "HOLDGATE_TOKEN", "PATH"]
    assert settings.unknown(names) == [
        "HOLDGATE_PROT is not a setting; is HOLDGATE_PORT meant?",
        "HOLDGATE_ZZZ is not a setting",
    ]


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_the_locks_hold_every_dependency_with_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    if lock == "requirements-dev.txt":
        wanted += project["dependency-groups"]["dev"]
    locked = {
        line.partition("==")[0].partition("[")[0] for line in text.splitlines() if "==" in line and line[0] != " "
    }
    for requirement in wanted:
        name = requirement.replace(">", "=").partition("=")[0].partition("[")[0]
        assert name in locked, f"{name}: run `make lock`"
    pinned = [block for block in text.split("\n") if "==" in block and not block.startswith(" ")]
    assert all(line.endswith("\\") for line in pinned)
    assert "://" not in text
    assert "file:" not in text
