"""One folding of references and payees, and one of what lists are searched by: see `domain.normalization`."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from domain.normalization import fold, search_words

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

AT_ONCE = 1000
_CASES = sa.table("cases", *(sa.column(name) for name in ("case_id", "process", "reference_key", "round", "title")))
_TASKS = sa.table("tasks", *(sa.column(name) for name in ("task_id", "case_id", "title", "words")))
_ENTRIES = sa.table("entries", *(sa.column(name) for name in ("entry_id", "reference", "payee", "payee_key")))


def upgrade() -> None:
    op.add_column("cases", sa.Column("words", sa.String(length=400), nullable=False, server_default=""))
    op.add_column("entries", sa.Column("reference_key", sa.String(length=240), nullable=False, server_default=""))
    _fill_cases()
    _fill_tasks()
    _fill_entries()
    op.drop_index("ix_entries_reference", "entries")
    op.create_index("ix_entries_reference_key", "entries", ["reference_key"])


def downgrade() -> None:
    op.drop_index("ix_entries_reference_key", "entries")
    op.create_index("ix_entries_reference", "entries", ["reference"])
    op.drop_column("entries", "reference_key")
    op.drop_column("cases", "words")


def _fill_cases() -> None:
    filled = sa.text("UPDATE cases SET words = :words WHERE case_id = :of")
    # Of two cases that are one by the new folding the second keeps the key it has: both have run, and none is started
    # again under either spelling.
    folded = sa.text(
        "UPDATE cases SET reference_key = :key WHERE case_id = :of AND NOT EXISTS (SELECT 1 FROM cases other "
        "WHERE other.process = :process AND other.reference_key = :key AND other.round = :round)"
    )
    for rows in _pages(_CASES, _CASES.c.case_id, ""):
        op.get_bind().execute(
            filled, [{"of": row.case_id, "words": search_words(row.case_id, row.title)[:400]} for row in rows]
        )
        for row in rows:
            if (key := fold(row.reference_key)[:240]) != row.reference_key:
                named = {"of": row.case_id, "key": key, "process": row.process, "round": row.round}
                op.get_bind().execute(folded, named)


def _fill_tasks() -> None:
    filled = sa.text("UPDATE tasks SET words = :words WHERE task_id = :of")
    for rows in _pages(_TASKS, _TASKS.c.task_id, ""):
        op.get_bind().execute(
            filled, [{"of": row.task_id, "words": search_words(row.case_id, row.title)[:400]} for row in rows]
        )


def _fill_entries() -> None:
    filled = sa.text("UPDATE entries SET reference_key = :reference, payee_key = :payee WHERE entry_id = :of")
    for rows in _pages(_ENTRIES, _ENTRIES.c.entry_id, 0):
        op.get_bind().execute(
            filled,
            [
                {
                    "of": row.entry_id,
                    "reference": fold(row.reference)[:240],
                    "payee": fold(row.payee)[:300] if row.payee is not None else row.payee_key,
                }
                for row in rows
            ],
        )


def _pages(table: Any, key: Any, after: Any) -> Iterator[Sequence[Any]]:
    while True:
        rows = op.get_bind().execute(sa.select(table).where(key > after).order_by(key).limit(AT_ONCE)).all()
        if not rows:
            return
        yield rows
        after = getattr(rows[-1], key.name)
