"""Sentences of a process: held against what they will be filled with, and never the end of a case."""

from pathlib import Path
from typing import assert_type

import pytest
from hypothesis import given
from hypothesis import strategies as st

import own
from domain.wording import Words
from kit.check import files_of_tests, lacks
from kit.sentences import told_by
from tests.kit.conftest import change
from tests.support.installed_app import ROOT
from tests.support.sample_processes import ErrandProcess, ErrandRequest, Errands, Weighed
from workflows.registry import PROCESSES

BOOKING = '''
class Booking(Message):
    """What is booked."""

    text: str


class Booked(Message):
    """What was booked."""

    page: int


class ExpenseClaimSteps:
'''


@pytest.fixture
def booking(claim: Path) -> Path:
    """The process with a step that has an input and a result of its own."""
    change(claim / "activities.py", "class ExpenseClaimSteps:\n", BOOKING.lstrip())
    change(
        claim / "activities.py",
        "async def confirm_expense_claim(self, call: StepCall[ExpenseClaimRequest]) -> None:",
        "async def confirm_expense_claim(self, call: StepCall[Booking]) -> Booked | None:",
    )
    change(
        claim / "activities.py",
        '{call.input.amount}")\n\n    @activity.defn\n    async def withdraw',
        '{call.input}")\n        return Booked(page=1)\n\n    @activity.defn\n    async def withdraw',
    )
    change(
        claim / "activities.py",
        "async def withdraw_expense_claim(self, call: StepCall[ExpenseClaimRequest])",
        "async def withdraw_expense_claim(self, call: StepCall[Booking])",
    )
    change(claim / "process.py", "import ExpenseClaimRequest", "import Booking, ExpenseClaimRequest")
    text = (claim / "process.py").read_text()
    head, _, _ = text.rpartition("        await self.step(")
    booked = "ExpenseClaimSteps.confirm_expense_claim, Booking(text=request.purpose), undo=undo"
    (claim / "process.py").write_text(
        f"{head}        undo = ExpenseClaimSteps.withdraw_expense_claim\n        booked = await self.step({booked})\n"
    )
    change(claim / "process.py", "Book {amount} for {purpose}", "Note {text}")
    change(claim / "process.py", "Withdraw the {amount} booked for {purpose}", "Strike {text}")
    return claim


def test_a_step_and_its_undo_are_told_of_what_the_step_is_given(folder: Path, booking: Path) -> None:
    own.load(folder)
    assert "expense_claim" in PROCESSES


def test_a_sentence_of_a_step_that_may_be_given_several_models_may_name_any_field(folder: Path, booking: Path) -> None:
    activities = (booking / "activities.py").read_text()
    (booking / "activities.py").write_text(activities.replace("StepCall[Booking]", "StepCall[Booking | Booked]"))
    own.load(folder)
    assert "expense_claim" in PROCESSES


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("Note {text}", "Note {purpose}", r"Words.steps\['confirm_expense_claim'\] names 'purpose'.*\(Booking\).*text"),
        ("Strike {text}", "Strike {amount}", r"Words.undos\['withdraw_expense_claim'\] names 'amount'.*\(Booking\)"),
        ("Set {amount} aside", "Set {text} aside", r"Words.steps\['reserve_expense_claim'\] names 'text'"),
        ("for {amount}", "for {text}", "Words.title names 'text'"),
        ("Note {text}", "Note {text.name}", "names 'text.name': name fields only"),
        ("Note {text}", "Note {text[0]}", r"names 'text\[0\]': name fields only"),
        ("Note {text}", "Note {}", "names '': name fields only"),
        ("Note {text}", "Note {0}", "names '0': name fields only"),
        ("Note {text}", "Note {text:.2f}", "cannot be filled: .*fields are texts"),
        ("Note {text}", "Note {text:{text}}", "formats 'text' by another field"),
        ("Note {text}", "Note {text!x}", "cannot be filled"),
        ("Note {text}", "Note {text", "cannot be read"),
    ],
)
def test_a_sentence_that_cannot_be_filled_is_refused_when_the_process_is_loaded(
    folder: Path, booking: Path, old: str, new: str, says: str
) -> None:
    change(booking / "process.py", old, new)
    with pytest.raises(own.WrongProcess, match=says):
        own.load(folder)


@pytest.mark.parametrize(("named", "wrong"), [("page", False), ("purpose", False), ("sheet", True)])
def test_a_gate_is_told_of_the_facts_that_a_step_found(folder: Path, booking: Path, named: str, wrong: bool) -> None:
    text = (booking / "process.py").read_text()
    (booking / "process.py").write_text(text + '        await self.gate("approval", facts=booked)\n')
    change(booking / "process.py", '        await self.gate("approval")\n', "")
    change(booking / "process.py", "May {amount} be spent", f"May {{{named}}} be spent")
    if wrong:
        with pytest.raises(own.WrongProcess, match=r"Words.gates\['approval'\] names 'sheet'.*page"):
            own.load(folder)
    else:
        own.load(folder)


# --------------------------------------------------------------------------------------------------------------- skips


@pytest.mark.parametrize(
    ("use", "warned"),
    [
        ("        print(booked.page)\n", True),
        ("        if booked:\n            print(booked.page)\n", False),
        ("        print(booked.page if booked is not None else 0)\n", False),
        ("        assert booked\n        print(booked.page)\n", False),
    ],
)
def test_a_result_that_operators_may_have_skipped_is_looked_at_before_it_is_used(
    folder: Path, booking: Path, use: str, warned: bool
) -> None:
    text = (booking / "process.py").read_text()
    (booking / "process.py").write_text(text + use)
    own.load(folder)
    process = PROCESSES["expense_claim"]
    assert [name for _, name in told_by(process.workflow).unchecked] == (["booked.page"] if warned else [])
    policy = own.policy_file(ROOT / "config" / "policy.toml").current
    said = [line for line in lacks(process, policy, booking / "sample.csv", files_of_tests(process)) if "skip" in line]
    assert [f"{booking / 'process.py'}:" in line and "skipped=" in line for line in said] == [True] * warned


def test_a_story_that_says_what_a_skip_yields_need_not_look(folder: Path, booking: Path) -> None:
    change(booking / "process.py", "undo=undo)", "undo=undo, skipped=Booked(page=0))")
    change(booking / "process.py", "import Booking,", "import Booked, Booking,")
    text = (booking / "process.py").read_text()
    (booking / "process.py").write_text(text + "        print(booked.page)\n")
    own.load(folder)
    assert told_by(PROCESSES["expense_claim"].workflow).unchecked == []


async def types(process: ErrandProcess, request: ErrandRequest) -> None:
    """Never run: mypy reads it. An author sees that a skipped step answers nothing, unless the story says what."""
    assert_type(await process.step(Errands.fetch, request), Weighed | None)
    assert_type(await process.step(Errands.fetch, request, undo=Errands.bring_back), Weighed | None)
    assert_type(await process.step(Errands.fetch, request, skipped=Weighed(grams=0)), Weighed)


@pytest.mark.parametrize("name", ["payment", "approval", "data_import", "deployment", "security_review"])
def test_the_shipped_processes_are_checked_as_anybodys(name: str) -> None:
    process = PROCESSES[name]
    assert list(own.mistakes(process)) == []
    assert told_by(process.workflow).unchecked == []


# ---------------------------------------------------------------------------------------------------------- never stops

TEMPLATE = st.text(st.sampled_from("{}[].:!rsx0 parcelvaluegrams"), max_size=30) | st.text(max_size=10)


@given(template=TEMPLATE, name=st.sampled_from(["fetch", "bring_back", "nowhere"]))
def test_whatever_a_sentence_is_something_is_said(template: str, name: str) -> None:
    words = Words(
        summary="",
        title=template,
        key_fields=("parcel", "nowhere"),
        labels={},
        steps={"fetch": template},
        undos={"bring_back": template},
        gates={"approval": template},
        done=template,
    )
    request = ErrandRequest()
    for said in (
        words.title_of(request),
        words.done_of(request),
        words.step(name, request),
        words.gate("approval", request, {"grams": 7}),
        words.gate("nowhere", request),
    ):
        assert isinstance(said, str)
    assert words.key_fields_of(request) == {"parcel": "a parcel"}


def test_a_plain_sentence_takes_the_place_of_one_that_cannot_be_filled_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    words = Words(
        summary="",
        title="{nobody}",
        key_fields=(),
        labels={},
        steps={"fetch": "Note {purpose}"},
        undos={},
        gates={"manager-approval": "{x.y}"},
    )
    request = ErrandRequest()
    assert words.step("fetch", request) == "Fetch"
    assert words.step("bring_back", request) == "Bring back"
    assert words.title_of(request) == "Case"
    assert words.gate("manager-approval", request) == "Manager approval"
    assert "'Note {purpose}' cannot be filled (KeyError: 'purpose')" in caplog.text
