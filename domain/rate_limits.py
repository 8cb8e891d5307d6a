"""How many requests of a kind one caller may send, and the arithmetic of the limits (GCRA, a leaky bucket).

A bucket holds `Rate.number` requests. Each request takes one, and one returns every `Rate.cost` seconds. Of a bucket,
only the time is stored at which it is full again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from domain.codes import CodeWithMeaning

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_RATE = re.compile(r"([1-9][0-9]{0,5})/([smh])")
OFF = "off"
CLOCK_SLACK_S = 1.0
"""Seconds that a clock may go back without an effect.

A bucket that is full again only after `Rate.most_s` and this slack shows that the clock went back further.
Such a bucket counts as full: else its caller would be kept out until the clock is there again.
"""


class RequestKind(CodeWithMeaning):
    """The kinds of requests that are limited, each apart from the others."""

    DECISIONS = "decisions", "decisions"
    STARTS = "starts", "new requests"
    UPLOADS = "uploads", "uploads"
    SEARCHES = "searches", "lists and searches"
    SIGN_IN = "sign-in", "failed sign-ins"
    SCIM = "scim", "SCIM requests"
    CODEC = "codec", "requests to decode payloads"
    OTHER = "other", "requests"


@dataclass(frozen=True)
class Rate:
    """So many requests in so many seconds. All of them may come at once."""

    number: int
    seconds: int

    @property
    def cost(self) -> float:
        """The seconds after which one more request is allowed."""
        return self.seconds / self.number

    @property
    def most_s(self) -> float:
        """The most seconds until a bucket is full again: a little more than `seconds`, because sums are not exact."""
        return self.seconds + self.cost / 10

    @property
    def impossible_s(self) -> float:
        """The seconds until a bucket is full again that only a clock which went back can explain."""
        return self.most_s + CLOCK_SLACK_S

    def times(self, factor: int) -> "Rate":
        """Return the rate of so many callers together."""
        return Rate(self.number * factor, self.seconds)


DEFAULTS: Mapping[RequestKind, Rate] = {
    RequestKind.DECISIONS: Rate(1200, 60),
    RequestKind.STARTS: Rate(1200, 60),
    RequestKind.UPLOADS: Rate(120, 60),
    RequestKind.SEARCHES: Rate(1200, 60),
    RequestKind.SIGN_IN: Rate(60, 60),
    RequestKind.SCIM: Rate(3000, 60),
    RequestKind.CODEC: Rate(1200, 60),
    RequestKind.OTHER: Rate(6000, 60),
}
"""The limits without a setting. No person and no program that waits for its answers reaches these limits."""


def parse(text: str | None) -> Mapping[RequestKind, Rate]:
    """Return the limits that `HOLDGATE_RATE_LIMITS` describes; a kind without a rate is not limited.

    `text` is `off`, or changes of `DEFAULTS` such as `decisions=60/m, uploads=off`. Raises ValueError, whose text names
    the part that is wrong.
    """
    if (text or "").strip().lower() == OFF:
        return {}
    limits, known, named = dict(DEFAULTS), {kind.value: kind for kind in RequestKind}, set()
    for part in filter(None, (each.strip() for each in (text or "").split(","))):
        name, equals, value = (each.strip().lower() for each in part.partition("="))
        if not equals or name not in known:
            raise ValueError(f"{part!r} must be one of {', '.join(known)}, then = and a rate such as 60/m, or only off")
        if name in named:
            raise ValueError(f"{part!r}: {name} is there twice")
        named.add(name)
        if value == OFF:
            limits.pop(known[name])
        elif found := _RATE.fullmatch(value):
            limits[known[name]] = Rate(int(found[1]), _SECONDS[found[2]])
        else:
            raise ValueError(
                f"{part!r}: {value!r} must be a number of requests and s, m or h, such as 5/s, 60/m or 500/h, or off"
            )
    return limits


def taken(full_at: float, now: float, rate: Rate) -> float | None:
    """Return when a bucket is full again after one request takes its place; None if there is no place.

    `full_at` is when the bucket is full without this request. All times are in seconds of one clock.
    """
    if full_at > now + rate.impossible_s:
        full_at = now
    after = max(now, full_at) + rate.cost
    return after if after - now <= rate.most_s else None
