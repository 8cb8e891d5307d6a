"""Opaque cursors of lists: the sort key of the last row shown, so that pages stay correct while rows change."""

import base64
import binascii
import json
import math
from datetime import datetime
from typing import Any

from domain.moments import moment_of

MOST = 2**31 - 1
"""Largest number in a 32-bit column; the columns by which lists are sorted have 32 bits."""
MOST_POSITION = 2**63 - 1
"""Largest position in the audit log (64 bits)."""


def encode(*key: Any) -> str:
    """Return the cursor for the rows after the row with this sort key.

    The parts of the key are texts, numbers, times or None.
    """
    parts = [part.isoformat() if isinstance(part, datetime) else part for part in key]
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode(cursor: str, *shape: type, optional: int = 0) -> list[Any]:
    """Return the sort key in a cursor. The first `optional` parts of the key may be None.

    `shape` are the types of the parts. Raises ValueError if the text is no cursor, or if the number, the type or the
    size of its parts does not fit.
    """
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(parts, list) or len(parts) != len(shape):
            raise ValueError
        if None in parts[optional:]:
            raise ValueError
        return [_read(part, kind) for part, kind in zip(parts, shape, strict=True)]
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise ValueError("not a cursor of this list") from None


def _read(part: Any, kind: type) -> Any:
    if part is None:
        return None
    if kind is datetime:
        return moment_of(part)
    if type(part) is not kind:
        raise ValueError
    match part:
        case int() if abs(part) > MOST:
            raise ValueError
        case float() if not math.isfinite(part):
            raise ValueError
        case str() if "\0" in part or part.encode(errors="replace").decode() != part:
            raise ValueError
    return part
