"""Verify signatures of messages with the registry of public keys.

The validator of an Update verifies its message in the process of the worker, because validators do not run in a replay.
A Signal is verified by a local activity: the history then has the result, so a replay does not depend on the registry.
"""

from collections.abc import Callable
from datetime import datetime

from temporalio import activity

from domain.messages import Signed
from domain.proof.envelope import NotCanonical, SignedText
from domain.proof.keys import FRESH, SKEW, Fault, KeyRegistry


class Signatures:
    """Says whether messages have a valid signature. `keys` returns the registry as it is now."""

    def __init__(self, keys: Callable[[], KeyRegistry], clock: Callable[[], datetime]) -> None:
        self._keys = keys
        self._clock = clock

    def fault(self, signed: SignedText) -> Fault | None:
        """Return why a signature is not valid; None if it is valid."""
        return self._keys().fault(signed.kind, signed.text.encode(), signed.proof, signed.at)

    def fault_of_update(
        self, message: Signed, namespace: str, workflow_id: str, *, repeated: bool = False
    ) -> Fault | None:
        """Return why the signature of an Update is not valid; None if it is valid.

        The signature must be new, unless the Update may be `repeated` by Temporal.
        """
        try:
            fault = self.fault(SignedText.of(message, namespace, workflow_id))
        except NotCanonical:
            return Fault.WRONG_SIGNATURE
        if fault is None and not repeated and not -SKEW <= self._clock() - message.at <= FRESH:
            return Fault.STALE
        return fault

    @activity.defn
    async def verify_signature(self, signed: SignedText) -> Fault | None:
        """Return why the signature of a Signal is not valid; None if it is valid."""
        return self.fault(signed)
