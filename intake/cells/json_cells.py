"""Read cells of fields that hold a list or an object: as JSON, or as values separated by semicolons."""

from collections.abc import Mapping
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, is_typeddict

from pydantic import BaseModel, BeforeValidator, WrapValidator

from domain import strict_json

Kind = Literal["list", "object"]


@lru_cache(256)
def structured(model: type[BaseModel]) -> Mapping[str, Kind]:
    """Return the fields of a model that need a list or an object.

    A field with its own validator that runs before the check of its type is left out, because this validator reads the
    text.
    """
    decorated = {
        name
        for each in model.__pydantic_decorators__.field_validators.values()
        if each.info.mode != "after"
        for name in each.info.fields
    }
    found: dict[str, Kind] = {}
    for name, info in model.model_fields.items():
        own = name in decorated or any(isinstance(each, BeforeValidator | WrapValidator) for each in info.metadata)
        kinds = set(_kinds(info.annotation))
        if not own and len(kinds) == 1 and (kind := kinds.pop()) != "other":
            found[name] = "list" if kind == "list" else "object"
    return found


def _kinds(annotation: Any) -> list[str]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [kind for part in get_args(annotation) if part is not type(None) for kind in _kinds(part)]
    plain = origin or annotation
    if not isinstance(plain, type):
        return ["other"]
    if is_typeddict(plain) or issubclass(plain, BaseModel | Mapping):
        return ["object"]
    return ["list"] if issubclass(plain, list | tuple | set | frozenset) or _is_sequence(plain) else ["other"]


def _is_sequence(plain: type) -> bool:
    return plain.__module__ == "collections.abc" and plain.__name__ in ("Sequence", "Set", "Collection", "Iterable")


def value_of(cell: str, kind: Kind) -> Any:
    """Return the value of a cell. Raises ValueError, whose text is the end of a sentence that begins with the cell."""
    text = cell.strip()
    if text[:1] in ("[", "{"):
        try:
            return strict_json.loads(text)
        except RecursionError:
            raise ValueError("is JSON that is nested too deeply: use fewer levels") from None
        except ValueError as wrong:
            raise ValueError(f"is not valid JSON: {wrong}") from None
    if kind == "list":
        return [part for each in text.split(";") if (part := each.strip())]
    return cell
