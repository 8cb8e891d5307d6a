"""The page of saved mappings, which say how columns of a file are read, with the errors in the file of mappings."""

from dataclasses import dataclass

from fastapi import Request, Response

from api.deps import TheServices
from api.http.problems import not_found
from api.http.security import is_in
from api.pages.parts.page import Context, SignedIn, pages, render
from domain.base import FieldProblem
from domain.names import ADMINS, AUDITORS, OPERATORS, REQUESTERS
from intake.mapping.column_mapping import ColumnMapping, WrongMapping
from workflows.registry import PROCESSES

router = pages()


@dataclass(frozen=True)
class SavedMappingRow:
    """A saved mapping with its name, as the page shows it."""

    name: str
    process: str
    columns: list[tuple[str, list[str]]]
    """The fields of the process, each with the headings of columns that are read as this field."""
    constants: list[tuple[str, str]]
    settings: list[tuple[str, str]]


@dataclass(frozen=True)
class MappingsPage(Context):
    """The variables of `mappings/mappings.html`: all saved mappings, or the errors in the file of mappings."""

    file: str
    saved: list[SavedMappingRow]
    usual: list[tuple[str, list[tuple[str, str]]]]
    """By process: the usual values of fields that an uploaded file does not contain."""
    problems: list[FieldProblem]


@router.api_route("/mappings", methods=["GET", "HEAD"])
async def mappings(request: Request, person: SignedIn, services: TheServices) -> Response:
    """Show the saved mappings. Only requesters, operators, auditors and admins may see this page."""
    if not is_in(person, REQUESTERS, OPERATORS, AUDITORS, ADMINS):
        raise not_found("page")
    file = services.uploads.choice.saved
    problems: list[FieldProblem] = []
    saved: list[SavedMappingRow] = []
    usual: list[tuple[str, list[tuple[str, str]]]] = []
    try:
        saved = [_shown(name, each.process, each.mapping) for name, each in sorted(file.all.items())]
        usual = [(process, list(found.items())) for process in PROCESSES if (found := file.usual(process))]
    except WrongMapping as wrong:
        problems = wrong.problems
    name = file.path.name if file.path else ""
    return render(request, "mappings/mappings.html", MappingsPage(person, name, saved, usual, problems))


def _shown(name: str, process: str, mapping: ColumnMapping) -> SavedMappingRow:
    others = mapping.model_dump(mode="json", exclude_defaults=True, exclude={"columns", "constants"})
    columns = [(field, list(said)) for field, said in mapping.columns.items()]
    return SavedMappingRow(
        name, process, columns, list(mapping.constants.items()), [(key, _text(of)) for key, of in others.items()]
    )


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_text(each)}" for key, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
