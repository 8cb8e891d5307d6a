"""Leave out the visits of payloads that change nothing.

The SDK visits all payloads of a Workflow task three times before the Workflow runs and three times after it: for the
codec, for external storage, and for the codec again. Without a codec and without external storage these visits do
nothing, but take a tenth of the processor time of a worker.

This module uses private names of the SDK. `tests/workflows/test_payload_visits.py` fails when the SDK renames them. All
payloads are then visited, which is only slower.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import wraps
from importlib import import_module
from typing import Any

VISITS = ("decode_activation", "encode_completion")
"""The functions of the SDK that visit the payloads of a Workflow task. Their second argument is a data converter."""
LEFT_OUT = "__holdgate_left_out__"
"""The attribute that marks a function which `leave_out_needless` has already replaced."""


def leave_out_needless() -> bool:
    """Leave out visits that change nothing, in all Workers of this process. Return False if the SDK has other names."""
    with suppress(ImportError, AttributeError):
        visitors = import_module("temporalio.bridge.worker")
        metrics = import_module("temporalio.converter._extstore").StorageOperationMetrics
        visits = [getattr(visitors, name) for name in VISITS]
        for visit in visits:
            if not hasattr(visit, LEFT_OUT):
                setattr(visitors, visit.__name__, _only_with_effect(visit, metrics))
        return True
    return False


def without_effect(converter: Any) -> bool:
    """Return True if a data converter has neither a codec nor external storage."""
    unknown = object()
    return all(getattr(converter, name, unknown) is None for name in ("payload_codec", "external_storage"))


def _only_with_effect(
    visit: Callable[..., Awaitable[Any]], metrics: Callable[[], Any]
) -> Callable[..., Awaitable[Any]]:
    """Return `visit`, but without any work if the data converter has neither a codec nor external storage.

    `metrics` makes the answer of a visit that has moved no payload to or from external storage.
    """

    @wraps(visit)
    async def visited(task: Any, converter: Any, *rest: Any, **options: Any) -> Any:
        if without_effect(converter):
            return metrics()
        return await visit(task, converter, *rest, **options)

    setattr(visited, LEFT_OUT, True)
    return visited
