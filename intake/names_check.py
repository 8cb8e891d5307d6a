"""Names of people and groups in requests, checked against those there are, before anything is stored.

A name must be the exact id, or the exact name of a group: what is stored is what the record and the rules compare. For
anything else the request is refused, with whom it may mean.
"""

import asyncio
from collections.abc import Collection, Sequence

from pydantic import BaseModel

from intake.chosen_deciders import ChosenDeciders
from intake.problems import shortened
from policy.groups import groups_of
from policy.model import Policy
from store.database import Database
from store.name_resolver import NameResolver, members_of, refused, resolver, there_are
from store.people import Directory, UnknownPerson, get
from workflows.models import ADMINS, AUDITORS, Problem
from workflows.naming import Named, names_any, names_in

SUGGESTED = 200
"""Names of one file for which suggestions are looked up; a file with more of them has the wrong column."""


class NamesCheck:
    """Checks the requests of one person."""

    def __init__(self, db: Database, policy: Policy, by: str) -> None:
        self._db, self._policy, self._by = db, policy, by
        self._chosen = ChosenDeciders(Directory(db), policy, by)
        self._resolver: NameResolver | None = None
        self._seen: dict[str, Collection[str] | None] = {}
        self._suggested: dict[tuple[str, Named], Sequence[str]] = {}

    async def problems(
        self, process: str, requests: Sequence[BaseModel | None], fields: Collection[str] | None = None
    ) -> list[list[Problem]]:
        """What is wrong with the names in each of the requests of a process, of all `fields` or only of these.

        Asks the store nothing when no field of them names anybody.
        """
        found = [_wanted(request, fields) for request in requests]
        names = {each.name for some in found for each in some}
        if not names:
            return [[] for _ in requests]
        async with self._db.read() as conn:
            persons, groups = await there_are(conn, names)
        there = {"person": persons, "group": groups, "person or group": persons | groups}
        problems = [
            [await self._problem(process, each) for each in some if each.name not in there[each.kind]] for some in found
        ]
        if fields is None:  # edits are not of the requester; whom they choose is looked at when the gate asks for it
            naming = [n for n, some in enumerate(found) if some and not problems[n]]
            chosen = await self._chosen.problems(process, [request for n in naming if (request := requests[n])])
            for n, wrong in zip(naming, chosen, strict=True):
                problems[n] = wrong
        return problems

    async def _problem(self, process: str, named: Named) -> Problem:
        suggestions = await self._suggestions(process, named)
        message = refused(named.name, named.kind, suggestions)
        expected = " or ".join(suggestions) or f"an existing {named.kind}"
        return Problem(column=named.field, message=message, value=shortened(named.name), expected=expected)

    async def _suggestions(self, process: str, named: Named) -> Sequence[str]:
        key = (process, named._replace(field=""))
        if key not in self._suggested:
            if len(self._suggested) >= SUGGESTED:
                return ()
            everybody, seen = await self._everybody(process)
            self._suggested[key] = await asyncio.to_thread(everybody.suggestions, named.name, named.kind, seen)
        return self._suggested[key]

    async def _everybody(self, process: str) -> tuple[NameResolver, Collection[str] | None]:
        """Everybody, and of whom the person may be told: who decides such requests stands on the page of each."""
        async with self._db.read() as conn:
            if self._resolver is None:
                self._resolver = await resolver(conn, groups_of(self._policy))
            if process not in self._seen:
                groups = groups_of(self._policy, process)
                self._seen[process] = groups | await members_of(conn, groups) | {self._by}
                try:
                    if {ADMINS, AUDITORS} & set((await get(conn, self._by)).groups):
                        self._seen[process] = None
                except UnknownPerson:
                    pass
        return self._resolver, self._seen[process]


def _wanted(request: BaseModel | None, fields: Collection[str] | None) -> list[Named]:
    if request is None or not names_any(type(request)):
        return []
    return [each for each in names_in(request) if fields is None or each.field.split(".")[0] in fields]
