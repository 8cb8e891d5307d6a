"""The things that addresses name: made when a test needs one, and made again after a test has used it up."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from sqlalchemy import insert

from domain.messages import Act
from domain.records import ActionRecord
from store.cases import actions, bulk_results
from store.people import emergency_links, identities, leavers, passkeys, people, service_accounts, tokens
from store.people.passkeys import Passkey
from store.receivers.accounts import AccountDirectory
from store.receivers.datasets import Datasets
from store.receivers.ledger import Ledger
from store.tables.audit import checkpoints
from tests.api.conftest import Gate, eventually, payment
from tests.authorization.callers import URL

Ids = dict[str, str]


@dataclass(frozen=True)
class Side:
    """A process with people of its own: who asks, who decides, who operates, and what is asked for."""

    process: str
    requester: str
    candidate: str
    colleague: str
    operator: str
    new: Callable[..., dict[str, Any]]
    """Returns the body of a request for a case."""
    rows: Callable[[], bytes]
    """Returns a file with a row for a case."""
    twice: dict[str, str]
    """Input that two people must approve, if the process has such input."""


PAYMENTS = Side(
    process="payment",
    requester="requester-1",
    candidate="manager-1",
    colleague="manager-2",
    operator="operator-1",
    new=payment,
    rows=lambda: f"reference,payee,amount,currency,account\nROW-{uuid4()},Somebody,1.00,GBP,operating\n".encode(),
    twice={"amount": "20000.00"},
)


def filled(value: Any, ids: Ids) -> Any:
    """Put the ids where a text has their names in braces."""
    match value:
        case str():
            return re.sub(r"{(\w+)}", lambda name: ids.get(name[1], name[0]), value)
        case dict():
            return {key: filled(each, ids) for key, each in value.items()}
        case list():
            return [filled(each, ids) for each in value]
        case _:
            return value


def path_of(template: str, ids: Ids) -> str:
    """Put the ids into an address, percent-encoded."""
    return re.sub(r"{(\w+)}", lambda name: quote(ids[name[1]], safe=""), template)


@dataclass
class Things:
    """Each method makes one thing of a side and returns the ids of its address.

    The methods whose names begin with `own_` make a thing of one person.
    """

    gate: Gate
    side: Side = PAYMENTS
    _made: dict[str, Ids] = field(default_factory=dict)

    async def ids(self, thing: str, person: str) -> Ids:
        """Return the ids of the thing; for a thing of one person, of that person's."""
        if thing.startswith("own_"):
            make: Callable[[str], Awaitable[Ids]] = getattr(self, thing)
            return await make(person)
        if thing not in self._made:
            self._made[thing] = await getattr(self, thing)() if thing else {}
        return self._made[thing]

    def used_up(self, thing: str) -> None:
        """Something was done to the thing, such as cancelling or deciding."""
        self._made.pop(thing, None)

    # ------------------------------------------------------------------------------------------------- cases and tasks

    async def case(self, **input: Any) -> Ids:
        case_id = await self._start(**input)
        task = await self._task(case_id)
        return {"case_id": case_id, "task_id": task["task_id"], "revision": str(task["revision"])}

    async def attachment(self) -> Ids:
        ids = await self.case()
        files = {"file": ("order.txt", b"An order", "text/plain")}
        made = await self._post(self.side.requester, path_of("/cases/{case_id}/attachments", ids), files=files)
        return {**ids, "attachment_id": made["attachment_id"]}

    async def claimed(self) -> Ids:
        ids = await self.case()
        await self._post(self.side.candidate, path_of("/tasks/{task_id}/claim", ids))
        return ids

    async def decided(self) -> Ids:
        """A task that one of two people has approved."""
        ids = await self.case(**self.side.twice)
        return {**ids, "decision_id": (await self._decide(ids))["decision_id"]}

    async def completed(self) -> Ids:
        ids = await self.case()
        await self._decide(ids)
        await self._until(ids["case_id"], lambda case: case["status"] == "completed")
        return ids

    async def asked(self) -> Ids:
        """A task about which the candidate has asked the requester."""
        ids = await self.case()
        question = {"to": self.side.requester, "text": "Which order?"}
        task = await self._post(self.side.candidate, path_of("/tasks/{task_id}/questions", ids), json=question)
        return {**ids, "question_id": task["questions"][0]["id"]}

    async def scheduled(self) -> Ids:
        later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        made = await self._post(self.side.requester, "/cases", json={**self.side.new(), "start_at": later})
        return {"case_id": made["case_id"]}

    async def rejected(self) -> Ids:
        ids = await self.case()
        await self._decide(ids, "reject")
        await self._until(ids["case_id"], lambda case: case["status"] == "rejected")
        return ids

    async def action(self) -> Ids:
        """An action of the candidate that no worker has answered."""
        ids, id = await self.case(), uuid4().hex
        now = datetime.now(UTC)
        record = ActionRecord(
            action_id=id, task_id=ids["task_id"], act=Act.CLAIM, person=self.side.candidate, content="0" * 64, at=now
        )
        async with self.gate.database.write() as conn:
            await actions.add_pending(conn, record, ids["case_id"])
        return {"action_id": id}

    async def incident(self) -> Ids:
        """A case that cannot go on because its account is locked."""
        account = f"locked-{uuid4().hex[:8]}"
        await Ledger(self.gate.database).fund(account, account, "GBP", Decimal(1000), locked=True)
        case_id = await self._start(account=account, amount="20.00")
        case = await self._until(case_id, lambda case: case["status"] == "needs_intervention")
        task = next(task for task in case["tasks"] if task["status"] == "open")
        found = (await self.gate.get(self.side.operator, "/incidents")).json()["items"]
        group = next(each["group"] for each in found if task["task_id"] in each["task_ids"])
        return {"case_id": case_id, "task_id": task["task_id"], "group": group, "revision": str(task["revision"])}

    # ----------------------------------------------------------------------------------------------------------- files

    async def batch(self) -> Ids:
        sheet = {"file": ("good.csv", self.side.rows(), "text/csv")}
        path = f"/batches?process={self.side.process}"
        return {"batch_id": (await self._post(self.side.requester, path, files=sheet))["batch_id"]}

    async def ended_batch(self) -> Ids:
        """An upload that has ended, with its case."""
        ids = await self.batch()
        path = path_of("/batches/{batch_id}", ids)

        async def look() -> Any:
            found = (await self.gate.get("admin-1", path)).json()
            for case in (await self.gate.get("admin-1", "/cases", **ids)).json()["items"]:
                if case["closed_at"] is None:
                    cancel = f"{URL}/api/v1{path_of('/cases/{case_id}/cancel', case)}"
                    answer = await self.gate.as_("admin-2").post(cancel, json={"reason": "A test"})
                    assert answer.status_code < 300 or answer.json()["type"] == "urn:holdgate:already-closed", (
                        answer.text
                    )
            return found

        def ended(found: Any) -> bool:
            return found["closed_at"] is not None and {*found["cases"]} <= {"completed", "cancelled"} != {*()}

        await eventually(look, ended)
        return ids

    async def hold(self) -> Ids:
        ids = await self.case()
        new = {"kind": "case", "subject": ids["case_id"], "reason": "A test"}
        return {**ids, "hold_id": (await self._post("admin-2", "/legal-holds", json=new))["hold_id"]}

    async def own_file(self, person: str) -> Ids:
        """A file that the person has sent, and not started yet."""
        rows = self.side.rows()
        held = await asyncio.to_thread(self.gate.app.state.services.held.hold, person, rows)
        assert held == hashlib.sha256(rows).hexdigest()
        return {"sha256": held, "process": self.side.process}

    async def dataset(self) -> Ids:
        datasets = Datasets(self.gate.database)

        async def rows() -> Any:
            yield [{"number": 1}]

        await datasets.stage("auth/stage", "auth", "payment", "0" * 64, {"columns": []}, rows())
        await datasets.publish("auth/publish", "auth", "payment", None)
        return {"name": "payment"}

    async def directory(self) -> Ids:
        await AccountDirectory(self.gate.database).reserve(
            "auth/key", "auth", username="auth.orised", full_name="A", email="a@example.org", role="r", manager=None
        )
        return {"username": "auth.orised"}

    # -------------------------------------------------------------------------------------------- policy, audit, money

    async def policy(self) -> Ids:
        case = await self._case((await self.ids("case", ""))["case_id"])
        return {"hash": case["policy_hash"]}

    async def checkpoint(self) -> Ids:
        async with self.gate.database.write() as conn:
            await conn.execute(insert(checkpoints).values(size=1, at=datetime.now(UTC), note="A signed note"))
        return {}

    async def account(self) -> Ids:
        return {"name": "operating"}

    async def process(self) -> Ids:
        return {"name": self.side.process, "process": self.side.process}

    async def change(self) -> Ids:
        """A change of the ledger that waits for a second administrator."""
        wanted = {"account": f"new-{uuid4().hex[:8]}", "currency": "GBP", "reason": "A test"}
        return {"change_id": (await self._post("admin-2", "/ledger/accounts", json=wanted))["change_id"]}

    # ---------------------------------------------------------------------------------------------------------- people

    async def person(self) -> Ids:
        """Somebody who does nothing, with a token and a passkey."""
        id = f"kept-{uuid4().hex[:8]}"
        async with self.gate.database.write() as conn:
            await people.add(conn, id, "Kept", ["kept"], by="holdgate")
        return {"person_id": id, "group": "kept", **await self.own_token(id), **await self.own_passkey(id)}

    async def left(self) -> Ids:
        ids = await self.person()
        async with self.gate.database.write() as conn:
            await leavers.deactivate(conn, ids["person_id"], "Another job", by="admin-2")
        return ids

    async def link(self) -> Ids:
        """A one-time link that waits for a second administrator."""
        ids = await self.person()
        made = await self._post("admin-2", path_of("/people/{person_id}/link", ids))
        return {**ids, "link_id": made["link_id"]}

    async def identity(self) -> Ids:
        """An account of an identity provider that signs in as somebody."""
        ids, subject = await self.person(), uuid4().hex
        async with self.gate.database.write() as conn:
            made = await identities.connect(
                conn, ids["person_id"], "https://idp.example", subject, "admin-2", datetime.now(UTC)
            )
        return {**ids, "identity_id": made.identity_id}

    async def service(self) -> Ids:
        """A service account of admin-2."""
        new = {"id": f"bot-{uuid4().hex[:8]}", "name": "A bot", "owners": ["admin-2"], "scopes": ["cases:read"]}
        id = (await self._post("admin-2", "/service-accounts", json=new))["id"]
        async with self.gate.database.read() as conn:
            (token,) = await tokens.of(conn, id)
        return {"account_id": id, "token_id": token.id}

    async def deactivated_service(self) -> Ids:
        ids = await self.service()
        async with self.gate.database.write() as conn:
            await service_accounts.deactivate(conn, ids["account_id"], by="admin-2")
        return ids

    async def emergency(self) -> Ids:
        """The code of a link with which an administrator signs in while the identity provider is down."""
        async with self.gate.database.write() as conn:
            return {"code": await emergency_links.create(conn, "admin-2", by="holdgate", now=datetime.now(UTC))}

    async def code(self) -> Ids:
        """The two halves of the code of a one-time link that two administrators have given out."""
        ids = await self.person()
        first = await self._post("admin-2", path_of("/people/{person_id}/link", ids))
        second = await self._post("admin-1", f"/one-time-links/{first['link_id']}/confirm")
        return {"code": first["half"], "second": second["half"]}

    async def own_token(self, person: str) -> Ids:
        async with self.gate.database.write() as conn:
            await tokens.make(conn, person, "auth", by="holdgate")
            newest, *_older = await tokens.of(conn, person)
        return {"token_id": newest.id}

    async def own_passkey(self, person: str) -> Ids:
        id, now = uuid4().hex, datetime.now(UTC)
        new = Passkey(
            passkey_id=id,
            person=person,
            domain="gateway",
            credential_id=id,
            public_key="",
            sign_count=0,
            user_handle=id,
            name="A key",
            transports=[],
            device_type="single_device",
            backed_up=False,
            created_at=now,
        )
        async with self.gate.database.write() as conn:
            for known in await passkeys.of(conn, person):
                await passkeys.remove(conn, person, known.passkey_id, by=person)
            await passkeys.add(conn, new)
        return {"passkey_id": id}

    async def own_bulk(self, person: str) -> Ids:
        """The outcome of a form with which the person decided several tasks."""
        now, id = datetime.now(UTC), bulk_results.id_of(person, "auth")
        done = [{"task_id": "none", "status": "accepted", "message": "", "verdict": "approve"}]
        async with self.gate.database.write() as conn:
            await bulk_results.keep(conn, id, person, done, now)
        return {"id": id}

    # ----------------------------------------------------------------------------------------------------------- words

    async def _start(self, **input: Any) -> str:
        new = self.side.new()
        body = {**new, "input": {**new["input"], **input}}
        case_id: str = (await self._post(self.side.requester, "/cases", json=body))["case_id"]
        return case_id

    async def _case(self, case_id: str) -> dict[str, Any]:
        return await self.gate.case(case_id, "admin-1")

    async def _until(self, case_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        found: dict[str, Any] = await eventually(lambda: self._case(case_id), holds)
        return found

    async def _task(self, case_id: str) -> dict[str, Any]:
        """The task at which the case waits, as soon as it does."""
        case = await self._until(case_id, lambda case: any(task["status"] == "open" for task in case["tasks"]))
        task: dict[str, Any] = next(task for task in case["tasks"] if task["status"] == "open")
        return task

    async def _decide(self, ids: Ids, verdict: str = "approve") -> dict[str, Any]:
        body = {"verdict": verdict, "revision": int(ids["revision"]), "comment": "Seen"}
        return await self._post(self.side.candidate, path_of("/tasks/{task_id}/decision", ids), json=body)

    async def _post(self, person: str, path: str, **request: Any) -> dict[str, Any]:
        answer = await self.gate.as_(person).post(f"{URL}/api/v1{path}", **request)
        assert answer.status_code < 300, answer.text
        made: dict[str, Any] = answer.json()
        return made
