"""Believe a message only if it has a valid signature: everybody with write access to the namespace can send messages.

`activities/engine/signatures.py` says why Updates and Signals are verified in different ways. `signed_signals.py`
verifies Signals.
"""

from temporalio import workflow

from activities.engine.signatures import Signatures
from domain.messages import Signed
from domain.proof.keys import Fault
from domain.refusals import Refusal, RefusalCode

_signatures: list[Signatures] = []
"""What verifies the Updates of all Workflows in this process. While the list is empty, each Update is refused."""


def verify_updates_with(signatures: Signatures) -> None:
    """Set what verifies the Updates of all Workflows in this process."""
    _signatures[:] = [signatures]


def check_update(message: Signed) -> None:
    """Raise the Refusal of an Update without a valid signature. Call this only in a validator."""
    info = workflow.info()
    # After a reset, Temporal sends the Updates again that the earlier run has accepted.
    reset = info.run_id != info.first_execution_run_id
    fault: Fault | None = Fault.UNKNOWN_KEY
    for signatures in _signatures:
        fault = signatures.fault_of_update(message, info.namespace, info.workflow_id, repeated=reset)
    if fault is not None:
        raise unsigned(fault)


def unsigned(fault: Fault) -> Refusal:
    """Return the refusal of a message without a valid signature."""
    return Refusal(
        RefusalCode.UNSIGNED, f"No gateway of this installation signed this message: {fault.meaning}.", fault=fault
    )
