"""The dashboard as JSON; the page shows the same."""

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Query

from api.dashboards import Dashboard
from api.deps import InHouse, Plain
from api.problems import FieldError, documented, invalid
from api.security import Caller
from store.dashboard.scope import Period
from store.people import Person

router = APIRouter(tags=["dashboard"])

Zone = Annotated[
    Plain | None, Query(max_length=60, description="Whose days 7d and 30d count; without it your own zone, or UTC")
]


@router.get("/dashboard", responses=documented(401, 422, 503))
async def dashboard(person: Caller, parts: InHouse, period: Period = "7d", zone: Zone = None) -> Dashboard:
    """How things stand and how they went in the last 24 hours, 7 days or 30 days, as far as you may see it.

    24h counts by hour: the hour that runs and 24 before it. 7d and 30d count by day: today, and so many days before it.
    """
    return await parts.dashboards.of(person, period, _zone(zone, person), datetime.now(UTC))


def _zone(wanted: str | None, person: Person) -> ZoneInfo:
    name = wanted or person.time_zone or "UTC"
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid([FieldError(field="zone", message=f"'{name}' is no time zone, such as Europe/London")]) from None
