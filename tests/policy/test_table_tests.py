"""Table tests of a policy: cases, and the expected answer of each gate."""

from pathlib import Path

import pytest

from policy.parse import parse
from policy.table_tests import TableError, failure, table
from tests.policy.examples import GATE, INPUTS
from workflows.registry import INPUTS as REGISTERED

ROOT = Path(__file__).parents[2]
OFFICE = '[calendars.office]\nhours = "09:00-17:30"\ntime_zone = "Europe/London"\n'
POLICY = parse(
    OFFICE + GATE + 'when = "amount >= limits.manager"\nquorum = 2\nusers = ["anna"]\n'
    'calendar = "office"\ndue = "1d"\n'
    '[payment.gates.risk]\nwhen = "facts.score >= 50"\ngroups = ["analysts"]\n',
    inputs=INPUTS,
)
CASE = 'input = { payee = "x", amount = 500.00, currency = "GBP" }\n'


def row(*lines: str, case: str = CASE) -> str:
    return '[[payment]]\nname = "a row"\n' + case + "\n".join(lines) + "\n"


def failures(text: str) -> list[str]:
    tests = table(text, source="t.toml", policy=POLICY, inputs=INPUTS)
    return [said for test in tests if (said := failure(test, POLICY))]


def test_the_shipped_table_holds_and_says_something_of_each_gate() -> None:
    shipped = parse((ROOT / "config" / "policy.toml").read_text(encoding="utf-8"), inputs=REGISTERED)
    text = (ROOT / "config" / "policy.tests.toml").read_text(encoding="utf-8")
    tests = table(text, source="t.toml", policy=shipped, inputs=REGISTERED)
    assert len(tests) >= 10
    assert [failure(test, shipped) for test in tests] == [None] * len(tests)
    for process in ("payment", "erasure"):
        gates = {gate for test in tests if test.process == process for gate in test.row.gates}
        assert gates == set(shipped.processes[process].gates)


def test_a_shipped_table_notices_a_changed_limit() -> None:
    changed = (ROOT / "config" / "policy.toml").read_text(encoding="utf-8").replace("manager = 500", "manager = 600")
    other = parse(changed, inputs=REGISTERED)
    text = (ROOT / "config" / "policy.tests.toml").read_text(encoding="utf-8")
    tests = table(text, source="t.toml", policy=other, inputs=REGISTERED)
    assert any(failure(test, other) for test in tests)


@pytest.mark.parametrize(
    "gates",
    [
        'gates = { manager-approval = "2 of managers, anna", risk = "depends on facts.score" }',
        'gates = { manager-approval = "2 of  Anna,managers" }',
        'facts = { score = 1 }\ngates = { risk = "no" }',
        "at = 2026-11-27T17:00:00Z\ndue = { manager-approval = 2026-11-30T17:00:00 }",
        "at = 2026-07-03T16:00:00Z\ndue = { manager-approval = 2026-07-06T17:00:00 }",
        "at = 2026-07-03T16:00:00Z\ndue = { manager-approval = 2026-07-06T16:00:00Z }",
    ],
)
def test_a_row_that_holds_says_nothing(gates: str) -> None:
    assert failures(row(gates)) == []


def test_a_row_that_fails_is_one_line_with_what_was_expected_and_found() -> None:
    wrong = row('facts = { score = 99 }\ngates = { manager-approval = "1 of managers, anna", risk = "no" }')
    assert failures(row("gates = { risk = 'depends on facts.score' }") + wrong) == [
        "t.toml:5: a row: manager-approval: expected 1 of managers, anna, found 2 of managers, anna; "
        "risk: expected no, found 1 of analysts"
    ]


def test_a_moment_that_is_not_met_is_told_in_the_time_of_the_calendar() -> None:
    text = row(
        "at = 2026-07-03T16:00:00Z",
        "due = { manager-approval = 2026-07-06T16:00:00, risk = 2026-07-06T16:00:00 }",
        "facts = { score = 99 }",
    )
    assert failures(text) == [
        "t.toml:1: a row: manager-approval: expected due Mon 06 Jul 2026 at 16:00 BST, "
        "found Mon 06 Jul 2026 at 17:00 BST; "
        "risk: expected due Mon 06 Jul 2026 at 16:00 UTC, found no time"
    ]


def test_unknown_results_are_listed_beside_the_findings() -> None:
    (said,) = failures(row("facts = { }", 'gates = { risk = "no" }'))
    assert "found 1 of analysts ('facts.score >= 50' reads 'score', which does not exist, so the gate opens)" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "t.toml: has no rows: begin each row with [[payment]]"),
        ("[[payment]", "t.toml: not valid TOML"),
        ("[[paymint]]", "t.toml: paymint: unknown process; the policy knows payment"),
        ("[payment]\nname = 'x'", "t.toml: payment: must be rows, each beginning with [[payment]]"),
        (row(), "t.toml:1: a row: names no gate"),
        (
            row('gates = { board = "no" }'),
            "t.toml:1: a row: the process has no gate 'board'; it has manager-approval, risk",
        ),
        (row('gate = { risk = "no" }'), "t.toml:1: a row: gate: is an unknown key"),
        (row('gates = { risk = "no" }', case=""), "t.toml:1: a row: input: is missing"),
        (row('gates = { risk = "no" }', case="input = { payee = 'x' }\n"), "t.toml:1: a row: input.amount: is missing"),
        ("payment = [1]", "t.toml:1: payment: "),
    ],
)
def test_a_table_that_cannot_be_read_says_where(text: str, says: str) -> None:
    with pytest.raises(TableError) as wrong:
        failures(text)
    assert str(wrong.value).startswith(says), str(wrong.value)
