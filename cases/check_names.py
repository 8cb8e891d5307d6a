"""Names of people and groups in requests, checked against those there are, before anything is stored.

A name must be the exact id, or the exact name of a group: what is stored is what the record and the rules compare. For
anything else the request is refused, with whom it may mean.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from pydantic import BaseModel

from cases.chosen_deciders import ChosenDeciders
from domain.base import Problem
from domain.input_errors import shortened
from domain.named_fields import Kind, Named, names_any, names_in
from domain.names import ADMINS, AUDITORS
from policy.candidates import not_to_choose
from policy.groups import groups_of
from policy.model import Policy
from store.db.database import Database
from store.people.name_resolver import NameResolver, existing_names, members_of, refused, resolver
from store.people.people import PeopleDirectory, UnknownPerson, get

SUGGESTED = 200
"""Names of one file for which suggestions are looked up; a file with more of them has the wrong column."""


KnownNames = Mapping[Kind, Collection[str]]
"""By kind, those of some names that there are."""
Everybody = tuple[NameResolver, Collection[str] | None]
"""Everybody, and of whom the person may be told: None for all."""


class NamesCheck:
    """Checks the requests of one person."""

    def __init__(self, db: Database, policy: Policy, by: str) -> None:
        self._db, self._policy, self._by = db, policy, by
        self._chosen = ChosenDeciders(policy, by)
        self._resolver: NameResolver | None = None
        self._seen: dict[str, Collection[str] | None] = {}

    async def problems(
        self, process: str, requests: Sequence[BaseModel | None], fields: Collection[str] | None = None
    ) -> list[list[Problem]]:
        """What is wrong with the names in each of the requests of a process, of all `fields` or only of these.

        Asks the store nothing when no field of them names anybody.
        """
        found = [_wanted(request, fields) for request in requests]
        if not any(found):
            return [[] for _ in requests]
        there = await self.there({each.name for some in found for each in some})
        wrong = [[each for each in some if each.name not in there[each.kind]] for some in found]
        if not any(wrong):
            problems: list[list[Problem]] = [[] for _ in requests]
        else:
            everybody = await self.everybody(process)
            problems = await asyncio.to_thread(wrong_names, process, wrong, lambda _: everybody)
        if fields is None:  # edits are not of the requester; whom they choose is looked at when the gate asks for it
            for n, request in enumerate(requests):
                if request is not None and found[n] and not problems[n]:
                    problems[n] = await self._badly_chosen(process, request)
        return problems

    async def _badly_chosen(self, process: str, request: BaseModel) -> list[Problem]:
        choices = self._chosen.choices(process, request)
        for choice in choices:
            if names := self._chosen.unknown(choice):
                self._chosen.learn(choice, names, await self.not_to_choose(choice.choose_from, names))
        return self._chosen.problems(choices)

    async def not_to_choose(self, choose_from: Sequence[str], names: Sequence[str]) -> Sequence[str]:
        """Those of the names whom `choose_from` of a gate does not let the person choose."""
        return await not_to_choose(choose_from, names, self._by, PeopleDirectory(self._db))

    async def there(self, names: Collection[str]) -> KnownNames:
        """Those of the names that there are."""
        async with self._db.read() as conn:
            persons, groups = await existing_names(conn, names)
        return {"person": persons, "group": groups, "person or group": persons | groups}

    async def everybody(self, process: str) -> Everybody:
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


def wrong_names(
    process: str,
    wrong: Sequence[Sequence[Named]],
    everybody: Callable[[str], Everybody],
    suggested: dict[tuple[str, Named], Sequence[str]] | None = None,
) -> list[list[Problem]]:
    """Say of names in requests of a process that there is nobody of them, and whom they may mean.

    `suggested` keeps what is found, for the next requests of the same person.
    """
    known = {} if suggested is None else suggested
    return [[_problem(each, _suggestions(known, process, each, everybody)) for each in some] for some in wrong]


def _problem(named: Named, suggestions: Sequence[str]) -> Problem:
    message = refused(named.name, named.kind, suggestions)
    expected = " or ".join(suggestions) or f"an existing {named.kind}"
    return Problem(column=named.field, message=message, value=shortened(named.name), expected=expected)


def _suggestions(
    suggested: dict[tuple[str, Named], Sequence[str]],
    process: str,
    named: Named,
    everybody: Callable[[str], Everybody],
) -> Sequence[str]:
    key = (process, named._replace(field=""))
    if key not in suggested:
        if len(suggested) >= SUGGESTED:
            return ()
        known, seen = everybody(process)
        suggested[key] = known.suggestions(named.name, named.kind, seen)
    return suggested[key]


def _wanted(request: BaseModel | None, fields: Collection[str] | None) -> list[Named]:
    if request is None or not names_any(type(request)):
        return []
    return [each for each in names_in(request) if fields is None or each.field.split(".")[0] in fields]
