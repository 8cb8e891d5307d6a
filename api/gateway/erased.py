"""Refuse messages to cases whose content was erased."""

from domain.erasure import check_content
from domain.task import TaskView
from store.cases import cases
from store.db.database import Database


async def check_not_erased(db: Database, task: TaskView) -> None:
    """Raise ContentErased if the content of the task's case was erased. Only ended cases are, so open tasks are not."""
    if task.status == "open":
        return
    async with db.read() as conn:
        case = await cases.get(conn, task.case_id)
    if case is not None:
        check_content(case)
