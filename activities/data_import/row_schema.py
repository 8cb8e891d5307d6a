"""The JSON Schema (draft 2020-12) of one row of data: convert and validate rows.

The person who imports a file also provides its schema, so a schema is untrusted. References to other documents are
refused, patterns run in a regular expression engine with linear time, and the number of checks is limited.
"""

import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from pydantic_core import SchemaError as PatternError, SchemaValidator, core_schema
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY

from domain import strict_json
from domain.errors import Refused

MAX_SCHEMA_BYTES = 256 * 1024
MAX_CHECKS = 100_000_000
"""The maximum number of checks of one file.

The largest file needs about half as many checks. Without this limit, a schema with circular references might never end.
"""

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""Match a number as JSON writes it.

Python would also read `007`, which is a code, `5_000`, ` nan `, and digits of other scripts.
"""
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})")

# Listed by name, because the library checks more formats when other packages happen to be installed.
_FORMATS = FormatChecker(("date", "email", "ipv4", "ipv6", "uuid"))


@_FORMATS.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or bool(_MOMENT.fullmatch(value) and datetime.fromisoformat(value))


Row = dict[str, Any]


class Schema:
    """The JSON Schema of one row. References to other documents are not followed: nothing is fetched."""

    def __init__(self, text: bytes) -> None:
        """Check and compile a schema. Raises Refused for an invalid schema."""
        try:
            schema = strict_json.loads(text.decode("utf-8-sig"))
            if not isinstance(schema, dict) or schema.get("type", "object") != "object":
                raise Refused('The schema must describe one row: write "type": "object" at its top.')
            schema.pop("$schema", None)
            Draft202012Validator.check_schema(schema, FormatChecker(()))  # Patterns are checked by their own engine.
            _check_parts(schema)
        except UnicodeDecodeError:
            raise Refused("The schema is not UTF-8. Save the schema as UTF-8 and submit again.") from None
        except SchemaError as wrong:
            raise Refused(f"The schema is not valid: {wrong.message}. Correct the schema and submit again.") from None
        except RecursionError:
            raise Refused("The schema is nested too deeply. Simplify the schema and submit again.") from None
        except ValueError as wrong:
            raise Refused(f"The schema cannot be read: {wrong}. Correct the schema and submit again.") from None
        self._checks = 0
        keywords = {**Draft202012Validator.VALIDATORS, "pattern": _fits_pattern}
        counted = {word: self._counted(check) for word, check in keywords.items()}
        validator = extend(Draft202012Validator, counted)  # type: ignore[no-untyped-call]
        # Without our own registry, the library fetches references by HTTP and from any file.
        self._validator = validator(schema, registry=EMPTY_REGISTRY, format_checker=_FORMATS)
        properties = schema.get("properties", {})
        self.kinds: dict[str, list[str]] = {
            name: [kind] if isinstance(kind := part.get("type", "string"), str) else list(kind)
            for name, part in properties.items()
            if isinstance(part, dict)
        }
        self.required: list[str] = list(schema.get("required", []))

    def problems(self, row: Row) -> list[str]:
        """Return the errors of a row, each with its column.

        Raises Refused for a reference to another document, for references without end, and after `MAX_CHECKS` checks.
        """
        try:
            return [_error_text(error) for error in self._validator.iter_errors(row)]
        except Unresolvable as wrong:
            raise Refused(
                f"The schema refers to {wrong.ref}, which is not in the schema. "
                "Put this definition into the schema and submit again."
            ) from None
        except RecursionError:
            raise Refused(
                "The schema refers to itself without end, or a row is nested too deeply. "
                "Correct the schema or the row, and submit again."
            ) from None

    def converted(self, column: str, cell: str) -> Any:
        """Return a CSV cell as a value of the type of its column.

        Return a cell that cannot be converted unchanged: the validation of the row then reports it.
        """
        kinds = self.kinds.get(column, ["string"])
        if cell == "":
            return None if "null" in kinds else "" if "string" in kinds else None
        if "integer" in kinds and _INTEGER.fullmatch(cell):
            return int(cell)
        if "number" in kinds and _NUMBER.fullmatch(cell) and math.isfinite(number := float(cell)):
            return number
        if "boolean" in kinds:
            return {"true": True, "false": False}.get(cell.lower(), cell)
        return cell

    def _counted(self, check: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*about: Any) -> Any:
            self._checks += 1
            if self._checks > MAX_CHECKS:
                raise Refused(
                    f"More than {MAX_CHECKS:,} checks would be needed: split the file or simplify the schema."
                )
            return check(*about)

        return counting


def _check_parts(part: Any) -> None:
    """Check every part of a schema, because a reference may point to any part.

    Raises Refused for a part that Holdgate does not accept.
    """
    for key, value in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
        if key == "patternProperties":
            raise Refused(
                f"The schema uses '{key}', which Holdgate does not support. "
                "List each column under 'properties' and submit again."
            )
        if key == "$schema":
            raise Refused(
                "The schema has '$schema' in one of its parts; '$schema' is allowed only at the top. Remove it there."
            )
        if key == "pattern" and isinstance(value, str):
            _regex(value)
        if key == "format" and isinstance(value, str) and value not in _FORMATS.checkers:
            known = ", ".join(sorted(_FORMATS.checkers))
            raise Refused(
                f"The schema uses the format '{value[:80]}', which Holdgate does not know. Known formats are: {known}."
            )
        _check_parts(value)


@lru_cache(maxsize=1000)
def _regex(pattern: str) -> SchemaValidator:
    """Compile a pattern with pydantic's regular expression engine, which never backtracks.

    Raises Refused for an invalid pattern.
    """
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except PatternError as wrong:
        why = str(wrong).strip().rpartition("error:")[2].rpartition("SchemaError:")[2].strip(" .\n")
        raise Refused(
            f"The schema has a pattern that cannot be used, {pattern[:80]!a}: {why}. Correct the pattern and submit "
            "again."
        ) from None


def _fits_pattern(_validator: Any, pattern: object, value: object, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and isinstance(pattern, str) and not _regex(pattern).isinstance_python(value):
        shown = value if len(value) <= 80 else f"{value[:80]}…"
        yield ValidationError(f"{shown!r} does not match {pattern!r}")


def _error_text(error: ValidationError) -> str:
    column = error.json_path.removeprefix("$").lstrip(".")
    return f"{column}: {error.message[:200]}" if column else error.message[:200]
