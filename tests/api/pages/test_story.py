"""The order of a process, read from its source."""

from api.pages.parts.process_outline import Stop, story_of
from workflows.registry import PROCESSES


def test_every_step_and_gate_of_every_process_stands_in_its_story() -> None:
    for process in PROCESSES.values():
        stops = story_of(process.workflow)
        assert {stop.name for stop in stops if stop.kind == "step"} == set(process.words.steps), process.name
        assert {stop.name for stop in stops if stop.kind == "gate"} == set(process.words.gates), process.name


def test_the_story_of_a_payment_goes_from_the_hold_to_the_payment() -> None:
    names = [stop.name for stop in story_of(PROCESSES["payment"].workflow)]
    gates = ["fraud-review", "manager-approval", "director-approval"]
    assert names == ["reserve_funds", "screen_payment", *gates, "capture_payment"]


def test_what_may_not_come_and_what_is_asked_together_is_said() -> None:
    deployment = story_of(PROCESSES["deployment"].workflow)
    assert Stop("security review", "case", maybe=True) in deployment
    assert [stop.name for stop in deployment if stop.maybe] == ["security review"]
    onboarding = {stop.name: stop for stop in story_of(PROCESSES["user_onboarding"].workflow)}
    assert onboarding["entitlement-approval"] == Stop("entitlement-approval", "gate", maybe=True, beside=True)
    assert not onboarding["manager-approval"].maybe
    accepted = story_of(PROCESSES["security_review"].workflow)[-1]
    assert accepted == Stop("record_accepted_risk", "step", maybe=True)
