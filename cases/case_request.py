"""A request for a case, the errors that refuse a request, and the checks before a case is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ValidationError

from cases.differences import differing
from cases.schedule import why_not_at
from domain.base import FieldProblem
from domain.erasure import check_content
from domain.ids import case_id_for, normalise_reference, reference_key
from domain.input_errors import masked_values, problems_of
from domain.moments import asked
from domain.scope import Scope
from domain.state_words import state
from domain.status import ENDED_UNDONE
from store.cases import cases
from store.cases.cases import CaseRow
from store.db.connection import AsyncConnection
from store.people.viewers import viewer_of
from workflows.registry import Process

DEFAULT_PRIORITY = 3
"""The priority of a case that is submitted alone, without a priority. 1 comes first, 5 comes last."""


class CaseRequest(BaseModel):
    """A request for a case. `input` is checked against the input model of the process."""

    process: str
    reference: str
    input: dict[str, Any]
    priority: int | None = None
    start_at: datetime | None = None
    resubmits: str | None = None
    parent: str | None = None
    """The id of the case that requests this case; None if a person requests the case."""
    on_behalf_of: str | None = None
    """The id of the person for whom a service account requests the case."""
    asked_for: list[str] = []
    """More people who count as requester, because they count as requester of the case in `parent`."""
    idempotency_key: str | None = None
    """The client's idempotency key: a repeat with the same key starts no second case.

    A hash of person and key is stored.
    """


@dataclass(frozen=True)
class Started:
    """A stored case. `created` is False if an earlier request with the same idempotency key stored the case."""

    row: CaseRow
    created: bool


class NoPolicy(Exception):
    """Raised if the policy has no section for the process of a case, so that nobody could decide at its gates."""


class InvalidCase(Exception):
    """Raised if a request does not fit its process.

    `problems` has one entry for each error, with the name of the field.
    """

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = list(problems)


class DuplicateCase(Exception):
    """Raised if a case with the reference exists already, or the idempotency key was used for another request.

    `existing` is the earlier case. If the requester may not see the earlier case, `existing` is None, the status, round
    and differences of the earlier case stay hidden, and `case_id` is the id of the first round, which follows from the
    reference alone.
    """

    def __init__(self, message: str, case_id: str, existing: CaseRow | None, differs: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.case_id = case_id
        self.existing = existing
        self.differs = list(differs)


class NotResubmittable(Exception):
    """Raised if the case in `resubmits` cannot be submitted again.

    A case can be submitted again by its requester if it is the last round of its reference, was rejected, expired,
    cancelled or failed, and the policy allows another round.
    """


# ---------------------------------------------------------------------------------------------------------- the checks


def _begins(start_at: datetime | None) -> datetime:
    """Return when the case begins: `start_at`, or now if `start_at` is None or past.

    Input dates that must be in the future are compared with this time.
    """
    return max(filter(None, (datetime.now(UTC), start_at)))


def checked(request: CaseRequest, process: Process) -> tuple[str, str, BaseModel]:
    """Return the reference, its key for comparison, and the input as the model of the process.

    Raises InvalidCase with all problems of the request.
    """
    problems: list[FieldProblem] = []
    reference = key = ""
    try:
        reference, key = normalise_reference(request.reference), reference_key(request.reference)
    except ValueError as wrong:
        problems.append(FieldProblem(column="reference", message=str(wrong)))
    if request.priority is not None and not 1 <= request.priority <= 5:
        problems.append(FieldProblem(column="priority", message=f"'{request.priority}' is not 1, 2, 3, 4 or 5"))
    problems += masked_values(request.input, process.shown_input)
    if (start_at := request.start_at) is not None and (wrong_time := why_not_at(start_at)):
        problems.append(FieldProblem(column="start_at", message=wrong_time))
        start_at = None  # other dates cannot be compared with it
    try:
        parsed = process.input.model_validate(request.input, context=asked(_begins(start_at)))
    except ValidationError as wrong:
        raise InvalidCase(problems + problems_of(wrong, process.shown_input(request.input))) from wrong
    if problems:
        raise InvalidCase(problems)
    return reference, key, parsed


def repeated(existing: CaseRow, request: CaseRequest, key: str, parsed: BaseModel) -> Started:
    """Return the case of an earlier request with the same idempotency key.

    `key` is the reference key of the new request. Raises DuplicateCase if the requests differ. The content of an erased
    case is not compared.
    """
    same = existing.process == request.process and existing.reference_key == key
    same_content = [] if existing.erased_at else differing(existing.input, parsed)
    differs = same_content if same else ["reference"]
    if existing.priority != (request.priority or DEFAULT_PRIORITY):
        differs.append("priority")
    if request.on_behalf_of not in (None, existing.on_behalf_of):
        differs.append("on_behalf_of")
    if differs:
        raise DuplicateCase(
            "this Idempotency-Key was already used for another request: send a new key",
            existing.case_id,
            existing,
            differs,
        )
    return Started(existing, created=False)


async def duplicate(
    conn: AsyncConnection, existing: CaseRow, parsed: BaseModel, by: str, scope: Scope
) -> DuplicateCase:
    """Return the refusal of a request whose reference has a case. It tells `by` only what `by` may see."""
    if not await cases.may_see(conn, await viewer_of(conn, by, scope), existing.case_id):
        said = "The reference belongs to a case of another person. Choose another reference"
        return DuplicateCase(said, case_id_for(existing.process, existing.reference), None)
    differs = [] if existing.erased_at else differing(existing.input, parsed)
    note = f"; it differs in: {', '.join(differs)}" if differs else ""
    said = (
        f"{existing.reference} already exists and is {state(existing.status).lower()}{note}. "
        "For another request choose another reference"
    )
    return DuplicateCase(said, existing.case_id, existing, differs)


def next_round(latest: CaseRow | None, resubmits: str | None, most: int) -> int:
    """Return the number of the new case among the rounds of its reference; 1 if it resubmits no case.

    `most` is the number of rounds that the policy allows. Raises NotResubmittable, and ContentErased.
    """
    if not resubmits:
        return 1
    if latest is None or latest.case_id != resubmits:
        known = f"its last round is {latest.case_id}" if latest else "there is no case with this reference"
        raise NotResubmittable(f"{resubmits} is not the last round of this reference: {known}")
    check_content(latest)
    if latest.status not in ENDED_UNDONE:
        raise NotResubmittable(
            f"{resubmits} is {state(latest.status).lower()}; "
            "only a case that was rejected, expired, cancelled or failed can be submitted again."
        )
    if latest.round >= most:
        raise NotResubmittable(
            f"{resubmits} was round {latest.round}, and the policy allows {most} rounds of one reference. "
            "Choose another reference."
        )
    return latest.round + 1
