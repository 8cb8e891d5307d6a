"""Mistakes in a policy are found when it is read, with file, line and key."""

from pathlib import Path

import pytest

from policy.model import PolicyError, UnknownGate, describe
from policy.parse import notes, parse, warnings
from tests.policy.examples import GATE, INPUTS, policy, problem
from workflows.registry import INPUTS as REGISTERED

SHIPPED = (Path(__file__).parents[2] / "policy.toml").read_text(encoding="utf-8")


def refused(text: str) -> list[str]:
    with pytest.raises(PolicyError) as wrong:
        parse(text, inputs=INPUTS)
    return str(wrong.value).splitlines()


def test_the_shipped_policy_is_valid_and_fits_a_screen() -> None:
    gates = {"payment": ["fraud-review", "manager-approval", "director-approval"]}
    shipped = parse(SHIPPED, inputs=REGISTERED, gates=gates)
    assert shipped.has("payment")
    assert shipped.lists("payment")["denied_payees"]
    assert [gate["gate"] for gate in describe(shipped, "payment")] == gates["payment"]
    assert len(SHIPPED.splitlines()) <= 60


def test_a_gate_needs_only_groups() -> None:
    gate = policy().gate("payment", "manager-approval")
    assert (gate.when, gate.quorum, gate.separation_of_duties, gate.due, gate.expires) == (None, 1, True, None, None)


def test_the_hash_is_that_of_the_text() -> None:
    assert policy().hash == policy().hash
    assert policy().hash != policy("# a word more").hash


def test_a_gate_that_the_policy_does_not_name_is_an_error() -> None:
    with pytest.raises(UnknownGate, match=r"\[payment\.gates\.board\]"):
        policy().gate("payment", "board")
    with pytest.raises(UnknownGate):
        policy().gate("deployment", "board")
    assert policy().lists("deployment") == {}
    assert describe(policy(), "deployment") == []


@pytest.mark.parametrize(
    ("line", "key", "says"),
    [
        ('quorom = "2"', "quorom", "unknown key; known are when, auto_reject, auto_approve, groups"),
        ("quorum = 0", "quorum", "at least 1"),
        ("quorum = true", "quorum", "whole number"),
        ("quorum = 1.5", "quorum", "whole number"),
        ("quorum = 'memo'", "quorum", "whole number"),
        ("when = true", "when", "text in quotes"),
        ('when = "amount >="', "when", "not a CEL expression"),
        ('when = "amount > 1 extra"', "when", "at column 12"),
        ('when = "has(memo)"', "when", "not a CEL expression"),
        ('when = "amuont > 500"', "when", "unknown name 'amuont'; known are payee, amount, currency"),
        ('when = "frist(payee)"', "when", "unknown function frist"),
        ('when = "case.reqester == payee"', "when", "unknown name 'case.reqester'"),
        ('when = "size(case) > 1"', "when", "unknown name 'case'"),
        ('when = "amount >= limits.manger"', "when", "'limits.manger' is missing in the limits for GBP"),
        ('''when = "amount >= limits['manger']"''', "when", "'limits.manger' is missing"),
        ('when = "size(limits) > 0"', "when", "name one of them"),
        ('when = "amount * 2 > limits.manager"', "when", "'amount * 2 > limits.manager' failed"),
        ('when = "amount"', "when", "true or false"),
        ('when = "payee >= 500"', "when", "No such overload"),
        ("separation_of_duties = 1", "separation_of_duties", "must be true or false"),
        ('users = "anna"', "users", "must be a list"),
        ('users = [""]', "users[0]", "must not be empty"),
        ("due = 3600", "due", "text in quotes"),
        ('due = "15 min"', "due", "neither a duration such as 30s, 15m, 8h, 3d nor CEL"),
        ('due = "0h"', "due", "longer than zero"),
        ('due = "99999d"', "due", "at most ten years"),
        ('due = "99999999999999d"', "due", "at most ten years"),
        ('''due = "amount < 5 ? '2 days' : '1d'"''', "due", "must give a duration"),
        ('due = "true"', "due", "must give a duration"),
        ('remind = ["1h", "soon"]', "remind[1]", "unknown name 'soon'"),
        ('escalate = [{ after = "1d" }]', "escalate[0]", "needs groups in 'to'"),
        ('escalate = [{ to = ["directors"] }]', "escalate[0].after", "is missing"),
        (
            'escalate = [{ after = "1d", too = ["directors"] }]',
            "escalate[0].too",
            "unknown key; known are after, to, users, replace, priority",
        ),
        ('escalate = [{ after = "0d", to = ["directors"] }]', "escalate[0].after", "longer than zero"),
        ('on_expiry = "approve"', "on_expiry", "needs 'expires'"),
    ],
)
def test_a_mistake_names_file_line_and_key(line: str, key: str, says: str) -> None:
    said = problem("# the mistake is on the next line", line)
    assert said.startswith(f"policy.toml:8: payment.gates.manager-approval.{key}: "), said
    assert says in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("clock", "key"),
    [
        ('remind = ["1h", "3d"]', "remind[1]"),
        ('escalate = [{ after = "2d", to = ["directors"] }]', "escalate[0].after"),
        ('due = "49h"', "due"),
    ],
)
def test_a_clock_that_could_never_strike_is_refused(clock: str, key: str) -> None:
    assert problem('expires = "2d"', clock).startswith(
        f"policy.toml:8: payment.gates.manager-approval.{key}: comes after"
    )


def test_escalating_at_the_end_needs_somebody_to_escalate_to() -> None:
    said = problem('expires = "2d"', 'on_expiry = "escalate"')
    assert said.startswith(
        "policy.toml:8: payment.gates.manager-approval.on_expiry: 'escalate' needs at least one level"
    )
    assert not problem('expires = "2d"', 'on_expiry = "escalate"', 'escalate = [{ after = "1d", to = ["directors"] }]')
    assert "'reject', 'approve' or 'escalate'" in problem('expires = "2d"', 'on_expiry = "forget"')


def test_a_gate_that_nobody_could_pass_is_refused() -> None:
    assert refused("[payment.gates.board]\nwhen = 'amount > 5.0'") == [
        "policy.toml:1: payment.gates.board: needs groups or users: without them nobody could decide"
    ]
    assert refused("[payment.gates.board]\nusers = ['anna']\nquorum = 2") == [
        "policy.toml:3: payment.gates.board.quorum: 2 approvals can never be reached by 1 people"
    ]


def test_every_mistake_is_told_at_once_in_the_order_of_lines() -> None:
    said = refused(GATE + "when = 'amuont > 1'\ndue = 'x'\n\n[payment.gates.board]\nquorum = 2\n[deployment]\n")
    assert [line.split(": ")[:2] for line in said] == [
        ["policy.toml:7", "payment.gates.manager-approval.when"],
        ["policy.toml:8", "payment.gates.manager-approval.due"],
        ["policy.toml:10", "payment.gates.board"],
        ["policy.toml:12", "deployment"],
    ]


def test_an_unknown_process_lists_the_known_ones() -> None:
    assert refused("# a comment\n[paymint.gates.x]\ngroups = ['a']") == [
        "policy.toml:2: paymint: unknown process; known are payment"
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = [1,\n2", 2), ("[payment]\n[payment]\n", 2), ("[payment.gates.x]\ngroups = managers\n", 2), ("\n= 1", 2)],
)
def test_a_syntax_error_names_its_line(text: str, line: int) -> None:
    (said,) = refused(text)
    assert said.startswith(f"policy.toml:{line}: not valid TOML: ")


@pytest.mark.parametrize("value", ['"many"', "true", "nan", "inf", "[1]"])
def test_a_limit_is_a_number(value: str) -> None:
    assert refused(f"[payment.limits.GBP]\nmanager = {value}") == [
        "policy.toml:2: payment.limits.GBP.manager: must be a number"
    ]


def test_limits_are_for_real_currencies() -> None:
    (said,) = refused("\n[payment.limits.GPB]\nmanager = 1")
    assert said.startswith("policy.toml:2: payment.limits.GPB: 'GPB' is not an ISO 4217 currency code")


def test_a_limit_must_be_in_every_row_and_there_must_be_a_row() -> None:
    gate = '[payment.gates.a]\ngroups = ["a"]\nwhen = "amount >= limits.manager"\n'
    rows = "[payment.limits.GBP]\nmanager = 1\n[payment.limits.EUR]\nother = 1\n"
    assert refused(gate + rows) == [
        "policy.toml:3: payment.gates.a.when: 'limits.manager' is missing in the limits for EUR"
    ]
    assert "needs a table of limits" in refused(gate)[0]


def test_gates_are_checked_against_those_of_the_process() -> None:
    with pytest.raises(PolicyError) as wrong:
        parse(GATE, inputs=INPUTS, gates={"payment": ["manager-aproval"]})
    assert str(wrong.value).splitlines() == [
        "policy.toml:5: payment.gates.manager-approval: the process has no such gate; it has manager-aproval",
        "policy.toml:5: payment.gates: the gate manager-aproval is missing; the process asks for its rules",
    ]


def test_quoted_and_dotted_keys_and_arrays_of_tables_are_found_on_their_line() -> None:
    text = """
[payment]
gates."fraud review".groups = ["a"]
gates."fraud review".quorum = 0

[payment.gates.b]
groups = ["b"]
remind = [
  "1h",
  "nonsense",
]

[[payment.gates.b.escalate]]
after = "never"
to = ["c"]
"""
    assert refused(text)[0].startswith("policy.toml:4: payment.gates.fraud review.quorum: ")
    found = refused(text.replace("quorum = 0", "quorum = 1"))
    assert found[0].startswith("policy.toml:8: payment.gates.b.remind[1]: ")
    assert found[1].startswith("policy.toml:14: payment.gates.b.escalate[0].after: ")


def test_what_is_most_likely_not_meant_is_a_warning() -> None:
    said = warnings(policy("quorum = \"memo.startsWith('x') ? 2 : 1\""), INPUTS | {"deployment": INPUTS["payment"]})
    assert said[0].startswith(
        "policy.toml:7: payment.gates.manager-approval.quorum: fails for a case without its optional fields: "
    )
    assert said[1:] == ["policy.toml:1: deployment: this process has no section, so its cases are refused"]
    assert warnings(parse(SHIPPED, inputs=REGISTERED), REGISTERED) == []


def test_the_check_reminds_of_currencies_without_limits() -> None:
    assert notes(policy('when = "amount >= limits.manager"')) == [
        "policy.toml:1: payment.limits: a case in a currency other than GBP takes the strictest path"
    ]
    assert notes(policy()) == []


def test_facts_are_not_known_before_a_case_and_accepted() -> None:
    assert not problem('when = "facts.score >= 50 && facts.reasons.exists(reason, reason == payee)"')


def test_a_word_in_a_text_is_no_name() -> None:
    assert not problem("""when = "payee == 'limits.nothing' || payee.matches('case.x') // case.y" """)
