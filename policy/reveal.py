"""The key `reveal` of a process: which groups may see the whole value of a masked field, on request."""

from collections.abc import Collection, Iterator, Mapping

from policy.line_numbers import Key
from policy.model import ProcessPolicy


def mistakes_of_reveal(section: ProcessPolicy, masked: Collection[str] | None) -> Iterator[tuple[Key, str]]:
    """Yield a mistake for each field that the process does not mask. `masked` is None if the fields are not checked."""
    if masked is None:
        return
    known = f"its masked fields are {', '.join(sorted(masked))}" if masked else "it masks no field"
    for field in sorted(set(section.reveal) - set(masked)):
        yield ("reveal", field), f"is not a masked field of the process: {known}"


def doubts_of_reveal(
    section: ProcessPolicy, members: Mapping[str, Collection[str]] | None
) -> Iterator[tuple[Key, str]]:
    """Yield a warning for each group that has no members. `members` are the known people of each group."""
    for field, groups in section.reveal.items() if members is not None else ():
        for group in groups:
            if not (members or {}).get(group):
                yield ("reveal", field), f"the group {group} has no members"


def reveals_in_words(section: ProcessPolicy) -> Iterator[tuple[Key, str]]:
    """Yield a sentence for each field about who may reveal it, for `policy check`."""
    for field, groups in section.reveal.items():
        yield ("reveal", field), f"{', '.join(groups)} can reveal {field}, with a reason, in the audit log"
