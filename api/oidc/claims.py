"""Read what an identity provider says about a person: groups, name, e-mail address."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from domain.names import ADMINS
from domain.normalization import check_visible
from store.people import new_ids

LONGEST_NAME = 200
MOST_GROUPS = 2_000
"""The most values of the groups claim that are read."""


def groups_in(claim: str, *sources: Mapping[str, Any]) -> list[str] | None:
    """Return the values of the groups claim in the first of the sources that has it.

    `claim` is the name of the claim, or a path such as `realm_access.roles`. Return None if no source says anything
    about groups: the claim is missing, or the person has more groups than fit into a token (`_claim_names`). None never
    means that the person has no groups.
    """
    for claims in sources:
        found = claims.get(claim)
        if found is None:
            found = claims
            for part in claim.split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
        if isinstance(found, str):
            return [found] if found else []
        if isinstance(found, list) and all(isinstance(value, str) for value in found):
            return found[:MOST_GROUPS]
    return None


def groups_of(values: Iterable[str], table: Mapping[str, Collection[str]], known: Collection[str]) -> set[str]:
    """Return the groups of Holdgate that the values of the claim give.

    With a table, only its values count. Without one, a value counts if it is the name of one of the `known` groups, but
    never as `admins`: an administrator must map that group by hand.
    """
    if table:
        return {group for value in values for group in table.get(value, ())}
    return (set(values) & set(known)) - {ADMINS}


def name_of(claims: Mapping[str, Any], id: str) -> str:
    """Return the name that pages show for the person; the id if the provider says no name that can be read."""
    parts = " ".join(filter(None, (_text(claims, "given_name"), _text(claims, "family_name"))))
    name = _text(claims, "name") or parts or _text(claims, "preferred_username")
    try:
        return check_visible(name[:LONGEST_NAME].strip()) or id
    except ValueError:
        return id


def email_of(claims: Mapping[str, Any]) -> str | None:
    """Return the e-mail address, verified or not."""
    return _text(claims, "email") or None


def verified_email_of(claims: Mapping[str, Any]) -> str | None:
    """Return the e-mail address if the provider has verified it. Some providers write the boolean as a text."""
    verified = claims.get("email_verified")
    return email_of(claims) if verified is True or verified == "true" else None


def user_names_of(claims: Mapping[str, Any]) -> set[str]:
    """Return the names with which the provider may have sent the person by SCIM (`userName`)."""
    names = {_text(claims, "preferred_username"), _text(claims, "upn"), verified_email_of(claims) or ""}
    return names - {""}


def external_ids_of(subject: str, claims: Mapping[str, Any]) -> set[str]:
    """Return the ids with which the provider may have sent the person by SCIM (`externalId`)."""
    return {subject, _text(claims, "oid")} - {""}


def time_zone_of(claims: Mapping[str, Any]) -> str:
    """Return the time zone that the provider says, valid or not; empty if it says none."""
    return _text(claims, "zoneinfo")[:60]


def id_stem(claims: Mapping[str, Any]) -> str:
    """Return what the id of a new person begins with: the user name, or the e-mail address, or the name; or nothing."""
    stems = (new_ids.stem_of(_text(claims, claim)) for claim in ("preferred_username", "email", "name"))
    return next(filter(None, stems), "")


def _text(claims: Mapping[str, Any], name: str) -> str:
    """Return a claim as one printable line; empty for a missing claim, or for one of another kind."""
    value = claims.get(name)
    if not isinstance(value, str):
        return ""
    return "".join(letter for letter in value if letter.isprintable()).strip()
