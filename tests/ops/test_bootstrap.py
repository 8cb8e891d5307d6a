"""Preparing Temporal, on the real dev server."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from ops import bootstrap
from tests.support.temporal import TEMPORAL


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=TEMPORAL) as server:
        yield server.client


async def retention(client: Client) -> timedelta:
    found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    return found.config.workflow_execution_retention_ttl.ToTimedelta()


async def keep_closed_cases(client: Client, period: timedelta) -> None:
    ttl = Duration()
    ttl.FromTimedelta(period)
    await client.workflow_service.update_namespace(
        UpdateNamespaceRequest(namespace=client.namespace, config=NamespaceConfig(workflow_execution_retention_ttl=ttl))
    )


async def add(client: Client, name: str, kind: IndexedValueType.ValueType) -> None:
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=client.namespace, search_attributes={name: kind})
    )


async def test_a_new_server_gets_the_search_attributes_and_keeps_closed_cases_for_thirty_days(client: Client) -> None:
    await bootstrap.prepare(client)
    found = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    keyword, moment = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD, IndexedValueType.INDEXED_VALUE_TYPE_DATETIME
    ours = {name: kind for name, kind in found.custom_attributes.items() if name.startswith("Holdgate")}
    assert ours == {
        "HoldgateProcess": keyword,
        "HoldgateStatus": keyword,
        "HoldgateGate": keyword,
        "HoldgateDue": moment,
        "HoldgateRequester": keyword,
        "HoldgateBatch": keyword,
    }
    assert await retention(client) == timedelta(days=30)


async def test_preparing_twice_changes_nothing(client: Client) -> None:
    await bootstrap.prepare(client)
    await bootstrap.prepare(client)
    await bootstrap.verify(client)


async def test_an_attribute_of_another_type_is_found_though_adding_it_says_ok(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "READ_BACK", 0.2)
    await add(client, "HoldgateDue", IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
    with pytest.raises(bootstrap.NotPrepared, match="HoldgateDue is Keyword and must be Datetime"):
        await bootstrap.prepare(client)


async def test_verifying_a_server_of_others_changes_nothing_on_it(client: Client) -> None:
    before = await retention(client)
    with pytest.raises(bootstrap.NotPrepared, match="HoldgateProcess is missing"):
        await bootstrap.verify(client)
    found = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    assert "HoldgateProcess" not in found.custom_attributes
    assert await retention(client) == before


async def paste(commands: list[str]) -> None:
    """Type the commands into a shell, one after the other."""
    search = {**os.environ, "PATH": f"{Path(TEMPORAL).parent}:{os.environ['PATH']}"}
    for command in commands:
        typed = await asyncio.create_subprocess_shell(command, env=search, stdout=asyncio.subprocess.DEVNULL)
        assert await typed.wait() == 0, command


async def test_the_printed_commands_pasted_one_by_one_prepare_a_server(client: Client) -> None:
    await add(client, "HoldgateDue", IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
    await keep_closed_cases(client, timedelta(days=3))
    with pytest.raises(bootstrap.NotPrepared, match="closed cases are kept 3d") as found:
        await bootstrap.verify(client)
    assert all(command.startswith("temporal operator ") for command in found.value.commands)
    await paste(found.value.commands)
    await bootstrap.verify(client)


async def test_a_namespace_that_does_not_exist_is_created_by_the_printed_commands(client: Client) -> None:
    elsewhere = await Client.connect(client.service_client.config.target_host, namespace="finance")
    with pytest.raises(bootstrap.NotPrepared, match="namespace finance does not exist") as found:
        await bootstrap.verify(elsewhere)
    await paste(found.value.commands)
    await bootstrap.verify(elsewhere)


async def test_a_server_that_keeps_cases_longer_than_needed_is_left_alone(client: Client) -> None:
    await bootstrap.prepare(client)
    await keep_closed_cases(client, timedelta(days=90))
    await bootstrap.verify(client)
