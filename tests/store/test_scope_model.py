"""Who sees what is one rule: SQL lists, counts and live updates agree with a plain Python model of the policy's roles.

Random people, policies, cases, tasks and uploads. No list uses the model, and the model uses no code of the product.
"""

import os
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.case import CaseEvent
from policy.model import Policy, ProcessPolicy
from policy.scope import scope_of
from store.audit import audit_log, feed, scoped, search
from store.cases import batches, cases, incidents, open_tasks, task_lists
from store.cases.batches import PlannedRow
from store.cases.task_lists import TaskFilter
from store.cases.visibility import Viewer
from store.dashboard import current_status
from store.dashboard.scope import DashboardScope
from store.db.database import Database
from tests.store.cases.test_batches import batch
from tests.store.sample_cases import opening, recorded, submitted, task

PROCESSES = ("payment", "user_onboarding", "deployment", "gone")
"""The last one has cases, but no section in the policy any more."""
UNKNOWN = "several"
GROUPS = ("operators", "auditors", "admins", "hr", "staff", "reviewers", "clerks")
ROLES = ("viewers", "operators", "auditors")
PEOPLE = ("ann", "bob", "cyd", "dee", "eve", "fay")
NOW = datetime.now(UTC)
TRIES = [6, pytest.param(100, marks=pytest.mark.soak)]


@dataclass
class World:
    """Random roles and groups, and which requests exist."""

    roles: dict[str, dict[str, list[str]]]
    groups: dict[str, list[str]]
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By case id: process, requester, candidate groups and people of its task, and whether it is an incident."""
    uploads: dict[str, tuple[str, set[str]]] = field(default_factory=dict)
    """By upload: its requester, and the processes of its rows; `UNKNOWN` for a row that names none."""

    def overseen(self, person: str, *roles: str) -> set[str]:
        """The processes in which a person has one of the roles; with all of them also the one that is gone."""
        mine = set(self.groups[person])
        if "admins" in mine:
            return set(PROCESSES)
        having = {name for name, keys in self.roles.items() if any(mine & set(keys[role]) for role in roles)}
        return set(PROCESSES) if having == set(self.roles) else having

    def sees(self, person: str, case_id: str) -> bool:
        about = self.cases[case_id]
        named = person in (about["requester"], *about["users"]) or set(self.groups[person]) & set(about["groups"])
        return bool(named) or about["process"] in self.overseen(person, *ROLES)

    def sees_upload(self, person: str, id: str) -> bool:
        return person == self.uploads[id][0] or self.is_within(id, self.overseen(person, *ROLES))

    def is_within(self, id: str, reach: set[str]) -> bool:
        """Whether all rows of an upload are of these processes. A row of an unknown one is within all of them only."""
        return reach == set(PROCESSES) or self.uploads[id][1] <= reach

    def reads_all(self, person: str) -> bool:
        """Whether a person reads events that belong to no process."""
        audits = self.overseen(person, "operators", "auditors")
        return bool({"operators", "auditors"} & set(self.groups[person])) or audits == set(PROCESSES)


def random_world(chance: random.Random) -> World:
    def some(names: tuple[str, ...], share: float) -> list[str]:
        return [name for name in names if chance.random() < share]

    keys = ("requesters", *ROLES)
    roles = {name: {key: some(GROUPS, 0.25) for key in keys} for name in PROCESSES[:-1]}
    for each in roles.values():
        each["operators"] = each["operators"] or ["operators"]
    if chance.random() < 0.3:
        for each in roles.values():
            each["auditors"] = ["clerks"]  # a group that oversees everything
    return World(roles, {person: some(GROUPS, 0.2) for person in PEOPLE})


async def furnish(db: Database, world: World, chance: random.Random) -> None:
    for number in range(14):
        process, requester = chance.choice(PROCESSES), chance.choice(PEOPLE)
        groups = chance.sample(["staff", "reviewers"], chance.randrange(2))
        users = chance.sample(PEOPLE, chance.randrange(2))
        incident = chance.random() < 0.3
        row = await submitted(db, f"R{number}", case_id=f"{process}:r{number}", process=process, requester=requester)
        about: dict[str, Any] = {"candidate_groups": groups or ["nobody"], "candidate_users": users}
        kind: dict[str, Any] = {"kind": "intervention", "facts": {"step": "s", "failure": "f"}} if incident else {}
        await recorded(db, opening(task(row.case_id, process=process, requester=requester, **about, **kind)))
        world.cases[row.case_id] = {
            "process": process, "requester": requester, "groups": groups, "users": users, "incident": incident
        }  # fmt: skip
    async with db.write() as conn:
        for number in range(6):
            of_rows = set(chance.sample(PROCESSES, chance.choice([1, 1, 2]))) | {*chance.choice([[], [], [UNKNOWN]])}
            id, by = f"b{number:016x}", chance.choice(PEOPLE)
            process = next(iter(of_rows)) if len(of_rows) == 1 else UNKNOWN
            await batches.receive(conn, batch(id, requester=by, process=process, status="running"))
            rows = [
                PlannedRow(line=n, reference=f"{n}", outcome="invalid" if p == UNKNOWN else "valid", process=p)
                for n, p in enumerate(of_rows)
            ]
            await batches.add_rows(conn, id, rows)
            world.uploads[id] = (by, of_rows)
            paused = CaseEvent(
                event_id=f"batch/{id}/x/paused", case_id="", at=NOW, kind="batch_paused", actor=by, summary="paused"
            )
            await audit_log.append(conn, [paused])
        await audit_log.note(conn, "password_set", by="ann", summary="a password was set", data={"person": "ann"})
        await audit_log.note(conn, "books_closed", by="ann", summary="the books were closed", data={})


@pytest.mark.parametrize("tries", TRIES)
@pytest.mark.parametrize("few", [2000, 0], ids=["few rows", "many rows"])
async def test_every_list_shows_what_the_model_says(
    db: Database, tries: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = int(os.environ.get("HOLDGATE_TEST_SEED", time.time_ns() % 1_000_000))
    chance = random.Random(seed)
    for module, name in ((task_lists, "FEW"), (task_lists, "HISTORY"), (scoped, "FEW")):
        monkeypatch.setattr(module, name, few)
    world = random_world(chance)
    await furnish(db, world, chance)
    async with db.read() as conn:
        news = await feed.news(conn, 0, await audit_log.position(conn))
        for number in range(tries):
            roles, groups = world.roles, world.groups
            if number:
                fresh = random_world(chance)
                roles, groups = fresh.roles, fresh.groups
            world.roles, world.groups = roles, groups
            sections = {name: ProcessPolicy.model_validate(keys) for name, keys in roles.items()}
            policy = Policy("random", "", f"{seed}-{number}-{few}", sections)
            for person in PEOPLE:
                said = f"HOLDGATE_TEST_SEED={seed}: {person} in {groups[person]}, {roles}"
                scope = scope_of(policy, person, groups[person])
                viewer = Viewer(id=person, groups=groups[person], scope=scope)
                seen = {case_id for case_id in world.cases if world.sees(person, case_id)}
                operated = world.overseen(person, "operators")

                rows, _ = await cases.page(conn, viewer, limit=200)
                assert {row.case_id for row in rows} == seen, said
                assert {id for id in world.cases if await cases.may_see(conn, viewer, id)} == seen, said
                listed, _ = await task_lists.page(conn, viewer, TaskFilter(status="open"), NOW, limit=200)
                assert {view.case_id for view in listed} == seen, said
                assert await task_lists.count(conn, viewer, TaskFilter(status="open"), NOW) == len(seen), said
                fitting, _ = await open_tasks.fitting(conn, viewer, limit=200)
                assert {each.case_id for each in fitting} == {i for i in seen if not world.cases[i]["incident"]}, said
                heard = {each.data for each in news if each.name == "case" and each.told_to(viewer)}
                assert {feed.CaseNews.model_validate_json(each).case_id for each in heard} == seen, said

                found, _ = await batches.page(conn, viewer, limit=200)
                uploads = {id for id in world.uploads if world.sees_upload(person, id)}
                assert {each.batch_id for each in found} == uploads, said

                stuck = await incidents.groups(conn, scope.operates)
                asked = [i for i, about in world.cases.items() if about["incident"] and about["process"] in operated]
                assert sum(each.count for each in stuck) == len(asked), said

                counted = DashboardScope.of(viewer)
                own = {i for i, about in world.cases.items() if about["requester"] == person}
                overseen = world.overseen(person, *ROLES)
                figures = own | {i for i, about in world.cases.items() if about["process"] in overseen}
                assert sum((await current_status.statuses(conn, counted)).values()) == len(figures), said

                readable = await scoped.readable(conn, scope)
                events = await search.oldest(conn, limit=1000, readable=readable)
                audits = world.overseen(person, "operators", "auditors")
                wanted = {i for i, about in world.cases.items() if about["process"] in audits}
                assert {each.case_id for each in events if each.case_id} == wanted, said
                kinds = [each.kind for each in events if not each.case_id]
                orders = sum(world.is_within(id, audits) for id in world.uploads)
                assert kinds.count("batch_paused") == orders, said
                assert ("password_set" in kinds) is world.reads_all(person), said
                assert ("books_closed" in kinds) is ("payment" in audits), said


def test_without_a_scope_a_viewer_oversees_nothing() -> None:
    """Code that does not compute the scope hides cases and does not show them."""
    assert not Viewer(id="ann", groups=["admins", "operators", "auditors"]).sees_all
    unknown = scope_of(Policy("empty", "", "e" * 64, {}), "ann", ["operators", "auditors", "requesters"])
    assert not (unknown.sees or unknown.starts or unknown.operates or unknown.audits)
