"""Unpack the parts of an Excel workbook (.xlsx) under limits: a small file must not fill the memory.

The sizes in the archive are not trusted: each part is unpacked, and all parts together have a limit.
"""

import io
import re
import zipfile
import zlib
from typing import NoReturn

from intake.tables.table import UnreadableFile

MAX_UNPACKED = 100 * 1024 * 1024
MAX_RATIO = 100
"""The maximum ratio of unpacked to packed size of a workbook. Real workbooks have a ratio of 5 to 30."""
MAX_PARTS = 1_000

_READ = re.compile(r"_rels/\.rels|xl/[^\n]*\.(?:xml|rels)", re.IGNORECASE)
"""Match the names of the parts that are kept. Other parts are unpacked too, because they count towards the limit."""


def parts_of(data: bytes) -> dict[str, bytes]:
    """Return the XML parts of a workbook by name in lower case. Raises UnreadableFile."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError) as wrong:
        raise UnreadableFile(
            "format", f"the workbook, or ZIP archive, is damaged ({wrong}): upload it again"
        ) from wrong
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(entries) > MAX_PARTS:
        too_large(f"the workbook has {len(entries):,} parts, and at most {MAX_PARTS:,} are read")
    if "xl/workbook.xml" not in names:
        refuse(_other_than_xlsx(names))
    if any(entry.flag_bits & 1 for entry in entries):
        refuse("the workbook is protected by a password")
    if any("vbaproject" in name.lower() for name in names):
        refuse("the workbook contains macros, which are not allowed: save the workbook without macros")
    if len({name.lower() for name in names}) < len(names):
        refuse("the workbook is damaged: it has two parts of the same name")
    left = min(MAX_UNPACKED, MAX_RATIO * len(data))
    parts: dict[str, bytes] = {}
    for entry in entries:
        part = _unpacked(data, entry, left)
        left -= len(part)
        if _READ.fullmatch(entry.filename):
            _check_encoding(entry.filename, part)
            parts[entry.filename.lower()] = part
    return parts


def refuse(what: str) -> NoReturn:
    """Raise UnreadableFile for a workbook that is damaged, or of a kind that cannot be read. `what` is the reason."""
    raise UnreadableFile("format", f"{what}: save the workbook as 'CSV UTF-8' and upload the new file")


def too_large(what: str) -> NoReturn:
    """Raise UnreadableFile for a workbook that is too large. `what` names the limit."""
    raise UnreadableFile("too_large", f"{what}: save the sheet as 'CSV UTF-8' and upload the new file")


def _other_than_xlsx(names: list[str]) -> str:
    if "xl/workbook.bin" in names:
        return "this is a binary Excel workbook (.xlsb)"
    if "content.xml" in names:
        return "this is an OpenDocument file"
    if "EncryptedPackage" in names:
        return "the workbook is protected by a password"
    return "this is a ZIP archive, not a workbook" if names else "this is an empty ZIP archive"


def _unpacked(data: bytes, entry: zipfile.ZipInfo, left: int) -> bytes:
    """Return the unpacked bytes of a part. Raises UnreadableFile if the part has more than `left` bytes."""
    start = entry.header_offset
    if data[start : start + 4] != b"PK\x03\x04":
        refuse("the workbook is damaged")
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
            raise UnreadableFile(
                "format", f"the workbook is damaged ({wrong}): save it again in Excel and upload the new file"
            ) from wrong
        if not inflater.eof and len(part) <= left:
            refuse("the workbook is damaged, because one of its parts is not complete")
    else:
        refuse("the workbook is packed in an unusual way")
    if len(part) > left:
        limit = f"{MAX_UNPACKED // 1024**2} MB, or {MAX_RATIO} times its size"
        too_large(f"unpacked, the workbook has more than {limit}")
    return part


def _check_encoding(name: str, part: bytes) -> None:
    """Raise UnreadableFile for a part that is not UTF-8 or defines entities, which could grow without end.

    No spreadsheet writes such a part.
    """
    head = part[:200]
    told = re.search(rb"""encoding\s{0,20}=\s{0,20}["']([^"']*)""", head)
    if b"\0" in part or head.startswith((b"\xff\xfe", b"\xfe\xff")):
        refuse(f"the workbook's part {name} is not UTF-8")
    if told and told[1].lower() not in (b"utf-8", b"utf8", b"us-ascii"):
        refuse(f"the workbook's part {name} is not UTF-8")
    if b"<!ENTITY" in part or b"<!DOCTYPE" in part:
        refuse(f"the workbook's part {name} holds entity definitions, which no spreadsheet writes")
