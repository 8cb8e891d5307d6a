"""Create the FastAPI application of the gateway: its services, its routes, and its middleware."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles

from api.container import Services
from api.http import exception_handlers, problems
from api.http.authentication import Authentication
from api.http.bodies import Bodies, BodyLimit
from api.http.codec_access import WebUiOrigins
from api.http.cookies import Cookies
from api.http.demo_host import DemoHost
from api.http.middleware import API, MAX_JSON_BYTES, UPLOAD_MARGIN_BYTES, RequestLog, SecurityHeaders
from api.http.strict_requests import KNOWN_PARAMETERS, StrictRequests
from api.http.token_scopes import IN_SCOPE
from api.pages import routers as pages
from api.pages.parts.page import as_page, too_large
from api.pages.parts.translation import catalogue
from api.routes import (
    absences,
    audit,
    batches,
    cases,
    codec,
    dashboard,
    datasets,
    directory,
    erasure,
    events,
    evidence,
    health,
    identities,
    incidents,
    ledger,
    legal_holds,
    me,
    metrics,
    one_time_links,
    outcomes,
    passkeys,
    people as people_routes,
    policies,
    processes,
    reveal,
    risks,
    service_accounts,
    task_actions,
    tasks,
)
from api.scim import endpoint as scim
from api.services.metrics import Metrics
from channels import registry
from core import traces
from core.settings import Settings, load
from plugins import loader
from store.db.database import check_url

DESCRIPTION = """Durable approvals with an undo.

A **case** runs as a Temporal Workflow: it takes steps, stops at **gates** until the right people decide, and undoes
its steps if it does not complete. Press *Authorize* and paste a token; `make up` prints where the tokens of the demo
people are.
Errors are `application/problem+json` (RFC 9457). Times are RFC 3339 in UTC, money is a decimal string.
"""
STATIC = Path(__file__).parent / "static"


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application of the gateway.

    Temporal and the database need not answer yet: until then, a request that needs one of them gets 503.

    Raises WrongSettings, WrongProcess and PolicyError.
    """
    settings = settings or load()
    registry.check(settings)
    check_url(settings.database_url)
    loader.load(settings.processes)
    loader.retention(settings.retention)
    policy = loader.policy_file(settings.policy)
    catalogue(settings.locale)
    numbers = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Services.open(settings, policy, numbers) as app.state.services:
            yield

    app = FastAPI(
        title="Holdgate",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        # FastAPI would look for providers of telemetry at each request, which takes 4 % of the gateway's time.
        telemetry={"tracing": traces.wanted(), "metrics": False, "logs": False, "exclude": traces.of_no_interest},
        docs_url=None,
        redoc_url=None,
        # A redirect would be built from the Host header, which any client can set.
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    problems.install(app, as_page)
    exception_handlers.install(app)
    # The middleware added last is the outermost.
    app.add_middleware(StrictRequests)
    app.add_middleware(BodyLimit, max_body_size=MAX_JSON_BYTES, of_page=too_large)
    app.add_middleware(Bodies, as_page=as_page)
    app.add_middleware(Authentication)
    app.add_middleware(WebUiOrigins, temporal_ui_url=settings.temporal_ui_url)
    app.add_middleware(Cookies)
    if settings.demo:
        app.add_middleware(DemoHost, public_url=settings.public_url)
    app.add_middleware(SecurityHeaders, https=settings.https)
    app.add_middleware(RequestLog, metrics=numbers)

    below_api: dict[str, Any] = {
        "prefix": API,
        "dependencies": [IN_SCOPE, *KNOWN_PARAMETERS],
        "responses": problems.ANY_ROUTE,
        "form_limits": {"max_files": 1, "max_fields": 20},
    }
    for noun in (
        cases,
        tasks,
        task_actions,
        reveal,
        outcomes,
        events,
        incidents,
        processes,
        policies,
        audit,
        ledger,
        directory,
        datasets,
        risks,
        me,
        passkeys,
        absences,
        people_routes,
        identities,
        one_time_links,
        service_accounts,
        erasure,
        legal_holds,
        dashboard,
    ):
        app.include_router(noun.router, **below_api)
    uploads = settings.max_upload_bytes + UPLOAD_MARGIN_BYTES
    app.include_router(batches.router, max_body_size=uploads, **below_api)
    attached = settings.max_attachment_bytes + UPLOAD_MARGIN_BYTES
    app.include_router(evidence.router, max_body_size=attached, **below_api)
    app.include_router(codec.router, max_body_size=codec.MOST_BYTES)
    app.include_router(health.router)
    app.include_router(metrics.router)
    form: Any = {"max_files": 10, "max_fields": 2000}
    app.include_router(pages.router, form_limits=form)
    app.include_router(pages.uploads, max_body_size=uploads, form_limits=form)
    app.include_router(pages.attachments, max_body_size=attached, form_limits=form)
    app.mount("/static", StaticFiles(directory=STATIC))
    app.mount(scim.MOUNT, scim.ScimEndpoint())
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
