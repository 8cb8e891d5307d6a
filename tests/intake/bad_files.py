"""Files as nobody should send them and somebody will: each with a few words of the reason that people are told.

A `REFUSED` file cannot be read as a whole; of an `INVALID` one every row is wrong. None is anybody's real data.
"""

import gzip
import hashlib
import io
import tarfile

from tests.intake.workbooks import MAIN, book, rows, sheet, workbook, zipped

HEAD = b"reference,payee,amount,currency,account,due_date,memo,payee_account\n"
GOOD = b"BAD-1,Acme Paper Ltd,12.50,GBP,operating,,,\n"
THEIRS = ("Trans No", "Supplier Name", "Amount")
ROW = ("BAD-1", "Acme Paper Ltd", 12.5)
ONE_MB = 1024 * 1024


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("payments.csv"))
    return out.getvalue()


def _row(line: str) -> bytes:
    return HEAD + line.encode() + b"\n"


def _far(place: str, quote: str = '"') -> bytes:
    return book({"S": sheet(rows([THEIRS, ROW]) + f"<row><c r={quote}{place}{quote}><v>1</v></c></row>")})


def _lying(data: bytes) -> bytes:
    """The same archive, whose headers say that every part is one byte long."""
    broken = bytearray(data)
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = broken.find(mark)
        while place >= 0:
            broken[place + at : place + at + 4] = (1).to_bytes(4, "little")
            place = broken.find(mark, place + 4)
    return bytes(broken)


_SHARED = f'<sst xmlns="{MAIN}"><si><t>{"x" * 30_000}</t></si></sst>'
_SHARING = "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(1, 20_000))
_NOISE = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256))
"""What does not get smaller when it is packed."""
_ORDINARY = workbook(THEIRS, ROW)
_ENCRYPTED = bytearray(_ORDINARY)
for _mark, _at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
    _ENCRYPTED[_ENCRYPTED.find(_mark) + _at] |= 1

REFUSED: dict[str, tuple[bytes, str]] = {
    # nothing in it
    "no bytes": (b"", "the file is empty"),
    "blanks and line ends": (b" \r\n \n\t", "the file is empty"),
    "a byte order mark": (b"\xef\xbb\xbf", "the file is empty"),
    "commas": (b",,,\n,,,\n", "the file is empty"),
    "UTF-16 of nothing": ("\n".encode("utf-16"), "the file is empty"),
    "headings only": (HEAD, "headings but no rows"),
    "headings and blank lines": (HEAD + b"\n,,,,,,,\n\n", "headings but no rows"),
    "a title only": (b"Payments over 500\n", "headings are missing"),
    # no text, or of no encoding
    "a gzip archive": (gzip.compress(HEAD + GOOD), "a gzip archive"),
    "a tar archive": (_tar(), "NUL byte"),
    "a PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF"),
    "a web page": (b"\n<!doctype html><html>", "HTML or XML"),
    "JSON": (b'[{"reference": "BAD-1"}]', "JSON"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 4, "not a text file"),
    "an old Excel workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "an old Excel workbook"),
    "a NUL": (HEAD + GOOD + b"BAD-2,Ac\0me,1,GBP,operating,,,\n", "line 3: holds a NUL byte"),
    "a NUL in UTF-16": ((HEAD + GOOD).decode().replace("Acme", "A\0e").encode("utf-16"), "line 2: holds a NUL byte"),
    "half a character of UTF-16": ((HEAD + GOOD).decode().encode("utf-16") + b"x", "UTF-16 and is broken"),
    "UTF-32": ((HEAD + GOOD).decode().encode("utf-32"), "UTF-32"),
    "two encodings in one": (HEAD + "Ä,".encode() + b"\xe9,1,GBP,o,,,\n", "line 2: the file is UTF-8 in part"),
    "Latin-1 behind a mark of UTF-8": (b"\xef\xbb\xbf" + HEAD + b"a\xe9,b,1,GBP,o,,,\n", "line 2: the file is UTF-8"),
    "a byte of no encoding": (HEAD + GOOD + b"BAD-2,\x81,1,GBP,o,,,\n", "line 3: byte 0x81"),
    "a bell in Windows-1252": (HEAD + b"BAD-1,\xe9\x07,1,GBP,o,,,\n", "line 2: holds control characters"),
    # broken CSV
    "an unclosed quote": (
        HEAD + GOOD + b'BAD-2,"Acme,1,GBP,operating,,,\n' + GOOD,
        "line 3: a cell in the row that starts here",
    ),
    "a stray quote": (HEAD + b'BAD-1,"Acme" Paper,1,GBP,operating,,,\n', "line 2: text follows a closing quote"),
    "a quote that closes a line too late": (
        HEAD + b'BAD-1,"Acme,1,GBP,operating,,,\nBAD-2,"Bee",1,GBP,operating,,,\n',
        "in the row that starts on line 2",
    ),
    "a field of 1 MB": (HEAD + b"BAD-1," + b"x" * ONE_MB + b",1,GBP,o,,,\n", "line 2: a cell is longer than 128 KB"),
    "a quote open over all the rest": (HEAD + b'BAD-1,"x\n' + GOOD * 4000, "line 2: a cell is longer"),
    "10,000 columns": (
        ",".join(f"c{n}" for n in range(10_000)).encode() + b"\n1\n",
        "10,000 columns, and at most 200",
    ),
    "201 columns": (HEAD[:-1] + b",x" * 193 + b"\n" + GOOD, "201 columns, and at most 200"),
    "100,001 rows": (
        b"reference,payee,amount,currency,account\n" + b"r,A,1,GBP,o\n" * 100_001,
        "more than 100,000 rows",
    ),
    # headings
    "no headings": (GOOD + GOOD, "headings are missing"),
    "no reference": (b"payee,amount,currency,account\nAcme,1,GBP,o\n", "missing: reference"),
    "no amount": (b"Trans No;Supplier Name;Paid Date\nBAD-1;Acme;01/02/2027\n", "missing: amount"),
    "headings of something else": (b"name,colour,size\nx,red,3\n", "give a mapping"),
    "a heading twice": (b"reference,payee,amount,Amount ,currency,account\nBAD-1,A,1,1,GBP,o\n", "once: amount"),
    "their heading twice": (
        b"Trans No,Supplier,Amount,Trans No\nBAD-1,A,1,2\n",
        "'Trans No' appears 2 times",
    ),
    "bars between cells": (HEAD.replace(b",", b"|") + GOOD.replace(b",", b"|"), "separated by bars"),
    "each line quoted as a whole": (b'"reference,payee,amount"\n"BAD-1,Acme,1"\n', "each line is quoted as a whole"),
    "a binary column for the amount": (b"ref,supplier,value\nBAD-1,Acme,yes\nBAD-2,Bee,no\n", "missing: amount"),
    # workbooks
    "a ZIP archive": (zipped({"payments.csv": HEAD + GOOD}), "a ZIP archive, not a workbook"),
    "an empty ZIP archive": (zipped({}), "an empty ZIP archive"),
    "a workbook cut off": (_ORDINARY[: len(_ORDINARY) // 2], "damaged"),
    "bytes that begin as a workbook": (b"PK\x03\x04" + b"x" * 400, "damaged"),
    "a workbook with nothing in it": (book({"S": sheet("")}), "no sheet with content"),
    "a workbook with headings only": (workbook(THEIRS), "headings but no rows"),
    "a workbook without sheets": (book({}), "no sheet with content"),
    "a workbook of broken XML": (book({"S": sheet('<row r="1"><c r="A1"><v>1</c></row>')}), "damaged"),
    "a workbook that names no such text": (
        book({"S": sheet('<row r="1"><c r="A1" t="s"><v>9</v></c></row>')}),
        "damaged",
    ),
    "a workbook in UTF-16": (book({"S": sheet(rows([THEIRS, ROW])).encode("utf-16")}), "is not UTF-8"),
    "a workbook that says Latin-1": (
        book({"S": b'<?xml version="1.0" encoding="ISO-8859-1"?>' + sheet(rows([THEIRS, ROW])).encode()}),
        "is not UTF-8",
    ),
    "a workbook with entities": (
        book({"S": '<!DOCTYPE x [<!ENTITY a "aaaa">]>' + sheet(rows([THEIRS, ROW]))}),
        "entity definitions",
    ),
    "a workbook with macros": (book({"S": sheet("")}, {"xl/vbaProject.bin": b"x"}), "macros"),
    "a workbook with a password": (bytes(_ENCRYPTED), "protected by a password"),
    "a binary workbook": (zipped({"xl/workbook.bin": b"x"}), ".xlsb"),
    "an OpenDocument sheet": (zipped({"mimetype": "application/vnd.oasis", "content.xml": "<a/>"}), "OpenDocument"),
    "a workbook packed oddly": (book({"S": sheet(rows([THEIRS, ROW]))}, method=12), "packed in an unusual way"),
    "a workbook of 1,001 parts": (book({"S": sheet("")}, {f"xl/{n}": "" for n in range(1000)}), "parts, and at most"),
    "a workbook that grows 100 times": (book({"S": sheet("") + " " * 20 * ONE_MB}), "unpacked, the workbook has more"),
    "a workbook that lies about its size": (_lying(book({"S": sheet("") + " " * 20 * ONE_MB})), "unpacked"),
    "a cell in the last corner": (_far("XFD1048576"), "rows are read"),
    "a cell in the last corner, quoted otherwise": (_far("XFD1048576", "'"), "rows are read"),
    "a cell in the last column": (_far("XFD3"), "16,384 columns, and at most 200"),
    "a cell far down and far right": (_far("GR90000"), "cells, and at most 5,000,000"),
    "rows without numbers": (
        book({"S": sheet("<row/>" * 100_002 + "<row><c><v>1</v></c></row>")}, {"xl/media/noise": _NOISE}),
        "cells down to row 100,002",
    ),
    "a row of cells without places": (
        book({"S": sheet(f"<row>{'<c/>' * 300}</row>")}),
        "columns, and at most 200 are read",
    ),
    "one text in 20,000 cells": (book({"S": sheet(_SHARING)}, {"xl/sharedStrings.xml": _SHARED}), "MB of text"),
    "a CSV in the cells of one column": (workbook(["Trans No,Supplier,Amount"], ["BAD-1,A,1"]), "in one cell"),
}

INVALID: dict[str, tuple[bytes, str]] = {
    "ragged rows": (HEAD + b"BAD-1,Acme\n" + GOOD[:-1] + b",,x\n", "cells"),
    "only CR, and too few cells": ((HEAD + b"BAD-1,Acme\n").replace(b"\n", b"\r"), "too few cells: 2"),
    "another delimiter in the rows": (HEAD + GOOD.replace(b",", b";"), "too few cells: 1"),
    "a row of 10,000 cells": (HEAD + b"BAD-1" + b"," * 10_000 + b"x\n", "too many cells"),
    "a row quoted as a whole": (HEAD + b'"BAD-1,Acme,1,GBP,operating,,,"\n', "the whole row is in one cell"),
    "a mangled reference": (
        _row("4.63E+07,Acme,1,GBP,operating,,,"),
        "is a long number that a spreadsheet has shortened",
    ),
    "a mangled reference in a workbook": (
        workbook(THEIRS, [46281108000000000000, "Acme", 1]),
        "a spreadsheet has shortened",
    ),
    "no reference": (_row(",Acme,1,GBP,operating,,,"), "enter a reference"),
    "a bell in the reference": (
        _row("BAD\x07,Acme,1,GBP,operating,,,"),
        "cannot be seen (U+0007",
    ),
    "a reference of 121 characters": (_row("R" * 121 + ",Acme,1,GBP,operating,,,"), "at most 120"),
    "a mark that turns the text": (_row("BAD-1,Acme \u202eknaB,1,GBP,operating,,,"), "payee"),
    "a formula for the amount": (_row("BAD-1,Acme,=1+1,GBP,operating,,,"), "amount"),
    "a formula in a workbook": (workbook(THEIRS, ["BAD-1", "Acme", "=HYPERLINK(1)"], ["B", "A", 0]), "is not a number"),
    "a date that is none": (_row("BAD-1,Acme,1,GBP,operating,31/02/2026,,"), "due_date"),
    "a date that may be two": (
        b"Trans No,Supplier,Amount,Payment Due\nBAD-1,A,1,01/02/2027\n",
        "may be 2 January 2027 or 1 February 2027",
    ),
    "an amount that may be two": (b'Trans No,Supplier,Amount\nBAD-1,A,"1,500"\n', "may be 1500 or 1.500"),
    "a sign of several currencies": (b"Trans No,Supplier,Amount\nBAD-1,A,$5\n", "currency_signs"),
    "a sign against the currency": (b"Trans No,Supplier,Amount,Currency\nBAD-1,A,\xe2\x82\xac5,GBP\n", "says EUR, and"),
    "an amount below 0": (b"Trans No,Supplier,Amount\nBAD-1,A,(500.00)\n", "'(500.00)': an amount is more than 0"),
    "a useless moment to start at": (HEAD[:-1] + b",start_at\n" + GOOD[:-1] + b",soon\n", "'soon': write a day"),
    "a wrong bank account": (_row("BAD-1,Acme,1,GBP,operating,,,GB00WEST12345698765432"), "'…5432': not a valid IBAN"),
}
