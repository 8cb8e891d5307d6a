"""The steps of an onboarding and their undos: reserve an account, grant access, and send a welcome mail."""

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

__all__ = ["Access", "Granted", "Onboarding", "OwnedEntitlement", "access_of"]

Lists = Callable[[str], Awaitable[Mapping[str, Sequence[str]]]]
"""A function that returns the lists of names for onboardings in the policy with a given hash."""

ROLE, OWNERS = "role_", "owners_"
"""Prefixes of the names of lists in the policy: of the entitlements of a role, and of the owners of an entitlement."""


class Directory(Protocol):
    """The interface to the directory of accounts.

    A key has one effect only. If an undo names a key in `undoes` that was never used, the directory makes this key
    void: a later step with the key is refused. A refusal for a business reason is raised as Refused.
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
    """The interface that sends mail to people who have no account in Holdgate."""

    async def send(self, message_id: str, to: str, subject: str, text: str) -> None:
        """Send a mail and return when the mail server has accepted it.

        Mail programs can recognise several mails with the same `message_id` as one mail.

        Raises Trouble if the mail server does not accept the mail.
        """


class OwnedEntitlement(Message):
    """A sensitive entitlement, and the groups and people who decide who gets it."""

    entitlement: str
    owners: list[str]


class Access(Message):
    """The access that the policy gives for a request: an account with entitlements."""

    username: str
    email: str
    role: str
    entitlements: list[str]
    sensitive: list[OwnedEntitlement]
    """The entitlements whose owners must approve."""


class Granted(Message):
    """The output of `grant_access`: an active account with its entitlements."""

    username: str
    email: str
    entitlements: list[str]
    granted_at: datetime


def access_of(asked: OnboardingRequest, lists: Mapping[str, Sequence[str]]) -> Access:
    """Return the access that the lists of a policy give for a request.

    Raises Refused for an unknown role, a reserved name, or a policy without the needed lists.
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
        raise Refused("Enter an e-mail address: the policy names no domain with which Holdgate could make one.")
    entitlements = list(dict.fromkeys(roles[asked.role]))
    owned = [
        OwnedEntitlement(entitlement=name, owners=list(owners.get(fold(name), ())))
        for name in entitlements
        if fold(name) in sensitive
    ]
    for each in owned:
        if not each.owners:
            raise Refused(
                f"The policy does not say who owns '{each.entitlement}', so nobody can be asked. "
                "Ask an administrator to add the owners to the policy, then submit again."
            )
    return Access(
        username=asked.username,
        email=asked.email or f"{asked.username}@{domain}",
        role=asked.role,
        entitlements=entitlements,
        sensitive=owned,
    )


def _named(lists: Mapping[str, Sequence[str]], prefix: str) -> dict[str, Sequence[str]]:
    """Return the lists whose names begin with the prefix, by the rest of their names."""
    return {fold(name.removeprefix(prefix)): names for name, names in lists.items() if name.startswith(prefix)}


class Onboarding:
    """The steps of an onboarding. The steps use the lists of the policy that is pinned to the case."""

    def __init__(self, directory: Directory, mailer: Mailer, lists: Lists) -> None:
        self._directory = directory
        self._mailer = mailer
        self._lists = lists

    @activity.defn
    async def reserve_account(self, call: StepCall[OnboardingRequest]) -> Access:
        """Look up the role in the policy, and reserve the username: create an account that cannot be used yet."""
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
        """Undo `reserve_account`: disable the account, without deleting it. Return True if there was an account."""
        return await self._directory.disable(call.key, call.undone, call.case_id)

    @activity.defn
    async def grant_access(self, call: StepCall[OnboardingRequest]) -> Granted:
        """Activate the account and grant all entitlements of its role."""
        access = await self._access(call)
        at = await self._directory.grant(call.key, call.case_id, access.username, access.entitlements)
        return Granted(username=access.username, email=access.email, entitlements=access.entitlements, granted_at=at)

    @activity.defn
    async def revoke_access(self, call: StepCall[OnboardingRequest]) -> bool:
        """Undo `grant_access`: revoke the entitlements and deactivate the account.

        Return True if there was anything to undo.
        """
        return await self._directory.revoke(call.key, call.undone, call.case_id)

    @activity.defn
    async def send_welcome(self, call: StepCall[OnboardingRequest]) -> None:
        """Send the welcome mail.

        If a worker dies after the mail was sent and before Holdgate has stored that it was sent, a second mail with the
        same id is sent.
        """
        if await self._directory.welcomed(call.key):
            return
        access = await self._access(call)
        message_id = f"welcome-{hashlib.sha256(call.key.encode()).hexdigest()[:32]}"
        await self._mailer.send(
            message_id, access.email, f"Your account {access.username}", welcome(call.input, access)
        )
        await self._directory.note_welcome(call.key, call.case_id)

    async def _access(self, call: StepCall[OnboardingRequest]) -> Access:
        """Return the access that the pinned policy gives. The access is the same at each step of a case."""
        return access_of(call.input, await self._lists(call.policy_hash))


def welcome(asked: OnboardingRequest, access: Access) -> str:
    """Return the text of the mail, which contains no secret."""
    first_day = f"Your first day is {asked.start_date}.\n" if asked.start_date else ""
    return (
        f"Hello {asked.full_name},\n\n"
        f"you have an account: {access.username}, as {access.role}.\n"
        f"With it you may use: {', '.join(access.entitlements) or 'nothing yet'}.\n"
        f"{first_day}\n"
        "Nobody will send you a password by mail, or ask you for one. Your manager shows you how to sign in.\n"
    )
