"""Send optional traces with OpenTelemetry: spans of the HTTP request, of its Workflow and of the activities.

FastAPI creates the span of a request and the Temporal SDK's interceptor continues it; this module configures the
exporter.

Traces are on when the standard variable `OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`) is set. Other standard
variables set headers, name and sampling; spans are sent over HTTP. If traces are off, the OpenTelemetry SDK is not
imported.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope
    from temporalio.contrib.opentelemetry import TracingInterceptor

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
INSTALL = ".venv/bin/python -m pip install --no-deps --require-hashes -r config/requirements/otel.txt"


class NotInstalled(Exception):
    """Raised if traces are on, but a Python package is missing. The text says what to install."""

    safe_to_log = True


def wanted() -> bool:
    """Return True if traces are on: an environment variable has the address to which spans are sent."""
    return any(os.environ.get(name) for name in VARIABLES)


def configure(service: str) -> None:
    """If traces are on, send the spans of this program. Raises NotInstalled if a package is missing.

    The name of the program in spans is OTEL_SERVICE_NAME, or `service` if that variable is not set.
    """
    if not wanted():
        return
    os.environ.setdefault("OTEL_SERVICE_NAME", service)
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from core.trace_privacy import IdsOnly
    except ImportError as missing:
        raise NotInstalled(
            f"{VARIABLES[0]} switches traces on, but the module {missing.name} is missing. Install it: {INSTALL}"
        ) from None

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(IdsOnly(OTLPSpanExporter())))
    trace.set_tracer_provider(provider)


def of_no_interest(scope: "Scope") -> bool:
    """Return True if a request needs no trace, because programs send it every few seconds, such as a health check."""
    path: str = scope["path"]
    return path.startswith(("/health", "/metrics", "/static"))


def interceptors() -> "list[TracingInterceptor]":
    """Return the interceptors by which a Temporal client and its Workers pass on traces; empty if traces are off."""
    if not wanted():
        return []
    from temporalio.contrib.opentelemetry import TracingInterceptor

    return [TracingInterceptor()]
