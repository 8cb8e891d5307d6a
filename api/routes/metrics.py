"""The route of metrics for Prometheus. A caller needs no token, because no metric names a person or a case."""

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from api.deps import TheServices

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(services: TheServices) -> Response:
    """Return metrics for Prometheus, such as of requests, tasks, decisions, incidents, workers and notifications."""
    text = await services.metrics.text(
        services.db, temporal=await services.gateway.reachable(), policy=services.policy.problem is None
    )
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
