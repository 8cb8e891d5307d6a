"""A house to test one process in: `async with trial("expense_claim", tmp_path) as house`.

All of it is real: the Temporal server, whose clock tests wind forward, a database (SQLite), the record, the policy that
would be in force, and a worker with the steps of the process. Only the gateway is not there.
"""

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import own
from activities.engine.records import Records
from cases.pinned_policies import PinnedPolicies
from cases.submit import CaseRequest, Starter
from core.settings import ROOT, load
from domain.case import CaseResult
from domain.status import Verdict
from kit.lab import Handle, Lab, furnish, time_skipping_server, unskipped, worker_of
from ops.demo.people_and_money import PEOPLE
from policy.file import PolicyFile
from policy.model import ProcessPolicy
from store.db.database import Database, migrate
from store.people import people
from worker import SqlRecords, steps, workflows
from workflows.registry import INPUTS, PROCESSES, Process

__all__ = ["Handle", "Trial", "Verdict", "trial"]


@dataclass
class Trial(Lab):
    """What a test of a process needs. People are those of the demo, such as `requester-1` and `manager-1`."""

    process: Process
    folder: Path
    """What `equip` was given."""
    starter: Starter

    async def start(
        self, input: Mapping[str, Any], *, requester: str = "requester-1", reference: str | None = None
    ) -> Handle:
        """Start a case as the gateway would; its clock stands still until a test winds it. Raises InvalidCase."""
        request = CaseRequest(process=self.process.name, reference=reference or f"t-{uuid4()}", input=dict(input))
        with self.env.with_time_skipping_disabled():
            started = await self.starter.start_case(request, requester)
        return self.env.client.get_workflow_handle(started.row.case_id, result_type=CaseResult)

    async def roll_back(self, case: Handle, by: str = "operator-1", reason: str = "a mistake") -> Handle:
        """Ask for the rollback of a completed case; the handle of the Workflow that does it."""
        return await self.take_back(self.starter, case, by, reason)


@asynccontextmanager
async def trial(name: str, folder: Path, policy: Path = ROOT / "config" / "policy.toml") -> AsyncIterator[Trial]:
    """A house for the process of this name until the block ends; its files lie in `folder`.

    `policy` is the file which the section of the process follows. Raises WrongProcess.
    """
    process = _found(name)
    settings = load(var=folder, policy=policy, database_url=f"sqlite+aiosqlite:///{folder / 'holdgate.db'}")
    file = own.policy_file(policy)
    migrate(settings.database_url)
    database = Database(settings.database_url)
    await furnish(database, _groups(file, name))
    policies = PinnedPolicies(database, INPUTS)
    records = Records(SqlRecords(database), policies, people.Directory(database), INPUTS)
    async with await time_skipping_server() as env:
        starter = Starter(database, env.client, file)
        plain = await unskipped(env)
        shipped = steps(database, plain, Starter(database, plain, file), policies, settings)
        activities = own.activities_of(records, *shipped, *own.equip(folder))
        worker = worker_of(env.client, workflows().values(), activities)
        running = asyncio.create_task(worker.run())
        yield Trial(env, database, process, own.folder_of(process, folder), starter)
        await worker.shutdown()
        await running
    await database.close()


def _found(name: str) -> Process:
    """A process by its name: one that is loaded, or the package of that name on the path."""
    if name in PROCESSES:
        return PROCESSES[name]
    module = importlib.util.find_spec(name)
    if module is None or module.origin is None:
        raise own.WrongProcess(f"there is no process '{name}', and no package of that name beside the test")
    return own.add(Path(module.origin).parent)


def _groups(file: PolicyFile, name: str) -> dict[str, list[str]]:
    """The people of the demo by group; of a group that only the policy of this process has, two of their own."""
    groups: dict[str, list[str]] = {}
    for person, group in PEOPLE.items():
        groups.setdefault(group, []).append(person)
    section = file.current.processes.get(name, ProcessPolicy())
    for gate in section.gates.values():
        for group in (*gate.groups, *(group for level in gate.escalate for group in level.to)):
            groups.setdefault(group, [f"{group}-1", f"{group}-2"])
    return groups
