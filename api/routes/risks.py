"""Routes for accepted risks: risks of a target, such as an artefact, that people have accepted in a case."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api.deps import Cursor, Limit, Plain, TheServices
from api.http.problems import documented
from api.http.schemas import Page, checked_cursor
from api.http.security import RiskReader
from store.receivers.accepted_risks import Risk

router = APIRouter(prefix="/risks", tags=["risks"])


class RiskView(Risk):
    """One accepted risk, and whether it is still in force."""

    status: Literal["accepted", "expired", "withdrawn"]


@router.get("", responses=documented(401, 404, 422, 503))
async def list_risks(
    _person: RiskReader,
    services: TheServices,
    target: Annotated[Plain | None, Query(max_length=500, examples=["shop.tar.gz"])] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[RiskView]:
    """List the accepted risks.

    The risks in force come first, then those that have expired or were withdrawn; in each part the newest come first.
    """
    with checked_cursor():
        page, following = await services.risks.page(target, cursor=cursor, limit=limit)
    return Page(items=[_view(risk) for risk in page], next_cursor=following)


def _view(risk: Risk) -> RiskView:
    expired = risk.expires_at <= datetime.now(UTC)
    status: Literal["accepted", "expired", "withdrawn"] = "expired" if expired else "accepted"
    return RiskView(**risk.model_dump(), status="withdrawn" if risk.withdrawn_at else status)
