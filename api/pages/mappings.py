"""How the columns of people's files are read: the saved mappings, and whether the file that holds them is right."""

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
class Saved:
    """A mapping under its name."""

    name: str
    process: str
    columns: list[tuple[str, list[str]]]
    """Field, and the headings that stand for it."""
    constants: list[tuple[str, str]]
    settings: list[tuple[str, str]]


@dataclass(frozen=True)
class Mappings(Context):
    """`mappings/mappings.html`: all that are saved, or what is wrong with the file."""

    file: str
    saved: list[Saved]
    usual: list[tuple[str, list[tuple[str, str]]]]
    """By process: what rows have in fields of which their file says nothing."""
    problems: list[FieldProblem]


@router.api_route("/mappings", methods=["GET", "HEAD"])
async def mappings(request: Request, person: SignedIn, services: TheServices) -> Response:
    """The saved mappings, for those who upload files or look after them."""
    if not is_in(person, REQUESTERS, OPERATORS, AUDITORS, ADMINS):
        raise not_found("page")
    file = services.uploads.choice.saved
    problems: list[FieldProblem] = []
    saved: list[Saved] = []
    usual: list[tuple[str, list[tuple[str, str]]]] = []
    try:
        saved = [_shown(name, each.process, each.mapping) for name, each in sorted(file.all.items())]
        usual = [(process, list(found.items())) for process in PROCESSES if (found := file.usual(process))]
    except WrongMapping as wrong:
        problems = wrong.problems
    name = file.path.name if file.path else ""
    return render(request, "mappings/mappings.html", Mappings(person, name, saved, usual, problems))


def _shown(name: str, process: str, mapping: ColumnMapping) -> Saved:
    others = mapping.model_dump(mode="json", exclude_defaults=True, exclude={"columns", "constants"})
    columns = [(field, list(said)) for field, said in mapping.columns.items()]
    return Saved(
        name, process, columns, list(mapping.constants.items()), [(key, _text(of)) for key, of in others.items()]
    )


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_text(each)}" for key, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
