"""Erase the content of the rows of a case, beside its tasks and its receivers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, String, cast, delete, exists, null, or_, select, update

from domain.normalization import search_words
from store.db.database import fit
from store.erasure.erasing import NAME, Erasing
from store.erasure.task_rows import erase_tasks
from store.tables.audit import refusal_counts
from store.tables.cases import (
    actions,
    attachments,
    batch_rows,
    bulk_results,
    case_keys,
    cases,
    decisions,
    proofs,
    stopped,
)
from store.tables.notifications import messages, notices

_RESULT = ("case_id", "status", "audit", "rule_at", "resubmit_after")
"""The fields of a CaseResult that stay. `audit` proves where the chain of events ended."""
_ROLLBACK = ("number", "by", "policy_hash", "at", "lost", "planned", "begun")
"""The fields of a RollbackAsked that stay."""
EMPTY_ROW: Mapping[str, Any] = {"input": null(), "differs": [], "changes": [], "errors": [], "not_again": None}
"""The values of an erased row of an upload. Its reference and its outcome stay."""


async def erase_rows(erasing: Erasing, case: Row[Any]) -> None:
    """Erase the content of all rows of the case. `case` is its row; `cases.erased_at` is set by the caller."""
    own = erasing.case_id
    await _erase_case(erasing, case)
    tasks = await erase_tasks(erasing)
    nothing = {"comment": "", "content": "", "refusal": "", "name": "", "edits": null()}
    await erasing.run(update(decisions).where(decisions.c.case_id == own).values(nothing))
    await erasing.run(update(actions).where(actions.c.case_id == own).values(content="", refusal=""))
    for table in (decisions, actions):  # nobody answers these any more
        waits = (table.c.case_id == own, table.c.status == "pending")
        await erasing.conn.execute(update(table).where(*waits).values(status="refused"))
    erasing.proofs += await _erase_proofs(erasing)
    await _erase_attachments(erasing)
    await erasing.run(delete(stopped).where(stopped.c.case_id == own))
    await erasing.run(delete(refusal_counts).where(refusal_counts.c.case_id == own))
    await _delete_notices(erasing)
    await _delete_bulk_results(erasing, tasks)
    await erasing.run(update(batch_rows).where(batch_rows.c.case_id == own).values(EMPTY_ROW))
    await _destroy_key(erasing, own)


async def _erase_case(erasing: Erasing, case: Row[Any]) -> None:
    result, rollback = case.result, case.rollback
    values = {
        "title": NAME,
        "words": fit(search_words(case.case_id, NAME), cases.c.words),
        "input": {},
        "result": {"reason": "", **_only(result, _RESULT)} if result is not None else null(),
        "plan": null(),
        "rollback": {"reason": "", **_only(rollback, _ROLLBACK)} if rollback is not None else null(),
        "salt": None,
        "idempotency_key": None,
        "resubmit_at": None,
    }
    await erasing.run(update(cases).where(cases.c.case_id == case.case_id).values(values))


def _only(stored: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: stored[name] for name in names if name in stored}


async def _erase_proofs(erasing: Erasing) -> int:
    """Erase the signed texts, and the signatures: with the public key, a signature confirms a guess of its text."""
    its = (proofs.c.case_id == erasing.case_id, proofs.c.text != "")
    return (await erasing.conn.execute(update(proofs).where(*its).values(text="", proof=""))).rowcount


async def _erase_attachments(erasing: Erasing) -> None:
    """Delete the rows of the attachments, and the files that no other row has."""
    its = attachments.c.case_id == erasing.case_id
    held = set((await erasing.conn.execute(select(attachments.c.sha256).where(its))).scalars())
    await erasing.run(delete(attachments).where(its))
    other = select(attachments.c.sha256).where(attachments.c.sha256.in_(held))
    needed = set((await erasing.conn.execute(other)).scalars())
    await erasing.delete_files([f"attachments/{name}" for name in sorted(held - needed)])


async def _delete_notices(erasing: Erasing) -> None:
    """Delete the notifications about the case, and the messages that have no other notification."""
    its = notices.c.case_id == erasing.case_id
    told = list((await erasing.conn.execute(select(notices.c.message_id).where(its).distinct())).scalars())
    await erasing.run(delete(notices).where(its))
    without = ~exists().where(notices.c.message_id == messages.c.message_id)
    await erasing.run(delete(messages).where(messages.c.message_id.in_([id for id in told if id]), without))


async def _delete_bulk_results(erasing: Erasing, tasks: Sequence[str]) -> None:
    if tasks:
        said = cast(bulk_results.c.results, String)
        named = or_(*(said.contains(json.dumps(task_id), autoescape=True) for task_id in tasks))
        await erasing.run(delete(bulk_results).where(named))


async def _destroy_key(erasing: Erasing, subject: str) -> None:
    """Destroy the data key of the Workflow, so that nobody can read its history in Temporal any more."""
    its = (case_keys.c.subject == subject, case_keys.c.erased_at.is_(None))
    await erasing.run(update(case_keys).where(*its).values(wrapped=None, kek=None, erased_at=erasing.at))
