"""The preview of a case that does not exist yet: nothing is guessed, and the result is in sentences."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from policy.explain import People, explain
from policy.model import Policy
from policy.parse import parse
from policy.preview import FutureCase, Preview, Previews, short_answer
from tests.policy.examples import AT, GATE, INPUTS, Payment, policy

FROM_LIMIT = 'when = "amount >= limits.manager"'
RISKY = 'when = "facts.score >= 50"'
PEOPLE = People(
    {"anna": "Anna Berg", "bert": "Bert Cole", "dora": "dora"}, {"managers": ["anna", "bert"], "directors": ["dora"]}
)


def supposed(
    amount: str = "750.00", facts: dict[str, Any] | None = None, requester: str | None = None, **fields: Any
) -> FutureCase:
    payment = Payment(**{"payee": "Northwind Paper Ltd", "amount": Decimal(amount), "currency": "GBP"} | fields)
    return FutureCase(payment, facts, requester)


def answer(*lines: str, **case: Any) -> str:
    return Preview(policy(*lines), "payment", "manager-approval", supposed(**case), AT).answer


def told(asked: Policy, people: People | None = None, **case: Any) -> str:
    (gate,) = explain(asked, "payment", ["manager-approval"], supposed(**case), AT, people)
    return "\n".join(gate.sentences)


ANSWERS: list[tuple[tuple[str, ...], dict[str, Any], str]] = [
    ((), {}, "1 of managers"),
    ((FROM_LIMIT,), {"amount": "499.99"}, "no"),
    (("quorum = 2", 'users = ["anna", "manager_of(requester)"]'), {}, "2 of managers, anna, manager_of(requester)"),
    (('quorum = "everyone"',), {}, "everyone of managers"),
    (('candidates = "[payee]"',), {"payee": "anna"}, "1 of managers, anna"),
    (('candidates = "facts.owners"',), {}, "1 of managers, people named by facts.owners"),
    (('candidates = "facts.owners"',), {"facts": {"owners": ["bert"]}}, "1 of managers, bert"),
    ((RISKY,), {}, "depends on facts.score"),
    ((RISKY,), {"facts": {"score": 50}}, "1 of managers"),
    ((RISKY,), {"facts": {"score": 49}}, "no"),
    # Facts that are given are all of them: as in a real case, an error opens the gate.
    ((RISKY,), {"facts": {}}, "1 of managers"),
    # A gate without the fact in its conditions does not depend on the fact.
    (('when = "amount > 5 || facts.score > 50"',), {}, "1 of managers"),
    (('when = "amount > 1000 || facts.score > 50"',), {}, "depends on facts.score"),
    (('when = "facts.score > 50 && amount > 1000"',), {}, "no"),
    (('when = "has(facts.score)"',), {}, "depends on facts.score"),
    (('when = "has(facts.score)"',), {"facts": {}}, "no"),
    (('when = "size(facts) > 0"',), {}, "depends on facts"),
    (("when = \"case.requester == 'anna'\"",), {}, "depends on case.requester"),
    (("when = \"case.requester == 'anna'\"",), {"requester": "bert"}, "no"),
    (("when = \"case.reference != ''\"",), {}, "depends on case.reference"),
    (('quorum = "facts.score > 50 ? 2 : 1"',), {}, "depends on facts.score"),
    ((FROM_LIMIT, 'quorum = "facts.score > 50 ? 2 : 1"'), {"amount": "1.00"}, "no"),
    # Rules, in their order: the first that decides, or that cannot be told, is the answer.
    (('auto_reject = "amount > 5"', 'auto_approve = "facts.score < 5"'), {}, "rejected by rule"),
    (('auto_reject = "facts.score > 90"', 'auto_approve = "amount > 5"'), {}, "depends on facts.score"),
    (('auto_reject = "amount < 5"', 'auto_approve = "amount > 5"'), {}, "approved by rule"),
    (('auto_approve = "amount > 5"', 'quorum = "facts.n"'), {}, "approved by rule"),
    ((FROM_LIMIT, 'auto_approve = "true"', 'quorum = "facts.n"'), {"currency": "JPY"}, "depends on facts.n"),
]


@pytest.mark.parametrize(("lines", "case", "expected"), ANSWERS)
def test_the_shortest_answer(lines: tuple[str, ...], case: dict[str, Any], expected: str) -> None:
    assert answer(*lines, **case) == expected


@pytest.mark.parametrize(("lines", "case", "expected"), [asked for asked in ANSWERS if "facts" not in asked[1]])
def test_of_many_cases_each_is_judged_as_one_would_be(
    lines: tuple[str, ...], case: dict[str, Any], expected: str
) -> None:
    asked = Previews(policy(*lines), "payment", "manager-approval")
    about = supposed(**case)
    for _ in range(2):  # the second time it is remembered
        assert short_answer(asked.gate, asked.of(about.input, about.case)) == expected


comparisons = st.builds(
    "{}{} {} {}".format,
    st.sampled_from(["", "  ", "!(memo == null) || ", "1.0 + "]),
    st.sampled_from(["amount", "amount * 2.0", "limits.manager"]),
    st.sampled_from([">=", ">", "<", "<=", "==", "!="]),
    st.sampled_from(["limits.manager", "limits.two_managers", "500.01", "7", "amount", "limits.manager * 2.0"]),
)
conditions = st.lists(comparisons, min_size=1, max_size=3).map(lambda parts: " && ".join(f"({part})" for part in parts))
amounts = st.sampled_from(
    ["6.99", "7.00", "250.00", "499.99", "500.00", "500.01", "500.02", "1000", "9999.99", "10000.00"]
)


@given(conditions | comparisons, st.lists(st.tuples(amounts, st.sampled_from(["GBP", "JPY"])), max_size=8))
def test_amounts_that_stand_alike_among_the_limits_are_judged_alike(when: str, of: list[tuple[str, str]]) -> None:
    ruled = policy(f"when = {json.dumps(when)}")
    asked = Previews(ruled, "payment", "manager-approval")
    for amount, currency in [*of, ("12345678901234.56", "GBP")]:
        about = supposed(amount=amount, currency=currency)
        alone = Preview(ruled, "payment", "manager-approval", about, AT).answer
        assert short_answer(asked.gate, asked.of(about.input, about.case)) == alone


def test_what_is_remembered_of_many_cases_is_what_their_conditions_read() -> None:
    asked = Previews(policy(FROM_LIMIT, 'quorum = "case.priority == 1 ? 2 : 1"'), "payment", "manager-approval")
    amounts, currencies = ("499.99", "500.00"), ("GBP", "JPY")
    for priority in (1, 3):
        for amount in amounts:
            for currency in currencies:
                about = supposed(amount=amount, currency=currency, memo=f"{amount} of {currency}")
                found = asked.of(about.input, about.case | {"priority": priority})
                # Without limits for its currency a gate opens.
                assert found.needed == (amount == "500.00" or currency == "JPY")
                assert not found.needed or found.quorum == (2 if priority == 1 else 1)


def test_the_ruling_of_a_known_case_is_the_real_one_and_clocks_that_are_not_known_are_left_out() -> None:
    lines = ('due = "1h"', 'remind = ["facts.soon"]', 'expires = "facts.late"')
    preview = Preview(policy(*lines), "payment", "manager-approval", supposed(), AT)
    assert preview.ruling.due_at is not None and preview.ruling.due_at > AT
    assert (preview.ruling.reminders, preview.ruling.expires_at, preview.ruling.problem) == ([], None, None)


def test_explain_shows_a_gate_with_its_rule_its_people_and_its_expiry() -> None:
    asked = policy(
        FROM_LIMIT,
        "quorum = 2",
        'due = "1d"',
        'remind = ["4h"]',
        'escalate = [{ after = "2d", to = ["directors"], replace = true, priority = 1 }]',
        'expires = "14d"',
        'edit = ["memo"]',
        'comment = ["reject", "request_changes"]',
    )
    assert told(asked, PEOPLE, requester="anna").splitlines() == [
        "The approval step opens, because amount >= limits.manager (amount is 750.00, limits.manager is 500).",
        "2 approvals are needed. Who can decide: members of managers (Anna Berg (anna), Bert Cole (bert)).",
        "A substitute must be a member of a group that can decide.",
        "Anna Berg (anna) is the requester and cannot decide.",
        "One rejection ends it: the request is rolled back and ends rejected.",
        "These decisions need a comment: reject, request changes.",
        "An approval can change these fields: memo.",
        "When changes are requested, the requester has 7 days to make them; at most 5 rounds.",
        "It is due on Mon 23 Nov 2026 at 12:00 UTC.",
        "People who have not decided get a reminder on Sun 22 Nov 2026 at 16:00 UTC.",
        "From Tue 24 Nov 2026 at 12:00 UTC only these can decide: members of directors (dora); "
        "the priority is then at least 1.",
        "If nobody decides by Sun 06 Dec 2026 at 12:00 UTC, it is rejected: "
        "the request is rolled back and ends expired.",
    ]


def test_what_is_not_known_is_said_to_be_open() -> None:
    said = told(
        policy(
            RISKY,
            'auto_reject = "facts.score > 90"',
            'quorum = "facts.score > 70 ? 2 : 1"',
            'due = "facts.due"',
            'remind = ["facts.soon"]',
            'escalate = [{ after = "facts.late", to = ["directors"] }]',
            'expires = "facts.end"',
            'changes = "facts.days"',
        )
    )
    assert "Whether the approval step opens depends on facts.score: it opens if facts.score >= 50. If it opens:" in said
    assert "Whether a rule rejects it before people decide depends on facts.score" in said
    assert "How many people must approve depends on facts.score: facts.score > 70 ? 2 : 1." in said
    assert "How long the requester has for changes depends on facts.days" in said
    assert "When it is due depends on facts.due" in said
    assert "When a reminder is sent depends on facts.soon" in said
    assert "When members of directors can decide depends on facts.late" in said
    assert "When it expires depends on facts.end" in said
    assert "When it expires, it is rejected" in said


@pytest.mark.parametrize(
    ("lines", "case", "says"),
    [
        (
            (FROM_LIMIT,),
            {"amount": "1.00"},
            "The approval step is not needed, because this condition does not hold: amount >= limits.manager",
        ),
        (('auto_approve = "amount < 1000"',), {}, "A rule approves it, and nobody is asked, because amount < 1000"),
        (('auto_reject = "amount < 1000"',), {}, "The request is rolled back and ends rejected."),
        (
            (FROM_LIMIT,),
            {"currency": "JPY"},
            "The people who decide read: the policy has no limits for JPY, so the gate",
        ),
        (('quorum = "everyone"',), {}, "Everyone who can decide must approve: members of managers."),
        (("veto = false",), {}, "Rejections end it only when the needed approvals can no longer be reached."),
        (('membership = "snapshot"',), {}, "The members that the groups have at the opening count"),
        (('users = ["manager_of(requester)"]',), {}, "members of managers, the requester's manager."),
        (("pause_for_questions = true",), {}, "The deadlines stop while a question has no answer."),
        (("rounds = 1", 'changes = "90m"'), {}, "the requester has 1 h 30 min to make them; at most 1 round."),
        (('expires = "1d"', 'on_expiry = "approve"'), {}, "it is approved."),
        ((), {}, "It never expires."),
    ],
)
def test_each_key_has_its_sentence(lines: tuple[str, ...], case: dict[str, Any], says: str) -> None:
    assert says in told(policy(*lines), **case)


def test_people_and_groups_that_are_not_there_are_said_not_to_be() -> None:
    said = told(policy('users = ["emil"]'), People({}, {}))
    assert "members of managers (there is nobody), emil (there is no such person)." in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('confirm = "password"', "Each person confirms the decision with their password."),
        ("confirm = \"amount > 500 ? 'passkey' : 'none'\"", "Each person confirms the decision with a passkey."),
        (
            "confirm = \"facts.score > 5 ? 'passkey' : 'none'\"",
            "How people confirm a decision depends on facts.score: facts.score > 5 ? 'passkey' : 'none'.",
        ),
    ],
)
def test_it_is_said_how_people_confirm(line: str, said: str) -> None:
    assert said in told(policy(line)).splitlines()
    assert "confirm" not in told(policy("confirm = \"amount < 500 ? 'passkey' : 'none'\""))


def test_times_are_those_of_the_calendar() -> None:
    office = '[calendars.office]\nhours = "09:00-17:30"\ntime_zone = "Europe/London"\n'
    asked = parse(office + GATE + 'calendar = "office"\ndue = "8h"\nchanges = "2d"', inputs=INPUTS)
    at = datetime(2026, 7, 3, 15, 30, tzinfo=UTC)
    (gate,) = explain(asked, "payment", ["manager-approval"], supposed(), at)
    assert "It is due on Mon 06 Jul 2026 at 16:00 BST." in gate.sentences
    assert any("the requester has 2 days of the working time office" in sentence for sentence in gate.sentences)


def test_only_later_gates_speak_of_earlier_ones() -> None:
    asked = parse(GATE + '[payment.gates.board]\ngroups = ["board"]\n', inputs=INPUTS)
    first, second = explain(asked, "payment", ["manager-approval", "board"], supposed(), AT)
    earlier = "People who decided an earlier approval step of the request cannot decide this one."
    assert earlier not in first.sentences and earlier in second.sentences
