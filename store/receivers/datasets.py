"""Versions of datasets. Publishing a version changes one row, so readers see a complete version or nothing of it.

Each attempt to load creates a new version. The version exists for other code when its key and its number of rows are
stored, in one transaction. The next attempt, or the undo, removes the rows of an attempt that died. Numbers are never
reused. Each dataset has a row from its first attempt on; a change of the published version locks that row.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import ColumnElement, delete, insert, select, update

from domain.errors import Refused
from store.db.connection import AsyncConnection
from store.db.database import Database, insert_once
from store.receivers import idempotency
from store.tables.receivers import dataset_rows, dataset_versions, datasets, effects as effects_table

UNFINISHED = -1
"""The value that `rows` has while a version is still being loaded."""
_PAGE = 2000
_OVERTAKEN = "another attempt removed the rows that this attempt was loading"


class StagedVersion(BaseModel):
    """A version of a dataset of which all rows are loaded."""

    version: int
    rows: int


class PublishedVersion(StagedVersion):
    """The version of a dataset that was published by `publish`."""

    dataset: str
    published_at: datetime


class DatasetView(PublishedVersion):
    """A published dataset, as people read it."""

    sha256: str
    case_id: str
    profile: dict[str, Any]


class Datasets:
    """The store of versions of datasets in SQL."""

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
        """Load the rows of a new version of a dataset, in one transaction for each chunk of rows, and return the
        version.

        Raises Refused if the key is void, and every error that `chunks` raises.
        """

        async def begin(conn: AsyncConnection) -> StagedVersion | int:
            if (done := await idempotency.done(conn, key)) is not None:
                return StagedVersion.model_validate(done)
            await _remove(conn, name, await _unfinished(conn, case_id))
            version = await _next_number(conn, name)
            row = {"name": name, "version": version, "case_id": case_id, "sha256": sha256, "profile": profile}
            await conn.execute(insert(dataset_versions).values(**row, rows=UNFINISHED, staged_at=datetime.now(UTC)))
            return version

        begun = await idempotency.once(self._db, begin)
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
                if not await _is_there(conn, name, begun):
                    raise RuntimeError(_OVERTAKEN)
                await conn.execute(insert(dataset_rows), values)
        staged = StagedVersion(version=begun, rows=number)

        async def finish(conn: AsyncConnection) -> StagedVersion:
            if (done := await idempotency.done(conn, key)) is not None:  # by another attempt
                await _remove(conn, name, [begun])
                return StagedVersion.model_validate(done)
            if not await _is_there(conn, name, begun):
                raise RuntimeError(_OVERTAKEN)
            await conn.execute(update(dataset_versions).where(*_version(name, begun)).values(rows=number))
            await idempotency.do(conn, key, "load_rows", case_id, {**staged.model_dump(), "name": name})
            return staged

        return await idempotency.once(self._db, finish)

    async def unstage(self, key: str, undoes: str, case_id: str) -> bool:
        """Remove the version of this key, and the rows of unfinished attempts.

        Return True if the key loaded a version, also if the version was removed before. Raises Refused while the
        version is published, or would be published by the rollback of another version.
        """

        async def take_back(conn: AsyncConnection) -> bool:
            undo = await idempotency.undo(conn, key, undoes, "drop_rows", case_id)
            for name, version in await _of_case(conn, case_id, unfinished=True):
                await _remove(conn, name, [version])
            if undo.now is not None:
                name, version = undo.now["name"], undo.now["version"]
                if await _version_in_force(conn, name) == version:
                    raise Refused(
                        f"Version {version} of {name} is published, so its rows are not removed. Skip this step."
                    )
                if (later := await _published_over(conn, name, version)) is not None:
                    raise Refused(
                        f"A rollback of version {later} of {name} would publish version {version} again, so its rows "
                        f"are not removed: roll version {later} back first, or leave the rows."
                    )
                await _remove(conn, name, [version])
            return undo.anything

        return await idempotency.once(self._db, take_back)

    async def publish(self, key: str, case_id: str, name: str, base: int | None) -> PublishedVersion:
        """Publish the version that this case loaded.

        Raises Refused if the published version so far is not `base`, if this case has loaded no version, or if the key
        is void.
        """

        async def put(conn: AsyncConnection) -> PublishedVersion:
            if (done := await idempotency.done(conn, key)) is not None:
                return PublishedVersion.model_validate(done)
            staged = await _of_case(conn, case_id)
            if not staged:
                raise Refused(
                    f"No rows are loaded for {name}, so there is no version to publish. Import the file again."
                )
            version = staged[-1][1]
            before = await _version_in_force(conn, name)
            if before != base:
                raise Refused(
                    f"{f'Version {before}' if before else 'No version'} of {name} is published now, and the approval "
                    f"was for a comparison with {f'version {base}' if base else 'none'}. Import the file again."
                )
            at = datetime.now(UTC)
            await _put_in_force(conn, name, version, at)
            where = _version(name, version)
            changed = update(dataset_versions).where(*where).values(published_at=at).returning(dataset_versions.c.rows)
            rows = (await conn.execute(changed)).scalar_one()
            published = PublishedVersion(dataset=name, version=version, rows=rows, published_at=at)
            await idempotency.do(
                conn, key, "publish_version", case_id, {**published.model_dump(mode="json"), "before": before}
            )
            return published

        return await idempotency.once(self._db, put)

    async def unpublish(self, key: str, undoes: str, case_id: str) -> bool:
        """Undo `publish` with the key `undoes`: publish the previous version again. Return True if anything was undone.

        Raises Refused when another version was published since, or the previous one is no longer kept.
        """

        async def take_back(conn: AsyncConnection) -> bool:
            undo = await idempotency.undo(conn, key, undoes, "restore_version", case_id)
            if undo.now is not None:
                name, version, before = undo.now["dataset"], undo.now["version"], undo.now["before"]
                if (in_force := await _version_in_force(conn, name)) != version:
                    raise Refused(
                        f"Version {in_force} of {name} was published since: roll that one back first.",
                        about=f"published-since/{name}",
                    )
                at = None
                if before is not None:
                    query = select(dataset_versions.c.published_at).where(*_version(name, before))
                    found = (await conn.execute(query)).first()
                    if found is None:
                        raise Refused(
                            f"Version {before} of {name}, which was published before, is not kept any more, so version "
                            f"{version} stays published. Import the earlier file again instead.",
                            about=f"not-kept/{name}",
                        )
                    at = found.published_at
                await _put_in_force(conn, name, before, at)
            return undo.anything

        return await idempotency.once(self._db, take_back)

    # ----------------------------------------------------------------------------------------------------- reading

    async def current(self, name: str) -> int | None:
        """Return the number of the published version; None if no version is published."""
        view = await self.view(name)
        return view.version if view else None

    async def view(self, name: str) -> DatasetView | None:
        """Return the dataset published under a name, or None."""
        found = await self.views(name)
        return found[0] if found else None

    async def views(self, name: str | None = None) -> list[DatasetView]:
        """Return the published datasets, by name."""
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
        """Return the next `limit` rows of a version after row number `after`, with their numbers, in file order."""
        async with self._db.read() as conn:
            query = (
                select(dataset_rows.c.number, dataset_rows.c.data)
                .where(dataset_rows.c.name == name, dataset_rows.c.version == version, dataset_rows.c.number > after)
                .order_by(dataset_rows.c.number)
                .limit(limit)
            )
            return [(row.number, row.data) for row in await conn.execute(query)]

    async def all_rows(self, name: str, version: int) -> AsyncIterator[dict[str, Any]]:
        """Yield all rows of a version, page by page."""
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
    # The version first: this waits for an attempt that is writing a chunk, so that all its rows are visible.
    for table in (dataset_versions, dataset_rows):
        await conn.execute(delete(table).where(table.c.name == name, table.c.version.in_(versions)))


def _version(name: str, version: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return dataset_versions.c.name == name, dataset_versions.c.version == version


async def _is_there(conn: AsyncConnection, name: str, version: int) -> bool:
    """Return True if the version exists. The version cannot be removed until the end of this transaction."""
    query = select(dataset_versions.c.version).where(*_version(name, version)).with_for_update()
    return (await conn.execute(query)).first() is not None


async def _next_number(conn: AsyncConnection, name: str) -> int:
    """Return a number that no version ever had, including removed ones."""
    await insert_once(conn, datasets, {"name": name})
    counting = update(datasets).where(datasets.c.name == name).values(last=datasets.c.last + 1)
    return int((await conn.execute(counting.returning(datasets.c.last))).scalar_one())


async def _version_in_force(conn: AsyncConnection, name: str) -> int | None:
    """Return the number of the published version, or None. Other transactions cannot change this number until this
    transaction ends.
    """
    await insert_once(conn, datasets, {"name": name})  # a row to lock, also for the first version
    query = select(datasets.c.version).where(datasets.c.name == name).with_for_update()
    version: int | None = (await conn.execute(query)).scalar_one()
    return version


async def _published_over(conn: AsyncConnection, name: str, version: int) -> int | None:
    """Return the version that was published in place of `version`, if its rollback would publish `version` again; else
    None.
    """
    query = (
        select(effects_table.c.result)
        .join(dataset_versions, dataset_versions.c.case_id == effects_table.c.case_id)
        .where(
            dataset_versions.c.name == name,
            effects_table.c.kind == "publish_version",
            effects_table.c.state == "done",
        )
    )
    published = [made for made in (await conn.execute(query)).scalars() if made["dataset"] == name]
    return next((int(made["version"]) for made in published if made["before"] == version), None)


async def _put_in_force(conn: AsyncConnection, name: str, version: int | None, at: datetime | None) -> None:
    values = {"version": version, "published_at": at}
    await conn.execute(update(datasets).where(datasets.c.name == name).values(values))
