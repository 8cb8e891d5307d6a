"""The rooms may be entered only through their doors: who imports whom."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ["activities", "api", "channels", "intake", "kit", "ops", "policy", "store", "telemetry", "workflows"]
TOP = ["connection", "own", "settings", "worker", "holdgate"]

VALUES = (
    "domain.money",
    "workflows.moments",
    "domain.normalization",
    "domain.bidi",
    "domain.named_fields",
    "workflows.durations",
    "workflows.texts",
)
"""Pure rules of values: sums, moments and days, and how texts are compared."""

AUTHORITY = ("workflows.people", "workflows.decidable")
"""Pure rules of who may decide, one for validation, lists, mails and the question whether anybody still can."""

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "api": (
        "api",
        "domain.case",
        "workflows.registry",
        "workflows.case",
        "workflows.people",
        "workflows.gate",  # its pure check: the gateway says what the Workflow would, from the same lines
        *VALUES,
        "workflows.saga",  # what of a recorded plan is shown
        "domain.wording",  # what a process says to people
        "policy",
        "intake",
        "store",
        "settings",
        "connection",
        "own",  # the processes of HOLDGATE_PROCESSES and the policy with their sections, as everybody loads them
        "telemetry",
    ),
    "workflows": ("workflows", "activities"),
    "activities": ("activities", "domain.case", "workflows.leavers", *VALUES, "policy", "intake"),
    "intake": ("intake", "domain.case", "workflows.registry", *VALUES, "store", "policy"),
    "policy": ("policy", "domain.case", "domain.wording", *AUTHORITY, *VALUES),
    "store": ("store", "domain.case", *AUTHORITY, *VALUES),
    "channels": ("channels", "domain.case", *VALUES),
    "telemetry": ("telemetry",),
}


def imports_of(path: Path) -> set[str]:
    """The modules of this project which a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name for name in names if name.split(".")[0] in ROOMS + TOP}
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / room).rglob("*.py")
        for name in imports_of(path)
        if not any(name == allowed or name.startswith(f"{allowed}.") for allowed in MAY_IMPORT[room])
    ]
    assert not wrong, "\n".join(sorted(wrong))


def test_only_the_gateway_module_holds_workflow_handles() -> None:
    calls = ("get_workflow_handle", "start_workflow", "execute_update", ".signal(", ".query(")
    wrong = [
        f"{path.relative_to(ROOT)}: {call}"
        for path in (ROOT / "api").rglob("*.py")
        if path.name not in ("gateway.py", "temporal_calls.py")
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
    for path in (ROOT / "workflows").glob("*.py"):
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
        for room in ROOMS
        if room != "store"
        for path in (ROOT / room).rglob("*.py")
        for line in path.read_text().splitlines()
        # The connection that a transaction goes through may be named; statements may not be written.
        if "import" in line and "sqlalchemy" in line and not line.endswith("import AsyncConnection")
    ]
    assert not wrong, "\n".join(wrong)


TIMES = {
    "workflows/moments.py": "the formatter",
    "intake/parse_cells.py": "reads cells by the formats of a mapping",
    "api/pages/dashboard.py": "the hour of a bar",
    "api/pages/new.py": "the name of the reader's zone",
    "api/services/evidence_pack.py": "the name of a file",
    "intake/drop_folder.py": "the name of a file",
    "ops/up.py": "the log of the one who runs it",
}


def test_times_are_printed_by_the_one_formatter_which_converts_them() -> None:
    """`f"{at:%H:%M} UTC"` prints 09:00+05:00 as 09:00 UTC: see `workflows.moments`."""
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for room in [*ROOMS, *(f"{name}.py" for name in TOP)]
        for path in ([ROOT / room] if room.endswith(".py") else sorted((ROOT / room).rglob("*.py")))
        if str(path.relative_to(ROOT)) not in TIMES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"%H|strftime\(|%I:%M", line)
    ]
    assert not wrong, "\n".join(wrong)


def test_moments_are_read_by_the_one_rule() -> None:
    """Elsewhere only what we stored ourselves is read by Python's own lenient reading."""
    own = {
        "store/audit/verification/chains.py",
        "store/receivers/accounts.py",
        "activities/data_import/row_schema.py",
        "api/pages/parts/formatting.py",
    }
    own |= {"api/pages/requests.py", "workflows/moments.py"}
    wrong = [
        f"{path.relative_to(ROOT)}: {call}"
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in own
        for call in ("fromisoformat(", "fromtimestamp(", "AwareDatetime", "NaiveDatetime")
        if call in path.read_text()
    ]
    assert not wrong, "\n".join(wrong)
