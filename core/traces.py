"""Traces with OpenTelemetry, an extra: from the HTTP request to the Workflow it starts and the activities of that.

FastAPI makes the span of a request, the Temporal SDK's interceptor carries it on; here they are told where to send it.

On when the standard variable `OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`) is set. Headers, name and
sampling are said by the other standard variables; spans go out over HTTP. Otherwise nothing of its SDK is
imported.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope
    from temporalio.contrib.opentelemetry import TracingInterceptor

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
INSTALL = ".venv/bin/python -m pip install --require-hashes -r config/requirements/otel.txt"


class NotInstalled(Exception):
    """Traces are asked for and cannot be made. `str()` says what to install."""


def wanted() -> bool:
    """Whether the environment says where traces go."""
    return any(os.environ.get(name) for name in VARIABLES)


def configure(service: str) -> None:
    """Send the spans of this process, as `service` unless OTEL_SERVICE_NAME says otherwise. Raises NotInstalled."""
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
        raise NotInstalled(f"traces are wanted ({VARIABLES[0]}) and {missing.name} is missing: {INSTALL}") from None

    class WithoutQuery(SpanProcessor):
        """A query holds what people search for."""

        def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002  # by name
            if span.attributes and "url.query" in span.attributes:
                span.set_attribute("url.query", "left out")

    provider = TracerProvider()
    provider.add_span_processor(WithoutQuery())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def of_no_interest(scope: "Scope") -> bool:
    """Whether a request is one that machines make every few seconds."""
    path: str = scope["path"]
    return path.startswith(("/health", "/metrics", "/static"))


def interceptors() -> "list[TracingInterceptor]":
    """What carries a trace through Temporal; for the client, and by it for its workers."""
    if not wanted():
        return []
    from temporalio.contrib.opentelemetry import TracingInterceptor

    return [TracingInterceptor()]
