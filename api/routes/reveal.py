"""The route that reveals a masked field of a request to a person whom the policy allows."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.deps import Plain, TheServices, VisibleTask
from api.http.callers import Caller
from api.http.problems import documented
from api.services import reveal as service
from api.services.reveal import Revealed

router = APIRouter(prefix="/tasks", tags=["tasks"])

LEAST_REASON, MOST_REASON = 3, 500
"""The least and the most characters of a reason."""


def _reason(text: str) -> str:
    reason = text.strip()
    if len(reason) < LEAST_REASON:
        raise ValueError(f"must have at least {LEAST_REASON} characters besides blanks")
    return reason


class NewReveal(BaseModel):
    """A request to see the whole value of a masked field."""

    model_config = ConfigDict(extra="forbid")

    field: Plain = Field(min_length=1, max_length=200, examples=["payee_account"])
    reason: Annotated[Plain, AfterValidator(_reason)] = Field(
        min_length=LEAST_REASON,
        max_length=MOST_REASON,
        description="Why you need the value; the audit log keeps it",
        examples=["Compare with the invoice"],
    )


@router.post("/{task_id}/reveal", responses=documented(401, 403, 404, 409, 422, 503))
async def reveal(
    task: VisibleTask, wanted: NewReveal, person: Caller, services: TheServices, response: Response
) -> Revealed:
    """Return the whole value of a masked field, such as an account number, and record who saw the value and why.

    The policy in force says which groups may do this (`reveal` of the process). A person who has revealed a field may
    still decide the task. Without the right, the answer is 403, and the attempt is recorded.
    """
    response.headers["Cache-Control"] = "no-store"
    return await service.reveal(services, person, task, wanted.field, wanted.reason)
