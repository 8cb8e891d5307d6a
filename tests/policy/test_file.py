"""The policy file of a running process."""

from pathlib import Path

import pytest

from policy.file import PolicyFile
from policy.model import PolicyError
from policy.parse import parse, warnings
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
    assert file.problem == f"{path}:1: cannot be read: No such file or directory. Correct the path or the permissions"
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


CLAIM = '[expense_claim.gates.approval]\ngroups = ["managers"]\n'
BOTH = INPUTS | {"expense_claim": INPUTS["payment"]}


@pytest.fixture
def section(tmp_path: Path) -> Path:
    section = tmp_path / "section.toml"
    section.write_text(CLAIM)
    return section


def test_the_section_of_a_process_may_lie_in_a_file_of_its_own_and_is_part_of_the_text(
    path: Path, section: Path
) -> None:
    policy = PolicyFile(path, BOTH, sections={"expense_claim": section}).current
    assert policy.has("payment") and policy.gate("expense_claim", "approval").groups == ["managers"]
    assert policy.text == f"{GATE.rstrip()}\n\n# ---- from expense_claim/section.toml\n{CLAIM}"
    # The stored text, as a case has it in SQL, is the whole policy.
    assert parse(policy.text, inputs=BOTH).hash == policy.hash
    assert parse(policy.text, inputs=INPUTS, pinned=True).has("payment")
    with pytest.raises(PolicyError, match="unknown process"):
        parse(policy.text, inputs=INPUTS)


def test_a_section_in_the_policy_itself_comes_before_the_file_of_its_own(path: Path, section: Path) -> None:
    path.write_text(GATE + CLAIM.replace("managers", "directors"))
    policy = PolicyFile(path, BOTH, sections={"expense_claim": section}).current
    assert policy.gate("expense_claim", "approval").groups == ["directors"]
    assert policy.text == path.read_text()


def test_a_changed_section_applies_at_once_and_a_bad_one_is_reported_with_its_line(path: Path, section: Path) -> None:
    file = PolicyFile(path, BOTH, sections={"expense_claim": section})
    before = file.current
    section.write_text(f"# two of them\n{CLAIM}quorum = 2\n")
    assert file.current.gate("expense_claim", "approval").quorum == 2 and file.current.hash != before.hash
    section.write_text(f"{CLAIM}quorom = 2\n")
    assert str(file.problem).startswith(f"{section}:3: expense_claim.gates.approval.quorom: unknown key")
    assert file.current.gate("expense_claim", "approval").quorum == 2
    section.unlink()
    assert (
        file.problem == f"{section}:1: cannot be read: No such file or directory. Correct the path or the permissions"
    )
    section.write_text(CLAIM)
    assert file.problem is None and file.current.hash == before.hash


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[expense_claim", ":1: not valid TOML: "),
        (f"\n{CLAIM}[payment]\n", ":4: payment: does not belong here: this file holds the section [expense_claim] and"),
        (f"{CLAIM}[calendars.office]\n", ":3: calendars: does not belong here"),
        (f"# ours\nexpense_claim.rounds = 3\n{CLAIM}", ":2: expense_claim: must begin with the header of a table"),
        (CLAIM + 'expires = "soon"\n', ":3: expense_claim.gates.approval.expires: unknown name 'soon'"),
    ],
)
def test_a_mistake_in_a_section_names_its_own_file_and_line(path: Path, section: Path, text: str, says: str) -> None:
    section.write_text(text)
    with pytest.raises(PolicyError) as wrong:
        PolicyFile(path, BOTH, sections={"expense_claim": section})
    assert str(wrong.value).startswith(f"{section}{says}")


def test_a_mistake_in_the_policy_is_reported_there_although_sections_follow(path: Path, section: Path) -> None:
    path.write_text(GATE + 'memo = """')
    with pytest.raises(PolicyError) as wrong:
        PolicyFile(path, BOTH, sections={"expense_claim": section})
    assert str(wrong.value).startswith(f"{path}:7: not valid TOML")


def test_a_doubtful_value_in_a_section_is_reported_with_its_file_and_line(path: Path, section: Path) -> None:
    section.write_text(f'{CLAIM}expires = "2d"\non_expiry = "approve"\n')
    said = warnings(PolicyFile(path, BOTH, sections={"expense_claim": section}).current, BOTH)
    assert said == [
        f"{section}:4: expense_claim.gates.approval.on_expiry: the request is approved if nobody decides in time"
    ]
