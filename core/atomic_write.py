"""Write small files that other programs read or write at the same time."""

import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Replace a file with this text.

    Only the owner can read the file. A reader sees the old text or the new text, never a part.
    """
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def create_private(path: Path, text: str) -> None:
    """Create a file with this text, and the folder of the file, both only for their owner. Raises FileExistsError.

    The file appears with its whole text, also if this program is killed meanwhile. Of two programs that create the file
    at the same time, one creates it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    write_private(new, text)
    try:
        os.link(new, path)  # replaces nothing
    finally:
        new.unlink()
