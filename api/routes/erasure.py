"""Routes that ask for the erasure of a case, an upload or a person: each starts a case of the process `erasure`."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from activities.erasure.request import ErasureRequest
from activities.shared.text_fields import lines
from api.deps import Plain, TheServices, VisibleCase
from api.http.callers import Caller
from api.http.problems import documented, forbidden, not_found
from api.http.security import Admin, check_may_operate, operates_batch
from api.routes.absences import PersonId
from api.routes.batches import VisibleBatch
from domain.erasure import SubjectKind, check_content
from domain.status import Status
from store.people import people_list
from store.people.people import Person

router = APIRouter(tags=["erasure"])

REASON = "Why. Write no names and no other personal data: the reason stays in the audit log"
_ASKS = documented(401, 403, 404, 409, 422, 503)


class ErasureReason(BaseModel):
    """The reason for an erasure."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Annotated[Plain, AfterValidator(lines)] = Field(
        min_length=3, max_length=500, description=REASON, examples=["Request 2026-114 of the data subject"]
    )


class ErasureOfPerson(ErasureReason):
    """The reason for the erasure of a person, and whether the ended cases of the person are erased as well."""

    cases: bool = Field(False, description="Also erase the ended cases that the person asked for")


class ErasureAsked(BaseModel):
    """The request for an erasure. People must approve it: `GET /cases/{request_id}` shows what was decided and done."""

    kind: SubjectKind
    id: str = Field(description="The case, upload or person to erase", examples=["payment:inv-1042"])
    request_id: str = Field(description="The case in which people decide", examples=["erasure:case-5f2b-1"])
    status: Status = Field(description="The status of the request, as last recorded")
    requester: str
    created: bool = Field(description="False if the same subject had an open request before: then this is that one")
    review_url: str = Field(description="The page on which people decide")


@router.post("/cases/{case_id}/erase", status_code=202, responses=_ASKS)
async def erase_case(case: VisibleCase, body: ErasureReason, person: Caller, services: TheServices) -> ErasureAsked:
    """Ask for the erasure of the content of an ended case. For operators of the process and admins.

    People must approve the erasure: the policy of the process `erasure` says who. What is erased cannot be restored. A
    case that cannot be erased, because it has not ended or has a legal hold, is refused at once. While a request for
    the same case is open, the answer is that request.
    """
    check_may_operate(person, case.process, "ask to erase a case")
    check_content(case)
    return await _ask(services, person, ErasureRequest(kind="case", id=case.case_id, reason=body.reason))


@router.post("/batches/{batch_id}/erase", status_code=202, responses=_ASKS)
async def erase_upload(batch: VisibleBatch, body: ErasureReason, person: Caller, services: TheServices) -> ErasureAsked:
    """Ask for the erasure of an upload: its file, its rows, and the content of all its cases.

    For operators of the processes of all its rows, and admins. Otherwise as for a case.
    """
    if not await operates_batch(services.db, person, batch):
        raise forbidden(
            "Only operators of the processes of the upload and admins ask to erase an upload.",
            "operators of the processes, or admins",
        )
    check_content(batch, "upload")
    return await _ask(services, person, ErasureRequest(kind="upload", id=batch.batch_id, reason=body.reason))


@router.post("/people/{person_id}/erase", status_code=202, responses=_ASKS)
async def erase_person(person_id: PersonId, body: ErasureOfPerson, admin: Admin, services: TheServices) -> ErasureAsked:
    """Ask for the erasure of a person who has left: name, addresses and everything else but the id. Admins only.

    With `cases`, the content of the ended cases that the person asked for is erased as well. A person who is active,
    or whom an open case, an open task or a service account still needs, is refused at once.
    """
    async with services.db.read() as conn:
        found = await people_list.erased_at(conn, person_id)
    if found is None:
        raise not_found("person")
    check_content(found, "person")
    wanted = ErasureRequest(kind="person", id=person_id, reason=body.reason, cases=body.cases)
    return await _ask(services, admin, wanted)


async def _ask(services: TheServices, person: Person, wanted: ErasureRequest) -> ErasureAsked:
    asked = await services.erasures.ask(wanted, person.id)
    row = asked.row
    return ErasureAsked(
        kind=wanted.kind,
        id=wanted.id,
        request_id=row.case_id,
        status=Status.RUNNING if row.status is Status.STARTING else row.status,
        requester=row.requester,
        created=asked.created,
        review_url=f"{services.settings.public_url}/cases/{quote(row.case_id, safe='')}",
    )
