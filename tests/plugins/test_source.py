"""The steps and gates of a process in order, read from its source."""

from plugins.source import Stop, outline_of
from workflows.registry import PROCESSES


def test_the_outline_of_each_process_has_all_its_steps_and_gates() -> None:
    for process in PROCESSES.values():
        stops = outline_of(process.workflow)
        assert {stop.name for stop in stops if stop.kind == "step"} == set(process.words.steps), process.name
        assert {stop.name for stop in stops if stop.kind == "gate"} == set(process.words.gates), process.name


def test_the_outline_of_a_payment_is_in_order() -> None:
    names = [stop.name for stop in outline_of(PROCESSES["payment"].workflow)]
    gates = ["fraud-review", "manager-approval", "director-approval"]
    assert names == ["reserve_funds", "screen_payment", *gates, "capture_payment"]


def test_the_outline_says_what_is_conditional_and_what_is_asked_together() -> None:
    deployment = outline_of(PROCESSES["deployment"].workflow)
    assert Stop("security review", "case", maybe=True) in deployment
    assert [stop.name for stop in deployment if stop.maybe] == ["security review"]
    onboarding = {stop.name: stop for stop in outline_of(PROCESSES["user_onboarding"].workflow)}
    assert onboarding["entitlement-approval"] == Stop("entitlement-approval", "gate", maybe=True, beside=True)
    assert not onboarding["manager-approval"].maybe
    accepted = outline_of(PROCESSES["security_review"].workflow)[-1]
    assert accepted == Stop("record_accepted_risk", "step", maybe=True)
