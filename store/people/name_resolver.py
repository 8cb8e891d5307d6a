"""Find the person or group that a written name means.

People identify each other by id, name and e-mail address, with any capitals, accents and spaces. An unambiguous name is
resolved. For an ambiguous name, the error names all matches. For an unknown name, the error suggests similar names, but
only names that the asking person may see.
"""

import asyncio
import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import and_, select

from domain.named_fields import Kind
from domain.names import ADMINS, AUDITORS, DATA_STEWARDS, OPERATORS, REQUESTERS, SECURITY
from domain.normalization import fold, without_accents
from store.db.connection import AsyncConnection
from store.tables.people import memberships, people

ROLES = frozenset({ADMINS, AUDITORS, DATA_STEWARDS, OPERATORS, REQUESTERS, SECURITY})
"""Groups that have a meaning in Holdgate itself, in every policy."""
CLOSE = 0.7
"""The least similarity (0 to 1) with which a name is suggested."""
MOST = 3
"""The maximum number of suggestions in an error."""
SHOWN = 80
"""The maximum number of characters of a name that an error repeats."""


async def group_names(conn: AsyncConnection) -> set[str]:
    """Return the names of all groups with members, and of those with a meaning in Holdgate itself."""
    return set((await conn.execute(select(memberships.c.group_name).distinct())).scalars()) | ROLES


_IS_PERSON = and_(people.c.active, people.c.kind == "person")
"""The condition for accounts that a name can mean. A service account decides nothing, so nobody names one."""


@dataclass(frozen=True)
class KnownPerson:
    """An active person and the ways to write their name."""

    id: str
    name: str
    email: str | None = None
    groups: Collection[str] = field(default_factory=frozenset)

    @property
    def label(self) -> str:
        """Return the name and id of the person for error messages. The e-mail address is never part of this text."""
        return self.id if self.name == self.id else f"{self.name} ({self.id})"

    @property
    def written(self) -> Iterator[str]:
        """Yield all texts that identify this person."""
        yield self.id
        yield self.name
        yield self.label
        if self.email:
            yield self.email
            yield f"{self.name} <{self.email}>"


class UnknownName(ValueError):
    """Raised for a name that matches nobody, or several people.

    `str()` is a sentence with this error and with suggestions.
    """

    def __init__(self, said: str, suggestions: Sequence[str] = (), *, many: bool = False) -> None:
        super().__init__(said)
        self.suggestions = list(suggestions)
        """The suggestions: ids of people or names of groups, most similar first."""
        self.many = many
        """True if the name matches each of the suggestions; False if they are only similar."""


def folded(text: str) -> str:
    """Return the form of a name for comparisons: without case, accents, invisible marks and doubled spaces."""
    before = None
    while text != before:  # without accents, letters of several scripts may look like one script
        before, text = text, " ".join(without_accents(fold(text)).split())
    return text


class NameResolver:
    """Finds people and groups by name. The resolver works in memory; the function `resolver` loads the names from the
    database.
    """

    def __init__(self, known: Iterable[KnownPerson], groups: Collection[str] = ()) -> None:
        """Set up the resolver; `groups` are additional names of groups without members."""
        self._people = {each.id: each for each in known}
        self._groups = sorted({*groups, *(group for each in self._people.values() for group in each.groups)})

    def person(self, text: str, seen: Collection[str] | None = None) -> KnownPerson:
        """Return the person whom a text means. Raises UnknownName.

        If nobody matches, the error suggests names in `seen`; with None, it suggests any name. If several people
        match, the error names all of them.
        """
        if (exact := self._people.get(text.strip())) is not None:
            return exact
        found = self.meant(text)
        if len(found) == 1:
            return found[0]
        shown = _shown(text)
        if found:
            labels = _listed([each.label for each in found], "and")
            said = f"'{shown}' means {len(found)} people: {labels}; enter the id of one person"
            raise UnknownName(said, [each.id for each in found], many=True)
        close = self._close(text, "person", seen)
        said = f"there is no active person '{shown}'"
        raise UnknownName(said + _did_you_mean([label for _, label in close]), [id for id, _ in close])

    def meant(self, text: str) -> list[KnownPerson]:
        """Return all people whom a text means, without regard to case, accents and spaces."""
        wanted = folded(text)
        if not wanted:
            return []
        like = [each for each in self._people.values() if wanted in map(folded, each.written)]
        if like:
            return like
        dense = wanted.replace(" ", "")
        return [each for each in self._people.values() if dense in (_dense(text) for text in each.written)]

    def suggestions(self, text: str, kind: Kind, seen: Collection[str] | None = None) -> list[str]:
        """Return ids and names of groups similar to an unknown text, most similar first.

        `seen` are the people and groups that the asking person may see; None if the asking person may see all. Names
        that differ from the text only in case, accents and spaces are always included, because the asking person has
        typed them.
        """
        found: list[str] = []
        if kind != "person":
            found += [group for group in self._groups if _dense(group) == _dense(text)]
        if kind != "group":
            found += [each.id for each in self.meant(text)]
        return found or [name for name, _ in self._close(text, kind, seen)]

    def _close(self, text: str, kind: Kind, seen: Collection[str] | None) -> list[tuple[str, str]]:
        """Return similar names, most similar first, each as (id of a person or name of a group, text for errors)."""
        wanted = folded(text)[: 2 * SHOWN]
        if not wanted:
            return []
        groups = [(group, group, (group,)) for group in self._groups if kind != "person"]
        persons = [(each.id, each.label, (each.id, each.name)) for each in self._people.values() if kind != "group"]
        ranked = [
            (-likeness, id, label)
            for id, label, names in (*groups, *persons)
            if seen is None or id in seen
            if (likeness := max(_likeness(wanted, folded(name)) for name in names)) >= CLOSE
        ]
        return [(id, label) for _, id, label in sorted(ranked)[:MOST]]


def _likeness(wanted: str, name: str) -> float:
    """Return how similar two names are, from 0 for different names to 2 for equal names.

    The result is at least 1 if `name` contains all words of `wanted`.
    """
    parts = set(re.split(r"[\s._@-]+", name))
    ratio = difflib.SequenceMatcher(None, wanted, name).ratio()
    return ratio + (set(wanted.split()) <= parts)


async def resolver(conn: AsyncConnection, groups: Collection[str] = ()) -> NameResolver:
    """Return a resolver that knows all active people, their groups, and the groups in `groups`."""
    query = select(people.c.id, people.c.name, people.c.email, memberships.c.group_name)
    query = query.outerjoin(memberships, memberships.c.person == people.c.id).where(_IS_PERSON)
    rows = (await conn.execute(query.order_by(people.c.id))).all()
    own: dict[str, set[str]] = {}
    for row in rows:
        own.setdefault(row.id, set()).update({row.group_name} if row.group_name else ())
    return NameResolver([KnownPerson(row.id, row.name, row.email, own[row.id]) for row in rows], groups)


async def exact_id(conn: AsyncConnection, text: str) -> str | None:
    """Return the id of the active person if the text, without spaces around it, is exactly this id; None otherwise."""
    found = await conn.scalar(select(people.c.id).where(people.c.id == text.strip(), _IS_PERSON))
    return None if found is None else str(found)


async def id_meant(conn: AsyncConnection, text: str, seen: Collection[str] | None = None) -> str:
    """Return the id of the active person whom an id, a name or an e-mail address means. Raises UnknownName.

    If nobody matches, the error suggests names in `seen`; with None, it suggests any name. If several people match, the
    error names all of them.
    """
    if (exact := await exact_id(conn, text)) is not None:
        return exact
    everybody = await resolver(conn)
    return (await asyncio.to_thread(everybody.person, text, seen)).id


async def members_of(conn: AsyncConnection, groups: Collection[str]) -> set[str]:
    """Return the ids of all people who are in one of the groups."""
    query = select(memberships.c.person).where(memberships.c.group_name.in_(sorted(groups)))
    return set((await conn.execute(query)).scalars())


async def existing_names(conn: AsyncConnection, names: Collection[str]) -> tuple[set[str], set[str]]:
    """Return two sets of names: those that are ids of active people, and those that are groups with active members."""
    wanted = sorted(names)
    persons: set[str] = set()
    groups: set[str] = set()
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        known = select(people.c.id).where(people.c.id.in_(some), _IS_PERSON)
        persons.update((await conn.execute(known)).scalars())
        member = select(memberships.c.group_name).join(people, people.c.id == memberships.c.person).distinct()
        member = member.where(memberships.c.group_name.in_(some), _IS_PERSON)
        groups.update((await conn.execute(member)).scalars())
    return persons, groups


class NewGroup(Exception):
    """Raised for a group that has no members and that no policy names, because its name may be a typing error.

    `str()` is a sentence with this warning and with similar names.
    """

    def __init__(self, group: str, suggestions: Sequence[str]) -> None:
        super().__init__(
            f"the group '{_shown(group)}' has no members, and no policy names the group{_did_you_mean(suggestions)}"
        )
        self.group, self.suggestions = group, list(suggestions)


async def new_group(conn: AsyncConnection, wanted: Collection[str], named: Collection[str]) -> NewGroup | None:
    """Return a warning if the name of one of the groups in `wanted`, which people will join, may be a typing error;
    otherwise None.

    `named` are the groups of the policy.

    Call this function before the people join the groups. If the result is not None, raise it after the store has
    validated the names, so that the transaction is rolled back.
    """
    known = {*named, *ROLES}
    doubtful = [group for group in map(fold, wanted) if group not in known]
    _, there = await existing_names(conn, doubtful)
    for group in doubtful:
        if group not in there:
            return NewGroup(group, (await resolver(conn, known)).suggestions(group, "group"))
    return None


def refused(name: str, kind: Kind, suggestions: Sequence[str]) -> str:
    """Return a sentence that says why a name in a request is refused, with similar names that may be meant."""
    what = {
        "person": "is not the id of an active person",
        "group": "is not a group that has members",
        "person or group": "is neither the id of an active person nor a group that has members",
    }[kind]
    return f"'{_shown(name)}' {what}{_did_you_mean(suggestions)}"


def _did_you_mean(labels: Sequence[str]) -> str:
    return f"; did you mean {_listed(labels, 'or')}?" if labels else ""


def _listed(names: Sequence[str], last: str) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def _dense(text: str) -> str:
    return folded(text).replace(" ", "")


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return f"{line[:SHOWN]}…" if len(line) > SHOWN else line
