"""Mistakes in a policy are found when it is read, and reported with file, line and key."""

import json
from pathlib import Path

import pytest

from policy.model import GateRules, PolicyError, UnknownGate, describe
from policy.parse import notes, parse, warnings
from tests.policy.examples import GATE, INPUTS, policy, problem
from workflows.registry import GATES, INPUTS as REGISTERED, STEPS

SHIPPED = (Path(__file__).parents[2] / "config" / "policy.toml").read_text(encoding="utf-8")


def refused(text: str) -> list[str]:
    with pytest.raises(PolicyError) as wrong:
        parse(text, inputs=INPUTS)
    return str(wrong.value).splitlines()


def test_the_shipped_policy_is_valid_and_a_process_of_it_fits_a_screen() -> None:
    shipped = parse(SHIPPED, inputs=REGISTERED, gates=GATES, steps=STEPS)
    assert set(shipped.processes) == set(REGISTERED)
    assert shipped.lists("payment")["denied_payees"]
    assert [gate["gate"] for gate in describe(shipped, "payment")] == GATES["payment"]
    assert all(len(part.splitlines()) <= 60 for part in SHIPPED.split("# ---- ")[1:])


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
        ('when = "size(limits) > 0"', "when", "name one of its limits"),
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
        ('escalate = [{ after = "1d", to = ["a"], priority = 6 }]', "escalate[0].priority", "must be at most 5"),
        ('escalate = [{ after = "1d", to = ["a"], replace = 1 }]', "escalate[0].replace", "must be true or false"),
        ('users = ["manager_of(payee)"]', "users[0]", "write an id, or exactly manager_of(requester)"),
        ('quorum = "every one"', "quorum", "not a CEL expression"),
        ('veto = "no"', "veto", "must be true or false"),
        ('membership = "frozen"', "membership", "must be 'live' or 'snapshot'"),
        ('comment = ["reject", "retry"]', "comment[1]", "must be 'approve', 'reject', 'request_changes' or 'abstain'"),
        ('edit = ["memo", "mem"]', "edit[1]", "unknown field 'mem'; the input has payee, amount, currency"),
        ("pause_for_questions = 1", "pause_for_questions", "must be true or false"),
        ("rounds = 0", "rounds", "must be at least 1"),
        ("rounds = 21", "rounds", "must be at most 20"),
        ('rounds = "5"', "rounds", "must be a whole number"),
        ('changes = "0d"', "changes", "longer than zero"),
        ('changes = "7 days"', "changes", "neither a duration such as"),
        ('auto_approve = "amuont < 5"', "auto_approve", "unknown name 'amuont'"),
        ('auto_approve = "amount"', "auto_approve", "must be true or false"),
        ('auto_reject = "limits.never > 1.0"', "auto_reject", "'limits.never' is missing"),
        ('calendar = "office"', "calendar", "unknown calendar 'office'; known are none"),
        ("confirm = true", "confirm", "must be a text in quotes"),
        ('confirm = ""', "confirm", "must not be empty"),
        ('confirm = "paskey"', "confirm", "unknown name 'paskey'"),
        ('confirm = "amount > 5"', "confirm", "must give none, password, passkey, not False"),
        ("""confirm = "amount > 5 ? 'passkey' : 'pin'\"""", "confirm", "must give none, password, passkey, not 'pin'"),
        (
            """confirm = "amount > 5 ? 'passkey' : 'none'"\nedit = ["amount"]""",
            "confirm",
            "reads amount, which a decision can change (edit): write one of none, password, passkey",
        ),
        (
            """confirm = "limits.manager > 5 ? 'passkey' : 'none'"\nedit = ["currency"]""",
            "confirm",
            "reads currency, which a decision can change",
        ),
    ],
)
def test_a_mistake_names_file_line_and_key(line: str, key: str, says: str) -> None:
    said = problem("# the mistake is on the next line", line)
    assert said.startswith(f"policy.toml:8: payment.gates.manager-approval.{key}: "), said
    assert says in said
    assert len(said.splitlines()) == 1


def test_at_an_incident_the_confirmation_reads_no_field_that_operators_can_change() -> None:
    incident = "[payment.gates.intervention]\ngroups = ['operators']\nconfirm = \"amount > 5 ? 'passkey' : 'none'\"\n"
    (said,) = refused(incident)
    assert said.startswith(
        "policy.toml:3: payment.gates.intervention.confirm: reads amount, which a decision can change"
    )
    parse(incident + "edit = ['memo']", inputs=INPUTS)
    parse(incident.replace("amount", "facts.amount"), inputs=INPUTS)


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


OFFICE = """
[calendars.office]
hours = "09:00-17:30"
time_zone = "Europe/London"
"""


@pytest.mark.parametrize(
    ("line", "key", "says"),
    [
        ('day = ["mon"]', ".day", "unknown key; known are days, hours, time_zone, holidays"),
        ("holidays = [2026-12-25, '2026-12-26']", ".holidays[1]", "must be a date without quotes"),
        ("days = []", ".days", "must not be empty"),
    ],
)
def test_a_mistake_in_a_calendar_names_its_line_too(line: str, key: str, says: str) -> None:
    said = refused(GATE + "calendar = 'office'\ndue = '9h'\nexpires = '8h'" + OFFICE + line)
    assert len(said) == 1, "what counts in a wrong calendar is not judged"
    assert said[0].startswith(f"policy.toml:13: calendars.office{key}: ")
    assert says in said[0]


def test_a_calendar_lacks_what_it_needs_and_gates_may_count_in_it() -> None:
    assert refused(GATE + "[calendars.office]\nhours = '9-17'") == [
        "policy.toml:7: calendars.office.time_zone: is missing",
        "policy.toml:8: calendars.office.hours: '9-17' is not a span of hours: write start and end such as "
        "09:00-17:30; start and end must differ, and a whole day is 00:00-24:00",
    ]
    assert "must be tables such as [calendars.office]" in refused("calendars = 1\n" + GATE)[0]
    assert list(parse(OFFICE + GATE + "calendar = 'office'", inputs=INPUTS).calendars) == ["office"]
    assert refused(OFFICE + GATE + "calendar = 'ofice'") == [
        "policy.toml:11: payment.gates.manager-approval.calendar: unknown calendar 'ofice'; known are office"
    ]


def test_in_a_calendar_clocks_are_compared_as_they_count_there() -> None:
    def with_office(*lines: str) -> str:
        return OFFICE + GATE + "\n".join(["calendar = 'office'", *lines])

    # 24 hours of work are more than two working days of 8.5 hours, and 16 are less.
    assert "due: comes after the gate has expired (2d)" in refused(with_office("due = '24h'", "expires = '2d'"))[0]
    assert parse(with_office("due = '16h'", "expires = '2d'"), inputs=INPUTS)
    assert "takes more than ten years in this calendar" in refused(with_office("expires = '3000d'"))[0]


def test_escalating_at_the_end_needs_somebody_to_escalate_to() -> None:
    said = problem('expires = "2d"', 'on_expiry = "escalate"')
    assert said.startswith(
        "policy.toml:8: payment.gates.manager-approval.on_expiry: 'escalate' needs at least one level"
    )
    assert not problem('expires = "2d"', 'on_expiry = "escalate"', 'escalate = [{ after = "1d", to = ["directors"] }]')
    assert "'reject', 'approve' or 'escalate'" in problem('expires = "2d"', 'on_expiry = "forget"')


def test_a_gate_that_nobody_could_pass_is_refused() -> None:
    assert refused("[payment.gates.board]\nwhen = 'amount > 5.0'") == [
        "policy.toml:1: payment.gates.board: needs groups, users or candidates: without them nobody could decide"
    ]
    assert "must give a list of names" in problem('candidates = "1.5 > 1.0"')
    assert "unknown name 'owners'" in problem('candidates = "owners"')
    assert refused("[payment.gates.board]\nusers = ['anna']\nquorum = 2") == [
        "policy.toml:3: payment.gates.board.quorum: 2 approvals can never be reached by 1 people: "
        "lower the quorum or add people"
    ]


def test_all_mistakes_are_reported_at_once_in_the_order_of_lines() -> None:
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
        "policy.toml:5: payment.gates.manager-approval: the process has no gate of this name; "
        "its gates are intervention, manager-aproval, rollback",
        "policy.toml:5: payment.gates: the gate manager-aproval is missing: add its table, because the "
        "process uses this gate",
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


def test_a_gate_that_approves_what_nobody_looked_at_is_a_warning() -> None:
    (said,) = warnings(policy('expires = "2d"', 'on_expiry = "approve"'), INPUTS)
    assert said.startswith(
        "policy.toml:8: payment.gates.manager-approval.on_expiry: the request is approved if nobody decides"
    )


@pytest.mark.parametrize(
    ("members", "quorum", "says"),
    [
        (["anna", "bert", "carl"], 2, None),
        (
            ["anna", "bert"],
            2,
            "quorum: 2 must approve, out of 2 people, one of whom may be the requester and then cannot approve",
        ),
        (["anna"], 1, "quorum: 1 must approve, out of 1 person, who may be the requester and then cannot approve"),
        ([], 1, "groups: the group managers has no members"),
    ],
)
def test_too_few_known_people_for_a_quorum_are_a_warning(members: list[str], quorum: int, says: str | None) -> None:
    asked = policy(f"quorum = {quorum}")
    assert warnings(asked, INPUTS) == []
    said = warnings(asked, INPUTS, {"managers": members})
    assert [line.split("manager-approval.")[1] for line in said] == ([says] if says else [])


def test_an_escalation_to_nobody_is_a_warning_and_named_people_count_for_a_quorum() -> None:
    asked = policy("users = ['dora']", "quorum = 2", 'escalate = [{ after = "1d", to = ["board"] }]')
    assert warnings(asked, INPUTS, {"managers": ["anna", "bert"]}) == [
        "policy.toml:9: payment.gates.manager-approval.escalate[0].to: the group board has no members"
    ]


def test_processes_are_described_with_every_key_of_their_gates() -> None:
    (gate,) = describe(
        policy("quorum = 'everyone'", 'escalate = [{ after = "1d", to = ["a"], replace = true }]'), "payment"
    )
    assert set(gate) == {"gate", *GateRules.model_fields}
    assert gate["quorum"] == "everyone" and gate["escalate"][0]["replace"] is True
    assert json.loads(json.dumps(gate)) == gate


def test_the_check_reminds_of_currencies_without_limits() -> None:
    assert notes(policy('when = "amount >= limits.manager"')) == [
        "policy.toml:1: payment.limits: a case in a currency other than GBP takes the strictest path"
    ]
    assert notes(policy()) == []


def test_facts_are_not_known_before_a_case_and_accepted() -> None:
    assert not problem('when = "facts.score >= 50 && facts.reasons.exists(reason, reason == payee)"')


def test_a_word_in_a_text_is_no_name() -> None:
    assert not problem("""when = "payee == 'limits.nothing' || payee.matches('case.x') // case.y" """)
