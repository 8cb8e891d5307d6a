"""Who sees which case: its requester, the candidates of its tasks, and the roles that see all."""

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, and_, exists, or_, true

from store.tables import candidates, tasks
from workflows.models import ADMINS, AUDITORS, OPERATORS


class Viewer(BaseModel):
    """A person who looks at lists."""

    model_config = ConfigDict(frozen=True)

    id: str
    groups: list[str] = []
    stands_in_for: "list[Viewer]" = []
    """Those who are away now and named this person as their substitute."""

    @property
    def sees_all(self) -> bool:
        """Whether a role opens every case."""
        return not {OPERATORS, AUDITORS, ADMINS}.isdisjoint(self.groups)

    def sees(self, case_id: ColumnElement[str], requester: ColumnElement[str]) -> ColumnElement[bool]:
        """The condition under which a row that names a case and its requester is shown."""
        if self.sees_all:
            return true()
        open_to = tasks.alias("open_to")
        # One inside the other, not joined: a join lets SQLite read all tasks of a group for each row of the list.
        asked = and_(candidates.c.kind == "asked", candidates.c.name == self.id)
        means = or_(asked, self.is_candidate(), *(absent.is_candidate() for absent in self.stands_in_for))
        named = exists().where(candidates.c.task_id == open_to.c.task_id, means)
        mine = or_(open_to.c.assignee == self.id, named)
        return or_(requester == self.id, exists().where(open_to.c.case_id == case_id, mine))

    def is_candidate(self) -> ColumnElement[bool]:
        """The condition under which a row of `candidates` means this viewer."""
        return or_(
            and_(candidates.c.kind == "user", candidates.c.name == self.id),
            and_(candidates.c.kind == "group", candidates.c.name.in_(self.groups)),
        )
