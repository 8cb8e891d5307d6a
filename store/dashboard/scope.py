"""Whose figures, and of which time: a person's sight, and a period cut into hours or days."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from sqlalchemy import ColumnElement, true

from store.cases.visibility import Viewer
from store.tables.cases import batches, cases

Period = Literal["24h", "7d", "30d"]

_HOURS: dict[Period, int] = {"24h": 24}
_DAYS: dict[Period, int] = {"7d": 7, "30d": 30}


@dataclass(frozen=True)
class Span:
    """A period up to now, in parts that follow each other: whole hours or days, and the one that is not over yet."""

    starts: tuple[datetime, ...]
    """When each part begins, oldest first, in UTC."""
    until: datetime
    """Now: the end of the last part, which itself is not counted any more."""
    unit: Literal["hour", "day"]

    @property
    def since(self) -> datetime:
        """When the first part begins."""
        return self.starts[0]

    @property
    def parts(self) -> list[tuple[datetime, datetime]]:
        """Beginning and end of each part."""
        return list(zip(self.starts, (*self.starts[1:], self.until), strict=True))


def span(period: Period, now: datetime, zone: tzinfo) -> Span:
    """The period that ends now.

    24h is the hour that runs and the 24 before it. 7d and 30d are today and so many days before it: calendar days of
    the zone, so one of them has 23 or 25 hours when the clocks change.
    """
    now = now.astimezone(UTC)
    if hours := _HOURS.get(period):
        this = now.replace(minute=0, second=0, microsecond=0)
        return Span(tuple(this - timedelta(hours=back) for back in range(hours, -1, -1)), now, "hour")
    today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    # Counted back on the calendar, where a day is a day; then into UTC.
    days = [(today.replace(tzinfo=None) - timedelta(days=back)) for back in range(_DAYS[period], -1, -1)]
    return Span(tuple(day.replace(tzinfo=zone).astimezone(UTC) for day in days), now, "day")


@dataclass(frozen=True)
class DashboardScope:
    """What of the figures somebody sees.

    Operators, auditors and admins: everything. Anybody else: the cases they asked for, the batches they uploaded, and
    the tasks that ask them or one of their groups. All of these they may open, so no figure tells of anything else.
    """

    person: str
    groups: tuple[str, ...]
    everything: bool

    @classmethod
    def of(cls, viewer: Viewer) -> "DashboardScope":
        """What this viewer sees. Who stands in for somebody sees their own figures only."""
        return cls(viewer.id, tuple(sorted(viewer.groups)), viewer.sees_all)

    def cases(self) -> ColumnElement[bool]:
        """The condition under which a row of `cases` counts."""
        return true() if self.everything else cases.c.requester == self.person

    def batches(self) -> ColumnElement[bool]:
        """The condition under which a row of `batches` counts."""
        return true() if self.everything else batches.c.requester == self.person

    def asks(self, asked: str) -> bool:
        """Whether tasks that ask these groups count."""
        return self.everything or not set(self.groups).isdisjoint(asked.split(","))
