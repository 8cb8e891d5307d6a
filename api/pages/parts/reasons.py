"""Say why people must decide or not: a condition of the policy in words, with its values, in the reader's language."""

from collections.abc import Mapping
from typing import Any

from api.pages.parts.translation import reader
from domain.wording import Words
from policy.wording import because


def reason(condition: str, names: Mapping[str, Any], holds: bool, words: Words | None, input: Mapping[str, Any]) -> str:
    """Return the result of a condition as the end of a sentence: `amount under 500.00 GBP`, `score at least 50`.

    `names` has the values that the condition read, by name; `input` is the input of the case. The result is empty if
    the condition reads no value.
    """
    currency = str(input.get(words.money[1]) or "") if words and words.money else ""
    return because(condition, names, holds, words, currency, texts=reader.get().texts)
