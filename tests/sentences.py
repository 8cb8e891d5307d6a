"""Every sentence by which Holdgate refuses, fails or undoes something, as the code has it.

`python -m tests.sentences` writes the catalogue again: read its changes as a person in finance would.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CATALOGUE = Path(__file__).with_name("sentences.txt")
ROOMS = ("domain", "workflows", "activities", "store", "cases", "intake", "api")
SAYING = {
    **dict.fromkeys(
        ("Refused", "Trouble", "AccountLocked", "NoRuling", "NobodyCanDecide", "ScannerFailed", "Unfit"), 0
    ),
    **dict.fromkeys(
        ("NotRollable", "ChangedMeanwhile", "NotResubmittable", "CalledOff", "not_allowed", "forbidden"), 0
    ),
    **dict.fromkeys(("CaseEnds", "Refusal"), 1),
}
"""What is called with a sentence, and as which of its arguments."""
NAMED = {
    "workflows/engine/failures.py": ("UNFORESEEN", "IN_WORDS", "_timeout", "_of_application", "failure_of"),
    "domain/gate/validate_decision.py": ("REASONS",),
    "domain/errors.py": ("UNDONE_FIRST",),
    "domain/refusals.py": ("DECISION_ID_REUSED", "ACTION_ID_REUSED"),
    "workflows/engine/compensation.py": ("_wait_before_next", "_is_undone", "roll_back"),
    "workflows/engine/human_tasks.py": ("intervene", "open_intervention"),
    "workflows/rollback.py": ("_follow", "_question", "_operators_decide"),
    "cases/reconcile/closed_in_temporal.py": ("ENDED", "_reason"),
    "cases/rollback.py": ("why_not",),
}
"""Constants and functions whose texts are such sentences."""


def text_of(node: ast.expr) -> Iterator[str]:
    """The texts of an expression, with what is put into them in braces."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
                for part in parts
                if isinstance(part, ast.Constant | ast.FormattedValue)
            )
        case ast.IfExp(body=one, orelse=other):
            yield from text_of(one)
            yield from text_of(other)
        case ast.BinOp(left=one, right=other):
            yield from text_of(one)
            yield from text_of(other)


def said_in(path: str) -> Iterator[str]:
    """The sentences of one file."""
    tree = ast.parse((ROOT / path).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in SAYING and len(node.args) > SAYING[name]:
                yield from text_of(node.args[SAYING[name]])
        named = [node.name] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else []
        if isinstance(node, ast.Assign):
            named = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if set(named) & set(NAMED.get(path, ())):
            yield from (text for text in _sentences_below(node) if " " in text.strip() and text.rstrip().endswith("."))


def _sentences_below(node: ast.AST) -> Iterator[str]:
    body = getattr(node, "body", None)
    docstring = body[0] if isinstance(body, list) and body and isinstance(body[0], ast.Expr) else None
    for child in ast.iter_child_nodes(node):
        if child is docstring:
            continue
        if isinstance(child, ast.Constant | ast.JoinedStr):
            yield from text_of(child)
        else:
            yield from _sentences_below(child)


def every() -> list[str]:
    """All of them, each once, in order."""
    paths = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    found = {" ".join(text.split()) for path in paths for text in said_in(path.relative_to(ROOT).as_posix())}
    return sorted(found - {""})


if __name__ == "__main__":
    CATALOGUE.write_text("\n".join(every()) + "\n")
