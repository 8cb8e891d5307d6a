"""Compute the retry options of steps: combine the option sets of a policy with the options of single steps."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from domain.names import ENGINE_GATES
from domain.step import StepNames, StepOptions
from policy.clock import duration
from policy.expressions import ExpressionError
from policy.line_numbers import Key
from policy.model import Policy, ProcessPolicy, Retries, Step


def options_of(policy: Policy, process: str, steps: StepNames) -> dict[str, StepOptions]:
    """Return the retry options by name of step or undo, for each step and undo for which the policy has options."""
    if not policy.has(process):
        return {}
    named = ((_meant(steps, name), step) for name, step in policy.processes[process].steps.items())
    return {name: _options(step, policy.retries) for name, step in named if name}


def gates_of_engine(policy: Policy, process: str) -> list[str]:
    """Return the gates of ENGINE_GATES for which the policy has rules."""
    return [name for name in ENGINE_GATES if policy.has(process) and name in policy.processes[process].gates]


def mistakes_of_retries(retries: Retries) -> Iterator[tuple[Key, str]]:
    """Yield a mistake for each key whose value must be a duration and is not."""
    for key in _DURATIONS:
        text = getattr(retries, key, None)
        if text is not None:
            try:
                if duration(text) is None:
                    yield (key,), "must be a duration such as 30s, 15m, 8h, 3d"
            except ExpressionError as wrong:
                yield (key,), str(wrong)


def mistakes_of_steps(
    section: ProcessPolicy, known: StepNames | None, retries: Mapping[str, Any]
) -> Iterator[tuple[Key, str]]:
    """Yield a mistake for each step in the policy that the process does not have, or that the policy names twice.

    Also yield a mistake for each option that contradicts another option.
    """
    seen: dict[str, str] = {}
    for name, step in section.steps.items():
        for key, message in mistakes_of_retries(step):
            yield ("steps", name, *key), message
        if step.retries is not None and step.retries not in retries:
            sets = ", ".join(retries) or "none: define a table such as [retries.patient]"
            yield ("steps", name, "retries"), f"unknown option set '{step.retries}'; known are {sets}"
        if step.resubmit_after is not None and step.then != "resubmit":
            yield ("steps", name, "resubmit_after"), "is only used with then = 'resubmit': set this, or remove the key"
        if known is None:
            continue
        meant = _meant(known, name)
        if meant is None:
            yield (
                ("steps", name),
                f"the process has no step of this name; its steps and undos are {', '.join(known.steps + known.undos)}",
            )
            continue
        if meant in seen:
            yield ("steps", name), f"is the same step as '{seen[meant]}'"
        seen[meant] = name
        if meant in known.undos and step.then != "intervene":
            yield ("steps", name, "then"), "must be 'intervene': operators must decide about an undo that has failed"


def _meant(known: StepNames, name: str) -> str | None:
    """Return the activity that a name in the policy means: the one with this name, or the only one that begins with it.

    Return None if no activity fits, or several.
    """
    every = known.steps + known.undos
    if name in every:
        return name
    found = [each for each in every if each.split("_")[0] == name]
    return found[0] if len(found) == 1 else None


_DURATIONS = {
    "first": "first_pause",
    "longest": "longest_pause",
    "retry_for": "retry_for",
    "time_limit": "time_limit",
    "resubmit_after": "resubmit_after",
}
"""For each key of the policy that holds a duration: the name of the field of StepOptions."""


def _options(step: Step, sets: Mapping[str, Retries]) -> StepOptions:
    """Return the retry options of a step.

    Options that the policy sets for the step override those of its option set.
    """
    said: dict[str, Any] = {}
    for source in (sets.get(step.retries or ""), step):
        if source is not None:
            said |= source.model_dump(exclude_unset=True, exclude={"retries"})
    if "retry_for" in said and "attempts" not in said:
        said["attempts"] = 0  # As many attempts as fit into that time.
    spans: dict[str, timedelta | None] = {
        option: duration(said.pop(key)) for key, option in _DURATIONS.items() if key in said
    }
    if "factor" in said:
        said["factor"] = float(said["factor"])
    return StepOptions(**said, **{option: span for option, span in spans.items() if span})
