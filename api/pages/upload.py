"""The pages Upload: choose a file, map its columns to fields, check the rows, start a case for each row.

The person sends the file only once: between these pages, the file is stored for this person (`intake/staged_files.py`).
The address of the second page has the hash of the file and the settings for reading it. For this reason, opening the
second page changes nothing, and the browser's "back" works.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Form, Query, Request, Response, UploadFile
from fastapi.responses import RedirectResponse

from api.container import Services
from api.deps import Plain, TheServices
from api.http.exception_handlers import ANSWERED_ERRORS, problem_of_error
from api.http.security import requester
from api.pages.new_request import startable
from api.pages.parts.formatting import capital, readable
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render
from api.pages.parts.translation import _
from api.routes.batches import CSV_TYPES
from api.routes.processes import template
from core.file_storage import base_name
from intake.mapping.column_mapping import ColumnMapping, Target, WrongMapping
from intake.mapping.mapping_choice import SEVERAL, GivenMapping
from intake.read_file import Look
from intake.staged_files import NotStaged, StartedBefore
from intake.tables.open_table import UnreadableFile
from intake.tables.text_encoding import names as encodings
from intake.upload import BatchReport
from store.people.people import Person
from workflows.registry import PROCESSES

router = pages()

DATES = ("DD/MM/YYYY", "MM/DD/YYYY", "YYYY-MM-DD", "DD.MM.YYYY", "DD MMM YYYY")
OPENING = ("encoding", "sheet", "hidden")
"""The query parameters of the second page that say how the file is opened."""
COLUMN, FIXED = "column.", "fixed."
"""The start of two kinds of query parameters, each followed by the name of a field: `column.` names the heading that
is read as the field, `fixed.` sets the same value for every row."""

Process = Annotated[Plain, Query(max_length=60)]
Name = Annotated[Plain, Query(max_length=255)]


@dataclass(frozen=True)
class ChooseFilePage(Context):
    """The variables of `upload/choose.html`: the form for a file and its request type."""

    kinds: dict[str, str]
    process: str
    largest: int
    """The most bytes of a file."""
    wrong: str = ""


@dataclass(frozen=True)
class FieldOf:
    """One field of the process, and where its values come from."""

    name: str
    label: str
    needed: bool
    column: str
    """The heading of the column that is read as the field, or a pattern of several headings; empty if there is none."""
    fixed: str
    """The value for every row, if no column is read as the field; of a masked field, its end."""
    masked: bool
    """True if nobody can enter the value for every row here: the address of the page would have the value."""
    suggested: bool
    """True if Holdgate suggests this column for the field, and nobody has chosen a column."""
    first: list[str]
    """The first values of the field in the file, as an example."""


@dataclass(frozen=True)
class CheckFilePage(Context):
    """`upload/preview.html`: how the file is read, and what would happen."""

    sha256: str
    name: str
    process: str
    kind: str
    noun: tuple[str, str]
    fields: list[FieldOf]
    headings: list[str]
    saved: list[str]
    """The names of the saved mappings that the person can choose."""
    used: str
    """The name of the saved mapping with which the file is read; empty if there is none."""
    chosen: Mapping[str, str]
    """How the file writes dates and numbers, as far as the person chose."""
    dates: tuple[str, ...]
    wrong: list[str]
    """Why the file cannot be read with these settings."""
    report: BatchReport | None
    resubmit: bool
    mapping: str
    """The mapping as JSON, so that exactly what the page shows is started."""
    address: str
    """The address of this page, with all settings."""
    sheets: tuple[str, ...] = ()
    """The sheets of a workbook."""
    encodings: Sequence[str] = ()
    opening: Mapping[str, str] = field(default_factory=dict)
    """How the file is opened: encoding, sheet and hidden rows, as the person chose or as Holdgate detected."""
    said: Mapping[str, str] = field(default_factory=dict)
    """How the file is opened: only the settings that the person chose."""
    hides: bool = False
    """True if the workbook has hidden rows or columns."""
    labels: Mapping[str, str] = field(default_factory=dict)


@router.api_route("/upload", methods=["GET", "HEAD"])
async def choose(request: Request, person: SignedIn, services: TheServices, process: Process = "") -> Response:
    """Show the form in which a person chooses a file."""
    await requester(person)
    return _choose(request, person, services, process)


@router.post("/upload", dependencies=[Depends(check_same_site)])
async def send(
    request: Request,
    person: SignedIn,
    services: TheServices,
    file: UploadFile,
    process: Annotated[Plain, Form(max_length=60)] = "",
) -> Response:
    """Store the file for this person, and redirect to the page with its check."""
    await requester(person)

    def again(status: int, wrong: str) -> Response:
        return _choose(request, person, services, process, wrong, status)

    if process not in _kinds(services, person):
        return again(422, _("Choose the request type of the rows."))
    if not file.filename:
        return again(422, _("Choose a file to upload."))
    if (file.content_type or "").partition(";")[0].strip().lower() not in CSV_TYPES:
        return again(
            415, _("The file is neither CSV nor Excel (.xlsx). Save the file as CSV or Excel, then upload again.")
        )
    data = await file.read(services.settings.max_upload_bytes + 1)
    if len(data) > services.settings.max_upload_bytes:
        return again(413, too_large(services))
    sha256 = await asyncio.to_thread(services.held.hold, person.id, data)
    asked = {"process": process, "name": base_name(file.filename, "upload.csv")}
    return RedirectResponse(f"/upload/{sha256}?{urlencode(asked)}", status_code=303)


@router.get("/upload/example/{process}")
async def example(process: str, person: SignedIn) -> Response:
    """Download a sample file for a process, as the JSON route does."""
    return await template(process, person)


@router.api_route("/upload/{sha256}", methods=["GET", "HEAD"])
async def look(
    request: Request,
    sha256: str,
    person: SignedIn,
    services: TheServices,
    process: Process,
    name: Name = "upload.csv",
    resubmit: bool = False,
) -> Response:
    """Show which columns are read, and what would happen if the file were started: the dry run of the JSON route."""
    await requester(person)
    if process not in _kinds(services, person):
        return _choose(request, person, services, "", _("Choose the request type of the rows."), 422)
    try:
        data = await asyncio.to_thread(services.held.read, person.id, sha256)
    except NotStaged:
        return _gone(request, person, services, process)
    except StartedBefore as before:
        return _started(before)
    query = {key: value.replace("\0", "") for key, value in request.query_params.items()}
    opening = {key: query[key] for key in OPENING if query.get(key)}
    wrong: list[str] = []
    seen, report, given = None, None, None
    try:
        given = _mapping(query, process, services)
        if process != SEVERAL:
            seen = await services.uploads.look(process, data, person.id, given)
        report = await services.uploads.dry_run(process, name, data, person.id, given, resubmit=resubmit)
    except UnreadableFile as no:
        wrong = [_sentence(no)]
        if seen is None:  # the file has no table, so another file is needed
            status = problem_of_error(no).status
            return _choose(request, person, services, process, f"{name}: {wrong[0]}", status)
    except WrongMapping as no:
        wrong = [_of_mapping(each.column or "", each.message, process) for each in no.problems]
        if process != SEVERAL:
            seen = seen or await _look_anyway(services, process, data, person, opening)
    except ANSWERED_ERRORS as no:
        return _choose(
            request, person, services, process, problem_of_error(no).body["detail"], problem_of_error(no).status
        )
    words = PROCESSES[process].words if process in PROCESSES else None
    page = CheckFilePage(
        person=person,
        sha256=sha256,
        name=name,
        process=process,
        kind=_kinds(services, person)[process],
        noun=words.nouns if words else ("request", "requests"),
        fields=_fields(process, seen, report, query, services) if seen else [],
        headings=list(dict.fromkeys(heading for heading in seen.headings if heading)) if seen else [],
        saved=_saved(process, services),
        used=query.get("mapping", ""),
        chosen={key: query.get(key, "") for key in ("dates", "decimal", "negative")},
        dates=DATES,
        wrong=wrong,
        report=report,
        resubmit=resubmit,
        mapping=json.dumps(report.mapping) if report and report.mapping else "",
        address=f"/upload/{sha256}?{urlencode({'process': process, 'name': name, **opening})}",
        sheets=seen.sheets if seen else (),
        encodings=list(dict.fromkeys([*([seen.encoding] if seen and seen.encoding else []), *encodings()])),
        opening=_opening(opening, seen, report),
        said=opening,
        hides=bool(seen and seen.hides),
        labels=words.labels if words else {},
    )
    return render(request, "upload/preview.html", page, 422 if wrong else 200)


@router.post("/upload/{sha256}", dependencies=[Depends(check_same_site)])
async def start(
    request: Request,
    sha256: str,
    person: SignedIn,
    services: TheServices,
    process: Annotated[Plain, Form(max_length=60)],
    name: Annotated[Plain, Form(max_length=255)] = "upload.csv",
    mapping: Annotated[Plain, Form(max_length=200_000)] = "",
    resubmit: Annotated[bool, Form()] = False,
) -> Response:
    """Start the file that was stored and checked, as the JSON route does.

    A form that is sent twice starts the file once.
    """
    await requester(person)
    try:
        data = await asyncio.to_thread(services.held.take, person.id, sha256)
    except NotStaged:
        return _gone(request, person, services, process)
    except StartedBefore as before:
        return _started(before)
    try:
        report = await services.uploads.start(process, name, data, person.id, mapping or None, resubmit=resubmit)
    except BaseException:
        await asyncio.to_thread(services.held.give_back, person.id, sha256)
        raise
    assert report.batch_id is not None
    await asyncio.to_thread(services.held.started, person.id, sha256, report.batch_id)
    return _started(StartedBefore(report.batch_id))


def too_large(services: Services) -> str:
    """Return the error text for a file that is too large, with the limit."""
    return _(
        "The file is too large. The limit is %(num)s MB. Split the file into several files.", num=_megabytes(services)
    )


# ------------------------------------------------------------------------------------------------------------ the pages


def _choose(
    request: Request, person: Person, services: Services, process: str, wrong: str = "", status: int = 200
) -> Response:
    page = ChooseFilePage(person, _kinds(services, person), process, services.settings.max_upload_bytes, wrong)
    return render(request, "upload/choose.html", page, status)


def _gone(request: Request, person: Person, services: Services, process: str) -> Response:
    said = _(
        "Holdgate no longer has this file: the file is older than one day, or somebody else uploaded the file. "
        "Choose the file again."
    )
    return _choose(request, person, services, process, said, 404)


def _started(before: StartedBefore) -> Response:
    return RedirectResponse(f"/batches/{before.batch_id}" if before.batch_id else "/batches", status_code=303)


def _kinds(services: Services, person: Person) -> dict[str, str]:
    """Return the request types that the person can choose for the rows, by process."""
    kinds = {process.name: capital(process.words.nouns[1]) for process in startable(services, person)}
    return {**kinds, SEVERAL: _("Several request types: each row names a request type")} if kinds else {}


def _megabytes(services: Services) -> str:
    return f"{services.settings.max_upload_bytes / 1024**2:,.0f}"


# --------------------------------------------------------------------------------------------------------- the mapping


def _mapping(query: Mapping[str, str], process: str, services: Services) -> GivenMapping | None:
    """Return the mapping that the query parameters describe; None if Holdgate must detect it. Raises WrongMapping."""
    named = query.get("mapping") or None
    opening = {key: query[key] for key in OPENING if query.get(key)}
    if process == SEVERAL:
        return opening or None
    if "read" not in query:
        return services.uploads.choice.opened(process, named, opening)
    saved = services.uploads.choice.mapping(process, named) or ColumnMapping()
    given: dict[str, Any] = saved.model_dump(mode="json", exclude_defaults=True)
    given["columns"] = {
        key.removeprefix(COLUMN): heading
        for key, heading in query.items()
        if key.startswith(COLUMN) and heading.strip()
    }
    masking, constants = PROCESSES[process].words.masking, saved.constants.items()
    given["constants"] = {name: value for name, value in constants if masking.touches(name)} | {
        name: value.strip()
        for key, value in query.items()
        if key.startswith(FIXED) and value.strip() and (name := key.removeprefix(FIXED)) not in given["columns"]
        if not masking.touches(name)
    }
    return given | opening | {key: query[key] for key in ("dates", "decimal", "negative") if query.get(key)}


async def _look_anyway(
    services: Services, process: str, data: bytes, person: Person, opening: Mapping[str, str]
) -> Look | None:
    """Open the file with the settings `opening` or, if they do not fit the file, with detected settings.

    Return None if the file cannot be opened in either way.
    """
    for said in (opening, {}):
        with suppress(WrongMapping):
            return await services.uploads.look(process, data, person.id, opening=said)
    return None


def _opening(said: Mapping[str, str], seen: Look | None, report: BatchReport | None) -> dict[str, str]:
    read_as = report.format if report else {}
    return {
        "encoding": str(read_as.get("encoding") or (seen.encoding if seen else "")),
        "sheet": str(read_as.get("sheet") or (seen.sheet if seen else "")),
        "hidden": said.get("hidden", ""),
    }


def _fields(
    process: str, seen: Look, report: BatchReport | None, query: Mapping[str, str], services: Services
) -> list[FieldOf]:
    target, words = services.uploads.choice.target(process), PROCESSES[process].words
    said = "read" in query
    used: Mapping[str, Any] = (report.mapping if report else None) or {}
    columns = {name: each[0] for name, each in used.get("columns", {}).items()} or dict(seen.columns)
    fixed = used.get("constants", {}) or {
        key.removeprefix(FIXED): value for key, value in query.items() if key.startswith(FIXED)
    }
    places = {heading: place for place, heading in reversed(list(enumerate(seen.headings)))}
    return [
        FieldOf(
            name=name,
            label=words.labels.get(name) or _own_label(name),
            needed=name in target.needed,
            column=columns.get(name, ""),
            fixed=str(words.shown_input(fixed).get(name, "")) if name not in columns else "",
            masked=words.masking.touches(name),
            suggested=not said and not query.get("mapping") and name in columns,
            first=_first(target, name, places.get(columns.get(name, "")), seen.rows),
        )
        for name in target.fields
    ]


def _first(target: Target, name: str, place: int | None, rows: Sequence[Sequence[str]]) -> list[str]:
    if place is None:
        return []
    cells = [row[place].strip() for row in rows if place < len(row) and row[place].strip()]
    return [str(target.shown({name: cell}).get(name, cell)) for cell in cells[:3]]


def _own_label(name: str) -> str:
    told = {"reference": _("Reference"), "priority": _("Priority, 1 to 5"), "start_at": _("Start time")}
    return told.get(name, capital(readable(name)))


def _saved(process: str, services: Services) -> list[str]:
    if process == SEVERAL:
        return []
    try:
        return services.uploads.choice.names(process)
    except WrongMapping:  # the page reports the broken mapping file if it is needed
        return []


def _of_mapping(key: str, message: str, process: str) -> str:
    """Return the text of an error in the mapping of columns, with the name of the field for people."""
    words = PROCESSES[process].words if process in PROCESSES else None
    name = key.partition(".")[2]
    label = ((words.labels.get(name) if words else None) or _own_label(name)) if name else ""
    return f"{label}: {message}." if label else f"{capital(message)}."


def _sentence(no: UnreadableFile) -> str:
    return f"{capital(str(no))}."
