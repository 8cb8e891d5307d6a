"""The test harness for one process: `async with trial("expense_claim", tmp_path) as harness`.

There is no gateway, and all other parts are real: the Temporal server, whose clock tests move forward, an SQLite
database, the audit log, the policy, and a worker with the steps of the process.
"""

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from activities.engine.records import Records
from cases.pinned_policies import PinnedPolicies
from cases.sql_records import SqlRecords
from cases.submit import CaseRequest, Starter
from core.demo_people import PEOPLE
from core.payload_keys import PayloadKeyFile, create_payload_keys
from core.settings import ROOT, load
from domain.case import CaseResult
from plugins import loader
from plugins.activities import activities_of, equip, folder_of
from plugins.errors import WrongProcess
from plugins.shipped import steps
from plugins.testing.server import Handle, WorkerHarness, add_people, time_skipping_server, unskipped, worker_of
from policy.file import PolicyFile
from policy.groups import roles_of
from policy.model import ProcessPolicy
from store.cases.case_keys import CaseKeys
from store.db.database import Database, migrate
from store.people import people
from workflows.registry import INPUTS, PROCESSES, Process, workflows


@dataclass
class ProcessHarness(WorkerHarness):
    """A harness with a worker for one process.

    Its people are those of the demo, such as `requester-1` and `manager-1`.
    """

    process: Process
    folder: Path
    """The folder that `equip` received."""
    starter: Starter

    async def start(
        self, input: Mapping[str, Any], *, requester: str = "requester-1", reference: str | None = None
    ) -> Handle:
        """Start a case as the gateway does, and return the handle of its Workflow.

        Only `forward` moves the clock of the case.

        Raises InvalidCase if the input is not valid.
        """
        request = CaseRequest(process=self.process.name, reference=reference or f"t-{uuid4()}", input=dict(input))
        with self.env.with_time_skipping_disabled():
            started = await self.starter.start_case(request, requester)
        return self.env.client.get_workflow_handle(started.row.case_id, result_type=CaseResult)

    async def roll_back(self, case: Handle, by: str = "operator-1", reason: str = "a mistake") -> Handle:
        """Request the rollback of a completed case, and return the handle of the Workflow that runs it."""
        return await self.request_rollback(self.starter, case, by, reason)


@asynccontextmanager
async def trial(
    name: str, folder: Path, policy: Path = ROOT / "config" / "policy.toml", *, encrypted: bool = False
) -> AsyncIterator[ProcessHarness]:
    """Run a server, a database and a worker for one process until the block ends, with all files in `folder`.

    `policy` is the policy file to which the section of the process is added. With `encrypted`, payloads are encrypted
    with new keys. Raises WrongProcess.
    """
    process = _found(name)
    settings = load(var=folder, policy=policy, database_url=f"sqlite:///{folder / 'holdgate.db'}")
    file = loader.policy_file(policy)
    migrate(settings.database_url)
    database = Database(settings.database_url)
    await add_people(database, _groups(file, name))
    policies = PinnedPolicies(database, INPUTS)
    store = SqlRecords(database, policies)
    records = Records(store, policies, people.PeopleDirectory(database), INPUTS)
    keys = await new_keys(database, folder) if encrypted else None
    async with await time_skipping_server(keys) as env:
        starter = Starter(database, env.client, file)
        plain = await unskipped(env)
        shipped = steps(database, plain, Starter(database, plain, file), policies, settings)
        activities = activities_of(records, *shipped, *equip(folder))
        worker = worker_of(env.client, workflows().values(), activities, store)
        running = asyncio.create_task(worker.run())
        yield ProcessHarness(env, database, process, folder_of(process, folder), starter)
        await worker.shutdown()
        await running
    await database.close()


async def new_keys(database: Database, folder: Path) -> CaseKeys:
    """Return the keys of an installation that begins to encrypt now, with a new file of payload keys in `folder`."""
    create_payload_keys(folder / "payload-keys.toml")
    keys = CaseKeys(database, PayloadKeyFile(folder / "payload-keys.toml"))
    await keys.open()
    return keys


def _found(name: str) -> Process:
    """Return a process by its name: one that is loaded, or the package with that name on `sys.path`."""
    if name in PROCESSES:
        return PROCESSES[name]
    module = importlib.util.find_spec(name)
    if module is None or module.origin is None:
        raise WrongProcess(f"there is no process '{name}', and no package of that name beside the test")
    return loader.add(Path(module.origin).parent)


def _groups(file: PolicyFile, name: str) -> dict[str, list[str]]:
    """Return the people of each group: the demo people, and two people for each group that only the policy of this
    process names, in its gates or its roles.
    """
    groups: dict[str, list[str]] = {}
    for person, group in PEOPLE.items():
        groups.setdefault(group, []).append(person)
    section = file.current.processes.get(name, ProcessPolicy())
    named = [group for gate in section.gates.values() for group in gate.groups]
    named += [group for gate in section.gates.values() for level in gate.escalate for group in level.to]
    for group in (*named, *roles_of(section)):
        groups.setdefault(group, [f"{group}-1", f"{group}-2"])
    return groups
