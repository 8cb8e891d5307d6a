"""The page Dashboard: figures as tiles, tables, and plots that a script draws from the tables."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from fastapi import Request, Response

from api.deps import TheServices
from api.pages.parts.page import Context, SignedIn, pages, render
from api.pages.parts.translation import _, reader
from api.services.dashboard import Dashboard, Part
from domain.durations import in_words
from domain.status import Status
from store.dashboard.ended_cases import Ended
from store.dashboard.scope import Period
from store.people.people import zone_of

router = pages()

ENDS = (Status.COMPLETED, Status.REJECTED, Status.EXPIRED, Status.CANCELLED, Status.FAILED)
"""The ends of a case that have a colour in the plot. A later rollback of a completed case is only in the table."""


class Tile(NamedTuple):
    """One figure, with a link to the list of items that it counts, if there is such a list."""

    figure: str
    words: str
    path: str = ""
    """The address of the list of items that the figure counts; empty if there is none."""
    note: str = ""
    state: str = ""
    """The state of the cases that the tile counts; empty if it counts other things."""


@dataclass(frozen=True)
class DashboardPage(Context):
    """The variables of `dashboard/dashboard.html`: the dashboard of a person."""

    found: Dashboard
    periods: Sequence[tuple[str, str]]
    """The periods that the person can choose, and their names."""
    now: Sequence[Tile]
    went: Sequence[Tile]
    ends: Sequence[str]
    labels: Sequence[str]
    """The names of the parts of the period: hours or days."""
    duration: Callable[[float], str]


@router.api_route("/dashboard", methods=["GET", "HEAD"])
async def dashboard(request: Request, person: SignedIn, services: TheServices, period: Period = "7d") -> Response:
    """Show the present state and the figures of a period, as the JSON route does."""
    zone = zone_of(str(reader.get().zone))
    found = await services.dashboards.of(person, period, zone, datetime.now(UTC))
    kinds = [*ENDS, *sorted(set(found.whole.ended) - set(ENDS))]
    context = DashboardPage(
        person=person,
        found=found,
        periods=[("24h", _("24 hours")), ("7d", _("7 days")), ("30d", _("30 days"))],
        now=list(_now(found, person.id)),
        went=list(_went(found)),
        ends=[str(kind) for kind in kinds],
        labels=[_label(part, period) for part in found.parts],
        duration=duration,
    )
    return render(request, "dashboard/dashboard.html", context)


def _now(found: Dashboard, person: str) -> Iterator[Tile]:
    """Yield the tiles that count cases by their present status. Each tile links to the list of these cases."""
    for status, number in found.statuses.items():
        whose = {} if found.everything else {"requester": person}
        path = f"/cases?{urlencode({'status': status.value, **whose})}"
        yield Tile(f"{number:,}", "", path, state=status.value)


def _went(found: Dashboard) -> Iterator[Tile]:
    """Yield the tiles that say how the cases and tasks of the period ended."""
    whole, total = found.whole, found.total
    if found.statuses:
        yield Tile(f"{sum(whole.ended.values()):,}", _("requests ended"))
    if whole.cycle and whole.waiting:
        note = _("waiting for people: %(span)s", span=duration(whole.waiting.median_s))
        yield Tile(duration(whole.cycle.median_s), _("total time, median"), note=note)
        note = _("waiting for people: %(span)s", span=duration(whole.waiting.p90_s))
        yield Tile(duration(whole.cycle.p90_s), _("total time, 90th percentile"), note=note)
    if found.statuses:
        yield _share(found.overturned, _("rolled back"), _("%(num)s of %(all)s completed requests"))
    yield _share(found.approved, _("approved"), _("%(num)s of %(all)s approval steps approved or rejected"))
    late = _("%(num)s expired", num=f"{total.expired:,}")
    yield _share(found.kept, _("decided in time"), _("%(num)s of %(all)s tasks with a due time") + "; " + late)


def _share(part: Part, words: str, of: str) -> Tile:
    figure = f"{100 * part.number / part.of:.0f} %" if part.of else _("none")
    return Tile(figure, words, note=of % {"num": f"{part.number:,}", "all": f"{part.of:,}"})


def _label(part: Ended, period: Period) -> str:
    """Return the name of a part of the period, in the reader's time zone: its hour or its day."""
    local = part.since.astimezone(reader.get().zone)
    return f"{local:%H:%M}" if period == "24h" else f"{local.day} {local:%b}"


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: `3 h 20 min`. A time under 10 s has one decimal: `1.4 s`."""
    if seconds < 10:
        return _("%(num)s s", num=f"{seconds:.1f}")
    return in_words(timedelta(seconds=seconds), largest=2, texts=reader.get().texts)
