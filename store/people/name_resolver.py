"""From what people write to the person or group that they mean.

People know each other by id, name and e-mail address, and write them in their own capitals, with or without accents
and blanks. Whoever is meant without doubt is found; of several all are named; for nobody those are named who are close,
and only of them whom the asker sees anyway.
"""

import asyncio
import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.named_fields import Kind
from domain.names import ADMINS, AUDITORS, DATA_STEWARDS, OPERATORS, REQUESTERS, SECURITY
from domain.normalization import fold, without_accents
from store.tables.people import memberships, people

ROLES = frozenset({ADMINS, AUDITORS, DATA_STEWARDS, OPERATORS, REQUESTERS, SECURITY})
"""Groups that mean something to the software itself, whatever a policy says."""
CLOSE = 0.7
"""From this likeness on, of 0 to 1, a name is suggested for another."""
MOST = 3
"""So many suggestions."""
SHOWN = 80
"""Characters of a name that an error repeats."""


@dataclass(frozen=True)
class KnownPerson:
    """An active person, as others may write of them."""

    id: str
    name: str
    email: str | None = None
    groups: Collection[str] = field(default_factory=frozenset)

    @property
    def label(self) -> str:
        """The person as an error names them: never by the e-mail address."""
        return self.id if self.name == self.id else f"{self.name} ({self.id})"

    @property
    def written(self) -> Iterator[str]:
        """All that means this person."""
        yield self.id
        yield self.name
        yield self.label
        if self.email:
            yield self.email
            yield f"{self.name} <{self.email}>"


class UnknownName(ValueError):
    """A name that means nobody, or several people. `str()` says so, and whom it may mean."""

    def __init__(self, said: str, suggestions: Sequence[str] = (), *, many: bool = False) -> None:
        super().__init__(said)
        self.suggestions = list(suggestions)
        """Ids, or names of groups, the likeliest first."""
        self.many = many
        """Whether each of them is meant by the name."""


def folded(text: str) -> str:
    """A name as people compare names: without case, accents, invisible marks and doubled blanks."""
    before = None
    while text != before:  # without accents, letters of several scripts may be those of one
        before, text = text, " ".join(without_accents(fold(text)).split())
    return text


class NameResolver:
    """Everybody there is, to look names up in. Pure; `resolver` reads it from the store."""

    def __init__(self, known: Iterable[KnownPerson], groups: Collection[str] = ()) -> None:
        """`groups` are names of groups beside those that somebody is in."""
        self._people = {each.id: each for each in known}
        self._groups = sorted({*groups, *(group for each in self._people.values() for group in each.groups)})

    def person(self, text: str, seen: Collection[str] | None = None) -> KnownPerson:
        """The person whom a text means. Raises UnknownName, which suggests only those `seen`; None: all."""
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
        """All whom a text means, without regard to case, accents and blanks."""
        wanted = folded(text)
        if not wanted:
            return []
        like = [each for each in self._people.values() if wanted in map(folded, each.written)]
        if like:
            return like
        dense = wanted.replace(" ", "")
        return [each for each in self._people.values() if dense in (_dense(text) for text in each.written)]

    def suggestions(self, text: str, kind: Kind, seen: Collection[str] | None = None) -> list[str]:
        """Ids and names of groups that may be meant by a text which is neither, the likeliest first.

        `seen` are the people and groups of whom the asker knows; None: all. What is the same but for case, accents and
        blanks was known to who wrote it.
        """
        found: list[str] = []
        if kind != "person":
            found += [group for group in self._groups if _dense(group) == _dense(text)]
        if kind != "group":
            found += [each.id for each in self.meant(text)]
        return found or [name for name, _ in self._close(text, kind, seen)]

    def _close(self, text: str, kind: Kind, seen: Collection[str] | None) -> list[tuple[str, str]]:
        """Those whose names are like a text, the likeliest first: the id or the group, and what an error calls it."""
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
    """0 to 1; more than 1 where all words of the one stand in the other: half a name is enough to be asked after."""
    parts = set(re.split(r"[\s._@-]+", name))
    ratio = difflib.SequenceMatcher(None, wanted, name).ratio()
    return ratio + (set(wanted.split()) <= parts)


async def resolver(conn: AsyncConnection, groups: Collection[str] = ()) -> NameResolver:
    """A resolver of all active people, their groups and these."""
    query = select(people.c.id, people.c.name, people.c.email, memberships.c.group_name)
    query = query.outerjoin(memberships, memberships.c.person == people.c.id).where(people.c.active)
    rows = (await conn.execute(query.order_by(people.c.id))).all()
    own: dict[str, set[str]] = {}
    for row in rows:
        own.setdefault(row.id, set()).update({row.group_name} if row.group_name else ())
    return NameResolver([KnownPerson(row.id, row.name, row.email, own[row.id]) for row in rows], groups)


async def exact_id(conn: AsyncConnection, text: str) -> str | None:
    """The text, if it is the id of an active person."""
    found = await conn.scalar(select(people.c.id).where(people.c.id == text.strip(), people.c.active))
    return None if found is None else str(found)


async def id_meant(conn: AsyncConnection, text: str, seen: Collection[str] | None = None) -> str:
    """The id of the active person whom a text means: an id, a name or an e-mail address.

    Raises UnknownName, which suggests only those `seen`; None: all.
    """
    if (exact := await exact_id(conn, text)) is not None:
        return exact
    everybody = await resolver(conn)
    return (await asyncio.to_thread(everybody.person, text, seen)).id


async def members_of(conn: AsyncConnection, groups: Collection[str]) -> set[str]:
    """The ids of all who are in one of the groups."""
    query = select(memberships.c.person).where(memberships.c.group_name.in_(sorted(groups)))
    return set((await conn.execute(query)).scalars())


async def there_are(conn: AsyncConnection, names: Collection[str]) -> tuple[set[str], set[str]]:
    """Those of the names that are ids of active people, and those that are groups with active members."""
    wanted = sorted(names)
    persons: set[str] = set()
    groups: set[str] = set()
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        known = select(people.c.id).where(people.c.id.in_(some), people.c.active)
        persons.update((await conn.execute(known)).scalars())
        member = select(memberships.c.group_name).join(people, people.c.id == memberships.c.person).distinct()
        member = member.where(memberships.c.group_name.in_(some), people.c.active)
        groups.update((await conn.execute(member)).scalars())
    return persons, groups


class NewGroup(Exception):
    """A group that nobody is in and no policy names: perhaps a slip of the pen. `str()` says so."""

    def __init__(self, group: str, suggestions: Sequence[str]) -> None:
        super().__init__(
            f"the group '{_shown(group)}' has no members, and no policy names the group{_did_you_mean(suggestions)}"
        )
        self.group, self.suggestions = group, list(suggestions)


async def new_group(conn: AsyncConnection, wanted: Collection[str], named: Collection[str]) -> NewGroup | None:
    """What to ask before people are put into these groups; `named` are those of the policy.

    Ask it before they are in, and raise it, to undo that, once the store has taken the names as such.
    """
    known = {*named, *ROLES}
    doubtful = [group for group in map(fold, wanted) if group not in known]
    _, there = await there_are(conn, doubtful)
    for group in doubtful:
        if group not in there:
            return NewGroup(group, (await resolver(conn, known)).suggestions(group, "group"))
    return None


def refused(name: str, kind: Kind, suggestions: Sequence[str]) -> str:
    """Why a name in a request is refused, and what to write instead."""
    what = {
        "person": "is not the id of an active person",
        "group": "is not a group that somebody is in",
        "person or group": "is neither the id of an active person nor a group that somebody is in",
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
