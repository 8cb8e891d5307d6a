"""The SCIM resources of Holdgate: users and groups with only the attributes that Holdgate keeps.

The schemas that Holdgate publishes are those of these models, so providers and testers ask for nothing else. Other
attributes are ignored. What a provider sent of the kept attributes is answered exactly as it was sent.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from scim2_models import URN, Group, InvalidValueException, Required, Resource, Uniqueness
from scim2_models.attributes import ComplexAttribute

from domain.normalization import fold
from store.people.people import address_of
from store.people.scim_groups import GivenGroup, Member, ScimGroup
from store.people.scim_users import GivenUser, ScimUser

LONGEST = 256
"""The maximum number of characters of one value. A longer value is refused."""


class Name(ComplexAttribute):
    """The parts of the name of a user."""

    formatted: str | None = None
    family_name: str | None = None
    given_name: str | None = None


class Emails(ComplexAttribute):
    """An e-mail address of a user."""

    value: str | None = None
    type: str | None = None
    primary: bool | None = None


class User(Resource[Any]):
    """A user: a person in Holdgate."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")

    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    display_name: str | None = None
    name: Name | None = None
    active: bool | None = None
    emails: list[Emails] | None = None


# ---------------------------------------------------------------------------------------------------------------- users


def user_of(stored: ScimUser) -> User:
    """Return a stored user as a SCIM resource."""
    return User.model_validate({**stored.attributes, **_common(User, stored), "meta": _meta("User", stored)})


def given_user(user: User) -> GivenUser:
    """Return what a request says about a user. Raises InvalidValueException for a value that is too long."""
    attributes = _kept(user, "userName", "displayName", "name", "active", "emails")
    user_name = user.user_name or ""
    if not fold(user_name):
        raise InvalidValueException(detail="userName: enter a name with letters or digits")
    return GivenUser(
        user_name=user_name,
        external_id=user.external_id,
        name=_shown(user, user_name),
        address=_address(user),
        active=user.active,
        attributes=attributes,
    )


def _shown(user: User, user_name: str) -> str:
    """Return the name that pages show: the first that the provider sent, in the order of how much people like it."""
    name = user.name or Name()
    whole = " ".join(part for part in (name.given_name, name.family_name) if part and part.strip())
    return next(text for text in (user.display_name, name.formatted, whole, user_name) if text and text.strip())[:200]


def _address(user: User) -> str | None:
    """Return the address for mails: the primary one, the first, or the userName if it is an address."""
    primary = [each for each in user.emails or [] if each.primary]
    for text in (*(each.value for each in (*primary, *(user.emails or []))), user.user_name):
        try:
            if text and "@" in text and (found := address_of(text)):
                return found
        except ValueError:
            continue  # what a mail server would not take is kept, but not used
    return None


# --------------------------------------------------------------------------------------------------------------- groups


def group_of(stored: ScimGroup) -> Group:
    """Return a stored group as a SCIM resource."""
    members = [
        {"value": each.user, "$ref": f"Users/{each.user}", "type": "User"}
        | ({"display": each.display} if each.display is not None else {})
        for each in stored.members
    ]
    return Group.model_validate(
        {
            **stored.attributes,
            **_common(Group, stored),
            "members": members or None,
            "meta": _meta("Group", stored),
        }
    )


def given_group(group: Group) -> GivenGroup:
    """Return what a request says about a group. Raises InvalidValueException for a value that is too long."""
    members = [Member(each.value or "", each.display) for each in group.members or []]
    for member in members:
        _check_length("members", member.user, member.display)
    if not fold(group.display_name or ""):
        raise InvalidValueException(detail="displayName: enter a name with letters or digits")
    return GivenGroup(
        display_name=group.display_name or "",
        external_id=group.external_id,
        attributes=_kept(group, "displayName"),
        members=members,
    )


# ----------------------------------------------------------------------------------------------------------- both kinds


def version_of(stored: ScimUser | ScimGroup) -> str:
    """Return the ETag of a stored resource."""
    return f'W/"{stored.version}"'


def _common(model: type[Resource[Any]], stored: ScimUser | ScimGroup) -> dict[str, Any]:
    return {"schemas": [str(model.__schema__)], "id": stored.scim_id, "externalId": stored.external_id}


def _meta(kind: str, stored: ScimUser | ScimGroup) -> dict[str, Any]:
    def text(moment: datetime) -> str:
        return moment.isoformat()

    return {
        "resourceType": kind,
        "created": text(stored.created_at),
        "lastModified": text(stored.changed_at),
        "version": version_of(stored),
    }


def _kept(resource: Resource[Any], *names: str) -> Mapping[str, Any]:
    """Return the attributes with these names as JSON, as the provider sent them."""
    kept = {name: value for name, value in resource.model_dump().items() if name in names}
    _check_length("externalId", resource.external_id)
    for name, value in kept.items():
        for each in value if isinstance(value, list) else [value]:
            _check_length(name, *(each.values() if isinstance(each, dict) else [each]))
    return kept


def _check_length(name: str, *values: Any) -> None:
    for value in values:
        if isinstance(value, str) and len(value) > LONGEST:
            raise InvalidValueException(detail=f"{name}: a value has at most {LONGEST} characters")
