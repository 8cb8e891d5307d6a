"""The sandbox in which Workflows run: that of the SDK, entered only to run code of a Workflow.

For each payload, the SDK asks a Workflow twice for the context in which the payload is serialized. The SDK enters the
sandbox for each question: it swaps modules and builtins, compiles a line of code, runs this code, and swaps modules and
builtins back. But the answer comes from the SDK itself, which the sandbox does not import again. Therefore this module
reads the answer from outside the sandbox.

This module uses private names of the SDK, and no other module does. `tests/workflows/test_sandbox.py` fails when the
SDK renames these names. If the SDK renames these names, Workflows run in the sandbox of the SDK as it is, which is only
slower.
"""

from contextlib import suppress
from functools import cache
from importlib import import_module
from types import CodeType
from typing import Any

from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

INSIDE = "__temporal_in_sandbox"
"""The name of the Workflow among the variables of its sandbox."""
METHODS = ("_run_code", "get_serialization_context", "get_external_store_context")
"""The methods of the SDK that are replaced here."""


def workflow_runner() -> WorkflowRunner:
    """Return the runner of Workflows, for a Worker or a Replayer.

    The runner is `ContextsFromOutside`, or the runner of the SDK if the SDK does not have all `METHODS`.
    """
    known = all(hasattr(_SDK_INSTANCE, name) for name in METHODS)
    return ContextsFromOutside() if known else SandboxedWorkflowRunner()


class ContextsFromOutside(SandboxedWorkflowRunner):
    """Runs each Workflow in a sandbox that is not entered to look up the context of a payload."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        instance: WorkflowInstance = _Instance(det, self.runner_class, self.restrictions)
        return instance


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
