"""Send spans without texts: keep only attributes that hold ids and codes, and of exceptions only the type.

FastAPI and the Temporal SDK put URLs, messages of exceptions and stack traces into spans. The attributes that may leave
are listed, so that a new attribute of a library is left out until somebody adds it here.
"""

from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status
from opentelemetry.util.types import AttributeValue

KEPT = frozenset(
    {
        *("http.request.method", "http.response.status_code", "http.route", "url.scheme"),
        *("network.protocol.name", "network.protocol.version", "server.address", "server.port"),
        *("temporalWorkflowID", "temporalRunID", "temporalActivityID", "temporalUpdateID"),
        *("error.type", "exception.type", "exception.escaped"),
    }
)
"""The attributes of spans and their events that are sent."""


class IdsOnly(SpanExporter):
    """An exporter that cleans spans before another exporter sends them."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([cleaned(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def cleaned(span: ReadableSpan) -> ReadableSpan:
    """Return a copy of a span with the attributes in `KEPT`, and without the description of its status."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_kept(span.attributes),
        events=[Event(each.name, _kept(each.attributes), each.timestamp) for each in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _kept(attributes: Mapping[str, AttributeValue] | None) -> dict[str, AttributeValue]:
    return {name: value for name, value in (attributes or {}).items() if name in KEPT}
