"""Write durations as text for pages, messages, the command line and the audit log."""

from datetime import timedelta

from domain.texts import ENGLISH, Texts

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def in_words(length: timedelta, *, largest: int = 4, texts: Texts = ENGLISH) -> str:
    """Return a duration in units, rounded down to seconds: `3 days`, `1 h 30 min`, `0 s`.

    `largest` is the maximum number of units, starting with the largest.
    """
    seconds = max(0, int(length.total_seconds()))
    units = [
        days(seconds // _DAY, texts) if seconds >= _DAY else "",
        _hours(seconds % _DAY // _HOUR, texts),
        _minutes(seconds % _HOUR // _MINUTE, texts),
        _seconds(seconds % _MINUTE, texts),
    ]
    first = next((place for place, unit in enumerate(units) if unit), None)
    if first is None:
        return texts.gettext("%(num)s s") % {"num": 0}
    return " ".join(unit for unit in units[first : first + largest] if unit)


def roughly(length: timedelta, texts: Texts = ENGLISH) -> str:
    """Return a duration in one unit, rounded down and without a minus sign: `3 h`, `47 h`, `2 days`.

    `static/js/app.js` writes durations in the same way, when it updates an open page.
    """
    seconds = abs(int(length.total_seconds()))
    if seconds < _MINUTE:
        return texts.gettext("less than a minute")
    if seconds < _HOUR:
        return _minutes(seconds // _MINUTE, texts)
    return _hours(seconds // _HOUR, texts) if seconds < 2 * _DAY else days(seconds // _DAY, texts)


def days(count: int, texts: Texts = ENGLISH) -> str:
    """Return a number of days as text: `1 day`, `3 days`."""
    return texts.ngettext("%(num)s day", "%(num)s days", count) % {"num": count}


def _hours(count: int, texts: Texts) -> str:
    return texts.gettext("%(num)s h") % {"num": count} if count else ""


def _minutes(count: int, texts: Texts) -> str:
    return texts.gettext("%(num)s min") % {"num": count} if count else ""


def _seconds(count: int, texts: Texts) -> str:
    return texts.gettext("%(num)s s") % {"num": count} if count else ""
