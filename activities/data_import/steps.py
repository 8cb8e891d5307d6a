"""The steps of a data import and their undos. The store of versions carries out each idempotency key only once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from temporalio import activity

from activities.data_import.dataset_file import DatasetFile
from activities.data_import.profile import Content, Profile, Profiler
from activities.data_import.request import DataImportRequest
from activities.shared.files_folder import Folder
from activities.shared.heartbeat import beating
from domain.base import Message
from domain.errors import Refused
from domain.step import StepCall

__all__ = ["DataImports", "Profile", "Publication", "Published", "Staged", "Staging"]

CHUNK = 1000
"""Number of rows in one transaction, which locks out other writers for a few hundredths of a second."""


class Staging(Message):
    """The input of the step that loads a file.

    The input names the file by hash: only the file whose profile the data stewards will see is loaded.
    """

    dataset: str
    file: str
    schema_file: str
    sha256: str
    schema_sha256: str = ""
    """The SHA-256 of the schema; empty in histories of older releases."""
    profile: Profile | None
    """The profile of the file; None if operators skipped the profiling. Without a profile, nothing is loaded."""

    @classmethod
    def of(cls, request: DataImportRequest, profile: Profile | None) -> "Staging":
        """Return the input for the file of this request. `profile` is None if operators skipped the profiling."""
        return cls(
            dataset=request.dataset,
            file=request.file,
            schema_file=request.schema_file,
            sha256=profile.sha256 if profile else "",
            schema_sha256=profile.schema_sha256 if profile else "",
            profile=profile,
        )


class Publication(Message):
    """The input of the step that publishes a version.

    The input names the dataset, and the published version with which the profile compares the file.
    """

    dataset: str
    base: int | None
    """The number of the published version; None if there was none, or if operators skipped the profiling."""

    @classmethod
    def of(cls, request: DataImportRequest, profile: Profile | None) -> "Publication":
        """Return the input for the dataset of this request. `profile` is None if operators skipped the profiling."""
        return cls(dataset=request.dataset, base=profile.base if profile else None)


class Staged(Message):
    """The output of `load_rows`: a version that is loaded and that readers cannot see yet."""

    version: int
    rows: int


class Published(Message):
    """The output of `publish_version`: the version that readers see now."""

    dataset: str
    version: int
    rows: int
    published_at: datetime


class Loaded(Protocol):
    """A loaded version in the store of versions."""

    @property
    def version(self) -> int: ...
    @property
    def rows(self) -> int: ...


class InForce(Loaded, Protocol):
    """The published version of a dataset, which readers see."""

    @property
    def published_at(self) -> datetime: ...


class Datasets(Protocol):
    """The store of dataset versions.

    A key has one effect only. If the undo of a key arrives before its step, the key becomes void and the step is
    refused.
    """

    async def current(self, name: str) -> int | None:
        """Return the number of the published version of a dataset; None if no version is published."""

    def all_rows(self, name: str, version: int) -> AsyncIterator[dict[str, Any]]: ...

    async def stage(
        self,
        key: str,
        case_id: str,
        name: str,
        sha256: str,
        profile: dict[str, Any],
        chunks: AsyncIterator[Sequence[Any]],
    ) -> Loaded: ...

    async def unstage(self, key: str, undoes: str, case_id: str) -> bool: ...

    async def publish(self, key: str, case_id: str, name: str, base: int | None) -> InForce: ...

    async def unpublish(self, key: str, undoes: str, case_id: str) -> bool: ...


class DataImports:
    """The steps that turn a file into a published version of a dataset."""

    def __init__(self, datasets: Datasets, files: Path) -> None:
        self._datasets, self._folder = datasets, Folder(files)

    @activity.defn
    async def profile_file(self, call: StepCall[DataImportRequest]) -> Profile:
        """Check the file against its schema, profile it, and compare the profile with the published version.

        The step changes nothing.
        """
        asked = call.input
        async with beating():
            profiler, file = await asyncio.to_thread(self._profiled, asked)
            published = await self._published(asked.dataset)
        return profiler.made(
            asked.dataset, asked.file, sha256=file.sha256, schema_sha256=file.schema_sha256, published=published
        )

    async def _published(self, dataset: str) -> tuple[int, Content] | None:
        version = await self._datasets.current(dataset)
        if version is None:
            return None
        content = Content()
        # The columns come from the rows, because a profile does not name all of them.
        async for row in self._datasets.all_rows(dataset, version):
            content.add(row)
        return version, content

    def _profiled(self, asked: DataImportRequest) -> tuple[Profiler, DatasetFile]:
        profiler, file = Profiler(), DatasetFile(self._folder, asked.file, asked.schema_file)
        for _ in profiler.watch(file.rows()):
            pass
        return profiler, file

    @activity.defn
    async def load_rows(self, call: StepCall[Staging]) -> Staged:
        """Load the file as a version that is not yet visible.

        Raises Refused if the file or its schema has changed since the profiling, or if operators skipped the profiling.
        """
        asked = call.input
        if asked.profile is None:
            raise Refused(f"'{asked.file}' was not checked, so it is not loaded. Submit the request again.")
        async with beating():
            file = await asyncio.to_thread(DatasetFile, self._folder, asked.file, asked.schema_file)
            loaded = await self._datasets.stage(
                call.key,
                call.case_id,
                asked.dataset,
                asked.sha256,
                asked.profile.model_dump(mode="json"),
                self._chunks(file, asked),
            )
        return Staged(version=loaded.version, rows=loaded.rows)

    async def _chunks(self, file: DatasetFile, asked: Staging) -> AsyncIterator[Sequence[Any]]:
        if asked.schema_sha256 not in ("", file.schema_sha256):
            raise Refused(
                f"'{asked.schema_file}' has changed since '{asked.file}' was checked. Submit the request again."
            )
        rows = file.rows()
        while chunk := await asyncio.to_thread(lambda: list(islice(rows, CHUNK))):
            if file.sha256 != asked.sha256:
                raise Refused(f"'{asked.file}' has changed since it was checked. Submit the request again.")
            yield chunk

    @activity.defn
    async def drop_rows(self, call: StepCall[Staging]) -> bool:
        """Undo `load_rows`: remove the loaded version. Return True if there was a version to remove."""
        async with beating():
            return await self._datasets.unstage(call.key, call.undone, call.case_id)

    @activity.defn
    async def publish_version(self, call: StepCall[Publication]) -> Published:
        """Publish the loaded version in one transaction, in place of the published version."""
        name = call.input.dataset
        made = await self._datasets.publish(call.key, call.case_id, name, call.input.base)
        return Published(dataset=name, version=made.version, rows=made.rows, published_at=made.published_at)

    @activity.defn
    async def restore_version(self, call: StepCall[Publication]) -> bool:
        """Undo `publish_version`: publish the previous version again. If there was no previous version, no version is
        published.

        Return True if anything was undone.
        """
        return await self._datasets.unpublish(call.key, call.undone, call.case_id)
