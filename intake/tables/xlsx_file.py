"""Read one sheet of an Excel workbook (.xlsx) as lines of CSV, with values as people see them.

This module uses the XML parser expat, because libraries that read workbooks ignore formats and hidden parts: a sheet
shows 00042 where 42 is stored, and a filtered list shows ten rows of a hundred. One pass finds values, formats, hidden
rows and columns, error cells and merged cells. The pass stops at the first cell beyond a limit.
"""

from typing import NamedTuple

from intake.tables.table import SEARCHED
from intake.tables.xlsx_package import parts_of, refuse
from intake.tables.xlsx_parts import Relations, SharedTexts, SheetList, Styles, parse_part
from intake.tables.xlsx_sheet import SheetReader, SheetRows


class SheetInfo(NamedTuple):
    """An entry of the list of sheets of a workbook."""

    name: str
    hidden: bool
    part: str


class Workbook:
    """An open workbook. Every method can raise UnreadableFile."""

    def __init__(self, data: bytes) -> None:
        self._parts = parts_of(data)
        listed = SheetList()
        parse_part(self._part("xl/workbook.xml"), listed.start)
        targets = Relations()
        parse_part(self._part("xl/_rels/workbook.xml.rels"), targets.start)
        self.sheets = [
            SheetInfo(name, hidden, part)
            for name, relation, hidden in listed.sheets
            if (part := targets.sheets.get(relation, "")) in self._parts
        ]
        texts, styles = SharedTexts(), Styles(listed.since_1904)
        for kind, reader in (("sharedStrings", texts), ("styles", styles)):
            if (part := targets.others.get(kind, f"xl/{kind.lower()}.xml")) in self._parts:
                parse_part(self._parts[part], reader.start, reader.end, reader.text)
        self._texts, self._formats = texts.found, styles.formats()

    def head(self, sheet: SheetInfo, *, hidden: bool) -> list[list[str]]:
        """Return the first rows that are visible and not blank."""
        return SheetReader(self._texts, self._formats, hidden=hidden, count=SEARCHED).head(self._parts[sheet.part])

    def rows(self, sheet: SheetInfo, *, hidden: bool) -> SheetRows:
        """Return all rows of a sheet; with `hidden`, also hidden rows and columns."""
        return SheetReader(self._texts, self._formats, hidden=hidden).read(self._parts[sheet.part])

    def _part(self, name: str) -> bytes:
        if name not in self._parts:
            refuse(f"the workbook is damaged: it has no part {name}")
        return self._parts[name]
