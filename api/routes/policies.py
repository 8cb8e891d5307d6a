"""The policy texts that cases were pinned to."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.deps import Db
from api.problems import documented, not_found
from api.security import PolicyReader
from store import policies

router = APIRouter(prefix="/policies", tags=["processes"])


class PolicyText(BaseModel):
    """A policy as it was when a case started under it."""

    hash: str = Field(description="SHA-256 of the text")
    text: str


@router.get("/{hash}", responses=documented(401, 404, 422, 503))
async def one_policy(hash: Annotated[str, Path(pattern="^[0-9a-f]{64}$")], _person: PolicyReader, db: Db) -> PolicyText:
    """The text of a policy, as it was pinned. For auditors and admins."""
    async with db.read() as conn:
        text = await policies.text(conn, hash)
    if text is None:
        raise not_found("policy")
    return PolicyText(hash=hash, text=text)
