"""What people write is nowhere in Temporal's database, logs, metrics and traces of a product that encrypts payloads."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from google.protobuf.json_format import MessageToJson

from core.payload_keys import create_payload_keys
from tests.privacy.canaries import CANARIES, IN_LOGS, IN_TEMPORAL, Drive, environment, found_in, hits
from tests.support.installed_app import Product, free_port
from tests.support.otlp_receiver import Receiver

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]


@dataclass
class Driven:
    """A product that has run all cases and has stopped, with what it served meanwhile."""

    var: Path
    metrics: dict[str, bytes] = field(default_factory=dict)
    spans: bytes = b""

    @property
    def temporal(self) -> list[Path]:
        return [path for name in ("temporal.db", "temporal.db-wal") if (path := self.var / name).exists()]

    @property
    def logs(self) -> list[Path]:
        return [*(self.var / "log").iterdir(), self.var / "printed.txt"]


def drive(folder: Path, **settings: str) -> Driven:
    receiver, metrics = Receiver(), f"127.0.0.1:{free_port()}"
    (folder / "var").mkdir()
    driven = Driven(folder / "var")
    with Product(
        driven.var,
        **environment(folder),
        **settings,
        HOLDGATE_WORKER_METRICS=metrics,
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_BSP_SCHEDULE_DELAY="200",
    ) as product:
        httpx2.get(f"{product.up['gateway_url']}/metrics")
        with Drive(product, folder) as driving:
            driving.run()
        for name, url in (("gateway", product.up["gateway_url"]), ("SDK", f"http://{metrics}")):
            driven.metrics[name] = httpx2.get(f"{url}/metrics").content
    receiver.close()
    driven.spans = "\n".join(MessageToJson(span) for _, span in receiver.spans).encode()
    return driven


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    folder = tmp_path_factory.mktemp("encrypted")
    create_payload_keys(folder / "keys.toml")
    yield drive(folder, HOLDGATE_PAYLOAD_KEYS=str(folder / "keys.toml"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    """Without encryption, and with the texts that the logs otherwise leave out."""
    yield drive(tmp_path_factory.mktemp("plain"), HOLDGATE_LOG_TEXTS="on")


def test_there_are_at_least_25_canaries_in_the_database_of_the_product(encrypted: Driven) -> None:
    """So the cases had them: only what nobody stores is missing."""
    seen = hits(encrypted.var.glob("holdgate.db*")).get("holdgate.db", set())
    assert set(CANARIES) - seen <= {"search", "path", "validation error", "refused file"}
    assert len(seen) >= 25


def test_with_encryption_temporal_has_no_canary(encrypted: Driven) -> None:
    assert encrypted.temporal and not hits(encrypted.temporal)


def test_without_encryption_temporal_has_them(plain: Driven) -> None:
    """So that the test above can fail."""
    seen = set().union(*hits(plain.temporal).values())
    assert set(IN_TEMPORAL) <= seen


def test_logs_have_no_canary(encrypted: Driven) -> None:
    assert {"worker.log", "gateway.log", "temporal.log"} <= {path.name for path in encrypted.logs}
    assert not hits(encrypted.logs)
    said = (encrypted.var / "log" / "worker.log").read_text()
    for error in ("ValueError", "Trouble (Trouble)", "KeyError"):
        assert error in said, "each error is in the log with its type"
    assert "fragile/activities.py" in said and "fragile:f-1" in said, "and with its place and case"


def test_logs_for_developers_have_the_errors(plain: Driven) -> None:
    """So that the test above can fail."""
    assert set(IN_LOGS) <= set().union(*hits(plain.logs).values())


@pytest.mark.parametrize("form", ["encrypted", "plain"])
def test_metrics_and_traces_have_no_canary(form: str, request: pytest.FixtureRequest) -> None:
    driven: Driven = request.getfixturevalue(form)
    assert b"holdgate_decisions_total" in driven.metrics["gateway"] and b"temporal_" in driven.metrics["SDK"]
    for name, text in driven.metrics.items():
        assert not found_in(text), name
    assert b"RunActivity:confirm_fragile" in driven.spans and b'"exception.type"' in driven.spans
    assert not found_in(driven.spans)
