"""Packages import only downwards, and a few things are done in one place only."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = (
    ("api", "cli", "ops", "scripts", "worker"),
    ("plugins",),
    ("intake",),
    ("cases",),
    ("workflows",),
    ("activities",),
    ("store", "policy", "channels"),
    ("core",),
    ("domain",),
)
"""From top to bottom. A package imports itself and the layers below its own; programs on top see each other."""
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
PRODUCT = sorted(
    path
    for name in RANK
    for path in ([ROOT / f"{name}.py"] if (ROOT / f"{name}.py").exists() else (ROOT / name).rglob("*.py"))
)
MAX_LINES = 500
MAX_CLASS_LINES = 350


def imports_of(path: Path) -> set[str]:
    """Return the modules of this project that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name for name in names if name.split(".")[0] in RANK}
    return found


@pytest.mark.parametrize("package", RANK)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    wrong = []
    for path in PRODUCT:
        if path.relative_to(ROOT).parts[0].removesuffix(".py") != package:
            continue
        for name in imports_of(path):
            other = name.split(".")[0]
            beside = RANK[other] == RANK[package] and other != package and RANK[package] > 0
            if RANK[other] < RANK[package] or beside:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(sorted(wrong))


def test_no_module_imports_itself_in_a_circle() -> None:
    """Also not inside a function, which only hides a circle."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in PRODUCT
    }
    graph = {
        module: {name if name in modules else name.rpartition(".")[0] for name in imports_of(path)} - {module}
        for module, path in modules.items()
    }
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the modules


def test_modules_and_classes_can_be_read_in_one_sitting() -> None:
    long = []
    for path in PRODUCT:
        text = path.read_text()
        lines = text.count("\n")
        if lines > MAX_LINES and "migrations" not in path.parts:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno + 1 > MAX_CLASS_LINES:
                long.append(f"{path.relative_to(ROOT)}: class {node.name}")
    long += [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for path in (ROOT / "api" / "static" / "js").rglob("*.js")
        if (lines := path.read_text().count("\n")) > MAX_LINES
    ]
    assert not long, "\n".join(long)


def test_the_domain_knows_no_clock_no_files_and_no_server() -> None:
    forbidden = {"os", "time", "random", "pathlib", "asyncio", "sqlalchemy", "fastapi", "httpx2"}
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "domain").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if name.split(".")[0] in forbidden or re.fullmatch(r"temporalio\.(client|worker|workflow|activity)", name)
    ]
    wrong += [
        f"{path.relative_to(ROOT)}: {call}"
        for path in (ROOT / "domain").rglob("*.py")
        for call in ("datetime.now(", "date.today(", "utcnow(", "with open(")
        if call in path.read_text() and path.name != "moments.py"  # compares what is asked for with now, in the gateway
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_gateway_module_holds_workflow_handles() -> None:
    calls = ("get_workflow_handle", "start_workflow", "execute_update", ".signal(", ".query(")
    wrong = [
        f"{path.relative_to(ROOT)}: {call}"
        for path in (ROOT / "api").rglob("*.py")
        if path.parent.name != "gateway"
        for call in calls
        if call in path.read_text()
    ]
    assert not wrong, "\n".join(wrong)


def test_workflows_read_no_clock_no_files_and_no_settings() -> None:
    forbidden = {
        "os",
        "time",
        "random",
        "sqlalchemy",
        "httpx2",
        "fastapi",
        "settings",
        "connection",
        "store",
        "api",
        "cel",
    }
    wrong = []
    for path in (ROOT / "workflows").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            wrong += [f"{path.name} imports {name}" for name in names if name.split(".")[0] in forbidden]
    assert not wrong, "\n".join(wrong)


def test_sql_is_written_in_the_store_only() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in PRODUCT
        if path.relative_to(ROOT).parts[0] not in ("store", "scripts")
        for line in path.read_text().splitlines()
        # The connection that a transaction goes through may be named; statements may not be written.
        if "import" in line and "sqlalchemy" in line and not line.endswith("import AsyncConnection")
    ]
    assert not wrong, "\n".join(wrong)


TIMES = {
    "domain/moments.py": "the formatter",
    "intake/cells/parse_cells.py": "reads cells by the formats of a mapping",
    "api/pages/dashboard.py": "the hour of a bar",
    "api/pages/new_request.py": "the name of the reader's zone",
    "api/services/evidence_pack.py": "the name of a file",
    "intake/drop_folder.py": "the name of a file",
    "ops/up.py": "the log of the one who runs it",
}


def test_times_are_printed_by_the_one_formatter_which_converts_them() -> None:
    """`f"{at:%H:%M} UTC"` prints 09:00+05:00 as 09:00 UTC: see `domain.moments`."""
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in PRODUCT
        if str(path.relative_to(ROOT)) not in TIMES and "scripts" not in path.parts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"%H|strftime\(|%I:%M", line)
    ]
    assert not wrong, "\n".join(wrong)


def test_moments_are_read_by_the_one_rule() -> None:
    """Elsewhere only what we stored ourselves is read by Python's own lenient reading."""
    own = {
        "store/audit/verification/result.py",
        "store/receivers/accounts.py",
        "activities/data_import/row_schema.py",
        "api/pages/parts/formatting.py",
    }
    own |= {"api/pages/requests.py", "domain/moments.py"}
    wrong = [
        f"{path.relative_to(ROOT)}: {call}"
        for path in PRODUCT
        if str(path.relative_to(ROOT)) not in own
        for call in ("fromisoformat(", "fromtimestamp(", "AwareDatetime", "NaiveDatetime")
        if call in path.read_text()
    ]
    assert not wrong, "\n".join(wrong)
