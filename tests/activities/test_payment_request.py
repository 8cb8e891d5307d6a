"""The input of a payment: the accepted values, the refused values, and the error messages."""

import json
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from activities.payment.request import PaymentRequest
from domain.case import CaseInput
from domain.moments import FIRST_MOMENT
from domain.money import EXPECTED_AMOUNT
from domain.step import StepCall

GOOD = {"payee": "Acme Paper Ltd", "amount": "2640", "currency": "GBP", "account": "operating"}


def faults(**changes: Any) -> dict[str, str]:
    with pytest.raises(ValidationError) as wrong:
        PaymentRequest.model_validate(GOOD | changes)
    return {
        ".".join(map(str, error["loc"])): error["msg"].removeprefix("Value error, ") for error in wrong.value.errors()
    }


def test_the_fields_come_in_the_order_of_the_contract_and_the_schema_explains_them() -> None:
    schema = PaymentRequest.model_json_schema()
    names = ["payee", "amount", "currency", "account", "due_date", "memo", "payee_account"]
    assert list(schema["properties"]) == names
    assert schema["required"] == names[:4]
    assert not schema["additionalProperties"]
    assert all(field["description"] and field["examples"] for field in schema["properties"].values())


@pytest.mark.parametrize(
    ("amount", "currency", "taken"),
    [
        ("2640", "GBP", "2640.00"),
        ("0.1", "GBP", "0.10"),
        (" 5 ", "GBP", "5.00"),
        (0.1, "GBP", "0.10"),
        (1234567.89, "GBP", "1234567.89"),
        (10, "GBP", "10.00"),
        (100.0, "JPY", "100"),
        (Decimal("1E+3"), "GBP", "1000.00"),
        ("1.125", "KWD", "1.125"),
        ("1000000000000000", "GBP", "1000000000000000.00"),
    ],
)
def test_an_amount_is_exact_and_has_the_decimals_of_its_currency(amount: Any, currency: str, taken: str) -> None:
    request = PaymentRequest.model_validate(GOOD | {"amount": amount, "currency": currency})
    assert str(request.amount) == taken
    assert PaymentRequest.model_validate_json(request.model_dump_json()) == request


@pytest.mark.parametrize(
    "amount",
    ["1e3", "2,640.00", "£5", "NaN", "Infinity", "", "0x10", "\u0663", True, None, [], "1_000"]
    + [kind(text) for kind in (float, Decimal) for text in ("nan", "inf", "-inf")],
)
def test_an_amount_that_is_no_plain_number_is_refused_and_told_how(amount: Any) -> None:
    assert faults(amount=amount)["amount"] == EXPECTED_AMOUNT


@pytest.mark.parametrize(
    ("changes", "field", "why"),
    [
        ({"amount": "0"}, "amount", "more than 0"),
        ({"amount": "-3.50"}, "amount", "more than 0"),
        ({"amount": "1000000000000000.01"}, "amount", "at most 1,000,000,000,000,000"),
        ({"amount": "1.005"}, "amount", "GBP has 2 decimals, and 1.005 has 3"),
        ({"amount": "1.5", "currency": "JPY"}, "amount", "JPY has no decimals"),
        ({"amount": 123456789.1234567}, "amount", "send the amount as a string"),
        ({"currency": "gbp"}, "currency", "not an ISO 4217"),
        ({"currency": "XXX"}, "currency", "not an ISO 4217"),
        ({"payee": "  "}, "payee", "at least 1 character"),
        ({"payee": "\u200b"}, "payee", "(U+200B, zero width space) at position 1: remove it"),
        ({"payee": "x" * 201}, "payee", "at most 200"),
        ({"payee": "Acme\nLtd"}, "payee", "control characters"),
        ({"payee": "Acme \u202edtL"}, "payee", "(U+202E, right-to-left override) at position 6"),
        ({"payee": "\ufdfa" * 20}, "payee", "too long"),
        ({"account": ""}, "account", "at least 1 character"),
        ({"memo": "x" * 501}, "memo", "at most 500"),
        ({"memo": "\0"}, "memo", "control characters"),
        ({"due_date": "30/11/2026"}, "due_date", "2027-03-31"),
        ({"due_date": "2026-02-30"}, "due_date", "2027-03-31"),
        ({"due_date": 1700000000}, "due_date", "2027-03-31"),
        ({"payee_account": "GB33BUKB20201555555556"}, "payee_account", "check digits"),
        ({"colour": "red"}, "colour", "not permitted"),
    ],
)
def test_each_fault_is_named_at_its_field(changes: dict[str, Any], field: str, why: str) -> None:
    found = faults(**changes)
    assert list(found) == [field]
    assert why in found[field]


def test_all_faults_of_a_row_are_named_at_once() -> None:
    assert list(faults(payee="", amount="1.005", due_date="tomorrow", payee_account="X")) == [
        "payee",
        "amount",
        "due_date",
        "payee_account",
    ]


def test_blank_optional_fields_count_as_absent() -> None:
    request = PaymentRequest.model_validate(GOOD | {"due_date": "", "memo": "", "payee_account": " "})
    assert (request.due_date, request.memo, request.payee_account) == (None, "", None)


def test_an_iban_is_kept_whole_and_without_blanks() -> None:
    request = PaymentRequest.model_validate(GOOD | {"payee_account": "GB33 BUKB 2020 1555 5555 55"})
    assert request.payee_account == "GB33BUKB20201555555555"


def test_a_request_travels_inside_the_contracts() -> None:
    request = PaymentRequest.model_validate(GOOD)
    call = StepCall[PaymentRequest](
        case_id="c", reference="r", requester="p", policy_hash="h", key="k", at=FIRST_MOMENT, input=request
    )
    assert StepCall[PaymentRequest].model_validate_json(call.model_dump_json()) == call
    assert "amount" in json.dumps(CaseInput[PaymentRequest].model_json_schema())
