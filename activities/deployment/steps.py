"""The steps of a deployment and their undos.

`releases.py` detects repeated and late attempts by their idempotency keys.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from pydantic import Field
from temporalio import activity

from activities.deployment.apps import App
from activities.deployment.artefact import LIMITS, digests
from activities.deployment.health import HealthCheck, may_isolate, run_checks, wait_until_healthy
from activities.deployment.releases import Releases
from activities.deployment.request import DeploymentRequest
from activities.shared.files_folder import Folder
from activities.shared.heartbeat import beating
from domain.base import Message
from domain.errors import Refused
from domain.step import StepCall

__all__ = [
    "Checked",
    "Code",
    "Compared",
    "Deployed",
    "Deployments",
    "Healthy",
    "Release",
    "Switched",
]

MAX_NAMES = 50
"""The maximum number of names of different files that reviewers see."""
MAX_SIDECAR = 64 * 1024
_SUM = re.compile(r"([0-9a-fA-F]{64})(?:\s+\*?(.+))?")


class Release(Message):
    """The output of `unpack_release`: the unpacked release. `release` is empty if operators skipped the unpacking."""

    app: str
    artefact: str
    version: str = ""
    release: str = ""
    """The id of the release, unique by case and artefact."""
    sha256: str = ""
    files: int = 0
    bytes: int = 0

    @classmethod
    def not_unpacked(cls, request: DeploymentRequest) -> "Release":
        """Return the empty release that stands for a skipped unpacking. Every later step refuses an empty release."""
        return cls(app=request.app, artefact=request.artefact, version=request.version)


class Compared(Release):
    """The differences between a release and the live release, found without running code.

    `live`, `added`, `changed` and `removed` are None if operators skipped the step `compare_release`.
    """

    live: str | None = None
    """The id of the release that was live at the time of the comparison; None if no release was live."""
    added: int | None = None
    changed: int | None = None
    removed: int | None = None
    names: list[str] = Field(default=[])
    """`+ name`, `~ name` and `- name` of added, changed and removed files: the first fifty."""


class Code(Compared):
    """The input of the step that runs code of a release."""

    approved: bool
    """True if a person has approved the release before its code runs."""

    @classmethod
    def of(cls, release: Release, compared: Compared | None, *, approved: bool) -> "Code":
        """Return the code of a release. `compared` is None if operators skipped the comparison."""
        return cls(**dict(compared or release), approved=approved)


class Checked(Compared):
    """The facts about a release that people see after its checks have run."""

    checks: list[HealthCheck] | None
    """The checks of the app that have passed; None if operators skipped the checks."""
    isolated: bool | None
    """True if the code of the release ran isolated; None if no code was run."""

    @classmethod
    def not_run(cls, code: Code) -> "Checked":
        """Return the facts about a release whose checks operators skipped."""
        return cls(**code.model_dump(exclude={"approved"}), checks=None, isolated=None)


class Switched(Message):
    """The output of `switch_release`: the release that is live now, and the release that was live before."""

    release: str
    before: str | None


class Healthy(Message):
    """The output of `check_health`: the number of requests until the app was healthy."""

    asked: int


class Deployed(Message):
    """The output of the case: a release that is live and healthy."""

    app: str
    release: str
    version: str
    sha256: str
    before: str | None
    at: datetime


class Deployments:
    """The steps of a deployment: unpack, compare, check, switch and watch releases."""

    def __init__(
        self, releases: Releases, apps: Mapping[str, App], files: Path, checks: Path, *, unisolated: bool = False
    ) -> None:
        """Set up the steps. `checks` is the folder for temporary files of checks.

        `unisolated` is True if approved code may run on a machine that cannot isolate it.
        """
        self._releases = releases
        self._apps = apps
        self._folder = Folder(files)
        self._checks = checks
        self._unisolated = unisolated

    @activity.defn
    async def unpack_release(self, call: StepCall[DeploymentRequest]) -> Release:
        """Verify the artefact and unpack it next to the other releases of its app."""
        asked = call.input
        self._app(asked.app)

        @contextmanager
        def artefact() -> Iterator[tuple[IO[bytes], str]]:
            with self._folder.open(asked.artefact, LIMITS.archive) as file:
                yield file, asked.sha256 or self._noted_sum(asked.artefact)

        async with beating():
            made = await asyncio.to_thread(self._releases.unpack, call.key, call.case_id, asked.app, artefact)
        return Release(
            app=asked.app,
            artefact=asked.artefact,
            version=asked.version,
            release=made.release,
            sha256=made.sha256,
            files=made.files,
            bytes=made.bytes,
        )

    @activity.defn
    async def remove_release(self, call: StepCall[DeploymentRequest]) -> bool:
        """Undo `unpack_release`. Return True if there was anything to undo."""
        return await asyncio.to_thread(self._releases.remove, call.undone, call.case_id, call.input.app)

    @activity.defn
    async def compare_release(self, call: StepCall[Release]) -> Compared:
        """Compare the release with the live release, file by file.

        The step runs no code of the release, and changes nothing.
        """
        given = call.input
        async with beating():
            folder = self._releases.folder(given.app, given.release)
            live, differences = await asyncio.to_thread(self._compare, given.app, folder)
        marks = {mark: sum(each[0] == mark for each in differences) for mark in "+~-"}
        return Compared(
            **dict(given),
            live=live,
            added=marks["+"],
            changed=marks["~"],
            removed=marks["-"],
            names=[each[:120] for each in differences[:MAX_NAMES]],
        )

    @activity.defn
    async def check_release(self, call: StepCall[Code]) -> Checked:
        """Run the checks of the app, which run code of the release. The step changes nothing.

        Raises NotIsolated if the code must be isolated and this machine cannot isolate it, and Refused if a check
        fails.
        """
        given = call.input
        app, folder = self._app(given.app), self._releases.folder(given.app, given.release)
        checks: list[HealthCheck] = []
        isolated = None
        async with beating():
            if app.checks:
                isolated = await may_isolate(approved=given.approved, accepted=self._unisolated)
                checks = await run_checks(app, folder, self._checks, isolated=isolated)
        return Checked(**given.model_dump(exclude={"approved"}), checks=checks, isolated=isolated)

    @activity.defn
    async def hold_app(self, call: StepCall[Release]) -> None:
        """Hold the app for this case, so that no other case can deploy it.

        Raises Trouble while another case holds the app.
        """
        given = call.input
        self._releases.folder(given.app, given.release)
        await asyncio.to_thread(self._releases.hold, call.key, call.case_id, given.app, given.release)

    @activity.defn
    async def free_app(self, call: StepCall[Release]) -> bool:
        """Undo `hold_app`. Return True if this case still held the app."""
        return await asyncio.to_thread(self._releases.free, call.undone, call.case_id, call.input.app)

    @activity.defn
    async def switch_release(self, call: StepCall[Release]) -> Switched:
        """Make the release of the case live."""
        given = call.input
        made = await asyncio.to_thread(self._releases.switch, call.key, call.case_id, given.app, given.release)
        return Switched(release=made.release, before=made.before and Path(made.before).name)

    @activity.defn
    async def switch_back(self, call: StepCall[Release]) -> bool:
        """Undo `switch_release` and free the app. Return True if there was anything to undo."""
        return await asyncio.to_thread(self._releases.switch_back, call.undone, call.case_id, call.input.app)

    @activity.defn
    async def check_health(self, call: StepCall[Release]) -> Healthy:
        """Request the health URL until the app is healthy.

        Raises Refused if the app does not become healthy in time.
        """
        given = call.input
        async with beating():
            return Healthy(asked=await wait_until_healthy(given.app, self._app(given.app), given.release))

    @activity.defn
    async def finish_deployment(self, call: StepCall[Release]) -> Deployed:
        """Allow other cases to deploy the app again, and delete its oldest releases."""
        given = call.input
        keep = self._app(given.app).keep_releases
        made = await asyncio.to_thread(self._releases.finish, call.key, call.case_id, given.app, given.release, keep)
        return Deployed(
            app=given.app,
            release=given.release,
            version=given.version,
            sha256=given.sha256,
            before=made.before and Path(made.before).name,
            at=made.at,
        )

    def _app(self, name: str) -> App:
        if name not in self._apps:
            known = ", ".join(sorted(self._apps)) or "none"
            raise Refused(f"There is no app '{name}'. The apps that can be deployed: {known}.")
        return self._apps[name]

    def _noted_sum(self, artefact: str) -> str:
        """Return the SHA-256 of the artefact from the file `<artefact>.sha256`, which the program sha256sum writes."""
        try:
            with self._folder.open(f"{artefact}.sha256", MAX_SIDECAR) as file:
                text = file.read(MAX_SIDECAR).decode(errors="replace")
        except Refused as error:
            raise Refused(
                f"The SHA-256 of '{artefact}' is missing: enter it in the request, or in the file '{artefact}.sha256'."
            ) from error
        for line in text.splitlines():
            found = _SUM.fullmatch(line.strip())
            if found and Path(found[2] or artefact).name == Path(artefact).name:
                return found[1].lower()
        raise Refused(f"'{artefact}.sha256' has no SHA-256 of '{Path(artefact).name}': correct the file.")

    def _compare(self, app: str, folder: Path) -> tuple[str | None, list[str]]:
        """Return the id of the live release, and the names of files that differ from it, each with its mark `+`, `~` or
        `-`.
        """
        old = self._releases.live_folder(app)
        before, after = digests(old) if old is not None else {}, digests(folder)
        differences = (
            ("+" if name not in before else "-" if name not in after else "~", name)
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        )
        return self._releases.live(app), [f"{mark} {name}" for mark, name in differences]
