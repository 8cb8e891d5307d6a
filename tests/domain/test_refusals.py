"""Every refusal code has a meaning, an HTTP status and a place that produces it."""

import ast
from collections import defaultdict

import pytest
from temporalio.exceptions import ApplicationError

from api.gateway.refusal_problems import problem_of_refusal
from domain.refusals import Refusal, RefusalCode
from tests.support.installed_app import ROOT
from workflows.engine.refusal_failures import failure_of_refusal, refusal_of_failure

PRODUCING = ("domain", "workflows", "api")


def producers() -> dict[str, set[str]]:
    """Return the names of the codes with which a refusal is made, each with its sentences as source."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(path for folder in PRODUCING for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            first, second = node.args[0], node.args[-1]
            if isinstance(first, ast.Attribute) and ast.unparse(first.value) == "RefusalCode":
                found[first.attr].add(ast.unparse(second))
            if getattr(node.func, "id", "") == "not_allowed":
                found["NOT_ALLOWED"].add(ast.unparse(first))
    return found


@pytest.mark.parametrize("code", RefusalCode)
def test_a_code_has_a_meaning_in_one_sentence(code: RefusalCode) -> None:
    assert code.meaning[0].isupper() and code.meaning.endswith(".") and ". " not in code.meaning


@pytest.mark.parametrize("code", RefusalCode)
def test_a_code_has_an_http_status_and_a_kind_of_problem(code: RefusalCode) -> None:
    problem = problem_of_refusal("d1", Refusal(code, "No."))
    # A refused signature is about the keys of the gateway, and not about the message: the person can try again.
    assert problem.status == 503 if code is RefusalCode.UNSIGNED else 400 <= problem.status < 500
    assert (problem.body["type"] == "urn:holdgate:refused") == (code is RefusalCode.OTHER)
    assert problem.body["detail"] == "No." or problem.status == 404


def test_every_code_is_produced_somewhere_with_a_sentence() -> None:
    found = producers()
    # OTHER comes from failures of another release only.
    assert set(found) == {code.name for code in RefusalCode} - {"OTHER"}
    assert all(found.values())


@pytest.mark.parametrize("code", RefusalCode)
def test_a_refusal_is_the_same_after_its_way_through_temporal(code: RefusalCode) -> None:
    failure = failure_of_refusal(Refusal(code, "No.", revision=2))
    assert failure.type == code.value and failure.non_retryable
    refusal = refusal_of_failure(failure)
    assert refusal is not None
    assert (refusal.code, refusal.message, refusal.details) == (code, "No.", {"revision": 2})


def test_a_code_of_another_release_is_a_refusal_with_the_code_other() -> None:
    refusal = refusal_of_failure(ApplicationError("No.", {}, type="CodeOfTomorrow"))
    assert refusal is not None and refusal.code is RefusalCode.OTHER


def test_a_failure_without_details_is_no_refusal() -> None:
    assert refusal_of_failure(ApplicationError("Broken.", type="RuntimeError")) is None


def test_no_refusal_code_is_a_bare_string_in_product_code() -> None:
    values = {code.value for code in RefusalCode} - {"Missing", "Nothing", "Unknown", "Refused", "Unreadable"}
    folders = ("activities", "api", "channels", "domain", "intake", "ops", "policy", "store", "workflows")
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}"
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if path != ROOT / "domain" / "refusals.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in values
    ]
    assert not wrong, "\n".join(wrong)
