"""Erase the content of tasks, and keep what lists, rules and durations need: ids, people, states and times."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import null, select, update

from domain.normalization import search_words
from store.db.database import fit
from store.erasure.erasing import NAME, Erasing
from store.tables.cases import tasks

KEPT = frozenset(
    (
        *("task_id", "case_id", "workflow_id", "batch_id", "process", "gate", "kind", "status", "outcome"),
        *("requester", "on_behalf_of", "asked_for", "operators", "assignee", "owner"),
        *("candidate_groups", "candidate_users", "excluded_users", "members", "given_by_hand", "arranged_by"),
        *("quorum", "veto", "verdicts", "comment_needed", "revision_required", "confirm", "editable", "substitutes"),
        *("opened_at", "closed_at", "due_at", "expires_at", "priority", "revision", "round", "clock"),
        *("set_by_hand", "shifted", "paused_at"),
    )
)
"""The fields of a TaskView that stay. They hold ids, names of the policy, numbers, states and times."""
GONE = frozenset(
    ("title", "summary", "key_fields", "money", "rule", "changes", "questions", "input", "facts", "salt", "decisions")
)
"""The fields of a TaskView that are erased. A stored task without them is read with their defaults."""


def without_content(view: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a stored task that stay."""
    return {name: value for name, value in view.items() if name in KEPT}


async def erase_tasks(erasing: Erasing) -> list[str]:
    """Erase the content of the tasks of the case, and return their ids."""
    query = select(tasks.c.task_id, tasks.c.view, tasks.c.state).where(tasks.c.case_id == erasing.case_id)
    rows = (await erasing.conn.execute(query)).all()
    words = fit(search_words(erasing.case_id, NAME), tasks.c.words)
    for row in rows:
        values = {
            "title": NAME,
            "view": {**without_content(row.view), "title": NAME, "summary": ""},
            "state": without_content(row.state) if row.state else null(),
            "subject": "",
            "words": words,
        }
        await erasing.run(update(tasks).where(tasks.c.task_id == row.task_id).values(values))
    return [row.task_id for row in rows]
