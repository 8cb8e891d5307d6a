"""Who sees which case: its requester, the candidates of its tasks, and the roles that see all."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, and_, exists, or_, select, true

from domain.names import ADMINS, AUDITORS, OPERATORS
from store.tables.cases import candidates, tasks

Name = tuple[str, str]
"""How a case is open to somebody: `person` (who asked for it or holds a task), else a kind and name of `candidates`."""
PERSONAL = ("user", "member")
"""Kinds of `candidates` by which a person is one; by `group` those are who are in it now."""


def names_of(groups: Iterable[str], users: Iterable[str], members: Mapping[str, Sequence[str]]) -> set[Name]:
    """Return kind and name of the candidates of a task, as `candidates` has them.

    `members`: groups whose members at the opening count, with those. Such a group opens nothing to who is in it now.
    """
    found = {("user", user) for user in users}
    for group in groups:
        found |= (
            {("snapshot", group), *(("member", each) for each in members[group])}
            if group in members
            else {("group", group)}
        )
    return found


class Viewer(BaseModel):
    """A person who looks at lists."""

    model_config = ConfigDict(frozen=True)

    id: str
    groups: list[str] = []
    comes_after: list[str] = []
    """Those who have left and in whose place this person is: what they asked for is this person's now."""
    stands_in_for: "list[Viewer]" = []
    """Those who are away now and named this person as their substitute."""

    @property
    def sees_all(self) -> bool:
        """Whether a role opens every case."""
        return not {OPERATORS, AUDITORS, ADMINS}.isdisjoint(self.groups)

    @property
    def asks_as(self) -> list[str]:
        """The ids under which cases and uploads are theirs."""
        return [self.id, *self.comes_after]

    @property
    def answers_for(self) -> list[str]:
        """Whose questions this viewer may answer: those that were put to them, or to somebody who is away."""
        return [self.id, *(absent.id for absent in self.stands_in_for)]

    @cached_property
    def known_as(self) -> frozenset[Name]:
        """The names of which one must be among those of a case, for this viewer to see it: `sees` without SQL."""
        own = {*(("person", name) for name in self.asks_as), *(("asked", name) for name in self.answers_for)}
        return frozenset(own.union(*(each._candidate_names for each in (self, *self.stands_in_for))))

    def sees(
        self, case_id: ColumnElement[str], requester: ColumnElement[str], *, first: bool = False
    ) -> ColumnElement[bool]:
        """The condition under which a row that names a case and its requester is shown.

        `first`: only the first of many rows are wanted, so PostgreSQL should not gather all cases before it begins.
        """
        if self.sees_all:
            return true()
        open_to = tasks.alias("open_to")
        # One inside the other, not joined: a join lets SQLite read all tasks of a group for each row of the list.
        asked = and_(candidates.c.kind == "asked", candidates.c.name.in_(self.answers_for))
        means = or_(asked, self.is_candidate(), *(absent.is_candidate() for absent in self.stands_in_for))
        named = exists().where(candidates.c.task_id == open_to.c.task_id, means)
        mine = or_(open_to.c.assignee == self.id, named)
        if first:
            one = select(open_to.c.task_id).where(open_to.c.case_id == case_id, mine).limit(1)
            return or_(requester.in_(self.asks_as), one.scalar_subquery().is_not(None))
        return or_(requester.in_(self.asks_as), exists().where(open_to.c.case_id == case_id, mine))

    @property
    def _candidate_names(self) -> set[Name]:
        return {*((kind, self.id) for kind in PERSONAL), *(("group", group) for group in self.groups)}

    def is_candidate(self) -> ColumnElement[bool]:
        """The condition under which a row of `candidates` means this viewer."""
        return or_(
            and_(candidates.c.kind.in_(PERSONAL), candidates.c.name == self.id),
            and_(candidates.c.kind == "group", candidates.c.name.in_(self.groups)),
        )
