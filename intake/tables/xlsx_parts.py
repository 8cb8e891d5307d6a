"""The parts of a workbook besides its sheets: the list of sheets, shared texts, and styles."""

import re
from typing import Any
from xml.parsers import expat

from intake.tables.number_formats import BUILT_IN, Format, format_of, general
from intake.tables.table import UnreadableFile


class EnoughRead(Exception):
    """Raised by a handler to stop parsing, because the rest of the part is not needed."""


def parse_part(part: bytes, start: Any, end: Any = None, text: Any = None) -> None:
    """Parse a part of a workbook. The handlers get the names of elements with their namespaces: `NAMESPACE}NAME`.
    Raises UnreadableFile.
    """
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    try:
        parser.Parse(part, True)
    except EnoughRead:
        pass
    except (expat.ExpatError, ValueError, OverflowError) as wrong:
        raise UnreadableFile(
            "format", f"the workbook is damaged ({wrong}): save it again in Excel and upload the new file"
        ) from wrong


class LocalNames(dict[str, str]):
    """A cache that gives the name of an element without its namespace, by its full name."""

    def __missing__(self, name: str) -> str:
        local = self[name] = name.rpartition("}")[2]
        return local


YES = ("1", "true", "on")


class SheetList:
    """Handlers for the part `xl/workbook.xml`: the list of sheets."""

    def __init__(self) -> None:
        self.sheets: list[tuple[str, str, bool]] = []
        self.since_1904 = False

    def start(self, name: str, about: dict[str, str]) -> None:
        local = name.rpartition("}")[2]
        if local == "sheet":
            relation = next((value for key, value in about.items() if key.endswith("}id")), "")
            hidden = about.get("state", "visible") in ("hidden", "veryHidden")
            self.sheets.append((about.get("name", ""), relation, hidden))
        elif local == "workbookPr":
            self.since_1904 = about.get("date1904", "") in YES


class Relations:
    """Handlers for the part `xl/_rels/workbook.xml.rels`: the paths of sheets and other parts."""

    def __init__(self) -> None:
        self.sheets: dict[str, str] = {}
        self.others: dict[str, str] = {}

    def start(self, name: str, about: dict[str, str]) -> None:
        if not name.endswith("Relationship"):
            return
        kind, target = about.get("Type", "").rpartition("/")[2], about.get("Target", "").lower()
        path = target.removeprefix("/") if target.startswith("/") else f"xl/{target.removeprefix('./')}"
        if kind == "worksheet":
            self.sheets[about.get("Id", "")] = path
        else:
            self.others[kind] = path


class SharedTexts:
    """Handlers for the part `xl/sharedStrings.xml`: texts to which cells refer by number."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._parts: list[str] = []
        self._reading = self._aside = False
        self._local = LocalNames()

    def start(self, name: str, _about: dict[str, str]) -> None:
        local = self._local[name]
        if local == "si":
            self._parts = []
        elif local == "rPh":  # the pronunciation of a Japanese name
            self._aside = True
        elif local == "t":
            self._reading = not self._aside

    def text(self, text: str) -> None:
        if self._reading:
            self._parts.append(text)

    def end(self, name: str) -> None:
        local = self._local[name]
        if local == "t":
            self._reading = False
        elif local == "rPh":
            self._aside = False
        elif local == "si":
            self.found.append(unescaped("".join(self._parts)))


class Styles:
    """Handlers for the part `xl/styles.xml`: the number format of each style."""

    text = None

    def __init__(self, since_1904: bool) -> None:
        self._since_1904 = since_1904
        self._codes: dict[str, str] = {}
        self._styles: list[str] = []
        self._inside = False

    def start(self, name: str, about: dict[str, str]) -> None:
        local = name.rpartition("}")[2]
        if local == "numFmt":
            self._codes[about.get("numFmtId", "")] = about.get("formatCode", "")
        elif local == "cellXfs":
            self._inside = True
        elif local == "xf" and self._inside:
            self._styles.append(about.get("numFmtId", "0"))

    def end(self, name: str) -> None:
        if name.endswith("cellXfs"):
            self._inside = False

    def formats(self) -> list[Format]:
        made: dict[str, Format] = {}
        for number in self._styles:
            if number not in made:
                code = self._codes.get(number) or (BUILT_IN.get(int(number)) if number.isdecimal() else None)
                made[number] = format_of(code, since_1904=self._since_1904) if code else general
        return [made[number] for number in self._styles]


_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")


def unescaped(text: str) -> str:
    """Return a text in which escapes such as `_x000D_` are replaced by their characters.

    A workbook escapes control characters, because XML cannot hold them.
    """
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text
