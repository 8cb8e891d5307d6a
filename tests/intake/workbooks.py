"""Workbooks for tests, written byte by byte: valid ones, and ones that no program would write."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
STYLES = (
    f'<styleSheet xmlns="{MAIN}"><numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/></numFmts>'
    '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="164"/></cellXfs></styleSheet>'
)


HIDDEN = ' state="hidden"'


class Day(int):
    """A date as a workbook holds it: days since the end of 1899."""


class Cells(str):
    """XML of a cell as it is, `{place}` for its place."""


def styled(value: object, style: int = 0, kind: str = "n") -> Cells:
    """A cell with a style of `styles_of`, or of another kind: `e` for an error."""
    return Cells(f'<c r="{{place}}" s="{style}" t="{kind}"><v>{escape(str(value))}</v></c>')


def styles_of(*codes: str) -> str:
    """`xl/styles.xml` with these number formats, as the styles 1, 2, 3."""
    quotes = {'"': "&quot;"}
    listed = "".join(
        f'<numFmt numFmtId="{200 + n}" formatCode="{escape(code, quotes)}"/>' for n, code in enumerate(codes)
    )
    used = "".join(f'<xf numFmtId="{number}"/>' for number in (0, *range(200, 200 + len(codes))))
    return f'<styleSheet xmlns="{MAIN}"><numFmts>{listed}</numFmts><cellXfs>{used}</cellXfs></styleSheet>'


Cell = str | int | float | bool | None


def cell(place: str, value: Cell) -> str:
    match value:
        case None:
            return ""
        case bool():
            return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
        case Day():
            return f'<c r="{place}" s="1"><v>{int(value)}</v></c>'
        case int() | float():
            return f'<c r="{place}"><v>{value!r}</v></c>'
        case Cells():
            return value.replace("{place}", place)
        case str() if value.startswith("="):
            return f'<c r="{place}" t="str"><f>{escape(value[1:])}</f><v>{escape(value)}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def rows(table: Sequence[Sequence[Cell]], about: Mapping[int, str] = {}) -> str:
    """The rows of a sheet as XML; an empty row is left out, as spreadsheets do. `about` are attributes of rows."""
    lines = []
    for number, row in enumerate(table, 1):
        if row:
            cells = "".join(cell(f"{chr(65 + place)}{number}", value) for place, value in enumerate(row))
            lines.append(f'<row r="{number}" {about.get(number, "")}>{cells}</row>')
    return "".join(lines)


def sheet(inside: str, before: str = "", behind: str = "") -> str:
    return f'<worksheet xmlns="{MAIN}">{before}<sheetData>{inside}</sheetData>{behind}</worksheet>'


def book(
    sheets: Mapping[str, str | bytes],
    more: Mapping[str, str | bytes] = {},
    method: int = 8,
    hidden: Sequence[str] = (),
) -> bytes:
    """A workbook with these sheets, as XML, and more parts."""
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"{HIDDEN if name in hidden else ""}/>'
        for n, name in enumerate(sheets, 1)
    )
    relations = "".join(
        f'<Relationship Id="rId{n}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in range(1, len(sheets) + 1)
    )
    head = f'<Relationships xmlns="{PACKAGE}/relationships">'
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"/>',
        "_rels/.rels": f'{head}<Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
        "</Relationships>",
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f"{head}{relations}</Relationships>",
        "xl/styles.xml": STYLES,
        **{f"xl/worksheets/sheet{n}.xml": inside for n, inside in enumerate(sheets.values(), 1)},
        **more,
    }
    return zipped(parts, method)


def zipped(parts: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def workbook(*table: Sequence[Cell]) -> bytes:
    """A workbook with one sheet of these rows."""
    return book({"Payments": sheet(rows(table))})
