"""The steps of an onboarding: an account held, used and given back, and a welcome by mail."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from temporalio import activity

from activities.user_onboarding.request import OnboardingRequest
from domain.base import Message
from domain.errors import Refused
from domain.normalization import fold
from domain.step import StepCall

__all__ = ["Access", "Granted", "Onboarding", "OnboardingRequest", "OwnedEntitlement", "access_of"]

Lists = Callable[[str], Awaitable[Mapping[str, Sequence[str]]]]
"""The lists of names which the policy with this hash has for onboardings."""

ROLE, OWNERS = "role_", "owners_"
"""How the lists are called that say what a role may use, and who owns an entitlement."""


class Directory(Protocol):
    """What these steps need of the directory of accounts.

    A key has one effect for ever. An undo whose `undoes` was never used voids that key, so that a do which arrives
    later is refused. A business no is raised as Refused.
    """

    async def reserve(
        self, key: str, case_id: str, *, username: str, full_name: str, email: str, role: str, manager: str | None
    ) -> None: ...

    async def disable(self, key: str, undoes: str, case_id: str) -> bool: ...

    async def grant(self, key: str, case_id: str, username: str, entitlements: Sequence[str]) -> datetime: ...

    async def revoke(self, key: str, undoes: str, case_id: str) -> bool: ...

    async def welcomed(self, key: str) -> bool: ...

    async def note_welcome(self, key: str, case_id: str) -> None: ...


class Mailer(Protocol):
    """What writes to somebody outside."""

    async def send(self, message_id: str, to: str, subject: str, text: str) -> None:
        """Return once it is on its way. The same `message_id` at each attempt lets a copy be told from a second mail.

        Raises Trouble.
        """


class OwnedEntitlement(Message):
    """A sensitive entitlement, and the groups and people who say who gets it."""

    entitlement: str
    owners: list[str]


class Access(Message):
    """What the policy makes of a request: an account, and what it will be good for."""

    username: str
    email: str
    role: str
    entitlements: list[str]
    sensitive: list[OwnedEntitlement]
    """Those of the entitlements whose owners must agree."""


class Granted(Message):
    """An account in use."""

    username: str
    email: str
    entitlements: list[str]
    granted_at: datetime


def access_of(asked: OnboardingRequest, lists: Mapping[str, Sequence[str]]) -> Access:
    """What the lists of a policy make of a request.

    Raises Refused for a role that is unknown, a name that is reserved, and a policy that leaves open what it must say.
    """
    roles, owners = _named(lists, ROLE), _named(lists, OWNERS)
    reserved, sensitive = ({fold(name) for name in lists.get(key, ())} for key in ("reserved_names", "sensitive"))
    if asked.role not in roles:
        known = ", ".join(sorted(roles)) or "none"
        raise Refused(f"There is no role '{asked.role}'. Known roles are: {known}.")
    if asked.username in reserved:
        raise Refused(f"The username '{asked.username}' is reserved. Choose another.")
    domain = next(iter(lists.get("domain", ())), None)
    if asked.email is None and domain is None:
        raise Refused("Give an e-mail address: the policy names no domain to make one of.")
    entitlements = list(dict.fromkeys(roles[asked.role]))
    owned = [
        OwnedEntitlement(entitlement=name, owners=list(owners.get(fold(name), ())))
        for name in entitlements
        if fold(name) in sensitive
    ]
    for each in owned:
        if not each.owners:
            raise Refused(f"The policy does not say who owns '{each.entitlement}', so nobody can be asked.")
    return Access(
        username=asked.username,
        email=asked.email or f"{asked.username}@{domain}",
        role=asked.role,
        entitlements=entitlements,
        sensitive=owned,
    )


def _named(lists: Mapping[str, Sequence[str]], prefix: str) -> dict[str, Sequence[str]]:
    """The lists whose names begin with the prefix, by the rest of their names."""
    return {fold(name.removeprefix(prefix)): names for name, names in lists.items() if name.startswith(prefix)}


class Onboarding:
    """Accounts in the directory, by the lists of the policy that is pinned to the case."""

    def __init__(self, directory: Directory, mailer: Mailer, lists: Lists) -> None:
        self._directory = directory
        self._mailer = mailer
        self._lists = lists

    @activity.defn
    async def reserve_account(self, call: StepCall[OnboardingRequest]) -> Access:
        """Look up the role, and hold the username with an account that cannot be used yet."""
        asked, access = call.input, await self._access(call)
        await self._directory.reserve(
            call.key,
            call.case_id,
            username=access.username,
            full_name=asked.full_name,
            email=access.email,
            role=access.role,
            manager=asked.manager,
        )
        return access

    @activity.defn
    async def disable_account(self, call: StepCall[OnboardingRequest]) -> bool:
        """Undo `reserve_account`: the account stays to be seen, disabled. Answers whether there was anything."""
        return await self._directory.disable(call.key, call.undone, call.case_id)

    @activity.defn
    async def grant_access(self, call: StepCall[OnboardingRequest]) -> Granted:
        """Let the account be used, with all that its role may use."""
        access = await self._access(call)
        at = await self._directory.grant(call.key, call.case_id, access.username, access.entitlements)
        return Granted(username=access.username, email=access.email, entitlements=access.entitlements, granted_at=at)

    @activity.defn
    async def revoke_access(self, call: StepCall[OnboardingRequest]) -> bool:
        """Undo `grant_access`: revoke the entitlements. Answers whether there was anything."""
        return await self._directory.revoke(call.key, call.undone, call.case_id)

    @activity.defn
    async def send_welcome(self, call: StepCall[OnboardingRequest]) -> None:
        """Tell whoever is new, once. Of a worker that dies between mail and mark a copy with the same id may come."""
        if await self._directory.welcomed(call.key):
            return
        access = await self._access(call)
        message_id = f"welcome-{hashlib.sha256(call.key.encode()).hexdigest()[:32]}"
        await self._mailer.send(
            message_id, access.email, f"Your account {access.username}", welcome(call.input, access)
        )
        await self._directory.note_welcome(call.key, call.case_id)

    async def _access(self, call: StepCall[OnboardingRequest]) -> Access:
        """The same at each step: the policy is pinned."""
        return access_of(call.input, await self._lists(call.policy_hash))


def welcome(asked: OnboardingRequest, access: Access) -> str:
    """The text of the mail. There is no secret in it."""
    first_day = f"Your first day is {asked.start_date}.\n" if asked.start_date else ""
    return (
        f"Hello {asked.full_name},\n\n"
        f"you have an account: {access.username}, as {access.role}.\n"
        f"With it you may use: {', '.join(access.entitlements) or 'nothing yet'}.\n"
        f"{first_day}\n"
        "Nobody will send you a password by mail, or ask you for one. Your manager shows you how to sign in.\n"
    )
