"""Numbers for Prometheus. Nobody has to sign in to read them: they name no person and no case."""

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from api.deps import InHouse

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(parts: InHouse) -> Response:
    """Requests, open tasks and their age, decisions, refusals, rollbacks, incidents, workers, the outbox."""
    text = await parts.metrics.text(
        parts.db, temporal=await parts.gateway.reachable(), policy=parts.policy.problem is None
    )
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
