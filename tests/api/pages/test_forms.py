"""A form from the JSON Schema of a process, and the values that people entered."""

from datetime import date
from enum import StrEnum
from typing import Any

import pytest
from pydantic import BaseModel

from api.pages.parts.page import templates
from api.pages.parts.schema_form import PREFIX, FormField, read_form, schema_form, text_of
from workflows.registry import PROCESSES

PAYMENT = PROCESSES["payment"]
STORED = PAYMENT.input.model_validate(
    {name: value for name, value in PAYMENT.example.items() if name != "reference"}
).model_dump(mode="json")


def sent(**fields: str) -> dict[str, str]:
    return {f"{PREFIX}{name}": value for name, value in fields.items()}


def form_of(process: str) -> dict[str, FormField]:
    found = PROCESSES[process]
    return {field.name: field for field in schema_form(found.input, {}, words=found.words)}


def test_each_field_of_each_process_has_its_label_its_help_and_a_fitting_kind() -> None:
    kinds: dict[str, str] = {}
    for name, process in PROCESSES.items():
        fields = form_of(name)
        assert list(fields) == list(process.input.model_fields)
        assert all(field.help and field.label == process.words.labels[field.name] for field in fields.values())
        kinds |= {f"{name}.{field.name}": field.kind for field in fields.values()}
    assert {kinds[name] for name in ("payment.memo", "approval.body", "deployment.note")} == {"long"}
    assert (kinds["payment.amount"], kinds["payment.due_date"], kinds["payment.payee"]) == ("money", "date", "text")
    assert (kinds["approval.payload"], kinds["approval.candidates"]) == ("json", "list")
    assert (kinds["approval.deadline"], kinds["deployment.security_review"]) == ("moment", "yes_no")
    assert kinds["security_review.accept_for_days"] == "number"


class Size(StrEnum):
    """How much."""

    SMALL = "small"
    LARGE = "large"


class Order(BaseModel):
    """A model with what the shipped ones do not have."""

    size: Size
    wanted: bool | None = None
    tags: list[str] = []
    extra: dict[str, int] = {}
    day: date | None = None


def test_choices_lists_and_objects_of_a_plugin_are_read() -> None:
    size, wanted, *_ = schema_form(Order, {"size": "large"})
    assert (size.kind, size.options, size.value) == ("choice", ("small", "large"), "large")
    assert (wanted.kind, wanted.options) == ("yes_no", ("", "true", "false"))
    read = read_form(Order, sent(size="small", wanted="true", tags="a, b", extra='{"n": 1}', day=""))
    assert not read.errors
    order = Order.model_validate(read.values)
    assert (order.size, order.wanted, order.tags, order.extra) == (Size.SMALL, True, ["a", "b"], {"n": 1})
    wrong = read_form(Order, sent(size="huge", extra="{"))
    assert "huge" in wrong.errors["size"] and "is not valid JSON" in wrong.errors["extra"]
    assert wrong.typed["extra"] == "{"


def test_a_new_input_is_read_with_every_mistake_at_its_field_and_nothing_lost() -> None:
    read = read_form(
        PAYMENT.input, sent(payee="", amount="12,50", currency="GBP", memo="a\r\nb", payee_account="GB00"), words=None
    )
    assert set(read.errors) == {"payee", "amount", "payee_account", ""}
    assert read.errors["payee"] == "enter a value"
    assert "account: enter a value" in read.errors[""], "a field that the form did not send"
    shown = {field.name: field for field in schema_form(PAYMENT.input, {}, words=PAYMENT.words, read=read)}
    assert (shown["amount"].value, shown["memo"].value) == ("12,50", "a\nb")
    assert "plain number" in shown["amount"].error
    good = {name: value for name, value in PAYMENT.example.items() if name != "reference"}
    assert not read_form(PAYMENT.input, sent(**good), words=PAYMENT.words).errors


def test_an_edit_is_what_differs_and_a_hidden_field_left_empty_stays() -> None:
    shown = {field.name: field for field in schema_form(PAYMENT.input, STORED, words=PAYMENT.words)}
    assert (shown["payee_account"].value, shown["payee_account"].kept) == ("", True)
    assert "GB82" not in str([field.value for field in shown.values()])
    same = sent(**{name: field.value for name, field in shown.items()})
    assert read_form(PAYMENT.input, same, words=PAYMENT.words, base=STORED).values == {}
    changed = same | sent(amount="900.00", memo="", due_date="")
    read = read_form(PAYMENT.input, changed, words=PAYMENT.words, base=STORED)
    assert (read.values, read.errors) == ({"amount": "900.00", "memo": "", "due_date": None}, {})
    wrong = read_form(PAYMENT.input, same | sent(payee=" ", amount="1.234"), words=PAYMENT.words, base=STORED)
    assert wrong.errors["payee"] == "enter a value"
    assert "GBP has 2 decimals" in wrong.errors["amount"]
    only = read_form(PAYMENT.input, same | sent(amount="5", memo="x"), words=PAYMENT.words, base=STORED, only=["memo"])
    assert only.values == {"memo": "x"}, "fields that are not wanted are not read"


@pytest.mark.parametrize("value", [None, True, 3, "a", ["a", "b"], {"a": [1]}, ["a", 1]])
def test_a_stored_value_is_text_that_is_read_as_the_same(value: Any) -> None:
    assert isinstance(text_of(value), str)
    approval = PROCESSES["approval"]
    base = approval.input.model_validate({"title": "t", "payload": value}).model_dump(mode="json")
    read = read_form(approval.input, sent(title="t", payload=text_of(value)), words=approval.words, base=base)
    assert (read.values, read.errors) == ({}, {})


def test_a_mistake_is_announced_with_its_field_and_markup_is_text() -> None:
    read = read_form(PAYMENT.input, sent(payee='"><script>alert(1)</script>', amount="x"), words=PAYMENT.words)
    page = templates.env.from_string('{% from "_form.html" import fields %}{{ fields(form) }}').render(
        form=schema_form(PAYMENT.input, {}, words=PAYMENT.words, read=read)
    )
    assert "<script" not in page
    assert 'aria-describedby="input-amount-error input-amount-help" autocomplete="off" inputmode="decimal"' in page
    assert 'aria-invalid="true"' in page and 'id="input-amount-error"' in page
