"""The sandbox in which Workflows run: that of the SDK, with less work for each Workflow and each of its payloads.

- For each payload, the SDK asks a Workflow twice for the context in which the payload is serialized. The SDK enters the
  sandbox for each question: it swaps modules and builtins, compiles a line of code, runs this code, and swaps modules
  and builtins back. But the answer comes from the SDK itself, which the sandbox does not import again. Therefore this
  module reads the answer from outside the sandbox.
- The sandbox imports the file of a process again for each case, and `@workflow.defn` then inspects all members of the
  class. Here `@workflow.defn` takes the definition of the class outside the sandbox, if the handlers and types are the
  same.

This module and `workflows/payload_visits.py` use private names of the SDK, and no other module does.
`tests/workflows/test_sandbox.py` fails when the SDK renames these names. Workflows then run in the sandbox of the SDK
as it is, which is only slower.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib import import_module
from types import CodeType
from typing import Any

from temporalio import workflow
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

INSIDE = "__temporal_in_sandbox"
"""The name of the Workflow among the variables of its sandbox."""
METHODS = ("_run_code", "get_serialization_context", "get_external_store_context")
"""The methods of the SDK that are replaced here."""
DEFINITION = "__temporal_workflow_definition"
"""The attribute of a Workflow class, and of its run method, that has the definition of the Workflow."""


def workflow_runner() -> WorkflowRunner:
    """Return the runner of Workflows, for a Worker or a Replayer.

    The sandbox does not import `cryptography` again, because this would end the process: see `domain/proof/keys.py`.

    The runner is `QuickSandbox`, or the runner of the SDK if the SDK does not have all `METHODS`.
    """
    known = all(hasattr(_SDK_INSTANCE, name) for name in METHODS)
    runner = QuickSandbox if known else SandboxedWorkflowRunner
    return runner(restrictions=SandboxRestrictions.default.with_passthrough_modules("cryptography"))


class QuickSandbox(SandboxedWorkflowRunner):
    """Runs each Workflow in a sandbox of the SDK that does less work, as this module describes."""

    def prepare_workflow(self, defn: Any) -> None:
        remember(defn)
        super().prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        instance: WorkflowInstance = _Instance(det, self.runner_class, self.restrictions)
        return instance


# ------------------------------------------------------------------------------------------------ contexts of payloads


def _sdk_instance() -> Any:
    """Return the SDK's class of a Workflow in a sandbox; `object` if the SDK has renamed the class."""
    with suppress(ImportError, AttributeError):
        return import_module("temporalio.worker.workflow_sandbox._runner")._Instance
    return object


_SDK_INSTANCE = _sdk_instance()


class _Instance(_SDK_INSTANCE):  # type: ignore[misc, valid-type]  # It is looked up, so mypy does not know it.
    """One Workflow in its sandbox."""

    def _run_code(self, code: str, **variables: Any) -> None:
        super()._run_code(_compiled(code), **variables)

    def get_serialization_context(self, command_info: Any) -> Any:
        if (inside := self.globals_and_locals.get(INSIDE)) is None:
            return super().get_serialization_context(command_info)
        return inside.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> Any:
        if (inside := self.globals_and_locals.get(INSIDE)) is None:
            return super().get_external_store_context(command_info)
        return inside.get_external_store_context(command_info)


@cache  # Each Workflow type has three lines of code.
def _compiled(code: str) -> CodeType:
    return compile(code, "workflow_sandbox.py", "exec")


# -------------------------------------------------------------------------------------------- definitions of Workflows

_definitions: dict[tuple[str, str], Any] = {}
"""The definitions of the classes outside the sandbox, by the module and the name of the class."""


def remember(definition: Any) -> None:
    """Keep the definition of a Workflow class outside the sandbox, to take it for the same class in the sandbox."""
    cls = definition.cls
    if _SDK_DEFINITION is not None and not workflow.unsafe.in_sandbox():
        _definitions[cls.__module__, cls.__qualname__] = definition
        _SDK_DEFINITION._apply_to_class = staticmethod(_define)


def _sdk_definition() -> Any:
    """Return the SDK's class of a definition; None if the SDK has renamed the class or what it is used for here."""
    sdk = getattr(workflow, "_Definition", None)
    fields = {"cls", "run_fn", "signals", "queries", "updates"}
    if not hasattr(sdk, "_apply_to_class") or fields - {*getattr(sdk, "__dataclass_fields__", ())}:
        return None
    return sdk


_SDK_DEFINITION = _sdk_definition()
_sdk_define: Callable[..., None] = getattr(_SDK_DEFINITION, "_apply_to_class", lambda *_: None)


def _define(cls: type, **options: Any) -> None:
    """Set the definition of a Workflow class, as the SDK does for `@workflow.defn`."""
    known = _definitions.get((cls.__module__, cls.__qualname__)) if workflow.unsafe.in_sandbox() else None
    run = cls.__dict__.get(known.run_fn.__name__) if known is not None else None
    if known is None or run is None or not _same(cls, run, known):
        _sdk_define(cls, **options)
        return
    definition = replace(known, cls=cls, run_fn=run)
    setattr(cls, DEFINITION, definition)
    setattr(run, DEFINITION, definition)


def _same(cls: type, run: Any, known: Any) -> bool:
    """Return True if a class in the sandbox has the handlers and the types of this definition, by identity.

    If the file of the process has a handler, a request or a result of its own, these are others in each sandbox.
    """
    theirs, ours = known.run_fn.__annotations__, run.__annotations__
    if theirs.keys() != ours.keys() or any(ours[name] is not theirs[name] for name in ours):
        return False
    return all(getattr(cls, function.__name__, None) is function for function in _handlers(known))


def _handlers(definition: Any) -> Iterator[Any]:
    """Yield the functions of all handlers, and of the validators of Updates."""
    for handlers in (definition.signals, definition.queries, definition.updates):
        for handler in handlers.values():
            yield handler.fn
            if (validator := getattr(handler, "validator", None)) is not None:
                yield validator
