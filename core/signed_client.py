"""Sign each message that a Temporal client sends to a Workflow, so that no sender can forget to do so."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    SignalWorkflowInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)

from domain.batch import BatchInput
from domain.messages import Signed
from domain.proof.envelope import signed_text
from domain.proof.keys import SigningKey


def signed(message: Signed, key: SigningKey, namespace: str, workflow_id: str) -> Signed:
    """Return a message to this Workflow with its signature. Raises NotCanonical."""
    return message.model_copy(update={"proof": key.sign(signed_text(message, namespace, workflow_id))})


class Signing(Interceptor):
    """The interceptor of a client that signs messages with a key. A message that has a signature keeps it."""

    def __init__(self, key: SigningKey, namespace: str) -> None:
        self._key = key
        self._namespace = namespace

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        """Return the calls of the client, with signatures. The SDK calls this method."""
        return _SignedCalls(next, self._key, self._namespace)


class _SignedCalls(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, key: SigningKey, namespace: str) -> None:
        super().__init__(next)
        self._key = key
        self._namespace = namespace

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        args = [
            each.model_copy(update={"orders": self._signed(each.orders, input.id)})
            if isinstance(each, BatchInput)
            else each
            for each in input.args
        ]
        return await super().start_workflow(replace(input, args=args))

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:
        await super().signal_workflow(replace(input, args=self._signed(input.args, input.id)))

    async def start_workflow_update(self, input: StartWorkflowUpdateInput) -> WorkflowUpdateHandle[Any]:
        return await super().start_workflow_update(replace(input, args=self._signed(input.args, input.id)))

    def _signed(self, sent: Sequence[Any], workflow_id: str) -> list[Any]:
        return [
            signed(each, self._key, self._namespace, workflow_id)
            if isinstance(each, Signed) and each.proof is None
            else each
            for each in sent
        ]


def signing(client: Client, key: SigningKey) -> Client:
    """Return a client of the same connection that signs its messages."""
    config = client.config()
    config["interceptors"] = [*config["interceptors"], Signing(key, client.namespace)]
    return Client(**config)
