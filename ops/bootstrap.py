"""Prepare a Temporal namespace: the search attributes, and how long closed cases are kept.

On the server of `make up`, Holdgate sets up everything itself. Holdgate never changes another server: an error lists
what is missing or wrong, with the commands that correct this.
"""

import asyncio
from datetime import timedelta
from shlex import quote

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain.names import SEARCH_ATTRIBUTES

RETENTION = timedelta(days=30)
"""How long Temporal must keep the history of a closed case at least. The audit log keeps events for ever."""

READ_BACK = 10.0
"""The maximum seconds until a server shows a search attribute that was added."""

EXPECTED = {key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in SEARCH_ATTRIBUTES}
_TYPE_NAMES = {
    IndexedValueType.INDEXED_VALUE_TYPE_TEXT: "Text",
    IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD: "Keyword",
    IndexedValueType.INDEXED_VALUE_TYPE_INT: "Int",
    IndexedValueType.INDEXED_VALUE_TYPE_DOUBLE: "Double",
    IndexedValueType.INDEXED_VALUE_TYPE_BOOL: "Bool",
    IndexedValueType.INDEXED_VALUE_TYPE_DATETIME: "Datetime",
    IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST: "KeywordList",
}


class NotPrepared(Exception):
    """Raised if the namespace is not ready for Holdgate.

    `commands` are commands of `temporal operator`, which correct all problems if they run in this order.
    """

    safe_to_log = True

    def __init__(self, problems: list[str], commands: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.commands = commands


async def prepare(client: Client) -> None:
    """Add the missing search attributes, set how long closed cases are kept, then read both again.

    For an attribute that has another type, Temporal reports success and changes nothing.

    Raises NotPrepared if the server does not show all attributes within `READ_BACK` seconds.
    """
    have = await _attributes(client)
    missing = {name: kind for name, kind in EXPECTED.items() if name not in have}
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )
    if await _retention(client) != RETENTION:
        retention = Duration()
        retention.FromTimedelta(RETENTION)
        await client.workflow_service.update_namespace(
            UpdateNamespaceRequest(
                namespace=client.namespace, config=NamespaceConfig(workflow_execution_retention_ttl=retention)
            )
        )
    deadline = asyncio.get_running_loop().time() + READ_BACK
    while True:
        try:
            return await verify(client)
        except NotPrepared:
            if asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(0.05)


async def verify(client: Client) -> None:
    """Check the namespace, and change nothing. Raises NotPrepared with the commands that correct the namespace."""
    command = f"temporal operator {{}} --address {quote(client.service_client.config.target_host)}"
    command += f" --namespace {quote(client.namespace)}"
    try:
        retention = await _retention(client)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        # The server caches for a moment that the namespace is missing.
        create = command.format("namespace create") + f" --retention {_days(RETENTION)} && sleep 5"
        raise NotPrepared(
            [f"the namespace {client.namespace} does not exist"],
            [create, *(_create(command, name, kind) for name, kind in EXPECTED.items())],
        ) from None
    have = await _attributes(client)
    problems: list[str] = []
    commands: list[str] = []
    for name, kind in EXPECTED.items():
        if name not in have:
            problems.append(f"the search attribute {name} is missing")
        elif have[name] != kind:
            problems.append(f"the search attribute {name} is {_type(have[name])} and must be {_type(kind)}")
            commands.append(command.format("search-attribute remove") + f" --name {name} --yes")
        else:
            continue
        commands.append(_create(command, name, kind))
    if retention < RETENTION:
        problems.append(f"closed cases are kept {_days(retention)}, at least {_days(RETENTION)} are needed")
        commands.append(command.format("namespace update") + f" --retention {_days(RETENTION)}")
    if problems:
        raise NotPrepared(problems, commands)


async def _attributes(client: Client) -> dict[str, IndexedValueType.ValueType]:
    answer = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return dict(answer.custom_attributes)


async def _retention(client: Client) -> timedelta:
    answer = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    return answer.config.workflow_execution_retention_ttl.ToTimedelta()


def _create(command: str, name: str, kind: IndexedValueType.ValueType) -> str:
    return command.format("search-attribute create") + f" --name {name} --type {_type(kind)}"


def _type(kind: IndexedValueType.ValueType) -> str:
    return _TYPE_NAMES.get(kind, str(kind))


def _days(period: timedelta) -> str:
    return f"{period.days}d" if period == timedelta(days=period.days) else f"{period.total_seconds() / 3600:g}h"
