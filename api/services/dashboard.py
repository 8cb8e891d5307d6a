"""Compute the figures of the dashboard for a person, and cache them for at least `FRESH_S` seconds."""

import asyncio
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from api.gateway.gateway import Gateway
from api.http.security import is_in, viewer
from api.services.metrics import WORKER_SILENCE
from domain.names import ADMINS
from domain.scope import EVERYWHERE
from domain.status import Status
from policy.file import PolicyFile
from store.cases import incidents
from store.dashboard import current_status, ended_cases, task_counts
from store.dashboard.current_status import Signs, UnderWay
from store.dashboard.ended_cases import Ended
from store.dashboard.scope import DashboardScope, Period, Span, span
from store.dashboard.task_counts import GroupWork, Reviewer, StepWork, Work
from store.db.database import Database
from store.people.people import Person

FRESH_S = 5.0
"""The least seconds for which figures are cached."""
SHARE = 9
"""Figures are cached at least this many times as long as it took to count them.

So counting takes at most a tenth of the time.
"""
KEPT = 100
"""The most dashboards in the cache, except dashboards that are being counted.

If there are more, those are removed that are or will be outdated first.
Each dashboard is for one period and time zone, and for one person, or for all people who oversee all processes and have
the same rights.
"""
CAUSES = 10
"""The most causes of incidents that the dashboard names. The most frequent causes come first."""


class Part(BaseModel):
    """A number of items, and the number of all items of which they are a part."""

    number: int
    of: int


class Incident(BaseModel):
    """The number of open incidents with the same cause."""

    process: str
    step: str
    cause: str
    count: int
    oldest_at: datetime


class Health(Signs):
    """Whether the parts that Holdgate needs are running: database, Temporal, workers, policy."""

    database: str = Field(description="`sqlite` or `postgresql`")
    database_ms: float = Field(description="Milliseconds until the database answered")
    temporal: bool = Field(description="Whether the Temporal server answers")
    policy_problem: str | None = Field(description="Why the policy file on disk is not in force")


class Dashboard(BaseModel):
    """The present state and the figures of the period, as far as the caller may see them."""

    at: datetime = Field(description="When the figures were counted. They are kept for some seconds")
    period: Period
    since: datetime = Field(description="When the period begins; it ends at `at`")
    zone: str = Field(description="The time zone of the days")
    everything: bool = Field(
        description="False: only processes that the caller oversees, the caller's own requests and uploads, and tasks "
        "for the caller or their groups"
    )
    statuses: dict[Status, int] = Field(description="All cases, by status")
    total: Work = Field(description="The tasks of all steps")
    steps: list[StepWork]
    whole: Ended = Field(description="Cases that ended in the period")
    parts: list[Ended] = Field(description="Cases that ended, hour by hour or day by day")
    approved: Part = Field(description="Approval steps that people approved, of those they approved or rejected")
    overturned: Part = Field(description="Cases rolled back since, of those that ended as completed in the period")
    kept: Part = Field(description="Deadlines kept, of those kept or missed")
    groups: list[GroupWork]
    reviewers: list[Reviewer] | None = Field(description="For admins; null for anybody else")
    batches: list[UnderWay]
    incidents: list[Incident] | None = Field(description="Of the processes that the caller operates; null without one")
    health: Health | None = Field(
        description="For operators, auditors and admins of the installation; null for anybody else"
    )


class Dashboards:
    """Computes dashboards, and caches them for the people who use one gateway."""

    def __init__(self, db: Database, gateway: Gateway, policy: PolicyFile) -> None:
        self._db, self._gateway, self._policy = db, gateway, policy
        self._kept: dict[Hashable, _Kept] = {}

    async def of(self, person: Person, period: Period, zone: ZoneInfo, now: datetime) -> Dashboard:
        """Return the dashboard of a person for a period, perhaps from the cache. Raises DatabaseUnavailable."""
        scope = DashboardScope.of(viewer(person))
        # People who see the same cases share the figures.
        seen = DashboardScope("", (), EVERYWHERE) if scope.everything else scope
        key = (seen, is_in(person, ADMINS), person.scope, period, zone.key)
        kept = self._kept.setdefault(key, _Kept())
        async with kept.turn:
            if kept.dashboard is None or time.monotonic() >= kept.until:
                began = time.monotonic()
                kept.dashboard = await self._count(person, seen, period, zone, now)
                done = time.monotonic()
                kept.until = done + max(FRESH_S, SHARE * (done - began))
        self._forget()
        return kept.dashboard

    def _forget(self) -> None:
        if (surplus := len(self._kept) - KEPT) > 0:
            counted = [key for key, each in self._kept.items() if not each.turn.locked()]
            for key in sorted(counted, key=lambda key: self._kept[key].until)[:surplus]:
                del self._kept[key]

    async def _count(
        self, person: Person, scope: DashboardScope, period: Period, zone: ZoneInfo, now: datetime
    ) -> Dashboard:
        within = span(period, now, zone)
        health = await self._health(now) if person.scope.oversees_installation else None
        # Each count has its own snapshot, so that the counts run side by side.
        whole, parts, did, stands = await asyncio.gather(
            self._whole(scope, within),
            self._parts(scope, within),
            self._work(person, scope, within),
            self._stands(person, scope),
        )
        tasks = did["tasks"]
        return Dashboard(
            at=now,
            period=period,
            since=within.since,
            zone=zone.key,
            everything=scope.everything,
            total=tasks.total,
            steps=tasks.steps,
            groups=tasks.groups,
            reviewers=did["reviewers"],
            whole=whole,
            parts=parts,
            approved=Part(number=tasks.total.approved, of=tasks.total.approved + tasks.total.rejected),
            overturned=Part(number=whole.overturned, of=whole.ended.get(Status.COMPLETED, 0)),
            kept=Part(number=tasks.total.kept, of=tasks.total.kept + tasks.total.missed),
            health=health,
            **stands,
        )

    async def _whole(self, scope: DashboardScope, within: Span) -> Ended:
        async with self._db.read() as conn:
            return await ended_cases.whole(conn, scope, within)

    async def _parts(self, scope: DashboardScope, within: Span) -> list[Ended]:
        async with self._db.read() as conn:
            return await ended_cases.parts(conn, scope, within)

    async def _work(self, person: Person, scope: DashboardScope, within: Span) -> dict[str, Any]:
        async with self._db.read() as conn:
            return {
                "tasks": await task_counts.by_step_and_group(conn, scope, within),
                "reviewers": await task_counts.reviewers(conn, within) if is_in(person, ADMINS) else None,
            }

    async def _stands(self, person: Person, scope: DashboardScope) -> dict[str, Any]:
        async with self._db.read() as conn:
            operates = person.scope.operates
            failed = await incidents.groups(conn, operates, limit=CAUSES) if operates else None
            return {
                "statuses": await current_status.statuses(conn, scope),
                "batches": await current_status.under_way(conn, scope),
                "incidents": failed and [Incident.model_validate(each.model_dump()) for each in failed],
            }

    async def _health(self, now: datetime) -> Health:
        """Return the health of the parts that Holdgate needs.

        Call this method before the figures are counted, because the database answers more slowly while it counts.
        """
        temporal = asyncio.create_task(self._gateway.reachable())
        began = time.monotonic()
        async with self._db.read() as conn:
            signs = await current_status.signs(conn, now, WORKER_SILENCE)
        return Health(
            **dict(signs),
            database=self._db.kind,
            database_ms=round(1000 * (time.monotonic() - began), 1),
            temporal=await temporal,
            policy_problem=self._policy.problem,
        )


@dataclass
class _Kept:
    dashboard: Dashboard | None = None
    until: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
