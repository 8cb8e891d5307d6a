"""Make a form for the input of a process from the JSON Schema of its model, and read the form that a person sends.

`schema_form` returns the fields that `_form.html` shows; `read_form` reads the values that a person entered. The
entered texts are kept unchanged: a form with errors is shown again with these texts, and with each error beside its
field.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from api.pages.parts.translation import _
from domain import strict_json
from domain.input_errors import problems_of
from domain.moments import asked
from domain.wording import Words

PREFIX = "input."
"""The start of the name of each input field in the form, so that no field has the name of another part of the form."""
LONG = 500
"""A field whose value may have more characters than this gets several lines."""
SHOWN = 80
"""A field whose present value has more characters than this gets several lines."""

Kind = Literal["text", "long", "number", "money", "date", "moment", "choice", "yes_no", "list", "json"]


@dataclass(frozen=True)
class FormField:
    """One field as the template shows it."""

    name: str
    """The name of the field in the model. `form_name` is its name in the form."""
    label: str
    kind: Kind
    value: str
    """The value that the person entered; if there is none, the stored value."""
    help: str
    example: str
    required: bool
    options: tuple[str, ...] = ()
    """The options of a field with a fixed choice. An empty option means that nothing is chosen."""
    max_length: int | None = None
    kept: bool = False
    """True if the field has a stored value that the form does not show.

    If the person leaves the field empty, this value stays.
    """
    error: str = ""

    @property
    def form_name(self) -> str:
        """Return the name of the input element in the HTML form."""
        return f"{PREFIX}{self.name}"

    @property
    def id(self) -> str:
        """Return the id of the input element. Its help text has the id `<id>-help`, its error text `<id>-error`."""
        return f"input-{self.name}"


@dataclass(frozen=True)
class Read:
    """A form that a person sent, after it was read."""

    typed: Mapping[str, str]
    """The entered text of each field, to show the form again."""
    values: Mapping[str, Any]
    """The values for the model, by field. If the form was read with `base`, only the changed values."""
    errors: Mapping[str, str]
    """The errors by field. The key "" has errors that belong to no single field."""


def schema_form(
    model: type[BaseModel],
    values: Mapping[str, Any],
    *,
    words: Words | None = None,
    only: Collection[str] | None = None,
    read: Read | None = None,
    errors: Mapping[str, str] | None = None,
) -> list[FormField]:
    """Return the fields of a form for a model, in the model's order.

    `values` are stored or suggested values, as JSON. `only` names the wanted fields; None for all. `read` is a sent
    form that is shown again: its entered values replace those in `values`. `errors` are further errors by field, which
    are shown together with those of `read`.
    """
    schema = model.model_json_schema()
    wrong = {**(read.errors if read else {}), **(errors or {})}
    typed = read.typed if read else {}
    return [
        _field(name, part, schema, values.get(name), typed.get(name), wrong.get(name, ""), words)
        for name, part in _wanted(schema, only)
    ]


def read_form(
    model: type[BaseModel],
    form: Mapping[str, Any],
    *,
    words: Words | None = None,
    only: Collection[str] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Read:
    """Read a sent form with the fields of `schema_form`, and check the values with the model.

    `base` is the complete stored input as JSON, or None for a new input. With `base`, the result has only the changed
    values, which are checked together with the unchanged ones: a field that the person emptied gets its default, and a
    hidden field that is empty keeps its stored value. Without `base`, the result leaves empty fields out.
    """
    schema = model.model_json_schema()
    typed: dict[str, str] = {}
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, part in _wanted(schema, only):
        sent = form.get(f"{PREFIX}{name}")
        if not isinstance(sent, str):
            continue
        text = typed[name] = _as_typed(sent)
        if base is not None and _unchanged(name, text, base.get(name), words):
            continue
        if text.strip():
            try:
                values[name] = _value(text, _kind(name, part, schema, words), part, schema)
            except ValueError as wrong:
                errors[name] = str(wrong)
        elif base is not None:
            if name in schema.get("required", ()):
                errors[name] = _("enter a value")
            else:
                values[name] = part.get("default")
    try:
        model.model_validate({**(base or {}), **values}, context=asked(datetime.now(UTC), values))
    except ValidationError as wrong:
        whole = {**(base or {}), **values}
        for each in problems_of(wrong, words.shown_input(whole) if words else whole):
            field = (each.column or "").split(".")[0]
            errors.setdefault(field if field in typed else "", str(each) if field not in typed else each.message)
    return Read(typed, values, errors)


def text_of(value: Any) -> str:
    """Return a stored value as text in a form. `read_form` reads this text as the same value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


# ----------------------------------------------------------------------------------------------------- the JSON Schema


def _wanted(schema: Mapping[str, Any], only: Collection[str] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, part in schema.get("properties", {}).items():
        if only is None or name in only:
            yield name, part


def _leaves(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas of the types that a field allows, with references resolved and without null."""
    if reference := part.get("$ref"):
        yield from _leaves(schema["$defs"][reference.rsplit("/", 1)[-1]], schema)
    elif inner := [*part.get("anyOf", ()), *part.get("oneOf", ()), *part.get("allOf", ())]:
        for each in inner:
            yield from _leaves(each, schema)
    elif part.get("type") != "null":
        yield part


def _options(leaves: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the values of a field that allows only fixed values; empty for any other field."""
    given = [leaf.get("enum", [leaf["const"]] if "const" in leaf else None) for leaf in leaves]
    return tuple(text_of(each) for some in given for each in some) if given and None not in given else ()


def _kind(name: str, part: Mapping[str, Any], schema: Mapping[str, Any], words: Words | None) -> Kind:
    leaves = list(_leaves(part, schema))
    types, formats = {leaf.get("type") for leaf in leaves}, {leaf.get("format") for leaf in leaves}
    if _options(leaves):
        return "choice"
    if words and words.money and name == words.money[0]:
        return "money"
    if types == {"boolean"}:
        return "yes_no"
    if types and types <= {"integer", "number"}:
        return "number"
    if any(leaf.get("type") == "array" and leaf.get("items", {}).get("type") == "string" for leaf in leaves):
        return "list"
    if not types or types & {None, "object", "array"}:
        return "json"
    if "date-time" in formats:
        return "moment"
    if "date" in formats:
        return "date"
    long = max((leaf.get("maxLength", 0) for leaf in leaves), default=0) > LONG or part.get("format") == "multiline"
    return "long" if long or (words and name in words.markdown) else "text"


def _field(
    name: str,
    part: Mapping[str, Any],
    schema: Mapping[str, Any],
    stored: Any,
    typed: str | None,
    error: str,
    words: Words | None,
) -> FormField:
    leaves = list(_leaves(part, schema))
    kept = bool(words and words.masking.touches(name) and stored not in (None, ""))
    value = typed if typed is not None else "" if kept else text_of(stored)
    kind = _kind(name, part, schema, words)
    if kind == "text" and ("\n" in value or len(value) > SHOWN):
        kind = "long"
    required = name in schema.get("required", ())
    options = _options(leaves) or (("true", "false") if kind == "yes_no" else ())
    if (options and value not in options) or (options and not required and part.get("default") in (None, "")):
        options = ("", *options)
    examples = part.get("examples") or [None]
    lengths = [leaf["maxLength"] for leaf in leaves if "maxLength" in leaf]
    return FormField(
        name=name,
        label=(words.labels.get(name) if words else None) or part.get("title", name),
        kind=kind,
        value=value,
        help=part.get("description", ""),
        example="" if kind == "yes_no" else text_of(examples[0]),
        required=required,
        options=options,
        max_length=max(lengths) if len(lengths) == len(leaves) and lengths else None,
        kept=kept,
        error=error,
    )


# ------------------------------------------------------------------------------------------------------ what was typed


def _as_typed(sent: str) -> str:
    """Return the text without NUL characters, and with LF in place of the CR LF that browsers send."""
    return sent.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def _unchanged(name: str, text: str, stored: Any, words: Words | None) -> bool:
    if words and words.masking.touches(name) and not text.strip():
        return True
    return text.strip().splitlines() == text_of(stored).strip().splitlines()


def _value(text: str, kind: Kind, part: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """Return the value of a field for the model: parsed JSON for lists and objects, else the text."""
    types = {leaf.get("type") for leaf in _leaves(part, schema)}
    if kind == "list" and "string" not in types:
        return [each.strip() for each in text.replace("\n", ",").split(",") if each.strip()]
    if kind != "json" or (types & {"string", None} and text.lstrip()[:1] not in ("{", "[")):
        return text if kind in ("long", "json") else text.strip()
    try:
        return strict_json.read(text, parse_constant=_no_number, object_pairs_hook=_each_key_once)
    except RecursionError:
        raise ValueError(_("is nested too deeply")) from None
    except json.JSONDecodeError as wrong:
        raise ValueError(
            _("is not valid JSON: at line %(line)s, character %(place)s", line=wrong.lineno, place=wrong.colno)
        ) from None


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if key := strict_json.duplicate_key(pairs):
        raise ValueError(_("contains the key %(key)s twice in one object", key=key))
    return dict(pairs)


def _no_number(name: str) -> None:
    raise ValueError(_("contains %(name)s, which JSON does not allow as a number", name=name))
