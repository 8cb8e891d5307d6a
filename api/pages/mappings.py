"""The page of saved mappings, which say how columns of a file are read, with the errors in the file of mappings."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request, Response

from api.deps import TheServices
from api.http.problems import not_found
from api.pages.parts.page import Context, SignedIn, pages, render
from domain.base import FieldProblem
from intake.mapping.column_mapping import ColumnMapping, WrongMapping
from store.people.people import Person
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
    """Show the saved mappings of the processes that the person may start, or oversees."""
    if not (person.scope.starts or person.scope.sees):
        raise not_found("page")
    file = services.uploads.choice.saved
    problems: list[FieldProblem] = []
    saved: list[SavedMappingRow] = []
    usual: list[tuple[str, list[tuple[str, str]]]] = []
    try:
        of_person = [(name, each) for name, each in sorted(file.all.items()) if _reads(person, each.process)]
        saved = [_shown(name, each.process, each.mapping) for name, each in of_person]
        read = [process for process in PROCESSES if _reads(person, process)]
        usual = [(each, list(_constants(each, found).items())) for each in read if (found := file.usual(each))]
    except WrongMapping as wrong:
        problems = wrong.problems
    name = file.path.name if file.path else ""
    return render(request, "mappings/mappings.html", MappingsPage(person, name, saved, usual, problems))


def _reads(person: Person, process: str) -> bool:
    return process in person.scope.starts or process in person.scope.sees


def _shown(name: str, process: str, mapping: ColumnMapping) -> SavedMappingRow:
    others = mapping.model_dump(mode="json", exclude_defaults=True, exclude={"columns", "constants"})
    columns = [(field, list(said)) for field, said in mapping.columns.items()]
    constants = list(_constants(process, mapping.constants).items())
    return SavedMappingRow(name, process, columns, constants, [(key, _text(of)) for key, of in others.items()])


def _constants(process: str, constants: Mapping[str, str]) -> Mapping[str, str]:
    """Return the constants of a mapping, or usual values, with masked fields masked."""
    return PROCESSES[process].shown_input(constants) if process in PROCESSES else constants


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_text(each)}" for key, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
