"""Who the caller is."""

from fastapi import APIRouter
from pydantic import BaseModel

from api.problems import documented
from api.security import Caller

router = APIRouter(tags=["people"])


class Me(BaseModel):
    """The person whose token was sent."""

    id: str
    name: str
    groups: list[str]


@router.get("/me", responses=documented(401, 503))
async def me(person: Caller) -> Me:
    """Who the token belongs to, with the groups they are in now."""
    return Me(id=person.id, name=person.name, groups=sorted(person.groups))
