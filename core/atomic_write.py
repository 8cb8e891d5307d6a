"""Write small files that other programs read at the same time."""

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
