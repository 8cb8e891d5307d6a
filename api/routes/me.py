"""Routes about the caller: the caller's name and groups, and the notifications that the caller wants."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Db
from api.http.callers import Caller
from api.http.problems import documented
from domain.notification import NoticeChoice, NoticeKind
from store.notifications import choices

router = APIRouter(tags=["people"])


class Me(BaseModel):
    """The person to whom the token belongs."""

    id: str
    name: str
    groups: list[str]


class Choices(BaseModel):
    """The caller's choice for each kind of notification: at once, in the daily digest, or never."""

    model_config = ConfigDict(extra="forbid")

    choices: dict[NoticeKind, NoticeChoice] = Field(examples=[{"task_opened": "at_once", "task_lost": "off"}])


@router.get("/me", responses=documented(401, 503))
async def me(person: Caller) -> Me:
    """Return the person to whom the token belongs, with their present groups."""
    return Me(id=person.id, name=person.name, groups=sorted(person.groups))


@router.get("/me/notices", responses=documented(401, 503))
async def my_notices(person: Caller, db: Db) -> Choices:
    """Return the caller's choice for every kind of notification: at once, in the daily digest, or never."""
    async with db.read() as conn:
        return Choices(choices=await choices.of(conn, person.id))


@router.put("/me/notices", responses=documented(401, 422, 503))
async def choose_notices(wanted: Choices, person: Caller, db: Db) -> Choices:
    """Change the choices in the request, and keep all other choices. Return all choices."""
    async with db.write() as conn:
        await choices.choose(conn, person.id, wanted.choices)
        return Choices(choices=await choices.of(conn, person.id))
