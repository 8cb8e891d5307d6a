"""Find the parts of a text that are written from right to left.

On the screen, a number or word next to such a part changes places with the part, unless the part is isolated: "Pay شركة
1,250.00 GBP" would show the amount before the payee.
"""

import re
from collections.abc import Iterator

_RTL = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"
_RUN = re.compile(rf"[{_RTL}](?:(?:[{_RTL}]|\W|\d)*[{_RTL}])?")
"""Match a run, which begins and ends with a right-to-left letter.

Between these two letters, a run can have other right-to-left letters, spaces, punctuation and digits.
"""


def runs(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of the text in order, each with True if the part is written from right to left."""
    at = 0
    for found in _RUN.finditer(text):
        if found.start() > at:
            yield text[at : found.start()], False
        yield found[0], True
        at = found.end()
    if at < len(text):
        yield text[at:], False
