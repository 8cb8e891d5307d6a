"""A whole product under observation: logs as JSON, metrics, and traces at a real OTLP receiver."""

import json
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from yaml import safe_load

from tests.support.installed_app import ROOT, Product, free_port
from tests.support.otlp_receiver import Receiver

ALERTS = ROOT / "docs" / "operate" / "alerts.yml"


class Observed:
    """A product that has paid one payment by rule, rolled another back and refused a third decision."""

    def __init__(self, product: Product, receiver: Receiver, worker_metrics: str) -> None:
        self.product = product
        self.receiver = receiver
        self.worker_metrics = worker_metrics

    def metrics(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Value by name and label values."""
        text = httpx2.get(f"{self.product.up['gateway_url']}/metrics").text
        return numbers(text)

    def lines(self, program: str) -> list[dict[str, Any]]:
        """The log of a program, each line of which must be an object."""
        text = (self.product.folder / "log" / f"{program}.log").read_text()
        return [json.loads(line) for line in text.splitlines()]


def numbers(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name][tuple(value for _, value in sorted(sample.labels.items()))] = sample.value
    return found


def settled(client: httpx2.Client, case_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while (case := client.get(f"/cases/{case_id}").json())["status"] in ("starting", "running", "rolling_back"):
        assert time.monotonic() < deadline, case
        time.sleep(0.1)
    found: dict[str, Any] = case
    return found


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    receiver, worker_metrics = Receiver(), f"127.0.0.1:{free_port()}"
    with Product(
        tmp_path_factory.mktemp("observed"),
        HOLDGATE_LOG="json",
        HOLDGATE_WORKER_METRICS=worker_metrics,
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_BSP_SCHEDULE_DELAY="200",
    ) as product:
        seen = Observed(product, receiver, worker_metrics)
        seen.metrics()  # counters begin with the first look
        with product.client("requester-1") as requester, product.client("manager-1") as manager:
            for reference, amount in (("PAID", "84.20"), ("REJECTED", "2640.00")):
                fields = {"payee": "Acme Paper Ltd", "amount": amount, "currency": "GBP", "account": "operating"}
                body = {"process": "payment", "reference": reference, "input": fields}
                assert requester.post("/cases", json=body).status_code == 201
            assert settled(requester, "payment:paid")["status"] == "completed"
            manager.get("/cases", params={"q": "a-secret-search"})
            task = settled(requester, "payment:rejected")["tasks"][0]["task_id"]
            assert (
                requester.post(f"/tasks/{task}/decision", json={"verdict": "approve", "revision": 1}).status_code == 403
            )
            assert manager.post(f"/tasks/{task}/decision", json={"verdict": "reject", "revision": 1}).status_code == 200
            assert settled(manager, "payment:rejected")["status"] == "rejected"
        yield seen
    receiver.close()


def test_every_line_of_the_logs_is_an_object_and_names_the_case(observed: Observed) -> None:
    worker, gateway = observed.lines("worker"), observed.lines("gateway")
    assert all({"timestamp", "level", "logger", "event"} <= set(line) for line in worker + gateway)
    decided = [line for line in gateway if line.get("method") == "POST" and "/decision" in line["path"]]
    assert [(line["status"], line["person"], line["case_id"]) for line in decided] == [
        (403, "requester-1", "payment:rejected"),
        (200, "manager-1", "payment:rejected"),
    ]
    assert all(line["task_id"] in line["path"] and line["ms"] >= 0 for line in decided)
    lists = [line for line in gateway if line.get("path") == "/api/v1/cases" and line["method"] == "GET"]
    assert lists and all("case_id" not in line for line in lists)
    started = [line for line in gateway if line.get("path") == "/api/v1/cases" and line["method"] == "POST"]
    assert [line["case_id"] for line in started] == ["payment:paid", "payment:rejected"]
    steps = [line for line in worker if line["logger"] == "holdgate.cases"]
    assert {line["case_id"] for line in steps} == {"payment:paid", "payment:rejected"}


def test_no_log_holds_a_token_a_search_or_a_body(observed: Observed) -> None:
    text = "".join((observed.product.folder / "log" / f"{each}.log").read_text() for each in ("worker", "gateway"))
    secrets = [person["token"] for person in observed.product.up["people"]]
    assert not [secret for secret in [*secrets, "a-secret-search"] if secret in text]


def test_the_metrics_count_what_happened(observed: Observed) -> None:
    deadline = time.monotonic() + 20
    while not (found := observed.metrics()).get("holdgate_decisions_total"):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert found["holdgate_decisions_total"] == {("manager-approval", "payment", "reject"): 1}
    assert found["holdgate_refusals_total"] == {("NotAllowed", "payment"): 1}
    assert found["holdgate_rollbacks_total"] == {("payment",): 1}
    assert found["holdgate_cases_ended_total"] == {("payment", "completed"): 1, ("payment", "rejected"): 1}
    assert found["holdgate_open_tasks"] == {}
    assert found["holdgate_workers"][()] == 1 and found["holdgate_worker_silence_seconds"][()] < 10
    up = ("database_up", "temporal_up", "policy_valid")
    assert [found[f"holdgate_{name}"][()] for name in up] == [1, 1, 1]
    routes = {labels[1] for labels in found["holdgate_http_request_seconds_count"]}
    assert "/api/v1/tasks/{task_id}/decision" in routes
    assert not [route for route in routes if "payment:" in route]


def test_the_worker_serves_the_numbers_of_the_sdk(observed: Observed) -> None:
    text = httpx2.get(f"http://{observed.worker_metrics}/metrics").text
    assert sum(numbers(text)["temporal_workflow_completed_total"].values()) == 2


def test_one_trace_leads_from_the_request_to_the_steps(observed: Observed) -> None:
    def of_start() -> dict[str, set[str]]:
        traces: dict[bytes, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for service, span in observed.receiver.spans:
            traces[span.trace_id][service].add(span.name)
        return next(
            (
                names
                for names in traces.values()
                if any(name.startswith("POST /api/v1/cases") for name in names["holdgate-gateway"])
                and "RunActivity:reserve_funds" in names["holdgate-worker"]
            ),
            {},
        )

    deadline = time.monotonic() + 20
    while not (found := of_start()):
        assert time.monotonic() < deadline, sorted({(service, span.name) for service, span in observed.receiver.spans})
        time.sleep(0.3)
    assert "StartWorkflow:payment" in found["holdgate-gateway"]
    text = str([span for _, span in observed.receiver.spans])
    assert "a-secret-search" not in text and "hg_" not in text


def test_every_metric_of_the_alert_rules_is_served(observed: Observed) -> None:
    rules = [rule for group in safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert len(rules) >= 8
    served = set(observed.metrics())
    for rule in rules:
        named = set(re.findall(r"holdgate_\w+", rule["expr"]))
        assert named <= served | CONDITIONAL, f"{rule['alert']}: {named - served}"
        assert rule["annotations"]["summary"] and rule["annotations"]["do"]


CONDITIONAL = {"holdgate_open_tasks", "holdgate_overdue_tasks", "holdgate_oldest_open_task_seconds"}
"""Without an open task there is no line of them."""


def test_no_program_imports_at_its_start_what_makes_spans_or_checks_passkeys() -> None:
    code = (
        "import gc; gc.disable(); import sys, worker, api.__main__ as gateway; "
        "heavy = ('opentelemetry.sdk', 'opentelemetry.exporter', 'opentelemetry.instrumentation', 'webauthn'); "
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stdout + done.stderr
