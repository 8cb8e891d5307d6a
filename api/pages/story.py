"""The order in which a process goes through its steps and approval steps, read from its source.

A process tells its story as code: the method that `run` hands to `conduct`. No table says the same once more, which
could say something else; so the order on the page is read from that method, once. What stands under a condition may not
come, and what a process is asked about several things comes as often as there are things.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue)


@dataclass(frozen=True)
class Stop:
    """One thing that a process comes to."""

    name: str
    """Of the activity, of the gate, or of what another case is called."""
    kind: Literal["step", "gate", "case"]
    maybe: bool = False
    """It stands under a condition, or once for each of several things."""
    beside: bool = False
    """A gate that is asked together with the one before."""


_READ: dict[str, tuple[Stop, ...]] = {}
"""By the full name of the class; a source does not change while a program runs."""


def story_of(workflow: type[Any]) -> tuple[Stop, ...]:
    """The stops of a process, by its Workflow, in their order; none where its source cannot be read."""
    name = f"{workflow.__module__}.{workflow.__qualname__}"
    if name not in _READ:
        _READ[name] = _read(workflow)
    return _READ[name]


def _read(workflow: type[Any]) -> tuple[Stop, ...]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(workflow)))
    except (OSError, TypeError, SyntaxError):
        return ()
    methods = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    told = methods.get(_told_by(methods.get("run")))
    if told is None:
        return ()
    found: dict[tuple[str, str], Stop] = {}
    for stop in _Reader(methods).block(told.body, False, (told.name,)):
        # A stop that comes twice, in a loop or in two branches, stands where it comes first.
        found.setdefault((stop.kind, stop.name), stop)
    return tuple(found.values())


def _told_by(run: ast.AST | None) -> str:
    """The method that `run` hands to `conduct`."""
    for node in ast.walk(run) if run else ():
        if isinstance(node, ast.Call) and _called(node) == "conduct" and len(node.args) > 1:
            return node.args[1].attr if isinstance(node.args[1], ast.Attribute) else ""
    return ""


class _Reader:
    """Reads statements in the order in which they run."""

    def __init__(self, methods: dict[str, ast.FunctionDef | ast.AsyncFunctionDef]) -> None:
        self._methods = methods

    def block(self, body: list[ast.stmt], maybe: bool, inside: tuple[str, ...]) -> Iterator[Stop]:
        for statement in body:
            yield from self.node(statement, maybe, inside)
            # Behind `if ...: return` everything hangs on that condition.
            maybe = maybe or (
                isinstance(statement, ast.If) and any(isinstance(each, _LEAVES) for each in ast.walk(statement))
            )

    def node(self, node: ast.AST, maybe: bool, inside: tuple[str, ...]) -> Iterator[Stop]:
        match node:
            case ast.If(test=test, body=body, orelse=other):
                yield from self.node(test, maybe, inside)
                yield from self.block(body, True, inside)
                yield from self.block(other, True, inside)
            case ast.IfExp(test=test, body=one, orelse=two):
                yield from self.node(test, maybe, inside)
                yield from self.node(one, True, inside)
                yield from self.node(two, True, inside)
            case ast.Try(body=body, handlers=handlers, orelse=other, finalbody=last):
                yield from self.block(body, maybe, inside)
                for handler in handlers:
                    yield from self.block(handler.body, True, inside)
                yield from self.block([*other, *last], maybe, inside)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                return
            case ast.Call():
                yield from self.call(node, maybe, inside)
            case _:
                hangs = maybe or isinstance(node, _LOOPS)
                for child in ast.iter_child_nodes(node):
                    yield from self.node(child, hangs, inside)

    def call(self, call: ast.Call, maybe: bool, inside: tuple[str, ...]) -> Iterator[Stop]:
        name = _called(call)
        if name == "step" and call.args and isinstance(call.args[0], ast.Attribute):
            yield Stop(call.args[0].attr, "step", maybe)
        elif name in ("gate", "gates"):
            for place, gate in enumerate(_gates(call)):
                yield replace(gate, maybe=gate.maybe or maybe, beside=place > 0)
        elif name == "case" and (kind := _text(call.args[:1])):
            yield Stop(kind, "case", maybe)
        elif name in self._methods and name not in inside:
            yield from self.block(self._methods[name].body, maybe, (*inside, name))
        else:
            for child in ast.iter_child_nodes(call):
                yield from self.node(child, maybe, inside)


def _called(call: ast.Call) -> str:
    """`step` of `self.step(...)`; empty for what is called otherwise."""
    function = call.func
    own = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "self"
    return function.attr if own and isinstance(function, ast.Attribute) else ""


def _gates(call: ast.Call) -> Iterator[Stop]:
    """`"a"`, `GateAt("a", ...)`, and `*(GateAt("a", each) for each in several)`."""
    for given in call.args if _called(call) == "gates" else call.args[:1]:
        for node in ast.walk(given):
            at = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "GateAt"
            if name := _text(node.args[:1]) if at and isinstance(node, ast.Call) else "":
                yield Stop(name, "gate", isinstance(given, ast.Starred))
        if name := _text([given]):
            yield Stop(name, "gate")


def _text(of: list[ast.expr]) -> str:
    return next((each.value for each in of if isinstance(each, ast.Constant) and isinstance(each.value, str)), "")
