"""The page about privacy names each table once, with what happens to what it holds."""

import re
from collections import Counter

from store.erasure.columns import COLUMNS, Held
from tests.support.installed_app import ROOT

PAGE = (ROOT / "docs" / "privacy.md").read_text()
ROWS = [line.split("|")[1:-1] for line in PAGE.partition("## The tables")[2].splitlines() if line.startswith("| `")]
WAYS = {
    Held.CASE: "Case",
    Held.UPLOAD: "Upload",
    Held.PERSON: "Person",
    Held.EVENT: "Event",
    Held.SHORT: "Short",
}
"""How the page says with what a class of columns is erased."""


def test_each_table_is_on_the_page_once() -> None:
    named = Counter(name for tables, *_ in ROWS for name in re.findall(r"`(\w+)`", tables))
    assert named.keys() == COLUMNS.keys()
    assert [name for name, times in named.items() if times > 1] == []


def test_each_row_says_how_what_the_tables_hold_goes() -> None:
    wrong = []
    for tables, holds, goes in ROWS:
        assert holds.strip()
        said = set(re.findall(r"\b(Case|Upload|Person|Event|Short|Stays)\b", goes))
        for name in re.findall(r"`(\w+)`", tables):
            right = {word for kind, word in WAYS.items() if kind in COLUMNS[name]} or {"Stays"}
            if right != said:
                wrong.append(f"{name}: {sorted(right)}, and the page says {sorted(said)}")
    assert not wrong, "\n".join(wrong)
