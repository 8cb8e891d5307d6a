"""Open files that people name: inside one folder only, however the name is written."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from domain.errors import Refused, Trouble

LONGEST = 500
"""Maximum number of characters of a name."""


def relative(name: str) -> str:
    """Return the name if it can be a relative path.

    The function does not read the disk. Raises ValueError with a sentence.
    """
    if not name:
        raise ValueError("Name a file.")
    if not name.isprintable():
        raise ValueError("The name of the file has characters that cannot be shown.")
    if len(name) > LONGEST:
        raise ValueError(f"The name of the file has more than {LONGEST} characters.")
    if "\\" in name:
        raise ValueError(f"'{name}' has a backslash: folders are separated with /.")
    if name.startswith("/"):
        raise ValueError(f"'{name}' begins with /: name the file as it is called inside the folder of files.")
    for part in name.split("/"):
        if not part:
            raise ValueError(f"'{name}' ends with / or has two / in a row: remove the extra /.")
        if part in (".", ".."):
            raise ValueError(f"'{name}' goes through '{part}': name the file as it is called inside the folder.")
        if part.startswith("."):
            raise ValueError(f"'{part}' is hidden: files and folders that begin with a dot cannot be named.")
    return name


class Folder:
    """A folder whose files people may name by relative paths."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, name: str, max_bytes: int) -> BinaryIO:
        """Return the regular file of this name, open for reading. The method blocks, so call it in a thread.

        Raises Refused if the file cannot be used, and Trouble if the whole folder cannot be read.

        Links inside the folder may not lead out of it. The path is resolved first and then opened part by part without
        following links, so replacing a part by a link at the same time has no effect.
        """
        descriptor = self._opened(name, "file")
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise Refused(f"'{name}' is not a regular file. Name a file in the folder of files.")
            if found.st_size > max_bytes:
                raise Refused(
                    f"'{name}' has {found.st_size:,} bytes; at most {max_bytes:,} are allowed. "
                    "Use a smaller file and submit again."
                )
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise

    @contextmanager
    def folder(self, name: str) -> Iterator[int]:
        """Yield the descriptor of the folder of this name, opened in the same way as by `open`.

        Raises Refused and Trouble in the same cases as `open`.
        """
        descriptor = self._opened(name, "folder")
        try:
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise Refused(f"'{name}' is not a folder. Name a folder in the folder of files.")
            yield descriptor
        finally:
            os.close(descriptor)

    def _opened(self, name: str, kind: Literal["file", "folder"]) -> int:
        try:
            relative(name)
        except ValueError as wrong:
            raise Refused(str(wrong)) from None
        try:
            root = self._root.resolve(strict=True)
        except OSError:
            raise Trouble(
                f"Holdgate cannot read the folder of files, {self._root}. Correct HOLDGATE_FILES or the permissions of "
                "the folder, then retry the step.",
                about="folder",
            ) from None
        try:
            path = (root / name).resolve(strict=True)
            if not path.is_relative_to(root):
                raise Refused(f"'{name}' leads out of the folder of files. Name a file inside this folder.")
            return _walk(root, path.relative_to(root).parts)
        except FileNotFoundError:
            raise Refused(
                f"There is no {kind} '{name}' in the folder of files. Correct the name, or add it to the folder."
            ) from None
        except PermissionError:
            raise Refused(
                f"Holdgate has no permission to read '{name}'. Correct its permissions, and submit again."
            ) from None
        except (OSError, RuntimeError) as error:  # RuntimeError: a cycle of links, before Python 3.13.
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM):
                raise
            raise Refused(
                f"'{name}' cannot be opened as a {kind}. Correct the path in the request and submit again."
            ) from None


def _walk(root: Path, parts: tuple[str, ...]) -> int:
    """Return the descriptor of a path without following links. The function never waits, as opening a pipe would."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for number, part in enumerate(parts, start=1):
        kind = os.O_NONBLOCK | os.O_NOCTTY if number == len(parts) else os.O_DIRECTORY
        try:
            inner = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor
