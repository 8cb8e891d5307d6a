"""Routes for policies: read a policy that is pinned to cases, apply the policy in force to open gates."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Db, Plain, TheServices
from api.http.callers import Caller
from api.http.problems import FieldError, documented, invalid, not_found
from api.http.schemas import checked_cursor
from api.http.security import PolicyReader, is_in, viewer
from api.services.policy_apply import GateChange, gate_changes
from domain.names import ADMINS
from store.cases import open_tasks, policies

router = APIRouter(prefix="/policies", tags=["processes"])


MOST = 1_000
"""The most open gates that one call checks."""


class PolicyText(BaseModel):
    """A stored policy to which cases are pinned."""

    hash: str = Field(description="SHA-256 of the text")
    text: str


class NewRules(BaseModel):
    """A request to apply the policy in force to the open gates that match."""

    model_config = ConfigDict(extra="forbid")

    process: Plain | None = None
    gate: Plain | None = None
    reason: Plain = Field("", max_length=4000)
    dry_run: bool = Field(False, description="Only return what would change")
    times: bool = Field(False, description="Also replace due times and expiry that an admin has set by hand")
    cursor: Plain | None = Field(None, max_length=1000, description="The `next_cursor` of the last answer")


class GateChanges(BaseModel):
    """The open gates that change, each with its differences."""

    policy_hash: str
    looked_at: int = Field(description="Open gates that match")
    items: list[GateChange]
    next_cursor: str | None = Field(
        None, description="Not null if more gates match: send the same request with this as `cursor`"
    )


@router.post("/apply", responses=documented(401, 404, 422, 503))
async def apply(body: NewRules, person: Caller, services: TheServices) -> GateChanges:
    """Apply the policy in force to open gates. Admins only.

    People whom admins assigned to a task stay assigned. Due times and expiry that admins set stay too, unless `times`
    is true. One call checks at most a thousand gates. To continue, repeat the request with `next_cursor` as `cursor`.
    """
    if not is_in(person, ADMINS):
        raise not_found("page")
    if not body.dry_run and not body.reason.strip():
        raise invalid(
            "Enter a reason.", [FieldError(field="reason", message="enter a reason: the audit log keeps the reason")]
        )
    policy = services.policy.current
    with checked_cursor():
        async with services.db.read() as conn:
            found, following = await open_tasks.fitting(
                conn, viewer(person), process=body.process, gate=body.gate, after=body.cursor, limit=MOST
            )
    changed = await gate_changes(services, person, found, policy, body.reason, dry_run=body.dry_run, times=body.times)
    return GateChanges(policy_hash=policy.hash, looked_at=len(found), items=changed, next_cursor=following)


@router.get("/{hash}", responses=documented(401, 404, 422, 503))
async def one_policy(hash: Annotated[str, Path(pattern="^[0-9a-f]{64}$")], _person: PolicyReader, db: Db) -> PolicyText:
    """Return the text of a policy that is pinned to cases, by its hash. For auditors and admins."""
    async with db.read() as conn:
        text = await policies.text(conn, hash)
    if text is None:
        raise not_found("policy")
    return PolicyText(hash=hash, text=text)
