"""Provide the metrics of a gateway for Prometheus: its requests, counts of audit events, and gauges from the database.

All gateways read the same audit events and gauges from the database. So combine the gauges and the counts of events of
several gateways with `max()`, not with `sum()`. No label names a person or a case.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from domain.blocked import BlockKind
from store.audit import audit_log, counters
from store.audit.counters import CountedEvent, MetricsSnapshot
from store.db.database import Database, DatabaseUnavailable

FRESH_S = 5.0
"""Seconds for which the gauges from the database are cached."""
EVENTS_AT_ONCE = 5_000
WORKER_SILENCE = timedelta(seconds=10)
"""A worker counts as gone if its last heartbeat is older than this."""
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """The metrics of one gateway. All counters are 0 when its process starts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "holdgate_http_request_seconds",
            "Time to answer a request",
            ("method", "route", "status"),
            registry=self._registry,
            buckets=BUCKETS,
        )
        self._decisions = self._counter("decisions", "Decisions that counted", "process", "gate", "verdict")
        self._refusals = self._counter("refusals", "Decisions that were refused", "process", "code")
        self._rollbacks = self._counter("rollbacks", "Rollbacks that began", "process")
        self._incidents = self._counter("incidents", "Steps or undos that failed and wait for operators", "process")
        self._ended = self._counter("cases_ended", "Cases that ended", "process", "status")
        self._standing = _Standing()
        self._registry.register(self._standing)
        self._position: int | None = None
        self._read_at = -FRESH_S
        self._reading = asyncio.Lock()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered after this number of seconds. `route` is the template of its path."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    async def text(self, db: Database, *, temporal: bool, policy: bool) -> bytes:
        """Return all metrics in the text format of Prometheus.

        `temporal` and `policy` are True if Temporal answers, and if the policy file is in force. The database is read
        if the last read was at least FRESH_S ago. If the database does not answer, the gauges from the database are
        missing.
        """
        async with self._reading:
            if time.monotonic() - self._read_at >= FRESH_S:
                await self._read(db)
            self._standing.reachable = {"temporal": temporal, "policy": policy}
            return generate_latest(self._registry)

    async def _read(self, db: Database) -> None:
        try:
            async with db.read() as conn:
                if self._position is None:
                    self._position = await audit_log.position(conn)
                self._standing.figures = await counters.snapshot(conn, WORKER_SILENCE)
                happened, self._position = await counters.counted_events(conn, self._position, EVENTS_AT_ONCE)
        except DatabaseUnavailable:
            self._standing.figures = None
            return
        self._read_at = time.monotonic()
        for event in happened:
            self._count(event)

    def _count(self, event: CountedEvent) -> None:
        process, data = event.process, event.data
        match event.kind:
            case "decided":
                self._decisions.labels(process, data.get("gate", ""), data.get("verdict", "")).inc()
            case "decision_refused":
                self._refusals.labels(process, data.get("code", "")).inc()
            case "refusals_counted":
                self._refusals.labels(process, "counted").inc(float(data.get("count", 0)))
            case "rollback_started":
                self._rollbacks.labels(process).inc()
            case "intervention_opened":
                self._incidents.labels(process).inc()
            case "case_closed":
                self._ended.labels(process, data.get("status", "")).inc()

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"holdgate_{name}", help, labels, registry=self._registry)


class _Standing(Collector):
    """The gauges from the database, as they were read last."""

    def __init__(self) -> None:
        self.figures: MetricsSnapshot | None = None
        self.reachable: dict[str, bool] = {}

    def collect(self) -> Iterator[Metric]:
        yield _gauge("database_up", "Whether the database answers", self.figures is not None)
        yield _gauge("temporal_up", "Whether Temporal answers", self.reachable.get("temporal", False))
        yield _gauge("policy_valid", "Whether the policy file on disk is in force", self.reachable.get("policy", False))
        if self.figures is None:
            return
        now, lag = self.figures, self.figures.outbox
        by_gate = ("process", "gate")
        tasks = [((each.process, each.gate), each) for each in now.tasks]
        yield _gauges("open_tasks", "Tasks that wait for somebody", by_gate, ((key, t.number) for key, t in tasks))
        yield _gauges("overdue_tasks", "Open tasks past their due time", by_gate, ((k, t.overdue) for k, t in tasks))
        ages = ((key, (now.at - each.oldest).total_seconds()) for key, each in tasks)
        yield _gauges("oldest_open_task_seconds", "Age of the oldest open task", by_gate, ages)
        by_status = ("process", "status")
        yield _gauges("open_cases", "Cases that have not ended", by_status, now.cases.items())
        kinds = (((kind,), now.stopped.get(kind, 0)) for kind in get_args(BlockKind))
        yield _gauges("stopped_workflows", "Workflows that cannot go on by themselves", ("kind",), kinds)
        yield _gauge("workers", "Workers heard of lately", now.workers)
        if now.heard:
            silent = (datetime.now(UTC) - now.heard).total_seconds()
            yield _gauge("worker_silence_seconds", "Since any worker was heard of", silent)
        yield _gauge("unsequenced", "Events and seals that have no global position yet", now.unsequenced)
        yield _gauge("unsequenced_seconds", "How long the oldest of them has waited", now.unsequenced_s)
        yield _gauge("unsigned_events", "Events that no signed checkpoint covers yet", now.uncovered)
        yield _gauge("unsigned_events_seconds", "How long ago the oldest of them happened", now.uncovered_s)
        yield _gauge("outbox_due", "Notices that are due and not sent", lag.due)
        yield _gauge("outbox_lag_seconds", "How long the oldest of them has been due", lag.oldest_s)
        yield _gauge("outbox_refused", "Messages of the last 30 days that cannot be delivered", lag.refused)
        yield _gauge("outbox_unread_events", "Events the dispatcher of notices has not read", lag.unread)


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(f"holdgate_{name}", help, value=float(value))


def _gauges(name: str, help: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    family = GaugeMetricFamily(f"holdgate_{name}", help, labels=labels)
    for key, value in values:
        family.add_metric(key, float(value))
    return family
