"""Rows whose reference has a case already: how they are reported, and when they become the next round."""

from decimal import Decimal

import pytest
from pydantic import BaseModel

from cases.differences import differing
from domain.batch import BatchCounts
from domain.ids import case_id_for
from domain.status import Status
from intake.classify_rows import RowClassifier, changes
from intake.parse_rows import ParsedRow, read
from store.audit import audit_log
from store.cases.batches import BatchRow, Existing, PlannedRow
from tests.intake.conftest import HEAD, Office, ended, payment
from workflows.registry import PROCESSES

PAYMENT = PROCESSES["payment"]
ONE, OTHER = "DE89370400440532013000", "DE36370400440632013000"
"""Two accounts of which the last four are the same."""


def parsed(**given: object) -> BaseModel:
    return PAYMENT.input.model_validate(payment().input | given)


def said(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """What a payment says otherwise than a stored one."""
    stored = parsed(**before).model_dump(mode="json")
    return [str(change) for change in changes(PAYMENT, stored, parsed(**after))]


def row_of(reference: str, line: int = 2, **given: object) -> ParsedRow:
    return ParsedRow(line=line, reference=reference, key=reference.lower(), input=parsed(**given))


def existing(status: str, *, round_: int = 1, requester: str = "rita", unstarted: bool = False) -> Existing:
    stored = parsed().model_dump(mode="json")
    case_id = case_id_for("payment", "INV-1", round_)
    return Existing(
        case_id=case_id, status=status, requester=requester, round=round_, input=stored, unstarted=unstarted
    )


def judged(there: Existing, *, resubmit: bool = False, **given: object) -> PlannedRow:
    classifier = RowClassifier("payment", PROCESSES, "rita", {"payment": 3}, resubmit=resubmit)
    (planned,) = classifier.classify([row_of("INV-1", 2, **given)], {"payment": {"inv-1": there}})
    return planned


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, []),
        ({"amount": "500"}, {"amount": "5000.0"}, ["amount 500.00 → 5000.00"]),
        ({"amount": "500.0"}, {"amount": "500.00"}, []),
        ({"amount": "500", "currency": "JPY"}, {"amount": "500"}, ["currency JPY → GBP"]),
        ({}, {"memo": "Paper", "due_date": "2027-01-31"}, ["due_date nothing → 2027-01-31", "memo nothing → Paper"]),
        ({"payee_account": ONE}, {"payee_account": OTHER}, ["payee_account …3000 → another one ending 3000"]),
        (
            {"memo": "x" * 70 + "a"},
            {"memo": "x" * 70 + "b"},
            [f"memo {'x' * 60}… → {'x' * 60}… (not shown: where they differ)"],
        ),
    ],
)
def test_what_differs_is_said_as_it_is_written_and_no_account_is_given_away(
    before: dict[str, object], after: dict[str, object], expected: list[str]
) -> None:
    assert said(before, after) == expected
    assert not any(account in text for text in expected for account in (ONE, OTHER))


def test_numbers_of_a_plugin_are_compared_by_value_too() -> None:
    class Refund(BaseModel):
        share: Decimal
        note: str | None = None

    assert differing({"share": "0.5", "note": None}, Refund(share=Decimal("0.50"))) == []
    assert differing({"share": "a half"}, Refund(share=Decimal("0.50"))) == ["share"]
    assert differing({}, Refund(share=Decimal("0.50"))) == ["share"]


@pytest.mark.parametrize("resubmit", [False, True])
def test_a_row_tells_nothing_of_somebody_elses_case_but_that_it_is_there(resubmit: bool) -> None:
    told = {
        judged(
            existing(status, requester="raul", round_=round_, unstarted=unstarted), resubmit=resubmit, amount=amount
        ).model_dump_json()
        for status in Status
        for round_ in (1, 2, 3)
        for unstarted in (False, True)
        for amount in ("12.50", "99.00")
    }
    (only,) = told
    assert '"case_id":"payment:inv-1"' in only and "the reference belongs to a case of another person" in only


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (existing("running"), "same; the case is in progress"),
        (existing("awaiting_approval"), "same; the case is waiting for approval"),
        (existing("needs_intervention"), "same; the case is blocked"),
        (existing("completed"), "same; the case is completed"),
        (existing("rolled_back"), "same; the case is rolled back"),
        (existing("rejected"), "same; the case is rejected; can be submitted again as the next round"),
        (
            existing("cancelled", round_=3),
            "same; the case is cancelled; cannot be submitted again: "
            "it was round 3, and the policy allows at most 3 rounds",
        ),
    ],
)
def test_a_duplicate_says_how_its_case_ended_and_whether_to_submit_again(there: Existing, says: str) -> None:
    found = judged(there)
    assert (found.outcome, found.case_id, found.says) == ("duplicate", there.case_id, says)
    assert found.resubmits == (there.case_id if "can be" in says else None)
    # What is not allowed stays so when it is asked for.
    again = judged(there, resubmit=True)
    assert again.outcome == ("valid" if "can be" in says else "duplicate")


def test_a_row_that_is_submitted_again_is_the_next_round_whatever_it_says_otherwise() -> None:
    found = judged(existing("rejected", round_=2), resubmit=True, amount="99.00")
    assert (found.outcome, found.case_id, found.resubmits) == ("valid", "payment:inv-1~3", "payment:inv-1~2")
    assert found.says == "submits payment:inv-1~2 again"


def test_a_case_that_could_not_be_started_is_tried_again_without_being_asked_unless_it_may_not() -> None:
    assert judged(existing("failed", unstarted=True)).case_id == "payment:inv-1~2"
    assert judged(existing("failed")).outcome == "duplicate"
    assert judged(existing("failed", unstarted=True, requester="raul")).outcome == "duplicate"  # not theirs
    assert judged(existing("failed", unstarted=True, round_=3)).not_again is not None


@pytest.mark.parametrize("resubmit", [False, True])
def test_a_repeat_within_the_file_names_the_line_of_the_first(resubmit: bool) -> None:
    classifier = RowClassifier("payment", PROCESSES, "rita", {"payment": 3}, resubmit=resubmit)
    rows = [row_of("INV-1", 3), row_of("inv-1", 5), row_of("INV-1", 9, amount="99.00")]
    known = {"payment": {"inv-1": existing("rejected")}} if resubmit else {}
    first, same, other = classifier.classify(rows[:1], known) + classifier.classify(rows[1:], known)  # as two chunks
    assert first.outcome == "valid"
    assert (same.above, same.case_id, same.says) == (
        3, first.case_id, "same; same reference as line 3 of this file",
    )  # fmt: skip
    assert other.says == "differs: amount 12.50 → 99.00; same reference as line 3 of this file"


# --------------------------------------------------------------------------------------------------- from file to case


def lines(*references: str, amount: str = "12.50") -> str:
    return HEAD + "".join(f"{reference},Acme Paper Ltd,{amount},GBP,operating\n" for reference in references)


async def test_a_file_is_submitted_again_as_next_rounds_only_if_asked_and_each_round_names_the_other(
    office: Office,
) -> None:
    for number, by in ((1, "rita"), (2, "rita"), (3, "raul")):
        await office.starter.start_case(payment(f"INV-{number}"), by)
    await ended(office, "payment:inv-1", Status.REJECTED)
    await ended(office, "payment:inv-3", Status.EXPIRED)
    data = lines("INV-1", "INV-2", "INV-3", amount="99.00")

    report = await office.uploads.dry_run("payment", "x.csv", data.encode(), "rita")
    assert (report.rows, report.resubmittable) == (BatchCounts(total=3, duplicate=3), 1)
    async with office.worker():
        usual = await office.finished((await office.take(data)).batch_id or "")
        assert (usual.rows, usual.resubmittable) == (BatchCounts(total=3, duplicate=3), 1)
        assert [row.says for row in usual.duplicates] == [row.says for row in report.duplicates]

        said_ = await office.uploads.dry_run("payment", "x.csv", data.encode(), "rita", resubmit=True)
        assert (said_.rows, said_.resubmittable) == (BatchCounts(total=3, valid=1, duplicate=2), 0)
        taken = await office.uploads.start("payment", "x.csv", data.encode(), "rita", resubmit=True)
        done = await office.finished(taken.batch_id or "")
    assert done.rows == BatchCounts(total=3, valid=1, started=1, duplicate=2)
    second = await office.case("payment:inv-1~2")
    assert (second.round, second.resubmits, second.batch_id) == (2, "payment:inv-1", done.batch_id)
    assert second.input["amount"] == "99.00"
    async with office.db.read() as conn:
        record = await audit_log.page(conn, limit=100)
    links = {(event.case_id, event.kind): event.data for event in record if event.data}
    assert links["payment:inv-1", "case_resubmitted"]["case_id"] == "payment:inv-1~2"
    assert links["payment:inv-1~2", "case_submitted"]["resubmits"] == "payment:inv-1"
    assert ("payment:inv-3", "case_resubmitted") not in links
    # Once more is a duplicate of the new round, which has not ended.
    more = await office.uploads.dry_run("payment", "x.csv", data.encode(), "rita", resubmit=True)
    assert more.rows == BatchCounts(total=3, duplicate=3)
    assert {row.case_id for row in more.duplicates} == {"payment:inv-1~2", "payment:inv-2", "payment:inv-3"}


async def test_rows_that_differ_come_first_in_the_report_of_a_batch_too(office: Office) -> None:
    references = [f"INV-{number}" for number in range(30)]
    async with office.worker():
        await office.finished((await office.take(lines(*references))).batch_id or "")
        mixed = lines(*references) + lines("INV-0", "inv-29", amount="99.00").removeprefix(HEAD)
        mixed = mixed.replace("INV-25,Acme Paper Ltd,12.50", "INV-25,Acme Paper Ltd,13.00")
        taken = await office.take(mixed)
        done = await office.finished(taken.batch_id or "")
    assert [row.line for row in taken.duplicates] == [27, 32, 33, *range(2, 19)]
    assert done.duplicates == taken.duplicates
    assert done.duplicates[0].says == "differs: amount 12.50 → 13.00; the case is in progress"


def test_a_row_that_is_read_from_a_file_shows_its_amount_as_the_case_has_it() -> None:
    (row,) = read((HEAD + "INV-1,Acme Paper Ltd,13,GBP,operating\n").encode(), PAYMENT.input).rows
    classifier = RowClassifier("payment", PROCESSES, "rita", {})
    (found,) = classifier.classify([row], {"payment": {"inv-1": existing("completed")}})
    assert isinstance(found, BatchRow) and found.says == "differs: amount 12.50 → 13.00; the case is completed"
