"""The scope of dashboard figures: the cases and tasks a person may see, and a period divided into hours or days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from sqlalchemy import ColumnElement, or_, true

from domain.scope import Reach
from store.cases.visibility import Viewer, uploads_within, within
from store.tables.cases import batches, cases

Period = Literal["24h", "7d", "30d"]

_ASKERS = (cases.c.requester, cases.c.on_behalf_of)
_HOURS: dict[Period, int] = {"24h": 24}
_DAYS: dict[Period, int] = {"7d": 7, "30d": 30}


@dataclass(frozen=True)
class Span:
    """A period that ends now, divided into hours or days. The last hour or day is not complete yet."""

    starts: tuple[datetime, ...]
    """When each hour or day of the period begins, oldest first, in UTC."""
    until: datetime
    """The end of the period, which is now. This moment itself is not part of the period."""
    unit: Literal["hour", "day"]

    @property
    def since(self) -> datetime:
        """Return the moment when the first hour or day of the period begins."""
        return self.starts[0]

    @property
    def parts(self) -> list[tuple[datetime, datetime]]:
        """Return the begin and the end of each hour or day of the period."""
        return list(zip(self.starts, (*self.starts[1:], self.until), strict=True))


def span(period: Period, now: datetime, zone: tzinfo) -> Span:
    """Return the period that ends now.

    24h is the current hour and the 24 hours before it. 7d and 30d are today and that many days before it. Days are
    calendar days of the zone, so a day has 23 or 25 hours when the clocks change.
    """
    now = now.astimezone(UTC)
    if hours := _HOURS.get(period):
        this = now.replace(minute=0, second=0, microsecond=0)
        return Span(tuple(this - timedelta(hours=back) for back in range(hours, -1, -1)), now, "hour")
    today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    # Count back in calendar days first, then convert to UTC: days differ in length.
    days = [(today.replace(tzinfo=None) - timedelta(days=back)) for back in range(_DAYS[period], -1, -1)]
    return Span(tuple(day.replace(tzinfo=zone).astimezone(UTC) for day in days), now, "day")


@dataclass(frozen=True)
class DashboardScope:
    """The cases, batches and tasks that count for a viewer.

    For people who oversee all processes, everything counts. For other people, these count: the cases, batches and tasks
    of the processes that they oversee, the cases that they requested or that a service account requested for them, the
    batches that they uploaded, and the tasks that ask them or one of their groups. People may open all of these cases,
    batches and tasks, so no figure discloses anything else.
    """

    person: str
    groups: tuple[str, ...]
    sees: Reach

    @property
    def everything(self) -> bool:
        """Return True if everything counts."""
        return self.sees.everywhere

    @classmethod
    def of(cls, viewer: Viewer) -> "DashboardScope":
        """Return the scope of this viewer, without cases and tasks of absent people whom the viewer substitutes."""
        return cls(viewer.id, tuple(sorted(viewer.groups)), viewer.scope.sees)

    def cases(self) -> ColumnElement[bool]:
        """Return the SQL condition that a row of `cases` is in the scope."""
        return self._own_or([column == self.person for column in _ASKERS], within(cases.c.process, self.sees))

    def batches(self) -> ColumnElement[bool]:
        """Return the SQL condition that a row of `batches` is in the scope."""
        return self._own_or([batches.c.requester == self.person], uploads_within(self.sees))

    def asks(self, process: str, asked: str) -> bool:
        """Return True if tasks of this process with these candidate groups are in the scope."""
        return process in self.sees or not set(self.groups).isdisjoint(asked.split(","))

    def _own_or(self, own: Sequence[ColumnElement[bool]], overseen: ColumnElement[bool]) -> ColumnElement[bool]:
        if self.everything:
            return true()
        return or_(*own, overseen) if self.sees else or_(*own)
