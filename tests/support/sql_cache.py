"""SQL that is compiled once a run: SQLAlchemy keeps what it compiled with the engine, and each test has an engine."""

from functools import wraps
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg, PGDialectAsync_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

MOST = 3000
"""Statements to keep; all tests of a worker use fewer."""


def share(patch: pytest.MonkeyPatch) -> None:
    """Let all engines of one kind of database use what any of them compiled."""
    compiled, init = LRUCache[Any, Any](MOST), Engine.__init__

    @wraps(init)
    def sharing(self: Engine, *args: Any, **named: Any) -> None:
        init(self, *args, **named)
        self._compiled_cache = compiled

    patch.setattr(Engine, "__init__", sharing)
    # The dialect is a part of each key. Those of one class are alike here: all tests use one server.
    for dialect in (PGDialect_psycopg, PGDialectAsync_psycopg, SQLiteDialect_pysqlite):
        patch.setattr(dialect, "__eq__", lambda self, other: type(self) is type(other))
        patch.setattr(dialect, "__hash__", lambda self: hash(type(self)))
