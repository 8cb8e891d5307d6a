"""The route of the dashboard. The page Dashboard shows the same figures."""

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query

from api.deps import Plain, TheServices
from api.http.callers import Caller
from api.http.problems import FieldError, documented, invalid
from api.services.dashboard import Dashboard
from store.dashboard.scope import Period
from store.people.people import Person, zone_of

router = APIRouter(tags=["dashboard"])

Zone = Annotated[
    Plain | None,
    Query(max_length=60, description="The time zone of the days in 7d and 30d. Without it, your own time zone, or UTC"),
]


@router.get("/dashboard", responses=documented(401, 422, 503))
async def dashboard(person: Caller, services: TheServices, period: Period = "7d", zone: Zone = None) -> Dashboard:
    """Return the present state, and the figures of the last 24 hours, 7 days or 30 days.

    For operators, auditors and admins, all cases count; for other people, their own requests and uploads, and tasks for
    them or their groups. The period 24h has a figure for each hour: the present hour and the 24 hours before. The
    periods 7d and 30d have a figure for each day: today and the 7 or 30 days before.
    """
    return await services.dashboards.of(person, period, _zone(zone, person), datetime.now(UTC))


def _zone(wanted: str | None, person: Person) -> ZoneInfo:
    try:
        return zone_of(wanted or person.time_zone)
    except ValueError as wrong:
        raise invalid(
            "The time zone is unknown. Send a name such as Europe/London.",
            [FieldError(field="zone", message=str(wrong))],
        ) from None
