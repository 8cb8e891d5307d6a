"""What the receivers of effects erase with a case. Plugins register erasers of their own with `on_erasure`."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sqlalchemy import delete, func, insert, null, select, update

from store.erasure.erasing import NAME, Erasing
from store.tables.receivers import (
    accepted_risks,
    dataset_rows,
    dataset_versions,
    datasets,
    directory_accounts,
    effects,
    entitlements,
    entries,
)

Eraser = Callable[[Erasing], Awaitable[None]]
"""Erases what a receiver holds of the case `erasing.case_id`, in the transaction of the erasure, by `erasing.run`.

An eraser runs for the cases of all processes, and again if the transaction is repeated. A case is erased only if all
erasers succeed. Data in other systems must be erased there: an eraser can list it in a table of its own for a job.
"""

PAYEE = "Erased payee"
_KEPT_RESULTS: Mapping[str, tuple[str, ...]] = {"publish_version": ("dataset", "version", "before")}
"""Fields of results that stay, by the kind of effect: later versions of a dataset need them for their rollback."""

_erasers: list[Eraser] = []


def on_erasure(eraser: Eraser) -> Eraser:
    """Register an eraser of a plugin. Use this as a decorator."""
    if eraser not in _erasers:
        _erasers.append(eraser)
    return eraser


async def erase_receivers(erasing: Erasing) -> None:
    """Erase what all receivers hold of the case."""
    for eraser in (*SHIPPED, *_erasers):
        await eraser(erasing)


async def _ledger(erasing: Erasing) -> None:
    """Make the payee a pseudonym. Amounts, accounts and references stay: the law requires books to be kept."""
    its = (entries.c.case_id == erasing.case_id, entries.c.payee.is_not(None))
    if await erasing.run(update(entries).where(*its).values(payee=PAYEE, payee_key=None, payee_account=None)):
        erasing.kept.append("The ledger keeps the amounts, accounts, times and references of the payment.")


async def _effects(erasing: Erasing) -> None:
    its = (effects.c.case_id == erasing.case_id, effects.c.result.is_not(None))
    for row in (await erasing.conn.execute(select(effects.c.key, effects.c.kind, effects.c.result).where(*its))).all():
        kept = {name: row.result[name] for name in _KEPT_RESULTS.get(row.kind, ()) if name in (row.result or {})}
        emptied: Any = kept or null()
        await erasing.run(update(effects).where(effects.c.key == row.key).values(result=emptied))


async def _datasets(erasing: Erasing) -> None:
    """Delete the rows of the versions that the case loaded. A published version is published no more."""
    its = dataset_versions.c.case_id == erasing.case_id
    found = select(dataset_versions.c.name, dataset_versions.c.version).where(its)
    for name, version in (await erasing.conn.execute(found)).all():
        of_version = (dataset_rows.c.name == name, dataset_rows.c.version == version)
        await erasing.run(delete(dataset_rows).where(*of_version))
        published = (datasets.c.name == name, datasets.c.version == version)
        if await erasing.run(update(datasets).where(*published).values(version=None, published_at=None)):
            erasing.kept.append(f"The dataset {name} has no published version any more: publish another one.")
    await erasing.run(update(dataset_versions).where(its).values(sha256="", profile={}))


async def _directory(erasing: Erasing) -> None:
    """Give each account of the case a random name. Whether the account is in use, and its entitlements, stay."""
    its = select(directory_accounts).where(directory_accounts.c.case_id == erasing.case_id)
    for row in (await erasing.conn.execute(its)).mappings().all():
        pseudonym = f"erased-{secrets.token_hex(8)}"
        about = {"username": pseudonym, "full_name": NAME, "email": "", "role": "", "manager": None}
        await erasing.conn.execute(insert(directory_accounts).values({**row, **about}))
        of_account = entitlements.c.username == row["username"]
        await erasing.run(update(entitlements).where(of_account).values(username=pseudonym))
        await erasing.run(delete(directory_accounts).where(directory_accounts.c.username == row["username"]))
        if row["active"]:
            erasing.kept.append(f"The directory account is now {pseudonym}. It is in use, with its entitlements.")


async def _accepted_risks(erasing: Erasing) -> None:
    """Erase what people said. A risk stays accepted until it expires."""
    nothing = {"target": "", "findings": [], "reason": ""}
    its = accepted_risks.c.case_id == erasing.case_id
    await erasing.run(update(accepted_risks).where(its).values(nothing))
    stands = (accepted_risks.c.expires_at > erasing.at, accepted_risks.c.withdrawn_at.is_(None))
    still = select(func.count()).where(its, *stands)
    if await erasing.conn.scalar(still):
        erasing.kept.append("The accepted risk stays in force until it expires, without its reason and findings.")


SHIPPED: tuple[Eraser, ...] = (_ledger, _effects, _datasets, _directory, _accepted_risks)
"""The erasers of the receivers in this database."""
