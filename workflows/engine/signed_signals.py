"""Verify the Signals to one Workflow, and handle them in the order of their arrival."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio import workflow

from activities.engine.signatures import Signatures
from domain.messages import Signed
from domain.proof.envelope import SignedText
from domain.proof.keys import Fault

VERIFY_TIMEOUT = timedelta(seconds=10)


class SignedSignals:
    """Verifies the Signals to one Workflow, one after the other, in the order of their arrival."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._arrived = 0
        self._handled = 0

    @asynccontextmanager
    async def verified(self, message: Signed) -> AsyncIterator[Fault | None]:
        """Verify a Signal, and handle it in the block before the next one. The value is None if the Signal is valid."""
        self._arrived += 1
        try:
            async with self._turn:
                yield await _fault_of_signal(message)
        finally:
            self._handled += 1

    async def caught_up(self) -> None:
        """Wait until all Signals that have arrived by now are handled.

        Verifying takes some milliseconds. Meanwhile, the Workflow would let a task expire whose decision was stored
        while no worker was running, or start a step of a case that was cancelled. If no Signal is being verified, this
        method returns at once.
        """
        arrived = self._arrived
        if self._handled < arrived:
            await workflow.wait_condition(lambda: self._handled >= arrived)


async def _fault_of_signal(message: Signed) -> Fault | None:
    if not message.proof:
        return Fault.UNSIGNED
    info = workflow.info()
    try:
        signed = SignedText.of(message, info.namespace, info.workflow_id)
    except Exception:  # NotCanonical, and what nobody has thought of: it must not fail the task of the Workflow
        return Fault.WRONG_SIGNATURE
    return await workflow.execute_local_activity_method(
        Signatures.verify_signature,
        signed,
        activity_id="signature",
        start_to_close_timeout=VERIFY_TIMEOUT,
        summary="verify a signature",
    )
