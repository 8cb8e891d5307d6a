"""Routes for health checks. A caller needs no token."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.container import Services
from api.deps import TheServices
from api.http.problems import documented, unavailable
from api.services.metrics import WORKER_SILENCE
from intake.drop_folder_import import why_not_requester
from store.cases import blocked
from store.db import heartbeats
from store.db.database import DatabaseUnavailable

router = APIRouter(prefix="/health", tags=["health"])


class Live(BaseModel):
    """The answer of a gateway whose process runs."""

    status: str = "live"


class Ready(BaseModel):
    """The answer if everything that Holdgate needs is running."""

    status: str = "ready"
    warnings: list[str] = Field(
        description="What needs attention although everything runs, such as an invalid policy file"
    )


@router.get("/live")
@router.head("/live", include_in_schema=False)
async def live() -> Live:
    """Answer 200 if the process of the gateway runs. Nothing else is checked."""
    return Live()


@router.get("/ready", responses=documented(503))
@router.head("/ready", include_in_schema=False)
async def ready(services: TheServices) -> Ready:
    """Answer 200 if cases can be started and decided now.

    The answer is 503 if Temporal, the database or all workers are down; `missing` names which: temporal, database or
    worker.
    """
    temporal, stored, importing, still = await asyncio.gather(
        services.gateway.reachable(), _stored(services), _import_problem(services), _blocked(services)
    )
    checks = {"temporal": temporal, **stored}
    missing = [name for name, there in checks.items() if not there]
    problems = (services.policy.problem, services.encryption.problem, importing)
    warnings = [problem for problem in problems if problem] + still
    if missing:
        raise unavailable(f"These do not answer: {', '.join(missing)}.", missing=missing, warnings=warnings)
    return Ready(warnings=warnings)


async def _stored(services: Services) -> dict[str, bool]:
    """Return if the database answers (`database`), and if a worker sent a recent heartbeat (`worker`)."""
    try:
        await services.db.ready()
        async with services.db.read() as conn:
            heard = await heartbeats.latest(conn)
    except DatabaseUnavailable:
        return {"database": False, "worker": False}
    return {"database": True, "worker": heard is not None and datetime.now(UTC) - heard < WORKER_SILENCE}


async def _import_problem(services: Services) -> str | None:
    """Return why files in the drop folder are not imported; None if the import works or is off."""
    settings = services.settings
    if settings.import_dir is None:
        return None
    with suppress(DatabaseUnavailable):  # `missing` names the database already
        async with services.db.read() as conn:
            return await why_not_requester(conn, services.policy.current, settings.import_requester)
    return None


async def _blocked(services: Services) -> list[str]:
    """Return sentences on blocked cases (one in all) and on other blocked Workflows, which no incident shows."""
    with suppress(DatabaseUnavailable):  # `missing` names the database already
        async with services.db.read() as conn:
            found = await blocked.all(conn)
        said = []
        if count := sum(each.case_id is not None for each in found):
            causes = sorted({each.cause for each in found if each.case_id is not None})
            blocked_cases = "1 case is blocked" if count == 1 else f"{count} cases are blocked"
            said.append(f"{blocked_cases}; see Incidents. {' '.join(causes[:3])}")
        others = [each for each in found if each.case_id is None]
        said += [f"{each.workflow_id} is blocked: {each.technical or each.cause}" for each in others[: blocked.NAMED]]
        if len(others) > blocked.NAMED:
            said.append(f"{len(others) - blocked.NAMED} more Workflows are blocked.")
        return said
    return []
