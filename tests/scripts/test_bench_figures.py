"""The parts of the benchmarks that compute: ratios, tenths, the picture, and what is refused."""

import csv
import xml.etree.ElementTree as xml
from pathlib import Path

import httpx2
import pytest

from scripts.bench import __main__ as bench, figures, growth, plot, systems
from scripts.bench.bare.counters import AT_GATE, ENDED, Counters
from scripts.bench.bare.transactions import TRANSACTIONS, Transactions
from scripts.bench.compare import show, summary


class Manager:
    """A gateway whose answers to a decision are listed in advance."""

    def __init__(self, *answers: tuple[int, dict[str, str]]) -> None:
        self.answers, self.asked = list(answers), list[str]()
        transport = httpx2.MockTransport(self.answer)
        self.client = httpx2.AsyncClient(base_url="http://gateway", transport=transport)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Return the next answer."""
        self.asked.append(f"{request.method} {request.url.path}")
        status, content = self.answers.pop(0)
        return httpx2.Response(status, json=content)


PENDING = {"decision_id": "d1", "status": "pending"}
ACCEPTED = {"decision_id": "d1", "status": "accepted"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_began: float) -> None:
        return None

    monkeypatch.setattr(systems, "_pause", at_once)


async def test_a_decision_answered_202_waits_until_it_is_accepted() -> None:
    manager = Manager((202, PENDING), (200, PENDING), (503, {}), (200, ACCEPTED))
    assert await systems.decide(manager.client, "t1") is True
    assert manager.asked == ["POST /tasks/t1/decision", *["GET /decisions/d1"] * 3]


async def test_a_decision_is_sent_again_to_a_busy_gateway() -> None:
    manager = Manager((503, {}), (503, {}), (200, ACCEPTED))
    assert await systems.decide(manager.client, "t1") is False
    assert manager.asked == ["POST /tasks/t1/decision"] * 3


@pytest.mark.parametrize("answers", [[(409, {})], [(202, PENDING), (200, {"decision_id": "d1", "status": "refused"})]])
async def test_a_refused_decision_fails_the_measurement(answers: list[tuple[int, dict[str, str]]]) -> None:
    with pytest.raises(AssertionError):
        await systems.decide(Manager(*answers).client, "t1")


async def test_a_decision_that_nobody_accepts_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(systems, "PATIENCE", 0.01)
    with pytest.raises(TimeoutError):
        await systems.decide(Manager((202, PENDING), *[(200, PENDING)] * 9).client, "t1")


def test_ratios_are_medians_of_the_ratios_of_rounds() -> None:
    mine = [{"start": 10.0, "cpu": 4.0}, {"start": 30.0, "cpu": 4.0}, {"start": 20.0, "cpu": 8.0}]
    bare = [{"start": 10.0, "cpu": 2.0}, {"start": 100.0, "cpu": 2.0}, {"start": 40.0, "cpu": 2.0}]
    found = summary(mine, bare)
    assert found["start"] == {"median": 20.0, "ratio": 0.5, "ratio_low": 0.3, "ratio_high": 1.0}
    assert found["cpu"] == {"median": 4.0, "ratio": 2.0, "ratio_low": 2.0, "ratio_high": 4.0}
    assert summary(mine, None)["start"] == {"median": 20.0}


def test_tenths_are_measured_between_counts_and_without_the_reading_of_the_file() -> None:
    steady = [(0.0, 0), (5.0, 0), *((5.0 + 0.25 * n, 2 * n) for n in range(1, 51))]
    assert growth.tenths(steady, 100) == pytest.approx((8.0, 8.0))
    slower = [(0.0, 0), (1.0, 50), (3.0, 90), (13.0, 100)]
    assert growth.tenths(slower, 100) == pytest.approx((50.0, 1.0))


def test_a_picture_has_a_line_for_each_process_and_each_file(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["seconds", "done", "per_s", "rss_mb_worker", "rss_mb_gateway", "db_mb_app"])
            writer.writerows([[5 * n, 100 * n, 20 - n, 150 + n, 90, n] for n in range(4)])
    plot.run([str(tmp_path / "first.csv"), str(tmp_path / "second.csv"), str(tmp_path / "out.svg")])
    root = xml.parse(tmp_path / "out.svg").getroot()
    assert len(root.findall("{*}polyline")) == 2 + 2 + 1
    words = [each.text for each in root.findall("{*}text")]
    assert {"first", "second", "worker", "gateway", "app", "300"} <= set(words)


@pytest.mark.parametrize("largest", [0.0, 0.7, 1.0, 9.0, 17.3, 250.0, 10_000.0])
def test_an_axis_reaches_the_largest_value_with_few_steps(largest: float) -> None:
    found = plot.ticks(largest)
    assert found[0] == 0
    assert largest <= found[-1] <= max(2 * largest, 1)
    assert 2 <= len(found) <= 7


def test_a_long_line_is_averaged() -> None:
    line = plot.smooth([(float(n), float(n % 2)) for n in range(600)])
    assert len(line) == 60
    assert {y for _, y in line} == {0.5}


def test_a_folder_in_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert figures._file_system(Path("/dev")) in figures.NOT_ON_A_DISK
    monkeypatch.setattr(figures, "_file_system", lambda _: "tmpfs")
    with pytest.raises(SystemExit, match="in memory"):
        figures.disk(tmp_path)
    monkeypatch.setattr(figures, "_file_system", lambda _: "ext4")
    assert figures.disk(tmp_path)["file_system"] == "ext4"


def test_the_bare_transactions_of_a_case_can_run_again(tmp_path: Path) -> None:
    db = Transactions(tmp_path / "app.db")
    for _ in range(2):
        for name in list(TRANSACTIONS)[1:]:
            db.run("c1", name)
    counts = {
        table: db._conn.execute(f"select count(*) from {table}").fetchone()[0]
        for table in ("events", "payloads", "tasks", "effects")
    }
    assert counts == {"events": 22, "payloads": 22, "tasks": 1, "effects": 2}
    assert db._conn.execute("pragma journal_mode").fetchone()[0] == "wal"
    assert db._conn.execute("pragma synchronous").fetchone()[0] == 2


def test_counters_are_seen_by_another_process(tmp_path: Path) -> None:
    counters, reader = Counters(tmp_path / "c", create=True), Counters(tmp_path / "c")
    for _ in range(300):
        counters.add(AT_GATE)
    assert (reader.get(AT_GATE), reader.get(ENDED)) == (300, 0)


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["speed"]) == 2
    assert "growth" in capsys.readouterr().err


def test_tables_can_be_shown_without_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    measured = dict.fromkeys(("start", "decision", "decided_to_closed", "end_to_end", "cpu_worker", "cpu"), 1.0)
    row = {**summary([measured], None), "events": 21, "history_bytes": 9000, "answered_202": 1}
    row["idle"] = {"closed": {"median_ms": 40.0, "p95_ms": 50.0}}
    about = {**figures.about(), "file_system": "ext4", "sync_ms": 1.0, "rounds": 1, "cases": 1, "at_once": 1}
    show({**about, "systems": {"holdgate": row}})
    assert "21 events" in capsys.readouterr().out
