"""Why people are asked, or are not: a condition of the policy with what it read, in plain words."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from api.pages.parts.formatting import money, readable
from api.pages.parts.translation import _
from domain.wording import Words

_COMPARES = re.compile(r"\s*([a-z_][\w.]*)\s*(>=|>|<=|<)\s*([a-z_][\w.]*|-?\d+(?:\.\d+)?)\s*")
_OTHER = {">=": "<", ">": "<=", "<=": ">", "<": ">="}


def reason(condition: str, names: Mapping[str, Any], holds: bool, words: Words | None, shown: Mapping[str, Any]) -> str:
    """What a condition came to, as the end of a sentence: `under 500.00 GBP`, `the score is 50 or more`.

    `names` is what it read. Empty for a condition that reads nothing, and for one without a value.
    """
    if not names or any(value is None for value in names.values()):
        return ""
    if found := _COMPARES.fullmatch(condition):
        left, sign, right = found[1], found[2] if holds else _OTHER[found[2]], found[3]
        limit = names.get(right, right)
        if left in names and isinstance(limit, str | int | float):
            return _compared(left, sign, limit, words, shown)
    told = [
        _("%(name)s is %(value)s", name=_label(name, words), value=_value(value))
        for name, value in names.items()
        if not name.startswith("limits.") and not isinstance(value, dict | list)
    ]
    return ", ".join(told)


def comparison(condition: str, names: Mapping[str, Any], holds: bool, words: Words | None, currency: str = "") -> str:
    """What a condition comes to, as a sentence with both its sides: `amount 662.37 is below 50,000`.

    Of what is no comparison, the values that it reads, as `reason` tells them.
    """
    found = _COMPARES.fullmatch(condition)
    if found is None or found[1] not in names or any(value is None for value in names.values()):
        return reason(condition, names, holds, words, {})
    sign, limit = found[2] if holds else _OTHER[found[2]], names.get(found[3], found[3])
    told = {
        ">=": _("%(name)s %(value)s is %(limit)s or more"),
        ">": _("%(name)s %(value)s is above %(limit)s"),
        "<=": _("%(name)s %(value)s is at most %(limit)s"),
        "<": _("%(name)s %(value)s is below %(limit)s"),
    }[sign]
    value = names[found[1]]
    if words and words.money and found[1] == words.money[0] and currency:
        shown = _plain_money(value, currency).removesuffix(f" {currency}")
    else:
        shown = _value(value)
    return told % {"name": _label(found[1], words), "value": shown, "limit": _value(limit)}


def _compared(left: str, sign: str, limit: object, words: Words | None, shown: Mapping[str, Any]) -> str:
    amount, currency = words.money if words and words.money else ("", "")
    if left == amount and shown.get(currency):
        # `under 500.00 GBP` says enough; `500.00 GBP or more` needs to say of what.
        told, name = _plain_money(limit, str(shown[currency])), _label(left, words) if sign in (">=", ">") else ""
    else:
        told, name = _value(limit), _label(left, words)
    said = {
        ">=": _("%(limit)s or more", limit=told),
        ">": _("over %(limit)s", limit=told),
        "<=": _("at most %(limit)s", limit=told),
        "<": _("under %(limit)s", limit=told),
    }[sign]
    return _("%(name)s %(said)s", name=name, said=said) if name else said


def _plain_money(limit: object, currency: str) -> str:
    return str(money(limit, currency).striptags())


def _label(name: str, words: Words | None) -> str:
    plain = name.removeprefix("facts.").removeprefix("case.")
    label = words.labels.get(plain) if words else None
    return label[:1].lower() + label[1:] if label else readable(plain.replace(".", " "))


def _value(value: object) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    try:
        return f"{Decimal(str(value)):,f}"
    except InvalidOperation:
        return str(value)
