"""The data converter of all Temporal clients: Pydantic models as JSON, by one set of converters in the process.

The SDK makes a payload converter for each Workflow, and two for each activity. With the converter of
`temporalio.contrib.pydantic`, each payload converter builds its own serializer and begins with an empty cache of type
adapters.
"""

from dataclasses import replace

from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import CompositePayloadConverter, DataConverter

from core.payload_codec import DataKeys, PayloadCodec
from core.payload_failures import SafeEncodedFailures, SafeFailures

CACHED_TYPES = 256
"""The maximum number of types that have a type adapter in memory: several times as many as the shipped processes use.

The sandbox defines the classes of a process file again for each case. Without a limit, the classes of all earlier cases
would stay in memory with their adapters.
"""

_CONVERTERS = tuple(PydanticPayloadConverter(max_cached_type_adapters=CACHED_TYPES).converters.values())


class SharedPayloadConverter(CompositePayloadConverter):
    """A payload converter that is cheap to make: all payload converters share the same converters and type adapters."""

    def __init__(self) -> None:
        super().__init__(*_CONVERTERS)


data_converter = replace(
    pydantic_data_converter,
    payload_converter_class=SharedPayloadConverter,
    failure_converter_class=SafeFailures,
)
"""The `data_converter` of a Temporal client that does not encrypt."""


def converter(keys: DataKeys | None) -> DataConverter:
    """Return the `data_converter` of a Temporal client that encrypts payloads, and failures, with these keys.

    `keys` is None if encryption is off.
    """
    if keys is None:
        return data_converter
    return replace(data_converter, payload_codec=PayloadCodec(keys), failure_converter_class=SafeEncodedFailures)
