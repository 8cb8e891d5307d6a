"""The key `reveal` of a process: which groups may see the whole value of a masked field."""

import pytest

from policy.groups import known_groups
from policy.model import Policy, PolicyError
from policy.parse import notes, parse, warnings
from tests.policy.examples import GATE, INPUTS
from tests.support.installed_app import ROOT
from workflows.registry import INPUTS as REGISTERED, MASKED

ACCOUNT = {"payment": {"payee_account"}}


def with_reveal(*lines: str, masked: dict[str, set[str]] | None = ACCOUNT) -> Policy:
    return parse("\n".join(["[payment]", *lines, GATE]), inputs=INPUTS, masked=masked)


@pytest.mark.parametrize(
    "lines",
    [['reveal = { payee_account = ["Treasury"] }'], ["[payment.reveal]", 'payee_account = ["Treasury"]']],
    ids=["inline", "table"],
)
def test_both_ways_of_writing_mean_the_same_and_groups_are_compared_like_all_groups(lines: list[str]) -> None:
    asked = with_reveal(*lines)
    assert asked.reveal("payment") == {"payee_account": ["treasury"]}
    assert asked.reveal("deployment") == with_reveal().reveal("payment") == {}, "without an entry, nobody"
    assert "treasury" in known_groups(asked)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            'reveal = { payee = ["a"] }',
            "policy.toml:2: payment.reveal.payee: is not a masked field of the process: its ",
        ),
        ("reveal = { payee_account = [] }", "policy.toml:2: payment.reveal.payee_account: must not be empty"),
        ('reveal = { payee_account = "a" }', "payment.reveal.payee_account: must be a list"),
        ('reveal = { payee_account = [""] }', "payment.reveal.payee_account[0]: must not be empty"),
        ('reveal = ["payee_account"]', "payment.reveal: must be a table"),
    ],
)
def test_a_wrong_entry_is_reported_with_its_key(line: str, says: str) -> None:
    with pytest.raises(PolicyError) as wrong:
        with_reveal(line)
    assert says in str(wrong.value)


def test_a_process_that_masks_nothing_says_so_and_an_old_policy_is_not_checked() -> None:
    with pytest.raises(PolicyError, match="it masks no field"):
        with_reveal('reveal = { payee_account = ["a"] }', masked={})
    assert with_reveal('reveal = { gone = ["a"] }', masked=None).reveal("payment") == {"gone": ["a"]}


def test_the_check_warns_of_empty_groups_and_says_who_can_reveal() -> None:
    asked = with_reveal('reveal = { payee_account = ["managers", "council"] }')
    found = warnings(asked, INPUTS, {"managers": ["anna", "bert"]})
    assert found == ["policy.toml:2: payment.reveal.payee_account: the group council has no members"]
    assert "policy.toml:2: payment.reveal.payee_account: managers, council can reveal payee_account" in str(
        notes(asked)
    )


def test_the_shipped_policy_lets_the_people_reveal_who_approve_payments() -> None:
    shipped = parse((ROOT / "config" / "policy.toml").read_text(), inputs=REGISTERED, masked=MASKED)
    assert shipped.reveal("payment") == {"payee_account": ["managers", "directors", "fraud-analysts"]}
