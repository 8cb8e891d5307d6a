"""Sentences of a process are checked against the models that fill them, and never stop a case."""

from pathlib import Path
from typing import assert_type

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel

from domain.wording import Words
from plugins import loader
from plugins.check import files_of_tests, lacks
from plugins.check_words import _wrong_mask, mistakes
from plugins.errors import WrongProcess
from plugins.source import uses_of
from tests.plugins.conftest import change
from tests.support.errands import ErrandRequest, Errands, Weighed
from tests.support.installed_app import ROOT
from tests.support.sample_processes import ErrandProcess
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

CONFIRM = (
    "        await self.step(ExpenseClaimSteps.confirm_expense_claim, request, "
    "undo=ExpenseClaimSteps.withdraw_expense_claim)\n"
)


def go_on(process: Path, code: str) -> None:
    """Add code after the last step of the procedure."""
    change(process, "    words = Words(", f"{code}\n    words = Words(")


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
    booked = "ExpenseClaimSteps.confirm_expense_claim, Booking(text=request.purpose), undo=undo"
    change(
        claim / "process.py",
        CONFIRM,
        f"        undo = ExpenseClaimSteps.withdraw_expense_claim\n        booked = await self.step({booked})\n",
    )
    change(claim / "process.py", "Book {amount} for {purpose}", "Note {text}")
    change(claim / "process.py", "Withdraw the {amount} booked for {purpose}", "Strike {text}")
    return claim


def test_sentences_of_a_step_and_its_undo_name_fields_of_the_model_of_the_step(folder: Path, booking: Path) -> None:
    loader.load(folder)
    assert "expense_claim" in PROCESSES


def test_a_sentence_of_a_step_with_several_models_may_name_any_field(folder: Path, booking: Path) -> None:
    activities = (booking / "activities.py").read_text()
    (booking / "activities.py").write_text(activities.replace("StepCall[Booking]", "StepCall[Booking | Booked]"))
    loader.load(folder)
    assert "expense_claim" in PROCESSES


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "Note {text}",
            "Note {purpose}",
            r"Words.steps\['confirm_expense_claim'\] names 'purpose', which is no field of Booking; use one of text",
        ),
        (
            "Strike {text}",
            "Strike {amount}",
            r"Words.undos\['withdraw_expense_claim'\] names 'amount', which is no field of Booking",
        ),
        ("Set {amount} aside", "Set {text} aside", r"Words.steps\['reserve_expense_claim'\] names 'text'"),
        ("for {amount}", "for {text}", "Words.title names 'text'"),
        ("Note {text}", "Note {text.name}", "names 'text.name': name fields only"),
        ("Note {text}", "Note {text[0]}", r"names 'text\[0\]': name fields only"),
        ("Note {text}", "Note {}", "names '': name fields only"),
        ("Note {text}", "Note {0}", "names '0': name fields only"),
        ("Note {text}", "Note {text:.2f}", "cannot be filled: .*fields of a sentence are texts"),
        ("Note {text}", "Note {text:{text}}", "takes the format of 'text' from another field"),
        ("Note {text}", "Note {text!x}", "cannot be filled"),
        ("Note {text}", "Note {text", "cannot be read"),
    ],
)
def test_a_sentence_that_cannot_be_filled_is_refused_when_the_process_is_loaded(
    folder: Path, booking: Path, old: str, new: str, says: str
) -> None:
    change(booking / "process.py", old, new)
    with pytest.raises(WrongProcess, match=says):
        loader.load(folder)


@pytest.mark.parametrize(("named", "wrong"), [("page", False), ("purpose", False), ("sheet", True)])
def test_the_sentence_of_a_gate_may_name_fields_of_its_facts(
    folder: Path, booking: Path, named: str, wrong: bool
) -> None:
    go_on(booking / "process.py", '        await self.gate("approval", facts=booked)\n')
    change(booking / "process.py", '        await self.gate("approval")\n', "")
    change(booking / "process.py", "May {amount} be spent", f"May {{{named}}} be spent")
    if wrong:
        with pytest.raises(WrongProcess, match=r"Words.gates\['approval'\] names 'sheet'.*page"):
            loader.load(folder)
    else:
        loader.load(folder)


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
def test_a_result_of_a_step_that_operators_can_skip_must_be_tested_for_none(
    folder: Path, booking: Path, use: str, warned: bool
) -> None:
    go_on(booking / "process.py", use)
    loader.load(folder)
    process = PROCESSES["expense_claim"]
    assert [name for _, name in uses_of(process.workflow).unchecked] == (["booked.page"] if warned else [])
    policy = loader.policy_file(ROOT / "config" / "policy.toml").current
    said = [line for line in lacks(process, policy, booking / "sample.csv", files_of_tests(process)) if "skip" in line]
    assert [f"{booking / 'process.py'}:" in line and "skipped=" in line for line in said] == [True] * warned


def test_a_step_with_a_result_for_skips_needs_no_test_for_none(folder: Path, booking: Path) -> None:
    change(booking / "process.py", "undo=undo)", "undo=undo, skipped=Booked(page=0))")
    change(booking / "process.py", "import Booking,", "import Booked, Booking,")
    go_on(booking / "process.py", "        print(booked.page)\n")
    loader.load(folder)
    assert uses_of(PROCESSES["expense_claim"].workflow).unchecked == []


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ("", None),
        (", options=SHORT", None),
        (", heartbeat=BEAT", "a local step sends no heartbeats: leave out local=True"),
        (", options=LONG", "a local step has a time limit of at most 10 s, one to 10 attempts and no retry_for"),
        (", options=StepOptions(attempts=0)", "a local step has a time limit of at most 10 s, one to 10 attempts"),
        (", options=StepOptions(retry_for=timedelta(hours=1))", "or give it shorter options"),
    ],
)
def test_a_local_step_is_short_and_sends_no_heartbeats(folder: Path, claim: Path, more: str, wrong: str | None) -> None:
    file = claim / "process.py"
    change(file, "from plugins import ", "from datetime import timedelta\n\nfrom plugins import BEAT, StepOptions, ")
    options = "SHORT = StepOptions(attempts=3)\nLONG = StepOptions(time_limit=timedelta(minutes=1))\n\n\n@workflow.defn"
    change(file, "@workflow.defn", options)
    change(file, CONFIRM, CONFIRM.replace(")\n", f", local=True{more})\n"))
    if wrong is None:
        loader.load(folder)
        return
    with pytest.raises(WrongProcess, match=rf"process\.py:\d+: confirm_expense_claim: .*{wrong}"):
        loader.load(folder)


async def types(process: ErrandProcess, request: ErrandRequest) -> None:
    """Never run: mypy reads it. An author sees that a skipped step answers nothing, unless the story says what."""
    assert_type(await process.step(Errands.fetch, request), Weighed | None)
    assert_type(await process.step(Errands.fetch, request, undo=Errands.bring_back), Weighed | None)
    assert_type(await process.step(Errands.fetch, request, skipped=Weighed(grams=0)), Weighed)


@pytest.mark.parametrize("name", ["payment", "approval", "data_import", "deployment", "security_review"])
def test_the_shipped_processes_pass_the_same_check(name: str) -> None:
    process = PROCESSES[name]
    assert list(mistakes(process)) == []
    assert uses_of(process.workflow).unchecked == []


# ---------------------------------------------------------------------------------------------------------- never stops

TEMPLATE = st.text(st.sampled_from("{}[].:!rsx0 parcelvaluegrams"), max_size=30) | st.text(max_size=10)


@given(template=TEMPLATE, name=st.sampled_from(["fetch", "bring_back", "nowhere"]))
def test_any_template_yields_a_text(template: str, name: str) -> None:
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


def test_a_plain_text_replaces_a_sentence_that_cannot_be_filled_and_is_logged(
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
    assert words.title_of(request) == "Request"
    assert words.gate("manager-approval", request) == "Manager approval"
    assert "'Note {purpose}' cannot be filled (KeyError: 'purpose')" in caplog.text


class Bank(BaseModel):
    iban: str
    digits: int | None = None


class Nested(BaseModel):
    name: str
    banks: list[Bank] | None = None
    free: dict[str, str] = {}
    amount: int = 0


@pytest.mark.parametrize(
    ("field", "said"),
    [
        *[("name", ""), ("banks", ""), ("banks.iban", ""), ("free", ""), ("free.anything", "")],
        ("bank", "Words.masked names 'bank', which is no field of the input"),
        ("banks.bic", "Words.masked names 'banks.bic', which is no field of the input"),
        ("name.first", "Words.masked names 'name.first', which is no field of the input"),
        ("amount", "Words.masked names 'amount', which is not text"),
        ("banks.digits", "Words.masked names 'banks.digits', which is not text"),
    ],
)
def test_masked_fields_and_their_parts_must_exist_and_hold_text(field: str, said: str) -> None:
    found = [each.partition(":")[0] for each in _wrong_mask(field, Nested)]
    assert found == [said] * bool(said)
