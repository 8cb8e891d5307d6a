"""Settings: names, defaults, and the error for a wrong value."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr, field_validator

from core import settings
from core.settings import PREFIX, ROOT, Settings, WrongSettings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment nor a developer's own `.env` takes part."""
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    monkeypatch.chdir(ROOT)


def examples() -> dict[str, str]:
    lines = (ROOT / "config" / "env.example").read_text().splitlines()
    return dict(line.removeprefix("# ").split("=", 1) for line in lines if line.startswith(f"# {PREFIX}"))


def test_the_example_names_every_setting_and_no_other() -> None:
    assert sorted(examples()) == sorted(PREFIX + name.upper() for name in Settings.model_fields)


def test_the_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = settings.load()
    for name, value in examples().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOLDGATE_DATABASE_URL", f"sqlite:///{ROOT}/var/holdgate.db")
    assert settings.load() == defaults
    assert examples()["HOLDGATE_DATABASE_URL"] == "sqlite:///var/holdgate.db"


def test_every_setting_of_the_example_has_a_comment_above() -> None:
    paragraphs = (ROOT / "config" / "env.example").read_text().strip().split("\n\n")
    assert all(paragraph.startswith("# ") and not paragraph.startswith(f"# {PREFIX}") for paragraph in paragraphs)


def test_addresses_and_paths_follow_what_they_are_derived_from(tmp_path: Path) -> None:
    found = settings.load(port=9000, ui_port=9001, var=tmp_path)
    assert found.public_url == "http://localhost:9000"
    assert found.temporal_ui_url == "http://127.0.0.1:9001"
    assert found.database_url == f"sqlite:///{tmp_path}/holdgate.db"
    assert found.uploads == tmp_path / "uploads"
    assert found.demo_tokens == tmp_path / "demo-tokens.json"
    assert found.up_file == tmp_path / "up.json"


def test_a_relative_path_is_taken_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDGATE_VAR", "state")
    assert settings.load().var == tmp_path / "state"
    assert settings.load().policy == ROOT / "config" / "policy.toml"


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


def test_a_channel_named_twice_counts_once() -> None:
    assert settings.load(channels="smtp, console,smtp").channels == "smtp,console"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("mail_from", "Holdgate", "must look like holdgate@example.org"),
        ("mail_from", "a@example.org\nBcc: b@example.org", "must look like"),
        ("digest_at", "08:00+02:00", "must not have a time zone"),
        ("digest_at", "noon", "HOLDGATE_DIGEST_AT=noon"),
        ("notice_window_s", "0", "HOLDGATE_NOTICE_WINDOW_S=0"),
    ],
)
def test_a_wrong_setting_of_notices_says_what_is_right(name: str, value: str, says: str) -> None:
    with pytest.raises(WrongSettings, match=re.escape(says)):
        settings.load(**{name: value})


@pytest.mark.parametrize("url", ["http://hunter2@host", "smtp://", "smtp://me:hunter2@host:port", "hunter2"])
def test_the_mail_server_is_never_printed(url: str) -> None:
    with pytest.raises(WrongSettings, match=r"^HOLDGATE_SMTP_URL: must look like smtp://") as wrong:
        settings.load(smtp_url=url)
    assert "hunter2" not in str(wrong.value)
    assert "hunter2" not in repr(settings.load(smtp_url="smtp://me:hunter2@host"))


class SettingsOfAChannel(Settings):
    """The settings with a secret of a new channel, which no code names."""

    chat_token: SecretStr | None = None
    chat_key: SecretStr = SecretStr("")

    @field_validator("chat_token", "chat_key")
    @classmethod
    def _refuse(cls, _: SecretStr) -> SecretStr:
        raise ValueError("is too short")


def test_a_wrong_secret_is_never_printed_whatever_the_name_of_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "Settings", SettingsOfAChannel)
    with pytest.raises(WrongSettings) as wrong:
        settings.load(chat_token="hush-1", chat_key="hush-2", database_url=["hush-3"])
    assert sorted(str(wrong.value).splitlines()) == [
        "HOLDGATE_CHAT_KEY: is too short",
        "HOLDGATE_CHAT_TOKEN: is too short",
        "HOLDGATE_DATABASE_URL: Input should be a valid string",
    ]


def test_the_settings_in_a_log_show_no_password_of_the_database() -> None:
    assert "hush" not in repr(settings.load(database_url="postgresql://me:hush@host/holdgate"))


@pytest.mark.parametrize(
    "url",
    ["ftp://me:hush@host", "http://me:hush@host:port", "http://hush@host", "me:hush@host", "http://me:h@hu sh/@host"],
)
def test_a_wrong_address_is_printed_without_user_and_password(url: str) -> None:
    with pytest.raises(WrongSettings) as wrong:
        settings.load(public_url=url)
    assert str(wrong.value).startswith("HOLDGATE_PUBLIC_URL=") and "***@host" in str(wrong.value)
    assert "me:" not in str(wrong.value) and "hush" not in str(wrong.value) and "hu sh" not in str(wrong.value)


def test_a_slip_in_a_name_is_noticed() -> None:
    names = ["HOLDGATE_INBOX_DIR", "HOLDGATE_PROT", "HOLDGATE_PORT", "HOLDGATE_ZZZ", "HOLDGATE_TOKEN", "PATH"]
    assert settings.unknown(names) == [
        "HOLDGATE_INBOX_DIR is not a setting; is HOLDGATE_IMPORT_DIR meant?",
        "HOLDGATE_PROT is not a setting; is HOLDGATE_PORT meant?",
        "HOLDGATE_ZZZ is not a setting",
    ]


def test_a_slip_is_noticed_in_the_environment_and_in_the_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("HOLDGATE_LOCAL=fr\nHOLDGATE_LOG=json\nholdgate_hosts=x\nHOLDGATE_EMPTY=\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setenv("HOLDGATE_TOKN", "hg_x")
    monkeypatch.setenv("holdgate_port", "8001")
    assert settings.unknown_variables() == [
        "HOLDGATE_HOSTS is not a setting; is HOLDGATE_HOST meant?",
        "HOLDGATE_LOCAL is not a setting; is HOLDGATE_LOCALE meant?",
        "HOLDGATE_TOKN is not a setting; is HOLDGATE_TOKEN meant?",
    ]


@pytest.mark.parametrize("lock", ["runtime.txt", "dev.txt"])
def test_the_locks_hold_every_dependency_with_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / "config" / "requirements" / lock).read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    if lock == "dev.txt":
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


HERE = ["127.0.0.1", "127.0.0.2", "127.1", "0x7f.1", "2130706433", "localhost", "LocalHost", "localhost.", "::1"]
HERE += ["::ffff:127.0.0.1", "0:0:0:0:0:0:0:1"]
ELSEWHERE = ["0.0.0.0", "0", "::", "::ffff:0.0.0.0", "::ffff:10.0.0.1", "10.0.0.5", "192.0.2.1", "fe80::1", "holdgate"]
ELSEWHERE += ["ip6-localhost", "localhost.example.org", "127.0.0.1.example.org", "127.0.0.1 example.org", "x.localhost"]
ELSEWHERE += ["127.0.0.1%00", "1270.0.0.1", "128.0.0.1", "localhost..", "."]


@pytest.mark.parametrize("host", HERE)
def test_the_demo_may_listen_where_only_this_machine_is(host: str) -> None:
    assert settings.load(host=host).host == host
    url = f"http://[{host}]:8000" if ":" in host else f"http://{host}:8000"
    assert settings.load(public_url=url).public_url == url


@pytest.mark.parametrize("host", ELSEWHERE)
def test_with_the_demo_an_address_that_others_reach_is_refused_and_without_it_taken(host: str) -> None:
    url = f"http://[{host}]:8000" if ":" in host else f"http://{host}:8000"
    for name, value in (("host", host), ("public_url", url)):
        with pytest.raises(WrongSettings, match=f"^HOLDGATE_{name.upper()}=.*Set HOLDGATE_DEMO=0, or set HOLDGATE_"):
            settings.load(**{name: value})
    assert settings.load(host=host, demo=False).host == host


@pytest.mark.parametrize(
    "url", ["https://holdgate.example.org", "http://127.0.0.1@example.org", "http://127.0.0.1:80@example.org/"]
)
def test_with_the_demo_a_public_address_is_refused(url: str) -> None:
    with pytest.raises(WrongSettings, match=r"^HOLDGATE_PUBLIC_URL=http.*HOLDGATE_DEMO is on"):
        settings.load(public_url=url)
    assert settings.load(public_url=url, demo=False)


@pytest.mark.parametrize("url", ["http://[", "http://", "https:///path", "http://host:99999", "http://host:port"])
def test_an_address_that_names_no_host_is_one_line(url: str) -> None:
    with pytest.raises(WrongSettings, match=r"^HOLDGATE_PUBLIC_URL=http.*must name a host"):
        settings.load(public_url=url)
