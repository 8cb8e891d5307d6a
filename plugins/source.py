"""Read the source of a process: its steps and gates in order, and the model that each gets.

The procedure of a process is the method that `run` passes to `conduct`. The drawing of a process and the check of its
wording read that code here, so that no separate list of steps and gates can differ from the code. No other module
parses a process.
"""

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from domain.step import StepCall, StepOptions

Model = type[BaseModel]
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue)


@dataclass(frozen=True)
class Stop:
    """One step, gate or child case in the procedure of a process."""

    name: str
    """The name of the activity of the step, of the gate, or of the process of the child case."""
    kind: Literal["step", "gate", "case"]
    maybe: bool = False
    """True if the stop depends on a condition, or runs once for each of several items."""
    beside: bool = False
    """True if the gate opens together with the gate before it."""
    facts: str | None = field(default="", compare=False)
    """The name of the variable with the facts of a gate; empty for no facts, None if the facts are not a variable."""
    hangs_on: tuple[str, bool] | None = field(default=None, compare=False)
    """The input field that alone decides whether the stop runs, and the truth value with which it runs.

    None if no field or several fields decide.
    """


class LocalStep(NamedTuple):
    """A call of `step(..., local=True)`."""

    line: int
    name: str
    beats: bool
    """True if the call also sets `heartbeat`."""
    options: StepOptions | None
    """The options of the call; None for no options, or where the source does not show them."""


@dataclass(frozen=True)
class Uses:
    """What the functions of a process use, as far as the source code shows."""

    steps: dict[str, Model | None] = field(default_factory=dict)
    """The model that each step is given; None if the source does not show the model."""
    undos: dict[str, list[Model | None]] = field(default_factory=dict)
    """For each undo, the models that its steps are given."""
    gates: set[str] = field(default_factory=set)
    facts: dict[str, list[Model | None]] = field(default_factory=dict)
    """For each gate with facts, the models of the facts."""
    local: list["LocalStep"] = field(default_factory=list)
    """The calls of local steps."""
    unchecked: list[tuple[int, str]] = field(default_factory=list)
    """Line and name of each result of a step that the code uses without a check for None.

    The result of a skipped step is None.
    """


def file_of(workflow: type[Any]) -> str | None:
    """Return the file in which a Workflow class is defined."""
    return inspect.getsourcefile(workflow)


_outlines: dict[type[Any], tuple[Stop, ...]] = {}
"""Outlines that were read already, by Workflow class. The source does not change while a program runs."""


def outline_of(workflow: type[Any]) -> tuple[Stop, ...]:
    """Return the stops of a process in order, each once; an empty tuple if the source cannot be read."""
    if workflow not in _outlines:
        _outlines[workflow] = _read_outline(workflow)
    return _outlines[workflow]


def _read_outline(workflow: type[Any]) -> tuple[Stop, ...]:
    try:
        tree = _module_tree(workflow)
    except (OSError, TypeError, SyntaxError):
        return ()
    classes = [each for each in ast.walk(tree) if isinstance(each, ast.ClassDef) and each.name == workflow.__name__]
    methods = {each.name: each for kind in classes for each in ast.walk(kind) if isinstance(each, _Function)}
    conducted = methods.get(_conducted_by(methods.get("run")))
    if conducted is None:
        return ()
    found: dict[tuple[str, str], Stop] = {}
    for stop in _Outline(methods, conducted).block(conducted.body, _SURE, (conducted.name,)):
        # A stop that appears twice, in a loop or in two branches, keeps its first place.
        found.setdefault((stop.kind, stop.name), stop)
    return tuple(found.values())


def uses_of(workflow: type[Any]) -> Uses:
    """Return the steps, undos and gates in the file of a Workflow, with the models of their arguments."""
    module, uses = sys.modules[workflow.__module__], Uses()
    for function in ast.walk(_module_tree(workflow)):
        if isinstance(function, _Function):
            _UsesIn(function, module, uses).read()
    return uses


def undos_tested_in(tests: Iterable[Path]) -> set[str]:
    """Return the undos that have a test marked `@pytest.mark.undoes("name")`, without importing the files."""
    return {undo for path in tests for undo in _undos_marked(path.read_text(encoding="utf-8"))}


@lru_cache(maxsize=1024)  # one check of several processes reads the same files for each process
def _undos_marked(source: str) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)) if "undoes" in source else ():
        if isinstance(node, _Function) and node.name.startswith("test_"):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.undoes":
                    found.update(_texts(mark.args))
    return frozenset(found)


def _module_tree(workflow: type[Any]) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[workflow.__module__]))


def _texts(nodes: Iterable[ast.expr]) -> list[str]:
    return [each.value for each in nodes if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def _called(call: ast.Call) -> str:
    """Return `step` for `self.step(...)` and `GateAt` for `GateAt(...)`."""
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _called_on_self(call: ast.Call) -> str:
    """Return `step` for `self.step(...)`; empty for any other call."""
    match call.func:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
    return ""


class _Gate(NamedTuple):
    """One gate that a call of `gate`, `gates` or `GateAt` opens."""

    name: str
    facts: ast.expr | None
    several: bool = False
    """True if the gate opens once for each of several items."""


def _gates_named_in(call: ast.Call) -> Iterator[_Gate]:
    """Yield the gates that a call names itself: `gate("a", facts=found)`, `gates("a", "b")`, `GateAt("a", found)`."""
    second = call.args[1:2] if _called(call) == "GateAt" else []
    facts = [*second, *(each.value for each in call.keywords if each.arg == "facts")]
    for name in _texts(call.args if _called(call) == "gates" else call.args[:1]):
        yield _Gate(name, facts[0] if facts else None)


def _gates_asked_by(call: ast.Call) -> Iterator[_Gate]:
    """Yield the gates that a call opens, such as `gate(...)` or `gates("a", GateAt("b", ...), *(GateAt("c", each) for
    each in many))`.
    """
    yield from _gates_named_in(call)
    for argument in call.args:
        for node in ast.walk(argument):
            if isinstance(node, ast.Call) and _called(node) == "GateAt":
                for gate in _gates_named_in(node):
                    yield gate._replace(several=isinstance(argument, ast.Starred))


# ----------------------------------------------------------------------------------------------- the order of the stops


def _conducted_by(run: ast.AST | None) -> str:
    """Return the name of the method that `run` passes to `conduct`."""
    for node in ast.walk(run) if run else ():
        if isinstance(node, ast.Call) and _called_on_self(node) == "conduct" and len(node.args) > 1:
            return node.args[1].attr if isinstance(node.args[1], ast.Attribute) else ""
    return ""


class _Condition(NamedTuple):
    """The conditions on which it depends whether a statement runs."""

    maybe: bool = False
    on: tuple[str, bool] | None = None
    """The only condition as (field of the input, truth value); None for no condition, or for any other condition."""

    def and_on(self, on: tuple[str, bool] | None = None) -> "_Condition":
        """Return these conditions and one more condition."""
        return _Condition(True, None if self.maybe else on)


_SURE = _Condition()


class _Outline:
    """A walk through the statements of a procedure in the order in which they run."""

    def __init__(self, methods: dict[str, _Function], conducted: _Function) -> None:
        self._methods = methods
        self._conducted = conducted
        arguments = conducted.args.args[1:2]
        self._input = arguments[0].arg if arguments else ""
        stores = [
            each for each in ast.walk(conducted) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
        ]
        names = [each.id for each in stores]
        self._changed = {name for name in names if names.count(name) > 1}
        """Names of variables that are set more than once, so that their value is not known from the source."""

    def block(self, body: Sequence[ast.stmt], under: _Condition, inside: tuple[str, ...]) -> Iterator[Stop]:
        """Yield the stops in statements.

        `under` are the conditions of the statements. `inside` names the methods that are being read, so that recursion
        ends.
        """
        for statement in body:
            yield from self._node(statement, under, inside)
            # Everything after `if ...: return` is under that condition.
            if isinstance(statement, ast.If) and any(isinstance(each, _LEAVES) for each in ast.walk(statement)):
                under = under.and_on()

    def _node(self, node: ast.AST, under: _Condition, inside: tuple[str, ...]) -> Iterator[Stop]:
        match node:
            case ast.If():
                yield from self._if(node, under, inside)
            case ast.IfExp(test=test, body=one, orelse=two):
                yield from self._node(test, under, inside)
                yield from self._node(one, under.and_on(), inside)
                yield from self._node(two, under.and_on(), inside)
            case ast.Try(body=body, handlers=handlers, orelse=other, finalbody=last):
                yield from self.block(body, under, inside)
                for handler in handlers:
                    yield from self.block(handler.body, under.and_on(), inside)
                yield from self.block([*other, *last], under, inside)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                return
            case ast.Call():
                yield from self._call(node, under, inside)
            case _:
                within = under.and_on() if isinstance(node, _LOOPS) else under
                for child in ast.iter_child_nodes(node):
                    yield from self._node(child, within, inside)

    def _if(self, node: ast.If, under: _Condition, inside: tuple[str, ...]) -> Iterator[Stop]:
        on = self._field(node.test)
        yield from self._node(node.test, under, inside)
        branches = ((node.body, under.and_on(on)), (node.orelse, under.and_on(on and (on[0], not on[1]))))
        sure = [list(self.block(body, under, inside)) for body, _ in branches]
        # A stop that comes in both branches does not depend on the condition.
        both = set.intersection(*({(stop.kind, stop.name) for stop in stops} for stops in sure))
        for (body, within), stops in zip(branches, sure, strict=True):
            for stop, certain in zip(self.block(body, within, inside), stops, strict=True):
                yield certain if (certain.kind, certain.name) in both else stop

    def _field(self, test: ast.expr) -> tuple[str, bool] | None:
        """Return `(field, True)` for the test `request.field`, where `request` is the input of the case."""
        match test:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                found = self._field(operand)
                return found and (found[0], not found[1])
            case ast.Attribute(value=ast.Name(id=name), attr=field) if name == self._input:
                return field, True
        return None

    def _call(self, call: ast.Call, under: _Condition, inside: tuple[str, ...]) -> Iterator[Stop]:
        name = _called_on_self(call)
        if name == "step" and call.args and isinstance(call.args[0], ast.Attribute):
            yield Stop(call.args[0].attr, "step", under.maybe, hangs_on=under.on)
        elif name in ("gate", "gates"):
            known = inside == (self._conducted.name,)  # in another method the same name is another variable
            for place, gate in enumerate(_gates_asked_by(call)):
                facts = self._variable(gate, known)
                condition = _Condition(True) if gate.several else under
                yield Stop(gate.name, "gate", condition.maybe, place > 0, facts, condition.on)
        elif name == "case" and (kinds := _texts(call.args[:1])):
            yield Stop(kinds[0], "case", under.maybe, hangs_on=under.on)
        elif name in self._methods and name not in inside:
            yield from self.block(self._methods[name].body, under, (*inside, name))
        else:
            for child in ast.iter_child_nodes(call):
                yield from self._node(child, under, inside)

    def _variable(self, gate: _Gate, known: bool) -> str | None:
        """Return the variable with the facts of a gate; empty for no facts, None if the source does not show the
        variable.
        """
        match gate.facts:
            case None | ast.Constant(value=None) if not gate.several:
                return ""
            case ast.Name(id=name) if known and not gate.several and name not in self._changed:
                return name
        return None


# ---------------------------------------------------------------------------------------- the models of steps and gates


class _UsesIn:
    """Reads one function of a process, and adds what the function uses to `uses`."""

    def __init__(self, function: _Function, module: ModuleType, uses: Uses) -> None:
        self._function, self._module, self._uses = function, module, uses
        self._assigned = {
            node.targets[0].id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        }

    def read(self) -> None:
        for node in ast.walk(self._function):
            if isinstance(node, ast.Call):
                name = _called(node)
                if name == "step" and node.args:
                    self._step(node)
                elif name in ("gate", "gates", "GateAt"):
                    self._gates(node)
        self._uses.unchecked.extend(self._unchecked())

    def _step(self, call: ast.Call) -> None:
        given = {each.arg: each.value for each in call.keywords}
        step, undo = self._activity(call.args[0]), self._activity(given.get("undo"))
        if step:
            self._uses.steps[step[0]] = _given_to(step[1])
        if undo:
            self._uses.undos.setdefault(undo[0], []).append(_given_to(step[1]) if step else None)
        local = given.get("local")
        if step and local is not None and not (isinstance(local, ast.Constant) and local.value is False):
            beats = "heartbeat" in given
            self._uses.local.append(LocalStep(call.lineno, step[0], beats, self._options(given.get("options"))))

    def _gates(self, call: ast.Call) -> None:
        for gate in _gates_named_in(call):
            self._uses.gates.add(gate.name)
            if gate.facts is not None:
                self._uses.facts.setdefault(gate.name, []).append(self._model(gate.facts))

    def _activity(self, node: ast.expr | None) -> tuple[str, Any] | None:
        """Return for `Steps.hold` the name `hold`, and the method, or None if the module does not have the method."""
        if isinstance(node, ast.Name):
            node = self._assigned.get(node.id)
        if not isinstance(node, ast.Attribute):
            return None
        owner = getattr(self._module, node.value.id, None) if isinstance(node.value, ast.Name) else None
        return node.attr, getattr(owner, node.attr, None)

    def _options(self, node: ast.expr | None) -> StepOptions | None:
        """Return options that are a name of the module, or that are written in the call."""
        found = None
        if isinstance(node, ast.Name):
            found = getattr(self._module, node.id, None)
        elif isinstance(node, ast.Call):
            with suppress(Exception):  # It uses a variable of the procedure.
                found = eval(ast.unparse(node), vars(self._module))
        return found if isinstance(found, StepOptions) else None

    def _model(self, facts: ast.expr) -> Model | None:
        """Return the model of facts if they are the result of a step; None otherwise."""
        step = _awaited_step(self._assigned.get(facts.id) if isinstance(facts, ast.Name) else facts)
        activity = self._activity(step.args[0]) if step else None
        return _model_in(_hints(activity[1]).get("return")) if activity else None

    def _unchecked(self) -> Iterator[tuple[int, str]]:
        """Yield line and name of each result of a step whose attributes the function uses, although it never tests the
        result for None.
        """
        results = {name for name, value in self._assigned.items() if _may_be_none(_awaited_step(value))}
        tested = {
            each.id
            for node in ast.walk(self._function)
            for test in _tests_in(node)
            for each in ast.walk(test)
            if isinstance(each, ast.Name)
        }
        for node in ast.walk(self._function):
            match node:
                case ast.Attribute(value=ast.Name(id=name)) if name in results - tested:
                    yield node.lineno, f"{name}.{node.attr}"
                case ast.Attribute(value=ast.Await() as awaited) if _may_be_none(_awaited_step(awaited)):
                    yield node.lineno, f"(await self.step(...)).{node.attr}"


def _awaited_step(node: ast.expr | None) -> ast.Call | None:
    """Return the call in `await self.step(...)`."""
    match node:
        case ast.Await(value=ast.Call(args=[_, *_]) as call) if _called(call) == "step":
            return call
    return None


def _may_be_none(step: ast.Call | None) -> bool:
    return step is not None and all(each.arg != "skipped" for each in step.keywords)


def _tests_in(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.If() | ast.IfExp() | ast.Assert() | ast.While():
            yield node.test
        case ast.BoolOp():
            yield from node.values
        case ast.Match():
            yield node.subject


def _given_to(step: Any) -> Model | None:
    """Return the model of the argument of a step, from the annotation of its activity; None if this is no model."""
    for name, hint in _hints(step).items():
        if name != "return" and isinstance(hint, type) and issubclass(hint, StepCall):
            return _model_in(hint.model_fields["input"].annotation)
    return None


def _model_in(hint: Any) -> Model | None:
    """Return the model of an annotation, also of one that allows None; None if the annotation names no model or several
    models.
    """
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
