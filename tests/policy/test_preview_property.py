"""The preview of a gate against its ruling, for random policies and cases."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hypothesis import given, settings, strategies as st

from policy.model import Policy, PolicyError
from policy.parse import parse
from policy.preview import FutureCase, Preview, Previews, short_answer
from policy.rules import rule, unneeded
from tests.policy.examples import AT, GATE, INPUTS, Payment

CASE = {"reference": "INV-1", "requester": "anna", "priority": 2, "batch_id": None}

comparisons = st.builds(
    "{} {} {}".format,
    st.sampled_from(["amount", "facts.score", "facts.risk", "limits.manager", "amount * 2.0", "case.priority"]),
    st.sampled_from([">=", ">", "<", "<=", "==", "!="]),
    st.sampled_from(["limits.manager", "limits.two_managers", "7", "500.01", "facts.score", "amount", "-1"]),
)
tests_of_facts = st.sampled_from(
    [
        "has(facts.score)",
        "has(case.requester)",
        "size(facts) > 1",
        "facts == {}",
        "facts.flag",
        "!facts.flag",
        "facts.names.exists(name, name == payee)",
        "[1, 7].all(limit, facts.score > limit)",
        "case.requester == 'anna'",
        "case.reference.startsWith('INV')",
        "memo == null || memo.startsWith('x')",
        "memo.startsWith('x')",
        "true",
        "false",
    ]
)
conditions = st.recursive(
    comparisons | tests_of_facts,
    lambda part: (
        st.builds("({} || {})".format, part, part)
        | st.builds("({} && {})".format, part, part)
        | st.builds("!({})".format, part)
        | st.builds("({} ? {} : {})".format, part, part, part)
    ),
    max_leaves=4,
)
numbers = st.sampled_from(
    ["1", "facts.score > 50 ? 2 : 1", "facts.n", "amount > 500 ? 3 : 1", "limits.manager > 1 ? 2 : 1"]
)
names = st.sampled_from(
    ["facts.owners", "[payee]", "facts.score > 50 ? ['directors'] : []", "amount > 7 ? [payee] : []"]
)
clocks = st.sampled_from(["1h", "3d", "facts.soon", "amount > 500 ? '1h' : '2h'", "facts.score > 7 ? '1h' : '2h'"])


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """A gate with any of its keys as an expression."""
    keys = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "when": conditions,
                "auto_reject": conditions,
                "auto_approve": conditions,
                "quorum": numbers,
                "candidates": names,
                "due": clocks,
                "expires": clocks,
                "changes": clocks,
                "remind": st.lists(clocks, max_size=2),
            },
        )
    )
    text = GATE + "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
    try:
        return parse(text, inputs=INPUTS)
    except PolicyError:
        return parse(GATE, inputs=INPUTS)


payments = st.builds(
    Payment,
    payee=st.sampled_from(["Acme", "anna"]),
    amount=st.sampled_from(["6.99", "7.00", "500.00", "500.01", "750.00", "10000.00"]).map(Decimal),
    currency=st.sampled_from(["GBP", "JPY"]),
    memo=st.sampled_from([None, "x", "y"]),
)
facts = st.fixed_dictionaries(
    {},
    optional={
        "score": st.sampled_from([0, 7, 50, 51, "many", None]),
        "risk": st.sampled_from([0.5, 500.0, True]),
        "flag": st.sampled_from([True, False, 1]),
        "n": st.sampled_from([1, 2, 0, "two"]),
        "names": st.sampled_from([["Acme"], [], "Acme"]),
        "owners": st.sampled_from([["managers"], ["bert"], "bert"]),
        "soon": st.sampled_from(["1h", "never", 60]),
    },
)


def ruled(policy: Policy, payment: Payment, found: Mapping[str, Any]) -> Any:
    return rule(policy, "payment", "manager-approval", input=payment, facts=found, case=CASE, at=AT)


def previewed(policy: Policy, payment: Payment, found: Mapping[str, Any] | None, case: Mapping[str, Any]) -> Preview:
    return Preview(policy, "payment", "manager-approval", FutureCase(payment, found, None, case), AT)


@settings(max_examples=150)
@given(policies(), payments, facts)
def test_with_all_facts_known_the_preview_is_the_ruling(
    policy: Policy, payment: Payment, found: dict[str, Any]
) -> None:
    preview = previewed(policy, payment, found, CASE)
    assert preview.ruling == ruled(policy, payment, found)
    assert preview.unknown == {} and preview.outcome != "depends"


@settings(max_examples=150)
@given(policies(), payments, facts)
def test_looking_ahead_gives_the_ruling_of_each_gate_where_nobody_must_decide(
    policy: Policy, payment: Payment, found: dict[str, Any]
) -> None:
    ruling = ruled(policy, payment, found)
    ahead = unneeded(
        policy, "payment", ["manager-approval"], input=payment, facts=found, case=CASE, at=AT.replace(year=AT.year + 3)
    )
    assert ahead == ({} if ruling.needed else {"manager-approval": ruling})


@settings(max_examples=300)
@given(
    policies(),
    payments,
    facts,
    st.sampled_from([{}, {"priority": 2, "batch_id": None}, CASE]),
    st.booleans(),
)
def test_no_ruling_contradicts_the_preview_without_the_facts(
    policy: Policy, payment: Payment, found: dict[str, Any], case: dict[str, Any], with_facts: bool
) -> None:
    preview, ruling = previewed(policy, payment, found if with_facts else None, case), ruled(policy, payment, found)
    match preview.outcome:
        case "depends":
            assert preview.decision.depends_on
            return
        case "asked":
            assert ruling.needed
        case "not needed":
            assert not ruling.needed and ruling.decided is None
        case "approved":
            assert ruling.decided == "approve"
        case "rejected":
            assert ruling.decided == "reject"
    if not ruling.needed:
        return
    unknown = preview.unknown
    if "quorum" not in unknown:
        assert preview.ruling.quorum == ruling.quorum
    if "candidates" not in unknown:
        assert preview.ruling.named == ruling.named
    if not {"due", "expires"} & unknown.keys():
        assert (preview.ruling.due_at, preview.ruling.expires_at) == (ruling.due_at, ruling.expires_at)
    if "changes" not in unknown:
        assert preview.ruling.changes_for == ruling.changes_for
    assert {*preview.ruling.reminders} <= {*ruling.reminders}


@settings(max_examples=100)
@given(policies(), st.lists(payments, max_size=6))
def test_many_cases_are_previewed_as_each_alone(policy: Policy, asked: list[Payment]) -> None:
    many = Previews(policy, "payment", "manager-approval")
    for payment in asked:
        alone = previewed(policy, payment, None, CASE).answer
        assert short_answer(many.gate, many.of(payment, CASE)) == alone
