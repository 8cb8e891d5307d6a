"""Describe an exception for logs: its type, its code and its places in the code, but not its message.

A message can repeat what a person wrote: a step quotes its input, a database driver quotes a row, and Pydantic quotes a
wrong value. So only a class with `safe_to_log = True` gets its message into the logs. Set this attribute on classes
whose messages name settings, files of the installation, servers and ids, and nothing that belongs to a case or person.

This module imports only the standard library, because parser processes use the module too.
"""

import os
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

SAFE = "safe_to_log"
"""The attribute of exception classes whose messages can be in logs."""
MOST_FRAMES = 40
"""The most places of one exception in a trace: the innermost ones, because a recursion has a thousand."""
MOST_TOGETHER = 10
"""The most exceptions of one group in a trace."""

_ATTRIBUTES = (
    ("ssl", "reason"),
    ("sqlite3", "sqlite_errorname"),
    ("psycopg", "sqlstate"),
    ("temporalio.service", "status"),
    ("temporalio.exceptions", "type"),
    ("aiosmtplib", "code"),
    ("channels", "code"),
    ("api.oidc", "why"),
    ("domain.refusals", "code"),
)
"""The attributes that hold the code of an error, each with the package whose exceptions have the attribute."""
_ROOT = f"{Path(__file__).resolve().parents[1]}{os.sep}"
_PACKAGES = f"site-packages{os.sep}"


def described(error: BaseException) -> str:
    """Return type, code and innermost place of an exception as one line; for a safe class, the message instead."""
    if is_safe(error):
        return str(error)
    place = _innermost(error.__traceback__)
    return f"{_type_and_code(error)} at {place}" if place else _type_and_code(error)


def trace(error: BaseException) -> str:
    """Return the exception with its causes and their places, in the form of Python but without messages."""
    return "\n".join(_lines(error, set()))


def is_safe(error: BaseException) -> bool:
    """Return True if the class of the exception says that its messages can be in logs."""
    return getattr(type(error), SAFE, False) is True


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before, how = error.__cause__, "The above exception was the direct cause of the following exception:"
    if before is None and not error.__suppress_context__:
        before, how = error.__context__, "During handling of the above exception, another exception occurred:"
    if before is not None and id(before) not in seen:
        yield from _lines(before, seen)
        yield from ("", how, "")
    if frames := traceback.extract_tb(error.__traceback__)[-MOST_FRAMES:]:
        yield "Traceback (most recent call last):"
        yield from (f'  File "{_shown(each.filename)}", line {each.lineno}, in {each.name}' for each in frames)
    yield f"{_type_and_code(error)}: {error}" if is_safe(error) else _type_and_code(error)
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions[:MOST_TOGETHER]:
            if id(each) not in seen:
                yield from (f"  | {line}" for line in _lines(each, seen))


def _type_and_code(error: BaseException) -> str:
    module, name = type(error).__module__, type(error).__qualname__
    name = name if module in ("builtins", "__main__") else f"{module}.{name}"
    code = _code(error)
    return f"{name} ({code})" if code else name


def _code(error: BaseException) -> str:
    """Return what the type of an exception says about its cause in fixed words, such as `No space left on device`."""
    driver = getattr(error, "orig", None)  # SQLAlchemy: its own message has the statement and the parameters
    if isinstance(driver, BaseException):
        return _code(driver) or type(driver).__name__
    modules = {kind.__module__ for kind in type(error).__mro__}
    for module, attribute in _ATTRIBUTES:
        found = getattr(error, attribute, None) if any(each.startswith(module) for each in modules) else None
        if isinstance(found := getattr(found, "name", found), str | int):
            return str(found)
    if isinstance(error, socket.gaierror):  # its numbers are not those of the system
        return error.strerror or ""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)  # its own text can name a file
    if isinstance(error, ImportError):
        return error.name or ""
    if "pydantic_core._pydantic_core" in modules:  # everything else that Pydantic says quotes the value
        wrong = error.errors(include_url=False, include_context=False, include_input=False)  # type: ignore[attr-defined]
        return ", ".join(sorted({str(each["type"]) for each in wrong}))
    return ""


def _innermost(tb: TracebackType | None) -> str:
    """Return the innermost place in our own code, or the innermost place if none is in our code."""
    frames = traceback.extract_tb(tb)
    own = [each for each in frames if each.filename.startswith(_ROOT) and _PACKAGES not in each.filename]
    if not frames:
        return ""
    place = (own or frames)[-1]
    return f"{_shown(place.filename)}:{place.lineno} in {place.name}"


def _shown(path: str) -> str:
    """Return the path of a source file from the checkout, or from the folder of packages."""
    return path.rpartition(_PACKAGES)[2] if _PACKAGES in path else path.removeprefix(_ROOT)
