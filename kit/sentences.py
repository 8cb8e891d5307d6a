"""Whether the sentences of a process can be filled: each against the model that it will be filled from.

A step and its undo are told of what the step is given, which may be a model of its own; a gate of the input and of its
facts; the title of the input. What the story names is read from its source.
"""

import ast
import inspect
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from string import Formatter
from types import ModuleType, NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from domain.step import StepCall
from domain.wording import Words
from workflows.engine.case import CaseWorkflow

Model = type[BaseModel]


@dataclass(frozen=True)
class Told:
    """What the story of a process names, as far as its source shows."""

    steps: dict[str, Model | None] = field(default_factory=dict)
    """What each step is given; None where the source does not show it."""
    undos: dict[str, list[Model | None]] = field(default_factory=dict)
    """What the steps are given that each undoes."""
    gates: set[str] = field(default_factory=set)
    facts: dict[str, list[Model | None]] = field(default_factory=dict)
    """Of gates that ask about facts: what these are."""
    unchecked: list[tuple[int, str]] = field(default_factory=list)
    """Line and name of results of steps that are used as if operators never skipped one."""


def mistakes(words: Words, input: Model, told: Told) -> Iterator[str]:
    """Every sentence that is missing, cannot be read, or names what it will not be filled with."""
    for key, used, there in (
        ("steps", told.steps, words.steps),
        ("undos", told.undos, words.undos),
        ("gates", told.gates, words.gates),
    ):
        for name in sorted(set(used) - set(there)):
            yield f"Words.{key} has no sentence for '{name}'"
    yield from _of("Words.title", words.title, input)
    if words.done:
        yield from _of("Words.done", words.done, input)
    # What the source does not show may have any fields: a sentence that is right must never be refused.
    for name, said in words.steps.items():
        model = told.steps.get(name, input)
        yield from _of(f"Words.steps['{name}']", said, model or input, () if model else None)
    for name, said in words.undos.items():
        for model in dict.fromkeys(told.undos.get(name, [input])):
            yield from _of(f"Words.undos['{name}']", said, model or input, () if model else None)
    for name, said in words.gates.items():
        facts = told.facts.get(name, [])
        more = None if None in facts else [each for model in facts if model for each in model.model_fields]
        yield from _of(f"Words.gates['{name}']", said, input, more)


def _of(key: str, said: str, model: Model, more: Collection[str] | None = ()) -> Iterator[str]:
    """What is wrong with one sentence. `more`: what else it may name; None for anything."""
    try:
        parts = [(name, spec) for _, name, spec, _ in Formatter().parse(said) if name is not None]
    except ValueError as wrong:
        yield f"{key} cannot be read: {wrong}"
        return
    if not said.strip():
        yield f"{key} is empty"
    known = [*model.model_fields, *(more or ())]
    what = "the input" if more is not None and not more else f"{model.__name__} or the facts"
    where = f"what it is told of ({model.__name__})" if what == "the input" else what
    for name, spec in parts:
        if not name.isidentifier():
            yield f"{key} names '{name}': name fields only, without dots, brackets and numbers"
        elif "{" in (spec or ""):
            yield f"{key} formats '{name}' by another field: write how it looks, or leave that out"
        elif more is not None and name not in known:
            yield f"{key} names '{name}', which is no field of {where}; it has {', '.join(sorted(known))}"
    if all(name.isidentifier() for name, _ in parts):
        try:
            for value in ("", "x"):
                said.format_map({name: value for name, _ in parts})
        except (ValueError, TypeError, LookupError, AttributeError) as wrong:
            yield f"{key} cannot be filled: {wrong}; fields are texts when a sentence is filled"


# ----------------------------------------------------------------------------------------------------- what is in there


def told_by(workflow: type[CaseWorkflow]) -> Told:
    """The steps, undos and gates in the file of a Workflow, with what each is given."""
    module = sys.modules[workflow.__module__]
    told, tree = Told(), ast.parse(inspect.getsource(module))
    for function in ast.walk(tree):
        if isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef):
            _Function(function, module, told).read()
    return told


class _Function:
    """One function of a story."""

    def __init__(self, function: ast.AsyncFunctionDef | ast.FunctionDef, module: ModuleType, told: Told) -> None:
        self.function, self.module, self.told = function, module, told
        self.assigned = {
            node.targets[0].id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        }

    def read(self) -> None:
        for node in ast.walk(self.function):
            if isinstance(node, ast.Call):
                self._call(node)
        self.told.unchecked.extend(self._unchecked())

    def _call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = {each.arg: each.value for each in node.keywords}
        names = {each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)}
        match called:
            case "step" if node.args:
                step, undo = self._activity(node.args[0]), self._activity(given.get("undo"))
                if step:
                    self.told.steps[step[0]] = _given(step[1])
                if undo:
                    self.told.undos.setdefault(undo[0], []).append(_given(step[1]) if step else None)
            case "gate" | "gates" | "GateAt":
                self.told.gates.update(names)
                facts = given.get("facts") or (node.args[1] if called == "GateAt" and len(node.args) > 1 else None)
                for name in names if facts is not None else ():
                    self.told.facts.setdefault(name, []).append(self._model(facts))

    def _activity(self, node: ast.expr | None) -> tuple[str, Any] | None:
        """`Leave.hold_days`: its name, and the method where the module has it."""
        if isinstance(node, ast.Name):
            node = self.assigned.get(node.id)
        if not isinstance(node, ast.Attribute):
            return None
        owner = getattr(self.module, node.value.id, None) if isinstance(node.value, ast.Name) else None
        return node.attr, getattr(owner, node.attr, None)

    def _model(self, facts: ast.expr | None) -> Model | None:
        """What a step answers whose result these facts are."""
        step = self._step(self.assigned.get(facts.id)) if isinstance(facts, ast.Name) else self._step(facts)
        activity = self._activity(step.args[0]) if step else None
        return _model_in(_hints(activity[1]).get("return")) if activity else None

    def _step(self, node: ast.expr | None) -> ast.Call | None:
        """The call in `await self.step(...)`."""
        call = node.value if isinstance(node, ast.Await) else None
        named = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "step"
        return call if named and isinstance(call, ast.Call) and call.args else None

    def _unchecked(self) -> Iterator[tuple[int, str]]:
        """Results whose parts are used in a function that never looks whether there is one."""
        results = {name for name, value in self.assigned.items() if self._may_be_none(self._step(value))}
        looked_at = {
            each.id
            for node in ast.walk(self.function)
            for test in _tests(node)
            for each in ast.walk(test)
            if isinstance(each, ast.Name)
        }
        for node in ast.walk(self.function):
            if not isinstance(node, ast.Attribute):
                continue
            if isinstance(node.value, ast.Name) and node.value.id in results - looked_at:
                yield node.lineno, f"{node.value.id}.{node.attr}"
            elif isinstance(node.value, ast.Await) and self._may_be_none(self._step(node.value)):
                yield node.lineno, f"(await self.step(...)).{node.attr}"

    def _may_be_none(self, step: ast.Call | None) -> bool:
        return step is not None and all(each.arg != "skipped" for each in step.keywords)


def _tests(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.If() | ast.IfExp() | ast.Assert() | ast.While():
            yield node.test
        case ast.BoolOp():
            yield from node.values
        case ast.Match():
            yield node.subject


def _given(step: Any) -> Model | None:
    """The model that a step is given, by the annotation of its activity."""
    for name, hint in _hints(step).items():
        call = hint if isinstance(hint, type) and issubclass(hint, StepCall) else None
        if name != "return" and call is not None:
            return _model_in(call.model_fields["input"].annotation)
    return None


def _model_in(hint: Any) -> Model | None:
    """The model of an annotation, also where there may be none."""
    if get_origin(hint) in (Union, UnionType):
        (hint, *more) = [each for each in get_args(hint) if each is not NoneType] or [None]
        if more:
            return None
    return hint if isinstance(hint, type) and issubclass(hint, BaseModel) else None


def _hints(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(function) if function is not None else {}
    except (NameError, TypeError):
        return {}
