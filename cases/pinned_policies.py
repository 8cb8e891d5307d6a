"""Read the policies to which cases are pinned from SQL, by the hash of their text.

The text of a hash never changes, so each policy is parsed once.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from pydantic import BaseModel

from domain.names import OPERATORS
from domain.step import StepNames, StepOptions
from policy.model import Policy, PolicyError
from policy.parse import parse
from policy.retry_options import gates_of_engine, options_of
from store.cases import policies
from store.db.database import Database
from workflows.registry import STEPS

log = logging.getLogger(__name__)


class Terms(NamedTuple):
    """The values of a policy that a Workflow needs at its start: step options, gates of the engine, and the groups
    that operate the process.
    """

    steps: Mapping[str, StepOptions]
    own_gates: list[str]
    operators: list[str]


class PinnedPolicies:
    """Reads policies from SQL by their hash, and keeps the parsed policies in memory."""

    def __init__(
        self, database: Database, inputs: Mapping[str, type[BaseModel]], steps: Mapping[str, StepNames] = STEPS
    ) -> None:
        self._database, self._inputs, self._steps = database, inputs, steps
        self._parsed: dict[str, Policy] = {}

    async def get(self, policy_hash: str) -> Policy:
        """Return the policy with this hash.

        Raises LookupError for an unknown hash, PolicyError if this code cannot read the text.
        """
        if policy_hash not in self._parsed:
            async with self._database.read() as connection:
                text = await policies.text(connection, policy_hash)
            if text is None:
                raise LookupError(f"no policy with the hash {policy_hash} is stored")
            self._parsed[policy_hash] = parse(
                text, source=f"policy {policy_hash[:12]}", inputs=self._inputs, pinned=True
            )
        return self._parsed[policy_hash]

    async def terms(self, policy_hash: str, process: str) -> Terms:
        """Return the step options, engine gates and operators of a process in the policy with this hash.

        If the policy cannot be read, return the defaults, so that the case still starts.
        """
        try:
            policy = await self.get(policy_hash)
        except (LookupError, PolicyError) as wrong:
            log.warning("a case of %s starts without the step options of its policy: %s", process, wrong)
            return Terms({}, [], [OPERATORS])
        steps = options_of(policy, process, self._steps[process]) if process in self._steps else {}
        return Terms(steps, gates_of_engine(policy, process), policy.operators(process))

    async def operators(self, policy_hash: str, process: str) -> list[str]:
        """Return the groups that operate a process by the policy with this hash; by default if it cannot be read."""
        try:
            return (await self.get(policy_hash)).operators(process)
        except (LookupError, PolicyError):
            return [OPERATORS]

    def lists(self, process: str) -> Callable[[str], Awaitable[Mapping[str, list[str]]]]:
        """Return a function from the hash of a policy to the lists of names in its section for the process.

        The function raises the same errors as `get`.
        """

        async def of_policy(policy_hash: str) -> Mapping[str, list[str]]:
            return (await self.get(policy_hash)).lists(process)

        return of_policy
