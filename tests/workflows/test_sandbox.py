"""The private names of the SDK on which the faster sandbox rests, and what happens when they move."""

from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowFailureError
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from core.payloads import SharedPayloadConverter, data_converter
from domain.status import Status
from plugins.testing import server
from tests.support.defective_process import DicedErrand, NotedErrand
from tests.support.engine_fixture import House
from tests.support.errands import ErrandRequest
from workflows import payload_visits, sandbox


async def completed(house: House) -> None:
    case = await house.start()
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED


async def restarted(house: House, monkeypatch: pytest.MonkeyPatch, runner: WorkflowRunner) -> None:
    """Start the worker of `house` again with this runner."""
    monkeypatch.setattr(server, "workflow_runner", lambda: runner)
    await house.stop_worker()
    await house.start_worker()


def test_the_names_of_the_sdk_are_where_they_were() -> None:
    """If this fails, Workflows run, but slower: find the names in the new SDK, or delete `workflows/sandbox.py`."""
    assert type(sandbox.workflow_runner()) is sandbox.QuickSandbox
    assert sandbox._SDK_DEFINITION is not None


async def test_contexts_are_the_same_as_in_the_sandbox_and_do_not_enter_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shortcut in ("without_effect", "only_codec"):  # The SDK asks for contexts in its visits.
        monkeypatch.setattr(payload_visits, shortcut, lambda _: False)
    asked: list[Any] = []
    names = ("get_serialization_context", "get_external_store_context")
    ours = {name: getattr(sandbox._Instance, name) for name in names}
    theirs = {name: getattr(sandbox._SDK_INSTANCE, name) for name in names}

    def compared(name: str) -> Any:
        def both(self: Any, command_info: Any) -> Any:
            entered: list[str] = []
            with monkeypatch.context() as patched:
                patched.setattr(sandbox._SDK_INSTANCE, "_run_code", lambda *_, **__: entered.append(name))
                found = ours[name](self, command_info)
            assert not entered
            assert found == theirs[name](self, command_info)
            asked.append(found)
            return found

        return both

    for name in names:
        monkeypatch.setattr(sandbox._Instance, name, compared(name))
    await completed(house)
    kinds = {type(each).__name__ for each in asked}
    assert kinds >= {"WorkflowSerializationContext", "ActivitySerializationContext", "StorageDriverStoreContext"}


async def test_without_the_name_of_the_workflow_the_sandbox_is_entered_and_cases_go_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "INSIDE", "__moved")
    await completed(house)


async def test_without_the_methods_the_sandbox_of_the_sdk_is_used_and_cases_go_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "METHODS", (*sandbox.METHODS, "_moved"))
    runner = sandbox.workflow_runner()
    assert type(runner) is SandboxedWorkflowRunner
    await restarted(house, monkeypatch, runner)
    await completed(house)


async def test_a_definition_is_used_again_only_for_a_class_with_the_same_handlers(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler in the file of a process is another function in each sandbox, so its class is inspected again."""
    inspected: list[str] = []

    def inspect(cls: type, **options: Any) -> None:
        inspected.append(cls.__name__)
        sdk(cls, **options)

    sdk = sandbox._sdk_define
    monkeypatch.setattr(sandbox, "_sdk_define", inspect)
    await completed(house)
    assert inspected == []
    code, house.code["errand"] = house.code["errand"], NotedErrand
    await house.stop_worker()
    await house.start_worker()
    case = await house.start()
    await case.signal("note", "as the file says")
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    assert "NotedErrand" in inspected
    house.code["errand"] = code
    await house.stop_worker()
    await house.start_worker()


async def test_without_the_definition_of_the_sdk_each_sandbox_inspects_the_class(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow._Definition, "_apply_to_class", staticmethod(sandbox._sdk_define))
    monkeypatch.setattr(sandbox, "_SDK_DEFINITION", None)
    await completed(house)


async def test_code_of_a_process_file_stays_in_the_sandbox(house: House) -> None:
    code, house.code["errand"] = house.code["errand"], DicedErrand
    await house.stop_worker()
    await house.start_worker()
    with pytest.raises(WorkflowFailureError) as failed:
        await house.end(await house.start())
    assert "random" in str(failed.value.cause)
    house.code["errand"] = code
    await house.stop_worker()
    await house.start_worker()


def test_all_converters_share_their_types_and_forget_the_oldest() -> None:
    first, second = SharedPayloadConverter(), SharedPayloadConverter()
    assert [*first.converters.values()] == [*second.converters.values()]
    payload = first.to_payload(ErrandRequest(parcel="a book"))
    for number in range(300):  # As many cases, whose process file defines a model.
        again = type(f"Request{number}", (ErrandRequest,), {})
        assert second.from_payload(payload, again).parcel == "a book"
    (cache,) = [each._type_adapter for each in second.converters.values() if hasattr(each, "_type_adapter")]
    assert cache.cache_info().currsize <= 256
    assert type(data_converter.payload_converter_class()) is SharedPayloadConverter
