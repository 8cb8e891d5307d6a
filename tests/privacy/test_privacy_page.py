"""The page about privacy names each table once, with what happens to what it holds."""

import re
from collections import Counter

from store.tables.base import metadata
from tests.support.installed_app import ROOT

PAGE = (ROOT / "docs" / "privacy.md").read_text()
ROWS = [line.split("|")[1:-1] for line in PAGE.partition("## The tables")[2].splitlines() if line.startswith("| `")]
WAYS = ("Case", "Upload", "Person", "Event", "Short", "Stays")


def test_each_table_is_on_the_page_once() -> None:
    named = Counter(name for tables, *_ in ROWS for name in re.findall(r"`(\w+)`", tables))
    assert named.keys() == metadata.tables.keys()
    assert [name for name, times in named.items() if times > 1] == []


def test_each_row_says_what_the_tables_hold_and_how_it_goes() -> None:
    for tables, holds, goes in ROWS:
        assert holds.strip() and re.match(rf"({'|'.join(WAYS)})\b", goes.strip()), tables
