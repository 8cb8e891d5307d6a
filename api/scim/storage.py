"""The users and groups of the SCIM server, in the database of Holdgate.

Each request that changes something reads, changes and writes in one transaction, and only one such transaction runs at
a time. So two requests that add a member each to one group lose none.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from pydantic import ValidationError
from scim2_models import (
    ConflictException,
    Group,
    InvalidValueException,
    NotFoundException,
    PreconditionFailedException,
    Resource,
    ResourceType,
    ResponseParameters,
    SearchRequest,
    TooManyException,
    UniquenessException,
)
from scim2_models.path import CompareOperator, Comparison, LogicalExpr, LogicalOperator
from scim2_server.storage import AsyncScimStorage, SearchPage

from api.scim.resources import User, given_group, given_user, group_of, user_of, version_of
from domain.input_errors import WrongField
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.people import scim_groups, scim_users
from store.people.last_admin import LastAdmin
from store.people.scim_lock import lock_scim
from store.people.scim_people import NotLinked
from store.people.scim_users import NameTaken

MOST_COMPARED = 10_000
"""The most resources that one search compares with its filter, after the database found those with equal names."""
_FARTHEST = 2**31 - 1
_BY_LOWER_NAME = {name.lower(): name for name in ("id", "externalId", "userName", "displayName")}


class Kind(Protocol):
    """How resources of one type are read and written."""

    equal: Collection[str]
    """The attributes by whose values the database finds a resource."""

    async def get(self, conn: AsyncConnection, id: str, whole: bool, /) -> Resource[Any] | None:
        """Return the resource; None if there is none. It may leave out the members unless `whole`."""

    async def listed(
        self, conn: AsyncConnection, equal: Mapping[str, str], offset: int, limit: int, whole: bool, /
    ) -> list[Resource[Any]]:
        """Return resources with these values, in a fixed order."""

    async def number(self, conn: AsyncConnection, equal: Mapping[str, str]) -> int:
        """Return the number of resources with these values."""

    async def create(self, conn: AsyncConnection, new: Any) -> Resource[Any]:
        """Store a new resource."""

    async def update(self, conn: AsyncConnection, new: Any, expected: str | None) -> Resource[Any] | None:
        """Store a changed resource; return None if there is none."""

    async def delete(self, conn: AsyncConnection, id: str, expected: str | None) -> bool:
        """Delete a resource; return False if there is none."""


class Users:
    """Users, each of whom is a person."""

    equal: Collection[str] = ("id", "externalId", "userName")

    async def get(self, conn: AsyncConnection, id: str, _whole: bool, /) -> User | None:
        """Return the user; None if there is none."""
        found = await scim_users.get(conn, id)
        return None if found is None else user_of(found)

    async def listed(
        self, conn: AsyncConnection, equal: Mapping[str, str], offset: int, limit: int, _whole: bool, /
    ) -> list[Resource[Any]]:
        """Return users with these values."""
        return [user_of(each) for each in await scim_users.listed(conn, equal, offset=offset, limit=limit)]

    async def number(self, conn: AsyncConnection, equal: Mapping[str, str]) -> int:
        """Return the number of users with these values."""
        return await scim_users.number(conn, equal)

    async def create(self, conn: AsyncConnection, new: User) -> User:
        """Store a new user."""
        return user_of(await scim_users.create(conn, given_user(new)))

    async def update(self, conn: AsyncConnection, new: User, expected: str | None) -> User | None:
        """Store a changed user; return None if there is none."""
        before = await scim_users.get(conn, new.id or "")
        if before is None:
            return None
        _check_version(version_of(before), expected)
        return user_of(await scim_users.change(conn, before, given_user(new), given_user(user_of(before))))

    async def delete(self, conn: AsyncConnection, id: str, expected: str | None) -> bool:
        """Delete the user; return False if there is none."""
        before = await scim_users.get(conn, id)
        if before is not None:
            _check_version(version_of(before), expected)
            await scim_users.remove(conn, before)
        return before is not None


class Groups:
    """Groups of the provider."""

    equal: Collection[str] = ("id", "externalId", "displayName")

    async def get(self, conn: AsyncConnection, id: str, whole: bool, /) -> Group | None:
        """Return the group; None if there is none."""
        found = await scim_groups.get(conn, id, with_members=whole)
        return None if found is None else group_of(found)

    async def listed(
        self, conn: AsyncConnection, equal: Mapping[str, str], offset: int, limit: int, whole: bool, /
    ) -> list[Resource[Any]]:
        """Return groups with these values."""
        found = await scim_groups.listed(conn, equal, offset=offset, limit=limit, with_members=whole)
        return [group_of(each) for each in found]

    async def number(self, conn: AsyncConnection, equal: Mapping[str, str]) -> int:
        """Return the number of groups with these values."""
        return await scim_groups.number(conn, equal)

    async def create(self, conn: AsyncConnection, new: Group) -> Group:
        """Store a new group."""
        return group_of(await scim_groups.create(conn, given_group(new)))

    async def update(self, conn: AsyncConnection, new: Group, expected: str | None) -> Group | None:
        """Store a changed group; return None if there is none."""
        before = await scim_groups.get(conn, new.id or "")
        if before is None:
            return None
        _check_version(version_of(before), expected)
        return group_of(await scim_groups.change(conn, before, given_group(new)))

    async def delete(self, conn: AsyncConnection, id: str, expected: str | None) -> bool:
        """Delete the group; return False if there is none."""
        before = await scim_groups.get(conn, id)
        if before is not None:
            _check_version(version_of(before), expected)
            await scim_groups.remove(conn, before)
        return before is not None


KINDS: Mapping[str, Kind] = {"User": Users(), "Group": Groups()}
"""By the name of the resource type."""


class Storage(AsyncScimStorage):
    """The storage of one request."""

    def __init__(self, db: Database, *, changes: bool) -> None:
        """Open nothing yet. `changes`: the request may change something."""
        self._db, self._changes = db, changes
        self._open: AsyncConnection | None = None

    @asynccontextmanager
    async def operation(self) -> AsyncIterator[None]:
        """Open the transaction in which the request reads and writes."""
        async with self._db.write() if self._changes else self._db.read() as conn:
            if self._changes:
                await lock_scim(conn)
            self._open = conn
            try:
                yield
            except (NameTaken, NotLinked) as refused:
                raise UniquenessException(detail=f"{refused}.") from refused
            except LastAdmin as refused:
                raise ConflictException(detail=f"{refused}.") from refused
            except WrongField as refused:
                taken = UniquenessException if refused.field == "email" else InvalidValueException
                raise taken(detail=f"{refused.field}: {refused}.") from refused
            except ValueError as refused:
                if isinstance(refused, ValidationError):
                    raise  # a defect: what is stored does not fit the schemas
                raise InvalidValueException(detail=f"{refused}.") from refused
            finally:
                self._open = None

    @property
    def _conn(self) -> AsyncConnection:
        assert self._open is not None
        return self._open

    async def get(
        self,
        resource_type: ResourceType,
        resource_id: str,
        *,
        response_parameters: "ResponseParameters[Any] | None" = None,
    ) -> Resource[Any]:
        """Return a resource. Raises NotFoundException."""
        whole = response_parameters is None or not _without_members(response_parameters)
        return _found(await _kind(resource_type).get(self._conn, resource_id, whole), resource_type)

    async def create(self, resource_type: ResourceType, resource: Resource[Any]) -> Resource[Any]:
        """Store a new resource. Raises UniquenessException."""
        return await _kind(resource_type).create(self._conn, resource)

    async def update(
        self, resource_type: ResourceType, resource: Resource[Any], *, expected_version: str | None = None
    ) -> Resource[Any]:
        """Store a changed resource. Raises NotFoundException, PreconditionFailedException, UniquenessException."""
        return _found(await _kind(resource_type).update(self._conn, resource, expected_version), resource_type)

    async def delete(
        self, resource_type: ResourceType, resource_id: str, *, expected_version: str | None = None
    ) -> None:
        """Delete a resource. Raises NotFoundException, PreconditionFailedException."""
        if not await _kind(resource_type).delete(self._conn, resource_id, expected_version):
            raise NotFoundException(detail=f"There is no such {resource_type.name}.")

    async def search(
        self,
        resource_types: list[ResourceType],
        search_request: "SearchRequest[Any]",
        *,
        position: Any = None,  # noqa: ARG002 - for cursors, which this server does not offer
    ) -> SearchPage:
        """Return a page of the resources that match the filter. Raises TooManyException."""
        start = min(max(search_request.start_index or 1, 1), _FARTHEST) - 1
        room = max(search_request.count or 0, 0)
        total, found = 0, list[Resource[Any]]()
        for kind in map(_kind, resource_types):
            wanted = room - len(found)
            if search_request.filter is None:
                number = await kind.number(self._conn, {})
                skip = max(start - total, 0)
                if wanted and skip < number:
                    whole = not _without_members(search_request)
                    found += await kind.listed(self._conn, {}, skip, wanted, whole)
            else:
                matching = await self._matching(kind, search_request)
                number = len(matching)
                found += matching[max(start - total, 0) :][:wanted]
            total += number
        return SearchPage(total, found)

    async def _matching(self, kind: Kind, request: "SearchRequest[Any]") -> list[Resource[Any]]:
        """Return all resources of the kind that match the filter.

        The database narrows the choice to equal names; the library decides.
        """
        wanted = request.filter
        assert wanted is not None
        equal = {name: value for name, value in _equal_in(wanted.ast).items() if name in kind.equal}
        whole = not _without_members(request) or "members" in wanted.lower()
        found = await kind.listed(self._conn, equal, 0, MOST_COMPARED + 1, whole)
        if len(found) > MOST_COMPARED:
            raise TooManyException(
                detail="The filter would be compared with too many resources. "
                "Filter by userName, displayName, externalId or id with eq."
            )
        return await asyncio.to_thread(lambda: [each for each in found if wanted.match(each)])


def _kind(resource_type: ResourceType) -> Kind:
    return KINDS[str(resource_type.name)]


def _found(resource: Resource[Any] | None, resource_type: ResourceType) -> Resource[Any]:
    if resource is None:
        raise NotFoundException(detail=f"There is no such {resource_type.name}.")
    return resource


def _check_version(version: str, expected: str | None) -> None:
    if expected is not None and expected != version:
        raise PreconditionFailedException


def _without_members(asked: "ResponseParameters[Any] | SearchRequest[Any]") -> bool:
    """Return True if the answer leaves out the members, so that nobody needs to read them."""
    return any(str(each).rpartition(":")[2].lower() == "members" for each in asked.excluded_attributes or [])


def _equal_in(node: Any) -> dict[str, str]:
    """Return values that a resource must have to match the filter, by name of the attribute."""
    if isinstance(node, LogicalExpr) and node.op is LogicalOperator.and_:
        return {name: value for term in node.terms for name, value in _equal_in(term).items()}
    if isinstance(node, Comparison) and node.op is CompareOperator.eq and isinstance(node.value, str):
        path = node.attr_path
        name = _BY_LOWER_NAME.get(path.attr.lower())
        if name and path.sub_attr is None:
            return {name: node.value}
    return {}
