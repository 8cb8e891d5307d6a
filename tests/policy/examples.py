"""A small process and policy for the tests in this folder."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from domain.ruling import GateRuling
from policy.model import Policy, PolicyError
from policy.parse import parse
from policy.rules import rule

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Payment(BaseModel):
    payee: str
    amount: Decimal
    currency: str
    due_date: date | None = None
    memo: str | None = None


INPUTS = {"payment": Payment}

GATE = """\
[payment.limits.GBP]
manager = 500
two_managers = 10000

[payment.gates.manager-approval]
groups = ["managers"]
"""
"""The least a gate needs; a test adds its line below, which is line 7."""


def policy(*lines: str) -> Policy:
    """The policy of GATE with further lines in its gate."""
    return parse(GATE + "\n".join(lines), inputs=INPUTS)


def problem(*lines: str) -> str:
    """What is said about the policy of GATE with further lines in its gate."""
    try:
        policy(*lines)
    except PolicyError as wrong:
        return str(wrong)
    return ""


def ruling(
    *lines: str,
    amount: str = "750.00",
    currency: str = "GBP",
    facts: dict[str, Any] | None = None,
    case: dict[str, Any] | None = None,
    **fields: Any,
) -> GateRuling:
    """The ruling on one payment under the policy of GATE with further lines in its gate."""
    payment = Payment(payee="Northwind Paper Ltd", amount=Decimal(amount), currency=currency, **fields)
    around = {"reference": "INV-1", "requester": "requester-1", "priority": 3, "batch_id": None} | (case or {})
    return rule(policy(*lines), "payment", "manager-approval", input=payment, facts=facts or {}, case=around, at=AT)
