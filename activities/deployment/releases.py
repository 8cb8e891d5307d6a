"""Releases of apps on disk: unpacked side by side, one of them live by a link. Each effect happens once only.

<apps>/<app>/releases/<id>/     the files of an artefact
    <apps>/<app>/current            a link to the live release
    <apps>/<app>/journal/           the state of each idempotency key
    <apps>/<app>/hold.json          the release that may be switched to now, and its case; absent while the app is free
    <apps>/<app>/lock               the lock for changes of all of these

The state of a key is written before its effect and again after its effect. So if a process dies between these writes,
the next process finds the key and finishes its effect. A key that was undone is refused from then on, even if it was
never used. While an app is held for a release, the app can be switched to this release only. So a late attempt of a
step has no effect: its key was used or undone already, or the app is held by another case.
"""

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal
from uuid import uuid4

from pydantic import BaseModel

from activities.deployment.artefact import LIMITS, ArchiveLimits, Unpacked, copy_hashed, sync, unpack
from core.file_storage import keep
from domain.errors import UNDONE_FIRST, Refused, Trouble

Artefact = Callable[[], AbstractContextManager[tuple[IO[bytes], str]]]
"""A function that opens an artefact, and returns the open file with the SHA-256 that it must have."""
Kind = Literal["unpack", "hold", "switch", "finish"]


class KeyState(BaseModel):
    """The state of one idempotency key, as the journal of its app stores it."""

    key: str
    kind: Kind
    case_id: str
    state: Literal["begun", "done", "undoing", "undone", "void"]
    at: datetime
    """When the effect of the key began."""
    release: str = ""
    before: str | None = None
    """For a switch: the target that the link to the live release had before."""
    anything: bool = True
    """For an undone key: True if there was anything to undo."""
    sha256: str = ""
    files: int = 0
    bytes: int = 0


class Hold(BaseModel):
    """The content of `hold.json`: the only release to which the app may be switched now, and its case."""

    release: str
    case_id: str


class Releases:
    """The releases of all apps on disk.

    Methods that change something may be called again with the same key, and by several processes at the same time.
    """

    def __init__(self, root: Path, limits: ArchiveLimits = LIMITS) -> None:
        self._root = root
        self._limits = limits

    # ------------------------------------------------------------------------------------------------------ unpacking

    def unpack(self, key: str, case_id: str, app: str, artefact: Artefact) -> KeyState:
        """Verify and unpack an artefact, and return the state of the key.

        An artefact that was unpacked with this key before is not opened again.

        Raises Refused for another SHA-256, for an unsafe archive, and for a key that was undone.
        """
        with self._locked(app) as folder:
            if (first := folder.entry(key)) and first.state == "done":
                return first
        scratch = folder.releases / f".{_file_name(key)}.{uuid4().hex}"
        scratch.mkdir()
        try:
            archive, tree = scratch / "artefact", scratch / "tree"
            tree.mkdir()
            with artefact() as (source, wanted):
                found = copy_hashed(source, archive, self._limits.archive)
            if found != wanted:
                raise Refused(
                    f"The artefact has the SHA-256 {found}, and {wanted} was asked for. Correct the SHA-256 or the "
                    "artefact, and submit again."
                )
            unpacked = unpack(archive, tree, self._limits)
            return self._place(key, case_id, app, tree, found, unpacked)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _place(self, key: str, case_id: str, app: str, tree: Path, sha256: str, unpacked: Unpacked) -> KeyState:
        release = f"{sha256[:12]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        with self._locked(app) as folder:
            entry = folder.entry(key)
            entry = entry or folder.begin(
                key,
                "unpack",
                case_id,
                release=release,
                sha256=sha256,
                files=len(unpacked.files),
                bytes=unpacked.bytes,
            )
            if entry.state == "begun":
                if not folder.path(entry.release).exists():
                    tree.rename(folder.path(entry.release))
                    sync(folder.releases)
                entry = folder.settle(entry, "done")
            folder.clear(key, but=tree.parent)
            return entry

    def remove(self, undoes: str, case_id: str, app: str) -> bool:
        """Undo `unpack`: remove the release.

        Return True if there was anything to undo. Raises Refused while the release is live.
        """
        with self._locked(app) as folder:
            entry = folder.undoing(undoes, "unpack", case_id)
            if entry.state == "void":
                return False
            if folder.live() == entry.release:
                raise Refused(
                    f"Release {entry.release} is live as {app}, so it is not removed. Make another release live first."
                )
            folder.settle(entry, "undone")
            folder.throw_away(entry.release)
            folder.clear(undoes)
            return True

    # -------------------------------------------------------------------------------------------------------- holding

    def hold(self, key: str, case_id: str, app: str, release: str) -> None:
        """Hold the app for a release of this case, so that no other case can switch the app.

        Raises Trouble while another case holds the app, and Refused for a key that was undone.
        """
        with self._locked(app) as folder:
            if (entry := folder.entry(key)) and entry.state == "done":
                return
            folder.must_be_free_for(release)
            entry = entry or folder.begin(key, "hold", case_id, release=release)
            folder.take(Hold(release=release, case_id=case_id))
            folder.settle(entry, "done")

    def free(self, undoes: str, case_id: str, app: str) -> bool:
        """Undo `hold`: free the app. Return True if the app was still held with this key.

        The app is not held any more if the undo of a switch has freed the app before.
        """
        with self._locked(app) as folder:
            entry = folder.undoing(undoes, "hold", case_id)
            if entry.state == "void":
                return False
            if entry.state != "undone":
                entry = entry.model_copy(update={"anything": folder.is_held_by(entry.release)})
                folder.settle(entry, "undone")
            folder.let_go(entry.release)
            return entry.anything

    # ------------------------------------------------------------------------------------------------------ switching

    def switch(self, key: str, case_id: str, app: str, release: str) -> KeyState:
        """Make a release live.

        Raises Refused if the app is not held for this release, if the release does not exist, or if the key was undone.
        """
        with self._locked(app) as folder:
            entry = folder.entry(key)
            if entry is not None and entry.state == "done":
                return entry
            if not folder.is_held_by(release):
                raise Refused(
                    f"{app} is not held for release {release}, so nothing was switched. Submit the request again."
                )
            if not release or not folder.path(release).is_dir():
                raise Refused(
                    f"Release {release} of {app} does not exist any more, so nothing was switched. Submit the request "
                    "again."
                )
            entry = entry or folder.begin(key, "switch", case_id, release=release, before=folder.link())
            folder.point(folder.target(release))
            return folder.settle(entry, "done")

    def switch_back(self, undoes: str, case_id: str, app: str) -> bool:
        """Undo `switch`: restore the target of the link and free the app. Return True if there was anything to undo.

        Raises Refused if another release has become live since, if somebody changed the link by hand, or if the
        previous release does not exist any more. Raises Trouble while another case holds the app.
        """
        with self._locked(app) as folder:
            entry = folder.undoing(undoes, "switch", case_id)
            if entry.state == "void":
                return False
            if entry.state in ("begun", "done"):
                self._may_switch_back(folder, entry)
                # From here on no other case can switch the app, even if this process dies in the middle.
                folder.take(Hold(release=entry.release, case_id=case_id))
                entry = folder.settle(entry, "undoing")
            if entry.state == "undoing":
                folder.point(entry.before)
                folder.settle(entry, "undone")
            folder.let_go(entry.release)
            return True

    @staticmethod
    def _may_switch_back(folder: "_App", entry: KeyState) -> None:
        live = folder.live()
        never_switched = entry.state == "begun" and folder.link() == entry.before
        if live != entry.release and not never_switched:
            other = folder.switch_to(live)
            if other is None:
                raise Refused(
                    f"Somebody changed the live release of {folder.name} by hand, so nothing was switched back. "
                    f"Make release {entry.release} live by hand, then try again.",
                    about=f"changed-by-hand/{folder.name}",
                )
            raise Refused(
                f"Release {live} of case {other.case_id} has become live since. Roll that case back first.",
                about=f"live-since/{folder.name}",
            )
        folder.must_be_free_for(entry.release)
        if entry.before is not None and not folder.path_of_link(entry.before).is_dir():
            raise Refused(
                f"The release that was live before as {folder.name} was deleted: {Path(entry.before).name}. "
                "Deploy its artefact again instead.",
                about=f"not-kept/{folder.name}",
            )

    # ------------------------------------------------------------------------------------------------------ finishing

    def finish(self, key: str, case_id: str, app: str, release: str, keep_releases: int) -> KeyState:
        """Free the app after its health check, and delete the oldest formerly live releases.

        Raises Refused if the app was not switched to this release, or was switched back.
        """
        with self._locked(app) as folder:
            if (entry := folder.entry(key)) and entry.state == "done":
                return entry
            switched = folder.switch_to(release)
            if switched is None or switched.state != "done":
                raise Refused(
                    f"Release {release} of {app} was not switched to, or was switched back. Submit the request again."
                )
            entry = entry or folder.begin(key, "finish", case_id, release=release, before=switched.before)
            folder.prune(keep_releases)
            folder.let_go(release)
            return folder.settle(entry, "done")

    # --------------------------------------------------------------------------------------------------------- looking

    def live(self, app: str) -> str | None:
        """Return the id of the live release of an app; None if no release is live."""
        return _App(self._root / app).live()

    def folder(self, app: str, release: str) -> Path:
        """Return the folder of a release. Raises Refused if the folder does not exist."""
        path = _App(self._root / app).path(release)
        if not release or not path.is_dir():
            raise Refused(f"Release {release} of {app} does not exist any more. Submit the request again.")
        return path

    def live_folder(self, app: str) -> Path | None:
        """Return the folder of the live release; None if no release is live, or if its folder does not exist."""
        folder = _App(self._root / app)
        link = folder.link()
        path = folder.path_of_link(link) if link is not None else None
        return path if path is not None and path.is_dir() else None

    def entries(self, app: str) -> list[KeyState]:
        """Return the states of all keys of an app, oldest first."""
        return sorted(_App(self._root / app).entries("*"), key=lambda entry: entry.at)

    def holder(self, app: str) -> Hold | None:
        """Return for which release and case an app is held; None if no case holds the app."""
        return _App(self._root / app).holder()

    @contextmanager
    def _locked(self, app: str) -> Iterator["_App"]:
        folder = _App(self._root / app)
        for each in (folder.releases, folder.journal):
            each.mkdir(parents=True, exist_ok=True)
        with (folder.root / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder


class _App:
    """The folder of one app. Changes need the lock."""

    def __init__(self, root: Path) -> None:
        self.root, self.name = root, root.name
        self.releases, self.journal = root / "releases", root / "journal"
        self._current = root / "current"

    # ---- keys

    def entry(self, key: str) -> KeyState | None:
        """Return the state of a key; None if the key was not used. Raises Refused if the key was undone."""
        entry = next(self.entries(f"*-{_file_name(key)}"), None)
        if entry is not None and entry.state not in ("begun", "done"):
            raise Refused(UNDONE_FIRST)
        return entry

    def begin(self, key: str, kind: Kind, case_id: str, **facts: str | int | None) -> KeyState:
        """Write to the journal that the effect of a key is about to begin, and return the state that was written."""
        entry = KeyState.model_validate(
            {"key": key, "kind": kind, "case_id": case_id, "state": "begun", "at": datetime.now(UTC), **facts}
        )
        return self._write(entry)

    def undoing(self, undoes: str, kind: Kind, case_id: str) -> KeyState:
        """Return the state of the key that is to be undone. If the key was not used, make it void."""
        entry = next(self.entries(f"*-{_file_name(undoes)}"), None)
        return entry or self.settle(self.begin(undoes, kind, case_id), "void")

    def settle(self, entry: KeyState, state: Literal["done", "undoing", "undone", "void"]) -> KeyState:
        """Write the new state of a key to the journal, and return the state that was written."""
        return self._write(entry.model_copy(update={"state": state}))

    def entries(self, pattern: str) -> Iterator[KeyState]:
        """Yield the states in the files of the journal whose names match `pattern`.

        A name is `<kind>-<digest of the key>.json`.
        """
        for path in self.journal.glob(f"{pattern}.json"):
            yield KeyState.model_validate_json(path.read_bytes())

    def switch_to(self, release: str | None) -> KeyState | None:
        """Return the state of the key that switched to this release; None without one."""
        return next((each for each in self.entries("switch-*") if each.release and each.release == release), None)

    def _write(self, entry: KeyState) -> KeyState:
        keep(self.journal, f"{entry.kind}-{_file_name(entry.key)}.json", entry.model_dump_json(indent=1).encode())
        return entry

    # ---- the hold

    def holder(self) -> Hold | None:
        path = self.root / "hold.json"
        return Hold.model_validate_json(path.read_bytes()) if path.exists() else None

    def is_held_by(self, release: str) -> bool:
        holder = self.holder()
        return holder is not None and holder.release == release

    def must_be_free_for(self, release: str) -> None:
        """Raise Trouble while another release holds the app."""
        holder = self.holder()
        if holder is not None and holder.release != release:
            raise Trouble(
                f"{self.name} is being deployed by case {holder.case_id}. Wait for the end of that case.",
                about=f"deploying/{self.name}",
            )

    def take(self, hold: Hold) -> None:
        keep(self.root, "hold.json", hold.model_dump_json().encode())

    def let_go(self, release: str) -> None:
        """Remove the hold of the app if the app is held for this release."""
        if self.is_held_by(release):
            (self.root / "hold.json").unlink()
            sync(self.root)

    # ---- the link

    def link(self) -> str | None:
        """Return the target of the link to the live release; None without a link.

        Raises Refused if something other than a link has this path.
        """
        if self._current.is_symlink():
            return str(self._current.readlink())
        if self._current.exists():
            raise Refused(
                f"'{self.name}/current' in the folder 'apps' of HOLDGATE_VAR is not a link, "
                "and must be the link to the live release. Remove it and try again."
            )
        return None

    def live(self) -> str | None:
        """Return the id of the live release; None if no release is live.

        If somebody has set the link by hand, return the name of its target.
        """
        link = self.link()
        return None if link is None else Path(link).name

    def path_of_link(self, link: str) -> Path:
        return self.root / link

    def target(self, release: str) -> str:
        """Return the target that the link has while this release is live."""
        return f"releases/{release}"

    def point(self, to: str | None) -> None:
        """Set the target of the link atomically: a reader sees the old or the new target."""
        if to is None:
            self._current.unlink(missing_ok=True)
        elif self.link() != to:
            new = self.root / ".current.new"
            new.unlink(missing_ok=True)
            new.symlink_to(to)
            new.replace(self._current)
        sync(self.root)

    # ---- the releases

    def path(self, release: str) -> Path:
        return self.releases / release

    def throw_away(self, release: str) -> None:
        """Delete a release. First rename it, so that it is gone for readers at once."""
        gone = self.releases / f".gone-{release}"
        if self.path(release).exists():
            self.path(release).rename(gone)
            sync(self.releases)
        shutil.rmtree(gone, ignore_errors=True)

    def clear(self, key: str, but: Path | None = None) -> None:
        """Delete partly unpacked files of killed attempts of a key."""
        for left in self.releases.glob(f".{_file_name(key)}.*"):
            if left != but:
                shutil.rmtree(left, ignore_errors=True)

    def prune(self, kept: int) -> None:
        """Delete the oldest formerly live releases, but never the live release, nor the previous one, which an undo
        needs.

        A release that was never live is not deleted, because its case may still wait for an approval.
        """
        live = self.live()
        switches = sorted(self.entries("switch-*"), key=lambda entry: entry.at, reverse=True)
        standing = [each for each in switches if each.state == "done" and self.path(each.release).exists()]
        now = next((each for each in standing if each.release == live), None)
        before = Path(now.before).name if now is not None and now.before is not None else None
        for old in standing[kept:]:
            if old.release not in (live, before):
                self.throw_away(old.release)
        for gone in self.releases.glob(".gone-*"):
            shutil.rmtree(gone, ignore_errors=True)


def _file_name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:40]
