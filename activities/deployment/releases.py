"""The releases of apps on disk: unpacked side by side, one of them live by a link, each effect exactly once.

    <apps>/<app>/releases/<id>/     what came out of an artefact
    <apps>/<app>/current            a link to the live one
    <apps>/<app>/journal/           what became of each idempotency key
    <apps>/<app>/hold.json          the release that may be switched to now, and its case; nobody holds the app without
    <apps>/<app>/lock               whoever changes something of the above has this lock

A key is written down before it takes effect and once more when it has, so what a dead process left half done is known
and finished by whoever comes next. A key that was undone, used or not, is refused from then on. An app that is held is
switched for that release only, so a late attempt of a dead worker finds its key settled or the app in other hands.
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

from activities.deployment.artefact import LIMITS, ArchiveLimits, Unpacked, copy, sync, unpack
from core.file_storage import keep
from domain.errors import UNDONE_FIRST, Refused, Trouble

Artefact = Callable[[], AbstractContextManager[tuple[IO[bytes], str]]]
"""Opens an artefact, and says which SHA-256 it must have."""
Kind = Literal["unpack", "hold", "switch", "finish"]


class Entry(BaseModel):
    """What became of one key."""

    key: str
    kind: Kind
    case_id: str
    state: Literal["begun", "done", "undoing", "undone", "void"]
    at: datetime
    """When it was begun."""
    release: str = ""
    before: str | None = None
    """Of a switch: what the link said before."""
    anything: bool = True
    """Of what was undone: whether there was anything to undo."""
    sha256: str = ""
    files: int = 0
    bytes: int = 0


class Hold(BaseModel):
    """Who may switch an app."""

    release: str
    case_id: str


class Releases:
    """Every method that changes something may be repeated, and called by several processes at once."""

    def __init__(self, root: Path, limits: ArchiveLimits = LIMITS) -> None:
        self._root = root
        self._limits = limits

    # ------------------------------------------------------------------------------------------------------ unpacking

    def unpack(self, key: str, case_id: str, app: str, artefact: Artefact) -> Entry:
        """Verify and unpack an artefact, which is opened only if this key has not unpacked it yet.

        Raises Refused for another SHA-256, for an archive that is not safe, and for a key that was undone.
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
                found = copy(source, archive, self._limits.archive)
            if found != wanted:
                raise Refused(f"The artefact has the SHA-256 {found}, and {wanted} was asked for.")
            unpacked = unpack(archive, tree, self._limits)
            return self._place(key, case_id, app, tree, found, unpacked)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _place(self, key: str, case_id: str, app: str, tree: Path, sha256: str, unpacked: Unpacked) -> Entry:
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
        """Undo `unpack`. Answers whether there was anything. Raises Refused while the release is live."""
        with self._locked(app) as folder:
            entry = folder.undoing(undoes, "unpack", case_id)
            if entry.state == "void":
                return False
            if folder.live() == entry.release:
                raise Refused(f"Release {entry.release} is live as {app}, so it is not removed.")
            folder.settle(entry, "undone")
            folder.throw_away(entry.release)
            folder.clear(undoes)
            return True

    # -------------------------------------------------------------------------------------------------------- holding

    def hold(self, key: str, case_id: str, app: str, release: str) -> None:
        """Keep everybody else from switching the app. Raises Trouble while another case holds it; Refused."""
        with self._locked(app) as folder:
            if (entry := folder.entry(key)) and entry.state == "done":
                return
            folder.must_be_free_for(release)
            entry = entry or folder.begin(key, "hold", case_id, release=release)
            folder.take(Hold(release=release, case_id=case_id))
            folder.settle(entry, "done")

    def free(self, undoes: str, case_id: str, app: str) -> bool:
        """Undo `hold`. Answers whether the app was still held by it: a switch that was undone has freed it."""
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

    def switch(self, key: str, case_id: str, app: str, release: str) -> Entry:
        """Let a release go live. The app must be held for it. Raises Refused."""
        with self._locked(app) as folder:
            entry = folder.entry(key)
            if entry is not None and entry.state == "done":
                return entry
            if not folder.is_held_by(release):
                raise Refused(f"{app} is not held for release {release}, so nothing was switched.")
            if not release or not folder.path(release).is_dir():
                raise Refused(f"Release {release} of {app} is not there any more, so nothing was switched.")
            entry = entry or folder.begin(key, "switch", case_id, release=release, before=folder.link())
            folder.point(folder.target(release))
            return folder.settle(entry, "done")

    def switch_back(self, undoes: str, case_id: str, app: str) -> bool:
        """Undo `switch`: the link says exactly what it said before, and nobody holds the app. Answers whether there was
        anything.

        Raises Refused when another release is live since, or the one before is gone; Trouble while another case holds
        the app.
        """
        with self._locked(app) as folder:
            entry = folder.undoing(undoes, "switch", case_id)
            if entry.state == "void":
                return False
            if entry.state in ("begun", "done"):
                self._may_switch_back(folder, entry)
                # From here on nobody else switches the app, should this process end in the middle.
                folder.take(Hold(release=entry.release, case_id=case_id))
                entry = folder.settle(entry, "undoing")
            if entry.state == "undoing":
                folder.point(entry.before)
                folder.settle(entry, "undone")
            folder.let_go(entry.release)
            return True

    @staticmethod
    def _may_switch_back(folder: "_App", entry: Entry) -> None:
        live = folder.live()
        never_switched = entry.state == "begun" and folder.link() == entry.before
        if live != entry.release and not never_switched:
            other = folder.switch_to(live)
            if other is None:
                raise Refused(
                    f"Somebody has changed by hand what is live as {folder.name}, so nothing was switched back.",
                    about=f"changed-by-hand/{folder.name}",
                )
            raise Refused(
                f"Release {live} of case {other.case_id} is live since; roll that one back first.",
                about=f"live-since/{folder.name}",
            )
        folder.must_be_free_for(entry.release)
        if entry.before is not None and not folder.path_of_link(entry.before).is_dir():
            raise Refused(
                f"What was live before as {folder.name} is not kept any more: {Path(entry.before).name}.",
                about=f"not-kept/{folder.name}",
            )

    # ------------------------------------------------------------------------------------------------------ finishing

    def finish(self, key: str, case_id: str, app: str, release: str, keep_releases: int) -> Entry:
        """The release is well: let others deploy the app, and remove what was live long ago. Raises Refused."""
        with self._locked(app) as folder:
            if (entry := folder.entry(key)) and entry.state == "done":
                return entry
            switched = folder.switch_to(release)
            if switched is None or switched.state != "done":
                raise Refused(f"Release {release} of {app} was not switched to, or was switched back.")
            entry = entry or folder.begin(key, "finish", case_id, release=release, before=switched.before)
            folder.prune(keep_releases)
            folder.let_go(release)
            return folder.settle(entry, "done")

    # --------------------------------------------------------------------------------------------------------- looking

    def live(self, app: str) -> str | None:
        """The id of the release that is live now."""
        return _App(self._root / app).live()

    def folder(self, app: str, release: str) -> Path:
        """Where a release lies. Raises Refused when it is not there."""
        path = _App(self._root / app).path(release)
        if not release or not path.is_dir():
            raise Refused(f"Release {release} of {app} is not there any more.")
        return path

    def live_folder(self, app: str) -> Path | None:
        """Where the release lies that is live now; None when there is none."""
        folder = _App(self._root / app)
        link = folder.link()
        path = folder.path_of_link(link) if link is not None else None
        return path if path is not None and path.is_dir() else None

    def entries(self, app: str) -> list[Entry]:
        """What became of all keys of an app, oldest first."""
        return sorted(_App(self._root / app).entries("*"), key=lambda entry: entry.at)

    def holder(self, app: str) -> Hold | None:
        """Who holds an app."""
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
    """The folder of one app; what changes it wants the lock."""

    def __init__(self, root: Path) -> None:
        self.root, self.name = root, root.name
        self.releases, self.journal = root / "releases", root / "journal"
        self._current = root / "current"

    # ---- keys

    def entry(self, key: str) -> Entry | None:
        """What became of a key; None when it has not been used. Raises Refused for one that was undone."""
        entry = next(self.entries(f"*-{_file_name(key)}"), None)
        if entry is not None and entry.state not in ("begun", "done"):
            raise Refused(UNDONE_FIRST)
        return entry

    def begin(self, key: str, kind: Kind, case_id: str, **facts: str | int | None) -> Entry:
        """Write down what is about to be done."""
        entry = Entry.model_validate(
            {"key": key, "kind": kind, "case_id": case_id, "state": "begun", "at": datetime.now(UTC), **facts}
        )
        return self._write(entry)

    def undoing(self, undoes: str, kind: Kind, case_id: str) -> Entry:
        """The entry that is to be undone; void from now on if there is none."""
        entry = next(self.entries(f"*-{_file_name(undoes)}"), None)
        return entry or self.settle(self.begin(undoes, kind, case_id), "void")

    def settle(self, entry: Entry, state: Literal["done", "undoing", "undone", "void"]) -> Entry:
        """Write down how far it has come."""
        return self._write(entry.model_copy(update={"state": state}))

    def entries(self, pattern: str) -> Iterator[Entry]:
        """The entries whose files are named so: `<kind>-<digest of the key>.json`."""
        for path in self.journal.glob(f"{pattern}.json"):
            yield Entry.model_validate_json(path.read_bytes())

    def switch_to(self, release: str | None) -> Entry | None:
        """The switch to this release."""
        return next((each for each in self.entries("switch-*") if each.release and each.release == release), None)

    def _write(self, entry: Entry) -> Entry:
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
        """Raises Trouble while another release holds the app."""
        holder = self.holder()
        if holder is not None and holder.release != release:
            raise Trouble(f"{self.name} is being deployed by case {holder.case_id}.", about=f"deploying/{self.name}")

    def take(self, hold: Hold) -> None:
        keep(self.root, "hold.json", hold.model_dump_json().encode())

    def let_go(self, release: str) -> None:
        """Free the app if it is held for this release."""
        if self.is_held_by(release):
            (self.root / "hold.json").unlink()
            sync(self.root)

    # ---- the link

    def link(self) -> str | None:
        """What the link says. Raises Refused when there is something else in its place."""
        if self._current.is_symlink():
            return str(self._current.readlink())
        if self._current.exists():
            raise Refused(f"In place of the link to the live release of {self.name} there is something else.")
        return None

    def live(self) -> str | None:
        """The id of the live release, or the name of whatever somebody has linked by hand."""
        link = self.link()
        return None if link is None else Path(link).name

    def path_of_link(self, link: str) -> Path:
        return self.root / link

    def target(self, release: str) -> str:
        """What the link says when a release is live."""
        return f"releases/{release}"

    def point(self, to: str | None) -> None:
        """Let the link say this, in one move: whoever looks sees what was before or what is now."""
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
        """Remove a release: at once for whoever looks, and then from the disk."""
        gone = self.releases / f".gone-{release}"
        if self.path(release).exists():
            self.path(release).rename(gone)
            sync(self.releases)
        shutil.rmtree(gone, ignore_errors=True)

    def clear(self, key: str, but: Path | None = None) -> None:
        """Remove what attempts that were killed have left of unpacking under a key."""
        for left in self.releases.glob(f".{_file_name(key)}.*"):
            if left != but:
                shutil.rmtree(left, ignore_errors=True)

    def prune(self, kept: int) -> None:
        """Remove what was live long ago, but never the live release or the one before, which an undo needs.

        What waits for its approval was never live and stays.
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
