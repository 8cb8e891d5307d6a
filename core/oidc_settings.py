"""Define the settings of single sign-on with an identity provider (OpenID Connect): `HOLDGATE_OIDC_*`.

`core.settings.Settings` inherits these settings, and reads them with all others.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from core.hosts import is_loopback

_AGE = re.compile(r"(\d{1,6}) ?([smhd]?)")
_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_GROUP = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_TABLE = 'must be a table of claim values and groups, such as {"Finance managers": "managers"}'


class OidcSettings(BaseSettings):
    """The settings of single sign-on. Without `oidc_issuer`, single sign-on is off."""

    oidc_issuer: str | None = Field(None, max_length=500)
    """The URL of the identity provider, exactly as its metadata names it. None: no single sign-on."""
    oidc_client_id: str | None = Field(None, max_length=500)
    """The id that the identity provider has given to this Holdgate."""
    oidc_client_secret: SecretStr | None = None
    """The secret of the client. None for a public client, which proves itself only by PKCE."""
    oidc_name: str | None = Field(None, max_length=60)
    """The name of the identity provider on the sign-in page. None: its host."""
    oidc_scopes: str | None = None
    """The scopes of a sign-in, separated by spaces. None: `openid profile email`, and of `groups` and `offline_access`
    those that the metadata of the identity provider lists.
    """
    oidc_groups_claim: str = Field("groups", min_length=1)
    """The claim with the groups of a person: its name, or a path such as `realm_access.roles`."""
    oidc_groups: Annotated[dict[str, tuple[str, ...]], NoDecode] = Field(default_factory=dict)
    """The groups of Holdgate for each value of the claim, as JSON or as an inline table of TOML.

    Without a table, a value counts if it is the name of a group that Holdgate knows, except `admins`.
    """
    oidc_groups_age: str = "15m"
    """How old the groups of a person may be when the person decides: seconds, or a number with s, m, h or d. Older ones
    are read again first."""
    oidc_audience: str | None = Field(None, max_length=500)
    """The audience of access tokens (JWT) of the identity provider that the API accepts. None: it accepts none."""
    oidc_connect_by_email: bool = False
    """True if a first sign-in with a verified e-mail address belongs to the person here who has this address."""
    passwords: Literal["on", "off"] = "on"
    """`off`: people sign in to the pages only with the identity provider."""

    @property
    def oidc_label(self) -> str:
        """The name of the identity provider for people: `oidc_name`, or the host of the issuer."""
        return self.oidc_name or urlsplit(self.oidc_issuer or "").netloc

    @property
    def groups_age(self) -> timedelta:
        """How old the groups of a person may be when the person decides."""
        return _age(self.oidc_groups_age)

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, issuer: str | None) -> str | None:
        if issuer is None:
            return None
        try:
            parts = urlsplit(issuer)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            raise ValueError("must be a URL such as https://login.example.org") from None
        if not host or parts.query or parts.fragment or parts.username or not issuer.isprintable() or " " in issuer:
            raise ValueError("must be a URL such as https://login.example.org, without a query and without a password")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
            raise ValueError("must begin with https://, because tokens travel to it. Only this machine may use http://")
        return issuer

    @field_validator("oidc_scopes")
    @classmethod
    def _scopes(cls, scopes: str | None) -> str | None:
        if scopes is not None and "openid" not in scopes.split():
            raise ValueError("must contain the scope openid")
        return scopes and " ".join(scopes.split())

    @field_validator("oidc_groups_age")
    @classmethod
    def _valid_age(cls, age: str) -> str:
        _age(age)
        return age

    @field_validator("oidc_groups", mode="before")
    @classmethod
    def _table(cls, table: Any) -> dict[str, tuple[str, ...]]:
        if isinstance(table, str):
            table = _parsed(table)
        if not isinstance(table, Mapping):
            raise ValueError(_TABLE)
        return {str(value): _groups(str(value), groups) for value, groups in table.items()}

    @model_validator(mode="after")
    def _single_sign_on_is_complete(self) -> Self:
        """Refuse settings of single sign-on that only work together with another setting."""
        if self.oidc_issuer is None:
            needing = [
                name for name in ("oidc_client_id", "oidc_client_secret", "oidc_audience") if getattr(self, name)
            ]
            needing += ["passwords=off"] if self.passwords == "off" else []
            if needing:
                raise ValueError(
                    f"HOLDGATE_{needing[0].upper().replace('=OFF', '=off')} needs HOLDGATE_OIDC_ISSUER, the URL of the "
                    "identity provider"
                )
            return self
        if self.oidc_client_id is None:
            raise ValueError("HOLDGATE_OIDC_ISSUER needs HOLDGATE_OIDC_CLIENT_ID, the id of this client there")
        if self.oidc_audience == self.oidc_client_id:
            raise ValueError(
                "HOLDGATE_OIDC_AUDIENCE must differ from HOLDGATE_OIDC_CLIENT_ID, which is the audience of ID tokens: "
                "an ID token must not work as an access token"
            )
        return self


def _age(text: str) -> timedelta:
    if (found := _AGE.fullmatch(text.strip())) is None:
        raise ValueError("must be a number of seconds, or a number with a unit: 90s, 15m, 2h, 1d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return tomllib.loads(f"table = {text.strip()}")["table"]
    except (ValueError, RecursionError):
        raise ValueError(_TABLE) from None


def _groups(value: str, groups: Any) -> tuple[str, ...]:
    """Return the groups of one claim value. Raises ValueError, which names the value."""
    named = [groups] if isinstance(groups, str) else groups
    if not isinstance(named, list | tuple) or not all(isinstance(name, str) for name in named):
        raise ValueError(f"{value}: must be the name of a group, or a list of names")
    for name in named:
        if not _GROUP.fullmatch(name):
            raise ValueError(f"{value}: '{name}' is no group: use letters a-z, digits and -, at most 60 characters")
    return tuple(named)
