"""Datasets in versions. To publish is to change one row, so readers see all of a version or nothing of it.

An attempt to load has a version of its own, which counts once the key is noted in the same transaction as its number
of rows; what an attempt left behind that died is removed by the next one, or by the undo.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store import effects
from store.database import Database, insert_into
from store.tables import dataset_rows, dataset_versions, datasets
from workflows.models import Refused

UNFINISHED = -1
"""The number of rows of a version that is being loaded."""
_PAGE = 2000


class StagedVersion(BaseModel):
    """A version that is loaded."""

    version: int
    rows: int


class PublishedVersion(StagedVersion):
    """A version in force."""

    dataset: str
    published_at: datetime


class DatasetView(PublishedVersion):
    """A published dataset."""

    sha256: str
    case_id: str
    profile: dict[str, Any]


class Datasets:
    """Versions of datasets in SQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # ----------------------------------------------------------------------------------------------------- effects

    async def stage(
        self,
        key: str,
        case_id: str,
        name: str,
        sha256: str,
        profile: dict[str, Any],
        chunks: AsyncIterator[Sequence[Any]],
    ) -> StagedVersion:
        """Load a version, a transaction for each chunk. Raises Refused for a void, and whatever `chunks` raises."""

        began = datetime.now(UTC)

        async def begin(conn: AsyncConnection) -> StagedVersion | int:
            if (done := await effects.done(conn, key)) is not None:
                return StagedVersion.model_validate(done)
            await _remove(conn, name, await _unfinished(conn, case_id))
            query = select(func.max(dataset_versions.c.version)).where(dataset_versions.c.name == name)
            version = ((await conn.execute(query)).scalar_one() or 0) + 1
            row = {"name": name, "version": version, "case_id": case_id, "sha256": sha256, "profile": profile}
            await conn.execute(insert(dataset_versions).values(**row, rows=UNFINISHED, staged_at=began))
            return version

        begun = await effects.once(self._db, begin)
        if isinstance(begun, StagedVersion):
            return begun
        number = 0
        async for chunk in chunks:
            values = [
                {"name": name, "version": begun, "number": number + place, "data": row}
                for place, row in enumerate(chunk, 1)
            ]
            number += len(chunk)
            async with self._db.write() as conn:
                await conn.execute(insert(dataset_rows), values)
        staged = StagedVersion(version=begun, rows=number)

        async def finish(conn: AsyncConnection) -> StagedVersion:
            if (done := await effects.done(conn, key)) is not None:
                if begun != done["version"]:  # a successor may have got the number of what it had removed
                    await _remove(conn, name, [begun])
                return StagedVersion.model_validate(done)
            finished = (
                await conn.execute(
                    update(dataset_versions)
                    .where(
                        dataset_versions.c.name == name,
                        dataset_versions.c.version == begun,
                        # A late attempt must not finish what its successor began anew under the same number.
                        dataset_versions.c.staged_at == began,
                    )
                    .values(rows=number)
                    .returning(dataset_versions.c.version)
                )
            ).first()
            if finished is None:
                raise RuntimeError("another attempt has removed what this one was loading")
            await effects.do(conn, key, "load_rows", case_id, {**staged.model_dump(), "name": name})
            return staged

        return await effects.once(self._db, finish)

    async def unstage(self, key: str, undoes: str, case_id: str) -> bool:
        """Remove the version of this key, and what attempts have left. Answers whether there was a version."""

        async def take_back(conn: AsyncConnection) -> bool:
            undo = await effects.undo(conn, key, undoes, "drop_rows", case_id)
            for name, version in await _of_case(conn, case_id, unfinished=True):
                await _remove(conn, name, [version])
            if undo.now is not None:
                await _remove(conn, undo.now["name"], [undo.now["version"]])
            return undo.anything

        return await effects.once(self._db, take_back)

    async def publish(self, key: str, case_id: str, name: str, base: int | None) -> PublishedVersion:
        """Put the version that this case loaded in force. Raises Refused when `base` is no longer what it replaces."""

        async def put(conn: AsyncConnection) -> PublishedVersion:
            if (done := await effects.done(conn, key)) is not None:
                return PublishedVersion.model_validate(done)
            staged = await _of_case(conn, case_id)
            if not staged:
                raise Refused(f"Nothing is loaded that could be published as {name}.")
            version = staged[-1][1]
            before = await _version_in_force(conn, name)
            if before != base:
                raise Refused(
                    f"Version {before} of {name} was published meanwhile, and those who approved had compared with "
                    f"{f'version {base}' if base else 'none'}. Import the file again."
                )
            at = datetime.now(UTC)
            await _put_in_force(conn, name, version, at)
            where = (dataset_versions.c.name == name, dataset_versions.c.version == version)
            changed = update(dataset_versions).where(*where).values(published_at=at).returning(dataset_versions.c.rows)
            rows = (await conn.execute(changed)).scalar_one()
            published = PublishedVersion(dataset=name, version=version, rows=rows, published_at=at)
            await effects.do(
                conn, key, "publish_version", case_id, {**published.model_dump(mode="json"), "before": before}
            )
            return published

        return await effects.once(self._db, put)

    async def unpublish(self, key: str, undoes: str, case_id: str) -> bool:
        """Put the version before in force again. Raises Refused when another was published since."""

        async def take_back(conn: AsyncConnection) -> bool:
            undo = await effects.undo(conn, key, undoes, "restore_version", case_id)
            if undo.now is not None:
                name, version, before = undo.now["dataset"], undo.now["version"], undo.now["before"]
                if (in_force := await _version_in_force(conn, name)) != version:
                    raise Refused(f"Version {in_force} of {name} was published since: roll that one back first.")
                at = None
                if before is not None:
                    query = select(dataset_versions.c.published_at).where(
                        dataset_versions.c.name == name, dataset_versions.c.version == before
                    )
                    at = (await conn.execute(query)).scalar_one()
                await _put_in_force(conn, name, before, at)
            return undo.anything

        return await effects.once(self._db, take_back)

    # ----------------------------------------------------------------------------------------------------- reading

    async def current(self, name: str) -> tuple[int, list[str]] | None:
        """Version and columns of what is published."""
        view = await self.view(name)
        return (view.version, [column["name"] for column in view.profile["columns"]]) if view else None

    async def view(self, name: str) -> DatasetView | None:
        """What is published under a name; None for nothing."""
        found = await self.views(name)
        return found[0] if found else None

    async def views(self, name: str | None = None) -> list[DatasetView]:
        """What is published, by name."""
        query = (
            select(datasets.c.name.label("dataset"), datasets.c.published_at, *_shown())
            .join(
                dataset_versions,
                (dataset_versions.c.name == datasets.c.name) & (dataset_versions.c.version == datasets.c.version),
            )
            .order_by(datasets.c.name)
        )
        if name is not None:
            query = query.where(datasets.c.name == name)
        async with self._db.read() as conn:
            return [DatasetView.model_validate(dict(row)) for row in (await conn.execute(query)).mappings()]

    async def rows(
        self, name: str, version: int, *, after: int = 0, limit: int = 50
    ) -> list[tuple[int, dict[str, Any]]]:
        """Rows of a version with their numbers, in the order of the file."""
        async with self._db.read() as conn:
            query = (
                select(dataset_rows.c.number, dataset_rows.c.data)
                .where(dataset_rows.c.name == name, dataset_rows.c.version == version, dataset_rows.c.number > after)
                .order_by(dataset_rows.c.number)
                .limit(limit)
            )
            return [(row.number, row.data) for row in await conn.execute(query)]

    async def all_rows(self, name: str, version: int) -> AsyncIterator[dict[str, Any]]:
        """All rows of a version, page by page."""
        after = 0
        while page := await self.rows(name, version, after=after, limit=_PAGE):
            after = page[-1][0]
            for _, row in page:
                yield row


def _shown() -> list[Any]:
    columns = dataset_versions.c
    return [columns.version, columns.rows, columns.sha256, columns.case_id, columns.profile]


async def _of_case(conn: AsyncConnection, case_id: str, *, unfinished: bool = False) -> list[tuple[str, int]]:
    rows = dataset_versions.c.rows
    query = (
        select(dataset_versions.c.name, dataset_versions.c.version)
        .where(dataset_versions.c.case_id == case_id, rows == UNFINISHED if unfinished else rows != UNFINISHED)
        .order_by(dataset_versions.c.version)
    )
    return [(row.name, row.version) for row in await conn.execute(query)]


async def _unfinished(conn: AsyncConnection, case_id: str) -> list[int]:
    return [version for _, version in await _of_case(conn, case_id, unfinished=True)]


async def _remove(conn: AsyncConnection, name: str, versions: Sequence[int]) -> None:
    for table in (dataset_rows, dataset_versions):
        await conn.execute(delete(table).where(table.c.name == name, table.c.version.in_(versions)))


async def _version_in_force(conn: AsyncConnection, name: str) -> int | None:
    query = select(datasets.c.version).where(datasets.c.name == name).with_for_update()
    return (await conn.execute(query)).scalar_one_or_none()


async def _put_in_force(conn: AsyncConnection, name: str, version: int | None, at: datetime | None) -> None:
    values = {"version": version, "published_at": at}
    putting = insert_into(conn, datasets).values(name=name, **values)
    await conn.execute(putting.on_conflict_do_update(index_elements=[datasets.c.name], set_=values))
