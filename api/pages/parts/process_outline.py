"""The order in which a process goes through its steps and approval steps, read from its source.

A process tells its story as code: the method that `run` hands to `conduct`. No table says the same once more, which
could say something else; so the order on the page is read from that method, once. What stands under a condition may not
come, and what a process is asked about several things comes as often as there are things.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

_Method = ast.FunctionDef | ast.AsyncFunctionDef
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
    facts: str | None = field(default="", compare=False)
    """Of a gate: the variable whose value it is asked about; empty: nothing, None: what cannot be told."""
    hangs_on: tuple[str, bool] | None = field(default=None, compare=False)
    """The field of the input, and the truth of it, on which alone it hangs whether this comes."""


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
    methods = {node.name: node for node in ast.walk(tree) if isinstance(node, _Method)}
    told = methods.get(_told_by(methods.get("run")))
    if told is None:
        return ()
    found: dict[tuple[str, str], Stop] = {}
    for stop in _Reader(methods, told).block(told.body, _SURE, (told.name,)):
        # A stop that comes twice, in a loop or in two branches, stands where it comes first.
        found.setdefault((stop.kind, stop.name), stop)
    return tuple(found.values())


def _told_by(run: ast.AST | None) -> str:
    """The method that `run` hands to `conduct`."""
    for node in ast.walk(run) if run else ():
        if isinstance(node, ast.Call) and _called(node) == "conduct" and len(node.args) > 1:
            return node.args[1].attr if isinstance(node.args[1], ast.Attribute) else ""
    return ""


class _Hangs(NamedTuple):
    """Under which conditions a statement stands."""

    maybe: bool = False
    on: tuple[str, bool] | None = None
    """The one condition that is a field of the input; None: there is none, or there are others."""

    def more(self, on: tuple[str, bool] | None = None) -> "_Hangs":
        """The same under one condition more."""
        return _Hangs(True, None if self.maybe else on)


_SURE = _Hangs()


class _Reader:
    """Reads statements in the order in which they run."""

    def __init__(self, methods: dict[str, _Method], told: _Method) -> None:
        self._methods = methods
        self._told = told
        arguments = told.args.args[1:2]
        self._input = arguments[0].arg if arguments else ""
        names = [each.id for each in ast.walk(told) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]
        self._changed = {name for name in names if names.count(name) > 1}
        """Variables that are set more than once: what is in them cannot be told."""

    def _field(self, test: ast.expr) -> tuple[str, bool] | None:
        """`(field, True)` of `if request.field`, where the request is the input of the case as it came."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            found = self._field(test.operand)
            return found and (found[0], not found[1])
        if isinstance(test, ast.Attribute) and isinstance(test.value, ast.Name) and test.value.id == self._input:
            return test.attr, True
        return None

    def block(self, body: list[ast.stmt], hangs: _Hangs, inside: tuple[str, ...]) -> Iterator[Stop]:
        for statement in body:
            yield from self.node(statement, hangs, inside)
            # Behind `if ...: return` everything hangs on that condition.
            if isinstance(statement, ast.If) and any(isinstance(each, _LEAVES) for each in ast.walk(statement)):
                hangs = hangs.more()

    def node(self, node: ast.AST, hangs: _Hangs, inside: tuple[str, ...]) -> Iterator[Stop]:
        match node:
            case ast.If(test=test, body=body, orelse=other):
                on = self._field(test)
                yield from self.node(test, hangs, inside)
                branches = ((body, hangs.more(on)), (other, hangs.more(on and (on[0], not on[1]))))
                # What comes either way, before or after something else, does not hang on the condition.
                one, two = (
                    {(stop.kind, stop.name) for stop in self.block(each, hangs, inside)} for each in (body, other)
                )
                for branch, under in branches:
                    for may, sure in zip(
                        self.block(branch, under, inside), self.block(branch, hangs, inside), strict=True
                    ):
                        yield sure if (sure.kind, sure.name) in one & two else may
            case ast.IfExp(test=test, body=one, orelse=two):
                yield from self.node(test, hangs, inside)
                yield from self.node(one, hangs.more(), inside)
                yield from self.node(two, hangs.more(), inside)
            case ast.Try(body=body, handlers=handlers, orelse=other, finalbody=last):
                yield from self.block(body, hangs, inside)
                for handler in handlers:
                    yield from self.block(handler.body, hangs.more(), inside)
                yield from self.block([*other, *last], hangs, inside)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                return
            case ast.Call():
                yield from self.call(node, hangs, inside)
            case _:
                within = hangs.more() if isinstance(node, _LOOPS) else hangs
                for child in ast.iter_child_nodes(node):
                    yield from self.node(child, within, inside)

    def call(self, call: ast.Call, hangs: _Hangs, inside: tuple[str, ...]) -> Iterator[Stop]:
        name = _called(call)
        if name == "step" and call.args and isinstance(call.args[0], ast.Attribute):
            yield Stop(call.args[0].attr, "step", hangs.maybe, hangs_on=hangs.on)
        elif name in ("gate", "gates"):
            known = inside == (self._told.name,)  # within another method a variable is another one
            for place, gate in enumerate(_gates(call)):
                facts = gate.facts if known and gate.facts not in self._changed else (gate.facts and None)
                stop = replace(gate, beside=place > 0, facts=facts)
                yield stop if gate.maybe else replace(stop, maybe=hangs.maybe, hangs_on=hangs.on)
        elif name == "case" and (kind := _text(call.args[:1])):
            yield Stop(kind, "case", hangs.maybe, hangs_on=hangs.on)
        elif name in self._methods and name not in inside:
            yield from self.block(self._methods[name].body, hangs, (*inside, name))
        else:
            for child in ast.iter_child_nodes(call):
                yield from self.node(child, hangs, inside)


def _called(call: ast.Call) -> str:
    """`step` of `self.step(...)`; empty for what is called otherwise."""
    function = call.func
    own = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "self"
    return function.attr if own and isinstance(function, ast.Attribute) else ""


def _gates(call: ast.Call) -> Iterator[Stop]:
    """`"a"`, `GateAt("a", ...)`, and `*(GateAt("a", each) for each in several)`."""
    for given in call.args if _called(call) == "gates" else call.args[:1]:
        for node in ast.walk(given):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "GateAt":
                continue
            if name := _text(node.args[:1]):
                several = isinstance(given, ast.Starred)
                facts = None if several else _facts(node.args[1:2], node.keywords)
                yield Stop(name, "gate", several, facts=facts)
        if name := _text([given]):
            yield Stop(name, "gate", facts=_facts([], call.keywords))


def _facts(given: list[ast.expr], keywords: list[ast.keyword]) -> str | None:
    """The variable that a gate is asked about; empty for none, None for what is no variable."""
    values = [*given, *(each.value for each in keywords if each.arg == "facts")]
    if not values or (isinstance(values[0], ast.Constant) and values[0].value is None):
        return ""
    return values[0].id if isinstance(values[0], ast.Name) else None


def _text(of: list[ast.expr]) -> str:
    return next((each.value for each in of if isinstance(each, ast.Constant) and isinstance(each.value, str)), "")
