"""Blocks and sections of the docs."""

import re
from pathlib import Path
from typing import NamedTuple


class Fence(NamedTuple):
    """One fenced block, with the last line of text before it."""

    said: str
    language: str
    text: str


def fences(text: str) -> list[Fence]:
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Fence(text[: each.start()].strip().splitlines()[-1], each[1], each[2]) for each in found]


def section(page: Path, heading: str) -> str:
    """The text under a heading of the second level."""
    return page.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
