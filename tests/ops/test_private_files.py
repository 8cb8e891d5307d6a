"""Other users of the machine cannot read files of Holdgate, with any umask and with files of earlier runs."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from store.db.database import migrate
from store.db.private_files import tighten
from tests.support.installed_app import ROOT


def open_to_others(var: Path) -> list[str]:
    """What in a folder others may do something with."""
    found = [var, *var.rglob("*")]
    return [
        f"{path} {stat.S_IMODE(mode):o}"
        for path in found
        if not stat.S_ISLNK(mode := path.lstat().st_mode) and mode & 0o077
    ]


def make(path: Path, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    path.chmod(mode)
    return path


def test_what_an_older_version_left_open_is_closed_once_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    var, elsewhere = tmp_path / "var", tmp_path / "db"
    for name in ("holdgate.db", "temporal.db", "temporal.db-wal", "uploads/a.csv", "attachments/b", "log/worker.log"):
        make(var / name)
    make(var / "apps" / "shop" / "run", 0o755)
    (var / "link").symlink_to(make(tmp_path / "of-others"))
    inside = make(var / "drop" / "dropped.csv")
    outer = [make(elsewhere / f"holdgate.db{suffix}") for suffix in ("", "-wal", "-shm")]
    var.chmod(0o755)

    url = f"sqlite:///{elsewhere / 'holdgate.db'}"
    shared = (var / "drop", None)
    assert tighten(var, url, shared) > 0
    assert stat.S_IMODE((var / "apps" / "shop" / "run").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in outer} == {0o600}
    # What is not ours alone stays as its people want it.
    assert stat.S_IMODE(inside.stat().st_mode) == stat.S_IMODE((tmp_path / "of-others").stat().st_mode) == 0o644
    assert all("drop" in each for each in open_to_others(var))
    assert caplog.text.count("could be used by other users of this machine") == 1
    assert tighten(var, url, shared) == 0
    assert tighten(var, "postgresql://holdgate@nowhere/x", shared) == 0 == tighten(tmp_path / "nothing")


def test_a_database_is_private_from_its_first_byte_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        migrate(f"sqlite:///{tmp_path / 'new' / 'holdgate.db'}")
    finally:
        os.umask(before)
    assert not open_to_others(tmp_path / "new")


IN_THE_IMPORT_FOLDER = """
import os, stat, sys
from pathlib import Path
from intake.drop_folder import _write, made, opened
from store.db.private_files import keep_private
keep_private()
here = Path(sys.argv[1])
with opened(here) as box, made("done", box) as done:
    _write(done, "report.json", b"{}", "token")
print(*(oct(stat.S_IMODE(each.stat().st_mode)) for each in (here / "done", here / "done" / "report.json")))
"""


def test_what_is_made_in_the_import_folder_has_the_modes_that_its_people_expect(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-c", IN_THE_IMPORT_FOLDER, str(tmp_path)],
        cwd=ROOT,
        umask=0o002,
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.split() == ["0o775", "0o664"]
