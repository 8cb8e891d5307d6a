"""An Excel workbook (.xlsx) to the rows of one of its sheets, as lines of CSV.

The reader believes what a file says of itself and makes room for every cell between the first and the last, so a small
file could take all memory. It is therefore handed nothing that was not measured here: each part is really unpacked
under a limit, each sheet is looked through for far-away cells, and the parts that are read are packed anew.
"""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from typing import NoReturn

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from intake.tables import UnreadableFile, filled

MAX_UNPACKED = 100 * 1024 * 1024
MAX_RATIO = 100
"""How many times larger than packed a workbook may be. Those of people are 5 to 30 times."""
MAX_PARTS = 1_000
MAX_COLUMNS = 200
MAX_ROWS = 100_001
"""With the headings."""
MAX_CELLS = 5_000_000
"""Cells, filled or not, between the first and the last: what the reader makes room for."""
MAX_TEXT = 200 * 1024 * 1024
"""Characters in all cells: a long text that many cells share is one in the file and many in memory."""

_READ = re.compile(r"\[Content_Types\]\.xml|_rels/\.rels|xl/.*\.(xml|rels)", re.IGNORECASE)
"""The parts that are handed on."""


def rows_of(data: bytes) -> tuple[str, tuple[str, ...], list[str]]:
    """The name of the first sheet that holds anything, the names of the others, and its rows. Raises UnreadableFile."""
    packed = _measured(data)
    try:
        with CalamineWorkbook.from_filelike(io.BytesIO(packed)) as book:
            return _first_filled(book)
    except (CalamineError, OSError, ValueError, OverflowError) as wrong:
        _refuse(f"the workbook is damaged ({wrong})")
    except BaseException as wrong:
        # What the reader did not foresee comes as a panic of its own, which is no Exception.
        if type(wrong).__name__ != "PanicException":
            raise
        _refuse("the workbook is damaged")


def _refuse(what: str) -> NoReturn:
    raise UnreadableFile("format", f"{what}: save it as 'CSV UTF-8' and upload that")


def _too_large(what: str) -> NoReturn:
    raise UnreadableFile("too_large", f"{what}: save the sheet as 'CSV UTF-8' and upload that")


# ------------------------------------------------------------------------------------------------------------ measuring


def _measured(data: bytes) -> bytes:
    """The workbook with nothing but parts that were unpacked and found harmless."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError) as wrong:
        raise UnreadableFile(
            "format", f"the workbook, or ZIP archive, is damaged ({wrong}): upload it again"
        ) from wrong
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(entries) > MAX_PARTS:
        _too_large(f"the workbook has {len(entries):,} parts, and at most {MAX_PARTS:,} are read")
    if "xl/workbook.xml" not in names:
        _refuse(_other_than_xlsx(names))
    if any(entry.flag_bits & 1 for entry in entries):
        _refuse("the workbook is protected by a password")
    if any("vbaproject" in name.lower() for name in names):
        _refuse("the workbook holds macros, which are not taken")
    if len({name.lower() for name in names}) < len(names):
        _refuse("the workbook is damaged: it has two parts of the same name")
    left = min(MAX_UNPACKED, MAX_RATIO * len(data))
    longest, texts = 0, list[int]()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as kept:
        # The shared texts first: how much text a sheet holds is known only with them.
        for entry in sorted(entries, key=lambda each: not each.filename.lower().endswith("sharedstrings.xml")):
            part = _unpacked(data, entry, left)
            left -= len(part)
            if not _READ.fullmatch(entry.filename):
                continue
            _check_encoding(entry.filename, part)
            if entry.filename.lower().endswith("sharedstrings.xml"):
                texts += [len(each) for each in re.split(rb"<(?:[\w.-]+:)?si[\s/>]", part)[1:]]
                longest = max(texts, default=0)
            else:
                _check_extent(part, texts, longest)
            kept.writestr(entry.filename, part)
    return out.getvalue()


def _other_than_xlsx(names: list[str]) -> str:
    if "xl/workbook.bin" in names:
        return "this is a binary Excel workbook (.xlsb)"
    if "content.xml" in names:
        return "this is an OpenDocument file"
    if "EncryptedPackage" in names:
        return "the workbook is protected by a password"
    return "this is a ZIP archive, not a workbook" if names else "this is an empty ZIP archive"


def _unpacked(data: bytes, entry: zipfile.ZipInfo, left: int) -> bytes:
    """What a part really holds, whatever the archive says of its size. Raises UnreadableFile beyond `left` bytes."""
    start = entry.header_offset
    if data[start : start + 4] != b"PK\x03\x04":
        _refuse("the workbook is damaged")
    name, extra = (int.from_bytes(data[start + at : start + at + 2], "little") for at in (26, 28))
    start += 30 + name + extra
    packed = data[start : start + entry.compress_size]
    if entry.compress_type == zipfile.ZIP_STORED:
        part = packed
    elif entry.compress_type == zipfile.ZIP_DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            part = inflater.decompress(packed, left + 1)
        except zlib.error as wrong:
            raise UnreadableFile("format", f"the workbook is damaged ({wrong}): upload it again") from wrong
        if not inflater.eof and len(part) <= left:
            _refuse("the workbook is damaged: a part of it ends too early")
    else:
        _refuse("the workbook is packed in an unusual way")
    if len(part) > left:
        limit = f"{MAX_UNPACKED // 1024**2} MB, or {MAX_RATIO} times its size"
        _too_large(f"unpacked, the workbook has more than {limit}")
    return part


def _check_encoding(name: str, part: bytes) -> None:
    """The marks that are looked for below stand as they are in UTF-8 only."""
    head = part[:200]
    told = re.search(rb"""encoding\s*=\s*["']([^"']*)""", head)
    if b"\0" in part or head.startswith((b"\xff\xfe", b"\xfe\xff")):
        _refuse(f"the workbook's part {name} is not UTF-8")
    if told and told[1].lower() not in (b"utf-8", b"utf8", b"us-ascii"):
        _refuse(f"the workbook's part {name} is not UTF-8")
    if b"<!ENTITY" in part or b"<!DOCTYPE" in part:
        _refuse(f"the workbook's part {name} holds definitions of its own, as no spreadsheet writes them")


_PLACE = re.compile(rb"""(?<![\w])r\s*=\s*["']\s*\$?([A-Za-z]*)\$?([0-9]+)""")
"""Of a cell (`r="B7"`) or a row (`r="7"`), with any prefix before the r."""
_ROW = re.compile(rb"<(?:[\w.-]+:)?row[\s/>]")
_CELL = re.compile(rb"<(?:[\w.-]+:)?c([\s/>])")
_TEXT_CELL = re.compile(rb"<(?:[\w.-]+:)?c\b([^>]*)>(?:\s*<(?:[\w.-]+:)?v[^>]*>\s*(\d{1,9})\s*<)?")


def _check_extent(part: bytes, texts: list[int], longest: int) -> None:
    """Refuse a sheet with cells beyond what is read, or with more text than fits. Any part might be a sheet."""
    if not _CELL.search(part):
        return
    width = height = 0
    for place in _PLACE.finditer(part):
        height = max(height, int(place[2][:9]))
        width = max(width, _column(place[1]))
    # Rows and cells that name no place stand behind the one before.
    rows = _ROW.split(part)
    height = max(height, len(rows) - 1)
    cells = [len(_CELL.findall(row)) for row in rows]
    width = max(width, *cells)
    if height > MAX_ROWS:
        _too_large(f"the sheet has cells down to row {height:,}, and at most {MAX_ROWS:,} rows are read")
    if width > MAX_COLUMNS:
        _too_large(f"the sheet has {width:,} columns, and at most {MAX_COLUMNS} are read")
    if height * width > MAX_CELLS:
        _too_large(f"the sheet spans {height * width:,} cells, and at most {MAX_CELLS:,} are read")
    if sum(cells) * longest > MAX_TEXT and _text_in(part, texts, longest) > MAX_TEXT:
        _too_large(f"the cells of the sheet hold more than {MAX_TEXT // 1024**2} MB of text")


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters.upper()[:4]:
        number = number * 26 + letter - 64
    return number


def _text_in(part: bytes, texts: list[int], longest: int) -> int:
    """The characters that the shared texts of a sheet come to; of a cell that is written oddly, the most it can be."""
    total = 0
    for cell in _TEXT_CELL.finditer(part):
        if re.search(rb"""t\s*=\s*["']s["']""", cell[1]):
            number = int(cell[2]) if cell[2] else len(texts)
            total += texts[number] if number < len(texts) else longest
    return total


# -------------------------------------------------------------------------------------------------------------- reading


def _first_filled(book: CalamineWorkbook) -> tuple[str, tuple[str, ...], list[str]]:
    # What nobody sees is read only where nothing else is there.
    sheets = [each for each in book.sheets_metadata if each.typ == SheetTypeEnum.WorkSheet]
    for sheet in sorted(sheets, key=lambda each: each.visible != SheetVisibleEnum.Visible):
        rows = list(_rows(book.get_sheet_by_name(sheet.name)))
        if any(rows):
            return sheet.name, tuple(each.name for each in sheets if each.name != sheet.name), rows
    raise UnreadableFile("empty", "the workbook has no sheet with anything in it")


def _rows(sheet: CalamineSheet) -> Iterator[str]:
    """Each row as a line of CSV; a blank one as a blank line."""
    line = io.StringIO()
    # The end of the line is what makes the writer quote line breaks in cells; it is cut off again.
    writer = csv.writer(line, lineterminator="\r\n")
    for row in sheet.iter_rows():
        cells = [_as_typed(cell) for cell in row]
        if filled(cells):
            writer.writerow(cells)
            yield line.getvalue()[:-2]
            line.seek(0)
            line.truncate()
        else:
            yield ""


def _as_typed(cell: object) -> str:
    """A cell as a person typed it: 1500, not 1500.0; a day as 2027-03-31."""
    match cell:
        case str():
            return cell
        case bool():
            return "true" if cell else "false"
        case int():
            return str(cell)
        case float():
            return _number(cell)
        case datetime():
            return cell.date().isoformat() if cell.time() == time() else cell.isoformat(sep=" ")
        case date() | time():
            return cell.isoformat()
    return str(cell)


def _number(cell: float) -> str:
    """The shortest text that is this number. Beyond 2^53 it is no longer the one that was typed: it stays `1.2E+19`."""
    with suppress(OverflowError, ValueError):
        if cell == int(cell):
            return str(int(cell)) if abs(cell) < 2**53 else f"{cell:.15E}"
    short = repr(cell)
    return f"{Decimal(short):f}" if "e" in short else short
