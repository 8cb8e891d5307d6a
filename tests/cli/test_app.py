"""The whole command line: version, help, wrong usage, defects, output, and the launcher."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli import output
from cli.common import print_answer
from tests.support.in_process_command_line import Run

ROOT = Path(__file__).parents[2]


def test_it_says_its_version(run: Run) -> None:
    assert run("--version").out == "holdgate 0.1.0\n"


def test_a_wrong_setting_names_its_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDGATE_PORT", "many")
    answer = run("cases")
    assert answer.code == 2
    assert answer.err.startswith("HOLDGATE_PORT=many: ")


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("decide", "t1"), ("cases", "--limit", "0"), ("submit",), ("cancel", "c")]
)
def test_wrong_usage_is_exit_code_2(run: Run, arguments: tuple[str, ...]) -> None:
    answer = run(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert "Usage" in answer.err


def test_a_file_that_cannot_be_read_is_said_to_be_so(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOLDGATE_TOKEN", "hg_x")
    answer = run("submit", str(tmp_path / "none.csv"), "--process", "payment")
    assert (answer.code, answer.err) == (2, f"{tmp_path}/none.csv cannot be read: No such file or directory\n")


def test_every_command_explains_itself(run: Run) -> None:
    commands = "up worker api submit cases case tasks decide cancel people notices audit ledger policy"
    overview = run("--help").out
    for command in commands.split():
        assert command in overview
        assert run(command, "--help").code == 0


def test_a_defect_is_a_line_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise KeyError("oops")

    monkeypatch.setattr("cli.common.load_settings", broken)
    answer = run("cases")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("holdgate has a defect: KeyError: 'oops'")


def test_text_of_others_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.table_of(("Title",), [("\x1b[31mred\x07 [bold]x[/bold]",)])
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out
    assert "[bold]x[/bold]" in out
    print_answer({"title": "\x9b31mred\x07\u2028ü"}, True, print)
    out = capsys.readouterr().out
    assert not {"\x9b", "\x07", "\u2028"} & set(out) and json.loads(out) == {"title": "\x9b31mred\x07\u2028ü"}


def test_the_launcher_runs_from_anywhere_and_makes_its_environment_first(tmp_path: Path) -> None:
    """Against a checkout with an environment that is only pretended, as making one takes half a minute."""
    checkout = tmp_path / "my checkout"
    (checkout / "ops").mkdir(parents=True)
    (checkout / "holdgate").write_bytes((ROOT / "holdgate").read_bytes())
    (checkout / "holdgate").chmod(0o755)
    (checkout / "cli").mkdir()
    (checkout / "cli" / "__main__.py").write_text("import sys; print('ran', sys.argv[1:])")
    (checkout / "ops" / "environment").write_text(
        f'#!/bin/sh\nmkdir -p "{checkout}/.venv/bin" && ln -s {sys.executable} "{checkout}/.venv/bin/python"\n'
        f'echo making $1; touch "{checkout}/.venv/requirements.txt"\n'
    )
    (checkout / "ops" / "environment").chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(checkout / "holdgate")
    command = [str(link), "cases", "--q", "a b"]
    first = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    second = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    assert first.stdout == second.stdout == "ran ['cases', '--q', 'a b']\n"
    assert "making config/requirements/runtime.txt" in first.stderr
    assert second.stderr == ""
