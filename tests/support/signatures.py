"""Signatures for tests that send messages in a form of their own, and a client that signs nothing."""

from typing import Any

from temporalio.client import Client

from core.signed_client import signed
from domain.messages import Signed
from plugins.testing.signatures import TEST_KEY


def signed_json(workflow_id: str, model: type[Signed], sent: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON of a message with a valid signature. The JSON stays as it is, also if the model changes it."""
    return sent | {"proof": signed(model.model_validate(sent), TEST_KEY, "default", workflow_id).proof}


def unsigned(client: Client) -> Client:
    """Return a client of the same connection without interceptors: what anybody with access to the namespace has."""
    return Client(**(client.config() | {"interceptors": []}))
