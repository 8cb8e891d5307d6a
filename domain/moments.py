"""Read, limit and write moments, days and durations.

A moment is RFC 3339 with an offset from UTC (`2027-03-31T09:00:00Z`, `2027-03-31T09:00:00+02:00`). A day is
`2027-03-31`. Numbers are refused: if `20270331` were read as Unix seconds, it would be a day in 1970. A local time is
accepted only where the time zone is known, such as the reader's in a form (`local_moment`).

Two rules keep arithmetic within the calendar:

- **Refuse** invalid input of people. A moment is in the years 1900 to 2999. In a request, a moment is also between one
  year ago and ten years ahead, unless the field says otherwise. A stored case is read without this second bound,
  because the case must stay readable for years.
- **Clamp** values of programs (`BoundedMoment`, `Length`, `after`): a signal from the command line, a policy, a field
  of a plugin. A gate can double, shift and compare such moments without an error.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

EARLIEST, LATEST = 1900, 3000
"""The first year of which moments are accepted, and the first year of which they are not accepted any more."""
FIRST_MOMENT = datetime(EARLIEST, 1, 1, tzinfo=UTC)
LAST_MOMENT = datetime(LATEST, 1, 1, tzinfo=UTC)
"""The first and the last moment. Earlier and later moments are clamped to these moments.

Clamping never changes a moment that was accepted from a person, because the same years are accepted.
"""
LONGEST = timedelta(days=3660)
"""The longest duration, ten years. Longer durations are clamped to this duration."""
LONGEST_TIMER = timedelta(days=366)
"""The longest single timer that a Workflow starts.

For a later moment, the Workflow starts several timers in sequence.
"""

A_MOMENT = "a moment with its offset from UTC, such as 2027-03-31T09:00:00Z or 2027-03-31T09:00:00+02:00"
A_DAY = "a day as year-month-day, such as 2027-03-31"

_BY_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?"
_LOCAL = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt ]{_TIME}")
_MOMENT = re.compile(rf"{_LOCAL.pattern}([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])")

_WhenT = TypeVar("_WhenT", date, datetime)

# -------------------------------------------------------------------------------------------------------------- reading


def moment_of(value: Any) -> datetime:
    """Return a moment in UTC.

    Raises ValueError if the value is no moment, has no offset, or is not in the years 1900 to 2999.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"needs its offset from UTC: write {A_MOMENT}")
        return _in_calendar(value)
    text = value.strip() if isinstance(value, str) else ""
    if not _MOMENT.fullmatch(text):
        if _LOCAL.fullmatch(text):
            raise ValueError(f"needs its offset from UTC: write {A_MOMENT}")
        raise ValueError(f"write {A_MOMENT}")
    return _in_calendar(_of_iso(text, A_MOMENT))


def day_of(value: Any) -> date:
    """Return a day. Raises ValueError for any other text, or for a day that is not in the years 1900 to 2999."""
    if type(value) is date:
        day = value
    else:
        text = value.strip() if isinstance(value, str) else ""
        if not _DAY.fullmatch(text):
            raise ValueError(f"write {A_DAY}")
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise ValueError(f"the day {text} does not exist: enter {A_DAY}") from None
    _check_year(day.year)
    return day


def local_moment(value: str, zone: tzinfo) -> datetime:
    """Read a local time of `zone`, or a moment with its own offset, and return the moment in UTC.

    Raises ValueError for any other text.

    A local time that occurs twice, because clocks go back, means its first occurrence. A local time that does not
    exist, because clocks go forward, raises ValueError.
    """
    text = value.strip()
    if not _LOCAL.fullmatch(text):
        if _MOMENT.fullmatch(text):
            return moment_of(text)
        raise ValueError("write a day and a time, such as 2027-03-31 09:00")
    local = _of_iso(text, "a day and a time, such as 2027-03-31 09:00").replace(tzinfo=zone)
    _check_year(local.year)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        raise ValueError(
            f"{local:%H:%M} on {local:%Y-%m-%d} does not exist in {zone}, where clocks go forward: "
            "enter a time one hour later"
        )
    return _in_calendar(moment)


def day_or_moment(text: str, zone: tzinfo, *, end: bool) -> datetime:
    """Read a moment, a local time or a day in the zone, and return a moment. Raises ValueError for any other text.

    For a day return its end if `end` is True, otherwise its beginning.

    The end of a day is the beginning of the next day.
    """
    if _DAY.fullmatch(text.strip()):
        return _in_calendar(datetime.combine(day_of(text) + timedelta(days=int(end)), time(), zone))
    if _looks_like_a_time(text):
        return local_moment(text, zone)
    raise ValueError(f"write {A_DAY}, or {A_MOMENT}")


def _looks_like_a_time(value: Any) -> bool:
    return isinstance(value, str) and bool(re.match(rf"{_DAY.pattern}[Tt ]", value.strip()))


def _of_iso(text: str, expected: str) -> datetime:
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError(f"the day {text[:10]} does not exist: enter {expected}") from None


def _in_calendar(moment: datetime) -> datetime:
    _check_year(moment.year)  # Check before the conversion, which fails outside the years 1 to 9999.
    utc = moment.astimezone(UTC)
    _check_year(utc.year)
    return utc


def _check_year(year: int) -> None:
    if not EARLIEST <= year < LATEST:
        raise ValueError(f"must be in the years {EARLIEST} to {LATEST - 1}")


# ------------------------------------------------------------------------------------------------------------- clamping


def bounded(at: datetime) -> datetime:
    """Return the moment in UTC, clamped to 1900-01-01 to 3000-01-01. A moment without a zone is taken as UTC."""
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return FIRST_MOMENT if at < FIRST_MOMENT else LAST_MOMENT if at > LAST_MOMENT else at.astimezone(UTC)


def after(at: datetime, by: timedelta) -> datetime:
    """Return `at + by` in UTC, clamped to 1900-01-01 to 3000-01-01."""
    try:
        return bounded(at + by)
    except OverflowError:
        return LAST_MOMENT if by > timedelta(0) else FIRST_MOMENT


def until(at: datetime, now: datetime) -> timedelta:
    """Return the length of one timer until a moment: at least zero and at most `LONGEST_TIMER`."""
    return max(timedelta(0), min(bounded(at) - now, LONGEST_TIMER))


def _short(length: timedelta) -> timedelta:
    return max(timedelta(0), min(length, LONGEST))


def _spelt(value: Any) -> Any:
    """Return the value unchanged. Raises ValueError unless it is a datetime, or a text that begins with a day.

    Pydantic would read a number, or a text of digits only, as Unix seconds.
    """
    if isinstance(value, datetime) or (isinstance(value, str) and _BY_DAY.match(value)):
        return value
    raise ValueError("write a moment such as 2027-03-31T09:00:00Z")


def _zoned(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("needs its offset from UTC")
    return at


SPELT = BeforeValidator(_spelt)
BoundedMoment = Annotated[datetime, SPELT, AfterValidator(bounded)]
"""A moment in stored data, clamped to 1900-01-01 to 3000-01-01."""
ZonedMoment = Annotated[datetime, SPELT, AfterValidator(_zoned), AfterValidator(bounded)]
"""A moment in a message of a person. A moment without a zone is refused."""
Length = Annotated[timedelta, AfterValidator(_short)]
"""A duration between zero and ten years. A shorter or longer duration is clamped."""

# ------------------------------------------------------------------------------------------------------------- refusing


def years_from(when: _WhenT, years: int) -> _WhenT:
    """Return the same day `years` years later, or earlier if `years` is negative.

    If that year has no 29 February, return 28 February.
    """
    try:
        return when.replace(year=when.year + years)
    except ValueError:
        return when.replace(year=when.year + years, day=28)


@dataclass(frozen=True)
class Within:
    """Bounds of a date or moment field: `Annotated[datetime, Within(...)]`.

    The bounds are whole years before and after now.

    With `always` every validation checks the bounds, for bodies and queries that are read once. Without `always`, only
    a validation with the context of `asked_now()` or `asked()` checks the bounds, because stored inputs of cases are
    read again for years. Use `past=0` for moments in the future, such as a deadline. With `whole_days` a day is
    accepted too; the day stands for its last second in UTC.
    """

    past: int = 1
    ahead: int = 10
    always: bool = False
    whole_days: bool = False

    def check(self, when: date, now: datetime) -> None:
        """Raise ValueError for a day or moment outside the bounds."""
        today: date = now if isinstance(when, datetime) else now.date()
        if when < years_from(today, -self.past):
            ago = f"is more than {_years(self.past)} ago"
            raise ValueError(ago if self.past else "is in the past: choose a later time")
        if when > years_from(today, self.ahead):
            raise ValueError(f"is more than {_years(self.ahead)} ahead")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Replace pydantic's lenient parsing, which reads numbers and digits as Unix seconds."""
        read = _READERS[source, self.whole_days]

        def taken(value: Any, info: ValidationInfo) -> date:
            when: date = read(value)
            asked = info.context.get(_ASKED) if isinstance(info.context, Mapping) else None
            if self.always:
                self.check(when, datetime.now(UTC))
            elif asked and (asked.fields is None or info.field_name in asked.fields):
                self.check(when, asked.at)
            return when

        return core_schema.with_info_before_validator_function(taken, handler(source))


def _last_second(value: Any) -> datetime:
    """Return a moment unchanged. For a day return its last second in UTC, so that people are shown the same day."""
    if type(value) is date or (isinstance(value, str) and _DAY.fullmatch(value.strip())):
        return datetime.combine(day_of(value), time(23, 59, 59), UTC)
    try:
        return moment_of(value)
    except ValueError as wrong:
        raise wrong if _looks_like_a_time(value) else ValueError(f"write {A_DAY}, or {A_MOMENT}") from None


_READERS: dict[tuple[Any, bool], Any] = {
    (datetime, False): moment_of,
    (datetime, True): _last_second,
    (date, False): day_of,
}
_ASKED = "asked"


class _Asked(NamedTuple):
    at: datetime
    fields: Collection[str] | None


def asked_now() -> dict[str, Any]:
    """Return the context for validating a new request: `Model.model_validate(data, context=asked_now())`."""
    return asked(datetime.now(UTC))


def asked(at: datetime, fields: Collection[str] | None = None) -> dict[str, Any]:
    """Return the validation context of an edited request.

    Only the fields in `fields` are new and are checked against their bounds; None stands for all fields.
    """
    return {_ASKED: _Asked(at, fields)}


def _years(count: int) -> str:
    return "1 year" if count == 1 else f"{count} years"


Moment = Annotated[datetime, Within()]
"""A moment in the input of a process: `start_at: Moment`."""
Day = Annotated[date, Within()]
"""A day in the input of a process: `needed_by: Day`."""
AskedMoment = Annotated[datetime, Within(always=True)]
"""A moment in a body or query that is read once."""


def lenient_fields(model: type[BaseModel]) -> list[str]:
    """Return the names of the fields, also of nested models, that have the plain type `date`, `datetime` or `time`.

    Pydantic parses such fields leniently: it reads a number as Unix seconds.
    """
    return [
        f"{name}{rest}"
        for name, info in model.model_fields.items()
        if not _strict(info.metadata)
        for rest in _lenient(info.annotation)
    ]


def _strict(metadata: Iterable[Any]) -> bool:
    return any(isinstance(each, Within) or each is SPELT for each in metadata)


def _lenient(of: Any) -> list[str]:
    """Return the places in the type of a field that pydantic parses leniently, as suffixes of the field name."""
    if get_origin(of) is Annotated and _strict(get_args(of)[1:]):
        return []
    if isinstance(of, type) and issubclass(of, date | time):
        return [""]
    if isinstance(of, type) and issubclass(of, BaseModel):
        return [f".{name}" for name in lenient_fields(of)]
    return list(dict.fromkeys(rest for part in get_args(of) for rest in _lenient(part)))


# -------------------------------------------------------------------------------------------------------------- writing


def moment_text(at: datetime, zone: tzinfo | None = UTC, *, seconds: bool = False) -> str:
    """Return a moment as text with its time zone: `2027-07-01 04:00 UTC`.

    If `zone` is None, use the time zone of this machine.
    """
    local = _aware(at).astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S %Z}" if seconds else f"{local:%Y-%m-%d %H:%M %Z}"


def moment_in_words(at: datetime, zone: tzinfo = UTC) -> str:
    """Return a moment in the zone for people, with the zone: `26 Nov 2026, 10:42 GMT`."""
    local = _aware(at).astimezone(zone)
    return f"{local.day} {local:%b %Y, %H:%M %Z}"


def day_in_words(at: date) -> str:
    """Return a day for people, a moment's day in UTC: `26 November 2026`."""
    day = _aware(at).astimezone(UTC) if isinstance(at, datetime) else at
    return f"{day.day} {day:%B %Y}"


def weekday_and_time(at: datetime, zone: tzinfo = UTC, *, year: bool = True) -> str:
    """Return a moment in the zone with its weekday: `Wed 25 Nov 2026, 09:00 UTC`."""
    local = _aware(at).astimezone(zone)
    return f"{local:%a} {local.day} {local:%b}{f' {local.year}' if year else ''}, {local:%H:%M %Z}"


def moment_at_length(at: datetime, zone: tzinfo = UTC) -> str:
    """Return a moment in the zone for an explanation: `Wed 25 Nov 2026 at 09:00 GMT`, with seconds if not zero."""
    local = _aware(at).astimezone(zone)
    return f"{local:%a %d %b %Y at %H:%M:%S %Z}" if local.second else f"{local:%a %d %b %Y at %H:%M %Z}"


def rfc3339(at: datetime) -> str:
    """Return a moment for programs, in UTC and in whole seconds: `2027-07-01T04:00:00Z`."""
    return f"{_aware(at).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:  # would be shown as one of the machine's own zone
        raise ValueError(f"{at} has no time zone")
    return at
