"""The site for which people's passkeys are made, from the settings.

Browsers offer a passkey only to pages of its domain. The domain must therefore stay the same: see
`HOLDGATE_PASSKEY_DOMAIN`.
"""

from dataclasses import dataclass
from typing import Literal

from api.http.problems import Problem
from core.settings import Settings, is_ip_address, origin_of

Obstacle = Literal["ip-address", "no-https"]
_SENTENCES: dict[Obstacle, str] = {
    "ip-address": "Passkeys need a host name, and {} has an IP address. Set HOLDGATE_PUBLIC_URL to an address with a "
    "host name.",
    "no-https": "Passkeys need https, and {} has no https. Set HOLDGATE_PUBLIC_URL to an https address.",
}
"""The sentences of the API. The page Settings has sentences of its own, which are translated."""


@dataclass(frozen=True)
class RelyingParty:
    """The site, as browsers and authenticators know it."""

    domain: str
    origin: str
    """Scheme, host and port of the pages that may use the passkeys."""


def relying_party(settings: Settings) -> RelyingParty:
    """Return the site for which passkeys are made. Raises Problem 404, which names the setting, if there is none."""
    if (why := why_off(settings)) is not None:
        raise Problem(404, why, kind="no-passkeys")
    scheme, host, port = _parts(settings)
    shown = "" if port == {"http": 80, "https": 443}[scheme] else f":{port}"
    return RelyingParty((settings.passkey_domain or host).lower(), f"{scheme}://{host}{shown}")


def why_off(settings: Settings) -> str | None:
    """Return the sentence that says why browsers refuse passkeys and names the setting; None if they accept them."""
    found = obstacle(settings)
    return found and _SENTENCES[found].format(settings.public_url)


def obstacle(settings: Settings) -> Obstacle | None:
    """Return why browsers refuse passkeys at the public URL; None if they accept passkeys."""
    scheme, host, _ = _parts(settings)
    if is_ip_address(host):
        return "ip-address"
    if scheme != "https" and host != "localhost" and not host.endswith(".localhost"):
        return "no-https"
    return None


def _parts(settings: Settings) -> tuple[str, str, int]:
    found = origin_of(settings.public_url)
    assert found is not None  # `Settings` has checked the URL
    return found
