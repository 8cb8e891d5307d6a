"""The structure of the engine: one documented state, handlers that delegate, collaborators without state."""

import ast
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from workflows.batch import BatchWorkflow
from workflows.engine.read_messages import SIGNED
from workflows.engine.state import CaseRun
from workflows.registry import workflows

WORKFLOWS = Path(__file__).parents[2] / "workflows"
ENGINE = WORKFLOWS / "engine"
OWN_STATE = {"journal.py", "saga.py", "signed_signals.py", "unneeded_gates.py"}
"""Parts of the state that have a class of their own."""


def test_every_field_of_a_running_case_is_documented() -> None:
    body = _class(ENGINE / "state.py", "CaseRun").body
    documented = {
        field.target.id
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr)
    }
    assert documented == {field.name for field in fields(CaseRun)}


@pytest.mark.parametrize("path", sorted(ENGINE.glob("*.py")), ids=lambda path: path.stem)
def test_collaborators_keep_no_state_of_a_case(path: Path) -> None:
    changed = [
        f"{path.name}:{node.lineno}"
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name != "__init__"
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name)
        if node.value.id == "self"
    ]
    assert path.name in OWN_STATE | {"state.py"} or not changed


@pytest.mark.parametrize("name", ["message_handlers.py", "case.py", "read_messages.py"])
def test_message_handlers_are_one_line(name: str) -> None:
    long = [
        function.name
        for function in ast.walk(ast.parse((ENGINE / name).read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        if any(ast.unparse(each).startswith(("workflow.", "unknown_update.")) for each in function.decorator_list)
        if len([line for line in function.body if not _is_docstring(line)]) > 1
    ]
    assert long == []


@pytest.mark.parametrize(
    "path",
    [*sorted(ENGINE.glob("*.py")), WORKFLOWS / "batch.py", WORKFLOWS / "rollback.py"],
    ids=lambda path: path.stem,
)
def test_classes_of_the_engine_have_at_most_350_lines_and_modules_500(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= 500
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            assert (node.end_lineno or 0) - node.lineno < 350, node.name


def _class(path: Path, name: str) -> ast.ClassDef:
    return next(
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef) and node.name == name
    )


def _is_docstring(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


NEEDS_NO_SIGNATURE = {None, "case_ended", "begun"}
"""Handlers that change nothing: unknown messages, the news that a child case has ended, and a question."""


def test_every_message_that_changes_something_needs_a_signature() -> None:
    doors, unsigned = set(), set()
    for kind in {*workflows().values(), BatchWorkflow}:
        definition = getattr(kind, "__temporal_workflow_definition")  # a private name of the SDK
        handlers = {name: signal.fn for name, signal in definition.signals.items()}
        handlers |= {name: update.validator or update.fn for name, update in definition.updates.items()}
        doors |= {*handlers}
        unsigned |= {name for name, handler in handlers.items() if not hasattr(handler, SIGNED)}
    assert unsigned == NEEDS_NO_SIGNATURE
    assert {"decide", "act", "cancel_case", "order", "submit_start", "resynchronise"} <= doors
