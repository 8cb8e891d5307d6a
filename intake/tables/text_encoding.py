"""Decode a CSV, with a given encoding or a detected one.

UTF-8 and UTF-16 are recognised for sure. For other encodings no byte is proof: nearly any bytes fit Windows-1252, and
`ООО Ромашка` then reads as `ÎÎÎ Ðîìàøêà`. charset-normalizer finds the encodings that give the cleanest text. For a
small file, many encodings give a clean text, so the words are also checked: `likely_language.py`. Where two encodings
are equally likely and differ, a note says so.
"""

import codecs
import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from charset_normalizer import from_bytes

from intake.tables.likely_language import oddness
from intake.tables.table import UnreadableFile, WrongChoice

NAMES: Mapping[str, str] = {
    **{"utf_8": "UTF-8", "utf_16": "UTF-16", "cp1252": "Windows-1252", "cp1250": "Windows-1250"},
    **{"cp1251": "Windows-1251", "cp1253": "Windows-1253", "cp1254": "Windows-1254", "cp1255": "Windows-1255"},
    **{"cp1256": "Windows-1256", "cp1257": "Windows-1257", "cp932": "Shift-JIS", "gb18030": "GB18030"},
    **{"big5": "Big5", "cp949": "EUC-KR", "euc_jp": "EUC-JP", "koi8_r": "KOI8-R", "cp866": "IBM866"},
    **{"cp850": "IBM850", "mac_roman": "Macintosh", "iso8859_2": "ISO-8859-2"},
    **{"iso8859_15": "ISO-8859-15", "iso8859_5": "ISO-8859-5", "cp874": "Windows-874"},
}
"""Names of the detected encodings by codec, the likelier first. A person can also name any other encoding of Python."""
_GUESSED = [codec for codec in NAMES if not codec.startswith("utf")]
_NO_TEXT = {"utf_7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}


class DecodedText(NamedTuple):
    """The text of a file, and the encoding with which it was decoded."""

    text: str
    encoding: str
    doubt: str = ""
    """A note for people if the encoding is uncertain; empty if it is certain."""


def text_of(data: bytes, given: str = "") -> DecodedText:
    """Return the text of a file that is not a workbook.

    Raises UnreadableFile, and WrongChoice if the encoding that a person gave (`given`) is wrong.
    """
    for start, what in _NOT_CSV.items():
        if data.removeprefix(_UTF8).lstrip().startswith(start):
            raise UnreadableFile(
                "format",
                f"this is {what}, neither CSV nor .xlsx: save the file as one of these and upload the new file",
            )
    if given.strip():
        return _as_given(data, given.strip())
    if data.startswith(_UTF32):
        raise UnreadableFile("encoding", "the file is UTF-32: save it as 'CSV UTF-8' and upload the new file")
    if utf16 := _utf16(data):
        try:
            text = data.decode(utf16)
        except UnicodeDecodeError as wrong:
            what = (
                f"the file looks like UTF-16 and is broken (byte {wrong.start:,}): save the file as 'CSV UTF-8' "
                "and upload the new file"
            )
            raise UnreadableFile("encoding", what) from wrong
        _no_nul(text)
        return DecodedText(text.removeprefix("\ufeff"), "UTF-16")
    if b"\x1b$" in data and data.isascii():
        return _as_given(data, "ISO-2022-JP")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        # utf-8-sig counts from after the byte order mark.
        return _guessed(data, wrong.start + (3 if data.startswith(_UTF8) else 0))
    _no_nul(text)
    return DecodedText(text, "UTF-8")


def codec_of(name: str) -> str:
    """Return the codec of an encoding by any of its names. Raises ValueError for an unknown one."""
    known = {said.lower(): codec for codec, said in NAMES.items()}
    aliases = {"shift_jis": "cp932", "sjis": "cp932", "euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030"}
    try:
        codec = known.get(name.lower()) or codecs.lookup(name).name.replace("-", "_")
        codec = aliases.get(codec, codec)
        "".encode(codec)
    except (LookupError, ValueError, UnicodeError) as wrong:
        raise ValueError(
            f"'{name[:40]}' is not a known encoding. Known encodings: {', '.join(NAMES.values())}"
        ) from wrong
    if codec in _NO_TEXT:
        raise ValueError(f"'{name[:40]}' is not an encoding for files: name one such as UTF-8 or Windows-1252")
    return codec


def _as_given(data: bytes, name: str) -> DecodedText:
    try:
        codec = codec_of(name)
    except ValueError as wrong:
        raise WrongChoice("encoding", str(wrong)) from wrong
    try:
        text = data.decode({"utf_8": "utf_8_sig", "utf_16": _utf16(data) or codec}.get(codec, codec))
    except UnicodeDecodeError as wrong:
        line = _line_at(data[: wrong.start].decode("latin-1"))
        raise WrongChoice(
            "encoding", f"the file is not {name[:40]}: line {line} has bytes that this encoding lacks"
        ) from wrong
    _no_nul(text)
    return DecodedText(text.removeprefix("\ufeff"), NAMES.get(codec, name))


# ------------------------------------------------------------------------------------------------------- what it is not

_NOT_CSV = {
    b"\xd0\xcf\x11\xe0": "an old Excel workbook, or one that is protected by a password",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF",
    b"{": "JSON",
    b"[": "JSON",
    b"<": "HTML or XML",
}
_UTF8 = b"\xef\xbb\xbf"
_UTF32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_LIKE_UTF8 = re.compile(rb"[\xc2-\xc5][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
"""UTF-8 bytes of Latin letters and of characters with three or four bytes. Such bytes hardly ever appear in
Windows-1252 texts.
"""


def _utf16(data: bytes) -> str | None:
    """Return the codec of the kind of UTF-16 (byte order); None for another encoding.

    UTF-16 is recognised by its byte order mark, or because every second byte of plain text is NUL.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    head = data[: _HEAD - _HEAD % 2]
    if len(data) < 4 or b"\0" not in head:
        return None
    plain = {codec: _plainness(head, codec) for codec in ("utf-16-le", "utf-16-be")}
    best = max(plain, key=lambda codec: plain[codec])
    return best if plain[best] > 0.05 else None


_HEAD = 4_000


def _plainness(head: bytes, codec: str) -> float:
    """Return the share of ASCII characters in decoded bytes, from 0 to 1; 0 if the bytes are not text."""
    text = head[: len(head) // 2 * 2].decode(codec, "replace").removesuffix("\ufffd")
    if any(unicodedata.category(char) in ("Cc", "Cn", "Co") and char not in "\t\r\n" for char in text):
        return 0.0
    return sum(char.isascii() for char in text) / max(1, len(text))


def _no_nul(text: str) -> None:
    nul = text.find("\0")
    if nul >= 0:
        raise UnreadableFile(
            "format",
            "holds a NUL byte, so this is not a text file: remove the byte, or save the file as 'CSV UTF-8'",
            _line_at(text[:nul]),
        )


def _line_at(before: str) -> int:
    unified = before.replace("\r\n", "\n")
    return 1 + unified.count("\n") + unified.count("\r")


# ------------------------------------------------------------------------------------------------------------- guessing

_LINES, _BYTES = 300, 64 * 1024
"""From how many lines with characters beyond ASCII an encoding is detected, and from how many bytes of them at most."""


def _guessed(data: bytes, place: int) -> DecodedText:
    """Return the text of a file that is not UTF-8 from `place` on, in the likeliest encoding."""
    if control := _CONTROLS.search(data):
        line = _line_at(data[: control.start()].decode("latin-1"))
        raise UnreadableFile(
            "format",
            "holds control characters, so this is not a text file: remove them, or save the file as 'CSV UTF-8'",
            line,
        )
    sample = _not_ascii(data)
    mess = {match.encoding: match.chaos for match in from_bytes(sample, cp_isolation=_GUESSED, threshold=1.0)}
    readings = []
    for codec in _GUESSED:
        with suppress(UnicodeDecodeError):
            words = sample.decode(codec)
            odd = oddness(words, codec) + min(mess.get(codec, 1.0), 1.0) / 10 + (codec in _RARE) / 10
            readings.append(_Reading(codec, words, odd))
    least = min((each.odd for each in readings), default=0.0)
    # Among encodings that are about as good, the more common one comes first.
    western = any(each.codec == "cp1252" for each in readings)
    for best in sorted(readings, key=lambda each: each.odd > least + _CLOSE and each.odd):
        try:
            text = data.decode(best.codec)
        except UnicodeDecodeError:
            continue
        if best.odd >= _ODD and not western:
            break
        same = next(each for each in readings if each.words == best.words)
        with suppress(UnicodeDecodeError):
            best = best._replace(codec=same.codec) if data.decode(same.codec) == text else best
        _check_not_utf8(data, place, best)
        western_too = best.codec in _RARE_LATIN  # a person would not notice the difference
        rivals = [
            each
            for each in readings
            if each.words != best.words
            and (each.odd <= best.odd + _CLOSE or (western_too and each.codec in ("cp1250", "cp1252", *_RARE_LATIN)))
        ]
        return DecodedText(text, NAMES[best.codec], _in_words(best, rivals))
    line = _line_at(data[:place].decode("latin-1"))
    what = f"byte 0x{data[place]:02x} belongs to no known encoding, such as UTF-8 or Windows-1252"
    raise UnreadableFile("encoding", f"{what}: save the file as 'CSV UTF-8' and upload the new file", line)


class _Reading(NamedTuple):
    """The sample of a file, decoded with one encoding, and how odd its words are."""

    codec: str
    words: str
    odd: float


_RARE = {"cp1257", "koi8_r", "iso8859_5", "iso8859_15", "cp866", "cp850", "mac_roman"}
"""Encodings of programs and operating systems that are rare today."""
_RARE_LATIN = {"cp1257", "iso8859_15", "cp850", "mac_roman"}
_CLOSE = 0.05
_ODD = 0.35
"""The oddness of a text from which on hardly any of its words is likely."""


def _check_not_utf8(data: bytes, place: int, best: _Reading) -> None:
    """Raise UnreadableFile for a file that is UTF-8 in part.

    Such a file was made from two files, and no encoding reads both.
    """
    high = sum(byte > 127 for byte in data[:_BYTES])
    valid = sum(len(found[0]) for found in _LIKE_UTF8.finditer(data[:_BYTES]))
    western = best.codec == "cp1252" and _LIKE_UTF8.search(data)
    if data.startswith(_UTF8) or western or (valid * 2 >= high > 0 and best.odd > 0):
        line = _line_at(data[:place].decode("latin-1"))
        what = (
            f"the file is UTF-8 in part, and byte 0x{data[place]:02x} here is not: save the file again as 'CSV UTF-8'"
        )
        raise UnreadableFile("encoding", what, line)


def _not_ascii(data: bytes) -> bytes:
    """Return a sample of different lines that have bytes beyond ASCII."""
    lines = dict.fromkeys(line for line in re.split(rb"[\r\n]+", data) if not line.isascii())
    sample = b"\n".join(islice(lines, _LINES))
    if len(sample) <= _BYTES:
        return sample
    return sample[:_BYTES].rpartition(b"\n")[0] or next(iter(lines))


def _in_words(best: _Reading, rivals: list[_Reading]) -> str:
    if not rivals and best.odd < _ODD:
        return ""
    said = [f"it is read as {NAMES[best.codec]}"]
    for rival in rivals[:2]:
        lines = zip(best.words.split("\n"), rival.words.split("\n"), strict=False)
        one, another = _differing(*next(((a, b) for a, b in lines if a != b), (best.words, rival.words)))
        said.append(f"{NAMES[rival.codec]} would make '{another}' of '{one}'")
    hint = "If names look wrong, set the right encoding as 'encoding'"
    return f"the encoding of the file is uncertain: {'; '.join(said)}. {hint}"


def _differing(one: str, another: str) -> tuple[str, str]:
    """Return the first pair of cells in which two readings of a line differ, or the lines if no cells differ.

    Each text is returned without quotes, and has at most 40 characters.
    """
    pairs = zip(re.split("[,;\t]", one), re.split("[,;\t]", another), strict=False)
    found = next(((a, b) for a, b in pairs if a != b), (one, another))
    return found[0].strip(' "')[:40], found[1].strip(' "')[:40]


def names() -> list[str]:
    """Return the names of the encodings that people can choose from a list."""
    return list(NAMES.values())
