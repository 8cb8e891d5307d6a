"""Sentences about refusals, incidents and rollbacks are understandable for people in finance."""

import re

import pytest

from domain.errors import Trouble
from domain.step import StepOptions
from tests.sentences import CATALOGUE, every
from workflows.engine.failures import IN_WORDS, UNFORESEEN, Failure, failure_of

SENTENCES = CATALOGUE.read_text().splitlines()
"""As the catalogue has them: to read the code for them takes seconds, which each collection would wait for."""
TECHNICAL = re.compile(
    r"[a-z][A-Z]|[a-z]_[a-z]|(?i:\b(exception|traceback|stack|null|none|nil|payload|sql|sqlite|postgres\w*|grpc|rpc|json|"
    r"uuid|http|workflow|activity|thread|process id|error|errors|timeout|deserial\w*|enum|boolean|string|"
    r"gates?|quorum|veto|facts?|compensat\w*)\b)",
)
"""Names of classes and of variables, and words of engineers."""


def plain(sentence: str) -> str:
    """Without what is put in: that is names and sums."""
    return re.sub(r"\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "…", sentence)


def test_the_catalogue_holds_every_sentence_that_the_code_says() -> None:
    said = "run 'python -m tests.sentences' and read what has changed as somebody in finance would"
    assert every() == SENTENCES, said
    assert len(SENTENCES) > 80


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_begins_and_ends_as_one_and_has_no_words_of_engineers(sentence: str) -> None:
    words = plain(sentence)
    assert re.match(r"[A-Z'\d…]", words), "begins with a capital letter, a name or a number"
    assert words.endswith((".", "…", "?")), "ends with a full stop, or with what somebody has said"
    found = re.search(TECHNICAL, words)
    assert found is None, f"'{found[0] if found else ''}' is a word of engineers"
    assert len(words) <= 240


@pytest.mark.parametrize("kind", ["KeyError", "OperationalError", "ValidationError", *IN_WORDS])
def test_a_failure_that_was_not_written_for_people_is_told_in_general_words_and_kept_for_engineers(kind: str) -> None:
    class Broken(Trouble):
        """As an activity would raise it, but for its words."""

    error = Broken("('shelf', <object at 0x7f>)")
    told: Failure = failure_of(type(error).__mro__[2]("('shelf', <object at 0x7f>)", type=kind), StepOptions())
    assert told.said == IN_WORDS.get(kind, UNFORESEEN)
    assert told.technical == f"{kind}: ('shelf', <object at 0x7f>)"
    assert failure_of(error, StepOptions()).said == error.message
