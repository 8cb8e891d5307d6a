"""The error that reports a process that cannot be used, and the place of a mistake in its files."""

import traceback
from pathlib import Path


class WrongProcess(ValueError):
    """Raised for a process that cannot be used. `str()` has one line for each mistake: the file, and what to do."""

    safe_to_log = True


def place_of(error: BaseException, package: Path) -> str:
    """Return the file and line of a process at which an error was raised; its `__init__.py` if no line is known."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).resolve().is_relative_to(package.resolve())]
    return f"{inside[-1].filename}:{inside[-1].lineno}" if inside else str(package / "__init__.py")


def text_of(error: BaseException) -> str:
    """Return the type and the message of an error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
