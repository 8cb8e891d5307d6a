"""The whole `make up`: all processes are real, with their own ports and their own folder."""

import asyncio
import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from core.demo_people import PEOPLE
from core.settings import load
from ops import bootstrap
from ops.demo import people_and_money
from store.db.database import Database, migrate
from tests.ops.test_private_files import open_to_others
from tests.support.installed_app import ROOT, Product
from tests.support.temporal import TEMPORAL

BLOCKED_BY_BROWSERS = {1719, 1720, 1723, 2049, 3659, 4045, 5060, 5061, 6000, 6566, 6697, 10080}
BLOCKED_BY_BROWSERS |= set(range(6665, 6670))
"""https://fetch.spec.whatwg.org/#port-blocking"""


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def of_folder(folder: Path) -> list[psutil.Process]:
    """Processes that run for this state, by their environment or their command."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("HOLDGATE_VAR") == str(folder) or str(folder) in " ".join(process.cmdline())
        except psutil.Error:
            continue
        if mine and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def entries(product: Product) -> object:
    with product.client("auditor-1") as client:
        return client.get("/ledger/entries").json()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("var")


@pytest.fixture(scope="module")
def product(folder: Path) -> Iterator[Product]:
    """One for all tests of this file that leave it running, and then for those that stop it: starting it is dear."""
    with Product(folder) as running:
        yield running


def test_nobody_else_reads_what_it_keeps(product: Product) -> None:
    heading = "reference,payee,amount,currency,account\n"
    with product.client("requester-1") as client:
        sent = {"file": ("p.csv", heading + "PRIVATE-1,Acme Paper Ltd,12.50,GBP,operating\n")}
        assert client.post("/batches?process=payment", files=sent).status_code == 202
        until(lambda: client.get("/cases/payment:private-1").status_code == 200)
        note = {"file": ("n.txt", b"a note")}
        assert client.post("/cases/payment:private-1/attachments", files=note).status_code == 201
    made = {path.name for path in product.folder.rglob("*")}
    assert {"holdgate.db", "holdgate.db-wal", "temporal.db", "uploads", "attachments", "worker.log", "up.json"} <= made
    assert not [each for each in open_to_others(product.folder) if "printed.txt" not in each]


def test_up_json_says_where_everything_is_and_only_its_owner_may_read_it(product: Product, folder: Path) -> None:
    up = product.up
    assert set(up) == {
        "gateway_url",
        "temporal_ui_url",
        "temporal_address",
        "namespace",
        "database_url",
        "pids",
        "people",
        "demo_sign_in_url",
    }
    assert up["gateway_url"] == f"http://localhost:{product.environment['HOLDGATE_PORT']}"
    assert up["temporal_address"] == f"127.0.0.1:{product.environment['HOLDGATE_TEMPORAL_PORT']}"
    assert up["namespace"] == "default"
    assert httpx2.get(up["gateway_url"] + "/health/ready").status_code == 200
    assert httpx2.get(up["temporal_ui_url"]).status_code == 200
    for name in ("up.json", "demo-tokens.json", "demo-secret", "run.json"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_the_pids_are_the_real_processes(product: Product) -> None:
    commands = {name: psutil.Process(pid).cmdline() for name, pid in product.up["pids"].items()}
    assert commands["temporal"][:3] == [TEMPORAL, "server", "start-dev"]
    assert commands["worker"] == [sys.executable, "-m", "worker"]
    assert commands["gateway"] == [sys.executable, "-m", "api"]


def test_the_link_that_is_printed_signs_in_as_a_demo_person_and_its_secret_is_in_no_log(
    product: Product, folder: Path
) -> None:
    link = product.up["demo_sign_in_url"]
    secret = (folder / "demo-secret").read_text().strip()
    assert link == f"{product.up['gateway_url']}/sign-in?demo={secret}"
    assert f"  Pages            {link}\n" in product.printed
    with httpx2.Client(base_url=product.up["gateway_url"], follow_redirects=True) as browser:
        assert browser.post("/sign-in", data={"demo": "admin-1"}).status_code == 401
        assert 'value="admin-1"' in browser.get(link).text
        assert 'data-person="admin-1"' in browser.post("/sign-in", data={"demo": "admin-1"}).text
    assert not [log.name for log in (folder / "log").iterdir() if secret in log.read_text(errors="replace")]


def test_no_port_that_is_opened_serves_a_page_of_another_site(product: Product) -> None:
    """A page that points its own name at this machine, and tries every port with every request it can make."""
    pids = {product.supervisor, *product.up["pids"].values()}
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for pid in pids
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert len(listening) >= 6
    spoke = set()
    for host, port in sorted(listening):
        assert host.startswith("127.") or host == "::1"
        if port in BLOCKED_BY_BROWSERS:
            continue
        at = f"[{host}]" if ":" in host else host
        for method, path in (
            ("GET", "/"),
            ("GET", "/metrics"),
            ("GET", "/api/v1/namespaces"),
            ("POST", "/api/v1/namespaces/default/workflows/payment%3Ainv-1/terminate"),
            ("POST", "/sign-in"),
        ):
            for name in ("evil.example", f"evil.example:{port}"):
                with contextlib.suppress(httpx2.TransportError):  # of a port that does not speak HTTP
                    answer = httpx2.request(method, f"http://{at}:{port}{path}", headers={"Host": name}, timeout=5)
                    spoke.add(port)
                    expected = (403, 421) if path.startswith("/api/") else (403, 404, 421)
                    assert answer.status_code in expected, f"{port} {path}: {answer.text[:100]}"
    assert {int(product.environment[f"HOLDGATE_{name}PORT"]) for name in ("", "UI_")} < spoke


def test_each_demo_person_can_sign_in_with_the_token_in_the_file(product: Product) -> None:
    people = {entry["id"]: entry["groups"] for entry in product.up["people"]}
    assert people == {person: [group] for person, group in PEOPLE.items()}
    for person in people:
        with product.client(person) as client:
            assert client.get("/me").json()["id"] == person


def test_the_demo_account_is_funded(product: Product) -> None:
    with product.client("auditor-1") as client:
        answer = client.get("/ledger/accounts/operating", params={"currency": "USD"}).json()
    assert answer["balance"] == "10000000.00"  # other tests pay in GBP


def test_the_log_of_the_worker_says_who_is_notified_and_not_of_what(product: Product, folder: Path) -> None:
    payment = {"payee": "Unreadable Log Ltd", "amount": "777.00", "currency": "GBP", "account": "operating"}
    with product.client("requester-1") as client:
        body = {"process": "payment", "reference": "LOG-1", "input": payment}
        assert client.post("/cases", json=body).status_code == 201
    log = folder / "log" / "worker.log"
    until(lambda: re.search(r"message \w+ for manager-\d has no mail channel", log.read_text()))
    printed = log.read_text()
    assert "Unreadable" not in printed and "Traceback" not in printed


def test_a_second_up_on_the_same_state_says_that_one_runs_already(product: Product, folder: Path) -> None:
    before = product.up
    second = subprocess.run(
        [sys.executable, "-m", "ops.up"], cwd=ROOT, env=product.environment, capture_output=True, text=True, timeout=60
    )
    assert second.returncode == 2
    assert second.stderr.strip() == (
        f"holdgate: Holdgate is already running on {folder} (pid {product.supervisor}): "
        "stop it first, or set HOLDGATE_VAR to another folder"
    )
    assert product.up == before


SOAK = pytest.mark.soak
"""What these do is done in every run, too, while payments are under way: tests/e2e/test_crash.py."""


@pytest.mark.parametrize("child", [pytest.param("gateway", marks=SOAK), pytest.param("worker", marks=SOAK), "temporal"])
def test_a_child_killed_with_kill_9_is_back_with_its_new_pid_in_up_json(product: Product, child: str) -> None:
    before = product.up["pids"]
    product.kill(child)
    until(lambda: product.up["pids"][child] != before[child])
    after = product.up["pids"]
    assert {name for name in after if after[name] != before[name]} == {child}
    until(lambda: httpx2.get(product.up["gateway_url"] + "/health/ready").status_code == 200)


def test_what_is_printed_can_be_pasted(product: Product) -> None:
    lines = product.printed.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("  api="))
    last = next(number for number, line in enumerate(lines) if "/decision" in line)
    typed = "\n".join(lines[first : last + 1])
    done = subprocess.run(["bash", "-c", typed], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert '"batch_id"' in done.stdout, done.stderr
    assert '"status":"accepted"' in done.stdout, done.stderr


def entries_at_rest(product: Product) -> object:
    """The ledger, after the payments of earlier tests have ended."""
    before: object = None
    while (now := entries(product)) != before:
        before = now
        time.sleep(0.5)
    return now


def test_children_of_a_killed_run_are_ended_by_the_next_which_goes_on(product: Product) -> None:
    people, link = product.up["people"], product.up["demo_sign_in_url"]
    ledger = entries_at_rest(product)
    orphans = product.alive()
    os.kill(product.supervisor, signal.SIGKILL)
    assert product.stop() == -signal.SIGKILL
    product.start()
    assert "left by a run that was killed" in product.printed
    assert not any(orphan.is_running() and orphan.status() != psutil.STATUS_ZOMBIE for orphan in orphans)
    assert product.up["people"] == people
    assert product.up["demo_sign_in_url"] == link
    assert entries(product) == ledger


def test_ctrl_c_stops_everything(product: Product, folder: Path) -> None:
    """The last one of those that share a product."""
    os.kill(product.supervisor, signal.SIGINT)
    assert product.stop() == 0
    assert of_folder(folder) == []
    assert not (folder / "up.json").exists()


def test_a_signal_while_everything_starts_leaves_no_process(tmp_path: Path) -> None:
    product = Product(tmp_path)
    starting = subprocess.Popen([sys.executable, "-m", "ops.up"], cwd=ROOT, env=product.environment)
    until(lambda: (tmp_path / "run.json").exists())
    starting.send_signal(signal.SIGTERM)
    assert starting.wait(30) == 0
    assert of_folder(tmp_path) == []


async def test_beside_a_server_that_was_not_prepared_it_says_which_commands_prepare_it(tmp_path: Path) -> None:
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=TEMPORAL) as server:
        address = server.client.service_client.config.target_host
        product = Product(tmp_path, TEMPORAL_ADDRESS=address, HOLDGATE_DEMO="0")
        command = [sys.executable, "-m", "ops.up"]
        refused = await asyncio.to_thread(
            subprocess.run, command, cwd=ROOT, env=product.environment, capture_output=True, text=True
        )
    assert refused.returncode == 2
    commands = refused.stderr.splitlines()[1:]
    assert len(commands) == 7
    assert all(line.startswith("temporal operator ") and address in line for line in commands)


@pytest.mark.soak
async def test_beside_a_server_that_was_not_started_here_without_the_demo(tmp_path: Path) -> None:
    """The server is verified, used and left running. Nobody is created, and who was made by a demo is refused.

    In every run tests/e2e/test_scaled_out.py starts beside such a server, and tests/api/test_proxies.py asks as people
    of an earlier demo.
    """
    settings = load(var=tmp_path)
    await asyncio.to_thread(migrate, settings.database_url)
    database = Database(settings.database_url)
    before = await people_and_money.create_demo(database, settings.demo_tokens)
    await database.close()
    settings.demo_tokens.unlink()
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=TEMPORAL) as server:
        address = server.client.service_client.config.target_host
        product = Product(tmp_path, TEMPORAL_ADDRESS=address, HOLDGATE_DEMO="0")
        await bootstrap.prepare(server.client)
        await asyncio.to_thread(product.start)
        try:
            assert product.up["pids"]["temporal"] is None
            assert product.up["temporal_address"] == address
            assert (product.up["people"], product.up["demo_sign_in_url"]) == ([], None)
            assert not settings.demo_tokens.exists() and not settings.demo_secret.exists()
            assert "./holdgate people add " in product.printed
            for person in before:
                headers = {"Authorization": f"Bearer {person.token}"}
                answer = httpx2.get(f"{product.up['gateway_url']}/api/v1/me", headers=headers)
                assert answer.status_code == 401 and f"{person.id} is a demo person" in answer.json()["detail"]
        finally:
            os.kill(product.supervisor, signal.SIGTERM)  # and once more, as somebody without patience would
            assert await asyncio.to_thread(product.stop) == 0
        assert of_folder(tmp_path) == []
        assert await Client.connect(address)
