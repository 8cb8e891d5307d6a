"""Optional traces with OpenTelemetry: from the HTTP request to its Workflow and the activities.

FastAPI creates the span of a request and the Temporal SDK's interceptor continues it; this module configures the
exporter.

Traces are on when the standard variable `OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`) is set. Other standard
variables set headers, name and sampling; spans are sent over HTTP. Without it, the OpenTelemetry SDK is not imported.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope
    from temporalio.contrib.opentelemetry import TracingInterceptor

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
INSTALL = ".venv/bin/python -m pip install --require-hashes -r config/requirements/otel.txt"


class NotInstalled(Exception):
    """Traces are configured, but a package is missing. `str()` says what to install."""


def wanted() -> bool:
    """Return True if the environment has an address for traces."""
    return any(os.environ.get(name) for name in VARIABLES)


def configure(service: str) -> None:
    """Send the spans of this process, named `service` unless OTEL_SERVICE_NAME is set. Raises NotInstalled."""
    if not wanted():
        return
    os.environ.setdefault("OTEL_SERVICE_NAME", service)
    try:
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as missing:
        raise NotInstalled(
            f"{VARIABLES[0]} switches traces on, but the module {missing.name} is missing. Install it: {INSTALL}"
        ) from None

    class WithoutQuery(SpanProcessor):
        """Removes the query of URLs from spans, as it holds search terms of people."""

        def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002  # by name
            if span.attributes and "url.query" in span.attributes:
                span.set_attribute("url.query", "left out")

    provider = TracerProvider()
    provider.add_span_processor(WithoutQuery())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def of_no_interest(scope: "Scope") -> bool:
    """Return True if a request is one that programs make every few seconds."""
    path: str = scope["path"]
    return path.startswith(("/health", "/metrics", "/static"))


def interceptors() -> "list[TracingInterceptor]":
    """Return the interceptors that pass traces through Temporal; for the client, and so for its workers."""
    if not wanted():
        return []
    from temporalio.contrib.opentelemetry import TracingInterceptor

    return [TracingInterceptor()]
