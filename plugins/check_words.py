"""Check the texts of a process (`Words`): every sentence exists, and uses only fields that exist.

The sentences of a step and of its undo are filled with the fields of the argument of the step, which can be a model of
its own. The sentence of a gate is filled with the fields of the input and of the gate's facts, the title with the
fields of the input.
"""

from collections.abc import Collection, Iterator, Mapping
from string import Formatter
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from domain.durations import in_words
from domain.input_errors import problems_of
from domain.moments import asked_now, lenient_fields
from domain.step import LOCAL_ATTEMPTS, LOCAL_TIME_LIMIT
from domain.wording import Words
from plugins.source import Uses, file_of, uses_of
from workflows.engine.case import CaseWorkflow
from workflows.registry import Process

Model = type[BaseModel]


def definition_of(workflow: type[CaseWorkflow]) -> Any:
    """Return the definition that `@workflow.defn` stored on a class, with its name; None without the decorator."""
    return getattr(workflow, "__temporal_workflow_definition", None)


def mistakes(process: Process) -> Iterator[str]:
    """Yield a sentence for each text that is missing or wrong in the texts, the input and the example of a process."""
    definition = definition_of(process.workflow)
    if definition is None or definition.name != process.name:
        yield f'write @workflow.defn(name="{process.name}") above the class {process.workflow.__name__}'
        return
    words = getattr(process.workflow, "words", None)
    if not isinstance(words, Words):
        yield f"the class {process.workflow.__name__} needs words = Words(...)"
        return
    yield from _wrong_names(words, process.input)
    uses = uses_of(process.workflow)
    yield from _wrong_sentences(words, process.input, uses)
    yield from _wrong_local_steps(process, uses)
    for name in lenient_fields(process.input):
        yield f"the field {name} of the input would read 20270331 as 1970: use Day or Moment of plugins"
    yield from _wrong_example(process)


def _wrong_local_steps(process: Process, uses: Uses) -> Iterator[str]:
    """Yield a sentence for each local step that is not short, or that sends heartbeats."""
    for step in uses.local:
        where = f"{file_of(process.workflow)}:{step.line}: {step.name}"
        if step.beats:
            yield f"{where}: a local step sends no heartbeats: leave out local=True, because the step is long"
        elif step.options is not None and not step.options.fits_local:
            yield (
                f"{where}: a local step has a time limit of at most {in_words(LOCAL_TIME_LIMIT)}, one to "
                f"{LOCAL_ATTEMPTS} attempts and no retry_for: leave out local=True, or give it shorter options"
            )


def _wrong_names(words: Words, input: Model) -> Iterator[str]:
    """Yield a sentence for each field without a label, and for each name in Words that is no field or gate of the
    process.
    """
    known = set(input.model_fields)
    if not words.summary.strip():
        yield "Words.summary is empty: say in one sentence what the process does"
    if not 1 <= len(words.key_fields) <= 4:
        yield f"Words.key_fields must name one to four fields, and names {len(words.key_fields)}"
    for name in sorted(known - set(words.labels)):
        yield f"Words.labels has no label for the field '{name}': add one"
    named = {"labels": words.labels, "key_fields": words.key_fields, "money": words.money or ()}
    for key, names in named.items():
        for name in sorted(set(names) - known):
            yield f"Words.{key} names '{name}', which is no field of the input"
    for name in sorted(words.masked):
        yield from _wrong_mask(name, input)
    for key, gates in (("facts_after", words.facts_after), ("repeated", words.repeated)):
        for name in sorted(set(gates) - set(words.gates)):
            yield f"Words.{key} names '{name}', which is no gate of the process"


def _wrong_mask(name: str, input: Model) -> Iterator[str]:
    """Yield a sentence if a masked field does not exist, or holds numbers, of which no end can be shown."""
    types: set[Any] = {input}
    for part in name.split("."):
        models = [each for each in types if _is_model(each)]
        found = [model.model_fields[part].annotation for model in models if part in model.model_fields]
        if not found and dict not in types:
            yield f"Words.masked names '{name}', which is no field of the input"
            return
        types = {kind for annotation in found for kind in _kinds(annotation)} or {str}
    if not any(each in (str, dict, Any) or _is_model(each) for each in types):
        yield f"Words.masked names '{name}', which is not text: people could see nothing of it, so use a text field"


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield the types in an annotation, also those in lists and optional ones."""
    parts = [part for part in get_args(annotation) if part is not type(None)]
    origin = get_origin(annotation)
    if origin in (dict, Mapping):
        yield dict
    elif origin is Annotated:
        yield from _kinds(parts[0])
    elif parts and origin is not Literal:
        for part in parts:
            yield from _kinds(part)
    else:
        yield str if origin is Literal else dict if annotation in (dict, Mapping) else annotation


def _wrong_sentences(words: Words, input: Model, uses: Uses) -> Iterator[str]:
    """Yield what is wrong with each sentence that is missing, cannot be read, or uses an unknown field."""
    for key, used, there in (
        ("steps", uses.steps, words.steps),
        ("undos", uses.undos, words.undos),
        ("gates", uses.gates, words.gates),
    ):
        for name in sorted(set(used) - set(there)):
            yield f"Words.{key} has no sentence for '{name}'"
    yield from _wrong_sentence("Words.title", words.title, input)
    if words.done:
        yield from _wrong_sentence("Words.done", words.done, input)
    # A model that the source does not show can have any field: a correct sentence must never be refused.
    for name, sentence in words.steps.items():
        model = uses.steps.get(name, input)
        yield from _wrong_sentence(f"Words.steps['{name}']", sentence, model or input, () if model else None)
    for name, sentence in words.undos.items():
        for model in dict.fromkeys(uses.undos.get(name, [input])):
            yield from _wrong_sentence(f"Words.undos['{name}']", sentence, model or input, () if model else None)
    for name, sentence in words.gates.items():
        facts = uses.facts.get(name, [])
        more = None if None in facts else [each for model in facts if model for each in model.model_fields]
        yield from _wrong_sentence(f"Words.gates['{name}']", sentence, input, more)


def _wrong_sentence(key: str, sentence: str, model: Model, more: Collection[str] | None = ()) -> Iterator[str]:
    """Yield what is wrong with one sentence.

    `more` has further names that the sentence may use in addition to the fields of `model`; None allows any name.
    """
    try:
        parts = [(name, spec) for _, name, spec, _ in Formatter().parse(sentence) if name is not None]
    except ValueError as error:
        yield f"{key} cannot be read: {error}"
        return
    if not sentence.strip():
        yield f"{key} is empty: write a sentence"
    known = sorted([*model.model_fields, *(more or ())])
    where = f"{model.__name__} or the facts" if more or more is None else model.__name__
    for name, spec in parts:
        if not name.isidentifier():
            yield f"{key} names '{name}': name fields only, without dots, brackets and numbers"
        elif "{" in (spec or ""):
            yield f"{key} takes the format of '{name}' from another field: write the format itself, or remove it"
        elif more is not None and name not in known:
            yield f"{key} names '{name}', which is no field of {where}; use one of {', '.join(known)}"
    if all(name.isidentifier() for name, _ in parts):
        try:
            for value in ("", "x"):
                sentence.format_map({name: value for name, _ in parts})
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            yield f"{key} cannot be filled: {error}; all fields of a sentence are texts"


def _wrong_example(process: Process) -> Iterator[str]:
    """Yield what is wrong with the example row of a process."""
    row = dict(process.example)
    if not row.pop("reference", "").strip():
        yield "the example of the process has no reference: add one"
    try:
        process.input.model_validate(row, context=asked_now())
    except ValidationError as error:
        yield from (f"the example of the process is not valid: {problem}" for problem in problems_of(error, row))
