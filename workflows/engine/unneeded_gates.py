"""Gates at which nobody must decide, known since an earlier gate of the case.

The activity that opens a gate also returns the rulings on the other gates of the process at which nobody must decide.
As long as input and facts stay the same, the case passes these gates without another activity.
"""

from typing import Any

from domain.records import GateOpening, GateRequest
from domain.ruling import GateRuling


class UnneededGates:
    """The rulings that are known for one input and its facts."""

    def __init__(self) -> None:
        self._values: tuple[Any, ...] | None = None
        self._rulings: dict[str, GateRuling] = {}

    def knows(self, request: GateRequest) -> bool:
        """Return True if an earlier gate had the same values as this one, so that there is no need to look ahead."""
        return self._values == _values(request)

    def ruling(self, request: GateRequest) -> GateRuling | None:
        """Return the ruling on a gate if nobody must decide there and this is known; otherwise None."""
        return self._rulings.get(request.task.gate) if self.knows(request) else None

    def learn(self, request: GateRequest, opening: GateOpening) -> None:
        """Keep what the answer to a request says about the other gates."""
        if request.look_ahead:
            self._values, self._rulings = _values(request), opening.unneeded


def _values(request: GateRequest) -> tuple[Any, ...]:
    """Return all that a ruling without people depends on."""
    return request.policy_hash, request.task.process, request.input, request.task.facts, request.case
