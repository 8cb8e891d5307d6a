"""Policies by the hash that cases are pinned to, from SQL. None ever changes under its hash: each is parsed once."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from pydantic import BaseModel

from domain.step import StepNames, StepOptions
from policy.model import Policy, PolicyError
from policy.parse import parse
from policy.steps import gates_of_engine, options_of
from store.cases import policies
from store.db.database import Database
from workflows.registry import STEPS

log = logging.getLogger(__name__)


class Terms(NamedTuple):
    """What a Workflow must know of its policy before it can ask for anything."""

    steps: Mapping[str, StepOptions]
    own_gates: list[str]


class PinnedPolicies:
    """Reads and keeps policies."""

    def __init__(
        self, database: Database, inputs: Mapping[str, type[BaseModel]], steps: Mapping[str, StepNames] = STEPS
    ) -> None:
        self._database, self._inputs, self._steps = database, inputs, steps
        self._parsed: dict[str, Policy] = {}

    async def get(self, policy_hash: str) -> Policy:
        """The policy; raises LookupError when it was never stored, PolicyError when this code cannot read it."""
        if policy_hash not in self._parsed:
            async with self._database.read() as connection:
                text = await policies.text(connection, policy_hash)
            if text is None:
                raise LookupError(f"no policy is stored under {policy_hash}")
            self._parsed[policy_hash] = parse(
                text, source=f"policy {policy_hash[:12]}", inputs=self._inputs, pinned=True
            )
        return self._parsed[policy_hash]

    async def terms(self, policy_hash: str, process: str) -> Terms:
        """The terms of a process; the defaults where the policy cannot be read, for that is no reason not to start."""
        try:
            policy = await self.get(policy_hash)
        except (LookupError, PolicyError) as wrong:
            log.warning("a case of %s starts without the step options of its policy: %s", process, wrong)
            return Terms({}, [])
        steps = options_of(policy, process, self._steps[process]) if process in self._steps else {}
        return Terms(steps, gates_of_engine(policy, process))

    def lists(self, process: str) -> Callable[[str], Awaitable[Mapping[str, list[str]]]]:
        """What gives the lists of names of a process, by the hash of a policy. It raises as `get` does."""

        async def of_policy(policy_hash: str) -> Mapping[str, list[str]]:
            return (await self.get(policy_hash)).lists(process)

        return of_policy
