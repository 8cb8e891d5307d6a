"""Profile a file of data: statistics that data stewards can judge, and differences from the published version."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from domain.base import Message

MAX_COLUMNS_SHOWN = 60
MAX_DISTINCT = 1000
"""The maximum number of distinct values of a column that are counted."""
SAMPLES = 5
MAX_TEXT = 80
"""The maximum number of characters of a value in a profile.

With these limits a profile is smaller than 64 KB, the limit of a gate's facts.
"""


class Column(Message):
    """The statistics of one column.

    `least` and `greatest` are the smallest and the largest value: as numbers if all values are numbers, otherwise as
    texts.
    """

    name: str
    nulls: int
    distinct: str
    least: Any = None
    greatest: Any = None


class VersionDifference(Message):
    """The differences between a data file and the published version of its dataset.

    A changed row counts as one removed and one added.
    """

    version: int
    rows_added: int
    rows_removed: int
    columns_added: list[str]
    columns_removed: list[str]


class Profile(Message):
    """The profile of a data file, the facts that data stewards see before they decide about its publication."""

    dataset: str
    file: str
    sha256: str
    schema_sha256: str = ""
    """The SHA-256 of the schema; empty in profiles of older releases."""
    rows: int
    columns: list[Column]
    columns_not_shown: int = 0
    samples: list[dict[str, Any]]
    difference: VersionDifference | None = None
    """The differences from the published version; None if the dataset has no published version yet."""

    @property
    def base(self) -> int | None:
        """Return the number of the version that was published when this profile was made.

        None if no version was published.
        """
        return self.difference.version if self.difference else None


class _Tally:
    def __init__(self) -> None:
        self.seen, self.nulls = 0, 0
        self.values: set[str] = set()
        self.least: Any = None
        self.greatest: Any = None
        self.numbers = True

    @property
    def distinct(self) -> str:
        count = len(self.values)
        return f"more than {MAX_DISTINCT:,}" if count > MAX_DISTINCT else str(count)

    def add(self, value: Any) -> None:
        self.seen += 1
        if value is None:
            self.nulls += 1
            return
        if len(self.values) <= MAX_DISTINCT:
            self.values.add(digest(value))
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.numbers and not number:
            self.numbers = False
            self.least = None if self.least is None else str(self.least)
            self.greatest = None if self.greatest is None else str(self.greatest)
        known = value if self.numbers else str(value)
        self.least = known if self.least is None else min(self.least, known)
        self.greatest = known if self.greatest is None else max(self.greatest, known)


class Content:
    """A digest of the rows and columns of a version, with which two versions are compared."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        """The number of occurrences of each row, by its digest."""
        self.columns: set[str] = set()

    def add(self, row: dict[str, Any]) -> None:
        self.rows[digest(row)] += 1
        self.columns |= row.keys()


class Profiler:
    """Collects the statistics of a profile from the rows that it passes on."""

    def __init__(self) -> None:
        self.rows = 0
        self._tallies: dict[str, _Tally] = {}
        self._samples: list[dict[str, Any]] = []
        self._content = Content()

    def watch(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the rows unchanged, and collect their statistics."""
        for row in rows:
            self.rows += 1
            for name, value in row.items():
                self._tallies.setdefault(name, _Tally()).add(value)
            if len(self._samples) < SAMPLES:
                self._samples.append({name: _short(row[name]) for name in list(row)[:MAX_COLUMNS_SHOWN]})
            self._content.add(row)
            yield row

    def made(
        self, dataset: str, file: str, *, sha256: str, schema_sha256: str, published: tuple[int, Content] | None
    ) -> Profile:
        """Return the profile of the rows that were watched.

        `published` is the number and the content of the published version; None without one.
        """
        difference = None
        if published is not None:
            (version, before), now = published, self._content
            difference = VersionDifference(
                version=version,
                rows_added=(now.rows - before.rows).total(),
                rows_removed=(before.rows - now.rows).total(),
                columns_added=_names(now.columns - before.columns),
                columns_removed=_names(before.columns - now.columns),
            )
        shown = list(self._tallies.items())[:MAX_COLUMNS_SHOWN]
        return Profile(
            dataset=dataset,
            file=file,
            sha256=sha256,
            schema_sha256=schema_sha256,
            rows=self.rows,
            columns=[
                Column(
                    name=name[:MAX_TEXT],
                    nulls=tally.nulls + self.rows - tally.seen,
                    distinct=tally.distinct,
                    least=_short(tally.least),
                    greatest=_short(tally.greatest),
                )
                for name, tally in shown
            ],
            columns_not_shown=len(self._tallies) - len(shown),
            samples=self._samples,
            difference=difference,
        )


def digest(value: Any) -> str:
    """Return a digest of a value or row that does not depend on the order of fields."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:32]


def _names(columns: Iterable[str]) -> list[str]:
    return sorted(name[:MAX_TEXT] for name in columns)[:MAX_COLUMNS_SHOWN]


def _short(value: Any) -> Any:
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 10**15):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
