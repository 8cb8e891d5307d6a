"""Every process says to people what it does: a process without words is refused here."""

import inspect
import re
import sys
from string import Formatter

import pytest
from pydantic import BaseModel

from workflows.registry import PROCESSES, Process


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def models_beside(process: Process) -> list[type[BaseModel]]:
    """The models beside the activities of a process: facts of its gates are among them."""
    code = vars(sys.modules[process.workflow.__module__]).values()
    modules = {
        value.__module__ for value in code if inspect.isclass(value) and value.__module__.startswith("activities")
    }
    found = [value for module in modules for value in vars(sys.modules[module]).values()]
    return [value for value in found if inspect.isclass(value) and issubclass(value, BaseModel)]


@pytest.fixture(params=list(PROCESSES.values()), ids=list(PROCESSES))
def process(request: pytest.FixtureRequest) -> Process:
    found: Process = request.param
    return found


def test_a_process_has_a_title_up_to_four_key_fields_and_a_label_for_each_field(process: Process) -> None:
    words, known = process.words, set(process.input.model_fields)
    assert words.summary and fields(words.title) and fields(words.title) <= known
    assert 1 <= len(words.key_fields) <= 4 and set(words.key_fields) <= known
    assert set(words.labels) == known
    assert words.masked <= known
    assert all(words.nouns) and set(words.money or ()) <= known


def test_each_step_each_undo_and_each_gate_of_a_process_has_a_sentence(process: Process) -> None:
    words, known = process.words, set(process.input.model_fields)
    source = inspect.getsource(inspect.getmodule(process.workflow) or process.workflow)
    steps = set(re.findall(r"self\.step\(\s*\w+\.(\w+)", source))
    gates = set(re.findall(r"(?:self\.gates?|GateAt)\(\s*\"([^\"]+)\"", source))
    facts = {name for model in models_beside(process) for name in model.model_fields}
    assert set(words.steps) == steps
    assert set(words.undos) == set(re.findall(r"undo=\w+\.(\w+)", source))
    assert set(words.gates) == gates
    for sentence in (*words.steps.values(), *words.undos.values()):
        assert sentence and fields(sentence) <= known
    for sentence in words.gates.values():
        assert sentence and fields(sentence) <= known | facts


def test_the_example_row_of_a_process_is_valid_and_its_words_can_be_said(process: Process) -> None:
    row = {name: value for name, value in process.example.items() if name != "reference"}
    case = process.input.model_validate(row)
    assert "{" not in process.title(case)
    assert process.key_fields(case)
    assert all(process.words.step(name, case) for name in (*process.words.steps, *process.words.undos))
