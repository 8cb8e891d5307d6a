"""Find out who can see a case.

These people can see a case: the requester or the requester's successor, people for whom a service account asks (or
their successors), candidates and assignees of its tasks, people who were asked a question, substitutes of absent
candidates and absent people who were asked, and people who oversee the process of the case: its viewers, operators and
auditors, and admins.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, and_, exists, false, or_, select, true

from domain.names import SEVERAL
from domain.permissions import requesters
from domain.scope import Reach, Scope
from domain.task import TaskView
from store.cases.requesters import counts_as_requester
from store.tables.cases import batch_rows, batches, candidates, tasks

Name = tuple[str, str]
"""A reason why a person may see a case, as (kind, name).

The kind is `person` for an assignee and for everybody who counts as requester, otherwise a kind in `candidates`.
"""
PERSONAL = ("user", "member")
"""The kinds of `candidates` whose name is a person. The kind `group` means the current members of a group."""


def names_of(groups: Iterable[str], users: Iterable[str], members: Mapping[str, Sequence[str]]) -> set[Name]:
    """Return the candidates of a task as (kind, name), the form in which `candidates` stores them.

    `members` are groups for which only the members at the opening count: people who join them later get no access.
    """
    found = {("user", user) for user in users}
    for group in groups:
        found |= (
            {("snapshot", group), *(("member", each) for each in members[group])}
            if group in members
            else {("group", group)}
        )
    return found


def within(process: ColumnElement[str], reach: Reach) -> ColumnElement[bool]:
    """Return the condition that a column with the name of a process has one of these processes."""
    if reach.everywhere:
        return true()
    return process.in_(sorted(reach.processes)) if reach.processes else false()


def uploads_within(reach: Reach) -> ColumnElement[bool]:
    """Return the condition that all rows of a batch are of these processes.

    A batch of several processes has them in its rows. An invalid row that names no process which its requester may
    start could belong to any process, so only people who oversee all processes see its batch.
    """
    if not reach.processes:
        return true() if reach.everywhere else false()
    names = sorted(reach.processes)
    unknown = and_(batch_rows.c.process == SEVERAL, batch_rows.c.outcome == "invalid")
    foreign = exists().where(
        batch_rows.c.batch_id == batches.c.batch_id,
        or_(unknown, batch_rows.c.process.not_in([*names, SEVERAL])),
    )
    return or_(batches.c.process.in_(names), and_(batches.c.process == SEVERAL, ~foreign))


class Viewer(BaseModel):
    """A person who reads lists and cases, with the data that say which cases the person may see."""

    model_config = ConfigDict(frozen=True)

    id: str
    groups: list[str] = []
    comes_after: list[str] = []
    """People who left and whose successor this person is; the requests of these people belong to this person now."""
    decides: bool = True
    """False for a service account, which is never a candidate, also if it is a member of a candidate group."""
    stands_in_for: "list[Viewer]" = []
    """People who are out of office now and have named this person as their substitute."""
    scope: Scope = Scope()
    """The processes that this person oversees. A substitute does not oversee the processes of an absent person."""

    @property
    def sees_all(self) -> bool:
        """Return True if the viewer's roles give access to every case."""
        return self.scope.sees.everywhere

    @property
    def asks_as(self) -> list[str]:
        """Return the ids of the people whose cases and uploads belong to this viewer: the viewer, and people who left
        and whose successor the viewer is.
        """
        return [self.id, *self.comes_after]

    @property
    def answers_for(self) -> list[str]:
        """Return the people whose questions this viewer may answer: the viewer, and absent people whom the viewer
        substitutes.
        """
        return [self.id, *(absent.id for absent in self.stands_in_for)]

    @cached_property
    def known_as(self) -> frozenset[Name]:
        """Return the names that give this viewer access to a case. `sees` expresses the same rule in SQL."""
        own = {*(("person", name) for name in self.asks_as), *(("asked", name) for name in self.answers_for)}
        return frozenset(own.union(*(each._candidate_names for each in (self, *self.stands_in_for))))

    def sees(
        self,
        case_id: ColumnElement[str],
        process: ColumnElement[str],
        requester: ColumnElement[str],
        *,
        first: bool = False,
    ) -> ColumnElement[bool]:
        """Return the condition under which the viewer may see a row with a case id, a process and a requester.

        If `first` is True, the caller needs only the first of many rows. The condition is then written so that
        PostgreSQL does not collect all visible cases before it returns the first row.
        """
        if self.sees_all:
            return true()
        open_to = tasks.alias("open_to")
        # Nested, not joined: with a join SQLite reads all tasks of a group for each row of the list.
        asked = and_(candidates.c.kind == "asked", candidates.c.name.in_(self.answers_for))
        means = or_(asked, self.is_candidate(), *(absent.is_candidate() for absent in self.stands_in_for))
        named = exists().where(candidates.c.task_id == open_to.c.task_id, means)
        mine = or_(open_to.c.assignee == self.id, named)
        # What needs no other table comes first.
        overseen = [within(process, self.scope.sees)] if self.scope.sees else []
        asks = or_(*overseen, requester.in_(self.asks_as), counts_as_requester(case_id, self.asks_as))
        if first:
            one = select(open_to.c.task_id).where(open_to.c.case_id == case_id, mine).limit(1)
            return or_(asks, one.scalar_subquery().is_not(None))
        return or_(asks, exists().where(open_to.c.case_id == case_id, mine))

    def is_named_on(self, task: TaskView) -> bool:
        """Return True if the viewer oversees the process, or if the task names the viewer as requester or candidate.

        A person whose successor the viewer is counts as requester too, and an absent person whom the viewer substitutes
        counts as candidate too. If the result is True, `sees` is true for the case of the task. `sees` may be true for
        other reasons too, such as another task of the case.
        """
        names = names_of(task.candidate_groups, task.candidate_users, task.members)
        names |= {("person", name) for name in requesters(task)}
        return task.process in self.scope.sees or not self.known_as.isdisjoint(names)

    @property
    def _candidate_names(self) -> set[Name]:
        own = {*((kind, self.id) for kind in PERSONAL), *(("group", group) for group in self.groups)}
        return own if self.decides else set()

    def is_candidate(self) -> ColumnElement[bool]:
        """Return the condition under which a row of `candidates` matches this viewer."""
        if not self.decides:
            return false()
        return or_(self.is_named(), and_(candidates.c.kind == "group", candidates.c.name.in_(self.groups)))

    def is_named(self) -> ColumnElement[bool]:
        """Return the condition under which a row of `candidates` names this viewer as a person."""
        return and_(candidates.c.kind.in_(PERSONAL), candidates.c.name == self.id) if self.decides else false()
