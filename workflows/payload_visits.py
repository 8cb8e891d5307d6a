"""Visit the payloads of Workflow tasks no more often than necessary.

The SDK visits all payloads of a Workflow task three times before the Workflow runs and three times after it: for the
codec, for external storage, and for the codec again. Without a codec and without external storage these visits do
nothing, but take a tenth of the processor time of a worker: they are left out. With a codec and without external
storage one visit is enough. This visit asks a Workflow for the context of a payload only if the payload may belong to
another Workflow; for all others, the codec of the Workflow is the right one.

With one visit, no payload is taken for a reference to external storage. In the visits of the SDK, a Signal that looks
like such a reference makes its Workflow task fail for ever.

This module uses private names of the SDK. `tests/workflows/test_payload_visits.py` fails when the SDK renames them. All
payloads are then visited, which is only slower.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import CommandType
from temporalio.converter import DataConverter, PayloadCodec

from core.payload_codec import PayloadCodec as CaseCodec
from core.payload_failures import replace_forged

VISITS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"decode_activation": ("decode", "decode_headers"), "encode_completion": ("encode", "encode_headers")}
)
"""The functions of the SDK that visit the payloads of a Workflow task. Their second argument is a data converter.

For each: the method of the codec that it needs, and its argument that says whether headers are visited.
"""
LEFT_OUT = "__holdgate_left_out__"
"""The attribute that marks a function which `leave_out_needless` has already replaced."""
CURRENT = "_get_current_dc"
"""The method of a data converter of the SDK that returns the converter for the payload which is visited now."""
OF_OTHERS = (
    CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION,
    CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION,
    CommandType.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION,
    CommandType.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION,
)
"""The commands whose payloads are written for another Workflow, or read from another one."""


class Sdk(NamedTuple):
    """The private names of the SDK that this module uses."""

    worker: Any
    """The module with the functions of `VISITS`."""
    metrics: Callable[[], Any]
    """Makes the answer of a visit that has moved no payload to or from external storage."""
    visitor: Callable[..., Any]
    """Finds all payloads of a task."""
    functions: Callable[..., Any]
    """Makes what the visitor calls for each payload that it finds."""
    command: Any
    """The context variable with the command to which the visited payload belongs."""


def sdk() -> Sdk | None:
    """Return the private names of the SDK; None if the SDK has other names."""
    with suppress(ImportError, AttributeError):
        worker = import_module("temporalio.bridge.worker")
        visits = import_module("temporalio.worker._command_aware_visitor")
        metrics = import_module("temporalio.converter._extstore").StorageOperationMetrics
        found = Sdk(worker, metrics, visits.CommandAwarePayloadVisitor, worker._Visitor, visits.current_command_info)
        aware = import_module("temporalio.worker._workflow")._CommandAwareDataConverter
        if hasattr(aware, CURRENT) and all(hasattr(worker, name) for name in VISITS):
            return found
    return None


def leave_out_needless() -> bool:
    """Leave out needless visits, in all Workers of this process. Return False if the SDK has other names."""
    if (names := sdk()) is None:
        return False
    for name, (method, headers) in VISITS.items():
        if not hasattr(visit := getattr(names.worker, name), LEFT_OUT):
            setattr(names.worker, name, _needed(visit, names, method, headers))
    return True


def without_effect(converter: Any) -> bool:
    """Return True if a data converter has neither a codec nor external storage."""
    unknown = object()
    return all(getattr(converter, name, unknown) is None for name in ("payload_codec", "external_storage"))


def only_codec(converter: Any) -> bool:
    """Return True if a data converter has a codec and no external storage."""
    is_known = isinstance(converter, DataConverter) and hasattr(converter, "external_storage")
    return is_known and converter.payload_codec is not None and converter.external_storage is None


def _needed(visit: Callable[..., Awaitable[Any]], names: Sdk, method: str, headers: str) -> Callable[..., Any]:
    """Return `visit`, but with no more visits than the data converter needs."""

    @wraps(visit)
    async def visited(task: Any, converter: Any, *rest: Any, **options: Any) -> Any:
        if without_effect(converter):
            return names.metrics()
        if not only_codec(converter) or headers not in options:
            return await visit(task, converter, *rest, **options)

        async def coded(payloads: Sequence[Payload]) -> list[Payload]:
            codec = _codec_of(converter, names.command.get())
            found: list[Payload] = await getattr(codec, method)(payloads)
            return found

        once = names.visitor(skip_search_attributes=True, skip_headers=not options[headers])
        await once.visit(names.functions(coded), task)
        if method == "decode" and isinstance(converter.payload_codec, CaseCodec):
            await replace_forged(task, converter.payload_codec)
        return names.metrics()

    setattr(visited, LEFT_OUT, True)
    return visited


def _codec_of(converter: Any, command: Any) -> PayloadCodec:
    """Return the codec for a payload of this command. Without a command, it is a payload of the Workflow itself."""
    of_workflow: PayloadCodec = converter.payload_codec
    if command is None or command.command_type not in OF_OTHERS or not hasattr(converter, CURRENT):
        return of_workflow
    of_other: PayloadCodec = getattr(converter, CURRENT)().payload_codec
    return of_other
