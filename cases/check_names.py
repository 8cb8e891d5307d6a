"""Check names of people and groups in requests before the requests are stored.

A name must be the exact id of a person, or the exact name of a group, because the audit log and the policy compare ids.
A request with any other name is refused; the error suggests similar names.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from pydantic import BaseModel

from cases.chosen_deciders import ChosenDeciders
from domain.base import FieldProblem
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
"""The most unknown names of one file for which errors suggest similar names.

If a file has more unknown names, the wrong column is probably mapped, and further errors suggest nothing.
"""


KnownNames = Mapping[Kind, Collection[str]]
"""The names that exist in the database, by kind: person, group, or person or group."""
Everybody = tuple[NameResolver, Collection[str] | None]
"""The resolver of all names, and the names that errors may show to the requester; None if all names may be shown."""


class NamesCheck:
    """Checks the names of people and groups in the requests of one requester.

    `on_behalf_of` is the person for whom the requester asks, if the requester is a service account.
    """

    def __init__(self, db: Database, policy: Policy, by: str, on_behalf_of: str | None = None) -> None:
        self._db, self._policy, self._by = db, policy, by
        self._asker = on_behalf_of or by
        self._chosen = ChosenDeciders(policy, by, self._asker)
        self._resolver: NameResolver | None = None
        self._seen: dict[str, Collection[str] | None] = {}

    async def problems(
        self, process: str, requests: Sequence[BaseModel | None], fields: Collection[str] | None = None
    ) -> list[list[FieldProblem]]:
        """Return, for each request, the problems of its names of people and groups.

        Check only the input fields in `fields`; all fields if None. Read nothing from the database if no field has a
        name.
        """
        found = [_wanted(request, fields) for request in requests]
        if not any(found):
            return [[] for _ in requests]
        there = await self.there({each.name for some in found for each in some})
        wrong = [[each for each in some if each.name not in there[each.kind]] for some in found]
        if not any(wrong):
            problems: list[list[FieldProblem]] = [[] for _ in requests]
        else:
            everybody = await self.everybody(process)
            problems = await asyncio.to_thread(wrong_names, process, wrong, lambda _: everybody)
        if fields is None:  # edits come from an operator; the gate checks chosen deciders when it opens
            for n, request in enumerate(requests):
                if request is not None and found[n] and not problems[n]:
                    problems[n] = await self._badly_chosen(process, request)
        return problems

    async def _badly_chosen(self, process: str, request: BaseModel) -> list[FieldProblem]:
        choices = self._chosen.choices(process, request)
        for choice in choices:
            if names := self._chosen.unknown(choice):
                self._chosen.learn(choice, names, await self.not_to_choose(choice.choose_from, names))
        return self._chosen.problems(choices)

    async def not_to_choose(self, choose_from: Sequence[str], names: Sequence[str]) -> Sequence[str]:
        """Return those of `names` whom the `choose_from` of a gate does not allow as deciders."""
        return await not_to_choose(choose_from, names, self._asker, PeopleDirectory(self._db))

    async def there(self, names: Collection[str]) -> KnownNames:
        """Return those of `names` that exist in the database as a person or a group, by kind."""
        async with self._db.read() as conn:
            persons, groups = await existing_names(conn, names)
        return {"person": persons, "group": groups, "person or group": persons | groups}

    async def everybody(self, process: str) -> Everybody:
        """Return the resolver of all names, and the names that errors may show to the requester; None for all names.

        The requester may see the deciders of the process, because the page of each request shows its deciders.
        """
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
) -> list[list[FieldProblem]]:
    """Return problems for unknown names in requests of a process, with suggestions.

    `suggested` is a cache: the function adds suggestions, and reuses them for the next requests of the same person.
    """
    known = {} if suggested is None else suggested
    return [[_problem(each, _suggestions(known, process, each, everybody)) for each in some] for some in wrong]


def _problem(named: Named, suggestions: Sequence[str]) -> FieldProblem:
    message = refused(named.name, named.kind, suggestions)
    expected = " or ".join(suggestions) or f"an existing {named.kind}"
    return FieldProblem(column=named.field, message=message, value=shortened(named.name), expected=expected)


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
