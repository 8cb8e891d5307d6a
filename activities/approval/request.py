"""The request of a general approval: a question, and data of any kind, for the people who decide."""

import json
import re
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, field_validator

from activities.shared.text_fields import lines, printable
from domain import strict_json
from domain.base import Message
from domain.column_headings import APPROVAL, Headings
from domain.moments import Within
from domain.named_fields import PersonOrGroup
from domain.normalization import identity_key

MAX_PAYLOAD_BYTES = 32 * 1024
"""Maximum size of the payload as JSON. Larger data can be attached to the case as a file."""
MAX_DEPTH = 20
MAX_CANDIDATES = 50


def _json(value: Any) -> Any:
    """Return the value.

    If the value is a text that begins like a JSON object or list, as in a cell of a CSV, parse the text as JSON.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return strict_json.read(
                value, parse_constant=_no_number, object_pairs_hook=strict_json.refuse_duplicate_keys
            )
        except RecursionError:
            raise ValueError(f"is nested more than {MAX_DEPTH} levels deep") from None
        except json.JSONDecodeError as wrong:
            raise ValueError(f"is not valid JSON: {wrong.msg} at character {wrong.pos + 1}") from None
    return value


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _names(value: Any) -> Any:
    """Return `value` as a list of names.

    If the value is a text, read the text as JSON, or as names separated by commas or semicolons.
    """
    value = _json(value)
    return [name.strip() for name in re.split("[,;]", value) if name.strip()] if isinstance(value, str) else value


def _depth(value: Any) -> int:
    """Return the depth of nested lists and objects.

    The function counts level by level, because recursion could overflow the stack.
    """
    level, deep = [value], 0
    while level and deep <= MAX_DEPTH:
        parts = [
            list(each.values()) if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)
        ]
        level = [part for each in parts for part in each]
        deep += bool(parts)
    return deep


class ApprovalRequest(Message):
    """A request that asks people one question."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    headings: ClassVar[Headings] = APPROVAL

    title: str = Field(
        min_length=1, max_length=200, description="The question in one line.", examples=["Rent the hall in June?"]
    )
    body: str = Field(
        default="",
        max_length=20_000,
        description="All that the people who decide need to know, as Markdown. HTML is shown as text.",
        examples=["We need it for **two days**: the 14th and 15th."],
    )
    payload: Annotated[Any, BeforeValidator(_json)] = Field(
        default=None,
        description="Any JSON, at most 32 KB. Conditions of the policy may read it: payload.price.",
        examples=[{"price": 1200}],
    )
    candidates: Annotated[
        list[Annotated[PersonOrGroup, Field(min_length=1, max_length=200)]],
        BeforeValidator(_names, json_schema_input_type=list[str] | str),
    ] = Field(
        default=[],
        max_length=MAX_CANDIDATES,
        description="Groups and ids of people who may decide, in a CSV separated by commas. "
        "If empty, the policy says who decides.",
        examples=[["managers"]],
    )
    deadline: Annotated[datetime, Within(past=0, whole_days=True)] | None = Field(
        default=None,
        description="The latest time for a decision: a day, which ends at its end in UTC, or a moment.",
        examples=["2031-06-01"],
    )

    @field_validator("title")
    @classmethod
    def _one_line(cls, title: str) -> str:
        return printable(title)

    @field_validator("body")
    @classmethod
    def _text(cls, body: str) -> str:
        return lines(body)

    @field_validator("payload")
    @classmethod
    def _bounded(cls, payload: Any) -> Any:
        if _depth(payload) > MAX_DEPTH:
            raise ValueError(f"is nested more than {MAX_DEPTH} levels deep")
        try:
            size = len(json.dumps(payload, allow_nan=False, ensure_ascii=False).encode())
        except (ValueError, TypeError):
            raise ValueError(
                "is not JSON: it contains a value that JSON does not have, such as NaN. Remove this value"
            ) from None
        if size > MAX_PAYLOAD_BYTES:
            raise ValueError(f"has {size:,} bytes as JSON: at most {MAX_PAYLOAD_BYTES:,} are allowed")
        return payload

    @field_validator("candidates")
    @classmethod
    def _each_once(cls, candidates: list[str]) -> list[str]:
        once: dict[str, str] = {}
        for name in candidates:
            once.setdefault(identity_key(name), name)
        return list(once.values())
