"""Notice that a file has changed, without reading the file."""

from pathlib import Path


def state_of(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file is replaced or written, or gets another owner or mode; None if it is missing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size
