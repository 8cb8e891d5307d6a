"""Who sees which case: its requester, the candidates of its tasks, and the roles that see all."""

from functools import cached_property

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, and_, exists, or_, select, true

from store.tables import candidates, tasks
from workflows.models import ADMINS, AUDITORS, OPERATORS

Name = tuple[str, str]
"""How a case is open to somebody: `person` (who asked for it or holds a task), else a kind and name of `candidates`."""


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
    def asked_as(self) -> list[str]:
        """The ids under which they are asked questions."""
        return [self.id, *(absent.id for absent in self.stands_in_for)]

    @cached_property
    def known_as(self) -> frozenset[Name]:
        """The names of which one must be among those of a case, for this viewer to see it: `sees` without SQL."""
        own = {*(("person", each) for each in self.asks_as), *(("asked", each) for each in self.asked_as)}
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
        asked = and_(candidates.c.kind == "asked", candidates.c.name.in_(self.asked_as))
        means = or_(asked, self.is_candidate(), *(absent.is_candidate() for absent in self.stands_in_for))
        named = exists().where(candidates.c.task_id == open_to.c.task_id, means)
        mine = or_(open_to.c.assignee == self.id, named)
        if first:
            one = select(open_to.c.task_id).where(open_to.c.case_id == case_id, mine).limit(1)
            return or_(requester.in_(self.asks_as), one.scalar_subquery().is_not(None))
        return or_(requester.in_(self.asks_as), exists().where(open_to.c.case_id == case_id, mine))

    @property
    def _candidate_names(self) -> set[Name]:
        return {("user", self.id)} | {("group", group) for group in self.groups}

    def is_candidate(self) -> ColumnElement[bool]:
        """The condition under which a row of `candidates` means this viewer."""
        return or_(
            and_(candidates.c.kind == "user", candidates.c.name == self.id),
            and_(candidates.c.kind == "group", candidates.c.name.in_(self.groups)),
        )
