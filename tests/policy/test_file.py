"""The policy file of a running process."""

from pathlib import Path

import pytest

from policy.file import PolicyFile
from policy.model import PolicyError
from tests.policy.examples import GATE, INPUTS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(GATE)
    return path


def test_an_edit_is_in_force_at_once(path: Path) -> None:
    file = PolicyFile(path, INPUTS)
    before = file.current
    assert file.current is before
    path.write_text(GATE + "quorum = 2")
    assert file.current.gate("payment", "manager-approval").quorum == 2
    assert file.current.hash != before.hash


def test_a_bad_edit_leaves_the_last_valid_policy_and_says_so(path: Path) -> None:
    file = PolicyFile(path, INPUTS)
    before = file.current
    path.write_text(GATE + "quorom = 2")
    assert file.problem is not None
    assert file.problem.startswith(f"{path}:7: payment.gates.manager-approval.quorom: unknown key")
    assert file.current is before
    path.write_text(GATE)
    assert file.problem is None


def test_a_file_that_goes_away_is_a_bad_edit(path: Path) -> None:
    file = PolicyFile(path, INPUTS)
    path.unlink()
    assert file.problem == f"{path}:1: cannot be read: No such file or directory"
    assert file.current.has("payment")


def test_the_first_reading_must_succeed(path: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        PolicyFile(tmp_path / "none.toml", INPUTS)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="not UTF-8"):
        PolicyFile(path, INPUTS)
    path.write_text("[payment")
    with pytest.raises(PolicyError, match=":1: not valid TOML"):
        PolicyFile(path, INPUTS)


def test_gates_are_checked_where_they_are_known(path: Path) -> None:
    with pytest.raises(PolicyError, match="the gate board is missing"):
        PolicyFile(path, INPUTS, gates={"payment": ["manager-approval", "board"]})
