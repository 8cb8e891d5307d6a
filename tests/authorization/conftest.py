"""A product of its own for these tests, with everybody in it."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy import func, select

from api.services import live_updates
from store.tables.audit import events
from tests.api.conftest import IMPATIENT, Gate, opened_gateway
from tests.authorization.callers import EVERYBODY, URL, Callers
from tests.authorization.rows import Place, Row
from tests.authorization.things import Side, Things
from tests.support.installed_app import ROOT

HR = Side(
    process="approval",
    requester="hr-asks-1",
    candidate="hr-decides-1",
    colleague="hr-decides-2",
    operator="hr-operates-1",
    new=lambda: {"process": "approval", "reference": f"HR-{uuid4()}", "input": {"title": f"Leave {uuid4()}"}},
    rows=lambda: f"reference,title\nROW-{uuid4()},Leave {uuid4()}\n".encode(),
    twice={},
)
"""A process whose people are strangers to those of all others, by the policy of these tests."""
HR_ALL, PAYMENT_ALL = "hr-all-1", "payment-all-1"
"""People with every role of HR, and with every role of the other processes."""
HR_GROUPS = ["hr-requesters", "hr-managers", "hr-operators", "hr-auditors", "hr-viewers"]
STRANGERS = {
    "hr-asks-1": ["hr-requesters"],
    "hr-decides-1": ["hr-managers"],
    "hr-decides-2": ["hr-managers"],
    "hr-operates-1": ["hr-operators"],
    HR_ALL: HR_GROUPS,
    PAYMENT_ALL: ["requesters", "managers", "operators", "auditors"],
}
ROLES_OF_HR = """
[approval]
requesters = ["hr-requesters"]
viewers = ["hr-viewers"]
operators = ["hr-operators"]
auditors = ["hr-auditors"]
"""


def policy() -> str:
    """Return the shipped policy, with people of their own for the process of HR."""
    shipped = (ROOT / "config" / "policy.toml").read_text()
    usual = "size(candidates) > 0 ? candidates : ['managers']"
    assert usual in shipped
    shipped = re.sub(
        r"\[user_onboarding\]\n(\w+ = .*\n)+", "", shipped
    )  # its operators and auditors are the usual ones
    return shipped.replace(usual, "['hr-managers']") + IMPATIENT + ROLES_OF_HR


@dataclass
class Product:
    """The gateway, who asks, and what is asked about."""

    gate: Gate
    callers: Callers
    things: Things

    async def used(self, place: Place, row: Row, person: str, answer: httpx2.Response) -> None:
        """Note what a request that succeeded has used up."""
        if place.safe or answer.status_code >= 400:
            return
        if not row.keeps:
            self.things.used_up(row.thing)
        if row.ends_sessions:
            self.callers.forget(person)

    async def newest_event(self) -> int:
        async with self.gate.database.read() as conn:
            return await conn.scalar(select(func.max(events.c.number))) or 0

    async def changes_by(self, person: str, since: int) -> list[str]:
        """The kinds of the events that the person has caused since this event, besides refusals."""
        found = select(events.c.kind).where(events.c.actor == person, events.c.number > since)
        async with self.gate.database.read() as conn:
            return [kind for kind in (await conn.execute(found)).scalars() if not kind.endswith("_refused")]


@pytest_asyncio.fixture(scope="session")
async def product(tmp_path_factory: Any) -> AsyncIterator[Product]:
    folder, everybody = tmp_path_factory.mktemp("authorization"), EVERYBODY | STRANGERS
    async with (
        opened_gateway(folder, policy(), everybody, public_url=URL, payload_keys=folder / "payload-keys.toml") as gate,
        gate.worker(),
    ):
        callers = Callers(gate)
        await callers.prepare()
        yield Product(gate, callers, Things(gate))


@pytest.fixture(autouse=True)
def _streams_end_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer of these tests is there when it has ended."""
    monkeypatch.setattr(live_updates, "LIFETIME_S", 0.01)
