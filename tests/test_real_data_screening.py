"""The screening on real payment files sends few enough cases to the fraud analysts."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest

from activities.payment.request import PaymentRequest
from activities.payment.screening import score
from domain.money import payee_key

REAL_DATA = Path(__file__).parent.parent.parent / "shared" / "real-data"
FILES = sorted(REAL_DATA.glob("*.csv"))
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
# The limits of the shipped policy; what `amount >= limits...` and `facts.score >= 50` say there.
FRAUD, MANAGER, TWO_MANAGERS, DIRECTOR = 50, 500, 10_000, 50_000


class Past(NamedTuple):
    reference: str
    at: datetime
    amount: Decimal
    currency: str
    payee_account: str | None
    captured: bool


def payments(file: Path) -> Iterator[tuple[str, PaymentRequest]]:
    """The rows that can be paid, as a person who renames the headings would have them."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        for row in csv.DictReader(lines):
            fields = {name.strip(): (value or "").strip() for name, value in row.items() if name}
            amount, payee = fields["Amount"], fields["Supplier Name"]
            if payee and re.fullmatch(r"\d+(\.\d{1,2})?", amount) and Decimal(amount):
                yield (
                    fields["Trans No"],
                    PaymentRequest.model_validate(
                        {"payee": payee, "amount": amount, "currency": "GBP", "account": "operating"}
                    ),
                )


@pytest.mark.skipif(not FILES, reason="../shared/real-data is absent")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_at_most_one_in_twenty_real_payments_goes_to_the_fraud_analysts(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All at one moment on an empty ledger: those below the managers' limit are paid at once, the others held."""
    history: dict[str, list[Past]] = defaultdict(list)
    tasks = {"fraud-analysts": 0, "managers": 0, "two managers": 0, "directors": 0}
    rows = 0
    for reference, request in payments(file):
        rows += 1
        earlier = history[payee_key(request.payee)]
        screening = score(request, earlier, (), NOW)
        tasks["fraud-analysts"] += screening.score >= FRAUD
        tasks["managers"] += request.amount >= MANAGER
        tasks["two managers"] += request.amount >= TWO_MANAGERS
        tasks["directors"] += request.amount >= DIRECTOR
        earlier.append(Past(reference, NOW, request.amount, "GBP", None, captured=request.amount < MANAGER))
    with capsys.disabled():
        shares = ", ".join(f"{group} {count} ({count / rows:.1%})" for group, count in tasks.items())
        print(f"\n{file.name}: {rows} payments: {shares}")  # noqa: T201
    assert rows > 1000
    assert tasks["fraud-analysts"] <= 0.05 * rows
